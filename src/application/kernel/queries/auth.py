"""What logging in has to look up, and what a user can ask about their sessions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from application.kernel.paging import Page, PageRequest
from domain.kernel.identity.sessions import SessionId, SessionKind
from domain.kernel.identity.signing_keys import SigningKey
from domain.kernel.users import Email, GlobalRole, UserId

CLAIMANTS = 3
"""How many users who claim an unverified address are looked at. Each costs a log-in one more
verification of a password; a user who is not among them resets theirs, which proves the address."""


@dataclass(slots=True)
class KnownCredential:
    """A password's hash, and whose it is. Never leaves the application."""

    user_id: UserId
    password_hash: str
    suspended: bool


@dataclass(slots=True)
class PasswordOwner:
    """Who changes or resets a password: the words that make no good one, and the hash where there is one."""

    email: Email | None
    display_name: str
    password_hash: str | None


@dataclass(slots=True)
class SessionView:
    """A log-in that goes on: with `agent`, what the client called itself. `current` is the one that asks.

    `used_at` is the log-in or the latest use that was recorded: a refresh, and with a cookie, where idle
    sessions end, now and then a request.
    """

    id: SessionId
    kind: SessionKind
    agent: str
    created_at: datetime
    used_at: datetime
    expires_at: datetime
    current: bool
    version: int


@dataclass(slots=True)
class KnownCookie:
    """The session of a cookie, and what holds for its user now. Never leaves the application."""

    session_id: SessionId
    token_hash: str
    used_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    user_id: UserId
    roles: tuple[GlobalRole, ...]
    suspended_at: datetime | None
    authenticated_at: datetime | None


class AuthQueries(Protocol):
    async def credentials(self, email: Email, /) -> Sequence[KnownCredential]:
        """That of the user who has verified the address. Where none has, those of the newest who claim it
        and are not suspended, CLAIMANTS at most."""

    async def known(self, user_id: UserId, /) -> PasswordOwner | None: ...

    async def resetting(self, token_hash: str, /) -> PasswordOwner | None:
        """Whose password a mailed secret may reset, be it expired or not."""

    async def session(
        self, viewer: UserId, session_id: SessionId, /, *, current: SessionId | None
    ) -> SessionView:
        """One of the viewer's own that goes on; raises SessionNotFound."""

    async def sessions(
        self, viewer: UserId, page: PageRequest, /, *, current: SessionId | None
    ) -> Page[SessionView]:
        """The viewer's open ones, the newest first; raises InvalidCursor."""

    async def signing_keys(self) -> list[SigningKey]:
        """All there are, the oldest first."""

    async def cookie(self, session_id: SessionId, /) -> KnownCookie | None:
        """`None` where there is no such session, or one of another kind."""
