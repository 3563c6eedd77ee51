"""The database: its pool of connections, and how a statement runs on one of them.

A statement is written in SQLAlchemy Core, compiled once, and run by asyncpg itself: SQLAlchemy's own
way through asyncio costs several times as much for each execution (docs/decisions/0001).
"""

import asyncio
import re
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from operator import itemgetter
from time import monotonic, perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, override

import asyncpg
import structlog
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.sql import ClauseElement
from sqlalchemy.types import JSON

from adapters.postgres.kernel.connection.connecting import Connector, session_settings
from adapters.postgres.kernel.connection.documents import json_text
from adapters.postgres.kernel.connection.errors import (
    NO_CONFLICTS,
    Conflicts,
    casts_doubt,
    cause_of,
    retires,
    translated,
)
from adapters.postgres.kernel.connection.watching import Watch
from application.kernel.ports.figures import OTHER, PoolFigures
from application.kernel.ports.world import Misconfigured, Unavailable, WorldError

if TYPE_CHECKING:
    from adapters.postgres.kernel.connection.sessions import LentSession

# Written so because the class takes a parameter for the type checker only.
type RawConnection = asyncpg.Connection[asyncpg.Record]

type StatementEnded = Callable[[str, float, Exception | None], None]
"""Told of a statement that has ended: its name, the seconds that it took, and what it has raised."""

ANSWER_SECONDS = 2.0
"""How much longer than PostgreSQL's own limit on a statement its answer is waited for."""

PING_SECONDS = 5.0
"""How often a connection that only listens is asked whether it hears anything, and how long it may take."""

_LEAVE_SECONDS = 2.0  # for the request to stop a statement, which takes a connection of its own

# A statement that changes or locks something, wherever that stands in it; a text in it may only look so.
_CHANGES = re.compile(r"\b(INSERT|UPDATE|DELETE|MERGE|FOR (NO KEY )?(UPDATE|SHARE)|\w*advisory\w*|nextval)\b")

log = structlog.get_logger(__name__)

_DIALECT = PGDialect_asyncpg()  # type: ignore[no-untyped-call]

_CONTROLS = frozenset({"BEGIN", "COMMIT", "ROLLBACK"})


class Statement:
    """A Core statement, compiled once; values are bound by name each time it runs.

    In logs, metrics and traces it is called after the variable that it stands in: `_GET` of the module
    `users` is `users.get`. One that is made within a function needs a `name`.
    """

    __slots__ = ("_documents", "_fixed", "_module", "_name", "_names", "_pick", "sql")

    def __init__(self, core: ClauseElement, *, name: str = "") -> None:
        self._name = name
        self._module = "" if name else _importing()
        compiled = core.compile(dialect=_DIALECT)
        self.sql = str(compiled)
        if "[POSTCOMPILE_" in self.sql:
            raise TypeError("in_() is spelled out for each execution: use any_() with an array, or or_().")
        names = tuple(compiled.positiontup or ())  # type: ignore[attr-defined]
        binds = compiled.binds.items()  # type: ignore[attr-defined]
        self._fixed = {name: bind.value for name, bind in binds if not bind.required}
        documents = {name for name, bind in binds if isinstance(bind.type, JSON)}
        self._pick = itemgetter(*names) if len(names) > 1 else None
        self._names = names
        self._documents = [place for place, name in enumerate(names) if name in documents]

    def arguments(self, values: Mapping[str, Any]) -> Sequence[Any]:
        """The values in the order of the placeholders; a KeyError names the one that is missing."""
        if self._fixed:
            values = {**values, **self._fixed}
        if self._pick is None:  # of one name it would give no sequence
            bound: Sequence[Any] = [values[name] for name in self._names]
        else:
            bound = self._pick(values)
        if not self._documents:
            return bound
        arguments = [*bound]
        for place in self._documents:
            arguments[place] = json_text(arguments[place])
        return arguments

    @property
    def name(self) -> str:
        if not self._name:
            within = vars(sys.modules[self._module]).items() if self._module in sys.modules else ()
            variable = next((name for name, value in within if self in _statements_in(value)), "statement")
            module = self._module.rpartition(".")[2] or "unnamed"
            self._name = f"{module}.{variable.strip('_').lower()}"
        return self._name


def _importing() -> str:
    """The module whose body is being run, which is where a statement's variable is."""
    frame = sys._getframe(2)  # noqa: SLF001 (the one way to it without the cost of `inspect`)
    while frame.f_code.co_name != "<module>" and frame.f_back is not None:
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", ""))


def _statements_in(value: object) -> Sequence[object]:
    """A statement itself, or those that a small record such as `Recording` holds."""
    if isinstance(value, Statement):
        return (value,)
    fields = getattr(type(value), "__dataclass_fields__", ())
    return [getattr(value, name, None) for name in fields]


class Connection:
    """One connection, used by one at a time. What it raises of the world are the ports' errors.

    Each statement has the watch's limit. When it passes, the connection is ended, and Unavailable is raised:
    whether the server has done what it was told is not known.
    """

    __slots__ = ("_figures", "_logs", "_observers", "_raw", "_silent", "_watch", "doubtful", "retired")

    def __init__(
        self,
        raw: RawConnection,
        watch: Watch,
        *,
        logs: bool,
        figures: PoolFigures,
        observers: Sequence[StatementEnded] = (),
    ) -> None:
        self._observers = observers
        self._raw = raw
        self._watch = watch
        self._figures = figures
        self._logs = logs
        self._silent = False
        self.retired = False
        """Whether the pool may not have it back, though it may be open."""
        self.doubtful = False
        """Whether the others are most likely no better: the server is silent, or not the right one."""

    async def fetch(
        self,
        statement: Statement,
        values: Mapping[str, Any],
        *,
        conflicts: Conflicts = NO_CONFLICTS,
    ) -> list[asyncpg.Record]:
        """All rows; `conflicts` says which broken constraint is which of the domain's errors."""
        self._watch.begin(self)
        began, failure = perf_counter(), None
        try:
            return await self._raw.fetch(statement.sql, *statement.arguments(values))
        except Exception as error:
            failure = error
            raise self.translated(error, conflicts, statement=statement.name) from error
        finally:
            self._watch.end(self)
            self._ended(statement.name, began, failure)

    async def fetchrow(
        self,
        statement: Statement,
        values: Mapping[str, Any],
        *,
        conflicts: Conflicts = NO_CONFLICTS,
    ) -> asyncpg.Record | None:
        """The first row, or none."""
        self._watch.begin(self)
        began, failure = perf_counter(), None
        try:
            return await self._raw.fetchrow(statement.sql, *statement.arguments(values))
        except Exception as error:
            failure = error
            raise self.translated(error, conflicts, statement=statement.name) from error
        finally:
            self._watch.end(self)
            self._ended(statement.name, began, failure)

    async def execute(self, sql: str, *, seconds: float | None = None) -> str:
        """Runs SQL that takes no values and gives no rows: BEGIN, COMMIT. Says what the server did.

        `seconds` is for what has a limit of its own.
        """
        self._watch.begin(self, seconds=seconds)
        began, failure = perf_counter(), None
        try:
            return await self._raw.execute(sql)
        except Exception as error:
            failure = error
            raise self.translated(error, NO_CONFLICTS) from error
        finally:
            self._watch.end(self)
            self._ended(sql if sql in _CONTROLS else OTHER, began, failure)

    async def listen(self, channel: str, heard: Callable[[], None]) -> None:
        """Calls `heard` for each NOTIFY on the channel, and when the connection ends."""
        self._watch.begin(self)
        try:
            await self._raw.add_listener(channel, lambda *_: heard())
            self._raw.add_termination_listener(lambda *_: heard())
        except Exception as error:
            raise self.translated(error, NO_CONFLICTS) from error
        finally:
            self._watch.end(self)

    async def lend_to_session(self) -> "LentSession":
        """A session of the ORM on this connection. Sends nothing."""
        # Not at the top: to import the ORM takes longer than the whole rest of the service.
        from adapters.postgres.kernel.connection.sessions import LentSession  # noqa: PLC0415

        return await LentSession.on(self, self._raw)

    async def watched[T](self, waiting: Awaitable[T]) -> T:
        """What it comes to, within the limit of a statement: for other senders, such as the ORM."""
        self._watch.begin(self)
        began, failure = perf_counter(), None
        try:
            return await waiting
        except Exception as error:
            failure = error
            raise
        finally:
            self._watch.end(self)
            self._ended("orm", began, failure)

    def _ended(self, name: str, began: float, failure: Exception | None) -> None:
        seconds = perf_counter() - began
        self._figures.ran(name, seconds)
        for observe in self._observers:
            observe(name, seconds, failure)

    def translated(
        self, error: Exception, conflicts: Conflicts, *, statement: str | None = None
    ) -> Exception:
        """The error to raise in the place of the driver's; it may be the connection's last."""
        if self._silent:
            error = TimeoutError(f"no answer within {self._watch.seconds:g} s")
        elif retires(error):
            self.retired = True
            self.doubtful = self.doubtful or casts_doubt(error)
        meant = translated(
            error, lost=self.is_closed, conflicts=conflicts, logged=self._logs, statement=statement
        )
        _count(meant, error, self._figures)
        return meant

    def fall_silent(self) -> None:
        self._silent = self.doubtful = True
        self._raw.terminate()

    @property
    def is_closed(self) -> bool:
        return self._raw.is_closed()

    @property
    def is_in_transaction(self) -> bool:
        return self._raw.is_in_transaction()

    async def close(self, seconds: float) -> None:
        """Ends it, and tells the server to stop what runs there, for at most so many seconds."""
        try:
            with suppress(Exception):  # it may be gone already, or out of reach
                await self._raw.close(timeout=seconds)
        finally:
            self.end()

    def end(self) -> None:
        """Ends it at once."""
        self._watch.end(self)
        self._raw.terminate()


def _count(meant: Exception, error: Exception, figures: PoolFigures) -> None:
    if isinstance(meant, WorldError):
        figures.errors[cause_of(error)[0] or type(error).__name__] += 1


class Explaining(Connection):
    """A connection that logs the plan of each statement that takes long; for development."""

    __slots__ = ("_over_ms",)

    def __init__(
        self,
        raw: RawConnection,
        watch: Watch,
        *,
        logs: bool,
        figures: PoolFigures,
        observers: Sequence[StatementEnded] = (),
        over_ms: float,
    ) -> None:
        super().__init__(raw, watch, logs=logs, figures=figures, observers=observers)
        self._over_ms = over_ms

    @override
    async def fetch(
        self,
        statement: Statement,
        values: Mapping[str, Any],
        *,
        conflicts: Conflicts = NO_CONFLICTS,
    ) -> list[asyncpg.Record]:
        begun = monotonic()
        rows = await super().fetch(statement, values, conflicts=conflicts)
        await self._explain(statement, values, (monotonic() - begun) * 1000)
        return rows

    @override
    async def fetchrow(
        self,
        statement: Statement,
        values: Mapping[str, Any],
        *,
        conflicts: Conflicts = NO_CONFLICTS,
    ) -> asyncpg.Record | None:
        begun = monotonic()
        row = await super().fetchrow(statement, values, conflicts=conflicts)
        await self._explain(statement, values, (monotonic() - begun) * 1000)
        return row

    async def _explain(self, statement: Statement, values: Mapping[str, Any], taken_ms: float) -> None:
        """Logs the plan. What only reads is run for it, with the time and the pages of each node."""
        if taken_ms <= self._over_ms:
            return
        options = "" if _CHANGES.search(statement.sql) else "(ANALYZE, BUFFERS) "
        self._watch.begin(self)
        inside = self._raw.is_in_transaction()  # which an error must not end
        try:
            if inside:
                await self._raw.execute("SAVEPOINT explaining")
            lines = await self._raw.fetch(f"EXPLAIN {options}{statement.sql}", *statement.arguments(values))
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            # The statement itself was answered. What broke the connection, the next statement meets as well.
            log.warning("a plan could not be had", reason=str(error), sql=statement.sql)
            if inside and not self.is_closed:
                await self._raw.execute("ROLLBACK TO SAVEPOINT explaining")
        else:
            plan = "\n".join(line[0] for line in lines)
            log.warning(
                "statement explained",
                statement=statement.name,
                duration_ms=round(taken_ms, 2),
                sql=statement.sql,
                plan=plan,
            )
        finally:
            self._watch.end(self)


class Database:
    """A PostgreSQL database behind a bounded pool of connections.

    A connection is made when one is needed, so a service starts without its database, and recovers by
    itself. Those that wait for one are served in order, and refused with Unavailable after `wait_seconds`.
    A statement that has no answer `answer_seconds` after PostgreSQL should have stopped it is Unavailable.
    Its connection is ended and its place free at once; so are the idle ones (docs/decisions/0034).
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
        answer_seconds: float = ANSWER_SECONDS,
        application_name: str = "",
        direct_url: str | None = None,
        pooled: bool = False,
        logs: bool = True,
        observers: Sequence[StatementEnded] = (),
        explain_ms: float = 0,
        on_connect: Callable[[RawConnection], None] | None = None,
    ) -> None:
        """`pooled` says that `url` leads through a pooler in transaction mode; `direct_url` leads past it.
        `logs` says whether errors are logged here, where they are met, and not by the caller. `observers` are
        told of each statement when it has ended. The plans of statements that take longer than `explain_ms`,
        unless it is 0, are logged as well.

        Raises ValueError where a URL cannot be read.
        """
        self._wait_seconds = wait_seconds
        connector = partial(
            Connector,
            seconds=connect_seconds,
            settings=session_settings(statement_seconds=statement_seconds, lock_seconds=lock_seconds),
            application_name=application_name,
        )
        self._connector = connector(url, pooled=pooled)
        self._listener_connector = connector(direct_url or url, pooled=pooled and not direct_url)
        self._logs = logs
        self._observers = observers
        self._kind = Connection if not explain_ms else partial(Explaining, over_ms=explain_ms)
        self._on_connect = on_connect
        self._free = pool_size
        self._waiting: deque[asyncio.Future[bool]] = deque()
        self.figures = PoolFigures(pool_size)
        self._watch = Watch(statement_seconds + answer_seconds)
        self._idle: list[Connection] = []
        self._leaving: set[asyncio.Task[None]] = set()
        self._listeners: dict[tuple[str, Callable[[], None]], _Listener] = {}
        self._closed = False

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """A connection, given back when the block ends; raises Unavailable."""
        return _Loan(self)

    async def fetch(self, statement: Statement, values: Mapping[str, Any]) -> list[asyncpg.Record]:
        """All rows of one statement outside of any transaction: how everything is read."""
        connection = await self.take()
        cancelled = False
        try:
            return await connection.fetch(statement, values)
        except asyncio.CancelledError:
            cancelled = True
            raise
        finally:
            self.give_back(connection, cancelled=cancelled)

    async def fetchrow(self, statement: Statement, values: Mapping[str, Any]) -> asyncpg.Record | None:
        """The first row, or none, of one statement outside of any transaction."""
        connection = await self.take()
        cancelled = False
        try:
            return await connection.fetchrow(statement, values)
        except asyncio.CancelledError:
            cancelled = True
            raise
        finally:
            self.give_back(connection, cancelled=cancelled)

    async def ping(self) -> None:
        """One round trip; raises Unavailable."""
        async with self.connection() as connection:
            await connection.execute("SELECT 1")

    @property
    def is_exhausted(self) -> bool:
        """Whether a caller who wants a connection at this moment has to wait for one."""
        return not self._free

    async def listen(self, channel: str, heard: Callable[[], None]) -> bool:
        """Calls `heard` for every NOTIFY from now on, over a connection of its own; raises Unavailable.

        True when it had to connect: whatever was sent before this instant was missed. It calls `heard`
        too when that connection ends, because it is time to listen again.
        """
        listener = self._listeners.get((channel, heard))
        if listener is not None and await listener.hears():
            return False
        if self._listener_connector.pooled:
            raise Misconfigured("A pooler delivers no notifications. Set DATABASE_DIRECT_URL.")
        connection = await self._connect(self._listener_connector)
        try:
            await connection.listen(channel, heard)
        except BaseException:
            connection.end()
            raise
        self._listeners[channel, heard] = _Listener(connection)
        return True

    async def close(self) -> None:
        """Closes all idle connections; the others are closed when they are returned."""
        self._closed = True
        listening = [listener.connection for listener in self._listeners.values()]
        closing, self._idle = [*self._idle, *listening], []
        self._listeners.clear()
        await asyncio.gather(*(connection.close(1) for connection in closing))
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=_LEAVE_SECONDS)
        self._watch.stop()

    async def take(self) -> Connection:
        """A connection that has to be given back; `connection()` sees to it."""
        if self._free:
            self._free -= 1
        else:
            await self._wait()
        self.figures.taken += 1
        while self._idle:
            connection = self._idle.pop()  # the warmest one
            if not connection.is_closed:
                return connection
        try:
            return await self._connect(self._connector)
        except BaseException:
            self._release()
            raise

    async def _wait(self) -> None:
        """Until a place is handed over; raises Unavailable. Half of what a semaphore in a timeout costs."""
        figures, began, loop = self.figures, monotonic(), asyncio.get_running_loop()
        place: asyncio.Future[bool] = loop.create_future()
        self._waiting.append(place)
        figures.waiting += 1
        timer = loop.call_later(self._wait_seconds, _settle, place, False)
        try:
            got = await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.result():  # handed over in the same instant
                self._hand_over()
            raise
        finally:
            timer.cancel()
            figures.waiting -= 1
            figures.waits.observe(monotonic() - began)
        if not got:
            figures.refused += 1
            raise Unavailable("All database connections are in use.")

    def _release(self) -> None:
        self.figures.taken -= 1
        self._hand_over()

    def _hand_over(self) -> None:
        """The place of a connection goes to the one that has waited longest."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(True)
                return
        self._free += 1

    async def _connect(self, connector: Connector) -> Connection:
        try:
            raw = await connector()
        except Exception as error:
            # Whatever the server said, it does not let us in: as yet there is no such database, for example.
            lost = isinstance(error, asyncpg.PostgresError)
            meant = translated(error, lost=lost, logged=self._logs)
            _count(meant, error, self.figures)
            raise meant from error
        if self._on_connect is not None:
            self._on_connect(raw)
        return self._kind(raw, self._watch, logs=self._logs, figures=self.figures, observers=self._observers)

    def give_back(self, connection: Connection, *, cancelled: bool) -> None:
        """Takes back what `take` gave."""
        if connection.doubtful:  # or each of the idle ones would fail a request, too
            idle, self._idle = self._idle, []
            for other in idle:
                other.end()
        if connection.retired or connection.is_closed:
            connection.end()
            self._release()
        elif cancelled or self._closed or connection.is_in_transaction:  # nothing is known about its state
            self._retire(connection)
        else:
            self._idle.append(connection)
            self._release()

    def _retire(self, connection: Connection) -> None:
        """Ends a connection whose statement was cancelled, once the server has been told to stop it.

        Its place is taken until then, so a crowd that hangs up cannot open more connections than the
        pool has; but not for longer than `_LEAVE_SECONDS`, whether the server answers or not.
        """

        async def leave() -> None:
            try:
                await connection.close(_LEAVE_SECONDS)
            finally:
                self._release()

        task = asyncio.get_running_loop().create_task(leave())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)


def _settle(place: asyncio.Future[bool], got: bool) -> None:
    if not place.done():
        place.set_result(got)


class _Listener:
    """A connection that only listens, and would not notice that it hears nothing any more."""

    __slots__ = ("_asked", "connection")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._asked = monotonic()

    async def hears(self) -> bool:
        """Whether it still does; a connection that does not answer is ended."""
        if monotonic() - self._asked >= PING_SECONDS and not self.connection.is_closed:
            try:
                await self.connection.execute("SELECT 1", seconds=PING_SECONDS)
            except WorldError:
                self.connection.end()
            self._asked = monotonic()
        return not self.connection.is_closed


class _Loan(AbstractAsyncContextManager[Connection]):
    """A block with a connection. A class, because every request enters one, and a generator costs more."""

    __slots__ = ("_connection", "_database")

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    async def __aenter__(self) -> Connection:
        self._connection = await self._database.take()
        return self._connection

    @override
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._database.give_back(self._connection, cancelled=isinstance(error, asyncio.CancelledError))
