"""A server that says nothing any more: what waits for it is given up, and its place in the pool is free."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Float, bindparam, func, select, text
from structlog.testing import capture_logs

from adapters.postgres.kernel.connection import connecting, sockets
from adapters.postgres.kernel.connection import database as module
from adapters.postgres.kernel.connection.address import Keepalive
from adapters.postgres.kernel.connection.database import Database, Statement
from adapters.postgres.kernel.connection.transaction import Transaction
from adapters.postgres.kernel.connection.transactions import PostgresTransactions
from adapters.postgres.kernel.connection.watching import Watch
from adapters.postgres.kernel.discovery import repositories_of
from application.kernel.ports.world import TimedOut, Unavailable
from application.kernel.run import Runner
from kernel.servers.backends import PATIENCE, ByHand, Proxy, await_backends, backends, eventually
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import a_user

NAME = "under-test"
AWAY = "The database does not answer."
SLEEP = Statement(select(func.pg_sleep(bindparam("seconds", type_=Float))))
BACKEND = Statement(select(func.pg_backend_pid()))
LIMITS = {"statement_seconds": 0.7, "answer_seconds": 0.3}


type MakeDatabase = Callable[..., Database]


@pytest.fixture
async def make_database(proxy: Proxy) -> AsyncIterator[MakeDatabase]:
    """Makes a `Database` behind the proxy, that waits a second for an answer, and closes it in the end."""
    made: list[Database] = []

    def make(**limits: Any) -> Database:
        limits = {"application_name": NAME, "pool_size": 1, "wait_seconds": PATIENCE, **LIMITS, **limits}
        made.append(Database(proxy.url, **limits))
        return made[-1]

    yield make
    for database in made:
        await database.close()


def transactions(database: Database) -> PostgresTransactions[UnitOfWork]:
    return PostgresTransactions(database, lambda: datetime.now(UTC), UnitOfWork, repositories_of(UnitOfWork))


# ── whatever waits ───────────────────────────────────────────────────────────────────────────────


async def fetch(transaction: Transaction) -> None:
    await transaction.fetch(BACKEND, {})


async def fetchrow(transaction: Transaction) -> None:
    await transaction.fetchrow(BACKEND, {})


async def begin(transaction: Transaction) -> None:
    await transaction.begin()


async def orm_statement(transaction: Transaction) -> None:
    await (await transaction.session()).execute(text("SELECT 1"))


async def orm_savepoint(transaction: Transaction) -> None:
    session = await transaction.session()
    async with session.begin_nested():
        await session.connection()  # sends it


async def orm_rows(transaction: Transaction) -> None:
    rows = await (await transaction.session()).stream(text("SELECT generate_series(1, 100000)"))
    async for _ in rows:
        pass


MANY = text("SELECT CAST(:x AS text)")


async def orm_few(transaction: Transaction) -> None:
    """The same as `orm_many`, so that it is prepared."""
    connection = await (await transaction.session()).connection()
    await connection.execute(MANY, [{"x": "x"}] * 2)


async def orm_many(transaction: Transaction) -> None:
    """More than fits on the way, so that most of it has not been sent yet."""
    connection = await (await transaction.session()).connection()
    await connection.execute(MANY, [{"x": "x" * 1000}] * 50_000)


@pytest.mark.parametrize(
    ("before", "then"),
    [
        (fetch, fetch),
        (fetch, fetchrow),
        (fetch, begin),
        (orm_statement, orm_statement),
        (orm_statement, orm_savepoint),
        (orm_statement, orm_rows),
        (orm_few, orm_many),
    ],
)
async def test_whatever_waits_for_a_silent_server_is_given_up_and_the_place_is_free(
    make_database: MakeDatabase,
    proxy: Proxy,
    before: Callable[[Transaction], Awaitable[None]],
    then: Callable[[Transaction], Awaitable[None]],
) -> None:
    database = make_database()

    async def use() -> None:
        async with transactions(database).open() as transaction:
            await before(transaction)
            proxy.stalled = True
            await then(transaction)

    async with asyncio.timeout(PATIENCE):
        with pytest.raises(Unavailable, match=AWAY):
            await use()
    proxy.stalled = False

    await database.ping()


async def test_rows_that_stop_coming_are_given_up(make_database: MakeDatabase, proxy: Proxy) -> None:
    """The ORM reads a cursor in batches, each of which has to arrive in time."""
    database = make_database()

    async def use() -> None:
        async with transactions(database).open() as transaction:
            session = await transaction.session()
            rows = await session.stream(text("SELECT generate_series(1, 100000)"))
            await anext(aiter(rows))
            proxy.stalled = True
            async for _ in rows:
                pass

    async with asyncio.timeout(PATIENCE):
        with pytest.raises(Unavailable, match=AWAY):
            await use()
    proxy.stalled = False

    await database.ping()


async def test_a_commit_that_gets_no_answer_is_unavailable_and_not_repeated(
    make_database: MakeDatabase, proxy: Proxy
) -> None:
    database = make_database()
    calls = []

    async def add_two(uow: UnitOfWork) -> None:
        calls.append(1)
        for _ in range(2):
            await uow.users.add(a_user())
        proxy.stalled = True

    async with asyncio.timeout(PATIENCE):
        with pytest.raises(Unavailable, match=AWAY):
            await Runner(transactions(database))(add_two)
    proxy.stalled = False

    assert calls == [1]
    await database.ping()


async def test_a_rollback_that_gets_no_answer_hides_nothing_and_frees_the_place(
    make_database: MakeDatabase, proxy: Proxy, by_hand: ByHand
) -> None:
    database = make_database()

    async def fail(uow: UnitOfWork) -> None:
        for _ in range(2):
            await uow.users.add(a_user())
        proxy.stalled = True
        raise ZeroDivisionError

    async with asyncio.timeout(PATIENCE):
        with pytest.raises(ZeroDivisionError):
            await Runner(transactions(database))(fail)
    proxy.stalled = False

    await database.ping()
    assert await by_hand.fetchval("SELECT count(*) FROM users") == 0


async def test_a_statement_that_the_server_stops_itself_has_taken_too_long_and_its_connection_is_good(
    make_database: MakeDatabase,
) -> None:
    database = make_database()
    before = await database.fetch(BACKEND, {})
    with pytest.raises(TimedOut):
        await database.fetch(SLEEP, {"seconds": 60})
    assert await database.fetch(BACKEND, {}) == before


async def test_a_full_pool_is_answered_and_serves_again_when_the_network_is_back(
    make_database: MakeDatabase, proxy: Proxy, by_hand: ByHand
) -> None:
    database = make_database(pool_size=10, wait_seconds=0.05, connect_seconds=0.5)
    await asyncio.gather(*(database.fetch(SLEEP, {"seconds": 0.05}) for _ in range(10)))
    assert len(await backends(by_hand, NAME)) == 10
    proxy.stalled = True

    async with asyncio.timeout(PATIENCE):
        failures = await asyncio.gather(*(database.ping() for _ in range(10)), return_exceptions=True)
    assert [str(failure) for failure in failures] == [AWAY] * 10
    # The places are free: who comes now tries to connect.
    with pytest.raises(Unavailable, match=AWAY):
        await database.ping()
    proxy.stalled = False

    await asyncio.gather(*(database.ping() for _ in range(10)))


async def test_the_idle_connections_end_with_the_one_that_fell_silent(
    make_database: MakeDatabase, proxy: Proxy, by_hand: ByHand
) -> None:
    """They lead over the same network, and each would make somebody wait as long."""
    database = make_database(pool_size=3)
    await asyncio.gather(*(database.fetch(SLEEP, {"seconds": 0.05}) for _ in range(3)))
    before = await backends(by_hand, NAME)
    proxy.frozen = True
    with pytest.raises(Unavailable):
        await database.ping()
    proxy.frozen = False

    [(now,)] = await database.fetch(BACKEND, {})

    assert now not in before
    await await_backends(by_hand, NAME, 1)


async def test_why_a_statement_was_given_up_is_in_the_log_once(
    make_database: MakeDatabase, proxy: Proxy
) -> None:
    database = make_database()

    async def use() -> None:
        async with transactions(database).open() as transaction:
            await transaction.begin()
            proxy.stalled = True
            await transaction.fetch(BACKEND, {})

    with capture_logs() as logs, pytest.raises(Unavailable) as caught:
        await use()
    assert [(entry["event"], entry["cause"]) for entry in logs] == [
        ("the database failed", "no answer within 1 s")
    ]
    assert caught.value.cause == "TimeoutError: no answer within 1 s"


# ── what ends ────────────────────────────────────────────────────────────────────────────────────


async def test_a_client_that_hangs_up_on_a_silent_server_keeps_its_place_for_seconds_at_most(
    make_database: MakeDatabase, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LEAVE_SECONDS", 0.2)
    database = make_database(connect_seconds=0.1, statement_seconds=3600)
    await database.ping()
    proxy.frozen = True
    task = asyncio.create_task(database.fetch(SLEEP, {"seconds": 60}))
    await asyncio.sleep(0.05)
    task.cancel()

    with pytest.raises(Unavailable, match=AWAY):  # and not that all places were taken
        await database.ping()


async def test_closing_does_not_wait_for_a_silent_server(make_database: MakeDatabase, proxy: Proxy) -> None:
    database = make_database(pool_size=3)
    await database.listen("outbox", lambda: None)
    await asyncio.gather(*(database.fetch(SLEEP, {"seconds": 0.05}) for _ in range(3)))
    proxy.frozen = True
    async with asyncio.timeout(PATIENCE):
        await database.close()


# ── who listens ──────────────────────────────────────────────────────────────────────────────────


async def test_a_listener_that_the_network_has_swallowed_listens_anew(
    make_database: MakeDatabase, proxy: Proxy, by_hand: ByHand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PING_SECONDS", 0.2)
    heard = asyncio.Event()
    database = make_database(connect_seconds=0.1)
    assert await database.listen("looms", heard.set)
    await asyncio.sleep(0.2)
    assert not await database.listen("looms", heard.set)  # it answers

    proxy.frozen = True
    await asyncio.sleep(0.2)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(Unavailable):
            await database.listen("looms", heard.set)
    assert heard.is_set()  # it is time to look
    proxy.frozen = False

    assert await database.listen("looms", heard.set)
    heard.clear()
    await by_hand.execute("NOTIFY looms")
    await asyncio.wait_for(heard.wait(), PATIENCE)


async def test_a_server_that_falls_silent_at_listen_is_given_up(
    make_database: MakeDatabase, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def freeze(*_: object) -> None:
        proxy.frozen = True

    monkeypatch.setattr(connecting, "keep_alive", freeze)  # the last before LISTEN is sent
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(Unavailable, match=AWAY):
            await make_database().listen("looms", lambda: None)


# ── the watch itself ─────────────────────────────────────────────────────────────────────────────


class Fallen:
    def __init__(self) -> None:
        self.silent = False

    def fall_silent(self) -> None:
        self.silent = True


async def test_a_process_that_was_stopped_has_not_listened() -> None:
    """After a pause the answers are there, and are read before anybody is given up for them."""
    watch, waiting = Watch(0.2), Fallen()
    watch.begin(waiting)
    time.sleep(0.5)  # noqa: ASYNC251 (nothing in the process runs, as when it is stopped)
    for _ in range(3):
        await asyncio.sleep(0)
    assert not waiting.silent
    watch.end(waiting)


async def test_nobody_looks_when_nothing_waits() -> None:
    watch, waiting = Watch(0.2), Fallen()
    watch.begin(waiting)
    watch.end(waiting)

    async def asleep() -> bool:
        return watch._timer is None

    await eventually(asleep)
    watch.begin(waiting)

    async def given_up() -> bool:
        return waiting.silent

    await eventually(given_up)
    await eventually(asleep)


async def test_what_has_a_limit_of_its_own_is_given_up_by_it() -> None:
    watch, waiting = Watch(3600), Fallen()
    watch._pause = 0.01
    watch.begin(waiting, seconds=0.05)

    async def given_up() -> bool:
        return waiting.silent

    await eventually(given_up)
    watch.stop()


# ── what TCP does ────────────────────────────────────────────────────────────────────────────────


def test_a_platform_without_an_option_does_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT"):
        monkeypatch.delattr(socket, name, raising=False)
    monkeypatch.setattr(socket, "TCP_KEEPALIVE", 16, raising=False)  # as macOS calls its only one
    assert [*sockets._options(Keepalive())] == [(16, 5)]


def test_an_option_that_the_kernel_does_not_know_costs_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "TCP_KEEPIDLE", 12345)
    with socket.socket() as sock:
        sockets.keep_alive(sock, Keepalive())
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_a_unix_socket_is_left_as_it_is() -> None:
    one, two = socket.socketpair()
    with one, two:
        sockets.keep_alive(one, Keepalive())
        assert not one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
