"""Notifications: all that the suites need to know of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import override

from application.commands.notifications import mark_notification
from application.kernel.paging import PageRequest, Sort
from application.queries.notifications import NotificationFilter, NotificationView
from application.unit_of_work import Notifications
from domain.kernel.aggregate import Aggregate, new_id
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId
from domain.notifications import Kind, Notification, NotificationId, NotificationNotFound
from domain.tasks import TaskId
from kernel.world.builders import NOW, a_user, a_user_id, a_workspace, a_workspace_id
from kernel.world.fakes import MemoryRepository
from kernel.world.resources import Example, Listed, Matrix, Places, Row, Statements, World, json, oneself
from resources import tasks
from resources.tasks import a_task, a_task_id


def a_notification(
    *,
    id: NotificationId | None = None,
    user_id: UserId | None = None,
    kind: Kind = Kind.TASK_ASSIGNED,
    task_id: TaskId | None = None,
    workspace_id: WorkspaceId | None = None,
    caused_by: UserId | None = None,
    created_at: datetime = NOW,
    read_at: datetime | None = None,
) -> Notification:
    return Notification(
        id=id or NotificationId(new_id(created_at)),
        user_id=user_id or a_user_id(),
        kind=kind,
        task_id=task_id or a_task_id(),
        workspace_id=workspace_id or a_workspace_id(),
        caused_by=caused_by or a_user_id(),
        created_at=created_at,
        read_at=read_at,
    )


class MemoryNotifications(MemoryRepository[Notification, NotificationId], Notifications):
    @override
    async def remove_of(self, user_id: UserId, /) -> None:
        for row in [row for row in self._rows.values() if row.user_id == user_id]:
            await self.remove(row)


LATER = NOW + timedelta(days=1, hours=2, minutes=3, seconds=4, microseconds=5)


# ── contracts ────────────────────────────────────────────────────────────────────────────────────


def notification_example() -> Example:
    user, causer, workspace = a_user(), a_user(), a_workspace()
    task = a_task(workspace_id=workspace.id, created_by=user.id)
    notification = a_notification(
        user_id=user.id, task_id=task.id, workspace_id=workspace.id, caused_by=causer.id, read_at=LATER
    )
    needs = (user, causer, workspace, task)
    return Example(needs, notification, replace(notification, read_at=None), NotificationNotFound)


EXAMPLES = [notification_example]


# ── the world ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Made:
    notification: Notification


def of(world: World) -> Made:
    """What the member is told about the task, by the owner."""
    return world.once(
        Made,
        lambda: Made(
            a_notification(
                id=NotificationId(world.id("notification")),
                user_id=world.member,
                task_id=tasks.of(world).task.id,
                workspace_id=world.workspace_id,
                caused_by=world.owner,
                created_at=world.at,
            )
        ),
    )


def stored(world: World) -> Sequence[Aggregate]:
    return [of(world).notification]


def crowd(world: World, count: int) -> Sequence[Aggregate]:
    task_id = tasks.of(world).task.id
    return [
        a_notification(
            user_id=world.member, task_id=task_id, workspace_id=world.workspace_id, caused_by=world.owner
        )
        for _ in range(count)
    ]


def places(world: World) -> Places:
    return {"notification_id": of(world).notification.id}


PEOPLE: list[str] = []

MATRIX: Matrix = {
    "GET /v1/notifications": oneself(),
    "GET /v1/notifications/{notification_id}": Row(allowed="member", other=404, weak=("owner", 404)),
    "PATCH /v1/notifications/{notification_id}": Row(
        allowed="member", other=404, weak=("owner", 404), send=json(read=True)
    ),
}


# ── statements ───────────────────────────────────────────────────────────────────────────────────

COMMANDS: Statements = {
    # notification, change
    "mark_notification": (
        2,
        lambda it: it.run(mark_notification, it.team.member, of(it.world).notification.id, read=True),
    ),
    # notification; change, notification
    "mark_notification, and shown": (
        5,
        lambda it: it.run.showing(
            lambda ask, actor, marked: ask.notifications.get(actor.user_id, marked.id),
            mark_notification,
            it.team.member,
            of(it.world).notification.id,
            read=True,
        ),
    ),
}

QUERIES: Statements = {
    "notifications.get": (
        1,
        lambda it: it.ask.notifications.get(it.team.member.user_id, of(it.world).notification.id),
    ),
    "notifications.page": (
        1,
        lambda it: it.ask.notifications.page(
            it.team.member.user_id, NotificationFilter(), PageRequest(limit=20)
        ),
    ),
}

FILLINGS = {
    "0007": """
        INSERT INTO notifications (id, user_id, kind, task_id, workspace_id, caused_by, created_at, version)
        SELECT gen_random_uuid(), assignee_id, 'task_assigned', id, workspace_id, created_by, now(), 1
        FROM tasks
    """,
}


# ── lists ────────────────────────────────────────────────────────────────────────────────────────

FILL = {
    "notifications": """
        INSERT INTO notifications (id, user_id, kind, task_id, workspace_id, caused_by, created_at, version)
        SELECT gen_random_uuid(), :owner, 'task_assigned', task_id, :workspace, :owner, :at, 1
        FROM (SELECT id AS task_id, row_number() OVER () AS n FROM tasks) AS numbered
    """,
}
LISTS: dict[str, Listed[NotificationView]] = {
    "notifications": Listed(
        table="notifications",
        ask=lambda world, _, page: world.ask.notifications.page(
            world.team.owner.user_id, NotificationFilter(), page
        ),
        sorts={"created_at": lambda view: view.created_at},
        fixed=Sort("created_at", descending=True),
    ),
}
