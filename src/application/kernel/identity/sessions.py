"""Sessions: opened for users who proved who they are, continued by their client, and ended.

`TokenSessions` is for clients that keep tokens. It makes the secrets, and runs the use cases here.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from application.kernel.admission import ensure_reauthenticated
from application.kernel.identity.secret_tokens import (
    fingerprint,
    is_marked,
    marked_secret,
    new_secret,
    successor_of,
)
from application.kernel.ports.callers import Caller, Reauthenticated
from application.kernel.ports.sessions import AccessToken, TokenIssuer
from application.kernel.run import Runner
from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.aggregate import new_id
from domain.kernel.errors import Stale
from domain.kernel.identity.sessions import (
    NoSession,
    OtherSessionsEnded,
    RefreshedElsewhere,
    Session,
    SessionEnded,
    SessionId,
    SessionKind,
    SessionNotFound,
    Standing,
)
from domain.kernel.users import Suspended, UserId


async def open_session(
    uow: KernelUnitOfWork,
    user_id: UserId,
    *,
    token_hash: str,
    lifetime: timedelta,
    idle: timedelta | None = None,
    most: int | None = None,
    kind: SessionKind = SessionKind.TOKENS,
    family_key: str | None = None,
    agent: str = "",
    password_hash: str | None = None,
    authenticated_at: datetime | None = None,
) -> Session:
    """Opens a session for a user who has just proved who they are; of more than `most`, the oldest ends.

    `authenticated_at` is when that was to a provider.

    Refused when that was by a password, and `password_hash` is no longer what is stored: then the password
    was changed in the meantime, and every session that it opened was ended.
    """
    session = Session.open(
        id=SessionId(new_id(uow.now)),
        user_id=user_id,
        token_hash=token_hash,
        at=uow.now,
        lifetime=lifetime,
        idle=idle,
        kind=kind,
        family_key=family_key,
        agent=agent,
        authenticated_at=authenticated_at,
    )
    if password_hash is None:
        opened = await uow.sessions.add(session)
    else:
        opened = await uow.sessions.add_by_password(session, password_hash=password_hash)
    if most is not None:
        await uow.sessions.end_oldest(user_id, keeping=most, at=uow.now)
    return opened


async def refresh_session(
    uow: KernelUnitOfWork,
    session_id: SessionId,
    *,
    secret: str,
    lifetime: timedelta,
    grace: timedelta = timedelta(0),
    idle: timedelta | None = None,
) -> tuple[Session, str]:
    """The bearer of a session's current token gets its successor, and gets it again within the grace.

    After the grace a token that was replaced ends the session. The ended session is returned, not raised,
    because it has to be committed. Refused for a token that never was good, which changes nothing, and for a
    suspended user; RefreshedElsewhere where the successor has been used by now.
    """
    session = await uow.sessions.get(session_id)
    marked = is_marked(secret, session.family_key)
    match session.standing_of(fingerprint(secret), marked=marked, grace=grace, at=uow.now):
        case Standing.NEVER_GOOD:
            raise SessionEnded
        case Standing.OVERTAKEN:
            raise RefreshedElsewhere
        case Standing.REUSED:
            return await uow.sessions.save(session.end_for_reuse(at=uow.now)), ""
        case standing:
            (await uow.users.get(session.user_id)).ensure_active()
    if standing is Standing.REPLACED:
        salt, family_key = session.successor_salt or "", session.family_key or ""
        return session, successor_of(secret, salt=salt, family_key=family_key)
    salt, family_key = new_secret(), session.family_key or new_secret()
    successor = successor_of(secret, salt=salt, family_key=family_key)
    refreshed = session.refresh(
        successor=fingerprint(successor),
        salt=salt,
        family_key=family_key,
        grace=grace,
        lifetime=lifetime,
        idle=idle,
        at=uow.now,
    )
    return await uow.sessions.save(refreshed), successor


async def use_session(
    uow: KernelUnitOfWork, session_id: SessionId, *, lifetime: timedelta, idle: timedelta
) -> None:
    """A request with a session's cookie uses it, so it is not idle; one that has ended stays as it is."""
    session = await uow.sessions.get(session_id)
    if session.is_open(uow.now):
        await uow.sessions.save(session.use(lifetime=lifetime, idle=idle, at=uow.now))


async def revoke_session(uow: KernelUnitOfWork, session_id: SessionId, *, secret: str) -> None:
    """The bearer of a session's token, also of an earlier one, may end it; any other changes nothing."""
    session = await uow.sessions.get(session_id)
    presented = fingerprint(secret)
    good = presented in {session.token_hash, *session.replaced} or is_marked(secret, session.family_key)
    if good and session.is_open(uow.now):
        await uow.sessions.save(session.end(at=uow.now))


async def end_session(uow: KernelUnitOfWork, actor: Caller, session_id: SessionId) -> None:
    """Everybody may end their own sessions; another's, or one that has ended, is not to be found.

    One that is not the request's own takes a fresh proof of who they are, and they are told by mail.
    """
    session = await uow.sessions.get(session_id)
    if session.user_id != actor.user_id or not session.is_open(uow.now):
        raise SessionNotFound
    if session.id == actor.session_id:
        await uow.sessions.save(session.end(at=uow.now))
        return
    ensure_reauthenticated(actor)
    await uow.sessions.save(session.end_from_elsewhere(at=uow.now))


async def log_out(uow: KernelUnitOfWork, actor: Caller) -> None:
    """Ends the session that the access token belongs to; refused for a token that has none.

    Its access tokens are refused within seconds.
    """
    if actor.session_id is None:
        raise NoSession("Another provider issued this token: log out there.")
    session = await uow.sessions.get(actor.session_id)
    if session.is_open(uow.now):
        await uow.sessions.save(session.end(at=uow.now))


async def log_out_everywhere(uow: KernelUnitOfWork, actor: Reauthenticated) -> None:
    """Everybody may end all of their sessions at once, this one too; they are told by mail.

    It takes a fresh proof of who they are: else the holder of a stolen token could lock its owner out.
    """
    ended = OtherSessionsEnded(at=uow.now, user_id=actor.user_id)
    await uow.sessions.end_all(actor.user_id, at=uow.now, event=ended)


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a client keeps: `expires_in` counts the seconds of the access token (RFC 6749 §5.1)."""

    access_token: str
    refresh_token: str
    token_type: str
    expires_in: int


class TokenSessions:
    """Sessions whose client keeps a refresh token, good for one use, and short-lived access tokens."""

    def __init__(
        self,
        run: Runner[KernelUnitOfWork],
        tokens: TokenIssuer,
        *,
        lifetime: timedelta,
        grace: timedelta = timedelta(0),
        idle: timedelta | None = None,
        most: int | None = None,
        trusted: bool = True,
    ) -> None:
        """For so long as `grace` a refresh may be repeated.

        Where the tokens that this issues are not `trusted` any more, its sessions are over as well.
        """
        self._run = run
        self._tokens = tokens
        self._lifetime = lifetime
        self._grace = grace
        self._idle = idle
        self._most = most
        self._trusted = trusted

    async def open(
        self,
        user_id: UserId,
        *,
        agent: str = "",
        password_hash: str | None = None,
        authenticated_at: datetime | None = None,
    ) -> TokenPair:
        """A session's first pair; raises as `open_session` does."""
        family_key = new_secret()
        secret = marked_secret(family_key)
        session = await self._run(
            open_session,
            user_id,
            token_hash=fingerprint(secret),
            family_key=family_key,
            lifetime=self._lifetime,
            idle=self._idle,
            most=self._most,
            agent=agent,
            password_hash=password_hash,
            authenticated_at=authenticated_at,
        )
        return await self._pair(session, secret)

    async def refresh(self, *, refresh_token: str) -> TokenPair:
        """Each refresh token is good for one use, which may be repeated for some seconds: the answer is lost
        at times, and tabs do not wait for each other. A later second use ends the session for everybody.
        """
        if not self._trusted:
            raise SessionEnded("Log in at the provider.")
        session_id, presented = _parse(refresh_token)
        try:
            session, secret = await self._refreshed(session_id, presented)
        except (SessionNotFound, Suspended) as lost:
            raise SessionEnded from lost
        if session.ended_at is not None:
            raise SessionEnded
        return await self._pair(session, secret)

    async def _refreshed(self, session_id: SessionId, presented: str) -> tuple[Session, str]:
        async def refreshed() -> tuple[Session, str]:
            return await self._run(
                refresh_session,
                session_id,
                secret=presented,
                lifetime=self._lifetime,
                grace=self._grace,
                idle=self._idle,
            )

        try:
            return await refreshed()
        except Stale as lost:  # another use at the same time was first
            if not self._grace:
                raise RefreshedElsewhere from lost
        try:
            return await refreshed()  # which finds what the other has made
        except Stale as lost:
            raise RefreshedElsewhere from lost

    async def revoke(self, *, refresh_token: str) -> None:
        """Ends the session of a refresh token that is or was good; of any other nothing is said
        (RFC 7009 §2.2)."""
        try:
            session_id, presented = _parse(refresh_token)
            await self._run(revoke_session, session_id, secret=presented)
        except (SessionEnded, SessionNotFound):
            return

    async def _pair(self, session: Session, secret: str) -> TokenPair:
        access_token: AccessToken = await self._tokens.issue(session.user_id, session_id=session.id)
        return TokenPair(
            access_token=access_token.value,
            refresh_token=f"{session.id.hex}.{secret}",
            token_type="Bearer",  # noqa: S106 (the name of a scheme)
            expires_in=access_token.expires_in,
        )


def _parse(refresh_token: str) -> tuple[SessionId, str]:
    session_id, _, secret = refresh_token.partition(".")
    try:
        return SessionId(UUID(hex=session_id)), secret
    except ValueError:
        raise SessionEnded from None
