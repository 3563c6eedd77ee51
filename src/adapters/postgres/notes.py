"""Notes in PostgreSQL: the table, the repository, the queries."""

from collections.abc import Sequence
from typing import ClassVar, override

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Table,
    Text,
    Uuid,
    bindparam,
    select,
)

from adapters.postgres.kernel.connection.database import Statement
from adapters.postgres.kernel.connection.errors import Conflicts
from adapters.postgres.kernel.memberships import seen_by_viewer
from adapters.postgres.kernel.tables.mapping import column_names, loader
from adapters.postgres.kernel.tables.paging import (
    Listing,
    by_text,
    by_time,
)
from adapters.postgres.kernel.tables.queries import PostgresQueries
from adapters.postgres.kernel.tables.repository import PostgresRepository
from adapters.postgres.kernel.tables.schema import (
    between,
    instant,
    key,
    metadata,
    text,
    version,
)
from adapters.postgres.kernel.tables.searching import have_words, words_of
from adapters.postgres.kernel.users import users
from adapters.postgres.kernel.workspaces import workspaces
from application.kernel.paging import Page, PageRequest, Sort
from application.queries.notes import NoteFilter, NoteQueries, NoteSortKey, NoteView
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId, WorkspaceNotFound
from domain.notes import BODY_MOST, TITLE_MOST, Note, NoteId, NoteNotFound

_WORDS = words_of("title", "body")

notes = Table(
    "notes",
    metadata,
    key(),
    Column("workspace_id", Uuid, ForeignKey(workspaces.c.id, ondelete="CASCADE"), nullable=False),
    text("title"),
    text("body"),
    Column("created_by", Uuid, ForeignKey(users.c.id), nullable=False),
    instant("created_at"),
    instant("updated_at"),
    version(),
    between("title", 1, TITLE_MOST),
    between("body", 0, BODY_MOST),
    Index(None, "created_by"),
    Index(None, "workspace_id", "created_at", "id"),
    Index(None, "workspace_id", "title", "id"),
    Index("ix_notes_words", _WORDS, postgresql_using="gin"),
)


class PostgresNotes(PostgresRepository[Note, NoteId]):
    table, entity, missing = notes, Note, NoteNotFound
    conflicts: ClassVar[Conflicts] = {
        "fk_notes_workspace_id_workspaces": WorkspaceNotFound,
    }


_VIEW = select(*(notes.c[name] for name in column_names(NoteView)))
_GET = Statement(
    _VIEW.where(notes.c.id == bindparam("note_id"), seen_by_viewer(notes.c.workspace_id).exists())
)
_PAGE = Listing(
    NoteView,
    _VIEW.where(notes.c.workspace_id == bindparam("workspace_id")),
    id=notes.c.id,
    sorts={
        "created_at": by_time(notes.c.created_at),
        "title": by_text(notes.c.title),
    },
    sorted_by=NoteSortKey,
    filters={
        "q": have_words(_WORDS, bindparam("q", type_=Text)),
    },
    filtered_by=NoteFilter,
    gate=seen_by_viewer(bindparam("workspace_id", type_=Uuid)),
    missing=WorkspaceNotFound,
)
_view = loader(NoteView)


class PostgresNoteQueries(PostgresQueries, NoteQueries):
    @override
    async def get(self, viewer: UserId, note_id: NoteId, /) -> NoteView:
        return await self._one(_GET, {"viewer": viewer, "note_id": note_id}, _view, NoteNotFound)

    @override
    async def page(
        self,
        viewer: UserId,
        workspace_id: WorkspaceId,
        where: NoteFilter,
        sort: Sequence[Sort[NoteSortKey]],
        page: PageRequest,
        /,
    ) -> Page[NoteView]:
        scope = {"viewer": viewer, "workspace_id": workspace_id}
        return await _PAGE.page(self._source, scope, page, sort=sort, where=where)
