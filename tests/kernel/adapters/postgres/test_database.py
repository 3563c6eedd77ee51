"""The pool and what happens to it: a server that is away, slow or cut off, and clients that hang up."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from sqlalchemy import Float, bindparam, func, select, text
from structlog.testing import capture_logs

from adapters.postgres.kernel.connection.database import Database, Statement
from adapters.postgres.kernel.connection.transactions import PostgresTransactions
from adapters.postgres.kernel.discovery import queries_of, repositories_of
from adapters.postgres.kernel.outbox.delivery import PostgresOutbox
from adapters.postgres.kernel.workspaces import workspaces
from application.kernel.commands.workspaces import (
    create_workspace,
)
from application.kernel.identity.password_login import register_user
from application.kernel.ports.world import Contention, TimedOut, Unavailable, WorldError
from application.kernel.run import TRIES, Runner
from application.kernel.unit_of_work import Begin
from domain.kernel.errors import Invalid
from domain.kernel.users import User
from domain.kernel.workspaces import Workspace
from kernel.servers.backends import PATIENCE, ByHand, Proxy, await_backends, backends, terminate
from kernel.specimen.service import Queries, UnitOfWork
from kernel.world.builders import a_caller, a_user, a_workspace, an_email, store

type MakeDatabase = Callable[..., Database]

FULL = "All database connections are in use."
SLEEP = Statement(select(func.pg_sleep(bindparam("seconds", type_=Float))))
BACKEND = Statement(select(func.pg_backend_pid()))
AGES = {"seconds": 60}
NAME = "under-test"


def present() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
async def make_database(empty_database_url: str) -> AsyncIterator[MakeDatabase]:
    """Makes a `Database` with a test's own limits, and closes it in the end."""
    made: list[Database] = []

    def make(url: str = empty_database_url, **limits: Any) -> Database:
        made.append(Database(url, **{"application_name": NAME, "wait_seconds": PATIENCE, **limits}))
        return made[-1]

    yield make
    for database in made:
        await database.close()


async def rename(uow: UnitOfWork, workspace: Workspace, name: str) -> None:
    """A use case whose change is with the server when it ends, but not committed."""
    current = await uow.workspaces.get(workspace.id)
    await uow.workspaces.save(current.edit(by=a_caller().user_id, at=uow.now, name=name))
    await uow.workspaces.get(workspace.id)


# ── a server that is away ────────────────────────────────────────────────────────────────────────


async def test_a_database_that_nobody_serves_is_unavailable_to_everybody(
    make_database: MakeDatabase, proxy: Proxy
) -> None:
    await proxy.stop()
    database = make_database(proxy.url)
    begin = PostgresTransactions(database, present, UnitOfWork, repositories_of(UnitOfWork))

    with pytest.raises(Unavailable):
        await database.ping()
    with pytest.raises(Unavailable):
        await queries_of(Queries, database).users.profile(a_user().id)
    with pytest.raises(Unavailable):
        await Runner(begin)(create_workspace, a_caller(), name="Looms")
    with pytest.raises(Unavailable):
        await PostgresOutbox(database, begin).wait(1)


async def test_a_server_that_takes_connections_and_says_nothing_is_given_up(
    make_database: MakeDatabase, proxy: Proxy
) -> None:
    proxy.silent = True
    database = make_database(proxy.url, connect_seconds=0.05, pool_size=1)
    for _ in range(3):  # and it keeps no place in the pool
        with pytest.raises(Unavailable):
            await database.ping()


async def test_a_database_that_does_not_exist_is_unavailable(
    make_database: MakeDatabase, empty_database_url: str
) -> None:
    nowhere = urlsplit(empty_database_url)._replace(path="/no-such-database").geturl()
    with pytest.raises(Unavailable):
        await make_database(nowhere).ping()


async def test_a_user_that_is_not_let_in_finds_the_database_unavailable(
    make_database: MakeDatabase, empty_database_url: str
) -> None:
    address = urlsplit(empty_database_url)
    host = address.netloc.rpartition("@")[2]
    nobody = address._replace(netloc=f"no-such-user:wrong@{host}").geturl()
    with pytest.raises(Unavailable):
        await make_database(nobody).ping()


async def test_a_database_that_takes_no_connections_for_a_while_is_back_as_soon_as_it_does(
    make_database: MakeDatabase, new_database: Callable[..., Awaitable[str]], by_hand: ByHand
) -> None:
    url = await new_database()
    name = urlsplit(url).path.removeprefix("/")
    database = make_database(url)
    await by_hand.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    with pytest.raises(Unavailable):
        await database.ping()

    await by_hand.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')

    await database.ping()


async def test_a_service_recovers_by_itself_when_the_server_comes_back(
    make_database: MakeDatabase, proxy: Proxy
) -> None:
    database = make_database(proxy.url, pool_size=2)
    run = Runner(PostgresTransactions(database, present, UnitOfWork, repositories_of(UnitOfWork)))
    user = await run(register_user, email=an_email(), display_name="Ada", password_hash="$")
    queries = queries_of(Queries, database)
    for _ in range(2):
        await proxy.stop()
        for _ in range(4):  # more often than the pool has places
            with pytest.raises(Unavailable):
                await queries.users.profile(user.id)
        await proxy.start()

        assert (await queries.users.profile(user.id)).display_name == "Ada"


# ── connections that end ─────────────────────────────────────────────────────────────────────────


async def test_each_statement_whose_server_process_ends_fails_once_and_then_all_is_well(
    make_database: MakeDatabase, by_hand: ByHand
) -> None:
    database = make_database(pool_size=3)
    asleep = [asyncio.create_task(database.fetch(SLEEP, AGES)) for _ in range(3)]
    await await_backends(by_hand, NAME, 3, state="active")

    await terminate(by_hand, NAME)

    failures = await asyncio.gather(*asleep, return_exceptions=True)
    assert [type(failure) for failure in failures] == [Unavailable] * 3
    await asyncio.gather(*(database.ping() for _ in range(6)))
    assert len(await backends(by_hand, NAME)) <= 3


async def test_connections_that_ended_while_idle_are_replaced(
    make_database: MakeDatabase, by_hand: ByHand
) -> None:
    database = make_database(pool_size=3)
    await asyncio.gather(*(database.fetch(SLEEP, {"seconds": 0.01}) for _ in range(3)))
    before = await backends(by_hand, NAME)
    assert len(before) == 3

    await terminate(by_hand, NAME)
    await asyncio.sleep(0.05)  # the news travels

    await asyncio.gather(*(database.ping() for _ in range(6)))
    assert not {*before} & {*await backends(by_hand, NAME)}


async def test_a_transaction_whose_server_process_ends_is_unavailable_and_not_repeated(
    make_database: MakeDatabase, by_hand: ByHand
) -> None:
    database = make_database(pool_size=1)
    run = Runner(PostgresTransactions(database, present, UnitOfWork, repositories_of(UnitOfWork)))
    workspace = a_workspace()
    await run(_add, workspace)
    calls = []

    async def cut_off(uow: UnitOfWork) -> None:
        calls.append(1)
        await rename(uow, workspace, "Lost")
        await terminate(by_hand, NAME)
        await rename(uow, workspace, "Never")

    with pytest.raises(Unavailable):
        await run(cut_off)

    assert len(calls) == 1
    async with PostgresTransactions(database, present, UnitOfWork, repositories_of(UnitOfWork))() as uow:
        assert await uow.workspaces.get(workspace.id) == workspace


async def _add(uow: UnitOfWork, workspace: Workspace) -> None:
    await uow.workspaces.add(workspace)


async def test_what_a_use_case_raised_is_not_hidden_by_a_connection_that_ended(
    make_database: MakeDatabase, by_hand: ByHand
) -> None:
    database = make_database(pool_size=1)

    async def cut_off(uow: UnitOfWork) -> None:
        await uow.memberships.lock_owners(a_workspace().id)
        await terminate(by_hand, NAME)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Runner(PostgresTransactions(database, present, UnitOfWork, repositories_of(UnitOfWork)))(
            cut_off
        )
    await database.ping()


@pytest.mark.parametrize("credentials", [True, False], ids=["of two changes", "of a single change"])
async def test_a_commit_without_an_answer_is_unavailable_and_not_repeated(
    make_database: MakeDatabase, proxy: Proxy, by_hand: ByHand, credentials: bool
) -> None:
    """Its outcome is not known to us. Here it was committed, and a repetition would be a second one."""
    database = make_database(proxy.url, pool_size=1)
    run = Runner(PostgresTransactions(database, present, UnitOfWork, repositories_of(UnitOfWork)))
    calls = []

    async def register(uow: UnitOfWork, name: str) -> None:
        calls.append(name)
        if credentials:
            await register_user(uow, email=an_email(), display_name=name, password_hash="$")
        else:
            await uow.users.add(a_user(display_name=name))

    await run(register, "Ada")
    proxy.lost_answer_to = b"COMMIT" if credentials else b"Bob"
    with pytest.raises(Unavailable):
        await run(register, "Bob")

    assert calls == ["Ada", "Bob"]
    assert await by_hand.fetchval("SELECT count(*) FROM users WHERE display_name = 'Bob'") == 1
    proxy.lost_answer_to = None
    await database.ping()


async def test_a_transaction_that_idles_too_long_is_ended_by_the_server(
    make_database: MakeDatabase, by_hand: ByHand
) -> None:
    database = make_database(pool_size=1, statement_seconds=0.05)

    async def dawdle(uow: UnitOfWork) -> None:
        await uow.memberships.lock_owners(a_workspace().id)
        await await_backends(by_hand, NAME, 0)
        await uow.users.holder(an_email())

    with pytest.raises(WorldError):
        await Runner(PostgresTransactions(database, present, UnitOfWork, repositories_of(UnitOfWork)))(dawdle)
    await database.ping()


# ── a pool that is full ──────────────────────────────────────────────────────────────────────────


async def test_whoever_finds_all_connections_in_use_waits_and_is_refused_in_the_end(
    make_database: MakeDatabase,
) -> None:
    database = make_database(pool_size=2, wait_seconds=0.02)
    async with database.connection(), database.connection():
        for _ in range(3):
            with pytest.raises(Unavailable, match=FULL):
                await database.ping()
        with pytest.raises(Unavailable, match=FULL):
            async with PostgresTransactions(database, present, UnitOfWork, repositories_of(UnitOfWork))():
                pytest.fail("There was no connection to begin on.")
    await asyncio.gather(database.ping(), database.ping())


async def test_whoever_waits_is_served_in_order_and_nobody_overtakes(make_database: MakeDatabase) -> None:
    database = make_database(pool_size=2)
    served = []

    async def use(number: int) -> None:
        async with database.connection() as connection:
            served.append(number)
            await connection.fetch(SLEEP, {"seconds": 0.001 * (number % 3)})

    async with database.connection(), database.connection():
        waiting = [asyncio.create_task(use(number)) for number in range(20)]
        await asyncio.sleep(0)
    late = [asyncio.create_task(use(number)) for number in range(20, 30)]
    await asyncio.gather(*waiting, *late)

    assert served == list(range(30))


async def test_who_stops_waiting_leaves_the_turn_to_the_next(make_database: MakeDatabase) -> None:
    database = make_database(pool_size=1)
    async with database.connection():
        first, second = asyncio.create_task(database.ping()), asyncio.create_task(database.ping())
        await asyncio.sleep(0)
        first.cancel()
    await second
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_turn_that_comes_in_the_instant_of_giving_up_is_not_lost(make_database: MakeDatabase) -> None:
    database = make_database(pool_size=1)
    async with database.connection():
        waiting = asyncio.create_task(database.ping())
        await asyncio.sleep(0)
    waiting.cancel()  # it has been called up, but has not run since
    await asyncio.wait([waiting])

    await database.ping()


async def test_connections_are_used_again_and_no_more_are_made_than_needed(
    make_database: MakeDatabase, by_hand: ByHand
) -> None:
    database = make_database(pool_size=5)
    used = [(await database.fetch(BACKEND, {}))[0][0] for _ in range(10)]

    assert await backends(by_hand, NAME) == [used[0]]
    assert set(used) == {used[0]}


# ── what takes too long ──────────────────────────────────────────────────────────────────────────


async def test_a_statement_that_takes_too_long_is_stopped_and_its_connection_is_good(
    make_database: MakeDatabase,
) -> None:
    database = make_database(pool_size=1, statement_seconds=0.05)
    [before] = await database.fetch(BACKEND, {})

    with pytest.raises(TimedOut):
        await database.fetch(SLEEP, AGES)

    assert await database.fetch(BACKEND, {}) == [before]


async def test_waiting_too_long_for_a_lock_is_timed_out(
    make_database: MakeDatabase, begin: Begin[UnitOfWork]
) -> None:
    workspace = a_workspace()
    await store(begin, workspace)
    run = Runner(
        PostgresTransactions(
            make_database(lock_seconds=0.05), present, UnitOfWork, repositories_of(UnitOfWork)
        )
    )
    async with begin() as uow:
        await rename(uow, workspace, "Held")
        with pytest.raises(TimedOut):
            await run(rename, workspace, "Waiting")

    await run(rename, workspace, "Free")  # nothing was left behind


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("application_name", NAME),
        ("TimeZone", "UTC"),
        ("jit", "off"),
        ("statement_timeout", "1500ms"),
        ("lock_timeout", "250ms"),
        ("idle_in_transaction_session_timeout", "1500ms"),
        ("default_transaction_isolation", "read committed"),
    ],
)
async def test_every_connection_has_its_limits_set(
    make_database: MakeDatabase, setting: str, value: str
) -> None:
    database = make_database(statement_seconds=1.5, lock_seconds=0.25)
    show = Statement(select(func.current_setting(bindparam("setting"))))

    [row] = await database.fetch(show, {"setting": setting})
    assert row[0] == value


# ── transactions in each other's way ─────────────────────────────────────────────────────────────


@pytest.fixture
async def quarrelsome(
    new_database: Callable[..., Awaitable[str]], template_database: str, make_database: MakeDatabase
) -> Begin[UnitOfWork]:
    """On a database that notices a deadlock at once."""
    url = await new_database(template_database)
    connection = await asyncpg.connect(url)
    name = urlsplit(url).path.removeprefix("/")
    await connection.execute(f"ALTER DATABASE \"{name}\" SET deadlock_timeout = '10ms'")
    await connection.close()
    return PostgresTransactions(make_database(url), present, UnitOfWork, repositories_of(UnitOfWork))


async def test_a_deadlock_is_contention(quarrelsome: Begin[UnitOfWork]) -> None:
    one, two = a_workspace(), a_workspace()
    await store(quarrelsome, one, two)
    meeting = asyncio.Barrier(2)

    async def cross(first: Workspace, second: Workspace) -> None:
        async with quarrelsome() as uow:
            await rename(uow, first, "First")
            await meeting.wait()
            await rename(uow, second, "Second")

    outcomes = await asyncio.gather(cross(one, two), cross(two, one), return_exceptions=True)

    assert {type(outcome) for outcome in outcomes} == {type(None), Contention}


async def test_both_sides_of_a_deadlock_succeed_because_one_is_run_again(
    quarrelsome: Begin[UnitOfWork],
) -> None:
    one, two = a_workspace(), a_workspace()
    await store(quarrelsome, one, two)
    run = Runner(quarrelsome)
    meeting = asyncio.Barrier(2)
    one_is_through = asyncio.Event()
    calls: list[str] = []

    async def cross(uow: UnitOfWork, first: Workspace, second: Workspace) -> None:
        calls.append(first.name)
        if len(calls) > 2:
            await one_is_through.wait()  # or what is read now would be stale
        await rename(uow, first, f"First {len(calls)}")
        if len(calls) <= 2:
            await meeting.wait()
        await rename(uow, second, f"Second {len(calls)}")

    async def go_through(first: Workspace, second: Workspace) -> None:
        await run(cross, first, second)
        one_is_through.set()

    await asyncio.gather(go_through(one, two), go_through(two, one))

    assert len(calls) == 3
    async with quarrelsome() as uow:
        assert (await uow.workspaces.get(one.id)).version == 3
        assert (await uow.workspaces.get(two.id)).version == 3


async def test_contention_without_an_end_is_reported(quarrelsome: Begin[UnitOfWork]) -> None:
    calls: list[int] = []

    async def unlucky(uow: UnitOfWork) -> None:
        calls.append(1)
        raise Contention

    with pytest.raises(Contention):
        await Runner(quarrelsome)(unlucky)
    assert len(calls) == TRIES


async def test_a_migration_under_a_running_service_is_contention_for_who_is_in_a_transaction(
    new_database: Callable[..., Awaitable[str]], template_database: str, make_database: MakeDatabase
) -> None:
    """The driver has prepared statements whose answers have other types now, and prepares them anew."""
    url = await new_database(template_database)
    run = Runner(
        PostgresTransactions(
            make_database(url, pool_size=1), present, UnitOfWork, repositories_of(UnitOfWork)
        )
    )
    workspace = a_workspace()
    calls: list[int] = []

    async def read(uow: UnitOfWork) -> Workspace:
        calls.append(1)
        await uow.memberships.lock_owners(workspace.id)
        return await uow.workspaces.get(workspace.id)

    await run(_add, workspace)
    assert await run(read) == workspace
    by_hand = await asyncpg.connect(url)
    await by_hand.execute("ALTER TABLE workspaces ALTER name TYPE varchar(80)")
    await by_hand.close()

    assert await run(read) == workspace
    assert len(calls) == 3


# ── clients that hang up ─────────────────────────────────────────────────────────────────────────


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_statement_whose_client_hangs_up_is_stopped_on_the_server(
    make_database: MakeDatabase, by_hand: ByHand
) -> None:
    database = make_database(pool_size=1)
    task = asyncio.create_task(database.fetch(SLEEP, AGES))
    await await_backends(by_hand, NAME, 1, state="active")

    await cancelled(task)

    await await_backends(by_hand, NAME, 0, state="active")
    await database.ping()


async def test_a_connection_whose_statement_was_stopped_is_not_used_again(
    make_database: MakeDatabase, by_hand: ByHand
) -> None:
    """The server may hear of it late, and stop whatever runs there by then."""
    database = make_database(pool_size=1)
    task = asyncio.create_task(database.fetch(SLEEP, AGES))
    await await_backends(by_hand, NAME, 1, state="active")
    before = await backends(by_hand, NAME)

    await cancelled(task)

    [after] = await database.fetch(BACKEND, {})
    assert after[0] not in before


async def test_a_place_in_the_pool_is_free_when_its_statement_was_stopped_and_not_before(
    make_database: MakeDatabase, proxy: Proxy, by_hand: ByHand
) -> None:
    """Or a crowd that hangs up would take more connections than the pool has."""
    proxy.delay_of_cancels = 0.1
    database = make_database(proxy.url, pool_size=1)
    task = asyncio.create_task(database.fetch(SLEEP, AGES))
    await await_backends(by_hand, NAME, 1, state="active")

    await cancelled(task)
    await database.ping()

    assert await backends(by_hand, NAME, state="active") == []


async def test_a_crowd_that_hangs_up_leaves_no_statement_and_a_whole_pool(
    make_database: MakeDatabase, by_hand: ByHand
) -> None:
    database = make_database(pool_size=3)
    crowd = [asyncio.create_task(database.fetch(SLEEP, AGES)) for _ in range(30)]
    await await_backends(by_hand, NAME, 3, state="active")

    for task in crowd:
        task.cancel()
    outcomes = await asyncio.gather(*crowd, return_exceptions=True)

    assert {type(outcome) for outcome in outcomes} == {asyncio.CancelledError}
    await asyncio.gather(*(database.fetch(SLEEP, {"seconds": 0.01}) for _ in range(6)))
    await await_backends(by_hand, NAME, 0, state="active")
    assert len(await backends(by_hand, NAME)) <= 3


async def test_a_transaction_whose_client_hangs_up_is_rolled_back(
    make_database: MakeDatabase, by_hand: ByHand, begin: Begin[UnitOfWork]
) -> None:
    workspace = a_workspace()
    await store(begin, workspace)
    database = make_database(pool_size=1)
    transactions = PostgresTransactions(database, present, UnitOfWork, repositories_of(UnitOfWork))

    inside = asyncio.Event()

    async def slow() -> None:
        async with transactions.open() as transaction:
            await rename(transactions.unit_of_work(transaction), workspace, "Half done")
            inside.set()
            await transaction.fetchrow(SLEEP, AGES)

    task = asyncio.create_task(slow())
    await inside.wait()
    await await_backends(by_hand, NAME, 1, state="active")
    await cancelled(task)

    async with transactions() as uow:
        assert await uow.workspaces.get(workspace.id) == workspace
        await rename(uow, workspace, "Not locked")


async def test_a_client_that_hangs_up_between_two_statements_leaves_a_whole_pool(
    make_database: MakeDatabase, begin: Begin[UnitOfWork]
) -> None:
    workspace = a_workspace()
    await store(begin, workspace)
    database = make_database(pool_size=1)
    inside = asyncio.Event()

    async def slow() -> None:
        async with PostgresTransactions(database, present, UnitOfWork, repositories_of(UnitOfWork))() as uow:
            await rename(uow, workspace, "Half done")
            inside.set()
            await asyncio.sleep(PATIENCE)

    task = asyncio.create_task(slow())
    await inside.wait()
    await cancelled(task)

    async with PostgresTransactions(database, present, UnitOfWork, repositories_of(UnitOfWork))() as uow:
        assert await uow.workspaces.get(workspace.id) == workspace


async def test_a_client_that_hangs_up_does_not_wait_for_a_server_that_is_out_of_reach(
    make_database: MakeDatabase, proxy: Proxy
) -> None:
    database = make_database(proxy.url, pool_size=1)
    inside = asyncio.Event()

    async def slow() -> None:
        async with PostgresTransactions(database, present, UnitOfWork, repositories_of(UnitOfWork))() as uow:
            await uow.memberships.lock_owners(a_workspace().id)
            proxy.frozen = True
            inside.set()
            await uow.users.holder(an_email())

    task = asyncio.create_task(slow())
    await inside.wait()
    await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=PATIENCE)

    assert task in done
    assert task.cancelled()
    await proxy.stop()
    proxy.frozen = False
    await proxy.start()
    await database.ping()


async def test_a_client_that_hangs_up_while_its_connection_is_made_keeps_no_place(
    make_database: MakeDatabase, proxy: Proxy
) -> None:
    database = make_database(proxy.url, pool_size=1, connect_seconds=PATIENCE)
    proxy.silent = True
    task = asyncio.create_task(database.ping())
    await asyncio.sleep(0.02)
    await cancelled(task)
    proxy.silent = False

    await database.ping()


# ── what cannot be stored, and what nobody expected ──────────────────────────────────────────────


@pytest.mark.parametrize("name", ["\0", "a\0b", "\ud800", "a\udfffb"])
async def test_a_text_that_cannot_be_stored_is_invalid(begin: Begin[UnitOfWork], name: str) -> None:
    user = a_user()
    await store(begin, user)
    with pytest.raises(Invalid):
        await store(begin, a_user(display_name=name))
    with pytest.raises(Invalid):
        async with begin() as uow:
            await uow.users.save(
                User(id=user.id, email=user.email, display_name=name, created_at=user.created_at)
            )
    async with begin() as uow:
        assert await uow.users.get(user.id) == user


async def test_a_broken_constraint_that_means_nothing_to_the_domain_is_a_defect_and_says_which(
    begin: Begin[UnitOfWork], by_hand: ByHand
) -> None:
    with pytest.raises(asyncpg.CheckViolationError) as caught:
        await store(begin, a_workspace(), a_workspace(slug="NOT A SLUG"))
    assert caught.value.constraint_name == "ck_workspaces_slug_form"
    assert await by_hand.fetchval("SELECT count(*) FROM workspaces") == 0


async def test_a_value_that_is_missing_is_named(database: Database) -> None:
    with pytest.raises(KeyError, match="seconds"):
        await database.fetch(SLEEP, {})


def test_a_statement_that_would_have_to_be_spelled_out_each_time_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="any_"):
        Statement(select(workspaces.c.id).where(workspaces.c.slug.in_(["a", "b"])))


async def test_a_statement_binds_fixed_values_and_given_ones(
    begin: Begin[UnitOfWork], database: Database
) -> None:
    workspace = a_workspace(name="Looms")
    await store(begin, workspace, a_workspace(name="Looms"))
    statement = Statement(
        select(workspaces.c.id).where(workspaces.c.name == "Looms", workspaces.c.slug == bindparam("slug"))
    )

    [row] = await database.fetch(statement, {"slug": workspace.slug})
    assert row[0] == workspace.id
    assert await database.fetchrow(statement, {"slug": "another"}) is None


async def test_a_transaction_that_nobody_ended_is_not_handed_on(
    make_database: MakeDatabase, by_hand: ByHand
) -> None:
    database = make_database(pool_size=1)
    async with database.connection() as connection:
        await connection.execute("BEGIN")
        await connection.execute("CREATE TABLE scratch ()")

    async with database.connection() as connection:
        await connection.execute("VACUUM users")  # refused inside of a transaction
    assert await by_hand.fetchval("SELECT to_regclass('scratch')") is None


# ── the end ──────────────────────────────────────────────────────────────────────────────────────


async def test_closing_ends_every_connection_that_nobody_uses(
    make_database: MakeDatabase, by_hand: ByHand
) -> None:
    database = make_database(pool_size=3)
    await asyncio.gather(*(database.ping() for _ in range(3)))
    await database.listen("outbox", lambda: None)

    await database.close()

    await await_backends(by_hand, NAME, 0)


async def test_a_connection_in_use_ends_when_it_is_given_back_after_closing(
    make_database: MakeDatabase, by_hand: ByHand
) -> None:
    database = make_database(pool_size=3)
    async with database.connection() as connection:
        await database.close()
        await connection.fetch(SLEEP, {"seconds": 0})

    await await_backends(by_hand, NAME, 0)


async def test_closing_waits_for_connections_whose_clients_hung_up(
    make_database: MakeDatabase, by_hand: ByHand
) -> None:
    database = make_database(pool_size=3)
    tasks = [asyncio.create_task(database.fetch(SLEEP, AGES)) for _ in range(3)]
    await await_backends(by_hand, NAME, 3, state="active")
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)

    await database.close()

    await await_backends(by_hand, NAME, 0)


async def test_closing_twice_or_after_the_server_has_gone_is_no_error(
    make_database: MakeDatabase, by_hand: ByHand
) -> None:
    database = make_database()
    await database.ping()
    await terminate(by_hand, NAME)
    await database.close()
    await database.close()


async def test_the_plan_of_a_slow_statement_is_logged_and_a_change_is_not_repeated(
    make_database: MakeDatabase,
) -> None:
    database = make_database(explain_ms=0.0001)
    begin = PostgresTransactions(database, present, UnitOfWork, repositories_of(UnitOfWork))
    with capture_logs() as logs:
        await database.fetch(SLEEP, {"seconds": 0.01})
        async with begin() as uow:
            await uow.users.add(a_user())
            await uow.workspaces.add(workspace := a_workspace())

    told = [line for line in logs if line["event"] == "statement explained"]
    assert {line["event"] for line in logs} == {"statement explained"}
    slept, *changed = [line["plan"] for line in told]
    assert "actual time" in slept
    assert len(changed) == 2
    assert all("Insert on" in plan and "actual time" not in plan for plan in changed)
    async with begin() as uow:
        assert await uow.workspaces.get(workspace.id) == workspace


async def test_a_plan_that_cannot_be_had_costs_a_transaction_nothing(
    make_database: MakeDatabase,
) -> None:
    database = make_database(explain_ms=0.0001)
    listed = Statement(text("SHOW timezone"))  # of which there is no plan
    with capture_logs() as logs:
        async with database.connection() as connection:
            await connection.execute("BEGIN")
            assert await connection.fetch(listed, {})
            assert await connection.fetch(BACKEND, {})
            await connection.execute("COMMIT")

    assert [line["event"] for line in logs] == ["a plan could not be had", "statement explained"]
