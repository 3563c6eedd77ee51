"""Answers that are kept under idempotency keys, in the transaction of the work that they tell of."""

from datetime import datetime, timedelta

from sqlalchemy import (
    Column,
    Index,
    Integer,
    LargeBinary,
    Table,
    bindparam,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from adapters.postgres.kernel.connection.database import Statement
from adapters.postgres.kernel.connection.transaction import Transaction
from adapters.postgres.kernel.tables.schema import instant, metadata, text
from application.kernel.idempotency import IdempotencyKeyInUse
from application.kernel.ports.storing import KeptAnswer
from application.kernel.ports.world import Contention

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    # A digest of who asked, what for, and the key that they chose.
    Column("key", LargeBinary, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    text("answer"),
    instant("created_at"),
    Index(None, "created_at"),
)

_is_kept = idempotency_keys.c.created_at > bindparam("expired")

# Two statements: what one sees was committed when it began, which may be before it had its lock. The work
# of the process that held it until then would not be seen.
_CLAIM = Statement(
    # Locks of two integers never meet those of one, such as the migrations'.
    select(func.pg_try_advisory_xact_lock(bindparam("high", type_=Integer), bindparam("low", type_=Integer)))
)
_FIND = Statement(
    select(idempotency_keys.c.fingerprint, idempotency_keys.c.answer).where(
        idempotency_keys.c.key == bindparam("key"), _is_kept
    )
)

_kept = insert(idempotency_keys)
_KEEP = Statement(
    _kept.on_conflict_do_update(
        index_elements=[idempotency_keys.c.key],
        set_={name: _kept.excluded[name] for name in ("fingerprint", "answer", "created_at")},
        where=~_is_kept,
    ).returning(idempotency_keys.c.created_at)
)


class PostgresKeptAnswers:
    """A `KeptAnswers`. Each is kept for `lifetime`, and read no more after that, deleted or not."""

    def __init__(self, transaction: Transaction, *, now: datetime, lifetime: timedelta) -> None:
        self._transaction = transaction
        self._now = now
        self._expired = now - lifetime

    async def claim(self, key: bytes, /) -> KeptAnswer | None:
        halves = {
            "high": int.from_bytes(key[:4], signed=True),
            "low": int.from_bytes(key[4:8], signed=True),
        }
        ((claimed,),) = await self._transaction.lock(_CLAIM, halves)
        if not claimed:
            raise IdempotencyKeyInUse
        row = await self._transaction.fetchrow(_FIND, {"key": key, "expired": self._expired})
        return None if row is None else KeptAnswer(fingerprint=row["fingerprint"], answer=row["answer"])

    async def keep(self, key: bytes, kept: KeptAnswer, /) -> None:
        values = {
            "key": key,
            "fingerprint": kept.fingerprint,
            "answer": kept.answer,
            "created_at": self._now,
            "expired": self._expired,
        }
        await self._transaction.change(_KEEP, values, otherwise=_answered_meanwhile)


def _answered_meanwhile() -> Contention:
    return Contention("The same request was answered meanwhile.")
