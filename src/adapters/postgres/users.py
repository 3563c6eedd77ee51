"""Users in PostgreSQL: the table, the repository, the queries."""

from typing import ClassVar

from sqlalchemy import CheckConstraint, Table, UniqueConstraint, bindparam, select

from adapters.postgres.database import Database, Statement
from adapters.postgres.errors import Conflicts
from adapters.postgres.mapping import column_names, loader
from adapters.postgres.repository import PostgresRepository
from adapters.postgres.schema import between, instant, key, metadata, text, version
from application.queries.users import Profile
from domain.users import DISPLAY_NAME_MOST, EMAIL_MOST, Email, EmailTaken, User, UserId, UserNotFound

users = Table(
    "users",
    metadata,
    key(),
    text("email"),
    text("display_name"),
    instant("created_at"),
    version(),
    UniqueConstraint("email"),
    between("email", 3, EMAIL_MOST),
    between("display_name", 1, DISPLAY_NAME_MOST),
    CheckConstraint("email = lower(email)", name="email_lower_case"),
)


class PostgresUsers(PostgresRepository[User, UserId]):
    table, entity, missing = users, User, UserNotFound
    conflicts: ClassVar[Conflicts] = {"uq_users_email": EmailTaken}

    async def by_email(self, email: Email, /) -> User | None:
        return await self._first(_BY_EMAIL, {"email": email})


_BY_EMAIL = PostgresUsers.selecting(lambda query: query.where(users.c.email == bindparam("email")))

_PROFILE = Statement(
    select(*(users.c[name] for name in column_names(Profile))).where(users.c.id == bindparam("id"))
)
_profile = loader(Profile)


class PostgresUserQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def profile(self, user_id: UserId, /) -> Profile:
        row = await self._database.fetchrow(_PROFILE, {"id": user_id})
        if row is None:
            raise UserNotFound
        return _profile(row)
