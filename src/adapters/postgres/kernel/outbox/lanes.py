"""Delivering to the outside: each reaction by itself, with nothing of the database held meanwhile.

A delivery is leased by a statement of its own, which is committed before anything leaves. While the other
side is silent there is no transaction, no lock and no connection: the row is not due until the lease is over.
The holder of a lease gives up before that, so no other worker is at the same delivery (docs/decisions/0038).
"""

import asyncio
import random
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any, Final

import structlog
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Select,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    cast,
    delete,
    func,
    literal_column,
    not_,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, INTERVAL
from sqlalchemy.dialects.postgresql import insert as postgres_insert

from adapters.postgres.kernel.connection.database import Database, Statement
from adapters.postgres.kernel.connection.transaction import Transaction
from adapters.postgres.kernel.connection.transactions import PostgresTransactions
from adapters.postgres.kernel.outbox.events import decode, deliveries
from adapters.postgres.kernel.tables.mapping import loader
from application.kernel.ports.events import Delivery, Leased, Outcome, Outgoing, Outside
from application.kernel.ports.world import Contention, NotNow, TimedOut, Unavailable, WorldError
from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.aggregate import Event

log = structlog.get_logger(__name__)

BACK_OFF_MOST_SECONDS = 600
"""The longest pause after a defect."""

FIRST_REFUSAL_SECONDS, LATER_REFUSALS_SECONDS = 15, 1800
"""The pauses after a refusal grow from one to the other: the first tries soon, later ones half an hour apart
(RFC 5321 §4.5.4.1)."""

SILENCE_MOST_SECONDS = 30
"""The longest pause of what met silence: the lane has its own, and what waits leaves soon after its end."""

MARGIN_SECONDS = 10
"""How much longer a lease lasts than what is done under it: for the transaction that ends the delivery."""

ERROR_MOST = 500
STORE_TRIES = 3


def described(error: Exception) -> str:
    """An error as it is stored."""
    said = f"{type(error).__name__}: {error}"[:ERROR_MOST].replace("\0", "")
    return said.encode(errors="replace").decode()  # half of a surrogate pair has no form


def by_chance(seconds: float) -> timedelta:
    """Half of it, or up to all of it, so that rivals part."""
    return timedelta(seconds=seconds * random.uniform(0.5, 1.0))  # noqa: S311 (no secret)


_earlier = deliveries.alias("earlier")
OLDEST: Final = not_(
    select(_earlier.c.position)
    .where(
        _earlier.c.aggregate_id == deliveries.c.aggregate_id,
        _earlier.c.reaction == deliveries.c.reaction,
        _earlier.c.position < deliveries.c.position,
        or_(_earlier.c.parked_at.is_(None), not_(bindparam("passes_parked", type_=Boolean))),
    )
    .exists()
)
"""Nothing of the aggregate and the reaction is before it."""

DUE: Final = and_(deliveries.c.parked_at.is_(None), deliveries.c.available_at <= func.now())

_named = deliveries.c.reaction == any_(bindparam("names", type_=ARRAY(Text)))
_due: Select[Any] = (
    select(deliveries.c.position)
    .where(DUE, _named != bindparam("others", type_=Boolean), OLDEST)
    # What was due first, by an index: a backlog that is not due is not looked at.
    .order_by(deliveries.c.available_at, deliveries.c.position)
    .limit(literal_column("1"))
    .with_for_update(skip_locked=True)
)
_next = _due.cte("next").prefix_with("MATERIALIZED")
_LEASE = Statement(
    update(deliveries)
    .where(deliveries.c.position == _next.c.position)
    .values(lease=func.gen_random_uuid(), available_at=func.now() + bindparam("seconds", type_=INTERVAL))
    .returning(
        deliveries.c.position,
        deliveries.c.lease,
        deliveries.c.event_id,
        deliveries.c.type,
        deliveries.c.aggregate_id,
        cast(deliveries.c.payload, Text).label("payload"),
        deliveries.c.reaction,
        deliveries.c.attempts,
        deliveries.c.refusals,
        deliveries.c.traceparent,
    )
)
_leased = loader(Leased)


def _mine() -> ColumnElement[bool]:
    return and_(
        deliveries.c.position == bindparam("of_position"),
        deliveries.c.lease == bindparam("of_lease", type_=Uuid),
    )


_DELIVERED = Statement(delete(deliveries).where(_mine()).returning(deliveries.c.position))
_followed = delete(deliveries).where(_mine()).returning(*deliveries.c).cte("followed")
_copied = ("event_id", "type", "aggregate_id", "payload", "recorded_at", "traceparent")
_following = (
    postgres_insert(deliveries)
    .from_select(
        [*_copied, "reaction"],
        select(*(_followed.c[name] for name in _copied), bindparam("follower", type_=Text)),
    )
    .on_conflict_do_nothing()
    .cte("following")
)
_FOLLOWED = Statement(select(_followed.c.position).add_cte(_following))

_first = func.coalesce(deliveries.c.first_refused_at, func.now())
_REFUSED = Statement(
    update(deliveries)
    .where(_mine())
    .values(
        refusals=deliveries.c.refusals + 1,
        first_refused_at=_first,
        last_error=bindparam("last_error"),
        lease=null(),
        available_at=func.now() + bindparam("pause", type_=INTERVAL),
        parked_at=case((_first + bindparam("patience", type_=INTERVAL) <= func.now(), func.now())),
    )
    .returning(deliveries.c.parked_at)
)
_FAILED = Statement(
    update(deliveries)
    .where(_mine())
    .values(
        attempts=deliveries.c.attempts + 1,
        last_error=bindparam("last_error"),
        lease=null(),
        available_at=func.now() + bindparam("pause", type_=INTERVAL),
        parked_at=case((deliveries.c.attempts + 1 >= bindparam("most"), func.now())),
    )
    .returning(deliveries.c.parked_at)
)


def _unknown() -> bool:
    return False


class LeaseLost(Contention):
    """Another worker is at the delivery by now."""


class PostgresLanes[U: KernelUnitOfWork]:
    """A `Lanes`. What is refused for now is tried for `patience`, counted from the first refusal; a defect
    may happen `attempts` times. After that a delivery is parked, and logged as such.

    What is done under a lease takes `seconds` at most.
    """

    def __init__(
        self,
        database: Database,
        begin: PostgresTransactions[U],
        *,
        attempts: int = 10,
        patience: timedelta = timedelta(hours=96),
        seconds: float = 20.0,
    ) -> None:
        self._database = database
        self._begin = begin
        self._attempts = attempts
        self._patience = patience
        self._seconds = seconds

    async def lease(
        self, reactions: Collection[str], /, *, passes_parked: bool = False, others: bool = False
    ) -> Leased | None:
        lasting = timedelta(seconds=self._seconds + MARGIN_SECONDS)
        values = {
            "names": [*reactions],
            "others": others,
            "passes_parked": passes_parked,
            "seconds": lasting,
        }
        row = await self._database.fetchrow(_LEASE, values)
        return None if row is None else _leased(row)

    async def deliver(
        self, leased: Leased, react: Outside[U, Event], /, *, others_served: Callable[[], bool] = _unknown
    ) -> Outcome:
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(began + self._seconds):
                outgoing = await self._prepared(leased, react)
            if outgoing is None:
                return Outcome.NOTHING
            try:
                async with asyncio.timeout_at(began + self._seconds):
                    done = await outgoing.send()
            except TimeoutError:
                return await self._refused(leased, TimedOut("It took too long."), others_served())
            except WorldError as refusal:
                return await self._refused(leased, refusal, others_served())
            await self._store(leased, outgoing, done=done)
        except LeaseLost:
            log.warning("delivery taken over", event_id=leased.event_id, reaction=leased.reaction)
            return Outcome.DELIVERED
        # The database's fault: the delivery comes again when its lease is over, and is not blamed.
        except (Unavailable, Contention):
            raise
        except Exception as error:  # noqa: BLE001 (whatever it is, it is stored)
            await self._failed(leased, error)
            return Outcome.FAILED
        return Outcome.DELIVERED

    async def _prepared(self, leased: Leased, react: Outside[U, Event]) -> Outgoing[U] | None:
        event = decode(leased.type, leased.payload)
        async with self._begin.open() as transaction:
            uow = self._begin.unit_of_work(transaction)
            outgoing = await react(uow, Delivery(leased.event_id, event, leased.traceparent))
            if outgoing is None:
                await self._end(transaction, leased)
        return outgoing

    async def _store(self, leased: Leased, outgoing: Outgoing[U], *, done: bool) -> None:
        """Again where it lost to another transaction: what has left need not leave a second time for that."""
        for left in reversed(range(STORE_TRIES)):
            try:
                async with self._begin.open() as transaction:
                    await self._end(transaction, leased, follower=outgoing.then)
                    await outgoing.stored(self._begin.unit_of_work(transaction), done)
            except LeaseLost:
                raise
            except Contention:
                if not left:
                    raise
            else:
                return

    async def _end(self, transaction: Transaction, leased: Leased, *, follower: str = "") -> None:
        values = {"of_position": leased.position, "of_lease": leased.lease}
        if follower:
            await transaction.change(_FOLLOWED, values | {"follower": follower}, otherwise=LeaseLost)
        else:
            await transaction.change(_DELIVERED, values, otherwise=LeaseLost)

    async def _refused(self, leased: Leased, refusal: WorldError, others_served: bool) -> Outcome:
        outcome = Outcome.REFUSED if isinstance(refusal, NotNow) else Outcome.SILENT
        # Where others are served meanwhile, the silence is about this one alone.
        alone = outcome is Outcome.REFUSED or others_served
        first, most = (FIRST_REFUSAL_SECONDS, LATER_REFUSALS_SECONDS) if alone else (1, SILENCE_MOST_SECONDS)
        grown = first * 4 ** min(leased.refusals, 10)
        values = {"pause": by_chance(min(grown, most)), "patience": self._patience}
        await self._again_later(_REFUSED, leased, refusal, values)
        return outcome

    async def _failed(self, leased: Leased, error: Exception) -> None:
        pause = by_chance(min(2**leased.attempts, BACK_OFF_MOST_SECONDS))
        await self._again_later(_FAILED, leased, error, {"pause": pause, "most": self._attempts})

    async def _again_later(
        self, statement: Statement, leased: Leased, error: Exception, values: dict[str, Any]
    ) -> None:
        mine = {"of_position": leased.position, "of_lease": leased.lease, "last_error": described(error)}
        row = await self._database.fetchrow(statement, mine | values)
        said = {"event_id": leased.event_id, "event_type": leased.type, "reaction": leased.reaction}
        if row is not None and row["parked_at"] is not None:
            log.error("delivery parked", **said, reason=type(error).__name__)
        elif isinstance(error, WorldError):
            log.warning("delivery waits", **said, reason=type(error).__name__)
        else:
            log.error("delivery failed", **said, reason=type(error).__name__, exc_info=error)


def dispatching(event: Any, names: Any) -> Any:  # noqa: ANN401 (a CTE of the outbox's rows, and of names)
    """The part of a statement that writes down what the events in `event` cause outside."""
    copied = ("type", "aggregate_id", "payload", "recorded_at", "traceparent")
    source = (
        select(event.c.id, names.c.reaction, *(event.c[name] for name in copied))
        .select_from(event.join(names, onclause=names.c.type == event.c.type))
        .where(event.c.dispatched_at.is_(None))
        .order_by(event.c.position, names.c.n)
    )
    return (
        postgres_insert(deliveries)
        .from_select(["event_id", "reaction", *copied], source)
        .on_conflict_do_nothing()
        .cte("dispatched")
    )
