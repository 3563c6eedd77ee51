"""One transaction on one connection, begun when it has to be."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg

from adapters.postgres.kernel.connection.database import Connection, Statement
from adapters.postgres.kernel.connection.errors import NO_CONFLICTS, Conflicts
from application.kernel.audit import Trail
from application.kernel.ports.audit import Note
from application.kernel.ports.world import WorldError
from application.kernel.unit_of_work import Seen
from domain.kernel.aggregate import Event
from domain.kernel.errors import DomainError, Stale

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from adapters.postgres.kernel.connection.sessions import LentSession


def stale() -> DomainError:
    """What it means that there was no row to change, unless the caller says otherwise."""
    return Stale("Read it again and repeat your change.")


@dataclass(frozen=True, slots=True)
class _Change:
    statement: Statement
    values: Mapping[str, Any]
    conflicts: Conflicts
    otherwise: Callable[[], DomainError | WorldError]


class Transaction:
    """What repositories talk to.

    Under READ COMMITTED a statement that only reads sees the same inside of a transaction as outside, and a
    single statement is a transaction by itself. So the first change is held back until something follows it
    on this connection. If nothing does, it runs alone, and a use case that reads and then changes one thing
    costs neither a BEGIN nor a COMMIT (docs/decisions/0010).

    A session of SQLAlchemy's ORM may take part (docs/decisions/0023). Every statement here flushes it first,
    and after every change here it reads its objects again, so each sees what the other has done.
    """

    __slots__ = ("_begun", "_connection", "_held", "_lent", "_notes", "_trail", "seen")

    def __init__(self, connection: Connection, *, trail: Trail, seen: Seen | None = None) -> None:
        """`seen` is told of each aggregate that a repository reads."""
        self._connection = connection
        self._trail = trail
        self._notes: list[Note] = []
        self.seen = seen
        self._begun = False
        self._held: _Change | None = None
        self._lent: LentSession | None = None

    async def session(self, conflicts: Conflicts = NO_CONFLICTS) -> "AsyncSession":
        """The ORM's session in this transaction, which begins with it; the same one each time.

        What it flushes is committed and rolled back with the transaction, and it cannot be used afterwards.
        `conflicts`, which add up, say which broken constraint is which of the domain's errors. It raises the
        errors of the ports, and Stale where a `version_id_col` has moved on.
        """
        await self.begin()
        if self._lent is None:
            self._lent = await self._connection.lend_to_session()
        self._lent.expect(conflicts)
        return self._lent.session

    async def fetchrow(self, statement: Statement, values: Mapping[str, Any]) -> asyncpg.Record | None:
        """The first row, or none, of a statement that reads; it sees the changes before it."""
        if self._held is not None or self._lent is not None:
            await self.begin()
        return await self._connection.fetchrow(statement, values)

    async def fetch(self, statement: Statement, values: Mapping[str, Any]) -> list[asyncpg.Record]:
        """All rows of a statement that reads; it sees the changes before it."""
        if self._held is not None:
            await self.begin()
        return await self._connection.fetch(statement, values)

    async def lock(self, statement: Statement, values: Mapping[str, Any]) -> list[asyncpg.Record]:
        """All rows of a SELECT that locks, until the transaction ends: FOR UPDATE, or an advisory lock."""
        await self.begin()
        return await self._connection.fetch(statement, values)

    async def change(
        self,
        statement: Statement,
        values: Mapping[str, Any],
        *,
        conflicts: Conflicts = NO_CONFLICTS,
        otherwise: Callable[[], DomainError | WorldError] = stale,
    ) -> None:
        """A statement that changes one row and returns something for it.

        Raises, now or when the transaction ends, the conflict of a broken constraint, and `otherwise`, by
        default Stale, where there was no row to change.
        """
        change = _Change(statement, values, conflicts, otherwise)
        if self._begun:
            await self._flush()
            await self._run(change)
        elif self._held is None:
            self._held = change
        else:
            await self.begin()
            await self._run(change)

    async def begin(self) -> None:
        """From here on everything is one transaction: first the change that was held back, or what the
        session has not flushed."""
        if not self._begun:
            await self._connection.execute("BEGIN")
            self._begun = True
        await self._run_held()
        await self._flush()

    def note(self, events: Iterable[Event]) -> Sequence[Note]:
        """What of these goes into the audit log, by a statement of this transaction."""
        notes = self._trail.notes(events)
        self._notes += notes
        return notes

    async def commit(self) -> None:
        """Raises what the last changes met. When the connection is lost here, the outcome is unknown."""
        await self._run_held()
        await self._flush()
        if self._lent is not None and not self._lent.is_whole:
            raise RuntimeError(
                "Nothing was committed: an error that had ended the session was caught,"
                " or a savepoint was left open."
            )
        # PostgreSQL answers the COMMIT of a failed transaction with a ROLLBACK, and calls that no error.
        if self._begun and await self._connection.execute("COMMIT") != "COMMIT":
            raise RuntimeError(
                "Nothing was committed: an error that had ended the transaction was caught inside of it."
            )
        self._trail.committed(self._notes)

    async def roll_back(self) -> None:
        self._held = None
        if self._begun and not self._connection.is_closed:  # one that is gone has rolled back
            with suppress(WorldError):  # and so has one that goes now
                await self._connection.execute("ROLLBACK")

    def end_session(self) -> None:
        """The session, if there is one, is of no use from here on. Sends nothing."""
        if self._lent is not None:
            self._lent.end()
            self._lent = None

    async def _flush(self) -> None:
        if self._lent is not None:
            await self._lent.flush()

    async def _run_held(self) -> None:
        if self._held is not None:
            change, self._held = self._held, None
            await self._run(change)

    async def _run(self, change: _Change) -> None:
        row = await self._connection.fetchrow(change.statement, change.values, conflicts=change.conflicts)
        if row is None:
            raise change.otherwise()
        if self._lent is not None:
            self._lent.changed_beside()
