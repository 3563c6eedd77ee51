"""The database: its pool of connections, and how a statement runs on one of them.

A statement is written in SQLAlchemy Core, compiled once, and run by asyncpg itself: SQLAlchemy's own
way through asyncio costs several times as much for each execution (docs/decisions/0001).
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, override

import asyncpg
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.sql import ClauseElement
from sqlalchemy.types import JSON

from adapters.postgres.kernel.connection.documents import json_text
from adapters.postgres.kernel.connection.errors import NO_CONFLICTS, Conflicts, translated
from application.kernel.ports.world import Unavailable

if TYPE_CHECKING:
    from adapters.postgres.kernel.connection.sessions import LentSession

# Written so because the class takes a parameter for the type checker only.
type RawConnection = asyncpg.Connection[asyncpg.Record]

_DIALECT = PGDialect_asyncpg()  # type: ignore[no-untyped-call]


class Statement:
    """A Core statement, compiled once; values are bound by name each time it runs."""

    __slots__ = ("_documents", "_fixed", "_names", "sql")

    def __init__(self, core: ClauseElement) -> None:
        compiled = core.compile(dialect=_DIALECT)
        self.sql = str(compiled)
        if "[POSTCOMPILE_" in self.sql:
            raise TypeError("in_() is spelled out for each execution: use any_() with an array, or or_().")
        self._names = tuple(compiled.positiontup or ())  # type: ignore[attr-defined]
        binds = compiled.binds.items()  # type: ignore[attr-defined]
        self._fixed = {name: bind.value for name, bind in binds if not bind.required}
        documents = {name for name, bind in binds if isinstance(bind.type, JSON)}
        self._documents = [place for place, name in enumerate(self._names) if name in documents]

    def arguments(self, values: Mapping[str, Any]) -> list[Any]:
        """The values in the order of the placeholders; a KeyError names the one that is missing."""
        fixed = self._fixed
        arguments = [fixed[name] if name in fixed else values[name] for name in self._names]
        for place in self._documents:
            arguments[place] = json_text(arguments[place])
        return arguments


class Connection:
    """One connection, taken from the pool for a while. What it raises of the world are the ports' errors."""

    __slots__ = ("_raw",)

    def __init__(self, raw: RawConnection) -> None:
        self._raw = raw

    async def fetch(
        self,
        statement: Statement,
        values: Mapping[str, Any],
        *,
        conflicts: Conflicts = NO_CONFLICTS,
    ) -> list[asyncpg.Record]:
        """All rows; `conflicts` says which broken constraint is which of the domain's errors."""
        try:
            return await self._raw.fetch(statement.sql, *statement.arguments(values))
        except Exception as error:
            raise self._translated(error, conflicts) from error

    async def fetchrow(
        self,
        statement: Statement,
        values: Mapping[str, Any],
        *,
        conflicts: Conflicts = NO_CONFLICTS,
    ) -> asyncpg.Record | None:
        """The first row, or none."""
        try:
            return await self._raw.fetchrow(statement.sql, *statement.arguments(values))
        except Exception as error:
            raise self._translated(error, conflicts) from error

    async def execute(self, sql: str) -> str:
        """Runs SQL that takes no values and gives no rows: BEGIN, COMMIT. Says what the server did."""
        try:
            return await self._raw.execute(sql)
        except Exception as error:
            raise self._translated(error, NO_CONFLICTS) from error

    async def listen(self, channel: str, heard: Callable[[], None]) -> None:
        """Calls `heard` for each NOTIFY on the channel, and when the connection ends."""
        try:
            await self._raw.add_listener(channel, lambda *_: heard())
            self._raw.add_termination_listener(lambda *_: heard())
        except Exception as error:
            raise self._translated(error, NO_CONFLICTS) from error

    async def lend_to_session(self) -> "LentSession":
        """A session of the ORM on this connection. Sends nothing."""
        # Not at the top: to import the ORM takes longer than the whole rest of the service.
        from adapters.postgres.kernel.connection.sessions import LentSession  # noqa: PLC0415

        return await LentSession.on(self._raw)

    def _translated(self, error: Exception, conflicts: Conflicts) -> Exception:
        return translated(error, lost=self._raw.is_closed(), conflicts=conflicts)


class Database:
    """A PostgreSQL database behind a bounded pool of connections.

    A connection is made when one is needed, so a service starts without its database, and recovers by
    itself. Those that wait for one are served in order, and refused with Unavailable after `wait_seconds`.
    No task may take a second connection while it holds one.

    The pool is ours because asyncpg's spends a task, a timer and a proxy on each loan, more than the
    statement itself costs, and serves those who wait in no order (docs/decisions/0001).
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 10,
        wait_seconds: float = 1.0,
        connect_seconds: float = 2.0,
        statement_seconds: float = 10.0,
        lock_seconds: float = 5.0,
        application_name: str = "",
        on_connect: Callable[[RawConnection], None] | None = None,
    ) -> None:
        self._url = url
        self._wait_seconds = wait_seconds
        self._options: dict[str, Any] = {
            "timeout": connect_seconds,
            "statement_cache_size": 512,  # as many shapes as paging keeps
            "server_settings": {
                "application_name": application_name,
                "timezone": "UTC",
                "jit": "off",  # compiling costs more than any statement here runs
                "statement_timeout": f"{statement_seconds * 1000:.0f}",
                "lock_timeout": f"{lock_seconds * 1000:.0f}",
                "idle_in_transaction_session_timeout": f"{statement_seconds * 1000:.0f}",
            },
        }
        self._on_connect = on_connect
        self._places = asyncio.Semaphore(pool_size)
        self._idle: list[RawConnection] = []
        self._leaving: set[asyncio.Task[None]] = set()
        self._listeners: dict[tuple[str, Callable[[], None]], RawConnection] = {}
        self._closed = False

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """A connection, given back when the block ends; raises Unavailable."""
        return _Loan(self)

    async def fetch(self, statement: Statement, values: Mapping[str, Any]) -> list[asyncpg.Record]:
        """All rows of one statement outside of any transaction: how everything is read."""
        async with self.connection() as connection:
            return await connection.fetch(statement, values)

    async def fetchrow(self, statement: Statement, values: Mapping[str, Any]) -> asyncpg.Record | None:
        """The first row, or none, of one statement outside of any transaction."""
        async with self.connection() as connection:
            return await connection.fetchrow(statement, values)

    async def ping(self) -> None:
        """One round trip; raises Unavailable."""
        async with self.connection() as connection:
            await connection.execute("SELECT 1")

    async def listen(self, channel: str, heard: Callable[[], None]) -> bool:
        """Calls `heard` for every NOTIFY from now on, over a connection of its own; raises Unavailable.

        True when it had to connect: whatever was sent before this instant was missed. It calls `heard`
        too when that connection ends, because it is time to listen again.
        """
        listener = self._listeners.get((channel, heard))
        if listener is not None and not listener.is_closed():
            return False
        listener = await self._connect()
        try:
            await Connection(listener).listen(channel, heard)
        except BaseException:
            listener.terminate()
            raise
        self._listeners[channel, heard] = listener
        return True

    async def close(self) -> None:
        """Closes all idle connections; the others are closed when they are returned."""
        self._closed = True
        closing, self._idle = [*self._idle, *self._listeners.values()], []
        self._listeners.clear()
        # Some may be gone already, and a server out of reach answers none of them.
        await asyncio.gather(*(raw.close(timeout=1) for raw in closing), return_exceptions=True)
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=2)

    async def take(self) -> RawConnection:
        """A connection that has to be given back; `connection()` sees to it."""
        if self._places.locked():
            try:
                async with asyncio.timeout(self._wait_seconds):
                    await self._places.acquire()
            except TimeoutError:
                raise Unavailable("All database connections are in use.") from None
        else:
            await self._places.acquire()  # does not wait
        while self._idle:
            raw = self._idle.pop()  # the warmest one
            if not raw.is_closed():
                return raw
        try:
            return await self._connect()
        except BaseException:
            self._places.release()
            raise

    async def _connect(self) -> RawConnection:
        try:
            raw: RawConnection = await asyncpg.connect(self._url, **self._options)
        except Exception as error:
            # Whatever the server said, it does not let us in: as yet there is no such database, for example.
            raise translated(error, lost=isinstance(error, asyncpg.PostgresError)) from error
        if self._on_connect is not None:
            self._on_connect(raw)
        return raw

    def connected(self, raw: RawConnection) -> Connection:
        """What statements run on, on a connection that was taken."""
        return Connection(raw)

    def give_back(self, raw: RawConnection, *, cancelled: bool) -> None:
        """Takes back what `take` gave."""
        if raw.is_closed():
            self._places.release()
        elif cancelled or self._closed or raw.is_in_transaction():  # nothing is known about its state
            self._retire(raw)
        else:
            self._idle.append(raw)
            self._places.release()

    def _retire(self, raw: RawConnection) -> None:
        """Ends a connection whose statement was cancelled, once the server has been told to stop it.

        Its place is taken until then, so a crowd that hangs up cannot open more connections than the
        pool has.
        """

        async def leave() -> None:
            try:
                with suppress(Exception):
                    await raw.close(timeout=2)
            finally:
                raw.terminate()
                self._places.release()

        task = asyncio.get_running_loop().create_task(leave())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)


class _Loan(AbstractAsyncContextManager[Connection]):
    """A block with a connection. A class, because every request enters one, and a generator costs more."""

    __slots__ = ("_database", "_raw")

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    async def __aenter__(self) -> Connection:
        self._raw = await self._database.take()
        return Connection(self._raw)

    @override
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._database.give_back(self._raw, cancelled=isinstance(error, asyncio.CancelledError))
