"""Whose an error is, by class of SQLSTATE; what becomes of its connection; and that its cause is logged."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from urllib.parse import urlsplit

import asyncpg
import pytest
from sqlalchemy import func, select, text
from structlog.testing import capture_logs

from adapters.postgres.kernel.connection.database import Database, Statement
from adapters.postgres.kernel.connection.errors import cause_of, retires, translated
from adapters.postgres.kernel.connection.transactions import PostgresTransactions
from adapters.postgres.kernel.discovery import repositories_of
from application.kernel.ports.world import Contention, TimedOut, Unavailable, WorldError
from application.kernel.run import Runner
from application.kernel.unit_of_work import Begin
from domain.kernel.errors import Invalid
from domain.kernel.workspaces import SlugTaken
from kernel.servers.backends import ByHand
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import a_user, a_workspace, store

BACKEND = Statement(select(func.pg_backend_pid()))

OURS = None
UNAVAILABLE_AND_RETIRED = [
    *("08000", "08003", "08006", "08P01", "25006", "26000", "28000", "28P01", "34000", "40003", "42501"),
    *("42P03", "42P05", "53000", "53100", "53200", "53300", "53400", "55000", "55006", "55P02", "55P04"),
    *("57000", "57P01", "57P02", "57P03", "57P04", "57P05", "58000", "58030", "58P01", "58P02", "58P03"),
    *("F0000", "F0001", "XX001", "XX002"),
]
UNAVAILABLE = ["3D000", "3F000", "42P01", "42703", "HV000", "HV00N"]
TIMED_OUT = ["25P03", "25P04", "55P03", "57014"]
CONTENTION = ["40000", "40001", "40P01", "72000"]
INVALID = ["22021", "22P05"]
DEFECTS = [
    *("03000", "09000", "0A000", "0B000", "0L000", "0P000", "0Z000", "20000", "21000"),
    *("22000", "22003", "22012", "22P02", "23000", "23502", "23503", "23505", "23514", "23P01", "24000"),
    *("25000", "25001", "25P01", "25P02", "27000", "2B000", "2D000", "2F000", "38000", "39000", "3B001"),
    *("40002", "42000", "42601", "42704", "42883", "42P07", "44000", "54000", "54001", "P0000", "P0001"),
    *("P0002", "99999"),
]


def raising(state: str, *, detail: str = "none") -> str:
    return f"DO $$ BEGIN RAISE 'as told' USING ERRCODE = '{state}', DETAIL = '{detail}'; END $$"


@pytest.mark.parametrize(
    ("state", "error", "retired"),
    [
        *((state, Unavailable, True) for state in UNAVAILABLE_AND_RETIRED),
        *((state, Unavailable, False) for state in UNAVAILABLE),
        *((state, TimedOut, False) for state in TIMED_OUT),
        *((state, Contention, False) for state in CONTENTION),
        *((state, Invalid, False) for state in INVALID),
        *((state, OURS, False) for state in DEFECTS),
        ("XX000", OURS, True),
    ],
)
async def test_an_error_is_the_world_s_or_ours_and_a_connection_that_is_bad_is_not_used_again(
    database: Database, state: str, error: type[Exception] | None, retired: bool
) -> None:
    [before] = await database.fetch(BACKEND, {})
    async with database.connection() as connection:
        with capture_logs() as logs, pytest.raises(Exception) as caught:  # noqa: PT011 (its type is the subject)
            await connection.execute(raising(state))

    if error is OURS:
        assert isinstance(caught.value, asyncpg.PostgresError)
    else:
        assert type(caught.value) is error
        assert "as told" not in str(caught.value)
    causes = [(entry["sqlstate"], entry["cause"]) for entry in logs]
    assert causes == ([(state, "as told")] if isinstance(caught.value, WorldError) else [])
    assert (await database.fetch(BACKEND, {}) != [before]) == retired


async def test_the_same_is_so_for_what_a_session_of_the_orm_sends(
    begin: PostgresTransactions[UnitOfWork], database: Database
) -> None:
    [before] = await database.fetch(BACKEND, {})
    with capture_logs() as logs, pytest.raises(Unavailable):
        async with begin.open() as transaction:
            await (await transaction.session()).execute(text(raising("53200")))
    assert [(entry["event"], entry["sqlstate"]) for entry in logs] == [("the database failed", "53200")]
    assert await database.fetch(BACKEND, {}) != [before]


@pytest.mark.parametrize(
    ("error", "meant", "retired"),
    [
        (TimeoutError(), Unavailable, False),
        (ConnectionResetError(104, "reset"), Unavailable, False),
        (asyncpg.ProtocolError("what is this"), Unavailable, True),
        (asyncpg.OutdatedSchemaCacheError("a type has changed"), Contention, False),
        (asyncpg.InternalClientError("a defect of the driver"), asyncpg.InternalClientError, True),
        (asyncpg.InterfaceError("another operation is in progress"), asyncpg.InterfaceError, False),
        (KeyError("seconds"), KeyError, False),
    ],
)
def test_what_the_driver_and_the_network_say_is_the_world_s_or_ours(
    error: Exception, meant: type[Exception], retired: bool
) -> None:
    assert type(translated(error, lost=False)) is meant
    assert retires(error) == retired


def test_whatever_was_said_on_a_connection_that_is_lost_it_is_unavailable() -> None:
    assert type(translated(asyncpg.InterfaceError("connection is closed"), lost=True)) is Unavailable


# ── the cause ────────────────────────────────────────────────────────────────────────────────────


async def test_a_cause_has_no_values_of_rows(database: Database) -> None:
    with capture_logs() as logs, pytest.raises(Unavailable) as caught:
        async with database.connection() as connection:
            await connection.execute(raising("58030", detail="Key (name)=(Ada) is secret."))
    [entry] = logs
    assert (entry["event"], entry["log_level"]) == ("the database failed", "warning")
    assert (entry["sqlstate"], entry["error"], entry["cause"]) == ("58030", "PostgresIOError", "as told")
    assert "Ada" not in f"{logs}{caught.value}{caught.value.cause}"


async def test_why_nobody_is_let_in_is_in_the_log(empty_database_url: str) -> None:
    nowhere = urlsplit(empty_database_url)._replace(path="/no-such-database").geturl()
    with capture_logs() as logs, pytest.raises(Unavailable):
        await Database(nowhere).ping()
    [entry] = logs
    assert (entry["sqlstate"], entry["cause"]) == ("3D000", 'database "no-such-database" does not exist')


def test_a_limit_that_passed_has_words_too() -> None:
    with capture_logs() as logs:
        meant = translated(TimeoutError(), lost=False)
    assert isinstance(meant, WorldError)
    assert (logs[0]["cause"], meant.cause) == ("no answer in time", "TimeoutError: no answer in time")


def test_the_cause_is_what_lies_behind_a_connection_that_was_closed() -> None:
    closed = asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
    closed.__cause__ = asyncpg.AdminShutdownError("terminating connection due to administrator command")
    assert cause_of(closed) == ("57P01", "terminating connection due to administrator command")


async def test_what_the_domain_has_a_word_for_is_no_failure(begin: Begin[UnitOfWork]) -> None:
    workspace = a_workspace()
    await store(begin, workspace)
    with capture_logs() as logs, pytest.raises(SlugTaken):
        await store(begin, a_workspace(slug=workspace.slug))
    assert logs == []


# ── a failover ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def elsewhere(
    new_database: Callable[..., Awaitable[str]], template_database: str
) -> AsyncIterator[tuple[Database, str]]:
    url = await new_database(template_database)
    database = Database(url, pool_size=3)
    yield database, urlsplit(url).path.removeprefix("/")
    await database.close()


async def test_a_server_that_has_become_read_only_takes_changes_again_when_it_can(
    elsewhere: tuple[Database, str], by_hand: ByHand
) -> None:
    """All connections are ended with the first that finds out: they are to the server of before."""
    database, name = elsewhere
    run = Runner(
        PostgresTransactions(database, lambda: datetime.now(UTC), UnitOfWork, repositories_of(UnitOfWork))
    )

    async def add(uow: UnitOfWork) -> None:
        await uow.users.add(a_user())

    await by_hand.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    async with database.connection(), database.connection(), database.connection():
        pass  # three that are read-only
    with capture_logs() as logs, pytest.raises(Unavailable, match="takes no changes"):
        await run(add)
    assert [entry["sqlstate"] for entry in logs] == ["25006"]
    await by_hand.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')

    for _ in range(3):
        await run(add)
