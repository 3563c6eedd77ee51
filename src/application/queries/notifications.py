"""What a user can ask about their notifications."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Protocol

from application.kernel.example import Example
from application.kernel.paging import Page, PageRequest
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId
from domain.notifications import Kind, NotificationId
from domain.tasks import TaskId


@dataclass(slots=True)
class NotificationView:
    """What happened, to which task, and who did it, by the names they have now."""

    id: NotificationId
    kind: Kind
    workspace_id: WorkspaceId
    task_id: TaskId
    task_title: Annotated[str, Example("Weave algebraic patterns")]
    caused_by: UserId
    caused_by_name: Annotated[str, Example("Ada Lovelace")]
    created_at: datetime
    read_at: Annotated[datetime | None, Example(None)]
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationFilter:
    """Which notifications; what is absent does not matter."""

    unread: bool | None = None
    """Only those that have not been read, or only those that have."""


class NotificationQueries(Protocol):
    async def get(self, viewer: UserId, notification_id: NotificationId, /) -> NotificationView:
        """One of the viewer's own; raises NotificationNotFound."""

    async def page(
        self, viewer: UserId, where: NotificationFilter, page: PageRequest, /
    ) -> Page[NotificationView]:
        """The viewer's own, the newest first; raises InvalidCursor."""
