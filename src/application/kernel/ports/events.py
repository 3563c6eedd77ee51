"""Events between their commit and their delivery."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.aggregate import Event


@dataclass(frozen=True, slots=True)
class Delivery[E: Event]:
    """An event on its way to those who react. `id` stays the same when it is delivered again."""

    id: UUID
    event: E


type Reaction[U: KernelUnitOfWork, E: Event] = Callable[[U, Delivery[E]], Awaitable[None]]
"""What one event causes. Runs in the transaction that marks the event as delivered; may run again."""


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """An event that waits, as an operator sees it. `attempts` counts the failures so far."""

    id: UUID
    type: str
    aggregate_id: UUID
    recorded_at: datetime
    attempts: int
    available_at: datetime
    parked_at: datetime | None
    last_error: str | None


class Outbox[U: KernelUnitOfWork](Protocol):
    """The events that were committed and not yet delivered, in order for each aggregate.

    An event whose delivery keeps failing is parked; it and what follows it in its aggregate wait
    for an operator, so that the order holds.
    """

    async def deliver_next(self, react: Reaction[U, Event], /) -> bool:
        """Delivers one event that is due, at least once; False where none is due."""

    async def wait(self, seconds: float, /) -> None:
        """Returns when something may be due: an event was committed, or the seconds are over."""

    async def entries(self, *, parked_only: bool, limit: int) -> Collection[OutboxEntry]:
        """What waits, the oldest first."""

    async def replay(self, id: UUID | None, /) -> int:
        """Makes one parked event, or with `None` all of them, due again; how many there were."""
