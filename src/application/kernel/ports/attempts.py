"""How often something may be tried."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of the connection: the network address, and what the program calls itself."""

    address: str = ""
    agent: str = ""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` attempts under one key, from the first until `window` later.

    `of` is one word for what is limited, for those who read that it was used up.
    """

    key: str
    most: int
    window: timedelta
    of: str = ""


class Attempts(Protocol):
    """How often something was tried, forgotten when the window of its limit is over."""

    async def check(self, limits: Sequence[Limit], /) -> Collection[Limit]:
        """Those under which something is counted; raises TooManyAttempts where one is used up."""

    async def count(self, limits: Sequence[Limit], /) -> Collection[Limit]:
        """One more under each; raises TooManyAttempts where that is more than one of them allows.

        Returns those that allow no more after this one: so each is returned once while it is used up.
        """

    async def take_back(self, limits: Sequence[Limit], /) -> None:
        """One less under each: what was counted did not happen."""

    async def forget(self, limits: Sequence[Limit], /) -> None:
        """Begins anew."""
