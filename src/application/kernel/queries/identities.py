"""What has to be known of a user who proves who they are, and what a user can ask about their links."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from application.kernel.paging import Page, PageRequest
from domain.kernel.identity.identities import LinkId
from domain.kernel.identity.sessions import SessionId
from domain.kernel.users import GlobalRole, UserId


@dataclass(slots=True)
class KnownUser:
    """Whom a provider's account stands for, and what holds for them now. Never leaves the application.

    `lacks_email` and `lacks_name` are what the provider did not tell so far, nor they themselves.
    """

    user_id: UserId
    roles: tuple[GlobalRole, ...]
    suspended_at: datetime | None
    lacks_email: bool = False
    lacks_name: bool = False


@dataclass(slots=True)
class KnownSession:
    """A log-in of the built-in provider, and what holds for its user now. Never leaves the application."""

    user_id: UserId
    roles: tuple[GlobalRole, ...]
    suspended_at: datetime | None
    expires_at: datetime
    ended_at: datetime | None
    authenticated_at: datetime | None


@dataclass(slots=True)
class LinkView:
    """An account of a provider with which the user can log in."""

    id: LinkId
    issuer: str
    subject: str
    created_at: datetime
    version: int


class IdentityQueries(Protocol):
    async def linked(self, issuer: str, subject: str, /) -> KnownUser | None: ...

    async def session(self, user_id: UserId, session_id: SessionId, /) -> KnownSession | None:
        """`None` where the user has no such session, or is no user."""

    async def get(self, viewer: UserId, link_id: LinkId, /) -> LinkView:
        """One of the viewer's own; raises LinkNotFound."""

    async def page(self, viewer: UserId, page: PageRequest, /) -> Page[LinkView]:
        """The viewer's own, in the order in which they were linked; raises InvalidCursor."""
