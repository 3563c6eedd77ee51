"""What a member can ask about the other members."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from application.kernel.paging import Page, PageRequest
from domain.kernel.memberships import Role
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId


@dataclass(slots=True)
class MemberView:
    """One person in a workspace, as the other members see them: with an address if they have verified it."""

    workspace_id: WorkspaceId
    user_id: UserId
    display_name: str
    email: str | None
    role: Role
    joined_at: datetime
    version: int


class MembershipQueries(Protocol):
    async def get(self, viewer: UserId, workspace_id: WorkspaceId, user_id: UserId, /) -> MemberView:
        """Raises MemberNotFound, and WorkspaceNotFound where the viewer is not a member."""

    async def page(self, viewer: UserId, workspace_id: WorkspaceId, page: PageRequest, /) -> Page[MemberView]:
        """The members, in the order they joined; raises WorkspaceNotFound, InvalidCursor."""
