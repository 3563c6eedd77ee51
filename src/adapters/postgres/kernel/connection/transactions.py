"""Units of work: the repositories on one transaction, committed when the block ends."""

import asyncio
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from types import TracebackType
from typing import get_type_hints, override

from adapters.postgres.kernel.connection.database import Connection, Database
from adapters.postgres.kernel.connection.transaction import Transaction
from adapters.postgres.kernel.discovery import Repositories, answers_to
from adapters.postgres.kernel.idempotency import PostgresKeptAnswers
from application.kernel.audit import Trail
from application.kernel.ports.storing import Clock
from application.kernel.unit_of_work import KernelUnitOfWork, Seen


class PostgresTransactions[U: KernelUnitOfWork]:
    """A `Begin`. READ COMMITTED: what must not change under a use case is guarded by a version or a lock."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        unit_of_work: type[U],
        repositories: Repositories,
        *,
        answers_kept: timedelta = timedelta(hours=24),
        trail: Trail | None = None,
    ) -> None:
        """`repositories` makes each collection that `unit_of_work` names.

        `trail` says what goes into the audit log: by default what the kernel's table says.
        """
        self._database = database
        self._trail = trail or Trail()
        self._clock = clock
        self._unit_of_work = unit_of_work
        self._answers = answers_to(get_type_hints(unit_of_work)["ask"])
        self._repositories = repositories
        self._answers_kept = answers_kept

    def __call__(self, seen: Seen | None = None, /) -> AbstractAsyncContextManager[U]:
        return _Block(self, seen)

    def open(self) -> AbstractAsyncContextManager[Transaction]:
        """The transaction by itself, for more than a use case."""
        return _Open(self._database, self._trail, None)

    def unit_of_work(self, transaction: Transaction) -> U:
        """The repositories on a transaction, at this instant."""
        now = self._clock()

        def make(name: str) -> object:
            if name == "ask":
                return self._answers(transaction)
            if name == "kept_answers":
                return PostgresKeptAnswers(transaction, now=now, lifetime=self._answers_kept)
            return self._repositories[name](transaction)

        return self._unit_of_work(now, make)


class _Open(AbstractAsyncContextManager[Transaction]):
    """A block with a transaction. Classes, because every change enters one, and generators cost more."""

    __slots__ = ("_connection", "_database", "_seen", "_trail", "_transaction")

    def __init__(self, database: Database, trail: Trail, seen: Seen | None) -> None:
        self._database = database
        self._trail = trail
        self._seen = seen

    @override
    async def __aenter__(self) -> Transaction:
        self._connection: Connection = await self._database.take()
        self._transaction = Transaction(self._connection, trail=self._trail, seen=self._seen)
        return self._transaction

    @override
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        ended = error
        try:
            if error is None:
                await self._commit()
            elif not isinstance(error, asyncio.CancelledError):
                # After a cancellation nothing waits for a ROLLBACK: the connection is ended, and with it
                # the transaction.
                await self._transaction.roll_back()
        except BaseException as raised:
            ended = raised
            raise
        finally:
            self._database.give_back(self._connection, cancelled=isinstance(ended, asyncio.CancelledError))
            self._transaction.end_session()

    async def _commit(self) -> None:
        try:
            await self._transaction.commit()
        except asyncio.CancelledError:
            raise
        except BaseException:
            await self._transaction.roll_back()
            raise


class _Block[U: KernelUnitOfWork](AbstractAsyncContextManager[U]):
    """A block with a unit of work."""

    __slots__ = ("_open", "_transactions")

    def __init__(self, transactions: PostgresTransactions[U], seen: Seen | None) -> None:
        self._transactions = transactions
        self._open = _Open(transactions._database, transactions._trail, seen)  # noqa: SLF001 (of this module)

    @override
    async def __aenter__(self) -> U:
        transaction = await self._open.__aenter__()
        try:
            return self._transactions.unit_of_work(transaction)
        except BaseException as error:
            await self._open.__aexit__(type(error), error, error.__traceback__)
            raise

    @override
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._open.__aexit__(kind, error, traceback)
