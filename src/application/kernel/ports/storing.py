"""Collections of aggregates, and the answers to requests with an idempotency key."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.kernel.aggregate import Aggregate


class Repository[A: Aggregate, Id](Protocol):
    """A collection of aggregates that outlives the process. What it stores, it stores with its events.

    A conflict is raised at once, or only when the transaction ends; it is not
    for a use case to catch.
    """

    async def get(self, id: Id, /) -> A:
        """The aggregate; raises its NotFound."""

    async def add(self, aggregate: A, /) -> A:
        """Stores a new one and returns it without its events; raises its Conflicts."""

    async def save(self, aggregate: A, /) -> A:
        """Stores the next version of one that was read; raises Stale, or its Conflicts."""

    async def remove(self, aggregate: A, /) -> None:
        """Deletes one that was read; raises Stale."""


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What was answered under an idempotency key: to which request, by its fingerprint, and what, sealed."""

    fingerprint: bytes
    answer: str


class KeptAnswers(Protocol):
    """The answers to requests that came with an idempotency key, each until it expires."""

    async def claim(self, key: bytes, /) -> KeptAnswer | None:
        """What is kept under the key, which no other transaction can claim before this one ends.

        Raises IdempotencyKeyInUse, without waiting, where another transaction has claimed it.
        """

    async def keep(self, key: bytes, kept: KeptAnswer, /) -> None:
        """Keeps it under a key that was claimed; raises Contention where another was first after all."""


class Expiry(Protocol):
    """Deletes what has expired, at most so many rows at a time; each method returns how many there were.

    Any number of processes may delete side by side. None waits for another, and they share what there is.
    """

    async def delete_kept_answers(self, most: int, /) -> int:
        """The answers under idempotency keys whose time is over."""

    async def delete_one_time_tokens(self, most: int, /) -> int:
        """Those that have expired."""

    async def delete_sessions(self, most: int, /) -> int:
        """Those that ended or expired 30 days ago: until then they help to investigate a misuse."""

    async def delete_audit(self, most: int, /) -> int:
        """What is in the audit log for longer than it is kept."""


type Clock = Callable[[], datetime]
"""The present instant, aware UTC."""
