"""Which statements a request or a delivery has run, how long they took, and which of them failed."""

from contextvars import ContextVar
from typing import Final

import structlog

log = structlog.get_logger("postgres")


class Statements:
    """Those of one request or delivery. Tasks that it makes count here as well."""

    __slots__ = ("count", "failed", "seconds", "slowest", "slowest_seconds")

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        """All of them together."""
        self.slowest: str | None = None
        self.slowest_seconds = 0.0
        self.failed: str | None = None
        """The name of the last one that raised an error."""

    def as_fields(self) -> dict[str, object]:
        """What stands in the line of a slow request."""
        return {
            "statements": self.count,
            "statements_ms": round(self.seconds * 1000, 2),
            "slowest_statement": self.slowest,
            "slowest_ms": round(self.slowest_seconds * 1000, 2),
        }


_present: Final[ContextVar[Statements | None]] = ContextVar("statements", default=None)


def count_statements() -> Statements:
    """Counts what this task and the tasks that it makes run from now on."""
    counted = Statements()
    _present.set(counted)
    return counted


def failed_statement() -> str | None:
    """The name of the statement that failed last in what is under way."""
    present = _present.get()
    return None if present is None else present.failed


class StatementLog:
    """Told of each statement when it has ended: adds it up, and logs one that took too long."""

    def __init__(self, slow_seconds: float) -> None:
        """`slow_seconds` is 0 where none is too slow."""
        self._slow_seconds = slow_seconds or float("inf")

    def __call__(self, name: str, seconds: float, error: Exception | None) -> None:
        present = _present.get()
        if present is not None:
            present.count += 1
            present.seconds += seconds
            if seconds > present.slowest_seconds:
                present.slowest, present.slowest_seconds = name, seconds
            if error is not None:
                present.failed = name
        if seconds >= self._slow_seconds:
            log.warning("slow statement", statement=name, duration_ms=round(seconds * 1000, 2))
