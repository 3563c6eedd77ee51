"""The server of one process, and how it stops without anybody's loss.

Told to stop (SIGTERM, or SIGINT once), it says at `/health/ready` that it is about to, and serves everything
for DRAIN_SECONDS more, newcomers too; each answer ends its connection, so that balancers and clients leave.
Then the listener closes, and what is in flight has SHUTDOWN_SECONDS to be answered. What is not by then is a
503 problem. The exit status is 0. Told a second time, it stops at once.

uvicorn's own server closes its listener first, ends connections that have just been made and requests whose
head is arriving, and raises the signal again when all is done.
"""

import asyncio
import logging
import os
import select
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import cast, override

import uvicorn

from entrypoints.http.kernel.server.app import Service
from entrypoints.http.kernel.server.protocol import Connections, Protocol
from entrypoints.kernel.metrics.serving import Shown, shown

# After SHUTDOWN_SECONDS: for the answers that say so, for what the service has open to others, and for
# threads, which nothing can end but the end of the process.
ANSWER_SECONDS = 1.0
CLOSE_SECONDS = 5.0
EXIT_SECONDS = 2.0

_TICK = 0.05
_ACCEPT_MOST = 1_000  # turns of the loop

log = logging.getLogger("uvicorn.error")


def _is_no_cancellation(record: logging.LogRecord) -> bool:
    """uvicorn logs that a request was cancelled as an error of the application, which has answered it."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a process takes to stop, and how many connections it has."""

    drain_seconds: float
    shutdown_seconds: float
    connections_most: int

    @property
    def stop_seconds(self) -> float:
        """The longest that it takes to stop."""
        return self.drain_seconds + self.shutdown_seconds + ANSWER_SECONDS + CLOSE_SECONDS + EXIT_SECONDS


class Server(uvicorn.Server):
    """Serves until it is told to stop."""

    def __init__(self, config: uvicorn.Config, limits: Limits, *, has_parent: bool = False) -> None:
        """`has_parent`: another process tells it to stop; a signal to the whole group tells it the same."""
        super().__init__(config)
        self.server_state: Connections = Connections(limits.connections_most)
        self._limits = limits
        self._has_parent = has_parent
        self._orders: socket.socket | None = None
        self._asked: socket.socket | None = None
        self._metrics: Shown | None = None
        self._told = 0
        self._ticks = 0

    def run_for(
        self, orders: socket.socket, listener: socket.socket, asked: socket.socket | None = None
    ) -> None:
        """Serves on a listener that others have, too. Each byte of `orders` is what a signal is otherwise.

        The end of `orders` is the parent's. In the other direction goes a byte a second, as a sign of life.
        Over `asked` the parent asks for the metrics.
        """
        self.config.configure_logging()
        self._hear_signals()
        orders.setblocking(False)
        self._orders = orders
        self._asked = asked
        self.run([listener])

    # --- what it is told --------------------------------------------------------------------------

    @override
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        self._hear_signals()
        yield  # they are heard until the process ends, so that a late one changes nothing about how it does

    def _hear_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.handle_exit)

    @override
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # A terminal and systemd send a signal to parent and child alike, and the parent tells the child, too.
        again = (
            sig in self._captured_signals and sig == signal.SIGINT if self._has_parent else self.should_exit
        )
        self._captured_signals.append(sig)
        self._stop(at_once=again)

    def _stop(self, *, at_once: bool) -> None:
        self.should_exit = True
        self.force_exit = self.force_exit or at_once

    def _take_order(self, orders: socket.socket) -> None:
        told = b""
        with suppress(OSError):
            told = orders.recv(16)
        if not told:
            asyncio.get_running_loop().remove_reader(orders)
        self._told += len(told)
        self._stop(at_once=self._told > 1)

    # --- while it serves --------------------------------------------------------------------------

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        log.addFilter(_is_no_cancellation)
        if self._orders is not None:
            asyncio.get_running_loop().add_reader(self._orders, self._take_order, self._orders)
        await super().startup(sockets)
        app = self.config.loaded_app
        if isinstance(app, Service):
            metrics, turning = app.metrics(connections=lambda: len(self.server_state.connections))
            self._metrics = shown(metrics, turning, app.state.settings, asked=self._asked)

    @override
    async def on_tick(self, counter: int) -> bool:
        if self._orders is not None and counter % 10 == 0:
            with suppress(OSError):  # a parent that does not read has its reasons, one that is gone ends this
                self._orders.send(b".")
        return await super().on_tick(counter)

    @override
    async def main_loop(self) -> None:
        await super().main_loop()
        self._drain()
        log.info("Draining for %g seconds", self._limits.drain_seconds)
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._limits.drain_seconds
        while loop.time() < ends and not self.force_exit:
            await self._pause()

    async def _pause(self) -> None:
        await asyncio.sleep(_TICK)
        self._ticks += 1
        await self.on_tick(self._ticks)  # keeps `Date` right, and the parent informed

    def _drain(self) -> None:
        app = self.config.loaded_app
        if isinstance(app, Service):
            app.drain()
        self.server_state.closing = True
        for connection in self._connections():
            connection.end_with_answer()

    # --- how it stops -----------------------------------------------------------------------------

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._drain()  # again, where it was told before it began to serve
        await self._accept_the_last()
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()
        log.info("Shutting down")
        if not await self._finish(self._limits.shutdown_seconds):
            log.error(
                "%d requests are not finished. They are answered 503, or cut where the answer has begun.",
                len(self.server_state.tasks),
            )
            await self._give_up()
        # Nothing may keep the process: not a thread, and not a task that refuses to be cancelled.
        last_resort = threading.Timer(CLOSE_SECONDS + EXIT_SECONDS, os._exit, [0])
        last_resort.daemon = True
        last_resort.start()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.lifespan.shutdown()
        if self._metrics is not None:
            self._metrics.close()

    async def _accept_the_last(self) -> None:
        """Takes the connections that wait: the system resets those that a listener still has at its end."""
        waiting = select.poll()
        for server in self.servers:
            for listener in server.sockets:
                waiting.register(listener.fileno(), select.POLLIN)
        for _ in range(_ACCEPT_MOST):
            if not waiting.poll(0):
                return
            await asyncio.sleep(0)

    async def _finish(self, seconds: float) -> bool:
        """Whether everything is answered within this time."""
        loop, state = asyncio.get_running_loop(), self.server_state
        ends = loop.time() + seconds
        while True:
            for connection in self._connections():
                connection.shutdown()
            await asyncio.sleep(0)  # connections that are closed go in the next turn of the loop
            if not (state.connections or state.tasks):
                return True
            if self.force_exit or loop.time() >= ends:
                return False
            await self._pause()

    async def _give_up(self) -> None:
        """Answers what is not finished. Most of it by being cancelled, and the rest in its place."""
        for task in list(self.server_state.tasks):
            task.cancel("The service is stopping.")
        for connection in self._connections():
            if connection.awaits_head:
                connection.give_up()
        if await self._are_gone(ANSWER_SECONDS / 2):
            return
        for connection in self._connections():
            connection.give_up()
        await self._are_gone(ANSWER_SECONDS / 2)

    async def _are_gone(self, seconds: float) -> bool:
        loop, state = asyncio.get_running_loop(), self.server_state
        ends = loop.time() + seconds
        while state.connections and loop.time() < ends:  # noqa: ASYNC110 (uvicorn's set, which sets no event)
            await asyncio.sleep(_TICK)
        return not state.connections

    def _connections(self) -> list[Protocol]:
        return [cast("Protocol", connection) for connection in self.server_state.connections]
