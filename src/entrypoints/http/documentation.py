"""What the OpenAPI document says that FastAPI cannot know: problems, `Location`, `Link`, ways to log in."""

from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, get_origin

from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from application.paging import Page
from entrypoints.http.problems import MEDIA_TYPE, Problem, kinds

# Who may call a route stands in its dependencies or else here: nobody can leave it open by forgetting.
PUBLIC: dict[str, Any] = {"security": []}

COOKIE_SCHEME = "cookie"
"""What stands in for a bearer token where the client is a browser."""

_SCHEMA = {"$ref": "#/components/schemas/Problem"}
_URI = {"type": "string", "format": "uri-reference"}
_SECONDS = {"type": "integer", "minimum": 0}


def refusals(route: APIRoute, *, further: Iterable[int] = ()) -> dict[int | str, dict[str, Any]]:
    """The responses by which a route may refuse, as far as its shape tells."""
    return {status: refusal(status) for status in sorted({*_statuses(route), *further})}


def refusal(status: int) -> dict[str, Any]:
    """A problem with this status."""
    return {
        "description": HTTPStatus(status).phrase,
        "content": {MEDIA_TYPE: {"schema": _SCHEMA}},
        **({"headers": {"Retry-After": {"schema": _SECONDS}}} if status in {429, 503} else {}),
    }


def _statuses(route: APIRoute) -> Iterator[int]:
    public = is_public(route)
    if route.body_field is not None:
        yield from (400, 413, 415, 422)
    if is_page(route.response_model):
        yield 400
    if route.dependant.path_params or route.dependant.query_params:
        yield 422
    if not public:
        yield from (401, 404)
    elif route.dependant.path_params:
        yield 404
    if route.methods != {"GET"}:
        yield from (401, 409) if public else (403, 409)
    yield from (503, 504)


def successes(route: APIRoute, *, location: str | None) -> dict[int | str, dict[str, Any]]:
    """The headers that a route's own answer carries."""
    if location is not None:
        header = {"schema": _URI, "example": location, "description": "Where it is from now on."}
        return {201: {"headers": {"Location": header}}}
    if route.status_code == 302:
        return {302: {"headers": {"Location": {"schema": _URI, "description": "Where the browser goes."}}}}
    if is_page(route.response_model):
        link = {"schema": {"type": "string"}, "description": "The next page, where there is one (RFC 8288)."}
        return {200: {"headers": {"Link": link}}}
    return {}


def is_public(route: APIRoute) -> bool:
    """Whether the route says itself whom it lets in, or that it lets everybody in."""
    return "security" in (route.openapi_extra or {})


def is_page(model: object) -> bool:
    return get_origin(model) is Page


def with_problems(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the schema of a problem, and with every kind that there is."""
    schema = TypeAdapter(Problem).json_schema(
        ref_template="#/components/schemas/{model}", mode="serialization"
    )
    schemas = document["components"]["schemas"]
    schemas.update(schema.pop("$defs"))
    schemas["Problem"] = schema | {
        "x-problems": [{"type": kind.type, "status": kind.status, "title": kind.title} for kind in kinds()]
    }
    return document


def with_log_in(document: dict[str, Any], schemes: Mapping[str, Any]) -> dict[str, Any]:
    """The document with further ways to get a token that every operation with a bearer token takes."""
    components = document["components"]
    # The page shows them in this order.
    components["securitySchemes"] = {**schemes, **components["securitySchemes"]}
    ways: list[dict[str, list[str]]] = [{name: []} for name in ("bearer", COOKIE_SCHEME, *schemes)]
    for operations in document["paths"].values():
        for operation in operations.values():
            if {"bearer": []} in operation.get("security", ()):
                operation["security"] = ways
    return document
