"""Which scripts of other origins may call the API, and read what it answers (CORS, Fetch standard §3.2)."""

from collections.abc import Sequence
from typing import override

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from entrypoints.http.kernel.document.documentation import REAUTHENTICATION_HEADER
from entrypoints.http.kernel.identity.cookies import CSRF_HEADER
from entrypoints.http.kernel.routing.problems import PreflightRefused, problem
from entrypoints.kernel.configuration.origins import is_among

METHODS = ("GET", "POST", "PATCH", "DELETE")
READ_FROM_SCRIPTS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    CSRF_HEADER,
    REAUTHENTICATION_HEADER,
    "X-Request-ID",
    # What libraries for traces send along with every request (W3C Trace Context, W3C Baggage, Sentry).
    "traceparent",
    "tracestate",
    "baggage",
    "sentry-trace",
)
EXPOSED_TO_SCRIPTS = (
    "Content-Disposition",
    "Deprecation",
    "ETag",
    "Idempotency-Replayed",
    "Link",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Sunset",
    "X-Request-ID",
)
_OF_THE_BODY = frozenset({b"content-type", b"content-length"})


class Cors(CORSMiddleware):
    """Starlette's, but origins are compared by RFC 6454, and refusals are problems that say what is wrong."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        super().__init__(
            app,
            allow_origins=frozenset(origins),
            allow_methods=METHODS,
            allow_headers=READ_FROM_SCRIPTS,
            # Cookies come from pages that are listed; any page at all would be a page of an attacker's.
            allow_credentials="*" not in origins,
            expose_headers=EXPOSED_TO_SCRIPTS,
        )

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            asked = Headers(scope=scope)
            if "origin" in asked and "access-control-request-method" in asked:
                answer = self.preflight_response(asked)
                if answer.status_code >= 400:
                    kept = [header for header in answer.raw_headers if header[0] not in _OF_THE_BODY]
                    answer = problem(scope, PreflightRefused, self._detail(asked), headers=kept)
                await answer(scope, receive, send)
                return
        await super().__call__(scope, receive, send)

    @override
    def is_allowed_origin(self, origin: str) -> bool:
        return self.allow_all_origins or is_among(origin, self.allow_origins)

    def _detail(self, asked: Headers) -> str:
        wrong = []
        if not self.is_allowed_origin(asked["origin"]):
            wrong.append("CORS_ORIGINS does not list this origin.")
        if asked["access-control-request-method"] not in self.allow_methods:
            wrong.append(f"Scripts of other origins may use {', '.join(METHODS)}.")
        named = [name.strip() for name in asked.get("access-control-request-headers", "").lower().split(",")]
        if any(name and name not in self.allow_headers for name in named):
            wrong.append(f"They may send the headers {', '.join(READ_FROM_SCRIPTS)}.")
        return " ".join(wrong)
