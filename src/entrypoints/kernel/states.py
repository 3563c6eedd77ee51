"""What holds or does not, told in the log when that changes, and not at each look."""

from collections.abc import Callable
from time import monotonic

from structlog.typing import FilteringBoundLogger

AGAIN_SECONDS = 60.0


class States:
    """What is wrong is a warning when it begins, and again after AGAIN_SECONDS; its end is told as well."""

    def __init__(self, log: FilteringBoundLogger, *, monotonic: Callable[[], float] = monotonic) -> None:
        self._log = log
        self._monotonic = monotonic
        self._told: dict[str, tuple[str, float]] = {}

    def wrong(self, name: str, event: str, **details: object) -> None:
        """`name` is what it is about; while it lasts, another `event` is a change, too."""
        now = self._monotonic()
        before = self._told.get(name)
        if before is None or before[0] != event or now - before[1] >= AGAIN_SECONDS:
            self._told[name] = (event, now)
            self._log.warning(event, **details)

    def right(self, name: str, event: str, **details: object) -> None:
        """Tells the event if something was wrong until now."""
        if self._told.pop(name, None) is not None:
            self._log.info(event, **details)
