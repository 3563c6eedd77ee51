"""Which problem an exception becomes."""

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import structlog
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from application.kernel.ports.limits import QuotaExceeded
from application.kernel.ports.world import Contention, Misconfigured, TimedOut, Unavailable, WorldError
from domain.kernel.errors import Forbidden, Invalid, Limited, Unauthenticated
from entrypoints.http.kernel.identity.well_known import resource_metadata
from entrypoints.http.kernel.routing.answers import Answer, Header
from entrypoints.http.kernel.routing.dependencies import provided, settings_of
from entrypoints.http.kernel.routing.failures import failure
from entrypoints.http.kernel.routing.field_errors import FieldError, field_errors, pointer
from entrypoints.http.kernel.routing.paths import variable
from entrypoints.http.kernel.routing.problems import (
    STATUS,
    InvalidClient,
    InvalidRequest,
    kind_of,
    problem,
    problem_of_status,
)
from entrypoints.http.kernel.server.readiness import NotReady
from entrypoints.kernel.telemetry.exceptions import chain_of, message_of

log = structlog.get_logger("http")


async def answer_error(request: Request, error: Exception) -> Answer:
    """The answer to whatever was raised on purpose; what was not is a 500, from the layer outside."""
    scope, kind, detail = request.scope, type(error), str(error)
    errors: Sequence[FieldError] = ()
    headers: Sequence[Header] = ()
    violated: Sequence[str] = ()
    match error:
        case InvalidRequest():
            errors = error.errors
        case Invalid(field=str(field)):
            errors = [FieldError(pointer=pointer([field]), code=kind_of(kind).code, detail=detail)]
        case Unauthenticated():
            headers = [(b"www-authenticate", _challenge(request).encode())]
        case InvalidClient():
            headers = [(b"www-authenticate", b'Basic realm="introspection", charset="UTF-8"')]
        case Limited():
            violated = error.policies if isinstance(error, QuotaExceeded) else ()
            headers = [(b"retry-after", b"%d" % error.retry_after)]
        case Misconfigured():  # its message tells operators what to do, and goes into the log alone
            _tell(scope, error)
            detail = ""
        case Unavailable() | Contention() | TimedOut():
            _tell(scope, error)
        case RequestValidationError():  # of a route that is FastAPI's own
            kind, detail, errors = InvalidRequest, "", field_errors(error.errors())
        case HTTPException():
            return problem_of_status(scope, error.status_code, _headers(request, error))
    return problem(scope, kind, detail, errors=errors, headers=headers, violated=violated)


async def answer_forbidden(request: Request, error: Forbidden) -> Answer:
    """The answer to a caller without the right, which goes into the log (OWASP ASVS 5.0 16.3.2)."""
    provided(request).security_log.denied(request.scope.get("user_id"), kind_of(type(error)).code)
    return await answer_error(request, error)


HANDLERS: Mapping[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = (
    MappingProxyType(
        {
            **dict.fromkeys((*STATUS, HTTPException, RequestValidationError), answer_error),
            Forbidden: answer_forbidden,
        }
    )
)
"""Whatever is not in here is a defect."""


def allowed(routes: Iterable[BaseRoute], scope: Scope) -> list[str]:
    """The methods under the path of a request, by name (RFC 9110 §10.2.1).

    Of `/books/new` they are those of `/books/new`, if it is there, and not also those of `/books/{id}`.
    """
    found: dict[tuple[bool, ...], set[str]] = {}
    for route in routes:
        if route.matches(scope)[0] is not Match.NONE:
            methods = found.setdefault(variable(getattr(route, "path", "")), set())
            methods.update(getattr(route, "methods", None) or ())
    here = found[min(found)] if found else set()
    return sorted(here | {"HEAD"} if "GET" in here else here)


def _tell(scope: Scope, error: WorldError) -> None:
    if not isinstance(error, NotReady):  # of which readiness tells by itself, when it changes
        # Where the adapter has logged the cause, it is not told twice.
        cause = {} if error.cause else {"cause": _cause(error)}
        log.warning("the world failed", reason=str(error), **failure(scope, error), **cause)


def _cause(error: WorldError) -> str:
    """What led to it, the nearest first, without the values in it."""
    return " from ".join(f"{type(link).__name__}({message_of(link)})" for link, _ in [*chain_of(error)][1:])


def _challenge(request: Request) -> str:
    """RFC 6750 §3, and where to learn whose tokens are good here (RFC 9728 §5.1)."""
    error = 'error="invalid_token", ' if "authorization" in request.headers else ""
    return f'Bearer {error}resource_metadata="{resource_metadata(settings_of(request))}"'


def _headers(request: Request, error: HTTPException) -> list[Header]:
    if error.status_code == 405:  # Starlette's own `Allow` knows only the first of several routes
        return [(b"allow", ", ".join(allowed(request.app.routes, request.scope)).encode())]
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in (error.headers or {}).items()]
