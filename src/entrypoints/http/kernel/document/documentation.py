"""What a route says of itself in the OpenAPI document that FastAPI cannot know: headers, and how it refuses.

What is the same for all routes stands in `document.py`.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, get_origin, get_type_hints

from fastapi.routing import APIRoute

from application.kernel.idempotency import AnswerLost, IdempotencyKeyInUse, IdempotencyKeyReused
from application.kernel.paging import InvalidCursor, Page
from application.kernel.ports.limits import QuotaExceeded
from application.kernel.ports.world import Contention, TimedOut, Unavailable
from application.kernel.preconditions import PreconditionFailed
from domain.kernel.errors import Invalid, NotFound, Stale, Unauthenticated
from domain.kernel.identity.credentials import ReauthenticationRequired
from entrypoints.http.kernel.identity.cookies import CsrfTokenMissing, CsrfTokenWrong, ForeignOrigin
from entrypoints.http.kernel.routing.conditions import TAG_PATTERN, TAGS_PATTERN
from entrypoints.http.kernel.routing.problems import (
    MEDIA_TYPE,
    ContentTooLarge,
    DeadlineExceeded,
    InternalError,
    InvalidIdempotencyKey,
    InvalidPrecondition,
    InvalidRequest,
    Kind,
    MalformedBody,
    PreconditionRequired,
    UnsupportedMediaType,
    kind_of,
)

# A route is authenticated by its dependencies or declared public here: none is left open by omission.
PUBLIC: dict[str, Any] = {"security": []}

REAUTHENTICATION_HEADER = "Reauthentication-Token"

COOKIE_SCHEME = "cookie"
"""What stands in for a bearer token where the client is a browser."""

_TEXT = {"type": "string"}
_TAG = {**_TEXT, "pattern": TAG_PATTERN}
_TAGS = {**_TEXT, "pattern": TAGS_PATTERN}
_KEY = {**_TEXT, "pattern": r'^("([ !#-\[\]-~]|\\["\\]){1,255}"|[!#-+\--:<-~]{1,255})$'}
_SCHEMA = {"$ref": "#/components/schemas/Problem"}
_URI = {"type": "string", "format": "uri-reference"}
_SECONDS = {"type": "integer", "minimum": 0}

# Not HTTP's own phrases, which Python has changed from one release to the next, and a document is stored.
_MEANINGS: Mapping[int, str] = MappingProxyType(
    {
        304: "Your copy is up to date.",
        400: "The request cannot be read.",
        401: "Authentication is required.",
        403: "You are not allowed to do this.",
        404: "The resource does not exist, or you cannot see it.",
        409: "The request conflicts with the current state of the resource.",
        412: "The resource has changed since you read it.",
        413: "The body is too large.",
        415: "The body is of the wrong media type.",
        422: "The request is not valid.",
        428: "An `If-Match` header is required.",
        429: "There were too many requests.",
        500: "The service failed.",
        503: "The service, or something it depends on, is overloaded or unavailable.",
        504: "The request, or something the service depends on, took too long.",
    }
)


_RETRY_AFTER = {
    "description": "Seconds to wait before the next attempt.",
    "required": True,
    "schema": _SECONDS,
    "example": 1,
}
_CHALLENGE = {
    "description": "How to authenticate (RFC 9110 §11.6.1).",
    "required": True,
    "schema": _TEXT,
    "example": "Bearer",
}
_HEADERS: Mapping[int, Any] = MappingProxyType(
    {
        401: {"WWW-Authenticate": _CHALLENGE},
        429: {"Retry-After": _RETRY_AFTER},
    }
)


_DEPRECATION: dict[str, Any] = {
    "Deprecation": {"schema": _TEXT, "description": "When it was deprecated (RFC 9745)."},
    "Sunset": {"schema": _TEXT, "description": "When it will be removed (RFC 8594)."},
    "Link": {"schema": _TEXT, "description": "More about its deprecation (RFC 9745 §3)."},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a route promises beside what FastAPI sees of it."""

    location: str | None = None
    missing: type[NotFound] | None = None
    """What is not found at its path, where the type of the path's last parameter does not say it."""
    tagged: bool = False
    """It shows one thing with a version, so with an entity tag."""
    runs: bool = False
    """It runs a use case, so that `If-Match` holds or does not."""
    changes: bool = False
    """There is one thing here of which `If-Match` can name a version."""
    must_match: bool = False
    limited: bool = False
    """It counts requests, and says what is left."""
    keyed: bool = False
    """It takes an `Idempotency-Key`."""
    reauthenticated: bool = False
    """It takes a fresh proof of who sends the request, always or in some cases."""
    deprecated: bool = False
    file_name: str | None = None
    """A browser keeps its answer under this name."""


def disposition(file_name: str) -> str:
    """The value of Content-Disposition (RFC 6266)."""
    return f'attachment; filename="{file_name}"'


def parameters(shape: Shape, *, reads: bool) -> list[dict[str, Any]]:
    """The headers that a route reads."""
    found = []
    if shape.tagged and reads:
        found.append(
            _header("If-None-Match", "The `ETag` of what you have: if it is still so, the answer is 304.")
        )
    if shape.changes:
        what = "The `ETag` of what you have read, or its `version` in quotes: if it is no longer so, 412."
        found.append(_header("If-Match", what, required=shape.must_match, schema=_TAGS))
    if shape.keyed:
        what = (
            "A new one for each new request, such as a UUID. If no answer arrives, send the request again "
            "with the same key: it is done once, and answered alike for a day."
        )
        found.append(_header("Idempotency-Key", what, schema=_KEY))
    if shape.reauthenticated:
        what = (
            "The `token` of `POST /v1/auth/reauthentication`, where a fresh proof of who you are is "
            "required; not needed within minutes of a log-in at a provider."
        )
        found.append(_header(REAUTHENTICATION_HEADER, what))
    return found


def _header(
    name: str, description: str, *, required: bool = False, schema: Mapping[str, Any] = _TEXT
) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": required, "description": description, "schema": schema}


def refusals(
    route: APIRoute, shape: Shape, *, further: Iterable[type[Exception]] = ()
) -> dict[int | str, dict[str, Any]]:
    """The responses by which a route may refuse: by what its shape tells, and by `further` errors."""
    errors = [*further, *_errors(route, shape)]
    if sum(issubclass(error, NotFound) for error in errors) > 1:
        errors = [error for error in errors if error is not NotFound]
    found = refused_by(*errors)
    if shape.deprecated:
        for response in found.values():
            response["headers"] = _DEPRECATION | response.get("headers", {})
    return found


def refused_by(*errors: type[Exception]) -> dict[int | str, dict[str, Any]]:
    """The responses that these errors become, an example of each, and of what any route may suffer."""
    statuses: dict[int, dict[str, Kind]] = {}
    for error in dict.fromkeys((*errors, InternalError, Unavailable, TimedOut, DeadlineExceeded)):
        kind = kind_of(error)
        statuses.setdefault(kind.status, {})[kind.code] = kind
    return {status: _refusal(status, statuses[status].values()) for status in sorted(statuses)}


def _refusal(status: int, kinds: Collection[Kind]) -> dict[str, Any]:
    headers = dict(_HEADERS.get(status, {}))
    if passing := [kind for kind in kinds if kind.passing]:
        headers["Retry-After"] = {**_RETRY_AFTER, "required": len(passing) == len(kinds)}
    examples = {kind.code: {"summary": kind.title, "value": _example(kind)} for kind in kinds}
    return {
        "description": _MEANINGS[status],
        "content": {MEDIA_TYPE: {"schema": _SCHEMA, "examples": examples}},
        **({"headers": headers} if headers else {}),
    }


def _example(kind: Kind) -> dict[str, object]:
    """A problem of this kind, without what depends on the request."""
    return {"type": kind.type, "title": kind.title, "status": kind.status, "detail": kind.title}


def _errors(route: APIRoute, shape: Shape) -> Iterator[type[Exception]]:
    changes, public = route.methods != {"GET"}, is_public(route)
    path, query = route.dependant.path_params, route.dependant.query_params
    read = any(field.field_info.annotation is not str for field in path) or bool(query)
    cases: Sequence[tuple[object, Sequence[type[Exception]]]] = (
        (not public, [Unauthenticated]),
        (not public and changes, [ForeignOrigin, CsrfTokenMissing, CsrfTokenWrong, Stale]),
        (shape.reauthenticated, [ReauthenticationRequired]),
        (shape.limited, [QuotaExceeded]),
        (path, [_missing(route, shape)] if path else []),
        (read or route.body_field, [InvalidRequest]),
        (route.body_field, [Invalid, MalformedBody, UnsupportedMediaType]),
        (is_page(route.response_model), [InvalidCursor]),
        (shape.runs, [PreconditionFailed, InvalidPrecondition]),
        (shape.must_match, [PreconditionRequired]),
        (shape.keyed, [IdempotencyKeyReused, IdempotencyKeyInUse, AnswerLost, InvalidIdempotencyKey]),
        (changes, [Contention, ContentTooLarge]),  # a body that the operation does not read is counted, too
    )
    for holds, errors in cases:
        if holds:
            yield from errors


def _missing(route: APIRoute, shape: Shape) -> type[NotFound]:
    """What is not there where there is nothing at a path: of `…/books/{book_id}/lend` the book.

    Raises TypeError where neither the route nor the type of the last parameter says it.
    """
    if shape.missing is not None:
        return shape.missing
    name = route.dependant.path_params[-1].name
    hint = get_type_hints(route.endpoint)[name]
    if hint not in NotFound.by_id:
        kind = getattr(hint, "__name__", hint)
        raise TypeError(
            f"{' '.join(route.methods or ())} {route.path}: it is not said which error it is when nothing "
            f"is found by {name}. Name the id in the error, as in class …NotFound(NotFound, of={kind}), or "
            f"the error at the route, as in missing=…NotFound."
        )
    return NotFound.by_id[hint]


def successes(route: APIRoute, shape: Shape) -> dict[int | str, dict[str, Any]]:
    """The headers that a route's own answer carries, and its answer to a client that has it already."""
    headers: dict[str, Any] = {}
    if shape.location is not None:
        headers["Location"] = {
            "required": True,
            "schema": _URI,
            "x-template": shape.location,
            "description": "The address of the new resource.",
        }
    if route.status_code == 302:
        headers["Location"] = {
            "required": True,
            "schema": _URI,
            "description": "Where the browser is redirected to.",
        }
    if is_page(route.response_model):
        headers["Link"] = {
            "schema": _TEXT,
            "description": "The next page, where there is one (RFC 8288).",
        }
    if shape.file_name is not None:
        headers["Content-Disposition"] = {
            "required": True,
            "schema": _TEXT,
            "example": disposition(shape.file_name),
            "description": "It is to be kept as a file (RFC 6266).",
        }
    if shape.tagged:
        headers["ETag"] = {
            "required": True,
            "schema": _TAG,
            "example": '"1-51f0c5ad0f3e2b61"',
            "description": "Identifies this version of this representation (RFC 9110 §8.8.3).",
        }
    if shape.keyed:
        headers["Idempotency-Replayed"] = {
            "schema": {"type": "string", "enum": ["true"]},
            "description": "This is the stored response to an earlier request with the same key.",
        }
    if shape.deprecated:
        headers = _DEPRECATION | headers
    found: dict[int | str, dict[str, Any]] = {}
    if headers:
        found[route.status_code or 200] = {"headers": headers}
    if shape.tagged and route.methods == {"GET"}:
        kept = {name: header for name, header in headers.items() if name != "Location"}
        found[304] = {"description": _MEANINGS[304], "headers": kept}
    return found


def is_public(route: APIRoute) -> bool:
    """Whether the route says itself whom it lets in, or that it lets everybody in."""
    return "security" in (route.openapi_extra or {})


def is_page(model: object) -> bool:
    return get_origin(model) is Page
