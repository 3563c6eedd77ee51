"""What the OpenAPI document says that FastAPI cannot know: problems, `Location`, `Link`."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, get_origin

from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from application.paging import Page
from entrypoints.http.problems import MEDIA_TYPE, Problem, kinds

# Who may call a route stands in its dependencies or else here: nobody can leave it open by forgetting.
PUBLIC: dict[str, Any] = {"security": []}

_SCHEMA = {"$ref": "#/components/schemas/Problem"}
_URI = {"type": "string", "format": "uri-reference"}
_SECONDS = {"type": "integer", "minimum": 0}


def refusals(route: APIRoute) -> dict[int | str, dict[str, Any]]:
    """The responses by which a route may refuse, as far as its shape tells."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": _SCHEMA}},
            **({"headers": {"Retry-After": {"schema": _SECONDS}}} if status == 503 else {}),
        }
        for status in sorted(_statuses(route))
    }


def _statuses(route: APIRoute) -> Iterator[int]:
    public = route.openapi_extra == PUBLIC
    if route.body_field is not None:
        yield from (400, 413, 415, 422)
    if is_page(route.response_model):
        yield 400
    if route.dependant.path_params or route.dependant.query_params:
        yield 422
    if not public:
        yield from (401, 404)
    if route.methods != {"GET"}:
        yield from (401, 409) if public else (403, 409)
    yield from (503, 504)


def successes(route: APIRoute, *, location: str | None) -> dict[int | str, dict[str, Any]]:
    """The headers that a route's own answer carries."""
    if location is not None:
        header = {"schema": _URI, "example": location, "description": "Where it is from now on."}
        return {201: {"headers": {"Location": header}}}
    if is_page(route.response_model):
        link = {"schema": {"type": "string"}, "description": "The next page, where there is one (RFC 8288)."}
        return {200: {"headers": {"Link": link}}}
    return {}


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
