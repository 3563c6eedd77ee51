"""What a user is told about the tasks that concern them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, TypedDict

from fastapi import Body, Query

from application.commands import notifications as commands
from application.kernel.example import Example
from application.kernel.paging import Page
from application.queries.notifications import NotificationFilter, NotificationView
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId
from domain.notifications import Kind, Notification, NotificationId
from domain.tasks import TaskId
from entrypoints.http.dependencies import Ask, Run
from entrypoints.http.kernel.document.examples import INSTANT
from entrypoints.http.kernel.routing.dependencies import Actor
from entrypoints.http.kernel.routing.inputs import PageQuery, strict
from entrypoints.http.kernel.routing.routes import Router

router = Router(tag="notifications")


@strict
class Reading(TypedDict):
    """Whether it has been read."""

    read: Annotated[bool, Example(True)]


class NotificationQuery(PageQuery):
    """Which notifications."""

    unread: bool | None = None
    """Only those that have not been read, or only those that have."""

    @property
    def where(self) -> NotificationFilter:
        return NotificationFilter(unread=self.unread)


@dataclass(slots=True)
class NotificationAfter:
    """A notification as a change has left it."""

    id: NotificationId
    kind: Kind
    workspace_id: WorkspaceId
    task_id: TaskId
    caused_by: UserId
    created_at: datetime
    read_at: datetime | None
    version: int


@router.get("/notifications")
async def list_notifications(
    actor: Actor, ask: Ask, query: Annotated[NotificationQuery, Query()]
) -> Page[NotificationView]:
    """Everybody may list their own notifications, the newest first."""
    return await ask.notifications.page(actor.user_id, query.where, query.page)


@router.get("/notifications/{notification_id}")
async def get_notification(notification_id: NotificationId, actor: Actor, ask: Ask) -> NotificationView:
    """Everybody may see their own notifications."""
    return await ask.notifications.get(actor.user_id, notification_id)


@router.patch(
    "/notifications/{notification_id}",
    use_case=commands.mark_notification,
    example={"read_at": INSTANT},
    changes=Notification,
    response_model=NotificationAfter,
)
async def mark_notification(
    notification_id: NotificationId, actor: Actor, run: Run, body: Annotated[Reading, Body()]
) -> Notification:
    return await run(commands.mark_notification, actor, notification_id, **body)
