"""The tokens that were verified a moment ago, so that a client's next request need not pay again."""

from collections import OrderedDict
from hashlib import sha256

from application.kernel.ports.callers import Caller
from domain.kernel.users import UserId


class Look:
    """One look at who a token speaks for, which takes a while; `stale` are those forgotten meanwhile."""

    __slots__ = ("stale",)

    def __init__(self) -> None:
        self.stale: set[UserId] = set()


class VerifiedTokens:
    """At most `size` identities, each until an instant; the least recently used goes first.

    The key is the token's SHA-256, 1 µs of work: so no memory dump holds bearer tokens that are good for use,
    and an entry takes a few hundred bytes however long its token is. Only what was verified gets in, so
    nobody fills it with garbage.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._known: OrderedDict[bytes, tuple[float, Caller]] = OrderedDict()
        self._of_user: dict[UserId, set[bytes]] = {}
        self._looks: set[Look] = set()

    @staticmethod
    def key(token: str) -> bytes:
        return sha256(token.encode("utf-8", "surrogatepass")).digest()

    def get(self, key: bytes, *, now: float) -> Caller | None:
        """Whom the token speaks for, if that is still known at the instant `now`."""
        found = self._known.get(key)
        if found is None:
            return None
        expires, identity = found
        if now >= expires:
            self._drop(key)
            return None
        self._known.move_to_end(key)
        return identity

    def look(self) -> Look:
        """Is said before the user of a token is looked up, and `put` or `leave` after that."""
        look = Look()
        self._looks.add(look)
        return look

    def leave(self, look: Look) -> None:
        """The look is over, whatever came of it."""
        self._looks.discard(look)

    def put(self, key: bytes, identity: Caller, *, expires: float, look: Look | None = None) -> None:
        """Remembers it, unless the user was forgotten after the `look` began: it may have been too early."""
        if look is not None and identity.user_id in look.stale:
            return
        if key in self._known:
            self._drop(key)
        self._known[key] = expires, identity
        self._of_user.setdefault(identity.user_id, set()).add(key)
        if len(self._known) > self._size:
            self._drop(next(iter(self._known)))

    def forget(self, user_id: UserId) -> None:
        """Whatever speaks for this user is looked at anew."""
        for look in self._looks:
            look.stale.add(user_id)
        for key in self._of_user.pop(user_id, ()):
            del self._known[key]

    def _drop(self, key: bytes) -> None:
        _, identity = self._known.pop(key)
        keys = self._of_user[identity.user_id]
        keys.discard(key)
        if not keys:
            del self._of_user[identity.user_id]
