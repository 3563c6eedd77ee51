"""What can be asked about open invitations: by those who manage members, and by who was invited."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from application.kernel.paging import Page, PageRequest
from domain.kernel.invitations import InvitationId
from domain.kernel.memberships import Role
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId


@dataclass(slots=True)
class InvitationView:
    """An open invitation, expired ones included; its secret is in the mail alone."""

    id: InvitationId
    workspace_id: WorkspaceId
    workspace_name: str
    email: str
    role: Role
    invited_by: UserId
    created_at: datetime
    expires_at: datetime
    version: int


class InvitationQueries(Protocol):
    async def get(self, viewer: UserId, invitation_id: InvitationId, /) -> InvitationView:
        """For owners and admins, and for who has verified the invited address.

        Raises NotPermitted for lesser members, InvitationNotFound for everybody else.
        """

    async def page(
        self, viewer: UserId, workspace_id: WorkspaceId, page: PageRequest, /
    ) -> Page[InvitationView]:
        """For owners and admins, the newest first.

        Raises NotPermitted for lesser members, WorkspaceNotFound for everybody else.
        """

    async def mine(self, viewer: UserId, page: PageRequest, /) -> Page[InvitationView]:
        """Those to the viewer's own address, the newest first; none where it is not verified."""
