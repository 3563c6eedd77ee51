"""Logging in for browsers: through a provider, or into a session that a cookie keeps.

GET    /v1/auth/providers                     what one can log in through
GET    /v1/auth/providers/{name}/authorize    to the provider
GET    /v1/auth/providers/{name}/callback     and back
POST   /v1/auth/exchange                      the tokens of a log-in that ended in a code
POST   /v1/auth/cookie                        a cookie for a password
GET    /v1/auth/cookie                        what a page has to send along with changes
DELETE /v1/auth/cookie                        the end of the cookie's session
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, TypedDict

import structlog
from fastapi import Body, Query
from pydantic import BaseModel, ConfigDict, Field

from application.kernel.example import Example
from application.kernel.identity.cookie_sessions import CookieSessions, SessionCookie, csrf_token
from application.kernel.identity.provider_login import (
    ATTEMPT_KEPT,
    RETURN_MOST,
    Departure,
    Mode,
    ProviderLogin,
    ResponseMode,
    Return,
)
from application.kernel.identity.sessions import TokenPair, log_out
from application.kernel.ports.logins import ProviderAnswer
from domain.kernel.errors import Invalid
from domain.kernel.identity.credentials import (
    ExchangeRefused,
    LoginNotBegun,
    LoginProviderNotFound,
    PasswordsDisabled,
    TooManyAttempts,
    WrongCredentials,
)
from domain.kernel.identity.sessions import NoSession, SessionEnded, SessionNotFound
from entrypoints.http.kernel.identity.cookies import (
    DEVICE,
    SESSION,
    ForeignOrigin,
    clear_cookie,
    device_cookie,
    log_in_cookie,
    log_ins_too_many,
    set_cookie,
)
from entrypoints.http.kernel.routing.answers import Header, NoContent, Redirect
from entrypoints.http.kernel.routing.dependencies import (
    Ask,
    ByCookie,
    CookieLogin,
    Cookies,
    FromPeer,
    ProviderLogins,
    Run,
    SameSite,
)
from entrypoints.http.kernel.routing.inputs import strict
from entrypoints.http.kernel.routing.routes import Router
from entrypoints.http.kernel.v1.auth import Credentials

log = structlog.get_logger("http")

router = Router(tag="auth")

_OF_LOG_IN = "lax"  # the way back from a provider is a navigation from another site


@dataclass(slots=True)
class LoginProviderView:
    """A provider that one can log in through: `name` is its part in our addresses."""

    name: str
    issuer: str


@dataclass(slots=True)
class LoginProviders:
    """All of them, in the order of the settings."""

    items: list[LoginProviderView]


class Beginning(BaseModel):
    """Where a log-in leads back to, and what it ends in."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True)

    return_to: Annotated[str, Field(max_length=RETURN_MOST, examples=["https://app.example.com/welcome"])]
    """The whole address of a page of ours. It gets `code` or `error`, or with a cookie nothing."""

    mode: Mode
    """`tokens` for a code that `POST /v1/auth/exchange` takes, `cookie` for a session cookie."""

    challenge: str | None = None
    """With `tokens`: the base64url of the SHA-256 of a secret that the page keeps (RFC 7636, S256)."""

    fresh: bool = False
    """Whether the provider shall ask for a new log-in there, so that this one counts as a fresh proof of who
    somebody is."""

    response_mode: ResponseMode = ResponseMode.FRAGMENT
    """Where `code` and `error` stand; `query` for a page whose server reads them."""


class Answer(BaseModel):
    """What a provider sends back; of what else it sends nothing is used."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True, use_attribute_docstrings=True)

    state: str
    """What the log-in began with."""

    code: str | None = None
    """What proves to the provider that it logged the user in."""

    error: str | None = None
    """Why it did not."""

    iss: str | None = None
    """Which provider answers (RFC 9207)."""


@strict
class Exchange(TypedDict):
    """The code that the browser brought back, and the secret of `challenge`."""

    code: str
    verifier: str


@dataclass(slots=True)
class CsrfToken:
    """What goes along as `X-CSRF-Token` with every change, as long as the session lasts."""

    csrf_token: str
    expires_at: datetime


ProviderName = Annotated[str, Example("example")]


@router.get("/auth/providers", public=True)
async def get_login_providers(logins: ProviderLogins) -> LoginProviders:
    """What one can log in through, beside a password."""
    return LoginProviders(
        [LoginProviderView(name, provider.issuer) for name, provider in logins.providers.items()]
    )


@router.get(
    "/auth/providers/{name}/authorize",
    use_case=ProviderLogin.begin,
    public=True,
    missing=LoginProviderNotFound,
    refuses=(Invalid,),
    limit="login",
)
async def begin_login(
    name: ProviderName, logins: ProviderLogins, cookies: Cookies, query: Annotated[Beginning, Query()]
) -> Redirect:
    return _depart(await logins.begin(name, **query.model_dump()), cookies)


@router.get(
    "/auth/providers/{name}/callback",
    use_case=ProviderLogin.finish,
    public=True,
    missing=LoginProviderNotFound,
    refuses=(LoginNotBegun,),
    limit="login",
)
async def finish_login(
    name: ProviderName,
    logins: ProviderLogins,
    *,
    cookies: Cookies,
    peer: FromPeer,
    same_site: SameSite,
    query: Annotated[Answer, Query()],
) -> Redirect:
    kept = log_in_cookie(query.state)
    answer = ProviderAnswer(state=query.state, code=query.code, error=query.error, issuer=query.iss)
    arrived = await logins.finish(peer, name, answer=answer, sealed=cookies.get(kept))
    return _arrive(name, arrived, kept, same_site)


@router.post(
    "/auth/exchange",
    use_case=ProviderLogin.exchange,
    public=True,
    unkeyed="the code is good once",
    refuses=(ExchangeRefused,),
    limit="login",
)
async def exchange_code(
    logins: ProviderLogins, peer: FromPeer, body: Annotated[Exchange, Body()]
) -> TokenPair:
    return await logins.exchange(peer, **body)


@router.post(
    "/auth/cookie",
    use_case=CookieSessions.log_in,
    public=True,
    unkeyed="its answer is a cookie, which is kept nowhere",
    refuses=(WrongCredentials, PasswordsDisabled, ForeignOrigin, TooManyAttempts),
    limit="login",
)
async def open_cookie_session(
    login: CookieLogin,
    peer: FromPeer,
    same_site: SameSite,
    *,
    cookies: Cookies,
    body: Annotated[Credentials, Body()],
) -> NoContent:
    body.setdefault("device_token", cookies.get(DEVICE, ""))
    opened = await login.log_in(peer, **body)
    return NoContent([_session(opened, same_site), _device(opened, same_site)])


@router.get("/auth/cookie", refuses=(SessionEnded,))
async def get_csrf_token(actor: ByCookie, cookies: Cookies, ask: Ask) -> CsrfToken:
    """For pages of the origins that CORS allows: what shows that a change was asked for by one of them."""
    return CsrfToken(csrf_token(cookies[SESSION]), await _expiry(actor, ask))


@router.delete("/auth/cookie", refuses=(SessionEnded, SessionNotFound, NoSession))
async def end_cookie_session(actor: ByCookie, run: Run, same_site: SameSite) -> NoContent:
    """Logs out: ends the cookie's session, and has the browser forget the cookie."""
    await run(log_out, actor)
    return NoContent([clear_cookie(SESSION, same_site=same_site)])


async def _expiry(actor: ByCookie, ask: Ask) -> datetime:
    session = None if actor.session_id is None else await ask.auth.cookie(actor.session_id)
    if session is None:
        raise SessionEnded
    return session.expires_at


def _depart(departure: Departure, cookies: Cookies) -> Redirect:
    kept = set_cookie(
        log_in_cookie(departure.state),
        departure.sealed,
        same_site=_OF_LOG_IN,
        seconds=ATTEMPT_KEPT.total_seconds(),
    )
    forgotten = [clear_cookie(name, same_site=_OF_LOG_IN) for name in log_ins_too_many(cookies)]
    return Redirect(departure.address, [*forgotten, kept])


def _arrive(name: str, arrived: Return, kept: str, same_site: str) -> Redirect:
    headers = [clear_cookie(kept, same_site=_OF_LOG_IN)]
    if arrived.cookie is not None:
        headers.append(_session(arrived.cookie, same_site))
    if arrived.error is not None:
        log.info("log-in through a provider failed", provider=name, error=arrived.error)
    return Redirect(arrived.address, headers)


def _device(cookie: SessionCookie, same_site: str) -> Header:
    return device_cookie(cookie.device_token or "", same_site=same_site)


def _session(cookie: SessionCookie, same_site: str) -> Header:
    return set_cookie(SESSION, cookie.value, same_site=same_site, seconds=cookie.lifetime.total_seconds())
