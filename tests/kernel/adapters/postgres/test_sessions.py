"""A session of SQLAlchemy's ORM in our transaction: what is sent, seen, refused, undone and left behind."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from sqlalchemy import bindparam, cast, func, literal_column, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import InvalidRequestError, MissingGreenlet
from sqlalchemy.ext.asyncio import AsyncSession

from adapters.postgres.kernel.connection import sessions
from adapters.postgres.kernel.connection.database import Database, Statement
from adapters.postgres.kernel.connection.transaction import Transaction
from adapters.postgres.kernel.connection.transactions import PostgresTransactions
from adapters.postgres.kernel.discovery import repositories_of
from adapters.postgres.kernel.workspaces import PostgresWorkspaces, workspaces
from application.kernel.ports.world import Contention, TimedOut, Unavailable
from application.kernel.unit_of_work import Begin
from application.unit_of_work import UnitOfWork
from domain.kernel.aggregate import Aggregate
from domain.kernel.errors import Invalid, Stale
from domain.kernel.users import UserEdited
from domain.kernel.workspaces import SlugTaken, Workspace
from kernel.servers.backends import PATIENCE, ByHand, await_backends, backends, terminate
from kernel.world.builders import NOW, a_user, a_workspace, store
from kernel.world.orm_workspaces import OrmWorkspaces, WorkspaceRow

type MakeTransactions = Callable[..., PostgresTransactions[UnitOfWork]]

NAME = "under-test"
BACKEND = Statement(select(func.pg_backend_pid()))
JSON = Statement(select(cast(literal_column("""'{"a": 1}'"""), JSONB).label("json")))
RENAME = Statement(
    update(workspaces)
    .where(workspaces.c.id == bindparam("id"))
    .values(name=bindparam("name"), version=workspaces.c.version + 1)
    .returning(workspaces.c.version)
)
NAME_OF = Statement(select(workspaces.c.name).where(workspaces.c.id == bindparam("id")))
SLEEP = text("SELECT pg_sleep(60)")


@pytest.fixture
async def make(empty_database_url: str) -> AsyncIterator[MakeTransactions]:
    """Makes transactions on a pool with a test's own limits."""
    made: list[Database] = []

    def make(url: str = empty_database_url, **limits: Any) -> PostgresTransactions[UnitOfWork]:
        options = {"application_name": NAME, "wait_seconds": PATIENCE, "pool_size": 1, **limits}
        made.append(Database(url, **options))
        repositories = {**repositories_of(UnitOfWork), "workspaces": OrmWorkspaces}
        return PostgresTransactions(made[-1], lambda: datetime.now(UTC), UnitOfWork, repositories)

    yield make
    for database in made:
        await database.close()


@pytest.fixture
def transactions(make: MakeTransactions) -> PostgresTransactions[UnitOfWork]:
    return make()


@pytest.fixture
async def workspace(begin: Begin[UnitOfWork]) -> Workspace:
    workspace = a_workspace(name="Looms")
    await store(begin, workspace)
    return workspace


def a_row(**fields: Any) -> WorkspaceRow:
    workspace = a_workspace(**fields)
    return WorkspaceRow(
        id=workspace.id, name=workspace.name, slug=workspace.slug, created_at=NOW, archived_at=None
    )


async def stored_names(by_hand: ByHand) -> set[str]:
    return {row["name"] for row in await by_hand.fetch("SELECT name FROM workspaces")}


async def row_of(session: AsyncSession, workspace: Workspace) -> WorkspaceRow:
    return await session.get_one(WorkspaceRow, workspace.id)


async def rename(transaction: Transaction, workspace: Workspace, name: str) -> None:
    await transaction.change(RENAME, {"id": workspace.id, "name": name})


# ── one transaction, one connection ──────────────────────────────────────────────────────────────


async def test_asking_for_the_session_begins_the_transaction_with_the_change_that_was_held_back(
    empty_database_url: str, workspace: Workspace
) -> None:
    """The driver's log has our statements; the session's, which are prepared, are not in it."""
    ours: list[str] = []
    warnings: list[str] = []  # PostgreSQL warns of a BEGIN inside of a transaction, and of a COMMIT outside

    def listen(raw: Any) -> None:
        raw.add_query_logger(lambda query: ours.append(query.query.split()[0]))
        raw.add_log_listener(lambda _, message: warnings.append(str(message)))

    database = Database(empty_database_url, on_connect=listen)
    transactions = PostgresTransactions(database, lambda: NOW, UnitOfWork, repositories_of(UnitOfWork))
    async with transactions.open() as transaction:
        await rename(transaction, workspace, "Wheels")
        session = await transaction.session()
        assert await transaction.session() is session
        await asyncio.sleep(0)
        assert ours == ["BEGIN", "UPDATE"]
        assert (await row_of(session, workspace)).name == "Wheels"
        session.add(a_row())
    await asyncio.sleep(0)
    await database.close()
    assert ours == ["BEGIN", "UPDATE", "COMMIT"]
    assert warnings == []


async def test_what_the_session_flushed_is_committed_and_rolled_back_with_our_transaction(
    transactions: PostgresTransactions[UnitOfWork], by_hand: ByHand
) -> None:
    async with transactions.open() as transaction:
        session = await transaction.session()
        session.add(a_row(name="Kept"))
        await session.flush()
        assert await stored_names(by_hand) == set()
        session.add(a_row(name="Pending"))
    assert await stored_names(by_hand) == {"Kept", "Pending"}

    async def fail() -> None:
        async with transactions.open() as transaction:
            session = await transaction.session()
            session.add(a_row(name="Undone"))
            await session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await stored_names(by_hand) == {"Kept", "Pending"}


async def test_the_session_and_our_statements_see_each_other_s_changes(
    transactions: PostgresTransactions[UnitOfWork], workspace: Workspace
) -> None:
    async def name_of(transaction: Transaction) -> str:
        row = await transaction.fetchrow(NAME_OF, {"id": workspace.id})
        assert row is not None
        return str(row["name"])

    async with transactions.open() as transaction:
        session = await transaction.session()
        row = await row_of(session, workspace)
        row.name = "By the session"
        assert await name_of(transaction) == "By the session"
        row.name = "Locked"
        [locked] = await transaction.lock(NAME_OF, {"id": workspace.id})
        assert locked["name"] == "Locked"
        row.slug = "by-the-session"
        await rename(transaction, workspace, "By our statement")
        row = await row_of(session, workspace)
        assert (row.name, row.slug) == ("By our statement", "by-the-session")
        row.name = "By the session, at last"  # and its version has moved on: it is not stale
    async with transactions.open() as transaction:
        assert await name_of(transaction) == "By the session, at last"


async def test_a_row_that_one_of_our_changes_may_have_changed_cannot_be_taken_for_what_is_stored(
    transactions: PostgresTransactions[UnitOfWork], workspace: Workspace
) -> None:
    async with transactions.open() as transaction:
        row = await row_of(await transaction.session(), workspace)
        await rename(transaction, workspace, "By our statement")
        with pytest.raises(MissingGreenlet):
            _ = row.name


async def test_the_session_is_on_the_connection_of_the_transaction_and_none_is_added(
    transactions: PostgresTransactions[UnitOfWork], by_hand: ByHand
) -> None:
    seen = set()
    for _ in range(3):
        async with transactions.open() as transaction:
            session = await transaction.session()
            seen.add(await session.scalar(select(func.pg_backend_pid())))
            [row] = await transaction.lock(BACKEND, {})
            seen.add(row[0])
    assert seen == {*await backends(by_hand, NAME)}
    assert len(seen) == 1


async def test_each_of_many_transactions_has_its_own_session(make: MakeTransactions, by_hand: ByHand) -> None:
    transactions, meeting = make(pool_size=4), asyncio.Barrier(4)

    async def add(name: str) -> int:
        async with transactions.open() as transaction:
            session = await transaction.session()
            await meeting.wait()
            session.add(a_row(name=name))
            await session.flush()
            await meeting.wait()
            if name == "Undone":
                raise ZeroDivisionError
            found: int | None = await session.scalar(select(func.pg_backend_pid()))
            return found or 0

    names = ("One", "Two", "Three", "Undone")
    *pids, undone = await asyncio.gather(*(add(name) for name in names), return_exceptions=True)
    assert isinstance(undone, ZeroDivisionError)
    assert len({*pids}) == 3
    assert await stored_names(by_hand) == {"One", "Two", "Three"}


async def test_rows_are_streamed(transactions: PostgresTransactions[UnitOfWork]) -> None:
    async with transactions.open() as transaction:
        session = await transaction.session()
        stream = await session.stream_scalars(text("SELECT * FROM generate_series(1, 120)"))
        assert [number async for number in stream] == list(range(1, 121))


# ── what it leaves behind ────────────────────────────────────────────────────────────────────────


async def test_a_session_reads_json_and_leaves_our_statements_the_text(
    transactions: PostgresTransactions[UnitOfWork],
) -> None:
    for _ in range(2):
        async with transactions.open() as transaction:
            session = await transaction.session()
            assert await session.scalar(select(bindparam("value", {"a": [1]}, JSONB))) == {"a": [1]}
            row = await transaction.fetchrow(JSON, {})
            assert row is not None
            assert row["json"] == '{"a": 1}'


async def test_a_statement_is_prepared_once_on_a_connection(
    transactions: PostgresTransactions[UnitOfWork], workspace: Workspace
) -> None:
    prepared = text("SELECT count(*) FROM pg_prepared_statements")
    counted = []
    for _ in range(3):
        async with transactions.open() as transaction:
            session = await transaction.session()
            await row_of(session, workspace)
            counted.append(await session.scalar(prepared))
    assert len({*counted[1:]}) == 1


async def test_nothing_is_kept_of_a_connection_that_has_ended(empty_database_url: str) -> None:
    before = len(sessions._adapted)
    database = Database(empty_database_url)
    transactions = PostgresTransactions(database, lambda: NOW, UnitOfWork, repositories_of(UnitOfWork))
    for _ in range(2):
        async with transactions.open() as transaction:
            await (await transaction.session()).scalar(select(1))
    assert len(sessions._adapted) == before + 1
    await database.close()
    await asyncio.sleep(0)
    assert len(sessions._adapted) == before


# ── the unit of work begins and ends it ──────────────────────────────────────────────────────────


@pytest.mark.parametrize("ending", [None, ZeroDivisionError, asyncio.CancelledError])
async def test_a_session_cannot_be_used_after_its_transaction(
    transactions: PostgresTransactions[UnitOfWork], ending: type[BaseException] | None
) -> None:
    with suppress(ZeroDivisionError, asyncio.CancelledError):
        async with transactions.open() as transaction:
            session = await transaction.session()
            await session.scalar(select(1))
            if ending is not None:
                raise ending
    with pytest.raises(InvalidRequestError, match="permanently closed"):
        await session.scalar(select(1))


@pytest.mark.parametrize("method", ["commit", "rollback", "close", "begin"])
async def test_a_session_does_not_end_or_begin_a_transaction_by_itself(
    transactions: PostgresTransactions[UnitOfWork], by_hand: ByHand, method: str
) -> None:
    async with transactions.open() as transaction:
        session = await transaction.session()
        session.add(a_row(name="Kept"))
        with pytest.raises(RuntimeError, match="The unit of work begins and ends the session"):
            await getattr(session, method)()
    assert await stored_names(by_hand) == {"Kept"}


async def test_whoever_closes_the_connection_of_a_session_does_not_close_the_transaction_s(
    transactions: PostgresTransactions[UnitOfWork], by_hand: ByHand
) -> None:
    async with transactions.open() as transaction:
        session = await transaction.session()
        session.add(a_row(name="Kept"))
        await session.flush()
        await (await session.connection()).close()
        await transaction.lock(BACKEND, {})
    assert await stored_names(by_hand) == {"Kept"}


async def test_a_session_does_not_choose_the_isolation_level(
    transactions: PostgresTransactions[UnitOfWork],
) -> None:
    async with transactions.open() as transaction:
        session = await transaction.session()
        with pytest.raises(RuntimeError, match="isolation level"):
            await session.connection(execution_options={"isolation_level": "SERIALIZABLE"})


async def test_what_fails_in_a_savepoint_leaves_the_rest(
    transactions: PostgresTransactions[UnitOfWork], by_hand: ByHand, workspace: Workspace
) -> None:
    async with transactions.open() as transaction:
        session = await transaction.session(PostgresWorkspaces.conflicts)
        session.add(a_row(name="Before"))
        with suppress(SlugTaken):
            async with session.begin_nested():
                session.add(a_row(slug=workspace.slug))
        session.add(a_row(name="After"))
    assert await stored_names(by_hand) == {"Looms", "Before", "After"}


async def test_a_savepoint_that_was_left_open_cannot_pass_for_success(
    transactions: PostgresTransactions[UnitOfWork], by_hand: ByHand
) -> None:
    async def leave_open() -> None:
        async with transactions.open() as transaction:
            session = await transaction.session()
            await session.begin_nested()
            session.add(a_row())

    with pytest.raises(RuntimeError, match="Nothing was committed"):
        await leave_open()
    assert await stored_names(by_hand) == set()
    async with transactions.open() as transaction:
        assert await (await transaction.session()).scalar(select(1)) == 1


# ── errors ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_broken_constraint_is_the_conflict_of_its_name(
    transactions: PostgresTransactions[UnitOfWork], by_hand: ByHand, workspace: Workspace
) -> None:
    async def add_another(*, flush: bool) -> None:
        async with transactions.open() as transaction:
            session = await transaction.session(PostgresWorkspaces.conflicts)
            await transaction.session()  # others may ask for it, and expect no conflicts
            session.add(a_row(name="Undone"))
            session.add(a_row(slug=workspace.slug))
            if flush:
                await session.flush()

    for flush in (True, False):
        with pytest.raises(SlugTaken):
            await add_another(flush=flush)
    assert await stored_names(by_hand) == {"Looms"}


async def test_a_conflict_that_is_caught_cannot_pass_for_success(
    transactions: PostgresTransactions[UnitOfWork], by_hand: ByHand, workspace: Workspace
) -> None:
    async def swallow() -> None:
        async with transactions.open() as transaction:
            session = await transaction.session(PostgresWorkspaces.conflicts)
            session.add(a_row(slug=workspace.slug))
            with suppress(SlugTaken):
                await session.flush()

    with pytest.raises(RuntimeError, match="Nothing was committed"):
        await swallow()


async def test_a_version_that_has_moved_on_is_stale_and_half_a_flush_is_not_committed(
    transactions: PostgresTransactions[UnitOfWork], by_hand: ByHand, workspace: Workspace
) -> None:
    async def change_late(*, swallow: bool) -> None:
        async with transactions.open() as transaction:
            session = await transaction.session()
            row = await row_of(session, workspace)
            await by_hand.execute("UPDATE workspaces SET version = version + 1")
            row.name = "Late"
            session.add(a_row(name="In the same flush"))
            with suppress(Stale if swallow else ZeroDivisionError):
                await session.flush()
            await transaction.lock(BACKEND, {})  # PostgreSQL knows of no error

    with pytest.raises(Stale):
        await change_late(swallow=False)
    with pytest.raises(RuntimeError, match="Nothing was committed"):
        await change_late(swallow=True)
    assert await stored_names(by_hand) == {"Looms"}


async def test_a_statement_that_takes_too_long_is_timed_out_and_its_connection_is_good(
    make: MakeTransactions,
) -> None:
    transactions = make(statement_seconds=0.05)
    with pytest.raises(TimedOut):
        async with transactions.open() as transaction:
            await (await transaction.session()).execute(SLEEP)
    async with transactions.open() as transaction:
        assert await (await transaction.session()).scalar(select(1)) == 1


async def test_waiting_too_long_for_a_lock_is_timed_out(make: MakeTransactions, workspace: Workspace) -> None:
    holding, waiting = make(), make(lock_seconds=0.05)
    async with holding.open() as transaction:
        (await row_of(await transaction.session(), workspace)).name = "Held"
        await transaction.begin()
        with pytest.raises(TimedOut):
            async with waiting.open() as another:
                (await row_of(await another.session(), workspace)).name = "Waiting"


@pytest.mark.parametrize("name", ["nul \0", "half of a pair \ud800"])
async def test_a_text_that_cannot_be_stored_is_invalid(
    transactions: PostgresTransactions[UnitOfWork], name: str
) -> None:
    async def add() -> None:
        async with transactions.open() as transaction:
            row = a_row()
            row.name = name
            (await transaction.session()).add(row)

    with pytest.raises(Invalid):
        await add()


async def test_a_connection_that_is_lost_is_unavailable(
    transactions: PostgresTransactions[UnitOfWork], by_hand: ByHand
) -> None:
    async def lose() -> None:
        async with transactions.open() as transaction:
            session = await transaction.session()
            session.add(a_row())
            await session.flush()
            await terminate(by_hand, NAME)
            session.add(a_row())
            await session.flush()

    with pytest.raises(Unavailable):
        await lose()
    async with transactions.open() as transaction:
        assert await (await transaction.session()).scalar(select(1)) == 1
    assert await stored_names(by_hand) == set()


async def test_a_deadlock_is_contention(
    new_database: Callable[..., Awaitable[str]], template_database: str, make: MakeTransactions
) -> None:
    url = await new_database(template_database)
    connection = await asyncpg.connect(url)
    name = urlsplit(url).path.removeprefix("/")
    await connection.execute(f"ALTER DATABASE \"{name}\" SET deadlock_timeout = '10ms'")
    await connection.close()
    transactions, meeting = make(url, pool_size=2), asyncio.Barrier(2)
    one, two = a_workspace(), a_workspace()
    await store(transactions, one, two)

    async def cross(first: Workspace, second: Workspace) -> None:
        async with transactions.open() as transaction:
            session = await transaction.session()
            (await row_of(session, first)).name = "First"
            await session.flush()
            await meeting.wait()
            (await row_of(session, second)).name = "Second"

    outcomes = await asyncio.gather(cross(one, two), cross(two, one), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {type(None), Contention}


async def test_a_migration_under_a_running_service_is_contention_once(
    new_database: Callable[..., Awaitable[str]], template_database: str, make: MakeTransactions
) -> None:
    url = await new_database(template_database)
    transactions, workspace = make(url), a_workspace()
    await store(transactions, workspace)

    async def read() -> Workspace:
        async with transactions() as uow:
            return await uow.workspaces.get(workspace.id)

    assert await read() == workspace
    connection = await asyncpg.connect(url)
    await connection.execute("ALTER TABLE workspaces ALTER COLUMN name TYPE varchar(100)")
    await connection.close()

    with pytest.raises(Contention):
        await read()
    assert await read() == workspace


# ── cancellation ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("nested", [False, True])
async def test_a_client_that_hangs_up_leaves_nothing_and_a_whole_pool(
    transactions: PostgresTransactions[UnitOfWork], by_hand: ByHand, nested: bool
) -> None:
    async def dawdle() -> None:
        async with transactions.open() as transaction:
            session = await transaction.session()
            session.add(a_row())
            await session.flush()
            if nested:
                async with session.begin_nested():
                    await session.execute(SLEEP)
            await session.execute(SLEEP)

    task = asyncio.create_task(dawdle())
    await await_backends(by_hand, NAME, 1, state="active")
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=PATIENCE)
    assert task in done
    assert task.cancelled()

    async with transactions.open() as transaction:
        assert await (await transaction.session()).scalar(select(1)) == 1
    assert await stored_names(by_hand) == set()
    assert len(await backends(by_hand, NAME)) == 1


async def test_a_limit_inside_a_use_case_that_stops_a_statement_cannot_pass_for_success(
    transactions: PostgresTransactions[UnitOfWork], by_hand: ByHand
) -> None:
    async def give_up() -> None:
        async with transactions.open() as transaction:
            session = await transaction.session()
            session.add(a_row())
            await session.flush()
            with suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await session.execute(SLEEP)

    with pytest.raises(RuntimeError, match="Nothing was committed"):
        await give_up()
    assert await stored_names(by_hand) == set()
    async with transactions.open() as transaction:
        assert await (await transaction.session()).scalar(select(1)) == 1


# ── repositories ─────────────────────────────────────────────────────────────────────────────────


async def test_what_an_orm_repository_reads_has_been_seen(
    transactions: PostgresTransactions[UnitOfWork], workspace: Workspace
) -> None:
    seen: list[Aggregate] = []
    async with transactions(seen.append) as uow:
        assert await uow.workspaces.get(workspace.id) == workspace
    assert seen == [workspace]


async def test_an_event_is_stored_after_its_row_and_in_its_transaction(
    transactions: PostgresTransactions[UnitOfWork], by_hand: ByHand, workspace: Workspace
) -> None:
    changed = replace(workspace, name="Wheels").recording(UserEdited(at=NOW, user_id=a_user().id))

    async with transactions() as uow:
        await uow.workspaces.save(changed)
        assert await by_hand.fetchval("SELECT count(*) FROM outbox") == 0
    [event] = await by_hand.fetch("SELECT aggregate_id, type FROM outbox")
    assert tuple(event) == (workspace.id, "UserEdited")

    with pytest.raises(Stale):
        async with transactions() as uow:
            await uow.workspaces.save(changed)
    assert await by_hand.fetchval("SELECT count(*) FROM outbox") == 1
