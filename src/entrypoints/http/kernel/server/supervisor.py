"""Several processes that serve on one listener, and the one that looks after them.

uvicorn's supervisor keeps the listener open while its processes have closed theirs: a client that connects
then hangs, and is reset when it ends. It also looks for signals only between two looks at its processes,
kills one that is busy for five seconds, and waits without end for those that stop.
"""

import multiprocessing
import signal
import socket
from contextlib import suppress
from multiprocessing.connection import wait
from time import monotonic
from types import FrameType

import structlog
import uvicorn
from uvicorn.config import STARTUP_FAILURE

from entrypoints.http.kernel.server.stopping import Limits, Server
from entrypoints.kernel.metrics.processes import Member, Together

log = structlog.get_logger("supervisor")

# A process that serves gives a sign of life each second. One that has missed so many is replaced; a request
# that keeps the processor for seconds is no reason.
SIGNS_MISSED_MOST = 30

# A process that has not stopped so long after it should have is killed.
_KILL_SECONDS = 5.0

_SPAWN = multiprocessing.get_context("spawn")


class _Worker:
    """A process that serves, as its parent sees it."""

    def __init__(self, server: Server, listener: socket.socket, metrics: Member | None) -> None:
        self.orders, theirs = socket.socketpair()
        self.metrics = metrics
        self.orders.setblocking(False)
        self.missed = 0
        self.has_served = False
        asked = None if metrics is None else metrics.theirs
        self.process = _SPAWN.Process(target=server.run_for, args=(theirs, listener, asked))
        self.process.start()
        theirs.close()
        if asked is not None:
            asked.close()

    def hear(self) -> None:
        """Takes the signs of life that have come since the last time, about a second ago."""
        with suppress(OSError):
            if self.orders.recv(4096):
                self.has_served = True
                self.missed = -1
        self.missed += 1

    def tell(self) -> None:
        with suppress(OSError):
            self.orders.send(b"!")


class Supervisor:
    """Keeps so many processes serving until it is told to stop; then they stop as one would by itself."""

    def __init__(self, config: uvicorn.Config, limits: Limits, metrics: Together | None = None) -> None:
        """`metrics` are those of its processes, where they are shown."""
        self._config = config
        self._limits = limits
        self._metrics = metrics
        self._told = 0
        self._failed = False
        self._wake, self._waker = socket.socketpair()
        for end in (self._wake, self._waker):
            end.setblocking(False)

    def run(self) -> int:
        """The exit status of this process."""
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._hear_signal)
        listener = self._config.bind_socket()
        workers = [self._start(listener) for _ in range(self._config.workers)]
        looked = monotonic()
        while not self._told and not self._failed:
            self._pause(_alive(workers), 1.0)
            if monotonic() - looked >= 1.0:
                looked = monotonic()
                workers = [self._looked_after(worker, listener) for worker in workers]
        # From now on only those that accept have it, so that it closes when the last of them has stopped.
        listener.close()
        self._stop(workers)
        return STARTUP_FAILURE if self._failed else 0

    def _hear_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._told += 1

    def _start(self, listener: socket.socket) -> _Worker:
        member = None if self._metrics is None else self._metrics.joined()
        worker = _Worker(Server(self._config, self._limits, has_parent=True), listener, member)
        log.info("worker started", process=worker.process.pid)
        return worker

    def _looked_after(self, worker: _Worker, listener: socket.socket) -> _Worker:
        """The worker, or the one in its place."""
        worker.hear()
        if worker.has_served and worker.missed > SIGNS_MISSED_MOST:
            log.error("worker gives no sign of life", process=worker.process.pid, seconds=worker.missed)
            worker.process.kill()
            worker.process.join()
        if worker.process.is_alive() or self._told:
            return worker
        log.error("worker ended by itself", process=worker.process.pid, status=worker.process.exitcode)
        if worker.process.exitcode == STARTUP_FAILURE:
            self._failed = True  # the next one would fail in the same way
            return worker
        worker.orders.close()
        if self._metrics is not None and worker.metrics is not None:
            self._metrics.left(worker.metrics)
        return self._start(listener)

    def _stop(self, workers: list[_Worker]) -> None:
        passed_on, ends = 0, monotonic() + self._limits.stop_seconds + _KILL_SECONDS
        while alive := _alive(workers):
            while passed_on < min(2, max(1, self._told)):
                passed_on += 1
                for worker in workers:
                    worker.tell()
            self._pause(alive, ends - monotonic())
            if monotonic() >= ends:
                for worker in workers:
                    worker.process.kill()
        for worker in workers:
            worker.process.join()

    def _pause(self, workers: list[_Worker], seconds: float) -> None:
        """Until one of these ends, a signal comes, or so much time has passed.

        One that has ended since the caller looked ends the pause, too: looking again here would leave nothing
        to wait for but the time.
        """
        wait([self._wake, *(worker.process.sentinel for worker in workers)], max(0.0, seconds))
        with suppress(OSError):
            self._wake.recv(4096)


def _alive(workers: list[_Worker]) -> list[_Worker]:
    return [worker for worker in workers if worker.process.is_alive()]
