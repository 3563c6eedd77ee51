"""SpecimenNotes in PostgreSQL: the table, the repository, the queries."""

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
from kernel.specimen.domain.specimen_notes import (
    BODY_MOST,
    SpecimenNote,
    SpecimenNoteId,
    SpecimenNoteNotFound,
)
from kernel.specimen.domain.specimen_orders import SpecimenOrderId, SpecimenOrderNotFound
from kernel.specimen.postgres.specimen_orders import specimen_orders
from kernel.specimen.queries.specimen_notes import SpecimenNoteQueries, SpecimenNoteView

specimen_notes = Table(
    "specimen_notes",
    metadata,
    key(),
    Column("specimen_order_id", Uuid, ForeignKey(specimen_orders.c.id, ondelete="CASCADE"), nullable=False),
    Column("workspace_id", Uuid, ForeignKey(workspaces.c.id, ondelete="CASCADE"), nullable=False),
    Column("author_id", Uuid, ForeignKey(users.c.id), nullable=False),
    text("body"),
    instant("created_at"),
    instant("edited_at", nullable=True),
    version(),
    between("body", 1, BODY_MOST),
    Index(None, "specimen_order_id", "created_at", "id"),
    Index(None, "workspace_id"),
    Index(None, "author_id"),
    info={"migrated": False},  # made for the tests by `statements`, not by a migration
)


class PostgresSpecimenNotes(PostgresRepository[SpecimenNote, SpecimenNoteId]):
    table, entity, missing = specimen_notes, SpecimenNote, SpecimenNoteNotFound
    conflicts: ClassVar[Conflicts] = {
        "fk_specimen_notes_specimen_order_id_specimen_orders": SpecimenOrderNotFound,
        "fk_specimen_notes_workspace_id_workspaces": SpecimenOrderNotFound,
    }


_VIEW = select(
    specimen_notes.c.id,
    specimen_notes.c.specimen_order_id,
    specimen_notes.c.author_id,
    users.c.display_name.label("author_name"),
    specimen_notes.c.body,
    specimen_notes.c.created_at,
    specimen_notes.c.edited_at,
    specimen_notes.c.version,
).join(users, users.c.id == specimen_notes.c.author_id)
_GET = Statement(
    _VIEW.where(
        specimen_notes.c.id == bindparam("specimen_note_id"),
        seen_by_viewer(specimen_notes.c.workspace_id).exists(),
    )
)
_PAGE = Listing(
    SpecimenNoteView,
    _VIEW.where(specimen_notes.c.specimen_order_id == bindparam("specimen_order_id")),
    id=specimen_notes.c.id,
    sorts={"created_at": by_time(specimen_notes.c.created_at)},
    gate=seen_by_viewer(
        specimen_orders.c.workspace_id, specimen_orders.c.id == bindparam("specimen_order_id")
    ),
    missing=SpecimenOrderNotFound,
)
_OLDEST_FIRST = (Sort("created_at"),)
_view = loader(SpecimenNoteView)


class PostgresSpecimenNoteQueries(PostgresQueries, SpecimenNoteQueries):
    @override
    async def get(self, viewer: UserId, specimen_note_id: SpecimenNoteId, /) -> SpecimenNoteView:
        return await self._one(
            _GET, {"viewer": viewer, "specimen_note_id": specimen_note_id}, _view, SpecimenNoteNotFound
        )

    @override
    async def page(
        self, viewer: UserId, specimen_order_id: SpecimenOrderId, page: PageRequest, /
    ) -> Page[SpecimenNoteView]:
        scope = {"viewer": viewer, "specimen_order_id": specimen_order_id}
        return await _PAGE.page(self._source, scope, page, sort=_OLDEST_FIRST)
