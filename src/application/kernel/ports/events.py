"""Events between their commit and their delivery."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from types import MappingProxyType
from typing import Any, Protocol
from uuid import UUID

from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.aggregate import Event


@dataclass(frozen=True, slots=True)
class Delivery[E: Event]:
    """An event on its way to those who react. `id` stays the same when it is delivered again.

    `traceparent` names the trace of what has caused it.
    """

    id: UUID
    event: E
    traceparent: str | None = None


type Reaction[U: KernelUnitOfWork, E: Event] = Callable[[U, Delivery[E]], Awaitable[None]]
"""What one event causes. Runs in the transaction that marks the event as delivered; may run again."""


async def nothing(_: Any, __: bool, /) -> None:  # noqa: ANN401 (every unit of work will do), FBT001
    """Stores nothing."""


@dataclass(frozen=True, slots=True)
class Outgoing[U]:
    """What is to leave the database, and what is stored once it has left.

    `send` runs outside of any transaction, and says whether it was done; it raises Unavailable or TimedOut
    where the other side cannot be reached, and NotNow where it answers and refuses for now: then it is tried
    again later. `stored` runs in the transaction that ends the delivery, with what `send` said. Where the
    process dies in between, all of it is done again.
    """

    send: Callable[[], Awaitable[bool]]
    stored: Callable[[U, bool], Awaitable[None]] = nothing
    then: str = ""
    """The name of another outside reaction to the event, which is not to begin before this one is done."""


type Outside[U: KernelUnitOfWork, E: Event] = Callable[[U, Delivery[E]], Awaitable[Outgoing[U] | None]]
"""A reaction that leaves the database: it reads what it needs, and says what is to leave.

Where nothing is to leave, what it has written is committed with the end of the delivery; otherwise it writes
nothing, and leaves that to `Outgoing.stored`.
"""


def named(reaction: Callable[..., Any]) -> str:
    """What an outside reaction is called where it is written down, unless another name is given.

    It stays when the reaction moves to another module. Raises TypeError for one without a name of its own.
    """
    name: str = getattr(reaction, "__qualname__", "<")
    if "<" in name:
        raise TypeError("A reaction that leaves the database needs a name that stays: when(..., name=...).")
    return name


@dataclass(frozen=True, slots=True)
class Lane:
    """Outside reactions that share a number of places, and a party that they wait for.

    In a lane the order holds for each aggregate and reaction. What follows a parked delivery waits too, or
    goes on with `passes_parked`, for reactions that look at the present state when they run.
    """

    name: str
    passes_parked: bool = False


@dataclass(frozen=True, slots=True)
class Leased:
    """A delivery that one worker has for a while; `lease` tells it from a later attempt at the same."""

    position: int
    lease: UUID
    event_id: UUID
    type: str
    aggregate_id: UUID
    payload: str
    reaction: str
    attempts: int
    refusals: int
    traceparent: str | None = None


class Outcome(Enum):
    """How the delivery of one thing to the outside has ended."""

    DELIVERED = auto()
    NOTHING = auto()
    """There was nothing to leave."""
    REFUSED = auto()
    """The other side answered, and does not take this one for now."""
    SILENT = auto()
    """The other side cannot be reached, or does not answer."""
    FAILED = auto()
    """A defect."""


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """An event that waits, or one outside reaction to it, as an operator sees it.

    `attempts` counts the failures so far, `refusals` how often the other side was silent or did not want it.
    """

    id: UUID
    type: str
    aggregate_id: UUID
    recorded_at: datetime
    attempts: int
    available_at: datetime
    parked_at: datetime | None
    last_error: str | None
    reaction: str | None = None
    refusals: int = 0


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much waits: what is parked, what is due, and for how many seconds the oldest of that has been."""

    parked: int
    due: int
    oldest_due_seconds: float


NONE_OUTSIDE: Mapping[str, Sequence[str]] = MappingProxyType({})


class Outbox[U: KernelUnitOfWork](Protocol):
    """The events that were committed and not yet delivered, in order for each aggregate.

    An event whose delivery keeps failing is parked; it and what follows it in its aggregate wait
    for an operator, so that the order holds. What leaves the database is delivered apart from that, each
    reaction by itself.
    """

    async def deliver_next(
        self, react: Reaction[U, Event], outside: Mapping[str, Sequence[str]] = NONE_OUTSIDE, /
    ) -> bool:
        """Delivers one event that is due, at least once; False where none is due.

        `outside` has the names of the outside reactions by the type of their event: they are written down in
        the same transaction, to be leased.
        """

    async def wait(self, seconds: float, /, *, ear: str = "") -> None:
        """Returns when something may be due: an event was committed, or the seconds are over.

        Each of those that wait at the same time has an `ear` of its own, so that each of them hears it.
        """

    async def backlog(self) -> Backlog:
        """How much waits."""

    async def backlog_by_reaction(self) -> Mapping[str, Backlog]:
        """The same for each outside reaction of which anything waits, and under "" for the events."""

    async def entries(self, *, parked_only: bool, limit: int) -> Collection[OutboxEntry]:
        """What waits, the oldest first."""

    async def replay(self, id: UUID | None, /, *, reaction: str | None = None) -> int:
        """Makes one parked event, or with `None` all of them, due again; how many there were.

        What is parked of an event for the outside too, or with `reaction` that alone.
        """


class Lanes[U: KernelUnitOfWork](Protocol):
    """What is to leave the database, each reaction by itself, in order for each aggregate and reaction."""

    async def lease(
        self, reactions: Collection[str], /, *, passes_parked: bool = False, others: bool = False
    ) -> Leased | None:
        """One delivery to the outside that is due, for no other worker for a while; None where none is due.

        It is of one of these reactions, or with `others` of none of them.
        """

    async def deliver(
        self, leased: Leased, react: Outside[U, Event], /, *, others_served: Callable[[], bool]
    ) -> Outcome:
        """Makes the delivery, at least once. Raises WorldError where the database is away.

        `others_served` says whether the lane has delivered anything since this one began: then silence is
        about this one alone, and the pauses after it are longer.
        """
