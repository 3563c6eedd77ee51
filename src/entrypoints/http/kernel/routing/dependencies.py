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

from application.kernel.admission import ensure_reauthenticated
from application.kernel.export import Export
from application.kernel.identity.accounts import Linking
from application.kernel.identity.cookie_sessions import CookieSessions
from application.kernel.identity.password_login import PasswordLogin
from application.kernel.identity.provider_login import ProviderLogin
from application.kernel.identity.reauthentication import Reauthentication
from application.kernel.identity.sessions import TokenSessions
from application.kernel.ports.attempts import Peer
from application.kernel.ports.callers import Caller, CookieVerifier, Reauthenticated, TokenVerifier
from application.kernel.ports.logins import Seal
from application.kernel.ports.storing import Clock
from application.kernel.queries import KernelQueries
from application.kernel.run import Runner
from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.errors import Unauthenticated
from domain.kernel.users import UserId
from entrypoints.http.kernel.document.documentation import COOKIE_SCHEME, REAUTHENTICATION_HEADER
from entrypoints.http.kernel.identity.cookies import CSRF_HEADER, SESSION, check_forgery, check_origin
from entrypoints.http.kernel.routing.limits import RequestLimits
from entrypoints.http.kernel.server.checks import readiness_of
from entrypoints.http.kernel.server.readiness import Readiness
from entrypoints.kernel.container import KernelContainer
from entrypoints.kernel.security_log import SecurityLog
from entrypoints.kernel.settings import KernelSettings

type Document = Mapping[str, Any]
"""A JSON object that is published."""


_COOKIE = f"The cookie of `POST /v1/auth/cookie`; changes need the header `{CSRF_HEADER}` as well."


@dataclass(frozen=True, slots=True)
class Provided:
    """What the container has for endpoints. To ask it anew for each request would cost 8 µs of each."""

    tokens: TokenVerifier
    run: Runner[Any]
    queries: KernelQueries
    export: Export[Any]
    login: PasswordLogin
    reauthentication: Reauthentication
    sessions: TokenSessions
    linking: Linking
    cookies: CookieVerifier
    cookie_login: CookieSessions
    provider_login: ProviderLogin
    answer_seal: Seal
    origins: frozenset[str]
    clock: Clock
    security_log: SecurityLog
    readiness: Readiness
    limits: RequestLimits
    public_keys: Callable[[], Awaitable[Document]]
    provider_metadata: Callable[[str], Awaitable[Document]]


def provide(app: FastAPI, container: KernelContainer) -> None:
    """Makes all of it, which connects to nothing yet."""
    app.state.settings = container.settings()
    app.state.provided = Provided(
        tokens=container.tokens(),
        run=container.run(),
        queries=container.queries(),
        export=container.export(),
        login=container.password_login(),
        reauthentication=container.reauthentication(),
        sessions=container.token_sessions(),
        linking=container.linking(),
        cookies=container.cookie_verifier(),
        cookie_login=container.cookie_sessions(),
        provider_login=container.provider_login(),
        answer_seal=container.answer_seal(),
        origins=container.settings().browser_origins,
        clock=container.clock(),
        security_log=container.security_log(),
        readiness=readiness_of(container),
        limits=RequestLimits(container.rate_limits(), container.settings().limit_policies),
        public_keys=container.key_ring().public_keys,
        provider_metadata=container.provider_metadata(),
    )


def provided(request: Request) -> Provided:
    return cast("Provided", request.app.state.provided)


def settings_of(request: Request) -> KernelSettings:
    return cast("KernelSettings", request.app.state.settings)


class Bearer(SecurityBase):
    """Who is asking: the scheme in the documentation and the dependency at once, so one level deep.

    A session cookie counts where there is no `Authorization`, which no browser sends by itself.
    """

    def __init__(self) -> None:
        self.scheme_name = "bearer"
        self.model: SecurityModel = HTTPBearer(
            bearerFormat="JWT", description="The `access_token` of a log-in."
        )

    async def __call__(self, request: Request) -> Caller:
        """Raises Unauthenticated, and Forbidden where a cookie is all that a change comes with."""
        authorization = _authorization(request)
        if authorization is None and SESSION in request.cookies:
            return await _of_cookie(request)
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("Send an access token: `Authorization: Bearer …`.")
        return _known(request, await provided(request).tokens.verify(token.strip()))


class ReauthenticatingBearer(Bearer):
    """The same, as a `Reauthenticated` caller where the request brings a fresh proof of who they are."""

    @override
    async def __call__(self, request: Request) -> Caller:
        caller = await super().__call__(request)
        token = request.headers.get(REAUTHENTICATION_HEADER)
        return provided(request).reauthentication.of(caller, token)


class ReauthenticatedBearer(ReauthenticatingBearer):
    """The same, for what nobody may do without."""

    @override
    async def __call__(self, request: Request) -> Reauthenticated:
        """Raises ReauthenticationRequired as well."""
        return ensure_reauthenticated(await super().__call__(request))


class CookieBearer(Bearer):
    """Whose session cookie this is; nothing else counts."""

    def __init__(self) -> None:
        self.scheme_name = COOKIE_SCHEME
        self.model = APIKey.model_validate({"in": APIKeyIn.cookie, "name": SESSION, "description": _COOKIE})

    @override
    async def __call__(self, request: Request) -> Caller:
        """Raises Unauthenticated, and Forbidden where the cookie is all that a change comes with."""
        if SESSION not in request.cookies:
            raise Unauthenticated("There is no session cookie: log in with `POST /v1/auth/cookie`.")
        return await _of_cookie(request)


def _authorization(request: Request) -> str | None:
    # `request.headers` would be made for it: four times as long.
    for name, value in request.scope["headers"]:
        if name == b"authorization":
            text: str = value.decode("latin-1")
            return text
    return None


async def _of_cookie(request: Request) -> Caller:
    there, cookie = provided(request), request.cookies[SESSION]
    identity = await there.cookies.verify(cookie)
    check_forgery(request, cookie, there.origins)
    return _known(request, identity)


def _known(request: Request, identity: Caller) -> Caller:
    request.scope["user_id"] = identity.user_id
    request.scope["session_id"] = identity.session_id
    bind_contextvars(user_id=str(identity.user_id))
    return identity


def user_id_of(request: Request) -> UserId:
    """Who is asking, on a route that asks for an Actor."""
    return cast("UserId", request.scope["user_id"])


def given(name: str) -> Callable[[Request], Awaitable[Any]]:
    """A dependency: what `Provided` has under this name."""

    async def accessor(request: Request) -> Any:  # noqa: ANN401 (as many types as names)
        return getattr(request.app.state.provided, name)

    return accessor


async def _cookie_login(request: Request) -> CookieSessions:
    """A page that could log a browser in as another user would read along with what its user does there."""
    there = provided(request)
    check_origin(request, there.origins)
    return there.cookie_login


async def _cookies(request: Request) -> Mapping[str, str]:
    return request.cookies


async def _same_site(request: Request) -> str:
    return settings_of(request).auth_cookie_same_site


async def _peer(request: Request) -> Peer:
    # Where a proxy of TRUSTED_PROXIES was in between, the outermost layer has put its client's address there.
    address = request.client.host if request.client else ""
    return Peer(address=address, agent=request.headers.get("user-agent", ""))


async def _now(request: Request) -> datetime:
    return provided(request).clock()


Actor = Annotated[Caller, Depends(Bearer())]
"""The caller whom the bearer token or the session cookie identifies; 401 without a valid one."""

ReauthenticatedActor = Annotated[Reauthenticated, Depends(ReauthenticatedBearer())]
"""The same who has just proved anew who they are; without a fresh proof the answer is 403."""

ReauthenticatingActor = Annotated[Caller | Reauthenticated, Depends(ReauthenticatingBearer())]
"""The same, who may have: for a use case that asks for it in some cases alone."""

ByCookie = Annotated[Caller, Depends(CookieBearer())]
"""The caller whom the session cookie identifies; 401 without a valid one."""

Run = Annotated[Runner[KernelUnitOfWork], Depends(given("run"))]
"""Runs a use case of the kernel in a transaction; a service's own `Run` runs its use cases as well."""

Ask = Annotated[KernelQueries, Depends(given("queries"))]
"""Answers the kernel's questions; a service's own `Ask` answers its questions as well."""

Exports = Annotated[Export[Any], Depends(given("export"))]
"""All that the service has of one user."""

Login = Annotated[PasswordLogin, Depends(given("login"))]
"""The built-in provider."""

CookieLogin = Annotated[CookieSessions, Depends(_cookie_login)]
"""Session cookies, for pages of the origins that the settings allow; for others the answer is 403."""

ProviderLogins = Annotated[ProviderLogin, Depends(given("provider_login"))]
"""The log-in through other providers."""

Cookies = Annotated[Mapping[str, str], Depends(_cookies)]
"""What cookies the request carries, in their order."""

SameSite = Annotated[str, Depends(_same_site)]
"""Which requests of other sites carry the session cookie: lax, strict or none."""

Proofs = Annotated[Reauthentication, Depends(given("reauthentication"))]
"""Fresh proofs of who somebody is."""

Links = Annotated[Linking, Depends(given("linking"))]
"""Links by proof."""

Tokens = Annotated[TokenSessions, Depends(given("sessions"))]
"""Sessions whose client keeps tokens."""

Verify = Annotated[TokenVerifier, Depends(given("tokens"))]
"""Reads a token that is not the caller's own."""

FromPeer = Annotated[Peer, Depends(_peer)]
"""Who is at the other end of the connection."""

Now = Annotated[datetime, Depends(_now)]
"""The present instant, aware UTC."""

Ready = Annotated[Readiness, Depends(given("readiness"))]
"""Whether the service can do its work."""

PublicKeys = Annotated[Callable[[], Awaitable[Document]], Depends(given("public_keys"))]
"""The key set of the built-in provider; raises Unavailable."""

ProviderMetadata = Annotated[Callable[[str], Awaitable[Document]], Depends(given("provider_metadata"))]
"""The discovery document of the external provider with this issuer; raises Unavailable."""
