"""The built-in provider's own records: credentials, sessions, one-time tokens, signing keys."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, StrEnum, auto
from typing import NewType, Self
from uuid import UUID

from domain.kernel.aggregate import Aggregate, Event
from domain.kernel.errors import Conflict, Forbidden, Invalid, Limited, NotFound, Unauthenticated
from domain.kernel.users import Email, UserId

SessionId = NewType("SessionId", UUID)
OneTimeTokenId = NewType("OneTimeTokenId", UUID)

AGENT_MOST = 200
DELETION_REMEMBERED = timedelta(hours=24)  # longer than providers' access tokens are good
VERIFICATION_LIFETIME = timedelta(hours=24)
RESET_LIFETIME = timedelta(hours=1)  # a mailbox that another person reads later gives no access
UNDO_LIFETIME = timedelta(days=7)  # how long an owner may be away from the mailbox that tells of a theft


class WrongCredentials(Unauthenticated):
    """The e-mail address or the password is wrong."""


class WrongPassword(Forbidden):
    """The current password is wrong."""


class PasswordsDisabled(Forbidden):
    """This service has no log-in with a password."""


class ReauthenticationRequired(Forbidden):
    """This needs a fresh proof of who you are."""


class TooManyAttempts(Limited):
    """There were too many attempts; try again later."""


class SessionEnded(Unauthenticated):
    """The session has ended; log in again."""


class RefreshedElsewhere(Conflict):
    """Another request was faster with this refresh token; go on with the tokens that it was given."""


class SessionNotFound(NotFound, of=SessionId):
    """There is no such session."""


class NoSession(Conflict):
    """This access token does not belong to a session of this service."""


class LoginDenied(Unauthenticated):
    """The log-in at the provider was cancelled or refused."""


class LoginRefused(Unauthenticated):
    """The provider's answer could not be verified; log in again."""


class LoginUsed(Unauthenticated):
    """This log-in at the provider has been finished before; log in again."""


class ExchangeRefused(Unauthenticated):
    """The code has been used, has expired, or does not go with this verifier; log in again."""


class LoginProviderNotFound(NotFound):
    """There is no provider of this name to log in with."""


class LoginNotBegun(Invalid):
    """This log-in was not begun in this browser; begin again."""


class OneTimeTokenNotFound(NotFound):
    """This has been used, has expired, or was never issued; ask for a new one."""


class NothingToVerify(Conflict):
    """There is no address to verify, or it is already verified."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOpened(Event):
    session_id: SessionId
    user_id: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClosed(Event):
    """A user logged out. Sessions that end all at once have no event each: what ended them has one."""

    session_id: SessionId
    user_id: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionsEnded(Event):
    """A user who manages users, `by`, has ended all sessions of another."""

    user_id: UserId
    by: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherSessionsEnded(Event):
    """The user ended sessions other than the one that asked for it."""

    user_id: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshTokenReused(Event):
    """A token that was replaced came back after the grace: a client kept it, or it was stolen."""

    session_id: SessionId
    user_id: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordChanged(Event):
    """`reset` where a secret that was mailed was the proof, and not the password before."""

    user_id: UserId
    reset: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential(Aggregate):
    """What a user proves themselves with; `id` is the user's. The hash is argon2id in PHC form."""

    id: UserId
    password_hash: str

    def change(self, password_hash: str, *, at: datetime, reset: bool = False) -> Self:
        """With another password; not for the same one under other parameters."""
        changed = PasswordChanged(at=at, user_id=self.id, reset=reset)
        return replace(self, password_hash=password_hash).recording(changed)


class SessionKind(StrEnum):
    """What the client keeps of a session."""

    TOKENS = "tokens"
    """A refresh token, which each use replaces, and access tokens."""

    COOKIE = "cookie"
    """One secret in a cookie, which stays."""


class Standing(Enum):
    """What a refresh token is to its session (docs/decisions/0027)."""

    CURRENT = auto()
    REPLACED = auto()
    """By the current one, within the grace: its bearer may have the current one again."""
    OVERTAKEN = auto()
    """Replaced within the grace as well, but its successor has been used since."""
    REUSED = auto()
    """Replaced before the grace."""
    NEVER_GOOD = auto()


REPLACED_MOST = 8
"""Replaced tokens that a session remembers; one that was replaced earlier counts as out of the grace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session(Aggregate):
    """A log-in: the family of refresh tokens that follow one another (RFC 9700 §4.14.2), or one cookie.

    Of secrets only hashes are kept: of the one that is valid now, and of the tokens that it `replaced` a
    moment ago, the newest first, with the instants in `replaced_at`. The token before the current one and
    `successor_salt` together make the current one. `family_key` marks the tokens of this session, so that one
    of long ago is told from one that never was; a cookie has none, nor has a session that an earlier version
    of the service opened until it is refreshed.

    `agent` is what the client called itself, for the person who looks through their sessions; `used_at` is
    the log-in or the latest use that was recorded. `expires_at` moves with it where idle sessions end.
    `authenticated_at` is when a provider let the person in; it is not there after a log-in with a password.
    """

    id: SessionId
    user_id: UserId
    kind: SessionKind = SessionKind.TOKENS
    token_hash: str
    family_key: str | None = None
    successor_salt: str | None = None
    replaced: tuple[str, ...] = ()
    replaced_at: tuple[datetime, ...] = ()
    agent: str = ""
    created_at: datetime
    used_at: datetime
    expires_at: datetime
    ended_at: datetime | None = None
    authenticated_at: datetime | None = None

    @classmethod
    def open(
        cls,
        *,
        id: SessionId,
        user_id: UserId,
        token_hash: str,
        at: datetime,
        lifetime: timedelta,
        idle: timedelta | None = None,
        kind: SessionKind = SessionKind.TOKENS,
        family_key: str | None = None,
        agent: str = "",
        authenticated_at: datetime | None = None,
    ) -> Self:
        """It lasts for `lifetime`, and ends after `idle` without use."""
        return cls(
            id=id,
            user_id=user_id,
            kind=kind,
            token_hash=token_hash,
            family_key=family_key,
            agent=agent[:AGENT_MOST],
            created_at=at,
            used_at=at,
            expires_at=at + (lifetime if idle is None else min(lifetime, idle)),
            authenticated_at=authenticated_at,
            events=(SessionOpened(at=at, session_id=id, user_id=user_id),),
        )

    def is_open(self, at: datetime) -> bool:
        return self.ended_at is None and at < self.expires_at

    def end(self, *, at: datetime) -> Self:
        closed = SessionClosed(at=at, session_id=self.id, user_id=self.user_id)
        return replace(self, ended_at=at).recording(closed)

    def end_from_elsewhere(self, *, at: datetime) -> Self:
        """The same by a request of another session, of which the user is told."""
        return self.end(at=at).recording(OtherSessionsEnded(at=at, user_id=self.user_id))

    def standing_of(self, presented: str, *, marked: bool, grace: timedelta, at: datetime) -> Standing:
        """What the token with the hash `presented` is; `marked` is whether it bears the family's mark.

        Raises SessionEnded where there is nothing left to refresh, and for a cookie, which stays as it is.
        """
        if self.kind is not SessionKind.TOKENS or not self.is_open(at):
            raise SessionEnded
        if presented == self.token_hash:
            return Standing.CURRENT
        if presented in self.replaced:
            position = self.replaced.index(presented)
            if at >= self.replaced_at[position] + grace:
                return Standing.REUSED
            return Standing.OVERTAKEN if position else Standing.REPLACED
        return Standing.REUSED if marked else Standing.NEVER_GOOD

    def refresh(
        self,
        *,
        successor: str,
        salt: str,
        family_key: str,
        grace: timedelta,
        lifetime: timedelta,
        idle: timedelta | None,
        at: datetime,
    ) -> Self:
        """The session with the hash of the token that replaces the current one."""
        still = sum(at < then + grace for then in self.replaced_at)  # the newest come first
        return replace(
            self.use(lifetime=lifetime, idle=idle, at=at),
            token_hash=successor,
            family_key=family_key,
            successor_salt=salt,
            replaced=(self.token_hash, *self.replaced[:still])[:REPLACED_MOST],
            replaced_at=(at, *self.replaced_at[:still])[:REPLACED_MOST],
        )

    def use(self, *, lifetime: timedelta, idle: timedelta | None, at: datetime) -> Self:
        """The session after a use: it is not idle, and still ends at its time."""
        end = self.created_at + lifetime
        return replace(self, used_at=at, expires_at=end if idle is None else min(end, at + idle))

    def end_for_reuse(self, *, at: datetime) -> Self:
        """The holder of its tokens, owner or thief, has to log in again (RFC 9700 §4.14.2)."""
        reused = RefreshTokenReused(at=at, session_id=self.id, user_id=self.user_id)
        return replace(self, ended_at=at).recording(reused)


class Purpose(StrEnum):
    """What a one-time token is good for."""

    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"  # noqa: S105 (the name of a purpose)
    EXCHANGE = "exchange"
    """Log in: a browser brings it back from a provider, and its application trades it for a session."""
    LOG_IN = "log_in"
    """Nothing: it is the state of a log-in through a provider that is used up (RFC 9700 §4.7)."""

    UNDO_EMAIL_CHANGE = "undo_email_change"
    """Restores the address that was changed, or is about to be."""
    DELETED = "deleted"
    """Nothing: it marks a provider's account whose user is deleted, so that older tokens make no new one."""


VOIDED = tuple(purpose for purpose in Purpose if purpose is not Purpose.UNDO_EMAIL_CHANGE)
"""What is good for nothing any more once the password or the address is another, or the user suspended.

Not what undoes a change of the address: a thief of the account could change its password.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailVerificationRequested(Event):
    token_id: OneTimeTokenId


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordResetRequested(Event):
    token_id: OneTimeTokenId


@dataclass(frozen=True, slots=True, kw_only=True)
class OneTimeToken(Aggregate):
    """A secret that proves something once: only its hash is kept.

    One that goes by mail has no hash before the mail is written, and no user where the address has none.
    `challenge` binds an exchange to the browser that began it (S256, RFC 7636 §4.2), and `authenticated_at`
    is when the provider let the person in.
    """

    id: OneTimeTokenId
    purpose: Purpose
    user_id: UserId | None
    email: Email | None = None
    token_hash: str | None = None
    challenge: str | None = None
    created_at: datetime
    expires_at: datetime
    authenticated_at: datetime | None = None

    @classmethod
    def verify_email(cls, *, id: OneTimeTokenId, user_id: UserId, email: Email, at: datetime) -> Self:
        """Not good for anything before it has a hash."""
        return cls(
            id=id,
            purpose=Purpose.VERIFY_EMAIL,
            user_id=user_id,
            email=email,
            created_at=at,
            expires_at=at + VERIFICATION_LIFETIME,
        )

    @classmethod
    def reset_password(cls, *, id: OneTimeTokenId, email: Email, at: datetime) -> Self:
        """For an address that may or may not be a user's."""
        return cls(
            id=id,
            purpose=Purpose.RESET_PASSWORD,
            user_id=None,
            email=email,
            created_at=at,
            expires_at=at + RESET_LIFETIME,
            events=(PasswordResetRequested(at=at, token_id=id),),
        )

    @classmethod
    def undo_email_change(
        cls, *, id: OneTimeTokenId, user_id: UserId, email: Email, token_hash: str, at: datetime
    ) -> Self:
        """Of `email`, the address so far, to which it is mailed."""
        return cls(
            id=id,
            purpose=Purpose.UNDO_EMAIL_CHANGE,
            user_id=user_id,
            email=email,
            token_hash=token_hash,
            created_at=at,
            expires_at=at + UNDO_LIFETIME,
        )

    @classmethod
    def deleted(cls, *, id: OneTimeTokenId, account_hash: str, at: datetime) -> Self:
        """Of a provider's account, by the fingerprint of issuer and subject, whose user is deleted."""
        return cls(
            id=id,
            purpose=Purpose.DELETED,
            user_id=None,
            token_hash=account_hash,
            created_at=at,
            expires_at=at + DELETION_REMEMBERED,
        )

    def requested(self, *, at: datetime) -> Self:
        """The same, to be mailed."""
        return self.recording(EmailVerificationRequested(at=at, token_id=self.id))

    def has_expired(self, at: datetime) -> bool:
        return at >= self.expires_at

    def redeem(self, purpose: Purpose, *, email: Email | None, at: datetime) -> None:
        """Raises OneTimeTokenNotFound unless it is good for this, now, and for who has this address."""
        if self.purpose is not purpose or self.has_expired(at) or self.email != email:
            raise OneTimeTokenNotFound
