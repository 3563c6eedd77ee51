"""Invitations into a workspace, by e-mail address."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NewType, Self
from uuid import UUID

from domain.kernel.aggregate import Aggregate, Event
from domain.kernel.errors import Conflict, NotFound
from domain.kernel.memberships import Role
from domain.kernel.users import Email, EmailNotVerified, UserId, email_address
from domain.kernel.workspaces import WorkspaceId

InvitationId = NewType("InvitationId", UUID)

LIFETIME = timedelta(days=7)


class InvitationNotFound(NotFound, of=InvitationId):
    """There is no such invitation, or it is not for you."""


class InvitationExpired(Conflict):
    """The invitation has expired; ask for another."""


class AlreadyInvited(Conflict):
    """This address already has an open invitation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberInvited(Event):
    workspace_id: WorkspaceId
    invitation_id: InvitationId
    role: Role
    by: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class InvitationAccepted(Event):
    workspace_id: WorkspaceId
    invitation_id: InvitationId
    by: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class InvitationWithdrawn(Event):
    workspace_id: WorkspaceId
    invitation_id: InvitationId
    by: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class InvitationLapsed(Event):
    """Its inviter may no longer give it: they left, were removed or demoted, or are suspended."""

    workspace_id: WorkspaceId
    invitation_id: InvitationId


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation(Aggregate):
    """An offer of a role, open until it is accepted, withdrawn or a week old, or its inviter may not give it.

    Accepting takes two things: an account that has verified the invited address, and the secret that is
    mailed there. `token_hash` is that secret's; there is none before the mail is written.
    """

    id: InvitationId
    workspace_id: WorkspaceId
    email: Email
    role: Role
    token_hash: str | None = None
    invited_by: UserId
    created_at: datetime
    expires_at: datetime

    @classmethod
    def invite(
        cls,
        *,
        id: InvitationId,
        workspace_id: WorkspaceId,
        email: str,
        role: Role,
        by: UserId,
        at: datetime,
    ) -> Self:
        """Not good for anything before it has a hash."""
        return cls(
            id=id,
            workspace_id=workspace_id,
            email=email_address(email),
            role=role,
            invited_by=by,
            created_at=at,
            expires_at=at + LIFETIME,
            events=(MemberInvited(at=at, workspace_id=workspace_id, invitation_id=id, role=role, by=by),),
        )

    def has_expired(self, at: datetime) -> bool:
        return at >= self.expires_at

    def accept(self, *, email: Email | None, email_verified: bool, by: UserId, at: datetime) -> Self:
        """`email` is the account's own; another account's invitation looks as if it did not exist."""
        if email != self.email:
            raise InvitationNotFound
        if not email_verified:
            raise EmailNotVerified("The invitation is for who reads the mail of this address.")
        if self.has_expired(at):
            raise InvitationExpired
        accepted = InvitationAccepted(at=at, workspace_id=self.workspace_id, invitation_id=self.id, by=by)
        return self.recording(accepted)

    def withdraw(self, *, by: UserId, at: datetime) -> Self:
        withdrawn = InvitationWithdrawn(at=at, workspace_id=self.workspace_id, invitation_id=self.id, by=by)
        return self.recording(withdrawn)
