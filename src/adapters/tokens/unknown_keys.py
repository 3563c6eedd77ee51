"""When a token that names an unknown key is a reason to read the keys again.

Anybody can write such tokens, and a provider may rotate its keys at any time. So a key that was looked for in
vain is not looked for again for a while, whoever names it; any other is looked for at once, as long as the
budget of all of them lasts. Nobody's junk keeps a new key waiting, except for as long as the budget takes to
grow by one where somebody names ever other keys; and every reading finds all the keys that are new.
"""

from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from typing import Final

REMEMBERED: Final = 1000  # keys that were looked for in vain: 100 KB


class UnknownKeys:
    """Those of one issuer. Each is let alone for `refused_seconds` once it was looked for in vain.

    At most `burst` are looked for in a row, and then one every `refill_seconds`. `monotonic` counts seconds.
    """

    def __init__(
        self, *, refused_seconds: float, burst: int, refill_seconds: float, monotonic: Callable[[], float]
    ) -> None:
        self._refused_seconds = refused_seconds
        self._burst = burst
        self._refill_seconds = refill_seconds
        self._monotonic = monotonic
        self._refused: OrderedDict[bytes, float] = OrderedDict()
        self._full_at = float("-inf")  # when the whole budget is there again

    def may_search(self, key_id: str) -> bool:
        """Whether the key is worth a reading now, which then is paid for."""
        if self.is_refused(key_id):
            return False
        now = self._monotonic()
        full_at = max(self._full_at, now) + self._refill_seconds
        if full_at - now > self._burst * self._refill_seconds:
            return False
        self._full_at = full_at
        return True

    def is_refused(self, key_id: str) -> bool:
        return self._monotonic() < self._refused.get(_digest(key_id), float("-inf"))

    def refuse(self, key_id: str) -> None:
        """It was looked for and is not there; of too many, those that were refused first are forgotten."""
        digest = _digest(key_id)
        self._refused[digest] = self._monotonic() + self._refused_seconds
        self._refused.move_to_end(digest)
        if len(self._refused) > REMEMBERED:
            self._refused.popitem(last=False)


def _digest(key_id: str) -> bytes:
    """A name may be as long as a token, and what is remembered may not."""
    return sha256(key_id.encode("utf-8", "surrogatepass")).digest()
