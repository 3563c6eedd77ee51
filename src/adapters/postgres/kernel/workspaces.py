"""Workspaces in PostgreSQL: the table, the repository, the queries."""

from dataclasses import replace
from typing import ClassVar, override

from sqlalchemy import CheckConstraint, Table, UniqueConstraint, bindparam, select

from adapters.postgres.kernel.connection.database import Statement
from adapters.postgres.kernel.connection.errors import Conflicts
from adapters.postgres.kernel.memberships import memberships
from adapters.postgres.kernel.tables.mapping import loader
from adapters.postgres.kernel.tables.paging import Listing, by_time
from adapters.postgres.kernel.tables.queries import PostgresQueries
from adapters.postgres.kernel.tables.repository import PostgresRepository
from adapters.postgres.kernel.tables.schema import between, instant, key, metadata, text, version
from application.kernel.paging import Page, PageRequest, Sort
from application.kernel.ports.tenancy import Workspaces
from application.kernel.ports.world import Contention
from application.kernel.queries.workspaces import WorkspaceQueries, WorkspaceView
from domain.kernel.users import UserId
from domain.kernel.workspaces import (
    NAME_MOST,
    SLUG_MOST,
    SLUG_PATTERN,
    SlugTaken,
    Workspace,
    WorkspaceId,
    WorkspaceNotFound,
)

workspaces = Table(
    "workspaces",
    metadata,
    key(),
    text("name"),
    text("slug"),
    instant("created_at"),
    instant("archived_at", nullable=True),
    version(),
    UniqueConstraint("slug"),
    between("name", 1, NAME_MOST),
    between("slug", 1, SLUG_MOST),
    CheckConstraint(f"slug ~ '^{SLUG_PATTERN}$'", name="slug_form"),
)


class PostgresWorkspaces(PostgresRepository[Workspace, WorkspaceId], Workspaces):
    table, entity, missing = workspaces, Workspace, WorkspaceNotFound
    conflicts: ClassVar[Conflicts] = {"uq_workspaces_slug": SlugTaken}

    @override
    async def has_slug(self, slug: str, /) -> bool:
        return await self._transaction.fetchrow(_HAS_SLUG, {"slug": slug}) is not None

    @override
    async def add_with_made_slug(self, workspace: Workspace, /) -> Workspace:
        await self._write(self._add, workspace, conflicts=_MADE_SLUG_TAKEN)
        return replace(workspace, events=())


_HAS_SLUG = Statement(select(workspaces.c.id).where(workspaces.c.slug == bindparam("slug")))
_MADE_SLUG_TAKEN: Conflicts = {
    "uq_workspaces_slug": lambda: Contention("Another workspace has just taken the slug.")
}


_SEEN_BY_VIEWER = (
    select(
        workspaces.c.id,
        workspaces.c.name,
        workspaces.c.slug,
        memberships.c.role,
        workspaces.c.created_at,
        workspaces.c.archived_at,
        workspaces.c.version,
    )
    .join(memberships, memberships.c.workspace_id == workspaces.c.id)
    .where(memberships.c.user_id == bindparam("viewer"))
)
_GET = Statement(_SEEN_BY_VIEWER.where(workspaces.c.id == bindparam("workspace_id")))
_PAGE = Listing(
    WorkspaceView,
    _SEEN_BY_VIEWER,
    id=workspaces.c.id,
    sorts={"created_at": by_time(workspaces.c.created_at)},
)
_NEWEST_FIRST = (Sort("created_at", descending=True),)
_view = loader(WorkspaceView)


class PostgresWorkspaceQueries(PostgresQueries, WorkspaceQueries):
    @override
    async def get(self, viewer: UserId, workspace_id: WorkspaceId, /) -> WorkspaceView:
        return await self._one(
            _GET, {"viewer": viewer, "workspace_id": workspace_id}, _view, WorkspaceNotFound
        )

    @override
    async def page(self, viewer: UserId, page: PageRequest, /) -> Page[WorkspaceView]:
        return await _PAGE.page(self._source, {"viewer": viewer}, page, sort=_NEWEST_FIRST)
