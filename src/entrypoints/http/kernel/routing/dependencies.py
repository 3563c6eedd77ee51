"""What an endpoint may ask for. The one file that reaches the container: once, when the app is made."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, cast, override

from fastapi import Depends, FastAPI, Request
from fastapi.openapi.models import APIKey, APIKeyIn, HTTPBearer
from fastapi.openapi.models import SecurityBase as SecurityModel
from fastapi.security.base import SecurityBase
from structlog.contextvars import bind_contextvars

from application.kernel.identity.accounts import Linking
from application.kernel.identity.cookie_sessions import CookieSessions
from application.kernel.identity.password_login import PasswordLogin
from application.kernel.identity.provider_login import ProviderLogin
from application.kernel.identity.sessions import TokenSessions
from application.kernel.ports import Client, Clock, CookieVerifier, Identity, Queries, Seal, TokenVerifier
from application.kernel.run import Runner
from domain.kernel.errors import Unauthenticated
from domain.kernel.users import UserId
from entrypoints.http.kernel.document.documentation import COOKIE_SCHEME
from entrypoints.http.kernel.identity.cookies import CSRF_HEADER, SESSION, check_forgery, check_origin
from entrypoints.http.kernel.server.readiness import Readiness
from entrypoints.kernel.container import Container
from entrypoints.kernel.settings import Settings

type Document = Mapping[str, Any]
"""A JSON object that is published."""


_COOKIE = f"The cookie of `POST /v1/auth/cookie`; changes need the header `{CSRF_HEADER}` as well."


@dataclass(frozen=True, slots=True)
class Provided:
    """What the container has for endpoints. To ask it anew for each request would cost 8 µs of each."""

    tokens: TokenVerifier
    run: Runner
    queries: Queries
    login: PasswordLogin
    sessions: TokenSessions
    linking: Linking
    cookies: CookieVerifier
    cookie_login: CookieSessions
    provider_login: ProviderLogin
    answer_seal: Seal
    origins: frozenset[str]
    clock: Clock
    readiness: Readiness
    public_keys: Callable[[], Awaitable[Document]]
    provider_metadata: Callable[[str], Awaitable[Document]]


def provide(app: FastAPI, container: Container) -> None:
    """Makes all of it, which connects to nothing yet."""
    database, migrations = container.database(), container.migrations()
    app.state.settings = container.settings()
    app.state.provided = Provided(
        tokens=container.tokens(),
        run=container.run(),
        queries=container.queries(),
        login=container.password_login(),
        sessions=container.token_sessions(),
        linking=container.linking(),
        cookies=container.cookie_verifier(),
        cookie_login=container.cookie_sessions(),
        provider_login=container.provider_login(),
        answer_seal=container.answer_seal(),
        origins=container.settings().browser_origins,
        clock=container.clock(),
        readiness=Readiness(
            {
                "database": database.ping,
                "migrations": lambda: migrations.reached(database),
                **{f"provider {name}": ready for name, ready in container.provider_checks().items()},
            }
        ),
        public_keys=container.key_ring().public_keys,
        provider_metadata=container.provider_metadata(),
    )


def provided(request: Request) -> Provided:
    return cast("Provided", request.app.state.provided)


def settings_of(request: Request) -> Settings:
    return cast("Settings", request.app.state.settings)


class Bearer(SecurityBase):
    """Who is asking: the scheme in the documentation and the dependency at once, so one level deep.

    A session cookie counts where there is no `Authorization`, which no browser sends by itself.
    """

    def __init__(self) -> None:
        self.scheme_name = "bearer"
        self.model: SecurityModel = HTTPBearer(
            bearerFormat="JWT", description="The `access_token` of a log-in."
        )

    async def __call__(self, request: Request) -> Identity:
        """Raises Unauthenticated, and Forbidden where a cookie is all that a change comes with."""
        authorization = request.headers.get("authorization")
        if authorization is None and SESSION in request.cookies:
            return await _of_cookie(request)
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("Send an access token: `Authorization: Bearer …`.")
        return _known(request, await provided(request).tokens.verify(token.strip()))


class CookieBearer(Bearer):
    """Whose session cookie this is; nothing else counts."""

    def __init__(self) -> None:
        self.scheme_name = COOKIE_SCHEME
        self.model = APIKey.model_validate({"in": APIKeyIn.cookie, "name": SESSION, "description": _COOKIE})

    @override
    async def __call__(self, request: Request) -> Identity:
        """Raises Unauthenticated, and Forbidden where the cookie is all that a change comes with."""
        if SESSION not in request.cookies:
            raise Unauthenticated("There is no session cookie: log in with `POST /v1/auth/cookie`.")
        return await _of_cookie(request)


async def _of_cookie(request: Request) -> Identity:
    there, cookie = provided(request), request.cookies[SESSION]
    identity = await there.cookies.verify(cookie)
    check_forgery(request, cookie, there.origins)
    return _known(request, identity)


def _known(request: Request, identity: Identity) -> Identity:
    request.scope["user_id"] = identity.user_id
    bind_contextvars(user_id=str(identity.user_id))
    return identity


def user_id_of(request: Request) -> UserId:
    """Who is asking, on a route that asks for an Actor."""
    return cast("UserId", request.scope["user_id"])


async def _run(request: Request) -> Runner:
    return provided(request).run


async def _ask(request: Request) -> Queries:
    return provided(request).queries


async def _login(request: Request) -> PasswordLogin:
    return provided(request).login


async def _cookie_login(request: Request) -> CookieSessions:
    """Whoever could log a browser in as somebody else would read along with what its user does there."""
    there = provided(request)
    check_origin(request, there.origins)
    return there.cookie_login


async def _provider_login(request: Request) -> ProviderLogin:
    return provided(request).provider_login


async def _cookies(request: Request) -> Mapping[str, str]:
    return request.cookies


async def _same_site(request: Request) -> str:
    return settings_of(request).auth_cookie_same_site


async def _links(request: Request) -> Linking:
    return provided(request).linking


async def _sessions(request: Request) -> TokenSessions:
    return provided(request).sessions


async def _verify(request: Request) -> TokenVerifier:
    return provided(request).tokens


async def _client(request: Request) -> Client:
    # The server has put the address there that a proxy it trusts has named.
    address = request.client.host if request.client else ""
    return Client(address=address, agent=request.headers.get("user-agent", ""))


async def _now(request: Request) -> datetime:
    return provided(request).clock()


async def _readiness(request: Request) -> Readiness:
    return provided(request).readiness


async def _public_keys(request: Request) -> Callable[[], Awaitable[Document]]:
    return provided(request).public_keys


async def _provider_metadata(request: Request) -> Callable[[str], Awaitable[Document]]:
    return provided(request).provider_metadata


Actor = Annotated[Identity, Depends(Bearer())]
"""Whoever the bearer token speaks for, or the session cookie; without a good one the answer is 401."""

ByCookie = Annotated[Identity, Depends(CookieBearer())]
"""Whoever the session cookie speaks for; without a good one the answer is 401."""

Run = Annotated[Runner, Depends(_run)]
"""Runs a use case in a transaction."""

Ask = Annotated[Queries, Depends(_ask)]
"""Answers questions."""

Login = Annotated[PasswordLogin, Depends(_login)]
"""The built-in provider."""

CookieLogin = Annotated[CookieSessions, Depends(_cookie_login)]
"""Session cookies, for pages of the origins that the settings allow; for others the answer is 403."""

Providers = Annotated[ProviderLogin, Depends(_provider_login)]
"""The log-in through other providers."""

Cookies = Annotated[Mapping[str, str], Depends(_cookies)]
"""What cookies the request carries, in their order."""

SameSite = Annotated[str, Depends(_same_site)]
"""Which requests of other sites carry the session cookie: lax, strict or none."""

Links = Annotated[Linking, Depends(_links)]
"""Links by proof."""

Tokens = Annotated[TokenSessions, Depends(_sessions)]
"""Sessions whose client keeps tokens."""

Verify = Annotated[TokenVerifier, Depends(_verify)]
"""Reads a token that is not the caller's own."""

FromClient = Annotated[Client, Depends(_client)]
"""Who is at the other end of the connection."""

Now = Annotated[datetime, Depends(_now)]
"""The present instant, aware UTC."""

Ready = Annotated[Readiness, Depends(_readiness)]
"""Whether the service can do its work."""

PublicKeys = Annotated[Callable[[], Awaitable[Document]], Depends(_public_keys)]
"""The key set of the built-in provider; raises Unavailable."""

ProviderMetadata = Annotated[Callable[[str], Awaitable[Document]], Depends(_provider_metadata)]
"""The discovery document of the external provider with this issuer; raises Unavailable."""
