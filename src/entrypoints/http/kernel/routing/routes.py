"""Routes that read and write JSON fast, and say by themselves what can go wrong.

FastAPI matches, documents and calls them. What it does for each request in between, half of what a request
costs, is replaced by a `Reader` before the endpoint and msgspec after it (docs/decisions/0011). An endpoint
that needs all of FastAPI, such as forms or streams, belongs to an ordinary `fastapi.APIRouter`.
"""

import re
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from email.utils import format_datetime
from http import HTTPStatus
from inspect import getdoc
from typing import Any, TypedDict, Unpack, get_args, get_origin, get_type_hints, override
from urllib.parse import quote, unquote

import msgspec
from fastapi import Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from application.kernel.idempotency import once
from application.kernel.paging import Page
from application.kernel.ports.callers import Reauthenticated
from application.kernel.run import Runner
from domain.kernel.aggregate import Aggregate
from domain.kernel.errors import Forbidden, NotFound
from entrypoints.http.kernel.document.documentation import (
    PUBLIC,
    Shape,
    disposition,
    parameters,
    refusals,
    successes,
)
from entrypoints.http.kernel.routing.answers import Answer, Header, NoContent, NotModified, Redirect
from entrypoints.http.kernel.routing.conditions import Condition, entity_tag, has_version, is_known
from entrypoints.http.kernel.routing.dependencies import provided, user_id_of
from entrypoints.http.kernel.routing.idempotency import idempotency_key, keyed_request, read, written
from entrypoints.http.kernel.routing.limits import DEFAULT, RouteLimit, limits_of
from entrypoints.http.kernel.routing.paths import hides
from entrypoints.http.kernel.routing.reading import Reader
from entrypoints.kernel.configuration.limits import NONE
from entrypoints.kernel.service import V1

type Endpoint = Callable[..., Awaitable[object]]

# PostgreSQL keeps the members of a JSON object in an order of its own; an answer, and so its entity tag, must
# not depend on whether it was read from there.
_encode = msgspec.json.Encoder(order="deterministic").encode

# A parameter that is a segment, and any text.
_WHOLE = re.compile(r"{\w+}")

# What an endpoint returns that shows nothing, and the status; the last two where it sets headers of its own.
_WITHOUT_BODY: Mapping[object, int] = {type(None): 204, NoContent: 204, Redirect: 302}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deprecation:
    """An operation that goes: deprecated `since` a day, gone by `sunset`, explained at `link`.

    RFC 9745, RFC 8594.
    """

    since: date
    sunset: date
    link: str

    def headers(self) -> list[Header]:
        began, ends = (datetime.combine(day, time(), UTC) for day in (self.since, self.sunset))
        return [
            (b"deprecation", b"@%d" % began.timestamp()),
            (b"sunset", format_datetime(ends, usegmt=True).encode()),
            (b"link", f'<{self.link}>; rel="deprecation"; type="text/html"'.encode()),
        ]


class Options(TypedDict, total=False):
    """What a route can say beside its path and its endpoint's signature."""

    use_case: Endpoint
    """What it runs, and whose docstring describes the operation; otherwise the endpoint's own does."""

    response_model: type
    """What of the returned object is shown. Needed where that is an entity, and not a view already."""

    location: str
    """The path of what it creates: `/books/{id}`, with the answer's `id`. The status is then 201."""

    missing: type[NotFound]
    """What is not found where there is nothing at this path. Needed where the type of the path's last
    parameter does not say it, as in `class XNotFound(NotFound, of=XId)`."""

    changes: type[Aggregate]
    """What is at this path, for a request that says by `If-Match` which version of it may be changed."""

    must_match: bool
    """A request without `If-Match` is refused."""

    example: Mapping[str, object]
    """What of the answer's example is as the operation leaves it, such as `{"status": "done"}`."""

    file_name: str
    """The answer is a file to keep, which a browser stores under this name, in ASCII (RFC 6266)."""

    unkeyed: str
    """Why a POST takes no `Idempotency-Key`."""

    deprecated: Deprecation
    """It goes, and every answer says so."""

    public: bool
    """Anybody may call it, without a token."""

    limit: str
    """The class of requests that it counts as: one of RATE_LIMITS, or `none`. Otherwise `default`."""

    refuses: Collection[type[Exception]]
    """Further errors by which it may refuse, beside those that its shape tells."""


class Router:
    """The routes of one resource; `app.py` takes them from here.

    `prefix` is that of an API's version. It is no `APIRouter`, because FastAPI looks for a request twice
    among routers that are nested.
    """

    def __init__(self, *, tag: str, prefix: str = V1, include_in_schema: bool = True) -> None:
        self.routes: list[Route] = []
        self.prefix = prefix
        self.tag = tag
        self._include_in_schema = include_in_schema

    def get[E: Endpoint](self, path: str, **options: Unpack[Options]) -> Callable[[E], E]:
        return self._adder("GET", path, options)

    def post[E: Endpoint](self, path: str, **options: Unpack[Options]) -> Callable[[E], E]:
        return self._adder("POST", path, options)

    def patch[E: Endpoint](self, path: str, **options: Unpack[Options]) -> Callable[[E], E]:
        return self._adder("PATCH", path, options)

    def delete[E: Endpoint](self, path: str, **options: Unpack[Options]) -> Callable[[E], E]:
        return self._adder("DELETE", path, options)

    def _adder[E: Endpoint](self, method: str, path: str, options: Options) -> Callable[[E], E]:
        def add(endpoint: E) -> E:
            route = Route(
                method,
                path,
                endpoint,
                options,
                prefix=self.prefix,
                tag=self.tag,
                include_in_schema=self._include_in_schema,
            )
            self.routes.append(route)
            return endpoint

        return add


class Route(APIRoute):
    """One method of one path."""

    def __init__(
        self,
        method: str,
        path: str,
        endpoint: Endpoint,
        options: Options,
        *,
        prefix: str,
        tag: str,
        include_in_schema: bool = True,
    ) -> None:
        self._declared = method, path, options
        self.use_case = options.get("use_case")
        self.returned = get_type_hints(endpoint, include_extras=True)["return"]
        public = options.get("public", False)
        self.runner = None if public else _runner_of(endpoint)
        self.changes = options.get("changes")
        self.unkeyed = options.get("unkeyed", "")
        self.limit = options.get("limit", DEFAULT)
        nothing = self.returned in _WITHOUT_BODY
        status = _WITHOUT_BODY.get(self.returned) or (201 if "location" in options else 200)
        model = None if nothing else options.get("response_model", self.returned)
        deprecation = options.get("deprecated")
        self.shape = Shape(
            location=prefix + options["location"] if "location" in options else None,
            missing=options.get("missing"),
            tagged=has_version(model),
            runs=self.runner is not None,
            changes=self.changes is not None,
            must_match=options.get("must_match", False),
            limited=self.limit != NONE,
            keyed=method == "POST" and self.runner is not None and not self.unkeyed,
            deprecated=deprecation is not None,
            file_name=options.get("file_name"),
            reauthenticated=_reauthenticates(endpoint),
        )
        super().__init__(
            prefix + path,
            endpoint,
            methods=[method],
            status_code=status,
            response_class=Redirect if self.returned is Redirect else JSONResponse,
            response_description=HTTPStatus(status).phrase,
            response_model=model,
            description=getdoc(self.use_case or endpoint),
            deprecated=deprecation is not None or None,
            generate_unique_id_function=lambda route: route.name,
            tags=[tag],
            include_in_schema=include_in_schema,
        )
        # What is public, and the headers that it reads, which FastAPI cannot see.
        self.openapi_extra = {
            **(PUBLIC if public else {}),
            "parameters": parameters(self.shape, reads=method == "GET"),
            **({"x-example": options["example"]} if "example" in options else {}),
        }
        self.responses = {
            **successes(self, self.shape),
            **refusals(self, self.shape, further=options.get("refuses", ())),
        }
        self.app = _answering(self.get_route_handler())
        if deprecation is not None:
            self.app = _announcing(self.app, deprecation.headers())

    @property
    def name_in_version(self) -> tuple[str, str]:
        """The method, and the path without the version: what a later version may have another of."""
        method, path, _ = self._declared
        return method, re.sub(r"{\w+", "{", path)

    def under(self, prefix: str) -> "Route":
        """The same in another version."""
        method, path, options = self._declared
        return Route(
            method,
            path,
            self.endpoint,
            options,
            prefix=prefix,
            tag=str(self.tags[0]),
            include_in_schema=self.include_in_schema,
        )

    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        (method,) = self.methods or {""}
        limit = RouteLimit(self.limit, method=method, path=self.path) if self.shape.limited else None
        handle = self._handler(Reader(self.dependant, limit))
        if limit is None or not limit.of_workspace:
            return handle

        async def handle_in_workspace(request: Request) -> Response:
            try:
                return await handle(request)
            except (Forbidden, NotFound):
                await limits_of(request).give_back(request)
                raise

        return handle_in_workspace

    def _handler(self, read_arguments: Reader) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        endpoint: Endpoint = self.endpoint
        write = _writer(self)
        if self.runner is None:

            async def handle(request: Request) -> Response:
                return write(await endpoint(**await read_arguments(request)), request)

            return handle
        runner, keyed, path = self.runner, self.shape.keyed, self.path
        condition = Condition(self.changes, self.param_convertors, required=self.shape.must_match)

        async def handle_change(request: Request) -> Response:
            arguments = await read_arguments(request)
            headers, user_id = request.scope["headers"], user_id_of(request)
            expected = condition.of(headers, arguments, user_id=user_id)
            run: Runner[Any] = arguments[runner]
            if expected is not None:
                arguments[runner] = run = run.expecting(expected)
            key = idempotency_key(headers) if keyed else None
            if key is None:
                return write(await endpoint(**arguments), request)
            asked = await keyed_request(request, key, route=path, user_id=user_id)
            seal = provided(request).answer_seal

            async def answer() -> Response:
                async with once(run, asked, seal=seal) as first:
                    if first.answer is not None:
                        return read(first.answer)
                    response = write(await endpoint(**{**arguments, runner: first.run}), request)
                    await first.keep(written(response))
                return response

            return await run.repeating(answer, name=endpoint.__name__)

        return handle_change


class Index:
    """Finds the route of a request among the few with its method, its number of segments and its second one.

    Starlette asks one route after the other, within eight layers for what routes of FastAPI may need and ours
    do by themselves. What is not found here, such as a path that does not exist, one with a parameter right
    after the version, or a route that is FastAPI's own, is left to those.

    Where `/books/new` is there, it is not `/books/{id}`: a method that only the latter has is a 405.
    """

    def __init__(self, otherwise: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        self._otherwise = otherwise
        self._routes: dict[tuple[str, int, str], list[_Place]] = {}
        ours = [route for route in routes if isinstance(route, Route)]
        for route in ours:
            place = _Place(route, [other for other in ours if hides(other.path, route.path)])
            for method in route.methods or ():
                self._routes.setdefault((method, *_key(route.path.split("/"))), []).append(place)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            segments = scope["path"].split("/")
            for place in self._routes.get((scope["method"], *_key(segments)), ()):
                parameters = place.parameters(segments, scope)
                if parameters is not None:
                    if place.hiding and _has_another_method(place.hiding, scope):
                        await _METHOD_NOT_ALLOWED(scope, receive, send)
                        return
                    route = place.route
                    scope["path_params"] = parameters
                    scope["endpoint"], scope["route"] = route.endpoint, route
                    app = _BODY_TOO_LARGE if _is_too_large(scope) else route.app
                    await app(scope, receive, send)
                    return
        await self._otherwise(scope, receive, send)


class _Place:
    """A route, and where in its path the names and the parameters stand.

    To compare segments takes a fifth of the time of Starlette's regular expression and what is around it. A
    path with a parameter that is less or more than a segment, or has a converter, is left to Starlette.
    """

    __slots__ = ("_named", "_parameters", "hiding", "route")

    def __init__(self, route: Route, hiding: Sequence[Route]) -> None:
        self.route = route
        self.hiding = hiding
        segments = list(enumerate(route.path.split("/")))
        self._named = [(at, segment) for at, segment in segments if "{" not in segment]
        whole = [(at, segment[1:-1]) for at, segment in segments if _WHOLE.fullmatch(segment)]
        self._parameters = whole if len(whole) + len(self._named) == len(segments) else None

    def parameters(self, segments: Sequence[str], scope: Scope) -> dict[str, Any] | None:
        """Those of the path, by their names; `None` where it is not the route's."""
        for at, name in self._named:
            if segments[at] != name:
                return None
        if self._parameters is None:
            match, found = self.route.matches(scope)
            return found["path_params"] if match is Match.FULL else None
        parameters = {}
        for at, name in self._parameters:
            if not segments[at]:
                return None
            parameters[name] = segments[at]
        return parameters


def _answering(handle: Callable[[Request], Awaitable[Response]]) -> ASGIApp:
    """What a route does with a request: it answers, errors too, and reads no larger body than is allowed."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, _Bounded(receive, scope["app"].max_body_size).receive, send)
        try:
            response = await handle(request)
        except Exception as error:
            known = scope["app"].exception_handlers
            handler = next((known[kind] for kind in type(error).__mro__ if kind in known), None)
            if handler is None:
                raise
            response = await handler(request, error)
        await response(scope, receive, send)

    return answer


class _Bounded:
    """A body of which no more is received than `most` bytes; then it raises HTTPException with 413."""

    __slots__ = ("_left", "_receive")

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive = receive
        self._left = most

    async def receive(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise HTTPException(413)
        return message


async def _refuse_method(_: Request) -> Response:
    raise HTTPException(405)


async def _refuse_body(_: Request) -> Response:
    raise HTTPException(413)


_METHOD_NOT_ALLOWED, _BODY_TOO_LARGE = _answering(_refuse_method), _answering(_refuse_body)


def _is_too_large(scope: Scope) -> bool:
    """Whether the body is, by the length that it is said to have."""
    most: int = scope["app"].max_body_size
    return any(name == b"content-length" and int(value) > most for name, value in scope["headers"])


def _has_another_method(routes: Iterable[Route], scope: Scope) -> bool:
    """Whether the path is one of these routes', and the method is none of theirs."""
    found = [route.matches(scope)[0] for route in routes]
    return Match.PARTIAL in found and Match.FULL not in found


def _key(segments: Sequence[str]) -> tuple[int, str]:
    """What tells most routes apart: of `/v1/books/{id}`, three segments and `books`."""
    return len(segments) - 1, segments[2] if len(segments) > 2 else ""


def _runner_of(endpoint: Endpoint) -> str | None:
    """The name of the argument through which it runs a use case."""
    hints = get_type_hints(endpoint).items()
    return next((name for name, hint in hints if get_origin(hint) is Runner), None)


def _reauthenticates(endpoint: Endpoint) -> bool:
    """Whether it asks for a caller who has, or may have, proved anew who they are."""
    return any(Reauthenticated in {hint, *get_args(hint)} for hint in get_type_hints(endpoint).values())


def _writer(route: Route) -> Callable[[object, Request], Response]:
    """What makes the answer out of what the endpoint returned; everything that can be is decided here."""
    if route.response_model is None:
        return lambda returned, _: returned if isinstance(returned, Response) else NoContent()
    status, model = route.status_code or 200, route.response_model
    is_model = route.returned == model
    location = route.shape.location.replace("{", "{0.") if route.shape.location else None
    tagged, is_read = route.shape.tagged, route.methods == {"GET"}
    kept = disposition(route.shape.file_name) if route.shape.file_name else None

    def write(returned: object, request: Request) -> Response:
        shown: Any = returned if is_model else msgspec.convert(returned, model, from_attributes=True)
        body = _encode(shown)
        headers: list[Header] = []
        if location is not None:
            headers.append((b"location", location.format(shown).encode()))
        if kept is not None:
            headers.append((b"content-disposition", kept.encode("ascii")))
        if tagged:
            tag = entity_tag(shown.version, body)
            headers.append((b"etag", tag))
            if is_read and is_known(request.scope["headers"], tag):
                return NotModified(headers)
        if isinstance(shown, Page) and shown.next is not None:
            headers.append((b"link", _link_to_next(request.scope, shown.next)))
        return Answer(status, body, headers=headers)

    return write


def _announcing(app: ASGIApp, headers: Iterable[Header]) -> ASGIApp:
    """The same with further headers on each of its answers, problems too."""

    async def announce(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        await app(scope, receive, send_more)

    return announce


def _link_to_next(scope: Scope, cursor: str) -> bytes:
    asked = quote(scope["query_string"], safe="%&=+,:;@!$'()*/?")  # it comes encoded; this is for the rest
    kept = [part for part in asked.split("&") if part and unquote(part.partition("=")[0]) != "cursor"]
    return f'<{quote(scope["path"])}?{"&".join([*kept, f"cursor={cursor}"])}>; rel="next"'.encode()
