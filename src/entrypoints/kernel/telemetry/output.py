"""Where log lines go: whoever reads them can stop reading, and may not stop the service by that.

A pipe holds 64 KiB. When its reader is stalled (a collector that hangs, a full disk behind it), the next
write waits without a limit, and with it the event loop, its transactions and their locks
(docs/decisions/0049).
"""

import atexit
import os
import select
import stat
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import BinaryIO, Final, cast

import structlog

MOST_BYTES: Final = 4_000_000
"""What is kept for a reader that is late: some 10,000 lines."""

_AT_ONCE: Final = select.PIPE_BUF  # what can be written to takes so many bytes without waiting
_LAST_SECONDS: Final = 1.0

_outputs: "list[Output]" = []  # one for each time that the logs of the process were set up

log = structlog.get_logger("log")


def output_on(stream: BinaryIO) -> BinaryIO:
    """Writes to the stream without waiting for its reader; a file or a terminal is written to directly."""
    try:
        descriptor = stream.fileno()
    except OSError:  # in memory
        return stream
    write = _without_waiting(descriptor)
    if write is None:
        return stream
    _outputs.append(output := Output(descriptor, write))
    return cast("BinaryIO", output)


def lines_lost() -> int:
    """Lines that this process has lost, as nobody read them in time."""
    return sum(each.lost for each in _outputs)


class Output:
    """Takes lines and never waits; as much of a file as `structlog` needs.

    What the reader does not take is kept, and written when it does. Of what is too much the newest is lost;
    how many lines that were is logged as soon as lines are read again.
    """

    def __init__(
        self, descriptor: int, write: Callable[[bytes], int], *, most_bytes: int = MOST_BYTES
    ) -> None:
        """`write` says how many of the bytes it has written, or raises BlockingIOError at once."""
        self._descriptor = descriptor
        self._write = write
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._kept: deque[bytes] = deque()
        self._kept_bytes = 0
        self.lost = 0
        """Lines, since the process began."""
        self._told = 0
        self._late: threading.Thread | None = None

    def write(self, line: bytes, /) -> None:
        with self._lock:
            if self._late is None:
                rest = self._written(line)
                if not rest:
                    return
                self._kept.append(rest)
                self._kept_bytes = len(rest)
                self._late = threading.Thread(target=self._catch_up, name="log", daemon=True)
                self._late.start()
            elif self._kept_bytes + len(line) > self._most_bytes:
                self.lost += 1
            else:
                self._kept.append(line)
                self._kept_bytes += len(line)

    def flush(self) -> None:
        """Nothing is held back that could be written."""

    def finish(self) -> None:
        """What was kept gets a moment at the end of the process."""
        late = self._late
        if late is not None:
            late.join(_LAST_SECONDS)

    def _written(self, data: bytes) -> bytes:
        """Writes what can be written at once; gives the rest."""
        try:
            return data[self._write(data) :]
        except BlockingIOError:
            return data
        except OSError:  # there is no reader any more: a request does not fail for it
            self.lost += 1
            return b""

    def _catch_up(self) -> None:
        """On a thread of its own, from the first line that had to be kept until none is."""
        atexit.register(self.finish)
        ready = select.poll()
        ready.register(self._descriptor, select.POLLOUT)
        while (lost := self._take_up()) is None:
            ready.poll()
        atexit.unregister(self.finish)
        if lost:
            log.warning("log lines were lost", count=lost, reason="Standard output was not read.")

    def _take_up(self) -> int | None:
        """Writes what was kept; says how many lines were lost when that is all, else None."""
        with self._lock:
            while self._kept:
                line = self._kept.popleft()
                rest = self._written(line)
                self._kept_bytes -= len(line) - len(rest)
                if rest:
                    self._kept.appendleft(rest)
                    return None
            self._late = None
            lost, self._told = self.lost - self._told, self.lost
            return lost


def _without_waiting(descriptor: int) -> Callable[[bytes], int] | None:
    """How a pipe or a socket is written to at once; None for others. Whoever shares it is not affected."""
    mode = os.fstat(descriptor).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return None
    try:
        # Opened once more, since O_NONBLOCK counts for all who share what has been opened.
        return partial(os.write, os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK))
    except OSError:  # a socket, or a pipe of another user, or no Linux
        return partial(_write_if_ready, descriptor)


def _write_if_ready(descriptor: int, data: bytes) -> int:
    """Waits only where another process has taken the last place in the same instant."""
    ready = select.poll()
    ready.register(descriptor, select.POLLOUT)
    if not ready.poll(0):
        raise BlockingIOError
    return os.write(descriptor, data[:_AT_ONCE])
