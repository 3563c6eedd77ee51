"""What the server itself refuses, as problems too: what is no HTTP, is too large, or never arrives.

uvicorn answers what its parser refuses with a line of text, bounds neither a head nor what stands between the
chunks of a body, waits without end for the rest of a request, and takes any number of `Host`. Behind a proxy
most of that is the proxy's to refuse; nothing here relies on one.
"""

import asyncio
import re
from asyncio import TimerHandle
from typing import Any, override

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from entrypoints.http.kernel.routing.answers import Header
from entrypoints.http.kernel.routing.problems import (
    HeadersTooLarge,
    MalformedRequest,
    RequestError,
    RequestTimedOut,
    UriTooLong,
)
from entrypoints.http.kernel.server.edge import ARRIVED, LEFT, ON_LEAVING, REFUSED

# Bytes of the request line and the headers; nginx and most clouds stop at 8 or 16 KiB for each part.
HEAD_MOST = 32 * 1024

# A body comes in so many pieces at most, and one more for each 64 bytes: a piece costs as much as a kilobyte.
PIECES_MOST = 1_000
_PIECE = 64

# From the first byte of a request to its last; 1 MiB in this time is what a bad mobile connection has.
REQUEST_SECONDS = 30.0

# Requests behind the one that is being answered for which a connection is still read. While it is not, nobody
# learns that its client has left.
PIPELINED_MOST = 32

_WHOLE_ADDRESS = re.compile(rb"https?://([^/?#]*)", re.IGNORECASE)

_LINE_END = len(": \r\n")

_WITHOUT_HEAD: Scope = {"type": "http", "method": "", "path": "", "query_string": b""}


class Protocol(HttpToolsProtocol):
    """One connection. Costs a request about 2 µs."""

    url = b""  # before the first request
    _held = 0  # bytes since the last that were part of a body, or that ended a head
    _pieces = 0.0  # of a body, in excess of what its size explains
    _deadline: TimerHandle | None = None
    _timed: object = None  # the request that the deadline is for
    _wrong: RequestError | None = None
    _refused = False
    _unread: TimerHandle | None = None
    _running: RequestResponseCycle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn's own
        super().connection_made(transport)
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self._wait_no_longer)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        if self._unread is not None:
            self._unread.cancel()
        self._tell_who_left()
        super().connection_lost(exc)

    @override
    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _tell_who_left(self) -> None:
        """The requests that nobody waits for: the one that runs, and those behind it, which never begin."""
        if self._running is not None and not self._running.response_complete:
            _leave(self._running)
        while self.pipeline:
            cycle, app = self.pipeline.pop()
            _leave(cycle)
            super()._start_asgi_task(cycle, app)  # for its line in the log

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_reader()

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._await_reader()

    def _await_reader(self, left: int | None = None) -> None:
        """Whoever takes nothing of an answer for so long does not get the rest."""
        size = self.transport.get_write_buffer_size()
        if left is None and self._unread is not None:
            return
        self._unread = None
        if left is not None and size >= left:
            self.transport.abort()
        elif size:
            self._unread = self.loop.call_later(REQUEST_SECONDS, self._await_reader, size)

    @override
    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._held += len(data)
        idle = self.timeout_keep_alive_task
        super().data_received(data)
        cycle: RequestResponseCycle | None = self.cycle
        if self._held > HEAD_MOST:
            self._refuse(self._too_large())
        elif cycle is None or cycle.more_body or cycle.scope is not self.scope:
            if self._timed is not self.scope:
                self._stop_waiting()
                self._timed = self.scope
                self._deadline = self.loop.call_later(REQUEST_SECONDS, self._wait_no_longer)
        else:
            if self._deadline is not None:
                self._stop_waiting()
            if idle is not None and cycle.response_complete and self.timeout_keep_alive_task is None:
                # Empty lines between requests are no sign of life.
                self.timeout_keep_alive_task = self.loop.call_at(idle.when(), self.timeout_keep_alive_handler)

    @override
    def on_headers_complete(self) -> None:
        headers = self.headers
        # Counted anew: some of it can have come with the end of the request before.
        size = sum(len(name) + len(value) + _LINE_END for name, value in headers)
        if size + len(self.url) > HEAD_MOST:
            self._wrong = self._too_large()
        hosts = [name for name, _ in headers].count(b"host")
        if hosts != 1 and (hosts or self.parser.get_http_version() != "1.0"):
            self._wrong = MalformedRequest("It must have one Host (RFC 9112 §3.2).")
        if hosts and (target := _WHOLE_ADDRESS.match(self.url)):
            # It says for whom the request is, and `Host` does not (RFC 9112 §3.2.2).
            headers[:] = [(name, target[1] if name == b"host" else value) for name, value in headers]
        upgrade = self.parser.should_upgrade()
        if upgrade and any(name in {b"content-length", b"transfer-encoding"} for name, _ in headers):
            # The parser takes the body for the other protocol, and what comes of it later for a request.
            self._wrong = MalformedRequest("It must not have a body and ask for another protocol.")
        if self._wrong:
            raise self._wrong
        super().on_headers_complete()
        self.scope[ARRIVED] = self.loop.time()  # type: ignore[literal-required] # our own
        if 0 < len(self.pipeline) < PIPELINED_MOST:
            self.flow.resume_reading()
        if upgrade:
            self.cycle.keep_alive = False
        self._held = 0
        self._pieces = 0.0
        # What comes from now on are trailers: they must not become headers behind the application's back.
        self.headers = []

    @override
    def on_body(self, body: bytes) -> None:
        self._held = 0
        self._pieces += 1 - len(body) / _PIECE
        if self._pieces > PIECES_MOST:
            self._wrong = MalformedRequest("It must come in larger chunks.")
            raise self._wrong
        super().on_body(body)

    @override
    def send_400_response(self, msg: str) -> None:
        self._refuse(self._wrong or MalformedRequest())

    @override
    def _unsupported_upgrade_warning(self) -> None:
        """Whoever asks for another protocol is answered in this one; there is nothing to install."""

    def _too_large(self) -> RequestError:
        """What is too large of a head, which need not have arrived as a whole."""
        return UriTooLong() if len(self.url) > HEAD_MOST / 2 else HeadersTooLarge()

    def _wait_no_longer(self) -> None:
        if self._timed is None:
            self.transport.close()  # it never said a word
        else:
            self._refuse(RequestTimedOut())

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._timed = None

    def _refuse(self, error: RequestError) -> None:
        """Answers in the place of the request that is under way, and ends the connection."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._stop_waiting()
        earlier: RequestResponseCycle | None = self.cycle
        in_turn = earlier is None or earlier.response_complete
        scope: Any = self.scope
        if earlier is not None and earlier.more_body and earlier.scope is scope:
            # The application has its head, and learns that the client is gone.
            if earlier.response_started:
                self.transport.close()
                return
            earlier.disconnected = True
            earlier.message_event.set()
            in_turn = not self.pipeline
            if self.pipeline:
                self.pipeline.popleft()
        else:
            headers: list[Header] | None = self.headers  # there are none before the first request
            told = {"client": self.client, "scheme": self.scheme, "headers": headers or []}
            scope = {**_WITHOUT_HEAD, **told}
        # The application answers, so that it is like every other answer, and has its line in the log.
        scope = {**scope, REFUSED: error}
        app: Any = self.app
        self.cycle = RequestResponseCycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=False,
            on_response=self.on_response_complete,
        )
        if in_turn:
            self._start_asgi_task(self.cycle, app)
        else:
            self.pipeline.appendleft((self.cycle, app))


def _leave(cycle: RequestResponseCycle) -> None:
    """As uvicorn does for the last request of a connection alone."""
    cycle.disconnected = True
    cycle.message_event.set()
    scope: Any = cycle.scope
    scope[LEFT] = True
    if (leave := scope.get(ON_LEAVING)) is not None:
        leave()
