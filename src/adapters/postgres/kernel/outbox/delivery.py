"""Delivering what is in the outbox: in order for each aggregate, at least once, by any number of workers.

Only the oldest event of an aggregate is ever due. While a worker delivers it, it is locked, and its
successors are not the oldest; so workers can pass each other with SKIP LOCKED and the order holds.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

import asyncpg
import structlog
from sqlalchemy import (
    Double,
    Integer,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    cast,
    delete,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, INTERVAL

from adapters.postgres.kernel.connection.database import Database, Statement
from adapters.postgres.kernel.connection.transactions import PostgresTransactions
from adapters.postgres.kernel.outbox.events import CHANNEL, decode, deliveries, outbox
from adapters.postgres.kernel.outbox.lanes import (
    BACK_OFF_MOST_SECONDS,
    DUE,
    OLDEST,
    by_chance,
    described,
    dispatching,
)
from adapters.postgres.kernel.tables.mapping import loader
from application.kernel.ports.events import NONE_OUTSIDE, Backlog, Delivery, OutboxEntry, Reaction
from application.kernel.ports.world import Contention, Unavailable
from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.aggregate import Event

log = structlog.get_logger(__name__)

_earlier = outbox.alias("earlier")
_CLAIM = Statement(
    select(
        outbox.c.position,
        outbox.c.id,
        outbox.c.type,
        cast(outbox.c.payload, Text).label("payload"),
        outbox.c.attempts,
        outbox.c.traceparent,
    )
    .where(
        outbox.c.parked_at.is_(None),
        outbox.c.available_at <= func.now(),
        ~select(_earlier.c.position)
        .where(_earlier.c.aggregate_id == outbox.c.aggregate_id, _earlier.c.position < outbox.c.position)
        .exists(),
    )
    .order_by(outbox.c.position)
    .limit(literal_column("1"))
    .with_for_update(skip_locked=True)
)
# The names of the outside reactions, each beside the type of the event that it belongs to.
_names = (
    func.unnest(bindparam("types", type_=ARRAY(Text)), bindparam("reactions", type_=ARRAY(Text)))
    .table_valued("type", "reaction", with_ordinality="n")
    .render_derived("named")
)
_gone = delete(outbox).where(outbox.c.position == bindparam("position")).returning(*outbox.c).cte("gone")
_DELIVERED = Statement(select(_gone.c.position).add_cte(dispatching(_gone, _names)))

_troubled = or_(_earlier.c.attempts > 0, _earlier.c.parked_at.is_not(None))
_its_earlier = and_(
    _earlier.c.aggregate_id == outbox.c.aggregate_id, _earlier.c.position <= outbox.c.position
)
_causing = bindparam("types", type_=ARRAY(Text))
_first_held_up = (
    select(outbox.c.position)
    .where(
        outbox.c.dispatched_at.is_(None),
        outbox.c.type == any_(_causing),
        select(_earlier.c.position).where(_its_earlier, _troubled).exists(),
        # What is before it may be on its way at this moment, in another worker's transaction.
        ~select(_earlier.c.position)
        .where(
            _its_earlier,
            _earlier.c.position < outbox.c.position,
            _earlier.c.dispatched_at.is_(None),
            _earlier.c.type == any_(_causing),
        )
        .exists(),
    )
    .order_by(outbox.c.position)
    .limit(literal_column("1"))
    .with_for_update(skip_locked=True)
)
_HELD_UP = Statement(_first_held_up)
_held_up = _first_held_up.cte("held_up").prefix_with("MATERIALIZED")
# Whatever the column says, the row is as it was before this statement when `dispatching` looks at it.
_marked = (
    update(outbox)
    .where(outbox.c.position == _held_up.c.position)
    .values(dispatched_at=func.now())
    .returning(
        *(each for each in outbox.c if each.name != "dispatched_at"),
        null().cast(outbox.c.dispatched_at.type).label("dispatched_at"),
    )
    .cte("marked")
)
_DISPATCH_HELD_UP = Statement(select(_marked.c.position).add_cte(dispatching(_marked, _names)))
_FAILED = Statement(
    update(outbox)
    # Guarded, so that a failure counts once even if another worker tried in the meantime.
    .where(outbox.c.position == bindparam("position"), outbox.c.attempts == bindparam("seen"))
    .values(
        attempts=outbox.c.attempts + 1,
        last_error=bindparam("last_error"),
        available_at=func.now() + bindparam("pause", type_=INTERVAL),
        parked_at=case((outbox.c.attempts + 1 >= bindparam("most"), func.now())),
    )
    .returning(outbox.c.parked_at)
)
_SHOWN = (
    "type",
    "aggregate_id",
    "recorded_at",
    "attempts",
    "available_at",
    "parked_at",
    "last_error",
)
_waiting = union_all(
    select(
        outbox.c.id,
        *(outbox.c[name] for name in _SHOWN),
        null().cast(Text).label("reaction"),
        literal(0, Integer).label("refusals"),
        outbox.c.position,
    ),
    select(
        deliveries.c.event_id,
        *(deliveries.c[name] for name in _SHOWN),
        deliveries.c.reaction,
        deliveries.c.refusals,
        deliveries.c.position,
    ),
).subquery("waiting")
_ENTRY = select(*(each for each in _waiting.c if each.name != "position")).order_by(
    _waiting.c.recorded_at, _waiting.c.reaction.is_(None), _waiting.c.position
)
_ENTRIES = Statement(_ENTRY.limit(bindparam("limit")))
_PARKED = Statement(_ENTRY.where(_waiting.c.parked_at.is_not(None)).limit(bindparam("limit")))

_REPLAY_EVENTS = Statement(
    update(outbox)
    .where(
        outbox.c.parked_at.is_not(None),
        or_(bindparam("id", type_=Uuid).is_(None), outbox.c.id == bindparam("id", type_=Uuid)),
    )
    .values(parked_at=null(), attempts=0, available_at=func.now())
    .returning(outbox.c.id)
)
_REPLAY_DELIVERIES = Statement(
    update(deliveries)
    .where(
        deliveries.c.parked_at.is_not(None),
        or_(bindparam("id", type_=Uuid).is_(None), deliveries.c.event_id == bindparam("id", type_=Uuid)),
        or_(
            bindparam("reaction", type_=Text).is_(None),
            deliveries.c.reaction == bindparam("reaction", type_=Text),
        ),
    )
    .values(parked_at=null(), attempts=0, refusals=0, first_refused_at=null(), available_at=func.now())
    .returning(deliveries.c.position)
)
_entry = loader(OutboxEntry)

# Only what nothing stands before is due: what waits behind a parked event is not late, it is held up.
_parked_or_due = union_all(
    select(outbox.c.parked_at, outbox.c.available_at, literal("").label("reaction")).where(
        or_(
            outbox.c.parked_at.is_not(None),
            and_(
                outbox.c.available_at <= func.now(),
                ~select(_earlier.c.position)
                .where(_its_earlier, _earlier.c.position < outbox.c.position)
                .exists(),
            ),
        )
    ),
    select(deliveries.c.parked_at, deliveries.c.available_at, deliveries.c.reaction).where(
        or_(deliveries.c.parked_at.is_not(None), and_(DUE, OLDEST))
    ),
).subquery("parked_or_due")
_late = _parked_or_due.c.parked_at.is_(None)
_how_much = select(
    func.count(_parked_or_due.c.parked_at).label("parked"),
    func.count().filter(_late).label("due"),
    func.coalesce(
        func.extract("epoch", func.now() - func.min(_parked_or_due.c.available_at).filter(_late)),
        literal_column("0"),
    )
    .cast(Double)
    .label("oldest_due_seconds"),
)
_BACKLOG = Statement(_how_much)
_BY_REACTION = Statement(_how_much.add_columns(_parked_or_due.c.reaction).group_by(_parked_or_due.c.reaction))
_backlog = loader(Backlog)


class PostgresOutbox[U: KernelUnitOfWork]:
    """An `Outbox`. An event is parked after `attempts` failures in a row."""

    def __init__(self, database: Database, begin: PostgresTransactions[U], *, attempts: int = 10) -> None:
        self._database = database
        self._begin = begin
        self._attempts = attempts
        self._ears: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._listening = asyncio.Lock()

    async def deliver_next(
        self, react: Reaction[U, Event], outside: Mapping[str, Sequence[str]] = NONE_OUTSIDE, /
    ) -> bool:
        named = [(event, name) for event, names in outside.items() for name in names]
        caused = {"types": [event for event, _ in named], "reactions": [name for _, name in named]}
        claimed = None
        try:
            async with self._begin.open() as transaction:
                rows = await transaction.lock(_CLAIM, {})
                if rows:
                    claimed = rows[0]
                    event = decode(claimed["type"], claimed["payload"])
                    uow = self._begin.unit_of_work(transaction)
                    await react(uow, Delivery(claimed["id"], event, claimed["traceparent"]))
                    await transaction.change(_DELIVERED, {"position": claimed["position"], **caused})
        # The world's fault, not the event's. That something took too long can be the event's: uncounted,
        # one whose reaction always does would stand before all others for ever.
        except (Unavailable, Contention):
            raise
        except Exception as error:
            if claimed is None:
                raise
            await self._failed(claimed, error)
        if claimed is None:
            return bool(named) and await self._dispatch_held_up(caused)
        return True

    async def _dispatch_held_up(self, caused: Mapping[str, Sequence[str]]) -> bool:
        # Looked for first: an INSERT wakes every worker, also one of no rows, since its trigger is the
        # statement's; and who is woken looks again.
        if await self._database.fetchrow(_HELD_UP, {"types": caused["types"]}) is None:
            return False
        return await self._database.fetchrow(_DISPATCH_HELD_UP, caused) is not None

    async def wait(self, seconds: float, /, *, ear: str = "") -> None:
        heard = self._ears[ear]
        async with self._listening:
            connected = await self._database.listen(CHANNEL, self._hear)
        if connected:
            self._hear()  # what was committed before the connection stood made no sound
            heard.clear()
            return
        try:
            async with asyncio.timeout(seconds):
                await heard.wait()
        except TimeoutError:
            return
        finally:
            heard.clear()

    def _hear(self) -> None:
        for ear in self._ears.values():
            ear.set()

    async def backlog(self) -> Backlog:
        [row] = await self._database.fetch(_BACKLOG, {"passes_parked": False})
        return _backlog(row)

    async def backlog_by_reaction(self) -> Mapping[str, Backlog]:
        rows = await self._database.fetch(_BY_REACTION, {"passes_parked": False})
        return {row["reaction"]: _backlog(row[:3]) for row in rows}

    async def entries(self, *, parked_only: bool, limit: int) -> Collection[OutboxEntry]:
        rows = await self._database.fetch(_PARKED if parked_only else _ENTRIES, {"limit": limit})
        return [_entry(row) for row in rows]

    async def replay(self, id: UUID | None, /, *, reaction: str | None = None) -> int:
        outside = await self._database.fetch(_REPLAY_DELIVERIES, {"id": id, "reaction": reaction})
        events = [] if reaction else await self._database.fetch(_REPLAY_EVENTS, {"id": id})
        return len(outside) + len(events)

    async def _failed(self, claimed: asyncpg.Record, error: Exception) -> None:
        row = await self._database.fetchrow(
            _FAILED,
            {
                "position": claimed["position"],
                "seen": claimed["attempts"],
                "last_error": described(error),
                "pause": by_chance(min(2 ** claimed["attempts"], BACK_OFF_MOST_SECONDS)),
                "most": self._attempts,
            },
        )
        if row is not None and row["parked_at"] is not None:
            log.error(
                "event parked",
                event_id=claimed["id"],
                event_type=claimed["type"],
                reason=type(error).__name__,
            )
