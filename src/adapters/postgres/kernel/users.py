"""Users in PostgreSQL: the table, the repository, the queries."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, override

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    Index,
    Table,
    Text,
    UniqueConstraint,
    any_,
    bindparam,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY

from adapters.postgres.kernel.connection.database import Statement
from adapters.postgres.kernel.connection.errors import Conflicts
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
from domain.kernel.users import DISPLAY_NAME_MOST, EMAIL_MOST, Email, EmailTaken, User, UserId, UserNotFound

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
    version(),
    UniqueConstraint("email"),
    between("email", 3, EMAIL_MOST),
    between("pending_email", 3, EMAIL_MOST),
    between("display_name", 1, DISPLAY_NAME_MOST),
    CheckConstraint("email = lower(email)", name="email_lower_case"),
    CheckConstraint("pending_email = lower(pending_email)", name="pending_email_lower_case"),
    Index(None, "created_at", "id"),
    Index("ix_users_address", _ADDRESS, "id"),
)


class PostgresUsers(PostgresRepository[User, UserId], Users):
    table, entity, missing = users, User, UserNotFound
    conflicts: ClassVar[Conflicts] = {"uq_users_email": EmailTaken}

    @override
    async def by_email(self, email: Email, /) -> User | None:
        return await self._first(_BY_EMAIL, {"email": email})


_BY_EMAIL = PostgresUsers.selecting(lambda query: query.where(users.c.email == bindparam("email")))

_verified = users.c.email_verified_at.is_not(None).label("email_verified")
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
