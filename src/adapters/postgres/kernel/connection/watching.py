"""Ends the connections whose server has fallen silent: the client's own limit on every statement.

PostgreSQL's `statement_timeout` needs a server that is there and a network that brings its answer. asyncpg's
`timeout=` costs a timer for each statement, and when it passes, asks the same silent server, over a further
connection and without a limit, to stop. Here a statement costs two operations on a dict, and one timer for
all looks at those that wait (docs/decisions/0034).
"""

import asyncio
from math import ceil
from typing import Protocol

_LOOKS = 20  # in the time that an answer may take, so that this is kept to a twentieth


class Watched(Protocol):
    """What a statement runs on."""

    def fall_silent(self) -> None:
        """Ends the connection at once, and with it whatever waits for its answer."""


class Watch:
    """Of all statements that wait for an answer, ends those that have waited for more than `seconds`.

    It counts its own looks and reads no clock: a process that was stopped for a minute has not listened, and
    finds the answers that have come meanwhile. The timer runs only while something waits.
    """

    __slots__ = ("_left", "_pause", "_timer", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._pause = seconds / _LOOKS
        self._left: dict[Watched, int] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, watched: Watched, *, seconds: float | None = None) -> None:
        """From now on an answer is waited for, for `seconds` where that is not the usual."""
        # One look more: the first can come in this very instant.
        self._left[watched] = 1 + (_LOOKS if seconds is None else ceil(seconds / self._pause))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._pause, self._look)

    def end(self, watched: Watched) -> None:
        """It has come, or its caller waits no longer."""
        self._left.pop(watched, None)

    def stop(self) -> None:
        """Looks no longer, until something begins."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        silent = []
        for watched, left in self._left.items():
            self._left[watched] = left - 1
            if left <= 1:
                silent.append(watched)
        for watched in silent:
            del self._left[watched]
            watched.fall_silent()
        self._timer = None
        if self._left:
            self._timer = asyncio.get_running_loop().call_later(self._pause, self._look)
