"""Who vouches for a user: the (issuer, subject) pairs that point to them."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import NewType, Self
from uuid import UUID

from domain.kernel.aggregate import Aggregate, Event
from domain.kernel.errors import Conflict, Invalid, NotFound
from domain.kernel.users import UserId

LinkId = NewType("LinkId", UUID)


class LinkNotFound(NotFound, of=LinkId):
    """There is no such link to a provider."""


class LinkedElsewhere(Conflict):
    """This account of the provider belongs to another user."""


class LastWayIn(Conflict):
    """This is your only way to log in; set a password or link another account first."""


class NothingToLink(Invalid):
    """The token was not issued by another provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityLinked(Event):
    link_id: LinkId
    user_id: UserId
    issuer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityUnlinked(Event):
    link_id: LinkId
    user_id: UserId
    issuer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LinksRemoved(Event):
    """All links of a user went at once, with the claim on an address that was never proved."""

    user_id: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class Link(Aggregate):
    """A provider's account that is a user of ours: its issuer's name and its subject there."""

    id: LinkId
    user_id: UserId
    issuer: str
    subject: str
    created_at: datetime

    @classmethod
    def make(cls, *, id: LinkId, user_id: UserId, issuer: str, subject: str, at: datetime) -> Self:
        linked = IdentityLinked(at=at, link_id=id, user_id=user_id, issuer=issuer)
        return cls(id=id, user_id=user_id, issuer=issuer, subject=subject, created_at=at, events=(linked,))

    def move(self, *, to: UserId, at: datetime) -> Self:
        """The same account of the provider, which is that of another user from now on."""
        linked = IdentityLinked(at=at, link_id=self.id, user_id=to, issuer=self.issuer)
        return replace(self, user_id=to, created_at=at).recording(linked)

    def unlink(self, *, last: bool, at: datetime) -> Self:
        """The link with the fact that it ended; refused where it was the `last` way to log in."""
        if last:
            raise LastWayIn("Link another provider or set a password first.")
        return self.recording(
            IdentityUnlinked(at=at, link_id=self.id, user_id=self.user_id, issuer=self.issuer)
        )
