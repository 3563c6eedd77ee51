"""What leaves the database runs in lanes: which reactions there are, and when a lane pauses."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import structlog

from application.kernel.ports.events import Delivery, Lane, Leased, Outcome, Outgoing, Outside
from domain.kernel.aggregate import Event

log = structlog.get_logger("worker")

LONGEST_LANE_PAUSE_SECONDS = 30.0


type Counted = Counter[tuple[str, str]]
"""How often a reaction, by its name, ended in what way: an `Outcome` in small letters, or "waits"."""


@dataclass(frozen=True, slots=True)
class OutsideReaction:
    """A reaction that leaves the database: the name that it is written down by, its lane, what it does."""

    name: str
    lane: Lane
    react: Outside[Any, Event]


type Reactions = Mapping[str, Outside[Any, Event]]
"""The reactions of a lane by their names."""


def by_lane(reactions: Iterable[OutsideReaction]) -> Mapping[Lane, Reactions]:
    """The reactions of each lane. Raises TypeError where two reactions, or two lanes, have one name."""
    lanes: dict[Lane, dict[str, Outside[Any, Event]]] = {}
    known: dict[str, OutsideReaction] = {}
    for each in reactions:
        other = known.setdefault(each.name, each)
        if (other.react, other.lane) != (each.react, each.lane):
            raise TypeError(f"Two reactions are called {each.name}: they are written down by name.")
        lanes.setdefault(each.lane, {})[each.name] = each.react
    if len({lane.name for lane in lanes}) != len(lanes):
        raise TypeError("Two lanes have one name.")
    return lanes


def unknown(leased: Leased) -> Outside[Any, Event]:
    """What is done where no reaction has the name: it fails, and is parked in the end for all to see."""

    async def react(_: Any, __: Delivery[Event], /) -> Outgoing[Any] | None:  # noqa: ANN401
        raise LookupError(f"This version of the service has no outside reaction {leased.reaction!r}.")

    return react


@dataclass(slots=True)
class Circuit:
    """Whether the other side of a lane answers. While it does not, one delivery at a time tries, after a
    pause that grows to half a minute, so that what waits leaves soon after its return.

    An answer is one whatever it says: that one recipient is refused does not stop the others.
    """

    clock: Callable[[], float] = monotonic
    silences: int = 0
    opened_at: float = 0.0
    pause: float = 0.0
    answered_at: float = field(default=float("-inf"))

    @property
    def open(self) -> bool:
        return self.silences > 0

    @property
    def seconds_left(self) -> float:
        """How long to wait before the next try."""
        return max(0.0, self.opened_at + self.pause - self.clock())

    def answered_since(self, began: float) -> bool:
        return self.answered_at >= began

    def tell(self, outcome: Outcome, *, began: float) -> None:
        """How a delivery that began then has ended."""
        match outcome:
            case Outcome.DELIVERED | Outcome.REFUSED:
                if self.open:
                    log.info("lane works again", silences=self.silences)
                self.silences, self.answered_at = 0, self.clock()
            # Those that were on their way together have met one silence.
            case Outcome.SILENT if not self.answered_since(began) and began >= self.opened_at:
                self.silences += 1
                longest = min(2.0 ** (self.silences - 1), LONGEST_LANE_PAUSE_SECONDS)
                self.pause = longest * random.uniform(0.5, 1)  # noqa: S311 (no secret)
                self.opened_at = self.clock()
                log.warning("lane paused", silences=self.silences, next_try_seconds=round(self.pause, 1))
            case _:
                pass


@dataclass(slots=True)
class Progress:
    """When something was delivered last, or nothing was due."""

    clock: Callable[[], float] = monotonic
    at: float = field(init=False)

    def __post_init__(self) -> None:
        self.at = self.clock()

    def made(self) -> None:
        self.at = self.clock()

    @property
    def seconds(self) -> float:
        return self.clock() - self.at


def names_by_event(table: Mapping[type[Event], Sequence[object]]) -> Mapping[str, Sequence[str]]:
    """The names of the outside reactions by the name of their event's type."""
    found = {
        event.__name__: [each.name for each in reactions if isinstance(each, OutsideReaction)]
        for event, reactions in table.items()
    }
    return {event: names for event, names in found.items() if names}
