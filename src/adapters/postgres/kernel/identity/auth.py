"""The built-in provider's records in PostgreSQL: credentials and sessions."""

from dataclasses import replace
from datetime import datetime
from typing import ClassVar, override

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    and_,
    bindparam,
    cast,
    exists,
    func,
    insert,
    literal_column,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from adapters.postgres.kernel.connection.database import Statement
from adapters.postgres.kernel.connection.errors import Conflicts
from adapters.postgres.kernel.identity.one_time_tokens import one_time_tokens
from adapters.postgres.kernel.tables.mapping import column_names, loader
from adapters.postgres.kernel.tables.paging import Listing, by_time
from adapters.postgres.kernel.tables.queries import PostgresQueries
from adapters.postgres.kernel.tables.repository import PostgresRepository, with_events
from adapters.postgres.kernel.tables.schema import instant, key, metadata, one_of, text, version
from adapters.postgres.kernel.users import IS_VERIFIED, users
from application.kernel.paging import Page, PageRequest, Sort
from application.kernel.ports.sessions import Sessions
from application.kernel.queries.auth import (
    CLAIMANTS,
    AuthQueries,
    KnownCookie,
    KnownCredential,
    PasswordOwner,
    SessionView,
)
from domain.kernel.aggregate import Event
from domain.kernel.identity.credentials import Credential, WrongCredentials
from domain.kernel.identity.one_time_tokens import Purpose
from domain.kernel.identity.sessions import Session, SessionId, SessionKind, SessionNotFound
from domain.kernel.identity.signing_keys import KeysRotated, SigningKey, SigningKeyId, SigningKeyNotFound
from domain.kernel.users import Email, UserId, UserNotFound

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
    Column("kind", Text, nullable=False, server_default=SessionKind.TOKENS),
    text("token_hash"),
    text("family_key", nullable=True),
    text("successor_salt", nullable=True),
    Column("replaced", ARRAY(Text), nullable=False, server_default="{}"),
    Column("replaced_at", ARRAY(DateTime(timezone=True)), nullable=False, server_default="{}"),
    Column("agent", Text, nullable=False, server_default=""),
    instant("created_at"),
    Column("used_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    instant("expires_at"),
    instant("ended_at", nullable=True),
    instant("authenticated_at", nullable=True),
    version(),
    Index(None, "user_id"),
    Index("ix_sessions_over", literal_column("LEAST(expires_at, ended_at)")),
    one_of("kind", SessionKind),
    CheckConstraint("expires_at > created_at", name="lifetime"),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    key(),
    Column("number", Integer, nullable=False),
    text("kid"),
    text("sealed"),
    instant("created_at"),
    instant("signs_from"),
    version(),
    UniqueConstraint("number"),
)


class PostgresCredentials(PostgresRepository[Credential, UserId]):
    table, entity, missing = credentials, Credential, UserNotFound


class PostgresSessions(PostgresRepository[Session, SessionId], Sessions):
    table, entity, missing = sessions, Session, SessionNotFound

    @override
    async def add_by_password(self, session: Session, /, *, password_hash: str) -> Session:
        await self._write(_ADD_BY_PASSWORD, session, otherwise=WrongCredentials, password_hash=password_hash)
        return replace(session, events=())

    @override
    async def end_all(
        self, user_id: UserId, /, *, at: datetime, but: SessionId | None = None, event: Event | None = None
    ) -> None:
        values = {"id": user_id, "user": user_id, "at": at, "but": but}
        await self._record(_END_ALL, values, [] if event is None else [event])

    @override
    async def end_oldest(self, user_id: UserId, /, *, keeping: int, at: datetime) -> None:
        # By itself, so that the next statement sees what its former holder has committed. Not the user's
        # row: those who change that row have locked sessions before.
        await self._transaction.lock(_TAKE_TURNS, {"user": user_id})
        await self._transaction.change(_END_OLDEST, {"user": user_id, "at": at, "keeping": keeping})


# Locked: a change of the password at the same time either is seen here, or sees the session and ends it.
_unchanged = (
    select(credentials.c.id)
    .where(
        credentials.c.id == bindparam("user_id", type_=Uuid),
        credentials.c.password_hash == bindparam("password_hash"),
    )
    .with_for_update(read=True)
    .cte("unchanged")
)
_names = column_names(Session)
_ADD_BY_PASSWORD = with_events(
    insert(sessions)
    .from_select(
        _names,
        select(*(bindparam(name, type_=sessions.c[name].type) for name in _names)).select_from(_unchanged),
    )
    .returning(sessions.c.version)
    .cte("changed")
)

_ended = (
    update(sessions)
    .where(
        sessions.c.user_id == bindparam("user"),
        sessions.c.ended_at.is_(None),
        sessions.c.id.is_distinct_from(bindparam("but", type_=Uuid)),
    )
    .values(ended_at=bindparam("at", type_=DateTime(timezone=True)), version=sessions.c.version + 1)
    .returning(sessions.c.id)
    .cte("ended")
)
_any_ended = select(literal_column("1").label("version")).where(exists(select(_ended.c.id))).cte("any_ended")
# A row also where none was open.
_END_ALL = with_events(
    select(func.count().label("version")).select_from(_ended).cte("changed"), where=_any_ended
)

_TAKE_TURNS = Statement(
    select(func.pg_advisory_xact_lock(func.hashtextextended(cast(bindparam("user", type_=Uuid), Text), 0)))
)
_oldest = (
    select(sessions.c.id)
    .where(
        sessions.c.user_id == bindparam("user"),
        sessions.c.ended_at.is_(None),
        sessions.c.expires_at > bindparam("at", type_=DateTime(timezone=True)),
    )
    .order_by(sessions.c.created_at.desc(), sessions.c.id.desc())
    .offset(bindparam("keeping", type_=Integer))
    .cte("oldest")
)
_ended_oldest = (
    update(sessions)
    .where(sessions.c.id.in_(select(_oldest.c.id)), sessions.c.ended_at.is_(None))
    .values(ended_at=bindparam("at", type_=DateTime(timezone=True)), version=sessions.c.version + 1)
    .returning(sessions.c.id)
    .cte("ended_oldest")
)
_END_OLDEST = Statement(select(func.count()).select_from(_ended_oldest))


class PostgresSigningKeys(PostgresRepository[SigningKey, SigningKeyId]):
    table, entity, missing = signing_keys, SigningKey, SigningKeyNotFound
    conflicts: ClassVar[Conflicts] = {"uq_signing_keys_number": KeysRotated}


_SIGNING_KEYS = PostgresSigningKeys.selecting(lambda query: query.order_by(signing_keys.c.number))
_signing_key = loader(SigningKey)

_holder = users.alias("holder")
_UNHELD = not_(
    exists().where(_holder.c.email == bindparam("email"), _holder.c.email_verified_at.is_not(None))
)
_CREDENTIALS = Statement(
    select(
        credentials.c.id, credentials.c.password_hash, users.c.suspended_at.is_not(None).label("suspended")
    )
    .join(users, users.c.id == credentials.c.id)
    .where(
        users.c.email == bindparam("email"),
        or_(IS_VERIFIED, and_(users.c.suspended_at.is_(None), _UNHELD)),
    )
    .order_by(users.c.id.desc())
    .limit(literal_column(str(CLAIMANTS)))
)
_credential = loader(KnownCredential)

_password_owner = select(users.c.email, users.c.display_name, credentials.c.password_hash).outerjoin(
    credentials, credentials.c.id == users.c.id
)
_KNOWN = Statement(_password_owner.where(users.c.id == bindparam("user_id")))
_RESETTING = Statement(
    _password_owner.join(one_time_tokens, one_time_tokens.c.user_id == users.c.id).where(
        one_time_tokens.c.token_hash == bindparam("token_hash"),
        one_time_tokens.c.purpose == Purpose.RESET_PASSWORD,
    )
)
_known = loader(PasswordOwner)

_OPEN = select(
    sessions.c.id,
    sessions.c.kind,
    sessions.c.agent,
    sessions.c.created_at,
    sessions.c.used_at,
    sessions.c.expires_at,
    sessions.c.id.is_not_distinct_from(bindparam("current", type_=Uuid)).label("current"),
    sessions.c.version,
).where(
    sessions.c.user_id == bindparam("viewer"),
    sessions.c.ended_at.is_(None),
    sessions.c.expires_at > func.now(),
)
_OPEN_SESSION = Statement(_OPEN.where(sessions.c.id == bindparam("session_id")))
_SESSIONS = Listing(
    SessionView,
    _OPEN,
    id=sessions.c.id,
    sorts={"created_at": by_time(sessions.c.created_at)},
)
_NEWEST_FIRST = (Sort("created_at", descending=True),)
_session = loader(SessionView)

_COOKIE = Statement(
    select(
        sessions.c.id,
        sessions.c.token_hash,
        sessions.c.used_at,
        sessions.c.expires_at,
        sessions.c.ended_at,
        users.c.id,
        users.c.roles,
        users.c.suspended_at,
        sessions.c.authenticated_at,
    )
    .join(users, users.c.id == sessions.c.user_id)
    .where(sessions.c.id == bindparam("session_id"), sessions.c.kind == SessionKind.COOKIE)
)
_cookie = loader(KnownCookie)


class PostgresAuthQueries(PostgresQueries, AuthQueries):
    @override
    async def credentials(self, email: Email, /) -> list[KnownCredential]:
        return [_credential(row) for row in await self._source.fetch(_CREDENTIALS, {"email": email})]

    @override
    async def known(self, user_id: UserId, /) -> PasswordOwner | None:
        row = await self._source.fetchrow(_KNOWN, {"user_id": user_id})
        return None if row is None else _known(row)

    @override
    async def resetting(self, token_hash: str, /) -> PasswordOwner | None:
        row = await self._source.fetchrow(_RESETTING, {"token_hash": token_hash})
        return None if row is None else _known(row)

    @override
    async def session(
        self, viewer: UserId, session_id: SessionId, /, *, current: SessionId | None
    ) -> SessionView:
        scope = {"viewer": viewer, "session_id": session_id, "current": current}
        return await self._one(_OPEN_SESSION, scope, _session, SessionNotFound)

    @override
    async def sessions(
        self, viewer: UserId, page: PageRequest, /, *, current: SessionId | None
    ) -> Page[SessionView]:
        scope = {"viewer": viewer, "current": current}
        return await _SESSIONS.page(self._source, scope, page, sort=_NEWEST_FIRST)

    @override
    async def signing_keys(self) -> list[SigningKey]:
        return [_signing_key(row) for row in await self._source.fetch(_SIGNING_KEYS, {})]

    @override
    async def cookie(self, session_id: SessionId, /) -> KnownCookie | None:
        row = await self._source.fetchrow(_COOKIE, {"session_id": session_id})
        return None if row is None else _cookie(row)
