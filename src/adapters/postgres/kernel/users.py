"""Users in PostgreSQL: the table, the repository, the queries."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import ClassVar, override

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    Index,
    Table,
    Text,
    Uuid,
    any_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from adapters.postgres.kernel.connection.database import Statement
from adapters.postgres.kernel.connection.errors import Conflicts
from adapters.postgres.kernel.outbox.events import each_event_values, recording_each
from adapters.postgres.kernel.tables.mapping import loader
from adapters.postgres.kernel.tables.paging import Listing, by_text, by_time
from adapters.postgres.kernel.tables.queries import PostgresQueries
from adapters.postgres.kernel.tables.repository import PostgresRepository
from adapters.postgres.kernel.tables.schema import between, instant, key, metadata, text, version
from adapters.postgres.kernel.tables.searching import beginning
from application.kernel.admission import require
from application.kernel.paging import Page, PageRequest, Sort
from application.kernel.permissions import READ_USERS
from application.kernel.ports.callers import Caller
from application.kernel.ports.tenancy import Users
from application.kernel.queries.users import Profile, UserFilter, UserQueries, UserSortKey, UserView
from domain.kernel.users import (
    DISPLAY_NAME_MOST,
    EMAIL_MOST,
    Email,
    EmailLost,
    EmailTaken,
    User,
    UserId,
    UserNotFound,
)

# Users without an address come first; in a row comparison NULL would lose them.
_ADDRESS: ColumnElement[str] = literal_column("COALESCE(email, ''::text)")

users = Table(
    "users",
    metadata,
    key(),
    text("email", nullable=True),
    instant("email_verified_at", nullable=True),
    text("pending_email", nullable=True),
    text("display_name"),
    Column("roles", ARRAY(Text), nullable=False, server_default="{}"),
    instant("created_at"),
    instant("suspended_at", nullable=True),
    instant("deleted_at", nullable=True),
    version(),
    Index(None, "email", "id"),
    between("email", 3, EMAIL_MOST),
    between("pending_email", 3, EMAIL_MOST),
    between("display_name", 1, DISPLAY_NAME_MOST),
    CheckConstraint("deleted_at IS NULL OR suspended_at IS NOT NULL", name="deleted_is_suspended"),
    CheckConstraint("email = lower(email)", name="email_lower_case"),
    CheckConstraint("pending_email = lower(pending_email)", name="pending_email_lower_case"),
    Index(None, "created_at", "id"),
    Index("ix_users_address", _ADDRESS, "id"),
)
IS_VERIFIED = users.c.email_verified_at.is_not(None)
# The user who has verified an address has it alone. Before that it is a claim, which any user may make.
Index("uq_users_email", users.c.email, unique=True, postgresql_where=IS_VERIFIED)


class PostgresUsers(PostgresRepository[User, UserId], Users):
    table, entity, missing = users, User, UserNotFound
    conflicts: ClassVar[Conflicts] = {"uq_users_email": EmailTaken}

    @override
    async def holder(self, email: Email, /) -> User | None:
        return await self._first(_HOLDER, {"email": email})

    @override
    async def recipient(self, email: Email, /) -> User | None:
        return await self._first(_RECIPIENT, {"email": email})

    @override
    async def take_email(self, user: User, /, *, at: datetime) -> None:
        await self._transaction.change(
            _TAKE, {"address": user.email, "taker": user.id, **each_event_values(at)}
        )

    @override
    async def lock(self, *ids: UserId) -> Collection[User]:
        return [self._read(row) for row in await self._transaction.lock(_LOCK, {"ids": ids})]


_HOLDER = PostgresUsers.selecting(lambda query: query.where(users.c.email == bindparam("email"), IS_VERIFIED))
_RECIPIENT = PostgresUsers.selecting(
    lambda query: (
        query.where(users.c.email == bindparam("email"), or_(IS_VERIFIED, users.c.suspended_at.is_(None)))
        .order_by(IS_VERIFIED.desc(), users.c.id.desc())
        .limit(1)
    )
)
# However many claim it: one statement, or a crowd of claimants could keep its owner from proving it.
# Locked in one order for everybody, or two who prove it at the same time could wait for each other.
_all = (
    select(users.c.id)
    .where(users.c.email == bindparam("address"))
    .order_by(users.c.id)
    .with_for_update()
    .cte("all_of_them")
)
_losing = (
    update(users)
    .where(
        users.c.id == _all.c.id,
        users.c.email == bindparam("address"),
        users.c.email_verified_at.is_(None),
        users.c.id != bindparam("taker"),
    )
    .values(email=None, version=users.c.version + 1)
    .returning(users.c.id, users.c.id.label("user_id"))
    .cte("losing")
)
_TAKE = Statement(
    select(func.count()).select_from(_losing).add_cte(recording_each(_losing, EmailLost, "user_id"))
)

# In one order for everybody, or two transactions could wait for each other.
_LOCK = PostgresUsers.selecting(
    lambda query: (
        query.where(users.c.id == any_(bindparam("ids", type_=ARRAY(Uuid))))
        .order_by(users.c.id)
        .with_for_update()
    )
)

_verified = IS_VERIFIED.label("email_verified")
_PROFILE = Statement(
    select(
        users.c.id,
        users.c.email,
        _verified,
        users.c.pending_email,
        users.c.display_name,
        users.c.roles,
        users.c.created_at,
        users.c.version,
    ).where(users.c.id == bindparam("id"))
)
_VIEW = select(
    users.c.id,
    users.c.email,
    _verified,
    users.c.display_name,
    users.c.roles,
    users.c.created_at,
    users.c.suspended_at,
    users.c.deleted_at,
    users.c.version,
)
_GET = Statement(_VIEW.where(users.c.id == bindparam("id")))
_begins: ColumnElement[str] = bindparam("q", type_=Text)  # what `beginning` makes of it
_PAGE = Listing(
    UserView,
    _VIEW,
    id=users.c.id,
    sorts={"created_at": by_time(users.c.created_at), "email": by_text(_ADDRESS)},
    sorted_by=UserSortKey,
    filters={
        "q": or_(users.c.email.op("~")(_begins), users.c.display_name.op("~")(_begins)),
        "suspended": users.c.suspended_at.is_not(None) == bindparam("suspended", type_=Boolean),
        "deleted": users.c.deleted_at.is_not(None) == bindparam("deleted", type_=Boolean),
        "role": bindparam("role", type_=Text) == any_(users.c.roles),
    },
    filtered_by=UserFilter,
)
_profile, _view = loader(Profile), loader(UserView)


class PostgresUserQueries(PostgresQueries, UserQueries):
    """Who may read users has that permission in the whole service: it is the actor's, and not in the data."""

    @override
    async def profile(self, user_id: UserId, /) -> Profile:
        return await self._one(_PROFILE, {"id": user_id}, _profile, UserNotFound)

    @override
    async def get(self, actor: Caller, user_id: UserId, /) -> UserView:
        require(actor, READ_USERS)
        return await self._one(_GET, {"id": user_id}, _view, UserNotFound)

    @override
    async def page(
        self, actor: Caller, where: UserFilter, sort: Sequence[Sort[UserSortKey]], page: PageRequest, /
    ) -> Page[UserView]:
        require(actor, READ_USERS)
        if where.q is not None:
            where = replace(where, q=beginning(where.q))
        return await _PAGE.page(self._source, {}, page, sort=sort, where=where)
