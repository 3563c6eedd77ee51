"""The built-in provider: registering, logging in and out, sessions, passwords, and whose an address is."""

from typing import Annotated, NotRequired, TypedDict

from fastapi import Body

from application.kernel.identity import sessions as commands
from application.kernel.identity.known_devices import DEVICE_TOKEN_MOST
from application.kernel.identity.password_login import LoggedIn, PasswordLogin
from application.kernel.identity.reauthentication import Reauthentication, ReauthenticationToken
from application.kernel.identity.sessions import TokenPair, TokenSessions
from application.kernel.paging import Page
from application.kernel.queries.auth import SessionView
from application.kernel.queries.users import Profile
from domain.kernel.errors import Stale
from domain.kernel.identity.credentials import (
    PasswordsDisabled,
    TooManyAttempts,
    WrongCredentials,
    WrongPassword,
)
from domain.kernel.identity.one_time_tokens import NothingToVerify, OneTimeTokenNotFound
from domain.kernel.identity.passwords import PASSWORD_LEAST, PASSWORD_MOST
from domain.kernel.identity.sessions import (
    NoSession,
    RefreshedElsewhere,
    Session,
    SessionEnded,
    SessionId,
    SessionNotFound,
)
from domain.kernel.users import DISPLAY_NAME_MOST, EMAIL_MOST, EmailTaken, User, UserNotFound
from entrypoints.http.kernel.identity.cookies import device_cookie
from entrypoints.http.kernel.routing.answers import NoContent
from entrypoints.http.kernel.routing.dependencies import (
    Actor,
    Ask,
    FromPeer,
    Login,
    Proofs,
    ReauthenticatedActor,
    ReauthenticatingActor,
    Run,
    SameSite,
    Tokens,
)
from entrypoints.http.kernel.routing.inputs import Paging, strict, text
from entrypoints.http.kernel.routing.routes import Router

router = Router(tag="auth")

HAS_ENDED = "what has ended stays ended, and each session has its own end"
SHOWS_TOKENS = "its answer shows tokens, which are kept nowhere"

_PHRASE = "violet kettle hums at dawn"
EmailText = Annotated[str, text(most=EMAIL_MOST, format="email", examples=["ada@example.com"])]
PasswordText = Annotated[str, text(most=PASSWORD_MOST, examples=[_PHRASE])]
NewPasswordText = Annotated[str, text(least=PASSWORD_LEAST, most=PASSWORD_MOST, examples=[_PHRASE])]


@strict
class Registration(TypedDict):
    """Who wants an account."""

    email: EmailText
    password: NewPasswordText
    """Anything long enough that not everybody knows: several words make a good one."""
    display_name: Annotated[str, text(least=1, most=DISPLAY_NAME_MOST, examples=["Ada Lovelace"])]


@strict
class Credentials(TypedDict):
    """Who wants to log in."""

    email: EmailText
    password: PasswordText
    device_token: NotRequired[Annotated[str, text(most=DEVICE_TOKEN_MOST)]]
    """What the answer to an earlier log-in on this device had: strangers' failures do not count then."""


@strict
class Refreshing(TypedDict):
    """The refresh token of the answer before."""

    refresh_token: str


@strict
class PasswordProof(TypedDict):
    """The password of the user who is logged in."""

    password: PasswordText


@strict
class PasswordChange(TypedDict):
    """The password so far, and from now on."""

    current_password: PasswordText
    new_password: NewPasswordText


@strict
class Forgetting(TypedDict):
    """Whose password is to be reset."""

    email: EmailText


@strict
class PasswordReset(TypedDict):
    """The secret that was mailed, and the password from now on."""

    token: str
    password: NewPasswordText


@strict
class Proof(TypedDict):
    """The secret that was mailed."""

    token: str


@router.post(
    "/auth/register",
    use_case=PasswordLogin.register,
    response_model=Profile,
    location="/me",
    public=True,
    unkeyed="an address registers once",
    refuses=(PasswordsDisabled, EmailTaken, TooManyAttempts),
    limit="login",
)
async def register_user(login: Login, peer: FromPeer, body: Annotated[Registration, Body()]) -> User:
    return await login.register(peer, **body)


@router.post(
    "/auth/login",
    use_case=PasswordLogin.log_in,
    public=True,
    unkeyed=SHOWS_TOKENS,
    refuses=(WrongCredentials, PasswordsDisabled, TooManyAttempts),
    limit="login",
)
async def log_in(login: Login, peer: FromPeer, body: Annotated[Credentials, Body()]) -> LoggedIn:
    return await login.log_in(peer, **body)


@router.post(
    "/auth/refresh",
    use_case=TokenSessions.refresh,
    public=True,
    unkeyed=SHOWS_TOKENS,
    refuses=(SessionEnded, RefreshedElsewhere),
)
async def refresh_tokens(sessions: Tokens, body: Annotated[Refreshing, Body()]) -> TokenPair:
    return await sessions.refresh(**body)


@router.get("/auth/sessions")
async def list_sessions(actor: Actor, ask: Ask, query: Paging) -> Page[SessionView]:
    """Everybody may list their own open sessions, the newest first."""
    return await ask.auth.sessions(actor.user_id, query.page, current=actor.session_id)


@router.get("/auth/sessions/{session_id}")
async def get_session(session_id: SessionId, actor: Actor, ask: Ask) -> SessionView:
    """Everybody may see their own open sessions."""
    return await ask.auth.session(actor.user_id, session_id, current=actor.session_id)


@router.delete("/auth/sessions/{session_id}", use_case=commands.end_session, changes=Session)
async def end_session(session_id: SessionId, actor: ReauthenticatingActor, run: Run) -> None:
    await run(commands.end_session, actor, session_id)


@router.post(
    "/auth/logout", use_case=commands.log_out, unkeyed=HAS_ENDED, refuses=(SessionNotFound, NoSession)
)
async def log_out(actor: Actor, run: Run) -> None:
    await run(commands.log_out, actor)


@router.post("/auth/logout/all", use_case=commands.log_out_everywhere, unkeyed=HAS_ENDED)
async def log_out_everywhere(actor: ReauthenticatedActor, run: Run) -> None:
    await run(commands.log_out_everywhere, actor)


@router.post(
    "/auth/reauthentication",
    use_case=Reauthentication.confirm,
    unkeyed=SHOWS_TOKENS,
    refuses=(WrongPassword, PasswordsDisabled, TooManyAttempts),
    limit="login",
)
async def reauthenticate_user(
    actor: Actor, proofs: Proofs, body: Annotated[PasswordProof, Body()]
) -> ReauthenticationToken:
    return await proofs.confirm(actor, **body)


@router.post(
    "/me/password",
    use_case=PasswordLogin.change_password,
    unkeyed="the old password is good once",
    refuses=(WrongPassword, PasswordsDisabled, UserNotFound, TooManyAttempts),
    limit="login",
)
async def change_password(actor: Actor, login: Login, body: Annotated[PasswordChange, Body()]) -> None:
    await login.change_password(actor, **body)


@router.post(
    "/auth/password-reset",
    use_case=PasswordLogin.request_password_reset,
    public=True,
    unkeyed="one more mail replaces the one before",
    refuses=(PasswordsDisabled, TooManyAttempts),
    limit="mail",
)
async def request_password_reset(login: Login, peer: FromPeer, body: Annotated[Forgetting, Body()]) -> None:
    await login.request_password_reset(peer, **body)


@router.post(
    "/auth/password-reset/confirmation",
    use_case=PasswordLogin.reset_password,
    public=True,
    unkeyed="the secret is good once",
    refuses=(OneTimeTokenNotFound, PasswordsDisabled),
    limit="login",
)
async def reset_password(
    login: Login, same_site: SameSite, body: Annotated[PasswordReset, Body()]
) -> NoContent:
    return NoContent([device_cookie(await login.reset_password(**body), same_site=same_site)])


@router.post(
    "/auth/email-verification",
    use_case=PasswordLogin.request_email_verification,
    unkeyed="one more mail replaces the one before",
    refuses=(UserNotFound, NothingToVerify, TooManyAttempts),
    limit="mail",
)
async def request_email_verification(actor: Actor, login: Login) -> None:
    await login.request_email_verification(actor)


@router.post(
    "/auth/email-verification/confirmation",
    use_case=PasswordLogin.confirm_email,
    unkeyed="the secret is good once",
    refuses=(OneTimeTokenNotFound, EmailTaken),
    limit="login",
)
async def confirm_email(actor: Actor, login: Login, body: Annotated[Proof, Body()]) -> None:
    await login.confirm_email(actor, **body)


@router.post(
    "/auth/email-change/reversal",
    use_case=PasswordLogin.undo_email_change,
    public=True,
    unkeyed="the secret is good once",
    refuses=(OneTimeTokenNotFound, EmailTaken, Stale),
    limit="login",
)
async def undo_email_change(login: Login, body: Annotated[Proof, Body()]) -> None:
    await login.undo_email_change(**body)
