"""Sessions of users: how long each lasts, and what its tokens may do."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, StrEnum, auto
from typing import NewType, Self
from uuid import UUID

from domain.kernel.aggregate import Aggregate, Event
from domain.kernel.errors import Conflict, NotFound, Unauthenticated
from domain.kernel.users import UserId

SessionId = NewType("SessionId", UUID)

AGENT_MOST = 200
DELETION_REMEMBERED = timedelta(hours=24)  # longer than providers' access tokens are good


class SessionEnded(Unauthenticated):
    """The session has ended; log in again."""


class RefreshedElsewhere(Conflict):
    """Another request was faster with this refresh token; go on with the tokens that it was given."""


class SessionNotFound(NotFound, of=SessionId):
    """There is no such session."""


class NoSession(Conflict):
    """This access token does not belong to a session of this service."""


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
