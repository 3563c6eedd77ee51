"""How many requests a client may send, whatever they ask for; docs/decisions/0042 has the reasons."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from domain.kernel.errors import Limited


@dataclass(frozen=True, slots=True)
class Policy:
    """At most `quota` requests under one key in any `window_seconds`; `name` is what clients read."""

    name: str
    quota: int
    window_seconds: int


class Charge(NamedTuple):
    """One request under one key, as a policy counts it."""

    key: str
    policy: Policy


class Standing(NamedTuple):
    """How it stands with one key: `left` requests, and more `seconds` later (0 where nothing is counted)."""

    left: int
    seconds: float


class Verdict(NamedTuple):
    """Whether a request was counted, and how its keys stand after it, in the order of its charges."""

    allowed: bool
    standings: Sequence[Standing]


class QuotaExceeded(Limited):
    """The quota of requests is used up."""

    def __init__(self, policies: Sequence[Policy], *, retry_after: int) -> None:
        """`policies` are those that are used up; `retry_after` counts seconds."""
        used_up = " and ".join(f"{each.quota} in {each.window_seconds} seconds" for each in policies)
        super().__init__(
            f"The quota of requests ({used_up}) is used up; send it again in {retry_after} seconds.",
            retry_after=retry_after,
        )
        self.policies = [each.name for each in policies]


class RateLimits(Protocol):
    """Counts requests. Its numbers are for metrics, and only grow."""

    allowed: int
    """Requests that were counted."""

    refused: int
    """Requests that were refused since a quota was used up."""

    fell_back: int
    """Requests that were counted by this process alone, as the place that all share did not answer."""

    async def charge(self, charges: Sequence[Charge], /) -> Verdict:
        """One more under each key, or under none where the quota of one is used up.

        Raises Unavailable where that cannot be known and a policy refuses then.
        """

    async def give_back(self, charges: Sequence[Charge], /) -> None:
        """One less under each key: the request did not count after all."""

    async def check(self) -> bool:
        """Whether what counts them can be asked; raises Unavailable with the reason."""

    async def close(self) -> None:
        """Ends what is open to others."""
