"""The workers' heartbeats, and a look at the database that a full disk or a standby server fails."""

from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import (
    CTE,
    ColumnElement,
    Select,
    Table,
    Uuid,
    bindparam,
    delete,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.dialects.postgresql import insert as insert_or_update

from adapters.postgres.kernel.connection.database import Database, Statement
from adapters.postgres.kernel.outbox.events import deliveries, outbox
from adapters.postgres.kernel.tables.mapping import loader
from adapters.postgres.kernel.tables.schema import instant, key, metadata, text
from application.kernel.ports.health import Vitals

STALE: Final = timedelta(hours=1)
"""After so long the row of a worker that was killed goes."""

_LOOKED_AT: Final = 1000  # events, the oldest: a look costs the same however many wait
_ORDERED: Final = ("aggregate_id", "reaction")  # of which a delivery waits for the one before
_SPILLED: Final = 20_000  # rows, which take 200 KB: more than the memory that _BEGIN leaves them
_NOBODY: Final = ""  # the host of a row that is rolled back

# A row per process of a worker. `host` is a digest: it tells whether two are the same, not which it is.
worker_heartbeats: Final = Table(
    "worker_heartbeats",
    metadata,
    key(),
    text("host"),
    instant("started_at"),
    instant("beat_at"),
)


def _vitals(written: CTE) -> Select[*tuple[Any, ...]]:
    """One row, if there is one in `written`.

    Of an aggregate only its oldest event can be due. Among the oldest events of all it is the oldest of its
    aggregate, too, so the others need not be read.
    """
    oldest = (
        select(outbox.c.position, outbox.c.aggregate_id, outbox.c.available_at, outbox.c.parked_at)
        .order_by(outbox.c.position)
        .limit(literal_column(str(_LOOKED_AT)))
        .cte("oldest")
    )
    first = (
        select(oldest.c.available_at, oldest.c.parked_at)
        .ext(distinct_on(oldest.c.aggregate_id))
        .order_by(oldest.c.aggregate_id, oldest.c.position)
        .cte("first")
    )
    queued = (
        select(*(deliveries.c[name] for name in ("position", *_ORDERED, "available_at", "parked_at")))
        .order_by(deliveries.c.position)
        .limit(literal_column(str(_LOOKED_AT)))
        .cte("queued")
    )
    # Here what is parked holds nothing up, unless its lane is in strict order: then this tells of it early.
    head = (
        select(queued.c.available_at)
        .ext(distinct_on(*(queued.c[name] for name in _ORDERED)))
        .where(queued.c.parked_at.is_(None))
        .order_by(*(queued.c[name] for name in _ORDERED), queued.c.position)
        .cte("head")
    )
    due = (first.c.parked_at.is_(None), first.c.available_at <= func.clock_timestamp())
    # LEAST passes over what there is none of.
    longest = func.least(
        select(func.min(first.c.available_at)).where(*due).scalar_subquery(),
        select(func.min(head.c.available_at))
        .where(head.c.available_at <= func.clock_timestamp())
        .scalar_subquery(),
    )
    parked = or_(
        *(select(each.c.position).where(each.c.parked_at.is_not(None)).exists() for each in (oldest, queued))
    )
    return select(
        (func.clock_timestamp() - longest).label("overdue"),
        parked.label("parked"),
        # What `written` adds is not seen by this part of the statement.
        _age(select(func.max(worker_heartbeats.c.beat_at))).label("beaten"),
    ).select_from(written)


def _age(instant: Select[Any]) -> ColumnElement[timedelta]:
    """By the clock of the database, which is one for all."""
    return func.clock_timestamp() - instant.scalar_subquery()


_written = (
    insert(worker_heartbeats)
    .values(
        id=bindparam("id", type_=Uuid),
        host=literal(_NOBODY),
        started_at=func.now(),
        beat_at=func.now(),
    )
    .returning(worker_heartbeats.c.id)
    .cte("written")
)
_spilled = (
    select(func.count().label("rows"))
    .select_from(func.generate_series(1, literal_column(str(_SPILLED))).table_valued("row"))
    .cte("spilled")
)
_BEGIN: Final = "BEGIN; SET LOCAL work_mem = '64kB'"  # the least that there is
_LOOK = Statement(_vitals(_written).add_columns(select(_spilled.c.rows).scalar_subquery().label("spilled")))

_forgotten = (
    delete(worker_heartbeats)
    .where(
        worker_heartbeats.c.beat_at < func.now() - literal(STALE),
        worker_heartbeats.c.id != bindparam("id", type_=Uuid),
    )
    .cte("forgotten")
)
_insert = insert_or_update(worker_heartbeats).values(
    id=bindparam("id", type_=Uuid), host=bindparam("host"), started_at=func.now(), beat_at=func.now()
)
_beaten = (
    _insert.on_conflict_do_update(index_elements=[worker_heartbeats.c.id], set_={"beat_at": func.now()})
    .returning(worker_heartbeats.c.id)
    .cte("beaten")
)
_BEAT = Statement(_vitals(_beaten).add_cte(_forgotten))
_END = Statement(
    delete(worker_heartbeats)
    .where(worker_heartbeats.c.id == bindparam("id"))
    .returning(worker_heartbeats.c.id)
)
_AGE = Statement(
    select(
        _age(
            select(func.max(worker_heartbeats.c.beat_at)).where(worker_heartbeats.c.host == bindparam("host"))
        ).label("age")
    )
)
_load = loader(Vitals)


class PostgresObserver:
    """An `Observer`. `database` is one of its own, with a single connection.

    What it writes is rolled back. A row shows that the server is neither a standby nor otherwise read-only,
    and a temporary file that its disk takes more. The statement is a prepared one, as those of requests are,
    so a pooler that cannot have them is found.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.last: Vitals | None = None

    async def look(self) -> Vitals:
        try:
            self.last = await self._look()
        except BaseException:
            self.last = None
            raise
        return self.last

    async def _look(self) -> Vitals:
        async with self._database.connection() as connection:
            await connection.execute(_BEGIN)
            # After an error the connection is in a transaction that failed, and the pool ends it.
            row = await connection.fetchrow(_LOOK, {"id": uuid4()})
            await connection.execute("ROLLBACK")
        if row is None:
            raise AssertionError  # an INSERT has a row or raises
        return Vitals(overdue=row["overdue"], parked=row["parked"], beaten=row["beaten"])


class PostgresHeartbeats:
    """Those in the database; `database` is one of the worker's own, so that no delivery stands before it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.last: Vitals | None = None

    async def beat(self, worker: UUID, host: str, /) -> Vitals:
        try:
            (row,) = await self._database.fetch(_BEAT, {"id": worker, "host": host})
        except BaseException:
            self.last = None
            raise
        self.last = _load(row)
        return self.last

    async def end(self, worker: UUID, /) -> None:
        await self._database.fetch(_END, {"id": worker})

    async def age(self, host: str, /) -> timedelta | None:
        (row,) = await self._database.fetch(_AGE, {"host": host})
        age: timedelta | None = row["age"]
        return age
