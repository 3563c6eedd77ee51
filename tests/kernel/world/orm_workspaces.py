"""Workspaces kept by SQLAlchemy's ORM: the recipe of docs/decisions/0023, on a table of the kernel."""

from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar, override

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped
from sqlalchemy.orm.attributes import flag_modified

from adapters.postgres.kernel.connection.errors import Conflicts
from adapters.postgres.kernel.connection.transaction import Transaction
from adapters.postgres.kernel.tables.repository import PostgresRepository
from adapters.postgres.kernel.tables.schema import metadata as kernel_metadata
from adapters.postgres.kernel.workspaces import PostgresWorkspaces, workspaces
from domain.kernel.errors import Stale
from domain.kernel.workspaces import SlugTaken, Workspace, WorkspaceId, WorkspaceNotFound


class Row(DeclarativeBase):
    metadata = kernel_metadata


class WorkspaceRow(Row):
    __table__ = workspaces
    __mapper_args__ = {"version_id_col": workspaces.c.version}  # noqa: RUF012 (typed by SQLAlchemy)

    id: Mapped[WorkspaceId]
    name: Mapped[str]
    slug: Mapped[str]
    created_at: Mapped[datetime]
    archived_at: Mapped[datetime | None]
    version: Mapped[int]


class OrmWorkspaces(PostgresRepository[Workspace, WorkspaceId]):
    table, entity, missing = workspaces, Workspace, WorkspaceNotFound
    conflicts: ClassVar[Conflicts] = {"uq_workspaces_slug": SlugTaken}

    def __init__(self, transaction: Transaction) -> None:
        super().__init__(transaction)
        self._rows: dict[WorkspaceId, WorkspaceRow] = {}  # a session's own references are weak

    @override
    async def get(self, id: WorkspaceId, /) -> Workspace:
        session = await self._session()
        row = await session.get(WorkspaceRow, id, populate_existing=True)  # as it is now, not as it was
        if row is None:
            raise self.missing
        self._rows[id] = row
        return self._read([getattr(row, name) for name in self._names])

    @override
    async def add(self, aggregate: Workspace, /) -> Workspace:
        session = await self._session()
        self._rows[aggregate.id] = row = WorkspaceRow(**self._columns(aggregate))
        session.add(row)
        await self._written(session, aggregate)
        return replace(aggregate, events=())

    @override
    async def save(self, aggregate: Workspace, /) -> Workspace:
        session = await self._session()
        row = await self._current(session, aggregate)
        for name, value in self._columns(aggregate).items():
            setattr(row, name, value)
        flag_modified(row, "name")  # the version counts each save, even one that changes no column
        await self._written(session, aggregate)
        return replace(aggregate, version=aggregate.version + 1, events=())

    @override
    async def remove(self, aggregate: Workspace, /) -> None:
        session = await self._session()
        await session.delete(await self._current(session, aggregate))
        await self._written(session, aggregate)

    async def _session(self) -> AsyncSession:
        return await self._transaction.session(self.conflicts)

    def _columns(self, aggregate: Workspace) -> dict[str, Any]:
        return {name: getattr(aggregate, name) for name in self._names}

    async def _current(self, session: AsyncSession, aggregate: Workspace) -> WorkspaceRow:
        row = await session.get(WorkspaceRow, aggregate.id)  # no statement where this transaction has read it
        if row is None or row.version != aggregate.version:
            raise Stale("Read it again and repeat your change.")
        return row

    async def _written(self, session: AsyncSession, aggregate: Workspace) -> None:
        await session.flush()  # changes happen in their order: a flush of several adds before it deletes
        await self._record_events(aggregate)


class AllOfWorkspaces(OrmWorkspaces, PostgresWorkspaces):
    """With what is asked of workspaces beside, in Core and in the same transaction."""


# The kernel has made another for workspaces, and one is all that a service may have.
PostgresRepository.registry.remove(OrmWorkspaces)
PostgresRepository.registry.remove(AllOfWorkspaces)
