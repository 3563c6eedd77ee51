"""What a user is told about the tasks that concern them."""

from typing import Annotated, Never, TypedDict

from fastapi import Body, Query

from application.commands import notifications as commands
from application.kernel.example import Example
from application.kernel.paging import Page
from application.kernel.ports.callers import Caller
from application.queries import Queries
from application.queries.notifications import NotificationFilter, NotificationView
from domain.notifications import Notification, NotificationId
from entrypoints.http.dependencies import Ask, Run
from entrypoints.http.kernel.document.examples import INSTANT
from entrypoints.http.kernel.routing.dependencies import Actor
from entrypoints.http.kernel.routing.inputs import strict
from entrypoints.http.kernel.routing.lists import ListQuery
from entrypoints.http.kernel.routing.routes import Router

router = Router(tag="notifications")


@strict
class Reading(TypedDict):
    """Whether it has been read."""

    read: Annotated[bool, Example(True)]


async def _view(ask: Queries, actor: Caller, notification: Notification) -> NotificationView:
    return await ask.notifications.get(actor.user_id, notification.id)


@router.get("/notifications")
async def list_notifications(
    actor: Actor, ask: Ask, query: Annotated[ListQuery[NotificationFilter, Never], Query()]
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
)
async def mark_notification(
    notification_id: NotificationId, actor: Actor, run: Run, body: Annotated[Reading, Body()]
) -> NotificationView:
    return await run.showing(_view, commands.mark_notification, actor, notification_id, **body)
