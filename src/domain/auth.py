"""The built-in provider's own records: a password, and the sessions that it opened."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NewType, Self
from uuid import UUID

from domain.aggregate import Aggregate, Event
from domain.errors import Invalid, NotFound, Unauthenticated
from domain.users import UserId

SessionId = NewType("SessionId", UUID)

PASSWORD_LEAST = 15  # NIST SP 800-63B-4 §3.1.1.2, a password as the only factor
PASSWORD_MOST = 128  # bounds the work of hashing


class WrongCredentials(Unauthenticated):
    """The e-mail address or the password is wrong."""


class SessionEnded(Unauthenticated):
    """The session has ended; log in again."""


class SessionNotFound(NotFound):
    """There is no such session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOpened(Event):
    session_id: SessionId
    user_id: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshTokenReused(Event):
    """A token that had been used before came back: a client retried, or somebody stole it."""

    session_id: SessionId
    user_id: UserId


def acceptable_password(password: str) -> str:
    """The password unchanged, or Invalid: any Unicode, no rules of composition (NIST SP 800-63B-4)."""
    if not PASSWORD_LEAST <= len(password) <= PASSWORD_MOST:
        detail = (
            f"It must have {PASSWORD_LEAST} to {PASSWORD_MOST} characters; several words make a good one."
        )
        raise Invalid(detail, field="password")
    if len(set(password)) == 1:
        raise Invalid("It must not repeat one single character.", field="password")
    if any("\ud800" <= character <= "\udfff" for character in password):
        raise Invalid("It must be valid Unicode text.", field="password")
    return password


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential(Aggregate):
    """What a user proves themselves with; `id` is the user's. The hash is argon2id in PHC form."""

    id: UserId
    password_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Session(Aggregate):
    """A log-in: the family of refresh tokens that follow one another (RFC 9700 §4.14.2).

    Only the hash of the one token that is valid now is kept; each use replaces it.
    """

    id: SessionId
    user_id: UserId
    token_hash: str
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None = None

    @classmethod
    def open(
        cls, *, id: SessionId, user_id: UserId, token_hash: str, at: datetime, lifetime: timedelta
    ) -> Self:
        return cls(
            id=id,
            user_id=user_id,
            token_hash=token_hash,
            created_at=at,
            expires_at=at + lifetime,
            events=(SessionOpened(at=at, session_id=id, user_id=user_id),),
        )

    def refresh(self, *, presented: str, successor: str, at: datetime) -> Self:
        """The session with its next token, or ended because `presented` was not the current one.

        Raises SessionEnded where there is nothing left to refresh.
        """
        if self.ended_at is not None or at >= self.expires_at:
            raise SessionEnded
        if presented != self.token_hash:
            reused = RefreshTokenReused(at=at, session_id=self.id, user_id=self.user_id)
            return replace(self, ended_at=at).recording(reused)
        return replace(self, token_hash=successor)
