"""Delivering what is in the outbox: in order for each aggregate, at least once, by any number of workers.

Only the oldest event of an aggregate is ever due. While a worker delivers it, it is locked, and its
successors are not the oldest; so workers can pass each other with SKIP LOCKED and the order holds.
"""

import asyncio
import random
from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Text, Uuid, bindparam, case, cast, delete, func, literal_column, null, select, update
from sqlalchemy.dialects.postgresql import INTERVAL

from adapters.postgres.kernel.connection.database import Database, Statement
from adapters.postgres.kernel.connection.transactions import PostgresTransactions
from adapters.postgres.kernel.outbox.events import CHANNEL, decode, outbox
from adapters.postgres.kernel.tables.mapping import loader
from application.kernel.ports.events import Delivery, OutboxEntry, Reaction
from application.kernel.ports.world import Contention, Unavailable
from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.aggregate import Event

BACK_OFF_MOST_SECONDS = 600
_ERROR_MOST = 500

_earlier = outbox.alias("earlier")
_CLAIM = Statement(
    select(
        outbox.c.position,
        outbox.c.id,
        outbox.c.type,
        cast(outbox.c.payload, Text).label("payload"),
        outbox.c.attempts,
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
_DELIVERED = Statement(
    delete(outbox).where(outbox.c.position == bindparam("position")).returning(outbox.c.position)
)
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
)
_ENTRY = select(
    outbox.c.id,
    outbox.c.type,
    outbox.c.aggregate_id,
    outbox.c.recorded_at,
    outbox.c.attempts,
    outbox.c.available_at,
    outbox.c.parked_at,
    outbox.c.last_error,
).order_by(outbox.c.position)
_ENTRIES = Statement(_ENTRY.limit(bindparam("limit")))
_PARKED = Statement(_ENTRY.where(outbox.c.parked_at.is_not(None)).limit(bindparam("limit")))
_replayed = (
    update(outbox)
    .where(outbox.c.parked_at.is_not(None))
    .values(parked_at=null(), attempts=0, available_at=func.now())
    .returning(outbox.c.id)
)
_REPLAY_ALL = Statement(_replayed)
_REPLAY_ONE = Statement(_replayed.where(outbox.c.id == bindparam("id", type_=Uuid)))
_entry = loader(OutboxEntry)


class PostgresOutbox[U: KernelUnitOfWork]:
    """An `Outbox`. An event is parked after `attempts` failures in a row."""

    def __init__(self, database: Database, begin: PostgresTransactions[U], *, attempts: int = 10) -> None:
        self._database = database
        self._begin = begin
        self._attempts = attempts
        self._heard = asyncio.Event()

    async def deliver_next(self, react: Reaction[U, Event], /) -> bool:
        claimed = None
        try:
            async with self._begin.open() as transaction:
                rows = await transaction.lock(_CLAIM, {})
                if not rows:
                    return False
                claimed = rows[0]
                event = decode(claimed["type"], claimed["payload"])
                uow = self._begin.unit_of_work(transaction)
                await react(uow, Delivery(id=claimed["id"], event=event))
                await transaction.change(_DELIVERED, {"position": claimed["position"]})
        # The world's fault, not the event's. That something took too long can be the event's: uncounted,
        # one whose reaction always does would stand before all others for ever.
        except (Unavailable, Contention):
            raise
        except Exception as error:
            if claimed is None:
                raise
            await self._failed(claimed["position"], claimed["attempts"], error)
        return True

    async def wait(self, seconds: float, /) -> None:
        if await self._database.listen(CHANNEL, self._heard.set):
            return  # what was committed before the connection stood made no sound
        try:
            async with asyncio.timeout(seconds):
                await self._heard.wait()
        except TimeoutError:
            return
        finally:
            self._heard.clear()

    async def entries(self, *, parked_only: bool, limit: int) -> Collection[OutboxEntry]:
        rows = await self._database.fetch(_PARKED if parked_only else _ENTRIES, {"limit": limit})
        return [_entry(row) for row in rows]

    async def replay(self, id: UUID | None, /) -> int:
        if id is None:
            return len(await self._database.fetch(_REPLAY_ALL, {}))
        return len(await self._database.fetch(_REPLAY_ONE, {"id": id}))

    async def _failed(self, position: int, seen: int, error: Exception) -> None:
        said = f"{type(error).__name__}: {error}"[:_ERROR_MOST].replace("\0", "")
        pause = min(2**seen, BACK_OFF_MOST_SECONDS) * random.uniform(0.5, 1.0)  # noqa: S311 (no secret)
        await self._database.fetch(
            _FAILED,
            {
                "position": position,
                "seen": seen,
                "last_error": said.encode(errors="replace").decode(),  # half of a surrogate pair has no form
                "pause": timedelta(seconds=pause),
                "most": self._attempts,
            },
        )
