"""One-time tokens in PostgreSQL."""

from collections.abc import Collection
from datetime import datetime
from typing import ClassVar, override

from sqlalchemy import (
    Column,
    DateTime,
    ForeignKey,
    Index,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    any_,
    bindparam,
    column,
    delete,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as postgres_insert

from adapters.postgres.kernel.connection.database import Statement
from adapters.postgres.kernel.connection.errors import Conflicts
from adapters.postgres.kernel.tables.repository import PostgresRepository
from adapters.postgres.kernel.tables.schema import instant, key, metadata, one_of, text, version
from adapters.postgres.kernel.users import users
from application.kernel.ports.sessions import OneTimeTokens
from domain.kernel.identity.credentials import LoginUsed
from domain.kernel.identity.one_time_tokens import (
    VOIDED,
    OneTimeToken,
    OneTimeTokenId,
    OneTimeTokenNotFound,
    Purpose,
)
from domain.kernel.users import UserId

one_time_tokens = Table(
    "one_time_tokens",
    metadata,
    key(),
    text("purpose"),
    Column("user_id", Uuid, ForeignKey(users.c.id, ondelete="CASCADE"), nullable=True),
    text("email", nullable=True),
    text("token_hash", nullable=True),
    text("challenge", nullable=True),
    instant("created_at"),
    instant("expires_at"),
    instant("authenticated_at", nullable=True),
    version(),
    UniqueConstraint("token_hash"),
    Index(None, "user_id"),
    Index(None, "expires_at"),
    one_of("purpose", Purpose),
)


class PostgresOneTimeTokens(PostgresRepository[OneTimeToken, OneTimeTokenId], OneTimeTokens):
    table, entity, missing = one_time_tokens, OneTimeToken, OneTimeTokenNotFound
    # Secrets are random, and only the state of a log-in comes from outside.
    conflicts: ClassVar[Conflicts] = {"uq_one_time_tokens_token_hash": LoginUsed}

    @override
    async def with_token(self, token_hash: str, /) -> OneTimeToken:
        found = await self._first(_WITH_TOKEN, {"token_hash": token_hash})
        if found is None:
            raise OneTimeTokenNotFound
        return found

    @override
    async def add_or_replace(self, tokens: Collection[OneTimeToken], /) -> None:
        columns = {name: [getattr(token, name) for token in tokens] for name in _UNOWNED}
        await self._transaction.change(_ADD_OR_REPLACE, columns)

    @override
    async def remove_earlier(self, token: OneTimeToken, /) -> None:
        await self._transaction.change(
            _REMOVE_EARLIER, {"user": token.user_id, "its_purpose": token.purpose, "but": token.id}
        )

    @override
    async def void(
        self, user_id: UserId, /, purposes: Collection[Purpose] = VOIDED, *, since: datetime | None = None
    ) -> None:
        await self._transaction.change(_VOID, {"user": user_id, "purposes": [*purposes], "since": since})


_WITH_TOKEN = PostgresOneTimeTokens.selecting(
    lambda query: query.where(one_time_tokens.c.token_hash == bindparam("token_hash"))
)

_UNOWNED = ("id", "purpose", "token_hash", "created_at", "expires_at")
_unowned = (
    func.unnest(*(bindparam(name, type_=ARRAY(one_time_tokens.c[name].type)) for name in _UNOWNED))
    .table_valued(*(column(name, one_time_tokens.c[name].type) for name in _UNOWNED))
    .render_derived("given")
)
_insert = postgres_insert(one_time_tokens).from_select(
    [*_UNOWNED, "version"], select(*_unowned.c, literal_column("1"))
)
_added = (
    _insert.on_conflict_do_update(
        index_elements=["token_hash"],
        set_={name: _insert.excluded[name] for name in ("created_at", "expires_at")},
    )
    .returning(one_time_tokens.c.id)
    .cte("added")
)
_ADD_OR_REPLACE = Statement(select(func.count()).select_from(_added))

_earlier = (
    delete(one_time_tokens)
    .where(
        one_time_tokens.c.user_id == bindparam("user"),
        one_time_tokens.c.purpose == bindparam("its_purpose"),
        one_time_tokens.c.id != bindparam("but"),
    )
    .returning(one_time_tokens.c.id)
    .cte("earlier")
)
_REMOVE_EARLIER = Statement(select(func.count()).select_from(_earlier))

_since = bindparam("since", type_=DateTime(timezone=True))
_voided = (
    delete(one_time_tokens)
    .where(
        one_time_tokens.c.user_id == bindparam("user"),
        one_time_tokens.c.purpose == any_(bindparam("purposes", type_=ARRAY(Text))),
        or_(_since.is_(None), one_time_tokens.c.created_at >= _since),
    )
    .returning(one_time_tokens.c.id)
    .cte("voided")
)
_VOID = Statement(select(func.count()).select_from(_voided))
