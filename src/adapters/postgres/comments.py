"""Comments in PostgreSQL: the table, the repository, the queries."""

from typing import ClassVar, override

from sqlalchemy import Column, ForeignKey, Index, Table, Uuid, bindparam, select

from adapters.postgres.kernel.connection.database import Statement
from adapters.postgres.kernel.connection.errors import Conflicts
from adapters.postgres.kernel.memberships import seen_by_viewer
from adapters.postgres.kernel.tables.mapping import loader
from adapters.postgres.kernel.tables.paging import Listing, by_time
from adapters.postgres.kernel.tables.queries import PostgresQueries
from adapters.postgres.kernel.tables.repository import PostgresRepository
from adapters.postgres.kernel.tables.schema import between, instant, key, metadata, text, version
from adapters.postgres.kernel.users import users
from adapters.postgres.kernel.workspaces import workspaces
from adapters.postgres.tasks import tasks
from application.kernel.paging import Page, PageRequest, Sort
from application.queries.comments import CommentQueries, CommentView
from domain.comments import BODY_MOST, Comment, CommentId, CommentNotFound
from domain.kernel.users import UserId
from domain.tasks import TaskId, TaskNotFound

comments = Table(
    "comments",
    metadata,
    key(),
    Column("task_id", Uuid, ForeignKey(tasks.c.id, ondelete="CASCADE"), nullable=False),
    Column("workspace_id", Uuid, ForeignKey(workspaces.c.id, ondelete="CASCADE"), nullable=False),
    Column("author_id", Uuid, ForeignKey(users.c.id), nullable=False),
    text("body"),
    instant("created_at"),
    instant("edited_at", nullable=True),
    version(),
    between("body", 1, BODY_MOST),
    Index(None, "task_id", "created_at", "id"),
    Index(None, "workspace_id"),
    Index(None, "author_id"),
)


class PostgresComments(PostgresRepository[Comment, CommentId]):
    table, entity, missing = comments, Comment, CommentNotFound
    conflicts: ClassVar[Conflicts] = {
        "fk_comments_task_id_tasks": TaskNotFound,
        "fk_comments_workspace_id_workspaces": TaskNotFound,
    }


_VIEW = select(
    comments.c.id,
    comments.c.task_id,
    comments.c.author_id,
    users.c.display_name.label("author_name"),
    comments.c.body,
    comments.c.created_at,
    comments.c.edited_at,
    comments.c.version,
).join(users, users.c.id == comments.c.author_id)
_GET = Statement(
    _VIEW.where(comments.c.id == bindparam("comment_id"), seen_by_viewer(comments.c.workspace_id).exists())
)
_PAGE = Listing(
    CommentView,
    _VIEW.where(comments.c.task_id == bindparam("task_id")),
    id=comments.c.id,
    sorts={"created_at": by_time(comments.c.created_at)},
    gate=seen_by_viewer(tasks.c.workspace_id, tasks.c.id == bindparam("task_id")),
    missing=TaskNotFound,
)
_OF_AUTHOR = Listing(
    CommentView,
    _VIEW.where(comments.c.author_id == bindparam("author_id")),
    id=comments.c.id,
    sorts={"created_at": by_time(comments.c.created_at)},
)
_NEWEST_FIRST = (Sort("created_at", descending=True),)
_OLDEST_FIRST = (Sort("created_at"),)
_view = loader(CommentView)


class PostgresCommentQueries(PostgresQueries, CommentQueries):
    @override
    async def get(self, viewer: UserId, comment_id: CommentId, /) -> CommentView:
        return await self._one(_GET, {"viewer": viewer, "comment_id": comment_id}, _view, CommentNotFound)

    @override
    async def page(self, viewer: UserId, task_id: TaskId, page: PageRequest, /) -> Page[CommentView]:
        scope = {"viewer": viewer, "task_id": task_id}
        return await _PAGE.page(self._source, scope, page, sort=_OLDEST_FIRST)

    @override
    async def of_author(self, author_id: UserId, page: PageRequest, /) -> Page[CommentView]:
        return await _OF_AUTHOR.page(self._source, {"author_id": author_id}, page, sort=_NEWEST_FIRST)
