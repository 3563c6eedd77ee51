"""Notifications: all that the suites need to know of them."""

from datetime import datetime

from application.kernel.paging import Sort
from application.queries.notifications import NotificationFilter, NotificationView
from domain.kernel.aggregate import new_id
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId
from domain.notifications import Kind, Notification, NotificationId
from domain.tasks import TaskId
from kernel.world.builders import NOW, a_user_id, a_workspace_id
from kernel.world.resources import Listed
from resources.tasks import a_task_id


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
