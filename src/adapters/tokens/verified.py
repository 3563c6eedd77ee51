"""The tokens that were verified a moment ago, so that a client's next request need not pay again."""

from collections import OrderedDict
from hashlib import sha256

from application.kernel.ports.callers import Caller


class VerifiedTokens:
    """At most `size` identities, each until an instant; the least recently used goes first.

    The key is the token's SHA-256, 1 µs of work: so no memory dump holds bearer tokens that are good for use,
    and an entry takes a few hundred bytes however long its token is. Only what was verified gets in, so
    nobody fills it with garbage.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._known: OrderedDict[bytes, tuple[float, Caller]] = OrderedDict()

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
            del self._known[key]
            return None
        self._known.move_to_end(key)
        return identity

    def put(self, key: bytes, identity: Caller, *, expires: float) -> None:
        self._known[key] = expires, identity
        if len(self._known) > self._size:
            self._known.popitem(last=False)
