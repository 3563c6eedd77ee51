"""Notes in PostgreSQL: the table, the repository, the queries."""

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
from application.kernel.paging import Page, PageRequest, Sort
from domain.kernel.users import UserId
from kernel.specimen.domain.notes import BODY_MOST, Note, NoteId, NoteNotFound
from kernel.specimen.domain.work_orders import WorkOrderId, WorkOrderNotFound
from kernel.specimen.postgres.work_orders import work_orders
from kernel.specimen.queries.notes import NoteQueries, NoteView

notes = Table(
    "notes",
    metadata,
    key(),
    Column("work_order_id", Uuid, ForeignKey(work_orders.c.id, ondelete="CASCADE"), nullable=False),
    Column("workspace_id", Uuid, ForeignKey(workspaces.c.id, ondelete="CASCADE"), nullable=False),
    Column("author_id", Uuid, ForeignKey(users.c.id), nullable=False),
    text("body"),
    instant("created_at"),
    instant("edited_at", nullable=True),
    version(),
    between("body", 1, BODY_MOST),
    Index(None, "work_order_id", "created_at", "id"),
    Index(None, "workspace_id"),
    Index(None, "author_id"),
    info={"migrated": False},  # made for the tests by `statements`, not by a migration
)


class PostgresNotes(PostgresRepository[Note, NoteId]):
    table, entity, missing = notes, Note, NoteNotFound
    conflicts: ClassVar[Conflicts] = {
        "fk_notes_work_order_id_work_orders": WorkOrderNotFound,
        "fk_notes_workspace_id_workspaces": WorkOrderNotFound,
    }


_VIEW = select(
    notes.c.id,
    notes.c.work_order_id,
    notes.c.author_id,
    users.c.display_name.label("author_name"),
    notes.c.body,
    notes.c.created_at,
    notes.c.edited_at,
    notes.c.version,
).join(users, users.c.id == notes.c.author_id)
_GET = Statement(
    _VIEW.where(notes.c.id == bindparam("note_id"), seen_by_viewer(notes.c.workspace_id).exists())
)
_PAGE = Listing(
    NoteView,
    _VIEW.where(notes.c.work_order_id == bindparam("work_order_id")),
    id=notes.c.id,
    sorts={"created_at": by_time(notes.c.created_at)},
    gate=seen_by_viewer(work_orders.c.workspace_id, work_orders.c.id == bindparam("work_order_id")),
    missing=WorkOrderNotFound,
)
_OLDEST_FIRST = (Sort("created_at"),)
_view = loader(NoteView)


class PostgresNoteQueries(PostgresQueries, NoteQueries):
    @override
    async def get(self, viewer: UserId, note_id: NoteId, /) -> NoteView:
        return await self._one(_GET, {"viewer": viewer, "note_id": note_id}, _view, NoteNotFound)

    @override
    async def page(self, viewer: UserId, work_order_id: WorkOrderId, page: PageRequest, /) -> Page[NoteView]:
        scope = {"viewer": viewer, "work_order_id": work_order_id}
        return await _PAGE.page(self._source, scope, page, sort=_OLDEST_FIRST)
