"""How the database and the workers are, for those who decide whether this process may be sent requests."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Vitals:
    """What one look at the database tells beside that it can be written to."""

    overdue: timedelta | None
    """For how long the event has been due that is due for the longest; `None` where none is."""

    parked: bool
    """Whether an event is parked for an operator."""

    beaten: timedelta | None
    """How long ago the last heartbeat of any worker was; `None` where there is none."""


class Observer(Protocol):
    """Looks at the database over a connection of its own, which no request waits for."""

    last: Vitals | None
    """What the last look found; `None` where it failed."""

    async def look(self) -> Vitals:
        """Raises WorldError, also where the database answers but cannot be written to."""


class Heartbeats(Protocol):
    """By what a worker shows that it is at work. Each method raises WorldError."""

    last: Vitals | None
    """What the last beat found; `None` where it failed."""

    async def beat(self, worker: UUID, host: str, /) -> Vitals:
        """Shows that the worker is there, and forgets those that have stopped without a word."""

    async def end(self, worker: UUID, /) -> None:
        """Shows that the worker has stopped as it should."""

    async def age(self, host: str, /) -> timedelta | None:
        """How long ago a worker of that host was last there; `None` where none was."""
