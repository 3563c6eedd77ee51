"""Answers that are kept under idempotency keys, in the transaction of the work that they tell of."""

from datetime import datetime, timedelta

from sqlalchemy import (
    Column,
    Index,
    Integer,
    LargeBinary,
    Table,
    and_,
    bindparam,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from adapters.postgres.database import Statement
from adapters.postgres.schema import instant, metadata, text
from adapters.postgres.transaction import Transaction
from application.idempotency import IdempotencyKeyInUse
from application.ports import Contention, KeptAnswer

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

# One statement, so that a key costs one round trip before the work. Its snapshot may be older than its lock,
# when whoever held that committed in between; then it does not show the answer, and `keep` notices.
_CLAIM = Statement(
    select(
        # Locks of two integers never meet those of one, such as the migrations'.
        func.pg_try_advisory_xact_lock(
            bindparam("high", type_=Integer), bindparam("low", type_=Integer)
        ).label("claimed"),
        idempotency_keys.c.fingerprint,
        idempotency_keys.c.answer,
    ).select_from(
        select(literal_column("1"))
        .subquery("always")
        .outerjoin(idempotency_keys, and_(idempotency_keys.c.key == bindparam("key"), _is_kept))
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
        values = {
            "high": int.from_bytes(key[:4], signed=True),
            "low": int.from_bytes(key[4:8], signed=True),
            "key": key,
            "expired": self._expired,
        }
        (row,) = await self._transaction.lock(_CLAIM, values)
        if not row["claimed"]:
            raise IdempotencyKeyInUse
        if row["answer"] is None:
            return None
        return KeptAnswer(fingerprint=row["fingerprint"], answer=row["answer"])

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
