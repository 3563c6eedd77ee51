"""Notifications in PostgreSQL: the table, the repository, the queries."""

from typing import ClassVar, override

from sqlalchemy import Boolean, Column, ForeignKey, Index, Table, Uuid, bindparam, delete, func, select

from adapters.postgres.kernel.connection.database import Statement
from adapters.postgres.kernel.connection.errors import Conflicts
from adapters.postgres.kernel.memberships import memberships
from adapters.postgres.kernel.tables.mapping import loader
from adapters.postgres.kernel.tables.paging import Listing, by_time
from adapters.postgres.kernel.tables.queries import PostgresQueries
from adapters.postgres.kernel.tables.repository import PostgresRepository
from adapters.postgres.kernel.tables.schema import instant, key, metadata, one_of, text, version
from adapters.postgres.kernel.users import users
from adapters.postgres.kernel.workspaces import workspaces
from adapters.postgres.tasks import tasks
from application.kernel.paging import Page, PageRequest, Sort
from application.queries.notifications import NotificationFilter, NotificationQueries, NotificationView
from application.unit_of_work import Notifications
from domain.kernel.users import UserId
from domain.notifications import Kind, Notification, NotificationId, NotificationNotFound
from domain.tasks import TaskNotFound

notifications = Table(
    "notifications",
    metadata,
    key(),
    Column("user_id", Uuid, ForeignKey(users.c.id, ondelete="CASCADE"), nullable=False),
    text("kind"),
    Column("task_id", Uuid, ForeignKey(tasks.c.id, ondelete="CASCADE"), nullable=False),
    Column("workspace_id", Uuid, ForeignKey(workspaces.c.id, ondelete="CASCADE"), nullable=False),
    Column("caused_by", Uuid, ForeignKey(users.c.id), nullable=False),
    instant("created_at"),
    instant("read_at", nullable=True),
    version(),
    one_of("kind", Kind),
    Index(None, "user_id", "created_at", "id"),
    Index(None, "task_id"),
    Index(None, "workspace_id"),
    Index(None, "caused_by"),
)


class PostgresNotifications(PostgresRepository[Notification, NotificationId], Notifications):
    table, entity, missing = notifications, Notification, NotificationNotFound
    conflicts: ClassVar[Conflicts] = {
        "fk_notifications_task_id_tasks": TaskNotFound,
        "fk_notifications_workspace_id_workspaces": TaskNotFound,
    }

    @override
    async def remove_of(self, user_id: UserId, /) -> None:
        await self._transaction.change(_REMOVE_OF, {"user_id": user_id})


_removed = (
    delete(notifications)
    .where(notifications.c.user_id == bindparam("user_id"))
    .returning(notifications.c.id)
    .cte("removed")
)
# A row also where there was none.
_REMOVE_OF = Statement(select(func.count()).select_from(_removed))

_VIEW = (
    select(
        notifications.c.id,
        notifications.c.kind,
        notifications.c.workspace_id,
        notifications.c.task_id,
        tasks.c.title.label("task_title"),
        notifications.c.caused_by,
        users.c.display_name.label("caused_by_name"),
        notifications.c.created_at,
        notifications.c.read_at,
        notifications.c.version,
    )
    .join(tasks, tasks.c.id == notifications.c.task_id)
    .join(users, users.c.id == notifications.c.caused_by)
    # A former member sees nothing of a workspace.
    .join(
        memberships,
        (memberships.c.workspace_id == notifications.c.workspace_id)
        & (memberships.c.user_id == notifications.c.user_id),
    )
    .where(notifications.c.user_id == bindparam("viewer"))
)
_GET = Statement(_VIEW.where(notifications.c.id == bindparam("notification_id")))
_PAGE = Listing(
    NotificationView,
    _VIEW,
    id=notifications.c.id,
    sorts={"created_at": by_time(notifications.c.created_at)},
    filters={"unread": notifications.c.read_at.is_(None) == bindparam("unread", type_=Boolean)},
    filtered_by=NotificationFilter,
)
_NEWEST_FIRST = (Sort("created_at", descending=True),)
_view = loader(NotificationView)


class PostgresNotificationQueries(PostgresQueries, NotificationQueries):
    @override
    async def get(self, viewer: UserId, notification_id: NotificationId, /) -> NotificationView:
        return await self._one(
            _GET, {"viewer": viewer, "notification_id": notification_id}, _view, NotificationNotFound
        )

    @override
    async def page(
        self, viewer: UserId, where: NotificationFilter, page: PageRequest, /
    ) -> Page[NotificationView]:
        return await _PAGE.page(self._source, {"viewer": viewer}, page, sort=_NEWEST_FIRST, where=where)
