"""What a member can ask about workspaces."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from application.kernel.paging import Page, PageRequest
from domain.kernel.memberships import Role
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId


@dataclass(slots=True)
class WorkspaceView:
    """A workspace as one of its members sees it; `role` is the viewer's own."""

    id: WorkspaceId
    name: str
    slug: str
    role: Role
    created_at: datetime
    archived_at: datetime | None
    version: int


class WorkspaceQueries(Protocol):
    async def get(self, viewer: UserId, workspace_id: WorkspaceId, /) -> WorkspaceView:
        """Raises WorkspaceNotFound, also for a viewer who is not a member."""

    async def page(self, viewer: UserId, page: PageRequest, /) -> Page[WorkspaceView]:
        """The viewer's workspaces, archived ones too, the newest first; raises InvalidCursor."""
