"""What is counted of each request, at its end: two look-ups and a few additions.

The series of a route and a method is made when they first meet. The code knows all that there can be, so no
path, method or client that a stranger makes up makes another.
"""

from collections.abc import Mapping
from typing import Any, Final

from application.kernel.ports.figures import OTHER, Durations

BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
"""In seconds. A read takes a few milliseconds; alerts look at one second."""

UNMATCHED: Final = "unmatched"
"""The route of what has none: an unknown path, a request that was refused unread."""

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
MOST_SERIES: Final = 5_000
MOST_CLASSES: Final = 50

FAILED: Final = 500

type Limits = dict[str, list[int]]
"""By the class of a rate limit: how many requests were let through, and how many refused."""


class Series:
    """One method of one route. `statuses` counts by the first digit of the status."""

    __slots__ = ("durations", "statuses")

    def __init__(self) -> None:
        self.statuses = [0] * 6
        self.durations = Durations(BOUNDS)


class Requests:
    """Of this process. What is under way is `in_flight`."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.series: dict[tuple[str, str], Series] = {}
        self.limits: Limits = {}

    def ended(
        self, scope: Mapping[str, Any], route: str | None, method: str, *, status: int, seconds: float
    ) -> None:
        """`status` is 0 where there was no answer. What else counts of the request is in its scope."""
        self.in_flight -= 1
        path = route or UNMATCHED
        series = self.series.get((path, method)) or self._made(path, method)
        series.statuses[(status or FAILED) // 100] += 1
        series.durations.observe(seconds, scope.get("trace_id", ""))
        limit = scope.get("limit_class")
        if limit is not None:
            counts = self.limits.get(limit) or self._class(limit)
            counts[scope.get("limit_refused", False)] += 1

    def _made(self, path: str, method: str) -> Series:
        if method not in METHODS:
            method = OTHER
        if (path, method) not in self.series and len(self.series) >= MOST_SERIES:
            path, method = UNMATCHED, OTHER
        return self.series.setdefault((path, method), Series())

    def _class(self, name: str) -> list[int]:
        return self.limits.setdefault(name if len(self.limits) < MOST_CLASSES else OTHER, [0, 0])
