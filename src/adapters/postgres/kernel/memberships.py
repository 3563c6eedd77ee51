"""Memberships in PostgreSQL: the table, the repository, the queries."""

from collections.abc import Collection
from typing import Any, ClassVar, override

import asyncpg
from sqlalchemy import (
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Select,
    Table,
    UniqueConstraint,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    column,
    literal_column,
    or_,
    select,
    table,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY

from adapters.postgres.kernel.connection.database import Statement
from adapters.postgres.kernel.connection.errors import Conflicts
from adapters.postgres.kernel.tables.mapping import loader
from adapters.postgres.kernel.tables.paging import Listing, by_time
from adapters.postgres.kernel.tables.queries import PostgresQueries
from adapters.postgres.kernel.tables.repository import PostgresRepository
from adapters.postgres.kernel.tables.schema import instant, key, metadata, one_of, text, version
from adapters.postgres.kernel.users import IS_VERIFIED, users
from application.kernel.paging import Page, PageRequest, Sort
from application.kernel.ports.tenancy import Memberships, Standing
from application.kernel.queries.memberships import MembershipQueries, MemberView
from domain.kernel.memberships import AlreadyMember, MemberNotFound, Membership, MembershipId, Role
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId, WorkspaceNotFound

memberships = Table(
    "memberships",
    metadata,
    key(),
    Column("workspace_id", Uuid, ForeignKey("workspaces.id", ondelete="CASCADE"), nullable=False),
    Column("user_id", Uuid, ForeignKey(users.c.id, ondelete="CASCADE"), nullable=False),
    text("role"),
    instant("joined_at"),
    version(),
    UniqueConstraint("workspace_id", "user_id"),  # for references to a member
    Index(None, "user_id"),
    Index(None, "workspace_id", "joined_at", "id"),
    one_of("role", Role),
)

_workspaces = table(
    "workspaces", column("id"), column("archived_at")
)  # by name: that module imports this one


def seen_by_viewer(workspace_id: ColumnElement[Any], *more: ColumnElement[bool]) -> Select[Any]:
    """One row if `:viewer` is a member of the workspace (and fulfils `more`), none otherwise."""
    return select(literal_column("1").label("seen")).where(
        memberships.c.workspace_id == workspace_id, memberships.c.user_id == bindparam("viewer"), *more
    )


def known_to_viewer(workspace_id: ColumnElement[Any], *, roles: Collection[Role]) -> Select[Any]:
    """One row if `:viewer` is a member of the workspace: `permitted` says whether in one of these roles."""
    permitted = or_(*(memberships.c.role == role.value for role in sorted(roles)))
    return seen_by_viewer(workspace_id).add_columns(permitted.label("permitted"))


class PostgresMemberships(PostgresRepository[Membership, MembershipId], Memberships):
    table, entity, missing = memberships, Membership, MemberNotFound
    conflicts: ClassVar[Conflicts] = {
        "uq_memberships_workspace_id_user_id": AlreadyMember,
        "fk_memberships_workspace_id_workspaces": WorkspaceNotFound,
    }

    @override
    async def standing(self, workspace_id: WorkspaceId, user_id: UserId, /) -> Standing | None:
        row = await self._transaction.fetchrow(_STANDING, {"workspace_id": workspace_id, "user_id": user_id})
        return None if row is None else _standing(row)

    @override
    async def lock_standing(self, workspace_id: WorkspaceId, user_id: UserId, /) -> Standing | None:
        rows = await self._transaction.lock(
            _LOCK_STANDING, {"workspace_id": workspace_id, "user_id": user_id}
        )
        return _standing(rows[0]) if rows else None

    @override
    async def of(self, workspace_id: WorkspaceId, user_id: UserId, /) -> Membership:
        found = await self._first(_OF, {"workspace_id": workspace_id, "user_id": user_id})
        if found is None:
            raise MemberNotFound
        return found

    @override
    async def lock_owners(self, workspace_id: WorkspaceId, /, *beside: UserId) -> Collection[Membership]:
        scope = {"workspace_id": workspace_id, "beside": beside}
        rows = await self._transaction.lock(_LOCK_OWNERS, scope)
        return [self._read(row) for row in rows]

    @override
    async def lock_of(self, user_id: UserId, /) -> Collection[Membership]:
        rows = await self._transaction.lock(_LOCK_OF, {"user_id": user_id})
        return [self._read(row) for row in rows]


def _standing(row: asyncpg.Record) -> Standing:
    return Standing(role=Role(row["role"]), archived=row["archived"])


_ONE = (
    memberships.c.workspace_id == bindparam("workspace_id"),
    memberships.c.user_id == bindparam("user_id"),
)
_OF = PostgresMemberships.selecting(lambda query: query.where(*_ONE))
_ROLE = (
    select(memberships.c.role, _workspaces.c.archived_at.is_not(None).label("archived"))
    .join(_workspaces, _workspaces.c.id == memberships.c.workspace_id)
    .where(*_ONE)
)
_STANDING = Statement(_ROLE)
# Shared: people invite and accept side by side, and only a change of the role or a suspension waits.
_LOCK_STANDING = Statement(
    _ROLE.join(users, users.c.id == memberships.c.user_id)
    .where(users.c.suspended_at.is_(None))
    .with_for_update(read=True, of=[memberships, users])
)
# In one order for everybody, or two transactions could wait for each other.
_LOCK_OWNERS = PostgresMemberships.selecting(
    lambda query: (
        query.where(
            memberships.c.workspace_id == bindparam("workspace_id"),
            or_(
                memberships.c.role == Role.OWNER.value,
                memberships.c.user_id == any_(bindparam("beside", type_=ARRAY(Uuid))),
            ),
        )
        .order_by(memberships.c.id)
        .with_for_update()
    )
)
_owned = memberships.alias("owned")
_LOCK_OF = PostgresMemberships.selecting(
    lambda query: (
        query.where(
            or_(
                memberships.c.user_id == bindparam("user_id"),
                and_(
                    memberships.c.role == Role.OWNER.value,
                    memberships.c.workspace_id.in_(
                        select(_owned.c.workspace_id).where(
                            _owned.c.user_id == bindparam("user_id"), _owned.c.role == Role.OWNER.value
                        )
                    ),
                ),
            )
        )
        .order_by(memberships.c.id)
        .with_for_update(of=memberships)
    )
)

_HERE = seen_by_viewer(bindparam("workspace_id", type_=Uuid))
_VIEW = (
    select(
        memberships.c.workspace_id,
        memberships.c.user_id,
        users.c.display_name,
        case((IS_VERIFIED, users.c.email)).label("email"),
        memberships.c.role,
        memberships.c.joined_at,
        memberships.c.version,
    )
    .join(users, users.c.id == memberships.c.user_id)
    .where(memberships.c.workspace_id == bindparam("workspace_id"))
)
_member = _VIEW.where(memberships.c.user_id == bindparam("user_id")).subquery("member")
# A row without a member tells the viewer who belongs here from the one who does not.
_GET = Statement(select(*_member.c).select_from(_HERE.subquery("gate").outerjoin(_member, true())))
_PAGE = Listing(
    MemberView,
    _VIEW,
    id=memberships.c.id,
    sorts={"joined_at": by_time(memberships.c.joined_at)},
    gate=_HERE,
    missing=WorkspaceNotFound,
)
_IN_ORDER_OF_JOINING = (Sort("joined_at"),)
_view = loader(MemberView)


class PostgresMembershipQueries(PostgresQueries, MembershipQueries):
    @override
    async def get(self, viewer: UserId, workspace_id: WorkspaceId, user_id: UserId, /) -> MemberView:
        scope = {"viewer": viewer, "workspace_id": workspace_id, "user_id": user_id}
        row = await self._source.fetchrow(_GET, scope)
        if row is None:
            raise WorkspaceNotFound
        if row["user_id"] is None:
            raise MemberNotFound
        return _view(row)

    @override
    async def page(self, viewer: UserId, workspace_id: WorkspaceId, page: PageRequest, /) -> Page[MemberView]:
        scope = {"viewer": viewer, "workspace_id": workspace_id}
        return await _PAGE.page(self._source, scope, page, sort=_IN_ORDER_OF_JOINING)
