"""The built-in provider's records in PostgreSQL: credentials and sessions."""

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Table, Uuid, bindparam, select

from adapters.postgres.database import Database, Statement
from adapters.postgres.mapping import loader
from adapters.postgres.repository import PostgresRepository
from adapters.postgres.schema import instant, key, metadata, text, version
from adapters.postgres.users import users
from application.queries.auth import KnownCredential
from domain.auth import Credential, Session, SessionId, SessionNotFound
from domain.users import Email, UserId, UserNotFound

credentials = Table(
    "credentials",
    metadata,
    Column("id", Uuid, ForeignKey(users.c.id, ondelete="CASCADE"), primary_key=True),
    text("password_hash"),
    version(),
)

sessions = Table(
    "sessions",
    metadata,
    key(),
    Column("user_id", Uuid, ForeignKey(users.c.id, ondelete="CASCADE"), nullable=False),
    text("token_hash"),
    instant("created_at"),
    instant("expires_at"),
    instant("ended_at", nullable=True),
    version(),
    Index(None, "user_id"),
    CheckConstraint("expires_at > created_at", name="lifetime"),
)


class PostgresCredentials(PostgresRepository[Credential, UserId]):
    table, entity, missing = credentials, Credential, UserNotFound


class PostgresSessions(PostgresRepository[Session, SessionId]):
    table, entity, missing = sessions, Session, SessionNotFound


_CREDENTIAL = Statement(
    select(credentials.c.id, credentials.c.password_hash)
    .join(users, users.c.id == credentials.c.id)
    .where(users.c.email == bindparam("email"))
)
_credential = loader(KnownCredential)


class PostgresAuthQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def credential(self, email: Email, /) -> KnownCredential | None:
        row = await self._database.fetchrow(_CREDENTIAL, {"email": email})
        return None if row is None else _credential(row)
