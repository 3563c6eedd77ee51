"""Tasks in PostgreSQL: the table, the repository, the queries."""

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar, override

from sqlalchemy import (
    CheckConstraint,
    Column,
    ColumnElement,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    any_,
    bindparam,
    cast,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, array

from adapters.postgres.kernel.connection.database import Statement
from adapters.postgres.kernel.connection.errors import Conflicts
from adapters.postgres.kernel.memberships import seen_by_viewer
from adapters.postgres.kernel.tables.mapping import column_names, loader
from adapters.postgres.kernel.tables.paging import Listing, by_number, by_text, by_time
from adapters.postgres.kernel.tables.queries import PostgresQueries
from adapters.postgres.kernel.tables.repository import PostgresRepository
from adapters.postgres.kernel.tables.schema import between, instant, key, metadata, one_of, text, version
from adapters.postgres.kernel.tables.searching import have_words, words_of
from adapters.postgres.kernel.users import users
from adapters.postgres.kernel.workspaces import workspaces
from application.kernel.paging import Page, PageRequest, Sort
from application.queries.tasks import TaskFilter, TaskQueries, TaskSortKey, TaskView
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId, WorkspaceNotFound
from domain.tasks import (
    DESCRIPTION_MOST,
    LABELS_MOST,
    TITLE_MOST,
    AssigneeNotMember,
    Priority,
    Status,
    Task,
    TaskId,
    TaskNotFound,
)

# Expressions that are indexed, so they have to be written the same wherever they stand. A far day stands for
# no due date; infinity would do, but a datetime cannot hold it.
_DUE: ColumnElement[datetime] = literal_column("coalesce(due_at, '9999-12-31 00:00:00+00'::timestamptz)")
_INSTANT = DateTime(timezone=True)
_RANK = literal_column(
    f"array_position(ARRAY[{', '.join(f"'{priority}'" for priority in Priority)}], priority)", Integer
)
_WORDS = words_of("title", "description")

tasks = Table(
    "tasks",
    metadata,
    key(),
    Column("workspace_id", Uuid, ForeignKey(workspaces.c.id, ondelete="CASCADE"), nullable=False),
    text("title"),
    text("description"),
    text("status"),
    text("priority"),
    instant("due_at", nullable=True),
    Column("assignee_id", Uuid, nullable=True),
    Column("labels", ARRAY(Text), nullable=False),
    Column("created_by", Uuid, ForeignKey(users.c.id), nullable=False),
    instant("created_at"),
    instant("updated_at"),
    instant("finished_at", nullable=True),
    version(),
    # An assignee is a member, and a member who leaves is no assignee any more; a trigger raises the
    # version then, so that a concurrent save fails (see the migration).
    ForeignKeyConstraint(
        ["workspace_id", "assignee_id"],
        ["memberships.workspace_id", "memberships.user_id"],
        name="fk_tasks_assignee_memberships",
        ondelete="SET NULL (assignee_id)",
    ),
    one_of("status", Status),
    one_of("priority", Priority),
    between("title", 1, TITLE_MOST),
    between("description", 0, DESCRIPTION_MOST),
    CheckConstraint(f"cardinality(labels) <= {LABELS_MOST}", name="labels_count"),
    CheckConstraint("(status = 'done') = (finished_at IS NOT NULL)", name="finished_when_done"),
    Index(None, "workspace_id", "assignee_id"),
    Index(None, "created_by"),
    Index(None, "workspace_id", "created_at", "id"),
    Index(None, "workspace_id", "title", "id"),
    Index("ix_tasks_workspace_id_due", "workspace_id", _DUE, "id"),
    Index("ix_tasks_workspace_id_rank", "workspace_id", _RANK, "id"),
    # The dashboard's last 30 days; tasks that are not done do not enter it.
    Index(
        "ix_tasks_workspace_id_finished_at",
        "workspace_id",
        "finished_at",
        postgresql_where=literal_column("finished_at IS NOT NULL"),
    ),
    Index("ix_tasks_labels", "labels", postgresql_using="gin"),
    Index("ix_tasks_words", _WORDS, postgresql_using="gin"),
)


class PostgresTasks(PostgresRepository[Task, TaskId]):
    table, entity, missing = tasks, Task, TaskNotFound
    conflicts: ClassVar[Conflicts] = {
        "fk_tasks_assignee_memberships": lambda: AssigneeNotMember("Invite them first.", field="assignee_id"),
        "fk_tasks_workspace_id_workspaces": WorkspaceNotFound,
    }


_VIEW = select(*(tasks.c[name] for name in column_names(TaskView)))
_GET = Statement(
    _VIEW.where(tasks.c.id == bindparam("task_id"), seen_by_viewer(tasks.c.workspace_id).exists())
)
_PAGE = Listing(
    TaskView,
    _VIEW.where(tasks.c.workspace_id == bindparam("workspace_id")),
    id=tasks.c.id,
    sorts={
        "created_at": by_time(tasks.c.created_at),
        "due_at": by_time(_DUE),
        "priority": by_number(_RANK),
        "title": by_text(tasks.c.title),
    },
    sorted_by=TaskSortKey,
    filters={
        "status": tasks.c.status == any_(bindparam("status", type_=ARRAY(Text))),
        "priority": tasks.c.priority == any_(bindparam("priority", type_=ARRAY(Text))),
        "assignee_id": tasks.c.assignee_id == bindparam("assignee_id"),
        "label": tasks.c.labels.contains(cast(array([bindparam("label", type_=Text)]), ARRAY(Text))),
        # Said of the indexed expression too, or a window of time could not be read from the index.
        "due_after": (bindparam("due_after", type_=_INSTANT) <= _DUE) & tasks.c.due_at.is_not(None),
        "due_before": (bindparam("due_before", type_=_INSTANT) > _DUE) & tasks.c.due_at.is_not(None),
        "q": have_words(_WORDS, bindparam("q", type_=Text)),
    },
    filtered_by=TaskFilter,
    gate=seen_by_viewer(bindparam("workspace_id", type_=Uuid)),
    missing=WorkspaceNotFound,
)
_OF_USER = Listing(
    TaskView,
    _VIEW.where(
        or_(tasks.c.created_by == bindparam("viewer"), tasks.c.assignee_id == bindparam("viewer")),
        # Looked up for each task: as a join, a generic plan reads all tasks once for each membership.
        seen_by_viewer(tasks.c.workspace_id).limit(literal_column("1")).scalar_subquery().is_not(None),
    ),
    id=tasks.c.id,
    sorts={"created_at": by_time(tasks.c.created_at)},
)
_NEWEST_FIRST = (Sort("created_at", descending=True),)
_view = loader(TaskView)


class PostgresTaskQueries(PostgresQueries, TaskQueries):
    @override
    async def get(self, viewer: UserId, task_id: TaskId, /) -> TaskView:
        return await self._one(_GET, {"viewer": viewer, "task_id": task_id}, _view, TaskNotFound)

    @override
    async def page(
        self,
        viewer: UserId,
        workspace_id: WorkspaceId,
        where: TaskFilter,
        sort: Sequence[Sort[TaskSortKey]],
        page: PageRequest,
        /,
    ) -> Page[TaskView]:
        scope = {"viewer": viewer, "workspace_id": workspace_id}
        return await _PAGE.page(self._source, scope, page, sort=sort, where=where)

    @override
    async def of_user(self, user_id: UserId, page: PageRequest, /) -> Page[TaskView]:
        return await _OF_USER.page(self._source, {"viewer": user_id}, page, sort=_NEWEST_FIRST)
