"""Counting attempts in PostgreSQL, so that all processes count together. The table is in `auth.py`."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from math import ceil
from typing import Any

import asyncpg
from sqlalchemy import (
    Column,
    DateTime,
    Index,
    Integer,
    Table,
    Text,
    any_,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert

from adapters.postgres.kernel.connection.database import Database, Statement
from adapters.postgres.kernel.tables.schema import instant, metadata
from application.kernel.ports.attempts import Limit
from application.kernel.ports.storing import Clock
from domain.kernel.identity.credentials import TooManyAttempts

attempts = Table(
    "attempts",
    metadata,
    # What was attempted too often, as a digest: no addresses are kept for those without an account.
    Column("key", Text, primary_key=True),
    Column("count", Integer, nullable=False),
    instant("expires_at"),
    Index(None, "expires_at"),
)

_SWEPT = 10  # more than one failure adds, so the table does not grow for ever

_keys = bindparam("keys", type_=ARRAY(Text))
_now = bindparam("now", type_=DateTime(timezone=True))

_CHECK = Statement(
    select(attempts.c.key, attempts.c.count, attempts.c.expires_at).where(
        attempts.c.key == any_(_keys), attempts.c.expires_at > _now
    )
)

_new = (
    func.unnest(_keys, bindparam("ends", type_=ARRAY(DateTime(timezone=True))))
    .table_valued("key", "expires_at")
    .render_derived("new")
)
_adding = insert(attempts).from_select(
    ["key", "count", "expires_at"],
    # In one order everywhere, so that no two statements wait for each other.
    select(_new.c.key, literal_column("1", Integer), _new.c.expires_at).order_by(_new.c.key),
)
_over = attempts.c.expires_at <= _now
_swept = (
    select(attempts.c.key)
    .where(attempts.c.expires_at <= _now, ~(attempts.c.key == any_(_keys)))
    .limit(literal_column(str(_SWEPT)))
    .with_for_update(skip_locked=True)
    .cte("over")  # found once; a subquery might be run again for each row, and with it the limit
)
_COUNT = Statement(
    _adding.on_conflict_do_update(
        index_elements=[attempts.c.key],
        set_={
            "count": case((_over, 1), else_=attempts.c.count + 1),
            "expires_at": case((_over, _adding.excluded.expires_at), else_=attempts.c.expires_at),
        },
    )
    .returning(attempts.c.key, attempts.c.count, attempts.c.expires_at)
    .add_cte(delete(attempts).where(attempts.c.key.in_(select(_swept.c.key))).cte("swept"))
)
_counted = (
    select(attempts.c.key)
    .where(attempts.c.key == any_(_keys), attempts.c.expires_at > _now)
    .order_by(attempts.c.key)
    .with_for_update()
)
_TAKE_BACK = Statement(
    update(attempts)
    .where(attempts.c.key.in_(_counted), attempts.c.count > literal_column("0"))
    .values(count=attempts.c.count - literal_column("1"))
)
_FORGET = Statement(delete(attempts).where(attempts.c.key == any_(_keys)))


class PostgresAttempts:
    """An `Attempts`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def check(self, limits: Sequence[Limit], /) -> Collection[Limit]:
        now = self._clock()
        rows = await self._database.fetch(_CHECK, {**_named(limits), "now": now})
        _ensure(limits, rows, now=now, room_for=1)
        counted = {row["key"] for row in rows}
        return [limit for limit in limits if limit.key in counted]

    async def count(self, limits: Sequence[Limit], /) -> Collection[Limit]:
        now = self._clock()
        ends = [now + limit.window for limit in limits]
        rows = await self._database.fetch(_COUNT, {**_named(limits), "ends": ends, "now": now})
        _ensure(limits, rows, now=now, room_for=0)
        counts = {row["key"]: row["count"] for row in rows}
        return [limit for limit in limits if counts[limit.key] == limit.most]

    async def take_back(self, limits: Sequence[Limit], /) -> None:
        await self._database.fetch(_TAKE_BACK, {**_named(limits), "now": self._clock()})

    async def forget(self, limits: Sequence[Limit], /) -> None:
        await self._database.fetch(_FORGET, _named(limits))


def _named(limits: Iterable[Limit]) -> Mapping[str, Any]:
    return {"keys": [limit.key for limit in limits]}


def _ensure(limits: Iterable[Limit], rows: Iterable[asyncpg.Record], *, now: datetime, room_for: int) -> None:
    most = {limit.key: limit.most for limit in limits}
    used_up = [row["expires_at"] for row in rows if row["count"] + room_for > most[row["key"]]]
    if used_up:
        raise TooManyAttempts(retry_after=max(1, ceil((max(used_up) - now).total_seconds())))
