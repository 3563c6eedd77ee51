"""Whether the event loop turns, and how late it is."""

import asyncio
from time import monotonic
from typing import Final

from application.kernel.ports.figures import Durations

BOUNDS: Final = (0.005, 0.02, 0.1, 0.5, 2.0)
PAUSE_SECONDS: Final = 0.25


class Turning:
    """Four times a second the loop is asked for a turn; how late it comes is observed in `lag`."""

    def __init__(self) -> None:
        self.lag = Durations(BOUNDS)
        self._due = monotonic() + PAUSE_SECONDS
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """On the loop that runs."""
        self._due = monotonic() + PAUSE_SECONDS
        self._timer = asyncio.get_running_loop().call_later(PAUSE_SECONDS, self._turn)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def silent_seconds(self) -> float:
        """For how long the loop has owed a turn; from any thread, also while it is blocked."""
        return 0.0 if self._timer is None else max(0.0, monotonic() - self._due)

    def _turn(self) -> None:
        self.lag.observe(max(0.0, monotonic() - self._due))
        self.start()
