"""Every refusal and every failure as a problem (RFC 9457): the category gives the status, the class the rest.

What can be wrong with a request before a use case sees it:

    RequestError
    ├── MalformedRequest       from the server itself, as the next three are (protocol.py)
    ├── RequestTimedOut
    ├── UriTooLong
    ├── HeadersTooLarge
    ├── MalformedBody
    ├── InvalidPrecondition
    ├── InvalidIdempotencyKey
    ├── PreconditionRequired
    ├── PreflightRefused       for browsers (cors.py)
    ├── PathNotFound
    ├── MethodNotAllowed
    ├── MisdirectedRequest     for hosts (hosts.py)
    ├── ContentTooLarge
    ├── UnsupportedMediaType
    ├── InvalidRequest         with every error in it
    ├── OAuthError             with the `error` that clients of OAuth look for
    │   ├── InvalidForm
    │   ├── InvalidGrant
    │   ├── UnsupportedGrantType
    │   └── InvalidClient
    ├── TooManyConnections     not the request's fault, as the next three: CONNECTIONS_MOST are served
    ├── DeadlineExceeded       it took longer than REQUEST_SECONDS
    ├── ShuttingDown           it took longer than SHUTDOWN_SECONDS
    └── InternalError          the cause is in the log, under the trace id
"""

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import NotRequired, TypedDict
from urllib.parse import quote

import msgspec
from starlette.types import Scope

from application.kernel.idempotency import IdempotencyKeyInUse
from application.kernel.paging import InvalidCursor
from application.kernel.ports.world import (
    Contention,
    Misconfigured,
    NotNow,
    TimedOut,
    Unavailable,
    WorldError,
)
from application.kernel.preconditions import PreconditionFailed
from domain.kernel.errors import (
    Conflict,
    DomainError,
    Forbidden,
    Invalid,
    Limited,
    NotFound,
    Stale,
    Unauthenticated,
)
from entrypoints.http.kernel.routing.answers import Answer, Header
from entrypoints.http.kernel.routing.field_errors import MOST_ERRORS, FieldError

MEDIA_TYPE = "application/problem+json"
PAGES = "/problems"


# A member with a hyphen in its name: which of the policies in `RateLimit-Policy` are used up.
_Violated = TypedDict("_Violated", {"violated-policies": NotRequired[Sequence[str]]})


class Problem(_Violated):
    """Why a request was refused, or failed (RFC 9457). `type` is a page about problems of this kind.

    `error` is there where OAuth has a word for it (RFC 6749 §5.2), and `violated-policies` where a quota is
    used up (draft-ietf-httpapi-ratelimit-headers-11).
    """

    type: str
    title: str
    status: int
    detail: str
    instance: str
    trace_id: str
    errors: NotRequired[Sequence[FieldError]]
    error: NotRequired[str]


class RequestError(Exception):
    """The request was refused before anything was done."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail


class MalformedRequest(RequestError):
    """This is not HTTP."""


class RequestTimedOut(RequestError):
    """The request did not arrive in time."""


class UriTooLong(RequestError):
    """The address is too long."""


class HeadersTooLarge(RequestError):
    """The headers are too large."""


class MalformedBody(RequestError):
    """The body is not JSON in UTF-8."""


class InvalidPrecondition(RequestError):
    """`If-Match` must name entity tags, and `If-None-Match` is for reads."""


class InvalidIdempotencyKey(RequestError):
    """The `Idempotency-Key` header is not valid."""


class PreconditionRequired(RequestError):
    """The change needs an `If-Match` header with the version it is made to."""


class PreflightRefused(RequestError):
    """Scripts of this origin may not send such a request."""


class PathNotFound(RequestError):
    """There is no resource at this path."""


class MethodNotAllowed(RequestError):
    """This method is not allowed here; `Allow` lists those that are."""


class MisdirectedRequest(RequestError):
    """The service does not answer for this host."""


class ContentTooLarge(RequestError):
    """The body is too large."""


class UnsupportedMediaType(RequestError):
    """The body must be JSON, and `Content-Type` must say so."""


class InvalidRequest(RequestError):
    """The request is not valid; `errors` says where."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__()
        self.errors = errors[:MOST_ERRORS]


class OAuthError(RequestError):
    """The request was refused."""

    code: str
    """What RFC 6749 §5.2 calls it."""


class InvalidForm(OAuthError):
    """The form is not valid."""

    code = "invalid_request"


class InvalidGrant(OAuthError):
    """The credentials for the token are not valid."""

    code = "invalid_grant"


class UnsupportedGrantType(OAuthError):
    """This grant type is not supported."""

    code = "unsupported_grant_type"


class InvalidClient(OAuthError):
    """The client is unknown, or its secret is wrong."""

    code = "invalid_client"


class TooManyConnections(RequestError):
    """The service has as many connections as it takes."""


class DeadlineExceeded(RequestError):
    """The request took too long."""


class ShuttingDown(RequestError):
    """The service is stopping; another process may take the request."""


class InternalError(RequestError):
    """The service failed."""


STATUS: Mapping[type[Exception], int] = MappingProxyType(
    {
        MalformedRequest: 400,
        MalformedBody: 400,
        InvalidPrecondition: 400,
        InvalidIdempotencyKey: 400,
        PreflightRefused: 400,
        InvalidCursor: 400,
        OAuthError: 400,
        InvalidClient: 401,
        Unauthenticated: 401,
        Forbidden: 403,
        NotFound: 404,
        PathNotFound: 404,
        MethodNotAllowed: 405,
        RequestTimedOut: 408,
        Conflict: 409,
        Stale: 409,
        PreconditionFailed: 412,
        ContentTooLarge: 413,
        UriTooLong: 414,
        UnsupportedMediaType: 415,
        MisdirectedRequest: 421,
        Invalid: 422,
        InvalidRequest: 422,
        PreconditionRequired: 428,
        Limited: 429,
        HeadersTooLarge: 431,
        InternalError: 500,
        TooManyConnections: 503,
        ShuttingDown: 503,
        Unavailable: 503,
        Contention: 503,
        TimedOut: 504,
        DeadlineExceeded: 504,
    }
)

# What may be over in a moment. How long a limit lasts (429) is known, and each of them says it.
_PASSING = frozenset({503, 504})
_FOR_OPERATORS = frozenset({Misconfigured, NotNow})
RETRY_AFTER_SECONDS = 1

# What other layers say with a number alone.
_BY_STATUS: Mapping[int, type[Exception]] = MappingProxyType(
    {STATUS[error]: error for error in (PathNotFound, MethodNotAllowed, ContentTooLarge, InternalError)}
)


@dataclass(frozen=True, slots=True)
class Kind:
    """What all problems from one class of errors share."""

    status: int
    title: str
    code: str = ""
    passing: bool = False
    """The same request may succeed in a moment, which `Retry-After` says."""

    @property
    def type(self) -> str:
        return f"{PAGES}/{self.code}" if self.code else "about:blank"


def kind_of(error: type[Exception]) -> Kind:
    """`BookNotFound` is a 404 with the code `book-not-found`; its docstring is the title.

    What is for operators, and an adapter's own, is to a client what its port has: the service is unavailable.
    """
    if error in _FOR_OPERATORS or error.__module__.startswith("adapters."):
        return kind_of(error.__mro__[1])
    base = next((base for base in error.__mro__ if base in STATUS), None)
    if base is None:
        return kind_of(InternalError)
    code = re.sub(r"(?<!^)(?=[A-Z])", "-", error.__name__).lower()
    title = (inspect.getdoc(error) or "").partition("\n")[0]
    passing = STATUS[base] in _PASSING or issubclass(error, IdempotencyKeyInUse)
    return Kind(STATUS[base], title, code, passing)


def kinds() -> list[Kind]:
    """Every kind of problem that can come from the modules imported so far, by status and code."""
    errors = {error for root in (DomainError, WorldError, RequestError) for error in _descendants(root)}
    errors.discard(OAuthError)  # what is raised are its subclasses
    return sorted({kind_of(error) for error in errors}, key=lambda kind: (kind.status, kind.code))


def _descendants(error: type[Exception]) -> Iterator[type[Exception]]:
    for child in error.__subclasses__():
        yield child
        yield from _descendants(child)


def problem(
    scope: Scope,
    error: type[Exception],
    detail: str = "",
    *,
    errors: Sequence[FieldError] = (),
    headers: Iterable[Header] = (),
    violated: Sequence[str] = (),
) -> Answer:
    """The answer to a request that ended in an error of this class."""
    oauth = error.code if issubclass(error, OAuthError) else None
    kind = kind_of(error)
    if kind.passing:
        headers = [*headers, (b"retry-after", b"%d" % RETRY_AFTER_SECONDS)]
    return _answer(scope, kind, detail, errors, headers, oauth=oauth, violated=violated)


def problem_of_status(scope: Scope, status: int, headers: Iterable[Header] = ()) -> Answer:
    """The problem in place of what another layer answers with this status."""
    if status in _BY_STATUS:
        return problem(scope, _BY_STATUS[status], headers=headers)
    phrase = HTTPStatus(status).phrase if status in HTTPStatus else "Error"
    return _answer(scope, Kind(status, phrase), "", (), headers)


def _answer(
    scope: Scope,
    kind: Kind,
    detail: str,
    errors: Sequence[FieldError],
    headers: Iterable[Header],
    *,
    oauth: str | None = None,
    violated: Sequence[str] = (),
) -> Answer:
    body = Problem(
        type=kind.type,
        title=kind.title,
        status=kind.status,
        detail=detail or kind.title,
        instance=quote(scope["path"], safe="/:@!$&'()*+,;=~"),
        trace_id=scope.get("trace_id", ""),
    )
    if errors:
        body["errors"] = errors
    if oauth is not None:
        body["error"] = oauth
    if violated:
        body["violated-policies"] = violated
    return Answer(kind.status, msgspec.json.encode(body), media_type=MEDIA_TYPE.encode(), headers=headers)
