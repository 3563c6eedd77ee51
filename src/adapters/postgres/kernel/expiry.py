"""Deletes what has expired, a few rows at a time."""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Table, bindparam, delete, func, literal_column, select

from adapters.postgres.kernel.connection.database import Database, Statement
from adapters.postgres.kernel.idempotency import idempotency_keys
from adapters.postgres.kernel.identity.auth import sessions
from adapters.postgres.kernel.identity.one_time_tokens import one_time_tokens
from adapters.postgres.kernel.outbox.audited import audit
from application.kernel.ports.storing import Clock

SESSIONS_KEPT: Final = timedelta(days=30)
AUDIT_KEPT: Final = timedelta(days=365)


def _deleting(table: Table, over: ColumnElement[datetime]) -> Statement:
    """Rows that another transaction has locked, perhaps to delete them, are skipped."""
    (key,) = table.primary_key.columns
    chosen = (
        select(key)
        .where(over <= bindparam("until"))
        .limit(bindparam("most"))
        .with_for_update(skip_locked=True)
        .cte("chosen")  # found once; a subquery might be run again for each row
    )
    gone = delete(table).where(key.in_(select(chosen.c[key.name])))
    return Statement(gone.returning(literal_column("1")))


_ANSWERS = _deleting(idempotency_keys, idempotency_keys.c.created_at)
_ONE_TIME_TOKENS = _deleting(one_time_tokens, one_time_tokens.c.expires_at)
_SESSIONS = _deleting(sessions, func.least(sessions.c.expires_at, sessions.c.ended_at))
_AUDIT = _deleting(audit, audit.c.at)


class PostgresExpiry:
    """An `Expiry`."""

    def __init__(
        self, database: Database, clock: Clock, *, answers_kept: timedelta, audit_kept: timedelta = AUDIT_KEPT
    ) -> None:
        self._database = database
        self._clock = clock
        self._answers_kept = answers_kept
        self._audit_kept = audit_kept

    async def delete_kept_answers(self, most: int, /) -> int:
        return await self._delete(_ANSWERS, most, kept=self._answers_kept)

    async def delete_one_time_tokens(self, most: int, /) -> int:
        return await self._delete(_ONE_TIME_TOKENS, most, kept=timedelta(0))

    async def delete_sessions(self, most: int, /) -> int:
        return await self._delete(_SESSIONS, most, kept=SESSIONS_KEPT)

    async def delete_audit(self, most: int, /) -> int:
        return await self._delete(_AUDIT, most, kept=self._audit_kept)

    async def _delete(self, statement: Statement, most: int, *, kept: timedelta) -> int:
        values = {"until": self._clock() - kept, "most": most}
        return len(await self._database.fetch(statement, values))
