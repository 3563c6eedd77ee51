"""A pooler in transaction mode on the way to the database: what has to hold behind it, and how it is noticed.

Such a pooler lends a connection for a transaction. What belongs to a session, a timeout that was set, a lock,
LISTEN, is left on a connection that serves another client next (docs/decisions/0035).
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from time import monotonic
from typing import Final

import asyncpg

from adapters.postgres.kernel.connection.connecting import Connector, session_settings
from adapters.postgres.kernel.connection.errors import translated
from application.kernel.ports.world import Misconfigured

type _Connection = asyncpg.Connection[asyncpg.Record]

_TIMEOUTS: Final = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
_SHOWN: Final = "SELECT " + ", ".join(  # noqa: S608 (of names of ours)
    f"extract(epoch FROM current_setting('{name}')::interval)::float8 * 1000 AS {name}" for name in _TIMEOUTS
)
_ROUNDS: Final = 10
_NOT_PREPARED: Final = (asyncpg.DuplicatePreparedStatementError, asyncpg.InvalidSQLStatementNameError)

_NO_PREPARED = (
    "The pooler does not keep prepared statements: set max_prepared_statements=200 (PgBouncer 1.21 or newer)."
)
_NO_TIMEOUT = (
    "Through the pooler {name} is {found:.0f} ms and not {wanted:.0f}: run `python -m entrypoints.cli pooler "
    "--apply`, and have the pooler connect anew (PgBouncer: RECONNECT)."
)


class Pooler:
    """The pooler in front of the database. Each question opens connections of its own, and closes them."""

    def __init__(
        self,
        url: str,
        direct_url: str,
        *,
        statement_seconds: float,
        lock_seconds: float,
        connect_seconds: float = 2.0,
        keep_seconds: float = 10.0,
        application_name: str = "",
    ) -> None:
        """That all holds counts for `keep_seconds`."""
        self._connector, self._direct_connector = (
            Connector(each, seconds=connect_seconds, application_name=application_name, pooled=pooled)
            for each, pooled in ((url, True), (direct_url, False))
        )
        self._settings = session_settings(statement_seconds=statement_seconds, lock_seconds=lock_seconds)
        self._keep = keep_seconds
        self._good_until = 0.0

    async def check(self) -> None:
        """Raises Misconfigured where timeouts or prepared statements do not hold, else Unavailable."""
        if monotonic() < self._good_until:
            return
        async with AsyncExitStack() as stack:
            one, another = [await stack.enter_async_context(_connection(self._connector)) for _ in range(2)]
            try:
                await _check_prepared(one, another)
                await _check_timeouts(one, self._settings)
                await _check_writing(one)
            except _NOT_PREPARED as error:
                raise Misconfigured(_NO_PREPARED) from error
            except asyncpg.PostgresError as error:
                raise translated(error, lost=one.is_closed() or another.is_closed()) from error
            except OSError as error:
                raise translated(error, lost=True) from error
        self._good_until = monotonic() + self._keep

    async def role_settings(self) -> Sequence[str]:
        """The SQL by which the service's role has its settings in every session; raises Unavailable."""
        async with _connection(self._connector) as connection:
            role, database = await connection.fetchval(
                "SELECT ARRAY[quote_ident(current_user), quote_ident(current_database())]"
            )
        return [
            f"ALTER ROLE {role} IN DATABASE {database} SET {name} = '{value}';"
            for name, value in self._settings.items()
        ]

    async def apply_role_settings(self) -> Sequence[str]:
        """Runs that SQL past the pooler; raises Misconfigured where the user may not, and Unavailable."""
        statements = await self.role_settings()
        async with _connection(self._direct_connector) as connection:
            try:
                for statement in statements:
                    await connection.execute(statement)
            except asyncpg.InsufficientPrivilegeError as error:
                raise Misconfigured(
                    f"The user of DATABASE_DIRECT_URL may not do it ({error}). Have an administrator run the "
                    "SQL that `python -m entrypoints.cli pooler` prints."
                ) from error
        return statements


async def shares_sessions(url: str) -> bool:
    """Whether a pooler lends the same session of the server to several connections in turn.

    A connection that was told another process than the one that answers leads through something. Whether
    that keeps a session together shows by a second connection: it comes upon the process of the first, or
    the first comes upon another one. Raises Unavailable.
    """
    connector = Connector(url)
    async with _connection(connector) as one:
        try:
            if await _process(one) == one.get_server_pid():
                return False
            async with _connection(connector) as another:
                for _ in range(_ROUNDS):
                    before = await _process(one)
                    async with another.transaction():
                        if await _process(another) == before or await _process(one) != before:
                            return True
        except _NOT_PREPARED:  # here, but at another process
            return True
    return False


async def _process(connection: _Connection) -> int:
    pid: int = await connection.fetchval("SELECT pg_backend_pid()")
    return pid


async def _check_prepared(one: _Connection, another: _Connection) -> None:
    """By two statements of one name, which a pooler that keeps them tells apart, each on any process.

    One that does not passes the name on to the process that happens to be free. The statements tell which it
    was: it is asked until both have run on the same.
    """
    first = await one.prepare("SELECT pg_backend_pid()", name="readiness")
    pid = await first.fetchval()  # before the other prepares: the driver keeps the process until it runs
    second = await another.prepare("SELECT -pg_backend_pid()", name="readiness")
    for _ in range(_ROUNDS):
        other = -(await second.fetchval())
        if pid < 0 or other < 0:  # the other's statement has run
            raise Misconfigured(_NO_PREPARED)
        if pid == other:
            return
        pid = await first.fetchval()


async def _check_timeouts(connection: _Connection, settings: Mapping[str, str]) -> None:
    (row,) = await connection.fetch(_SHOWN)
    for name in _TIMEOUTS:
        wanted = float(settings[name])
        if not 0 < row[name] <= wanted:
            raise Misconfigured(_NO_TIMEOUT.format(name=name, found=row[name], wanted=wanted))


async def _check_writing(connection: _Connection) -> None:
    """By a write that is rolled back: a server that only reads refuses it."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.fetchval("SELECT pg_current_xact_id()::text")
        await connection.execute("DELETE FROM outbox WHERE false")
    finally:
        await transaction.rollback()


@asynccontextmanager
async def _connection(connector: Connector) -> AsyncIterator[_Connection]:
    try:
        connection = await connector()
    except (OSError, asyncpg.PostgresError) as error:
        raise translated(error, lost=True) from error
    try:
        yield connection
    finally:
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):  # it may be gone by now
            await connection.close(timeout=1)
