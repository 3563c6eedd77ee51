"""What the built-in provider does: registering, logging in, refreshing.

Hashing a password takes tens of milliseconds of CPU, so it happens before the transaction opens:
`PasswordLogin` does the slow part, and runs the use cases here for the rest.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from application.ports import AccessToken, PasswordHasher, TokenIssuer, UnitOfWork
from application.queries.auth import AuthQueries
from application.run import Runner
from application.secret_tokens import fingerprint, new_secret
from domain.aggregate import new_id
from domain.auth import (
    PASSWORD_MOST,
    Credential,
    Session,
    SessionEnded,
    SessionId,
    SessionNotFound,
    WrongCredentials,
    acceptable_password,
)
from domain.errors import Invalid, Stale
from domain.users import User, UserId, email_address


async def register_user(uow: UnitOfWork, *, email: str, display_name: str, password_hash: str) -> User:
    """Anybody may register, once for each e-mail address."""
    user_id = UserId(new_id(uow.now))
    user = await uow.users.add(User.register(id=user_id, email=email, display_name=display_name, at=uow.now))
    await uow.credentials.add(Credential(id=user_id, password_hash=password_hash))
    return user


async def replace_hash(uow: UnitOfWork, user_id: UserId, *, outdated: str, password_hash: str) -> None:
    """The same password under today's parameters, unless it was changed in the meantime."""
    credential = await uow.credentials.get(user_id)
    if credential.password_hash == outdated:
        await uow.credentials.save(replace(credential, password_hash=password_hash))


async def open_session(uow: UnitOfWork, user_id: UserId, *, token_hash: str, lifetime: timedelta) -> Session:
    """Whoever has just proved who they are gets a session."""
    return await uow.sessions.add(
        Session.open(
            id=SessionId(new_id(uow.now)),
            user_id=user_id,
            token_hash=token_hash,
            at=uow.now,
            lifetime=lifetime,
        )
    )


async def refresh_session(
    uow: UnitOfWork, session_id: SessionId, *, presented: str, successor: str
) -> Session:
    """The bearer of a session's current token gets its successor; an older token ends the session.

    The ended session is returned, not raised, because it has to be committed.
    """
    session = await uow.sessions.get(session_id)
    return await uow.sessions.save(session.refresh(presented=presented, successor=successor, at=uow.now))


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a client keeps: `expires_in` counts the seconds of the access token (RFC 6749 §5.1)."""

    access_token: str
    refresh_token: str
    token_type: str
    expires_in: int


class PasswordLogin:
    """The built-in provider, with its slow parts outside of any transaction."""

    def __init__(
        self,
        run: Runner,
        queries: AuthQueries,
        passwords: PasswordHasher,
        tokens: TokenIssuer,
        session_lifetime: timedelta,
    ) -> None:
        self._run = run
        self._queries = queries
        self._passwords = passwords
        self._tokens = tokens
        self._session_lifetime = session_lifetime

    async def register(self, *, email: str, password: str, display_name: str) -> User:
        """Anybody may register, once for each e-mail address; a password has at least 15 characters."""
        password_hash = await self._passwords.hash(acceptable_password(password))
        return await self._run(
            register_user, email=email, display_name=display_name, password_hash=password_hash
        )

    async def log_in(self, *, email: str, password: str) -> TokenPair:
        """Takes the same time and gives the same answer for a wrong password and an unknown address."""
        try:
            known = await self._queries.credential(email_address(email))
        except Invalid:
            known = None
        if len(password) > PASSWORD_MOST:
            known, password = None, ""
        matches = await self._passwords.verify(password, known.password_hash if known else None)
        if known is None or not matches:
            raise WrongCredentials
        if self._passwords.is_outdated(known.password_hash):
            password_hash = await self._passwords.hash(password)
            with suppress(Stale):  # another log-in at the same time has done it
                await self._run(
                    replace_hash, known.user_id, outdated=known.password_hash, password_hash=password_hash
                )
        secret = new_secret()
        session = await self._run(
            open_session, known.user_id, token_hash=fingerprint(secret), lifetime=self._session_lifetime
        )
        return _pair(session, secret, self._tokens.issue(known.user_id))

    async def refresh(self, *, refresh_token: str) -> TokenPair:
        """Each refresh token is good for one use; a second use ends the session for everybody."""
        session_id, presented = _parse(refresh_token)
        secret = new_secret()
        try:
            session = await self._run(
                refresh_session, session_id, presented=fingerprint(presented), successor=fingerprint(secret)
            )
        except (SessionNotFound, Stale) as lost:  # stale: another use at the same time was first
            raise SessionEnded from lost
        if session.ended_at is not None:
            raise SessionEnded
        return _pair(session, secret, self._tokens.issue(session.user_id))


def _pair(session: Session, secret: str, access_token: AccessToken) -> TokenPair:
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
