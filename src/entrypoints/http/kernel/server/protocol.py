"""What the server itself refuses, as problems too: what is no HTTP, is too large, or never arrives.

uvicorn answers what its parser refuses with a line of text, bounds neither a head nor what stands between the
chunks of a body, waits without end for the rest of a request, and takes any number of `Host`. Behind a proxy
most of that is the proxy's to refuse; nothing here relies on one.
"""

import asyncio
import re
import select
from asyncio import AbstractEventLoop, TimerHandle
from itertools import islice
from typing import Any, cast, override

from starlette.types import Scope
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import (
    HEADER_VALUE_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from entrypoints.http.kernel.routing.answers import Header
from entrypoints.http.kernel.routing.problems import (
    HeadersTooLarge,
    MalformedRequest,
    RequestError,
    RequestTimedOut,
    ShuttingDown,
    TooManyConnections,
    UriTooLong,
)
from entrypoints.http.kernel.server.edge import ARRIVED, LEFT, LINES, ON_LEAVING, REFUSED

# Bytes of the request line and the headers; nginx and most clouds stop at 8 or 16 KiB for each part.
HEAD_MOST = 32 * 1024

# A body comes in so many pieces at most, and one more for each 64 bytes: a piece costs as much as a kilobyte.
PIECES_MOST = 1_000
_PIECE = 64

# From the first byte of a request to its last; 1 MiB in this time is what a bad mobile connection has.
REQUEST_SECONDS = 30.0

# Requests behind the one that is being answered for which a connection is still read. While it is not, it is
# not noticed that its client has left.
PIPELINED_MOST = 32

# A client that has just connected has so long to begin a request before its connection counts as idle.
YOUNG_SECONDS = 1.0

# An answer to a request that has not arrived as a whole is given so long to arrive before the connection
# ends: closing it with something unread makes the kernel reset it, and the client may lose the answer.
LINGER_SECONDS = 2.0

HEALTH = b"/health/"

_LOOKED_AT = 16  # idle connections, for one that can give way

_WHOLE_ADDRESS = re.compile(rb"https?://([^/?#]*)", re.IGNORECASE)

_LINE_END = len(": \r\n")

_TAKES_LINES: dict[str, dict[object, object]] = {LINES: {}}  # shared by all scopes, as it never changes
_PLAIN = frozenset({b"connection", b"transfer-encoding"})  # what uvicorn writes by itself
_WITHOUT_LENGTH = frozenset({204, 304})

_WITHOUT_HEAD: Scope = {"type": "http", "method": "", "path": "", "query_string": b""}


class Cycle(RequestResponseCycle):
    """One request and its answer: uvicorn's, which writes a usual answer faster.

    uvicorn searches each name and each value for what may not be there, 10 µs for the headers that all
    answers share. Those come as `LINES`, written before; the others are searched once, together. The head
    waits for the first part of a body whose length is known, and is written with it, as ASGI permits.
    """

    _head = b""

    @override
    async def send(self, message: Any) -> None:
        lines: bytes | None = message.get(LINES)
        if lines is not None:
            if not self.response_started and self._begin(message, lines):
                return
            message = {**message, "headers": [*message["headers"], *_headers(lines)]}
        elif self._head:
            head, self._head = self._head, b""
            body: bytes = message["body"]
            whole = not message.get("more_body", False) and len(body) == self.expected_content_length
            if self.disconnected or not whole or self.flow.write_paused:
                if not self.disconnected:
                    self.transport.write(head)
            else:
                self.transport.write(head + body)
                self.response_complete = True
                self.message_event.set()
                if not self.keep_alive:
                    self.transport.close()
                self.on_response()
                return
        await super().send(message)

    def _begin(self, message: Any, lines: bytes) -> bool:  # noqa: ANN401 (one of ASGI's)
        """Keeps the head for the body. False where it is not a usual one, which is left to uvicorn."""
        length, status, headers = -1, message["status"], message["headers"]
        parts = [STATUS_LINE[status]]
        for name, value in self.default_headers:  # uvicorn's `Date`
            parts += (name, b": ", value, b"\r\n")
        for name, value in headers:
            if name in _PLAIN:
                return False
            if name == b"content-length":
                length = int(value)
            parts += (name, b": ", value, b"\r\n")
        unusual = length < 0 and status not in _WITHOUT_LENGTH
        if unusual or self.disconnected or self.flow.write_paused or self.scope["method"] == "HEAD":
            return False
        if HEADER_VALUE_RE.search(b"".join([part for header in headers for part in header])):
            return False  # uvicorn says what is wrong
        if not self.keep_alive:
            parts.append(b"connection: close\r\n")
        self.response_started = True
        self.waiting_for_100_continue = False
        self.expected_content_length = max(length, 0)
        self.chunked_encoding = None if length < 0 else False
        self._head = b"".join([*parts, lines, b"\r\n"])
        return True


def _headers(lines: bytes) -> list[Header]:
    """The headers that were written as lines."""
    parted = [line.partition(b": ") for line in lines.split(b"\r\n")[:-1]]
    return [(name, value) for name, _, value in parted]


class Connections(ServerState):
    """What the connections of a process have in common."""

    def __init__(self, most: int) -> None:
        """`most` are served at the same time; the next takes the place of one that is idle."""
        super().__init__()
        self.most = most
        self.closing = False  # each answer ends its connection
        self.idle: dict[Protocol, None] = {}  # the one that has been idle longest is first

    @property
    def too_many(self) -> bool:
        return len(self.connections) > self.most

    def make_room(self) -> bool:
        """Ends the connection that has been idle longest. False where there is none."""
        return any(connection.give_way() for connection in islice(list(self.idle), _LOOKED_AT))


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
    _surplus = False  # there are more connections than may be
    _last: RequestResponseCycle | None = None  # whose answer is to end the connection, as the service stops
    _lingering: TimerHandle | None = None

    def __init__(
        self,
        config: Config,
        server_state: Connections,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._all = server_state
        self._since = self.loop.time()

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn's own
        super().connection_made(transport)
        # A balancer may connect before it has a request; to it, this is an idle connection like any other.
        patience = max(REQUEST_SECONDS, self.timeout_keep_alive)
        self._deadline = self.loop.call_later(patience, self._wait_no_longer)
        if self._all.too_many and not self._all.make_room():
            self._surplus = True
            if len(self.connections) > 2 * self._all.most:
                transport.abort()  # these are refused without being heard
                return
        self._all.idle[self] = None

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._all.idle.pop(self, None)
        if self._lingering is not None:
            self._lingering.cancel()
        self._stop_waiting()
        if self._unread is not None:
            self._unread.cancel()
        self._tell_who_left()
        super().connection_lost(exc)

    @override
    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        cycle.__class__ = Cycle  # uvicorn makes it of its own class, wherever it does
        cycle.scope["extensions"] = _TAKES_LINES
        super()._start_asgi_task(cycle, app)

    def _tell_who_left(self) -> None:
        """The requests whose client has left: the one that runs, and those behind it, which never begin."""
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
        if self.timeout_keep_alive_task is not None and not self.cycle.more_body:
            self._all.idle[self] = None

    def _await_reader(self, left: int | None = None) -> None:
        """A client that takes nothing of an answer for so long does not get the rest."""
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
        if self._refused or self._lingering is not None:
            return
        self._all.idle.pop(self, None)
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
                self._all.idle[self] = None

    @override
    def on_headers_complete(self) -> None:
        upgrade = self.parser.should_upgrade()
        if wrong := self._wrong_with_head(upgrade=upgrade):
            self._wrong = wrong
        if self._wrong:
            raise self._wrong
        earlier: RequestResponseCycle | None = self.cycle
        super().on_headers_complete()
        self.scope[ARRIVED] = self.loop.time()  # type: ignore[literal-required] # our own
        if 0 < len(self.pipeline) < PIPELINED_MOST:
            self.flow.resume_reading()
        if self._all.closing:
            if earlier is not None and earlier is self._last and not earlier.response_started:
                earlier.keep_alive = True  # the client has sent another request behind it
            self.end_with_answer()
        if upgrade:
            self.cycle.keep_alive = False
        self._held = 0
        self._pieces = 0.0
        # What comes from now on are trailers: they must not become headers behind the application's back.
        self.headers = []

    def _wrong_with_head(self, *, upgrade: bool) -> RequestError | None:
        headers = self.headers
        names = [name for name, _ in headers]
        hosts = names.count(b"host")
        if hosts and (target := _WHOLE_ADDRESS.match(self.url)):
            # It says for whom the request is, and `Host` does not (RFC 9112 §3.2.2).
            headers[:] = [(name, target[1] if name == b"host" else value) for name, value in headers]
        # A client that asks whether the service is well comes on a connection of its own, and is answered.
        if self._surplus and not self.url.startswith(HEALTH):
            self._surplus = self._all.too_many and not self._all.make_room()
            if self._surplus:
                return TooManyConnections()
        if upgrade and not {b"content-length", b"transfer-encoding"}.isdisjoint(names):
            # The parser takes the body for the other protocol, and what comes of it later for a request.
            return MalformedRequest("It must not have a body and ask for another protocol.")
        if hosts != 1 and (hosts or self.parser.get_http_version() != "1.0"):
            return MalformedRequest("It must have one Host (RFC 9112 §3.2).")
        # Counted anew: some of it can have come with the end of the request before.
        size = sum(len(name) + len(value) + _LINE_END for name, value in headers)
        return self._too_large() if size + len(self.url) > HEAD_MOST else None

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
        """A client that asks for another protocol is answered in this one; there is nothing to install."""

    def _too_large(self) -> RequestError:
        """What is too large of a head, which need not have arrived as a whole."""
        return UriTooLong() if len(self.url) > HEAD_MOST / 2 else HeadersTooLarge()

    # --- what ends a connection -----------------------------------------------------------------

    @property
    def _begun(self) -> bool:
        """Whether a part of a head has arrived, or something that has not been read."""
        scope: Any = self.scope
        cycle: RequestResponseCycle | None = self.cycle
        if scope is not None and (cycle is None or cycle.scope is not scope):
            return True
        number = self.transport.get_extra_info("socket").fileno()
        if number < 0:
            return False
        unread = select.poll()
        unread.register(number, select.POLLIN)
        return bool(unread.poll(0))

    @property
    def _young(self) -> bool:
        scope: Any = self.scope
        return scope is None and self.loop.time() - self._since < YOUNG_SECONDS

    @property
    def awaits_head(self) -> bool:
        """Whether no request is under way whose head has arrived."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def give_way(self) -> bool:
        """Ends the connection, if it is idle, in favour of another one."""
        if self.transport.is_closing() or self._young or self._begun:
            return False
        self._all.idle.pop(self, None)
        self.connections.discard(self)
        self.transport.close()
        return True

    def end_with_answer(self) -> None:
        """The next answer says `Connection: close`; of several requests that have arrived, the last one's."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and cycle.keep_alive and not cycle.response_started:
            cycle.keep_alive = False
            cycle.transport = cast("asyncio.Transport", _Lingering(self))
            self._last = cycle

    @override
    def shutdown(self) -> None:
        """Ends the connection as soon as there is nothing to answer on it. May be called again and again."""
        if self.transport.is_closing() or self._lingering is not None:
            return
        if not self.awaits_head:
            self.end_with_answer()
        elif not self._young and not self._begun:
            self.transport.close()

    def give_up(self) -> None:
        """Answers that the service is stopping, where nothing else has been answered."""
        cycle = self.cycle
        if self.transport.is_closing() or self._lingering is not None or self._refused:
            return
        if self.awaits_head:
            if self._begun:
                self._refuse(ShuttingDown())
            else:
                self.transport.close()
        elif cycle.response_started or self.pipeline:
            self.transport.close()
        else:
            # What was to answer does not come to an end by itself. It learns that the client is gone.
            cycle.disconnected = True
            cycle.message_event.set()
            self._refuse(ShuttingDown(), scope=cycle.scope)

    def linger(self) -> None:
        """Ends the connection when the client does, or after a while; what still arrives is dropped."""
        if self.transport.is_closing() or self._lingering is not None:
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self._lingering = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _wait_no_longer(self) -> None:
        if self._timed is None:
            self.transport.close()  # it never said a word
        else:
            self._refuse(RequestTimedOut())

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._timed = None

    def _refuse(self, error: RequestError, *, scope: Any = None) -> None:  # noqa: ANN401 (uvicorn's HTTPScope)
        """Answers in the place of the request that is under way, and ends the connection.

        `scope` is the request's, where it has arrived as a whole.
        """
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._stop_waiting()
        earlier: RequestResponseCycle | None = self.cycle
        arrived = scope is not None
        in_turn = arrived or earlier is None or earlier.response_complete
        if arrived:
            pass
        elif earlier is not None and earlier.more_body and earlier.scope is self.scope:
            scope = self.scope
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
            transport=cast("asyncio.Transport", _Lingering(self)),
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
        self.cycle.more_body = not arrived
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


class _Lingering:
    """The transport of an answer that ends its connection before the request need have arrived as a whole."""

    def __init__(self, connection: Protocol) -> None:
        self._connection = connection
        self.write = connection.transport.write
        self.is_closing = connection.transport.is_closing

    def close(self) -> None:
        connection = self._connection
        if connection.cycle.more_body:
            connection.linger()
        else:
            connection.transport.close()
