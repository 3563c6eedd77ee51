"""SQLAlchemy's ORM on the connection of a transaction (docs/decisions/0023).

A module of its own, imported with the first session: a service that uses none need not load the ORM.
"""

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, NoReturn, cast, override

from sqlalchemy import URL, Engine, NullPool, event
from sqlalchemy.dialects.postgresql.asyncpg import (
    AsyncAdapt_asyncpg_connection,
    AsyncAdapt_asyncpg_cursor,
    AsyncAdapt_asyncpg_ss_cursor,
    PGDialect_asyncpg,
)
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.orm.exc import StaleDataError

from adapters.postgres.kernel.connection.database import Connection, RawConnection
from adapters.postgres.kernel.connection.errors import Conflicts
from domain.kernel.errors import DomainError, Stale

_CONFLICTS = "conflicts"
_CONNECTION = "lent connection"


class _Waits(AsyncAdapt_asyncpg_cursor):
    """A cursor whose statements have the limit that all statements have (docs/decisions/0034)."""

    __slots__ = ()
    _adapt_connection: "_Adapted"

    @override
    async def _prepare_and_execute(self, operation: Any, parameters: Any) -> None:
        running = super()._prepare_and_execute(operation, parameters)  # type: ignore[no-untyped-call]
        await self._adapt_connection.lent.watched(running)

    @override
    async def _executemany(self, operation: Any, seq_of_parameters: Any) -> Any:
        running = super()._executemany(operation, seq_of_parameters)  # type: ignore[no-untyped-call]
        return await self._adapt_connection.lent.watched(running)


class _Rows:
    """The driver's cursor, whose every batch of rows is waited for no longer than a statement."""

    __slots__ = ("_connection", "_cursor")

    def __init__(self, cursor: Any, connection: Connection) -> None:  # noqa: ANN401
        self._cursor = cursor
        self._connection = connection

    async def fetch(self, count: int) -> Any:  # noqa: ANN401
        return await self._connection.watched(self._cursor.fetch(count))


class _WaitsForRows(AsyncAdapt_asyncpg_ss_cursor, _Waits):
    """The same for a cursor on the server, which is read in batches."""

    __slots__ = ()

    @override
    async def _prepare_and_execute(self, operation: Any, parameters: Any) -> None:
        await super()._prepare_and_execute(operation, parameters)
        if self._cursor is not None:
            self._cursor = cast("Any", _Rows(self._cursor, self._adapt_connection.lent))


class _Adapted(AsyncAdapt_asyncpg_connection):
    """What SQLAlchemy sees of a connection that it is lent."""

    __slots__ = ("lent",)
    _cursor_cls = _Waits
    _ss_cursor_cls = _WaitsForRows

    def __init__(self, dbapi: Any, raw: RawConnection, lent: Connection) -> None:  # noqa: ANN401
        super().__init__(dbapi, raw)  # type: ignore[no-untyped-call]
        self.lent = lent


class _Dialect(PGDialect_asyncpg):
    """SQLAlchemy's dialect for a connection that it is lent: it neither configures nor ends it."""

    supports_statement_cache = True
    # JSON arrives as text, and SQLAlchemy decodes it. Its own dialect has the driver do that instead, by
    # codecs that stay on the connection, and would change what our statements read.
    supports_native_json_deserialization = False

    @override
    def do_close(self, dbapi_connection: Any) -> None:
        """The pool of `Database` has it back when the transaction ends."""

    @override
    def do_terminate(self, dbapi_connection: Any) -> None:
        """The same, after a cancellation or a lost connection: `Database` looks at its state."""

    @override
    def set_isolation_level(self, dbapi_connection: Any, level: str) -> NoReturn:
        raise RuntimeError("The isolation level is the unit of work's, and has been set.")


_DIALECT = _Dialect(dbapi=_Dialect.import_dbapi())  # type: ignore[no-untyped-call]
_lent: ContextVar[tuple[Connection, RawConnection]] = ContextVar("lent")
_adapted: dict[RawConnection, _Adapted] = {}
"""What SQLAlchemy sees of each open connection. It is kept for the statements that it has prepared."""


def _lend() -> Any:  # noqa: ANN401 (mypy does not see that SQLAlchemy's adapters are its DBAPIConnection)
    connection, raw = _lent.get()
    adapted = _adapted.get(raw)
    if adapted is None:
        adapted = _Adapted(_DIALECT.dbapi, raw, connection)
        adapted.isolation_level = "autocommit"  # no BEGIN of its own: ours has been sent
        _adapted[raw] = adapted
        raw.add_termination_listener(lambda _: _forget(raw))
    return adapted


def _forget(raw: RawConnection) -> None:
    _adapted.pop(raw, None)


# One for the process: it holds no connection, only SQL that has been compiled.
_ENGINE = AsyncEngine(
    Engine(
        NullPool(_lend, reset_on_return=None, dialect=_DIALECT), _DIALECT, URL.create("postgresql+asyncpg")
    )
)


@event.listens_for(_ENGINE.sync_engine, "handle_error")
def _translate(context: ExceptionContext) -> BaseException | None:
    original = context.original_exception
    if not isinstance(original, Exception):
        return None
    # SQLAlchemy wraps the driver's error twice; the inner wrapping names its cause.
    cause = original.__cause__ if isinstance(original, _DIALECT.loaded_dbapi.Error) else original
    if not isinstance(cause, Exception) or context.connection is None:
        return None
    options = context.connection.get_execution_options()
    lent: Connection = options[_CONNECTION]
    error = lent.translated(cause, options[_CONFLICTS])
    return None if error is cause else error


class _Session(Session):
    """A session that the unit of work begins and ends."""

    @override
    def flush(self, objects: Sequence[Any] | None = None) -> None:
        try:
            super().flush(objects)
        except StaleDataError as error:
            raise _stale() from error

    @override
    def begin(self, nested: bool = False) -> SessionTransaction:
        return super().begin(nested) if nested else _refuse()

    @override
    def commit(self) -> None:
        _refuse()

    @override
    def rollback(self) -> None:
        _refuse()

    @override
    def close(self) -> None:
        _refuse()

    def end(self) -> None:
        super().close()


def _stale() -> DomainError:
    return Stale("Read it again and repeat your change.")


def _refuse() -> NoReturn:
    raise RuntimeError("The unit of work begins and ends the session; begin_nested() sets a savepoint.")


class LentSession:
    """A session on a connection that belongs to a transaction, until the transaction ends."""

    __slots__ = ("_conflicts", "_connection", "_sync", "session")

    def __init__(self, connection: AsyncConnection, conflicts: dict[str, Any]) -> None:
        self._connection = connection
        self._conflicts = conflicts
        self.session = AsyncSession(connection, sync_session_class=_Session, close_resets_only=False)
        self._sync = cast("_Session", self.session.sync_session)

    @classmethod
    async def on(cls, lent: Connection, raw: RawConnection) -> "LentSession":
        """Sends nothing."""
        token = _lent.set((lent, raw))
        try:
            connection = await _ENGINE.connect()
        finally:
            _lent.reset(token)
        conflicts: dict[str, Any] = {}
        await connection.execution_options(**{_CONFLICTS: conflicts, _CONNECTION: lent})
        return cls(connection, conflicts)

    def expect(self, conflicts: Conflicts) -> None:
        """Adds to what it means to break a constraint, by the constraint's name."""
        self._conflicts.update(conflicts)

    async def flush(self) -> None:
        """Sends the changes that are pending."""
        if self.session.new or self.session.dirty or self.session.deleted:
            await self.session.flush()

    @property
    def is_whole(self) -> bool:
        """Whether all that was flushed is in the transaction: no flush failed, no savepoint is open."""
        return self.session.is_active and not self.session.in_nested_transaction()

    def changed_beside(self) -> None:
        """Has the session read its objects again: a statement of ours may have changed their rows."""
        self.session.expire_all()

    def end(self) -> None:
        """Makes the session unusable. Sends nothing, so that it can be done on a connection in any state."""
        connection = self._connection.sync_connection
        if connection is not None and not connection.closed and not connection.invalidated:
            connection.invalidate()  # or SQLAlchemy would end an open savepoint
        self._sync.end()
        if connection is not None:
            connection.close()
