"""Routes that read and write JSON fast, and say by themselves what can go wrong.

FastAPI matches, documents and calls them. What it does for each request in between, half of what a request
costs, is replaced by a `Reader` before the endpoint and msgspec after it (docs/decisions/0011). An endpoint
that needs all of FastAPI, such as forms or streams, belongs to an ordinary `fastapi.APIRouter`.
"""

from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping
from http import HTTPStatus
from inspect import getdoc
from typing import Any, TypedDict, Unpack, get_type_hints, override
from urllib.parse import quote

import msgspec
from fastapi import Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from application.paging import Page
from entrypoints.http.answers import Answer, Header, NoContent, Redirect
from entrypoints.http.documentation import PUBLIC, refusals, successes
from entrypoints.http.reading import Reader

type Endpoint = Callable[..., Awaitable[object]]

_encode = msgspec.json.Encoder().encode

# What an endpoint returns that shows nothing, and the status; the last two where it sets headers of its own.
_WITHOUT_BODY: Mapping[object, int] = {type(None): 204, NoContent: 204, Redirect: 302}


class Options(TypedDict, total=False):
    """What a route can say beside its path and its endpoint's signature."""

    use_case: Endpoint
    """What it runs, and whose docstring describes the operation; otherwise the endpoint's own does."""

    response_model: type
    """What of the returned object is shown. Needed where that is an entity, and not a view already."""

    location: str
    """The path of what it creates: `/v1/tasks/{id}`, with the answer's `id`. The status is then 201."""

    public: bool
    """Anybody may call it, without a token."""

    refuses: Collection[int]
    """Further statuses by which it may refuse, beside those that its shape tells."""


class Router:
    """The routes of one resource; `app.py` takes them from here.

    It is no `APIRouter`, because FastAPI looks for a request twice among routers that are nested.
    """

    def __init__(self, *, tag: str, prefix: str = "/v1", include_in_schema: bool = True) -> None:
        self.routes: list[Route] = []
        self._prefix = prefix
        self._tag = tag
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
                self._prefix + path,
                endpoint,
                options,
                tag=self._tag,
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
        tag: str,
        include_in_schema: bool = True,
    ) -> None:
        self.use_case = options.get("use_case")
        self.location = options.get("location")
        self.returned = get_type_hints(endpoint, include_extras=True)["return"]
        nothing = self.returned in _WITHOUT_BODY
        status = _WITHOUT_BODY.get(self.returned) or (201 if self.location else 200)
        super().__init__(
            path,
            endpoint,
            methods=[method],
            status_code=status,
            response_class=Redirect if self.returned is Redirect else JSONResponse,
            response_description=HTTPStatus(status).phrase,
            response_model=None if nothing else options.get("response_model", self.returned),
            description=getdoc(self.use_case or endpoint),
            openapi_extra=PUBLIC if options.get("public") else None,
            generate_unique_id_function=lambda route: route.name,
            tags=[tag],
            include_in_schema=include_in_schema,
        )
        self.responses = {
            **successes(self, location=self.location),
            **refusals(self, further=options.get("refuses", ())),
        }

    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        endpoint: Endpoint = self.endpoint
        read, write = Reader(self.dependant), _writer(self)

        async def handle(request: Request) -> Response:
            return write(await endpoint(**await read(request)), request)

        return handle


class Index:
    """Finds the route of a request among the few with its method and its number of segments.

    Starlette asks one route after the other. What is not found here, such as a path that does not exist or
    a route that is FastAPI's own, is left to it.
    """

    def __init__(self, router: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        self._router = router
        self._routes: dict[tuple[str, int], list[Route]] = {}
        for route in routes:
            if isinstance(route, Route):
                for method in route.methods or ():
                    self._routes.setdefault((method, route.path.count("/")), []).append(route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for route in self._routes.get((scope["method"], scope["path"].count("/")), ()):
                match, found = route.matches(scope)
                if match is Match.FULL:
                    scope.update(found)
                    await route.handle(scope, receive, send)
                    return
        await self._router(scope, receive, send)


def _writer(route: Route) -> Callable[[object, Request], Response]:
    """What makes the answer out of what the endpoint returned; everything that can be is decided here."""
    if route.response_model is None:
        return lambda returned, _: returned if isinstance(returned, Response) else NoContent()
    status, model = route.status_code or 200, route.response_model
    is_model = route.returned == model
    location = route.location.replace("{", "{0.") if route.location else None

    def write(returned: object, request: Request) -> Response:
        shown = returned if is_model else msgspec.convert(returned, model, from_attributes=True)
        headers: list[Header] = []
        if location is not None:
            headers.append((b"location", location.format(shown).encode()))
        if isinstance(shown, Page) and shown.next is not None:
            headers.append((b"link", _link_to_next(request.scope, shown.next)))
        return Answer(status, _encode(shown), headers=headers)

    return write


def _link_to_next(scope: Scope, cursor: str) -> bytes:
    asked = quote(scope["query_string"], safe="%&=+,:;@!$'()*/?")  # it comes encoded; this is for the rest
    kept = [part for part in asked.split("&") if part and part.partition("=")[0] != "cursor"]
    return f'<{quote(scope["path"])}?{"&".join([*kept, f"cursor={cursor}"])}>; rel="next"'.encode()
