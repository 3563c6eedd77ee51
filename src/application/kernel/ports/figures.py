"""What an adapter counts of its own work, in plain attributes: the metrics of a process read them there.

One thread writes them, the one of the event loop, and others may read: what they see can lack the observation
that is being made at that moment.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import time

STATEMENT_BOUNDS = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5)
WAIT_BOUNDS = (0.005, 0.05, 0.25, 1.0)

MOST_NAMES = 500
"""Of the statements of one pool. There are as many as the code has; what goes beyond is called OTHER."""

OTHER = "other"

type Example = tuple[str, float, float]
"""A trace id, the seconds that it took, and when it was (Unix seconds)."""


class Durations:
    """How often something took how long. `bounds` are upper limits in seconds, the least first.

    `counts` has one number for each of them, of what took no longer and longer than the one before, and a
    last one for all else; `examples` has the last trace of each.
    """

    __slots__ = ("bounds", "counts", "examples", "seconds")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.examples: list[Example | None] = [None] * (len(bounds) + 1)
        self.seconds = 0.0

    def observe(self, seconds: float, trace_id: str = "") -> None:
        """Half a microsecond; a histogram of prometheus-client takes three (docs/decisions/0043)."""
        place = bisect_left(self.bounds, seconds)
        self.counts[place] += 1
        self.seconds += seconds
        if trace_id:
            self.examples[place] = (trace_id, seconds, time())


@dataclass(slots=True)
class PoolFigures:
    """A pool of connections: its places, how long callers waited for one, and what its statements took."""

    size: int
    taken: int = 0
    waiting: int = 0
    refused: int = 0
    """Those that waited in vain."""
    waits: Durations = field(default_factory=lambda: Durations(WAIT_BOUNDS))
    """Of those that had to wait, however that ended."""
    statements: dict[str, Durations] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    """What the world did, by SQLSTATE, else by the name of the driver's error."""

    def ran(self, statement: str, seconds: float) -> None:
        """A statement has ended, however it did."""
        durations = self.statements.get(statement)
        if durations is None:
            name = statement if len(self.statements) < MOST_NAMES else OTHER
            durations = self.statements.setdefault(name, Durations(STATEMENT_BOUNDS))
        durations.observe(seconds)
