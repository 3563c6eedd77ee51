"""The session that migrates: alone, with a limit on whatever it waits for, and gone when its process is.

Nothing here is left behind: the lock and all settings belong to the session, and the server ends a session
whose client has gone, or that stands still in a transaction.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, event, text

LOCK: Final = 7_001_993
"""Any number that is always the same: of two services that start together one migrates, the other waits."""

LOCK_NOT_AVAILABLE: Final = "55P03"  # https://www.postgresql.org/docs/current/errcodes-appendix.html

LOCK_TIMEOUT: Final = "2s"
"""A migration that cannot have its lock soon must not stop the traffic that queues behind it."""

CONCURRENT_LOCK_TIMEOUT: Final = "10min"
"""What works CONCURRENTLY waits for transactions to end, and no request queues behind it."""

_SETTINGS: Final = {
    "lock_timeout": LOCK_TIMEOUT,
    "statement_timeout": "0",  # the build of an index on a large table takes as long as it takes
    "idle_in_transaction_session_timeout": "30s",  # its client has stopped, and others wait for its locks
    "idle_session_timeout": "60s",
    "client_connection_check_interval": "2s",  # else a statement goes on whose client has gone
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}

_CONCURRENTLY = re.compile(
    r"\s*(?:CREATE\s+(?:UNIQUE\s+)?INDEX|DROP\s+INDEX|REINDEX\s+\w+|REINDEX\s*\(.*?\)\s*\w+)\s+CONCURRENTLY\b",
    re.IGNORECASE,
)
_CREATED = re.compile(
    r"\s*CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?"
    r"(?P<name>\"(?:[^\"]|\"\")+\"|\w+)\s+ON\b",
    re.IGNORECASE,
)

_HOLDER: Final = text(
    """
    SELECT pid, coalesce(host(client_addr), 'this machine') AS place, application_name,
        to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS since
    FROM pg_locks JOIN pg_stat_activity USING (pid) JOIN pg_database ON pg_database.oid = pg_locks.database
    WHERE locktype = 'advisory' AND granted AND pg_database.datname = current_database()
        AND classid = 0 AND objid = :lock AND objsubid = 1
    """
)

_OLDEST: Final = text(
    """
    SELECT pid, application_name, state, extract(epoch FROM now() - xact_start) AS seconds
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
        AND backend_type = 'client backend'
    ORDER BY xact_start LIMIT 1
    """
)


class MigratorBusy(Exception):
    """Another migrator has not ended in time."""


class LockNotHad(Exception):
    """A statement waited for a lock until `lock_timeout`."""

    def __init__(self, statement: str, oldest: str) -> None:
        """`oldest` says which transaction is likely to hold it."""
        short = " ".join(statement.split())
        self.statement = short if len(short) <= 100 else f"{short[:100]} …"
        self.oldest = oldest
        super().__init__(f"{self.statement}: {oldest}")


def silently(_: str) -> None:
    """Tells nothing."""


@dataclass(frozen=True)
class Patience:
    """How long a migrator waits for others, and who is told meanwhile."""

    seconds: float = 300.0
    """For another migrator."""
    attempts: int = 1
    """How often a migration is tried that does not have its lock within LOCK_TIMEOUT, with growing pauses."""
    tell: Callable[[str], None] = silently


def prepare(connection: Connection) -> None:
    """Sets the limits of the session; one that the server does not know is left out."""
    known = text("SELECT set_config(name, :value, false) FROM pg_settings WHERE name = :name")
    for name, value in _SETTINGS.items():
        connection.execute(known, {"name": name, "value": value})
    connection.commit()
    event.listen(connection, "before_cursor_execute", _before_statement)
    event.listen(connection, "after_cursor_execute", _after_statement)


def wait_for_turn(connection: Connection, patience: Patience) -> None:
    """Takes the migrators' lock; raises MigratorBusy, which names the holder, where it is not to be had.

    It asks again and again instead of waiting in the server: a statement that waits there has a snapshot,
    for whose end an index that the other migrator builds CONCURRENTLY would wait in turn.
    """
    ends, told = time.monotonic() + patience.seconds, False
    while not _try(connection):
        holder = _holder(connection)
        if time.monotonic() >= ends:
            raise MigratorBusy(
                f"Another migrator still works after {patience.seconds:g} seconds: {holder}. "
                "Wait for it and run this again; if it hangs, end it: SELECT pg_terminate_backend(…)."
            )
        if not told:
            patience.tell(f"Another migrator works, for {patience.seconds:g} seconds at most: {holder}.")
            told = True
        time.sleep(0.5)


def _try(connection: Connection) -> bool:
    taken: bool = connection.execute(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": LOCK}).scalar_one()
    connection.commit()
    return taken


def _holder(connection: Connection) -> str:
    row = connection.execute(_HOLDER, {"lock": LOCK}).first()
    connection.commit()
    if row is None:
        return "it has just ended"
    name = f" ({row.application_name})" if row.application_name else ""
    return f"process {row.pid} of the server, connected from {row.place}{name} since {row.since} UTC"


def oldest_transaction(connection: Connection) -> str:
    """Who is likely to hold the lock that was not to be had: whose transaction has been open the longest."""
    row = connection.execute(_OLDEST).first()
    connection.commit()
    if row is None:
        return "No other transaction is open now."
    name = f" ({row.application_name})" if row.application_name else ""
    return (
        f"The oldest other transaction is of process {row.pid} of the server{name}, "
        f"{row.state}, open for {row.seconds:.0f} s."
    )


def _before_statement(connection: Connection, _: Any, statement: str, *__: Any) -> None:  # noqa: ANN401
    """Gives what works CONCURRENTLY its time, and clears away what an attempt before has left of an index."""
    if not _CONCURRENTLY.match(statement):
        return
    connection.exec_driver_sql(f"SET lock_timeout = '{CONCURRENT_LOCK_TIMEOUT}'")
    if created := _CREATED.match(statement):
        invalid = text("SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(:name) AND NOT indisvalid")
        if connection.execute(invalid, {"name": created["name"]}).first():
            connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY {created['name']}")


def _after_statement(connection: Connection, _: Any, statement: str, *__: Any) -> None:  # noqa: ANN401
    if _CONCURRENTLY.match(statement):
        connection.exec_driver_sql(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
