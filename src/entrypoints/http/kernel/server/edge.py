"""The outermost layer, one for all: what every request and every answer needs.

A request gets its identifiers and its line in the log, an answer its headers, and whatever went wrong in the
layers below becomes a problem. `/health/live` is answered here, since it asks for nothing else, and so is
what the server has refused by itself: `REFUSED` in a scope says why.

Here is also where a request ends whose client waits no more, or that has taken too long
(docs/decisions/0040).
"""

import asyncio
import os
import re
from asyncio import CancelledError
from collections.abc import Iterable, Mapping, Sequence
from time import perf_counter

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars

from application.kernel.origin import Channel, Origin, come_from
from application.kernel.ports.tracing import Tracing
from entrypoints.http.kernel.routing.answers import Answer, Header
from entrypoints.http.kernel.routing.failures import failure
from entrypoints.http.kernel.routing.problems import (
    MEDIA_TYPE,
    DeadlineExceeded,
    InternalError,
    MethodNotAllowed,
    RequestError,
    ShuttingDown,
    problem,
    problem_of_status,
)
from entrypoints.http.kernel.server.cors import Cors
from entrypoints.http.kernel.server.hosts import Hosts
from entrypoints.http.kernel.server.proxies import Proxies
from entrypoints.kernel.logging import log_request
from entrypoints.kernel.metrics.requests import Requests
from entrypoints.kernel.telemetry.statements import count_statements

log = structlog.get_logger("http")

REFUSED = "refused"  # in a scope: the RequestError that is all there is to answer
ARRIVED = "arrived"  # in a scope: when its head was there, by the clock of the event loop
LEFT = "left"  # in a scope: that the client has left
ON_LEAVING = "on_leaving"  # in the scope of a request that is under way: what to call when the client leaves
LINES = "service.lines"
"""An extension of the server (ASGI, "Extensions"): under this name the start of an answer can have further
headers as the bytes that are sent, each line with its end. They are trusted to be well-formed."""
LIVE = "/health/live"
_HEALTH = "/health/"
REQUEST_SECONDS = 30.0
SLOW_SECONDS = 1.0
_NONE: Mapping[str, str] = {}
_UUID = 36  # a path can have anything in its place
CLIENT_LEFT = 499  # no client is told; the log knows the number from nginx
_READS = frozenset({"GET", "HEAD"})

# What an answer carries unless it says otherwise itself (OWASP REST Security Cheat Sheet).
_DEFAULTS: Sequence[Header] = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
_DEFAULT_NAMES = frozenset(name for name, _ in _DEFAULTS)
_DEFAULT_LINES = b"".join(b"%s: %s\r\n" % header for header in _DEFAULTS)
_UNKNOWN = "It was done as a whole or not at all: send it again with the same `Idempotency-Key`."
_OVER_TLS: Header = (b"strict-transport-security", b"max-age=31536000")

# What describes a body that is replaced.
_OF_THE_BODY = frozenset({b"content-type", b"content-length", b"content-encoding", b"etag", b"last-modified"})
_PROBLEM: Header = (b"content-type", MEDIA_TYPE.encode())

_REQUEST_ID = re.compile(rb"[\w.:+/=@-]{1,128}")
_TRACE_PARENT = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?"
)


class Edge:
    """Pure ASGI: one `BaseHTTPMiddleware` would cost each request more than all of this."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        proxies: Proxies | None = None,
        hosts: Hosts | None = None,
        origins: Sequence[str] = (),
        seconds: float = REQUEST_SECONDS,
        slow_seconds: float = SLOW_SECONDS,
        tracing: Tracing | None = None,
        requests: Requests | None = None,
    ) -> None:
        """`origins` are those whose scripts may read the answers, all of them. `requests` counts them.

        An answer that has not begun `seconds` after the head of its request had arrived is a 504. What took
        more than `slow_seconds` is logged with its statements; 0 for nothing.
        """
        self.app = app
        self._seconds = seconds
        self._tracing = tracing
        self._slow_ms = slow_seconds * 1000 or float("inf")
        self._requests = requests or Requests()
        self._proxies = proxies
        self._hosts = hosts
        self._within: ASGIApp = Cors(self._answer, origins) if origins else self._answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = perf_counter()
        if self._proxies is not None:
            self._proxies.apply(scope)
        method, known = scope["method"], scope
        if method == "HEAD":
            scope = {**scope, "method": "GET"}
        scope, within = self._addressed(scope)
        exchange = _Exchange(
            scope, send, with_body=method != "HEAD", reads=method in _READS, tracing=self._tracing
        )
        known[ON_LEAVING] = exchange.leave
        loop = asyncio.get_running_loop()
        deadline = loop.call_at(known.get(ARRIVED, loop.time()) + self._seconds, exchange.expire)
        self._requests.in_flight += 1
        try:
            await self._handle(within, scope, receive, exchange, begun=LEFT not in known)
        finally:
            deadline.cancel()
            del known[ON_LEAVING]  # which refers to the scope: no work for the garbage collector
            seconds = perf_counter() - started
            milliseconds = seconds * 1000
            route, status = _route(scope), exchange.final_status
            if exchange.span is not None:
                exchange.span.end(route=route, status=status, error=exchange.defect)
            path = route or (LIVE if scope["path"] == LIVE else None)
            self._requests.ended(scope, path, method, status=status, seconds=seconds)
            _log(scope, exchange, method=method, duration_ms=round(milliseconds, 2))
            if milliseconds >= self._slow_ms:
                _log_slow(scope, exchange, method=method, duration_ms=round(milliseconds, 2))

    async def _handle(
        self, within: ASGIApp, scope: Scope, receive: Receive, exchange: "_Exchange", *, begun: bool
    ) -> None:
        """Has the request answered, whatever goes wrong; one that is not `begun` needs none."""
        exchange.left = not begun
        try:
            if begun:
                await within(scope, receive, exchange.send)
        except ClientDisconnect:
            exchange.left = True
        except CancelledError:
            by_itself = exchange.ends_by_itself()
            if not exchange.status and not exchange.left:
                # Where it is the server that waits no longer, the connection may take no answer.
                late = DeadlineExceeded("" if exchange.reads else _UNKNOWN)
                reason = late if by_itself else ShuttingDown()
                await self._within({**scope, REFUSED: reason}, receive, exchange.send)
            if not by_itself:
                raise
        except Exception as error:
            exchange.defect = type(error).__qualname__
            log.exception("request failed", **failure(scope, error))
            if exchange.status and not exchange.complete:
                raise  # half an answer is out: the server cuts the connection, and the client knows
            if not exchange.status:
                await self._within({**scope, REFUSED: InternalError()}, receive, exchange.send)

    def _addressed(self, scope: Scope) -> tuple[Scope, ASGIApp]:
        """What answers the request: what is for another host has nothing that scripts may read."""
        if self._hosts is None or REFUSED in scope or (refused := self._hosts.refusal(scope)) is None:
            return scope, self._within
        return {**scope, REFUSED: refused}, self._answer

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused: RequestError | None = scope.get(REFUSED)
        if refused is not None:
            await problem(scope, type(refused), refused.detail)(scope, receive, send)
        elif scope["path"] == LIVE:
            await _alive(scope, receive, send)
        else:
            await self.app(scope, receive, send)


class _Exchange:
    """One request's identifiers, its answer on the way out, and its end where it ends before that."""

    __slots__ = (
        "_cancelled",
        "_headers",
        "_replaced",
        "_scope",
        "_send",
        "_takes_lines",
        "_task",
        "_with_body",
        "complete",
        "defect",
        "left",
        "reads",
        "request_id",
        "size",
        "span",
        "statements",
        "status",
    )

    def __init__(
        self, scope: Scope, send: Send, *, with_body: bool, reads: bool, tracing: Tracing | None
    ) -> None:
        request_id, trace_id, traceparent = _identifiers(scope["headers"])
        self.span = None
        if tracing is not None and not scope["path"].startswith(_HEALTH):  # polls are no work to look into
            self.span = tracing.serve(scope["method"], scope["headers"])
            trace_id, traceparent = self.span.trace_id, self.span.traceparent
        scope["trace_id"] = trace_id
        bind_contextvars(request_id=request_id, trace_id=trace_id, user_id=None)
        come_from(lambda: _origin(scope, request_id, traceparent))
        self.request_id = request_id
        self.statements = count_statements()
        self._headers = [
            (b"x-request-id", request_id.encode()),
            (b"traceresponse", traceparent.encode()),
        ]
        if scope["scheme"] == "https":
            self._headers.append(_OVER_TLS)
        self._scope = scope
        self._takes_lines = LINES in scope.get("extensions", _NONE)
        self._send = send
        self._with_body = with_body
        self.reads = reads
        self._replaced = False
        self._task = asyncio.current_task()
        self._cancelled = False
        self.defect: str | None = None
        self.left = False
        self.status = 0
        self.size = 0
        self.complete = False

    @property
    def final_status(self) -> int:
        return CLIENT_LEFT if self.left else self.status

    def leave(self) -> None:
        """The client has left. A read ends; a command goes on, as its client cannot know how far it came."""
        if not self.complete:
            self.left = True
            if self.reads:
                self._cancel()

    def expire(self) -> None:
        """The time is over: for what has not begun to be answered, whatever it is."""
        if not self.status:
            self._cancel()

    def _cancel(self) -> None:
        if not self._cancelled and self._task is not None:
            self._cancelled = self._task.cancel()

    def ends_by_itself(self) -> bool:
        """Whether it was cancelled here, and not also by the server, which is about to stop."""
        by_itself = self._cancelled and self._task is not None and not self._task.uncancel()
        self._cancelled = False
        return by_itself

    async def send(self, message: Message) -> None:
        """Takes what the layers below send, and passes on what the client gets."""
        if self._replaced:
            return
        if message["type"] == "http.response.start":
            if self._cancelled:
                raise CancelledError  # too late: by a task of its own, say, which has not heard of it yet
            self.status = message["status"]
            given = list(message.get("headers", ()))
            if self.status >= 400 and _PROBLEM not in given:
                await self._replace(given)
                return
            await self._start(given)
        else:
            await self._body(message.get("body", b""), more=message.get("more_body", False))

    async def _start(self, given: list[Header]) -> None:
        given.extend(self._scope.get("limit_headers", ()))
        names = {name for name, _ in given}
        if _DEFAULT_NAMES.isdisjoint(names):
            if self._takes_lines:
                lines = b"%s%s" % (_DEFAULT_LINES, b"".join([b"%s: %s\r\n" % own for own in self._headers]))
                start = {"type": "http.response.start", "status": self.status, "headers": given, LINES: lines}
                await self._send(start)
                return
            given.extend(_DEFAULTS)
        else:
            given.extend(header for header in _DEFAULTS if header[0] not in names)
        given.extend(self._headers)
        await self._send({"type": "http.response.start", "status": self.status, "headers": given})

    async def _body(self, body: bytes, *, more: bool) -> None:
        if not self._with_body:
            body = b""
        self.size += len(body)
        await self._send({"type": "http.response.body", "body": body, "more_body": more})
        self.complete = not more

    async def _replace(self, given: list[Header]) -> None:
        """An error without a problem, from a layer that knows nothing of them."""
        self._replaced = True
        kept = [header for header in given if header[0] not in _OF_THE_BODY]
        answer = problem_of_status(self._scope, self.status, kept)
        await self._start(answer.raw_headers)
        await self._body(bytes(answer.body), more=False)


def _log(scope: Scope, exchange: _Exchange, *, method: str, duration_ms: float) -> None:
    """The request's line. A poll of health has none: readiness tells by itself when it changes."""
    if scope["path"].startswith(_HEALTH) and (exchange.status < 400 or exchange.status == 503):
        return
    known, client = scope.get, scope.get("client")
    fields = {
        "method": method,
        "route": _route(scope),
        "status": exchange.final_status,
        "duration_ms": duration_ms,
        "bytes": exchange.size,
        "client": client[0] if client else None,
        "user_id": known("user_id"),
        "session_id": known("session_id"),
        "workspace_id": known("path_params", _NONE).get("workspace_id", "")[:_UUID] or None,
        "limit_class": known("limit_class"),
        "request_id": exchange.request_id,
        "trace_id": known("trace_id"),
    }
    if exchange.left and exchange.status:  # what a command has become whose client was not told
        fields["unsent_status"] = exchange.status
    log_request(fields, _GIVEN)


# What a client chooses: its address comes out of a parser of addresses, or from the connection.
_GIVEN = ("method", "workspace_id", "request_id")


def _log_slow(scope: Scope, exchange: _Exchange, *, method: str, duration_ms: float) -> None:
    log.warning(
        "slow request",
        method=method,
        route=_route(scope),
        status=exchange.final_status,
        duration_ms=duration_ms,
        **exchange.statements.as_fields(),
    )


def _route(scope: Scope) -> str | None:
    """The template of the route that was found; a path itself can hold anything."""
    route = scope.get("route")
    return None if route is None else route.path


def _identifiers(headers: Iterable[Header]) -> tuple[str, str, str]:
    """The id of the request, of the trace that it is part of, and what names our part in that
    (W3C Trace Context)."""
    chance = os.urandom(40).hex()
    request_id, trace_id = chance[:32], chance[32:64]
    for name, value in headers:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            request_id = value.decode()
        elif name == b"traceparent" and (parent := _TRACE_PARENT.fullmatch(value)):
            trace_id = parent[1].decode()
    return request_id, trace_id, f"00-{trace_id}-{chance[64:]}-00"


def _origin(scope: Scope, request_id: str, traceparent: str) -> Origin:
    """As what a request does is written down to have come. Read when it is: most requests change nothing."""
    client, headers = scope["client"], scope["headers"]
    agent = next((value.decode("latin-1") for name, value in headers if name == b"user-agent"), "")
    return Origin(Channel.HTTP, client[0] if client else "", agent, request_id, traceparent)


async def _alive(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["method"] == "GET":
        answer = Answer(200, b'{"status":"alive"}')
    else:
        answer = problem(scope, MethodNotAllowed, headers=[(b"allow", b"GET, HEAD")])
    await answer(scope, receive, send)
