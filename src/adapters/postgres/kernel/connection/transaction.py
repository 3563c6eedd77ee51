"""One transaction on one connection, begun when it has to be."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import asyncpg

from adapters.postgres.kernel.connection.database import Connection, Statement
from adapters.postgres.kernel.connection.errors import NO_CONFLICTS, Conflicts
from application.kernel.ports.world import WorldError
from application.kernel.unit_of_work import Seen
from domain.kernel.errors import DomainError, Stale


def _stale() -> DomainError:
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
    """

    __slots__ = ("_begun", "_connection", "_held", "seen")

    def __init__(self, connection: Connection, *, seen: Seen | None = None) -> None:
        """`seen` is told of each aggregate that a repository reads."""
        self._connection = connection
        self.seen = seen
        self._begun = False
        self._held: _Change | None = None

    async def fetchrow(self, statement: Statement, values: Mapping[str, Any]) -> asyncpg.Record | None:
        """The first row, or none, of a statement that reads; it sees the changes before it."""
        if self._held is not None:
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
        otherwise: Callable[[], DomainError | WorldError] = _stale,
    ) -> None:
        """A statement that changes one row and returns something for it.

        Raises, now or when the transaction ends, the conflict of a broken constraint, and `otherwise`, by
        default Stale, where there was no row to change.
        """
        change = _Change(statement, values, conflicts, otherwise)
        if self._begun:
            await self._run(change)
        elif self._held is None:
            self._held = change
        else:
            await self.begin()
            await self._run(change)

    async def begin(self) -> None:
        """From here on everything is one transaction, the change that was held back first."""
        if not self._begun:
            await self._connection.execute("BEGIN")
            self._begun = True
        await self._run_held()

    async def commit(self) -> None:
        """Raises what the last changes met. When the connection is lost here, the outcome is unknown."""
        await self._run_held()
        # PostgreSQL answers the COMMIT of a failed transaction with a ROLLBACK, and calls that no error.
        if self._begun and await self._connection.execute("COMMIT") != "COMMIT":
            raise RuntimeError(
                "Nothing was committed: somebody caught an error that had ended the transaction."
            )

    async def roll_back(self) -> None:
        self._held = None
        if self._begun:
            with suppress(WorldError):  # a connection that is gone has rolled back
                await self._connection.execute("ROLLBACK")

    async def _run_held(self) -> None:
        if self._held is not None:
            change, self._held = self._held, None
            await self._run(change)

    async def _run(self, change: _Change) -> None:
        row = await self._connection.fetchrow(change.statement, change.values, conflicts=change.conflicts)
        if row is None:
            raise change.otherwise()
