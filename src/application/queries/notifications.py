"""What a user can ask about their notifications."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from application.paging import Page, PageRequest
from domain.notifications import Kind, NotificationId
from domain.tasks import TaskId
from domain.users import UserId
from domain.workspaces import WorkspaceId


@dataclass(slots=True)
class NotificationView:
    """What happened, to which task, and who did it, by the names they have now."""

    id: NotificationId
    kind: Kind
    workspace_id: WorkspaceId
    task_id: TaskId
    task_title: str
    caused_by: UserId
    caused_by_name: str
    created_at: datetime
    read_at: datetime | None
    version: int


class NotificationQueries(Protocol):
    async def page(
        self, viewer: UserId, page: PageRequest, /, *, unread_only: bool
    ) -> Page[NotificationView]:
        """The viewer's own, the newest first; raises InvalidCursor."""
