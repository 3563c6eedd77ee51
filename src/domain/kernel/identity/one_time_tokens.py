"""Secrets that go by mail and are good for one use: to verify an address, reset a password, undo a change."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType, Self
from uuid import UUID

from domain.kernel.aggregate import Aggregate, Event
from domain.kernel.errors import Conflict, NotFound
from domain.kernel.identity.sessions import DELETION_REMEMBERED
from domain.kernel.users import Email, UserId

OneTimeTokenId = NewType("OneTimeTokenId", UUID)
VERIFICATION_LIFETIME = timedelta(hours=24)
RESET_LIFETIME = timedelta(hours=1)  # a mailbox that another person reads later gives no access
UNDO_LIFETIME = timedelta(days=7)  # how long an owner may be away from the mailbox that tells of a theft


class OneTimeTokenNotFound(NotFound):
    """This has been used, has expired, or was never issued; ask for a new one."""


class NothingToVerify(Conflict):
    """There is no address to verify, or it is already verified."""


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
    def undo_email_change(cls, *, id: OneTimeTokenId, user_id: UserId, email: Email, at: datetime) -> Self:
        """Of `email`, the address so far, where it is mailed. Not good for anything before it has a hash."""
        return cls(
            id=id,
            purpose=Purpose.UNDO_EMAIL_CHANGE,
            user_id=user_id,
            email=email,
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
