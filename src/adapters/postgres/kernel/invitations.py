"""Invitations in PostgreSQL: the table, the repository, the queries."""

from collections.abc import Collection
from datetime import datetime
from typing import ClassVar, override

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    all_,
    and_,
    bindparam,
    delete,
    exists,
    false,
    func,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from adapters.postgres.kernel.connection.database import Statement
from adapters.postgres.kernel.connection.errors import Conflicts
from adapters.postgres.kernel.memberships import known_to_viewer
from adapters.postgres.kernel.outbox.events import each_event_values, recording_each
from adapters.postgres.kernel.tables.mapping import loader
from adapters.postgres.kernel.tables.paging import Listing, by_time
from adapters.postgres.kernel.tables.queries import PostgresQueries
from adapters.postgres.kernel.tables.repository import PostgresRepository
from adapters.postgres.kernel.tables.schema import between, instant, key, metadata, one_of, text, version
from adapters.postgres.kernel.users import IS_VERIFIED, users
from adapters.postgres.kernel.workspaces import workspaces
from application.kernel.admission import NotPermitted
from application.kernel.paging import Page, PageRequest, Sort
from application.kernel.permissions import MANAGE_MEMBERS
from application.kernel.ports.tenancy import Invitations
from application.kernel.queries.invitations import InvitationQueries, InvitationView
from domain.kernel.invitations import (
    AlreadyInvited,
    Invitation,
    InvitationId,
    InvitationLapsed,
    InvitationNotFound,
)
from domain.kernel.memberships import Role
from domain.kernel.users import EMAIL_MOST, Email, UserId
from domain.kernel.workspaces import WorkspaceId, WorkspaceNotFound

invitations = Table(
    "invitations",
    metadata,
    key(),
    Column("workspace_id", Uuid, ForeignKey(workspaces.c.id, ondelete="CASCADE"), nullable=False),
    text("email"),
    text("role"),
    text("token_hash", nullable=True),
    Column("invited_by", Uuid, ForeignKey(users.c.id), nullable=False),
    instant("created_at"),
    instant("expires_at"),
    version(),
    UniqueConstraint("workspace_id", "email"),
    UniqueConstraint("token_hash"),
    Index(None, "email"),
    Index(None, "workspace_id", "created_at", "id"),
    Index(None, "invited_by"),
    between("email", 3, EMAIL_MOST),
    CheckConstraint("email = lower(email)", name="email_lower_case"),
    CheckConstraint("expires_at > created_at", name="lifetime"),
    one_of("role", Role),
)


class PostgresInvitations(PostgresRepository[Invitation, InvitationId], Invitations):
    table, entity, missing = invitations, Invitation, InvitationNotFound
    conflicts: ClassVar[Conflicts] = {
        "uq_invitations_workspace_id_email": AlreadyInvited,
        "fk_invitations_workspace_id_workspaces": WorkspaceNotFound,
    }

    @override
    async def for_address(self, workspace_id: WorkspaceId, email: Email, /) -> Invitation | None:
        return await self._first(_FOR_ADDRESS, {"workspace_id": workspace_id, "email": email})

    @override
    async def with_token(self, token_hash: str, /) -> Invitation:
        found = await self._first(_WITH_TOKEN, {"token_hash": token_hash})
        if found is None:
            raise InvitationNotFound
        return found

    @override
    async def set_token(self, invitation: Invitation, /, *, token_hash: str) -> None:
        await self._transaction.change(
            _SET_TOKEN,
            {"its_id": invitation.id, "its_version": invitation.version, "fingerprint": token_hash},
        )

    @override
    async def lapse(
        self,
        inviter: UserId,
        /,
        *,
        at: datetime,
        workspace_id: WorkspaceId | None = None,
        but: Collection[Role] = (),
    ) -> None:
        scope = {"inviter": inviter, "workspace": workspace_id, "but": list(but)}
        await self._transaction.change(_LAPSE, scope | each_event_values(at))


_FOR_ADDRESS = PostgresInvitations.selecting(
    lambda query: query.where(
        invitations.c.workspace_id == bindparam("workspace_id"), invitations.c.email == bindparam("email")
    )
)
_WITH_TOKEN = PostgresInvitations.selecting(
    lambda query: query.where(invitations.c.token_hash == bindparam("token_hash"))
)

_SET_TOKEN = Statement(
    update(invitations)
    .where(invitations.c.id == bindparam("its_id"), invitations.c.version == bindparam("its_version"))
    .values(token_hash=bindparam("fingerprint", type_=Text))
    .returning(invitations.c.id)
)
_workspace = bindparam("workspace", type_=Uuid)
_lapsed = (
    delete(invitations)
    .where(
        invitations.c.invited_by == bindparam("inviter"),
        or_(_workspace.is_(None), invitations.c.workspace_id == _workspace),
        invitations.c.role != all_(bindparam("but", type_=ARRAY(Text))),
    )
    .returning(invitations.c.id, invitations.c.workspace_id, invitations.c.id.label("invitation_id"))
    .cte("lapsed")
)
_LAPSE = Statement(
    select(func.count())
    .select_from(_lapsed)
    .add_cte(recording_each(_lapsed, InvitationLapsed, "workspace_id", "invitation_id"))
)

_VIEW = select(
    invitations.c.id,
    invitations.c.workspace_id,
    workspaces.c.name.label("workspace_name"),
    invitations.c.email,
    invitations.c.role,
    invitations.c.invited_by,
    invitations.c.created_at,
    invitations.c.expires_at,
    invitations.c.version,
).join(workspaces, workspaces.c.id == invitations.c.workspace_id)
_SORTS = {"created_at": by_time(invitations.c.created_at)}
_NEWEST_FIRST = (Sort("created_at", descending=True),)

_OF_WORKSPACE = Listing(
    InvitationView,
    _VIEW.where(invitations.c.workspace_id == bindparam("workspace_id")),
    id=invitations.c.id,
    sorts=_SORTS,
    gate=known_to_viewer(bindparam("workspace_id", type_=Uuid), roles=MANAGE_MEMBERS.roles),
    missing=WorkspaceNotFound,
)
_INVITED = and_(users.c.email == invitations.c.email, IS_VERIFIED)
_IS_INVITED = exists().where(users.c.id == bindparam("viewer"), _INVITED)
_STANDING = known_to_viewer(invitations.c.workspace_id, roles=MANAGE_MEMBERS.roles).lateral("standing")
# A member who may not see it learns that, as with everything else in the workspace; a stranger does not.
_GET = Statement(
    _VIEW.add_columns(or_(_IS_INVITED, func.coalesce(_STANDING.c.permitted, false())).label("permitted"))
    .outerjoin(_STANDING, true())
    .where(
        invitations.c.id == bindparam("invitation_id"), or_(_IS_INVITED, _STANDING.c.permitted.is_not(None))
    )
)
_MINE = Listing(
    InvitationView,
    _VIEW.join(users, _INVITED).where(users.c.id == bindparam("viewer")),
    id=invitations.c.id,
    sorts=_SORTS,
)
_view = loader(InvitationView)


class PostgresInvitationQueries(PostgresQueries, InvitationQueries):
    @override
    async def get(self, viewer: UserId, invitation_id: InvitationId, /) -> InvitationView:
        scope = {"viewer": viewer, "invitation_id": invitation_id}
        *shown, permitted = await self._one(_GET, scope, tuple, InvitationNotFound)
        if not permitted:
            raise NotPermitted
        return _view(shown)

    @override
    async def page(
        self, viewer: UserId, workspace_id: WorkspaceId, page: PageRequest, /
    ) -> Page[InvitationView]:
        scope = {"viewer": viewer, "workspace_id": workspace_id}
        return await _OF_WORKSPACE.page(self._source, scope, page, sort=_NEWEST_FIRST)

    @override
    async def mine(self, viewer: UserId, page: PageRequest, /) -> Page[InvitationView]:
        return await _MINE.page(self._source, {"viewer": viewer}, page, sort=_NEWEST_FIRST)
