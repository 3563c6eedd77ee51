"""Sessions: opened for whoever proved who they are, continued by their client, and ended.

`TokenSessions` is for clients that keep tokens. It makes the secrets, and runs the use cases here.
"""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from application.kernel.identity.secret_tokens import fingerprint, new_secret
from application.kernel.ports.callers import Caller
from application.kernel.ports.sessions import AccessToken, TokenIssuer
from application.kernel.run import Runner
from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.aggregate import new_id
from domain.kernel.errors import Stale
from domain.kernel.identity.auth import (
    NoSession,
    Session,
    SessionEnded,
    SessionId,
    SessionKind,
    SessionNotFound,
)
from domain.kernel.users import Suspended, UserId


async def open_session(
    uow: KernelUnitOfWork,
    user_id: UserId,
    *,
    token_hash: str,
    lifetime: timedelta,
    kind: SessionKind = SessionKind.TOKENS,
    agent: str = "",
    password_hash: str | None = None,
) -> Session:
    """Whoever has just proved who they are gets a session.

    Refused when that was by a password, and `password_hash` is no longer what is stored: then the password
    was changed in the meantime, and every session that it opened was ended.
    """
    session = Session.open(
        id=SessionId(new_id(uow.now)),
        user_id=user_id,
        token_hash=token_hash,
        at=uow.now,
        lifetime=lifetime,
        kind=kind,
        agent=agent,
    )
    if password_hash is None:
        return await uow.sessions.add(session)
    return await uow.sessions.add_by_password(session, password_hash=password_hash)


async def refresh_session(
    uow: KernelUnitOfWork, session_id: SessionId, *, presented: str, successor: str
) -> Session:
    """The bearer of a session's current token gets its successor; an older token ends the session.

    The ended session is returned, not raised, because it has to be committed. Refused for a suspended user.
    """
    session = await uow.sessions.get(session_id)
    refreshed = session.refresh(presented=presented, successor=successor, at=uow.now)
    if refreshed.ended_at is None:
        (await uow.users.get(session.user_id)).ensure_active()
    return await uow.sessions.save(refreshed)


async def revoke_session(uow: KernelUnitOfWork, session_id: SessionId, *, presented: str) -> None:
    """The bearer of a session's current token may end it; any other token changes nothing."""
    session = await uow.sessions.get(session_id)
    if session.is_open(uow.now) and session.token_hash == presented:
        await uow.sessions.save(session.end(at=uow.now))


async def end_session(uow: KernelUnitOfWork, actor: Caller, session_id: SessionId) -> None:
    """Everybody may end their own sessions; another's, or one that has ended, is not to be found."""
    session = await uow.sessions.get(session_id)
    if session.user_id != actor.user_id or not session.is_open(uow.now):
        raise SessionNotFound
    await uow.sessions.save(session.end(at=uow.now))


async def log_out(uow: KernelUnitOfWork, actor: Caller) -> None:
    """Ends the session that the access token belongs to; refused for a token that has none.

    Its access tokens are refused within seconds.
    """
    if actor.session_id is None:
        raise NoSession("Another provider issued this token: log out there.")
    session = await uow.sessions.get(actor.session_id)
    if session.is_open(uow.now):
        await uow.sessions.save(session.end(at=uow.now))


async def log_out_everywhere(uow: KernelUnitOfWork, actor: Caller) -> None:
    """Everybody may end all of their sessions at once, this one too."""
    await uow.sessions.end_all(actor.user_id, at=uow.now)


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
        self, run: Runner[KernelUnitOfWork], tokens: TokenIssuer, *, lifetime: timedelta, trusted: bool = True
    ) -> None:
        """Where the tokens that this issues are not `trusted` any more, its sessions are over as well."""
        self._run = run
        self._tokens = tokens
        self._lifetime = lifetime
        self._trusted = trusted

    async def open(self, user_id: UserId, *, agent: str = "", password_hash: str | None = None) -> TokenPair:
        """A session's first pair; raises as `open_session` does."""
        secret = new_secret()
        session = await self._run(
            open_session,
            user_id,
            token_hash=fingerprint(secret),
            lifetime=self._lifetime,
            agent=agent,
            password_hash=password_hash,
        )
        return await self._pair(session, secret)

    async def refresh(self, *, refresh_token: str) -> TokenPair:
        """Each refresh token is good for one use; a second use ends the session for everybody."""
        if not self._trusted:
            raise SessionEnded("Log in at the provider.")
        session_id, presented = _parse(refresh_token)
        secret = new_secret()
        try:
            session = await self._run(
                refresh_session, session_id, presented=fingerprint(presented), successor=fingerprint(secret)
            )
        # Stale: another use at the same time was first.
        except (SessionNotFound, Stale, Suspended) as lost:
            raise SessionEnded from lost
        if session.ended_at is not None:
            raise SessionEnded
        return await self._pair(session, secret)

    async def revoke(self, *, refresh_token: str) -> None:
        """Ends the session of a refresh token that is good; of any other nothing is said (RFC 7009 §2.2)."""
        try:
            session_id, presented = _parse(refresh_token)
            await self._run(revoke_session, session_id, presented=fingerprint(presented))
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
