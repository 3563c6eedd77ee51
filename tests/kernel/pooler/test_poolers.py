"""The service behind PgBouncer in transaction mode: what holds there, and what is said where it does not."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping
from urllib.parse import urlsplit

import asyncpg
import pytest

from adapters.postgres.kernel.connection.database import Database
from adapters.postgres.kernel.connection.pooling import Pooler, shares_sessions
from adapters.postgres.kernel.migrating.migrations import MigrationError, Migrations
from application.kernel.ports.world import Misconfigured, Unavailable
from entrypoints.kernel.service import ROOT
from kernel.servers.backends import ByHand, eventually
from kernel.servers.pgbouncer import PgBouncer, a_pgbouncer
from kernel.servers.postgres import NewDatabase
from kernel.servers.serving import environment_of, serving
from kernel.servers.workers import a_worker, logged

LOCKS = """
    SELECT count(*) FROM pg_locks JOIN pg_database ON oid = database
    WHERE locktype = 'advisory' AND datname = $1
"""
LISTENERS = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query ~* '^listen'
"""
NO_PREPARED = "The pooler does not keep prepared statements: set max_prepared_statements=200"


@pytest.fixture
async def bare_url(new_database: NewDatabase, migrated_database: str) -> str:
    """The address of a database of its own, at head, whose sessions have no settings."""
    url = await new_database(migrated_database)
    connection = await asyncpg.connect(url)
    await connection.execute(f'ALTER DATABASE "{name_of(url)}" RESET ALL')
    await connection.close()
    return url


@pytest.fixture
async def pgbouncer(bare_url: str) -> AsyncIterator[PgBouncer]:
    with a_pgbouncer(bare_url) as pgbouncer:
        yield pgbouncer


def name_of(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


def pooler_of(url: str, direct_url: str, *, lock_seconds: float = 5) -> Pooler:
    return Pooler(url, direct_url, statement_seconds=10, lock_seconds=lock_seconds)


async def reconnect(pgbouncer: PgBouncer) -> None:
    connection = await asyncpg.connect(pgbouncer.console, database="pgbouncer")
    await connection.execute("RECONNECT")
    await connection.close()


async def cli(*arguments: str, environment: Mapping[str, str]) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "entrypoints.cli", *arguments),
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment},
        stdout=PIPE,
        stderr=PIPE,
    )
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


# ── timeouts ─────────────────────────────────────────────────────────────────────────────────────


async def test_timeouts_that_do_not_hold_are_told_and_the_command_mends_them(
    pgbouncer: PgBouncer, bare_url: str
) -> None:
    environment = {
        "DATABASE_URL": pgbouncer.url,
        "DATABASE_DIRECT_URL": bare_url,
        "DATABASE_POOLER": "transaction",
    }
    pooler = pooler_of(pgbouncer.url, bare_url)
    with pytest.raises(Misconfigured, match=r"statement_timeout is 0 ms and not 10000: run `python -m"):
        await pooler.check()
    status, printed, errors = await cli("pooler", environment=environment)
    assert (status, errors) == (0, "")
    role = f"ALTER ROLE postgres IN DATABASE {name_of(bare_url)} SET"
    assert printed.splitlines() == [
        f"{role} timezone = 'UTC';",
        f"{role} jit = 'off';",
        f"{role} statement_timeout = '10000';",
        f"{role} lock_timeout = '5000';",
        f"{role} idle_in_transaction_session_timeout = '10000';",
    ]
    status, applied, errors = await cli("pooler", "--apply", environment=environment)
    assert (status, errors) == (0, "")
    assert applied.startswith(printed)
    await reconnect(pgbouncer)

    async def holds() -> bool:
        try:
            await pooler.check()
        except Misconfigured:
            return False
        return True

    await eventually(holds)
    # A longer one than the service's own is as good as none.
    with pytest.raises(Misconfigured, match=r"lock_timeout is 5000 ms and not 1000"):
        await pooler_of(pgbouncer.url, bare_url, lock_seconds=1).check()


async def test_nothing_that_a_pooler_refuses_is_sent_to_it(pgbouncer: PgBouncer) -> None:
    told = Database(pgbouncer.url)
    with pytest.raises(Unavailable) as refused:
        await told.ping()
    assert "unsupported startup parameter" in str(refused.value.__cause__)
    pooled = Database(pgbouncer.url, pooled=True)
    await pooled.ping()
    await pooled.close()


async def test_a_server_that_only_reads_is_found_by_a_write(pgbouncer: PgBouncer, bare_url: str) -> None:
    environment = {
        "DATABASE_URL": pgbouncer.url,
        "DATABASE_DIRECT_URL": bare_url,
        "DATABASE_POOLER": "transaction",
    }
    assert (await cli("pooler", "--apply", environment=environment))[0] == 0
    connection = await asyncpg.connect(bare_url)
    await connection.execute(f'ALTER DATABASE "{name_of(bare_url)}" SET default_transaction_read_only = on')
    await connection.close()
    await reconnect(pgbouncer)
    with pytest.raises((Unavailable, asyncpg.ReadOnlySQLTransactionError)):
        await pooler_of(pgbouncer.url, bare_url).check()


# ── prepared statements ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("pool_size", [1, 10])
async def test_without_prepared_statements_the_service_is_not_ready_and_says_why(
    pool_size: int, bare_url: str
) -> None:
    with a_pgbouncer(bare_url, max_prepared_statements=0, default_pool_size=pool_size) as pgbouncer:
        environment = environment_of(bare_url) | {
            "DATABASE_URL": pgbouncer.url,
            "DATABASE_DIRECT_URL": bare_url,
            "DATABASE_POOLER": "transaction",
        }
        async with serving(environment) as (client, process):
            ready = await client.get("/health/ready")
            assert (ready.status_code, ready.json()["type"]) == (503, "/problems/not-ready")
            assert NO_PREPARED in ready.json()["detail"]
            process.terminate()
            logs, _ = await process.communicate()
        assert f'"reason": "{NO_PREPARED}'.replace(" ", "") in logs.decode().replace(" ", "")


async def test_prepared_statements_that_hold_are_not_suspected(pgbouncer: PgBouncer, bare_url: str) -> None:
    for url in (pgbouncer.url, bare_url):  # the latter leads through no pooler at all
        for _ in range(5):
            with pytest.raises(Misconfigured, match="statement_timeout is 0"):  # asked for after them
                await pooler_of(url, bare_url).check()


async def test_where_all_holds_the_service_is_ready_and_says_so(pgbouncer: PgBouncer, bare_url: str) -> None:
    environment = environment_of(bare_url) | {
        "DATABASE_URL": pgbouncer.url,
        "DATABASE_DIRECT_URL": bare_url,
        "DATABASE_POOLER": "transaction",
    }
    assert (await cli("pooler", "--apply", environment=environment))[0] == 0
    await reconnect(pgbouncer)
    async with serving(environment) as (client, _):

        async def is_ready() -> bool:  # once PgBouncer has let go of its sessions of before
            return (await client.get("/health/ready")).status_code == 200

        await eventually(is_ready)
        ready = await client.get("/health/ready")
    states = {check["name"]: check["state"] for check in ready.json()["checks"]}
    assert {states[name] for name in ("database", "migrations", "pooler")} == {"ok"}


# ── LISTEN, and what else belongs to a session ───────────────────────────────────────────────────


async def test_nobody_listens_through_a_pooler(pgbouncer: PgBouncer, bare_url: str) -> None:
    deaf = Database(pgbouncer.url, pooled=True)
    with pytest.raises(Misconfigured, match="DATABASE_DIRECT_URL"):
        await deaf.listen("outbox", lambda: None)
    heard = asyncio.Event()
    database = Database(pgbouncer.url, direct_url=bare_url, pooled=True)
    assert await database.listen("outbox", heard.set)
    connection = await asyncpg.connect(pgbouncer.url)
    await connection.execute("NOTIFY outbox")
    await connection.close()
    await asyncio.wait_for(heard.wait(), 10)
    await database.close()


async def test_a_worker_goes_past_the_pooler_or_does_not_start(pgbouncer: PgBouncer, bare_url: str) -> None:
    pooled = {"DATABASE_POOLER": "transaction"}
    async with a_worker(pgbouncer.url, **pooled) as process:
        _, errors = await asyncio.wait_for(process.communicate(), 30)  # one that starts never ends
        assert process.returncode == 1
        assert errors.decode().startswith("DATABASE_DIRECT_URL is missing, and the worker needs it")
    # An address of the pooler's where nobody is would be noticed.
    nobody = bare_url.replace(urlsplit(bare_url).path, "/no-such-database")
    async with a_worker(nobody, DATABASE_DIRECT_URL=bare_url, **pooled) as process:
        await logged(process, "worker started")
        by_hand: ByHand = await asyncpg.connect(bare_url)

        async def listens() -> bool:
            return bool(await by_hand.fetchval(LISTENERS))

        await eventually(listens, seconds=30)
        await by_hand.close()


async def test_a_migration_through_a_pooler_is_refused_and_leaves_no_lock(
    new_database: NewDatabase, postgres_server: str
) -> None:
    url = await new_database()
    with a_pgbouncer(url) as pgbouncer:
        assert await shares_sessions(pgbouncer.url)
        # Whether the settings say it or not.
        for settings in ({"DATABASE_POOLER": "transaction"}, {}):
            status, _, errors = await cli("migrate", environment={"DATABASE_URL": pgbouncer.url, **settings})
            assert (status, "DATABASE_URL leads through a pooler" in errors) == (1, True)
            assert "Set DATABASE_DIRECT_URL" in errors
        by_hand = await asyncpg.connect(postgres_server)
        assert await by_hand.fetchval(LOCKS, name_of(url)) == 0
        await by_hand.close()
        settings = {"DATABASE_POOLER": "transaction", "DATABASE_DIRECT_URL": url}
        status, _, errors = await cli("migrate", environment={"DATABASE_URL": pgbouncer.url, **settings})
        assert (status, errors) == (0, "")


@pytest.mark.parametrize("pool_size", [1, 5])
async def test_a_pooler_is_found_under_load(pool_size: int, bare_url: str) -> None:
    with a_pgbouncer(bare_url, default_pool_size=pool_size) as pgbouncer:
        database = Database(pgbouncer.url, pooled=True, pool_size=5)
        stop = asyncio.Event()

        async def ask() -> None:
            while not stop.is_set():
                await database.ping()

        asking = [asyncio.create_task(ask()) for _ in range(5)]
        try:
            assert all([await shares_sessions(pgbouncer.url) for _ in range(5)])
            with pytest.raises(MigrationError):
                await asyncio.to_thread(Migrations(pgbouncer.url).upgrade)
        finally:
            stop.set()
            await asyncio.gather(*asking)
            await database.close()


async def test_what_keeps_a_session_together_is_no_pooler_to_a_migration(bare_url: str) -> None:
    assert not await shares_sessions(bare_url)
    with a_pgbouncer(bare_url, pool_mode="session") as pgbouncer:
        assert not await shares_sessions(pgbouncer.url)
