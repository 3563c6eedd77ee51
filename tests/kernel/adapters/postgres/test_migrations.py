"""Migrations: each goes up, down and up again, together they make what the code describes."""

import asyncio
import os
import re
import shutil
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from sqlalchemy import Table
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from adapters.postgres.kernel.connection.database import Database
from adapters.postgres.kernel.discovery import import_tables
from adapters.postgres.kernel.migrating.applied import names
from adapters.postgres.kernel.migrating.migrations import FOLDER, MigrationError, Migrations
from adapters.postgres.kernel.migrating.migrator import LOCK
from adapters.postgres.kernel.outbox.events import CHANNEL
from adapters.postgres.kernel.tables.schema import metadata
from application.kernel.ports.world import TimedOut, Unavailable
from application.kernel.run import Runner
from application.kernel.unit_of_work import Begin
from domain.kernel.users import UserEdited
from kernel.servers.backends import PATIENCE, ByHand, eventually
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import NOW, a_user
from kernel.world.resources import parts

type NewDatabase = Callable[..., Awaitable[str]]

SRC = Path(__file__).parents[4] / "src"
THE_SAME_FOR_ALL = Migrations("")
REVISIONS = THE_SAME_FOR_ALL.revisions()


@dataclass(frozen=True)
class Revision:
    """A migration: its file, what it needs, and where a database is that has been taken back before it."""

    path: Path
    needs: Sequence[str]
    before: str


def revisions(migrations: Migrations) -> dict[str, Revision]:
    scripts = migrations._scripts()
    found = {}
    for script in scripts.walk_revisions():
        path = Path(script.path)
        needs = [*names(script.down_revision), *names(script.dependencies)]
        before = str(script.down_revision) if script.down_revision else f"{path.parent.name}@base"
        found[script.revision] = Revision(path, needs, before)
    return found


SCRIPTS = revisions(THE_SAME_FOR_ALL)

# Rows for the tables that each migration of the kernel made; those of a service are facts of its resources.
KERNEL_FILLINGS: Mapping[str, str] = {
    "0001": """
        INSERT INTO users (id, email, display_name, created_at, version)
        SELECT gen_random_uuid(), 'weaver-' || n || '@example.com', 'Weaver', now(), 1
        FROM generate_series(1, 20) AS n
    """,
    "0002": """
        INSERT INTO credentials (id, password_hash, version) SELECT id, '$', 1 FROM users;
        INSERT INTO sessions (id, user_id, token_hash, created_at, expires_at, version)
        SELECT gen_random_uuid(), id, '', now(), now() + interval '1 day', 1 FROM users
    """,
    "0003": """
        INSERT INTO workspaces (id, name, slug, created_at, version)
        SELECT gen_random_uuid(), name, lower(name), now(), 1 FROM unnest(ARRAY['Looms', 'Wheels']) AS name;
        INSERT INTO memberships (id, workspace_id, user_id, role, joined_at, version)
        SELECT gen_random_uuid(), workspaces.id, users.id, 'member', now(), 1 FROM users, workspaces;
        INSERT INTO invitations
            (id, workspace_id, email, role, token_hash, invited_by, created_at, expires_at, version)
        SELECT gen_random_uuid(), workspaces.id, 'new-' || users.email, 'viewer', gen_random_uuid()::text,
            users.id, now(), now() + interval '1 day', 1
        FROM users, workspaces
    """,
    "0004": """
        INSERT INTO outbox (id, type, aggregate_id, payload)
        SELECT gen_random_uuid(), 'UserEdited', id, '{}' FROM users
    """,
    "0008": """
        INSERT INTO identities (id, user_id, issuer, subject, created_at, version)
        SELECT gen_random_uuid(), id, 'https://issuer.example', email, now(), 1 FROM users;
        UPDATE users SET email = NULL WHERE email LIKE 'weaver-1%';
        INSERT INTO one_time_tokens (id, purpose, user_id, email, token_hash, created_at, expires_at, version)
        SELECT gen_random_uuid(), 'verify_email', id, email, id::text, now(), now() + interval '1 day', 1
        FROM users;
        INSERT INTO signing_keys (id, number, kid, sealed, created_at, signs_from, version)
        SELECT gen_random_uuid(), n, 'kid', 'sealed', now(), now(), 1 FROM generate_series(1, 2) AS n;
        INSERT INTO attempts (key, count, expires_at) VALUES ('digest', 3, now() + interval '1 hour')
    """,
    "0009": """
        INSERT INTO idempotency_keys (key, fingerprint, answer, created_at)
        VALUES ('\\x01', '\\x02', 'sealed', now())
    """,
    "0012": """
        UPDATE users SET pending_email = 'next-' || id || '@example.com';
        UPDATE sessions SET authenticated_at = now();
        INSERT INTO one_time_tokens (id, purpose, user_id, email, token_hash, created_at, expires_at, version)
        SELECT gen_random_uuid(), 'undo_email_change', id, email, 'undo ' || id, now(),
            now() + interval '7 days', 1
        FROM users
    """,
    "0013": """
        UPDATE users SET email_verified_at = now() WHERE email = 'weaver-2@example.com';
        INSERT INTO users (id, email, display_name, created_at, version)
        SELECT gen_random_uuid(), email, 'Claimant', now(), 1 FROM users, generate_series(1, 2)
        WHERE email IN ('weaver-2@example.com', 'weaver-3@example.com');
        UPDATE invitations SET token_hash = NULL
    """,
    "0015": """
        UPDATE users SET email = NULL, suspended_at = now(), deleted_at = now()
        WHERE email = 'weaver-4@example.com';
        INSERT INTO one_time_tokens (id, purpose, token_hash, created_at, expires_at, version)
        VALUES (gen_random_uuid(), 'deleted', 'account', now(), now() + interval '1 day', 1)
    """,
    "0016": """
        INSERT INTO deliveries (event_id, reaction, type, aggregate_id, payload, recorded_at)
        SELECT gen_random_uuid(), 'MailReactions.verify_address', 'UserRegistered', id, '{}', now() FROM users
    """,
    "0017": "INSERT INTO worker_heartbeats VALUES (gen_random_uuid(), 'host', now(), now())",
    "0018": """
        UPDATE outbox SET traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
        UPDATE deliveries SET traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00'
    """,
}

FILLINGS: Mapping[str, str] = {
    **KERNEL_FILLINGS,
    **{revision: sql for _, fillings in parts("FILLINGS") for revision, sql in fillings.items()},
}

# What makes up a schema, one question each. PostgreSQL 18 counts NOT NULL among the constraints; it is asked
# for with the columns.
ASPECTS = {
    "columns": """
        SELECT table_name, column_name, data_type, udt_name, is_nullable, column_default, identity_generation
        FROM information_schema.columns WHERE table_schema = 'public'
    """,
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
    """,
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
}
MADE_BY_HAND = {
    "triggers": """
        SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
    """,
    "functions": "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
}


async def schema(connection: ByHand, aspects: Mapping[str, str] = ASPECTS) -> dict[str, list[Any]]:
    return {
        name: sorted(
            tuple(map(str, row)) for row in await connection.fetch(query) if row[0] != "alembic_version"
        )
        for name, query in aspects.items()
    }


async def whole_schema(connection: ByHand) -> dict[str, list[Any]]:
    return await schema(connection, {**ASPECTS, **MADE_BY_HAND})


async def row_counts(connection: ByHand) -> dict[str, int]:
    names = await connection.fetch(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
    )
    return {name: await connection.fetchval(f'SELECT count(*) FROM "{name}"') for (name,) in names}  # noqa: S608


def rows_in(counts: Mapping[str, int]) -> set[tuple[str, int]]:
    """Of the tables that have rows: an empty one may be dropped by one revision, and be there before it."""
    return {(name, count) for name, count in counts.items() if count}


def migrated_tables() -> list[Table]:
    """What migrations make: all tables but those of the specimen."""
    import_tables()
    return [table for table in metadata.tables.values() if table.info.get("migrated", True)]


async def up(url: str, revision: str = "heads") -> None:
    await asyncio.to_thread(Migrations(url).upgrade, revision)


async def down(url: str, revision: str) -> None:
    await asyncio.to_thread(Migrations(url).downgrade, revision)


@pytest.fixture
async def bare(new_database: NewDatabase) -> AsyncIterator[tuple[str, ByHand]]:
    """The address of a database without any table, and a connection to it."""
    url = await new_database()
    connection = await asyncpg.connect(url)
    yield url, connection
    await connection.close()


@pytest.fixture
async def at_head(new_database: NewDatabase, migrated_database: str) -> AsyncIterator[tuple[str, ByHand]]:
    """The address of a database at head that is this test's own, and a connection to it."""
    url = await new_database(migrated_database)
    connection = await asyncpg.connect(url)
    yield url, connection
    await connection.close()


# ── up, down, up ─────────────────────────────────────────────────────────────────────────────────


def test_the_kernels_revisions_are_numbered_in_their_order_and_the_services_are_behind_what_they_need() -> (
    None
):
    kernel = [revision for revision in REVISIONS if SCRIPTS[revision].path.parent.name == "kernel"]
    assert kernel == sorted(kernel)
    for position, revision in enumerate(REVISIONS):
        assert {*SCRIPTS[revision].needs} <= {*REVISIONS[:position]}, revision


@pytest.mark.parametrize("filled", [False, True], ids=["empty", "filled"])
async def test_each_migration_goes_up_and_down_and_up_again(bare: tuple[str, ByHand], filled: bool) -> None:
    url, connection = bare
    for revision in REVISIONS:
        schema_before, rows_before = await whole_schema(connection), await row_counts(connection)

        await up(url, revision)
        schema_after = await whole_schema(connection)
        assert schema_after != schema_before
        await down(url, SCRIPTS[revision].before)
        assert await whole_schema(connection) == schema_before
        assert await row_counts(connection) == rows_before
        await up(url, revision)
        assert await whole_schema(connection) == schema_after
        assert rows_in(rows_before) <= rows_in(await row_counts(connection))

        if filled and revision in FILLINGS:
            await connection.execute(FILLINGS[revision])

    assert all(await row_counts(connection)) is filled or not filled
    for revision in reversed(REVISIONS):
        rows_before = await row_counts(connection)
        await down(url, SCRIPTS[revision].before)
        # What has not left yet is an event again, for the version before to deliver.
        returned = rows_before.get("deliveries", 0) if revision == "0016" else 0
        expected = rows_before | {"outbox": rows_before.get("outbox", 0) + returned}
        assert rows_in(await row_counts(connection)) <= rows_in(expected)
    assert not any((await whole_schema(connection)).values())
    await up(url)


async def test_every_table_is_filled_where_migrations_are_tried_on_rows(bare: tuple[str, ByHand]) -> None:
    url, connection = bare
    await up(url)
    for revision in REVISIONS:
        await connection.execute(FILLINGS.get(revision, "SELECT 1"))

    assert [name for name, count in (await row_counts(connection)).items() if not count] == []


async def test_going_up_twice_is_going_up_once(at_head: tuple[str, ByHand]) -> None:
    url, connection = at_head
    before = await whole_schema(connection)
    await up(url)
    assert await whole_schema(connection) == before


# ── what they make ───────────────────────────────────────────────────────────────────────────────


async def test_the_migrations_make_exactly_what_the_tables_in_the_code_would_make(
    at_head: tuple[str, ByHand], bare: tuple[str, ByHand]
) -> None:
    """More than Alembic compares: checks, what foreign keys do, expressions and operators of indexes too."""
    url, from_the_code = bare
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url), poolclass=NullPool
    )
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all, tables=migrated_tables())
    await engine.dispose()
    _, from_the_migrations = at_head

    assert await schema(from_the_migrations) == await schema(from_the_code)


async def test_there_is_no_difference_that_a_migration_should_make(at_head: tuple[str, ByHand]) -> None:
    url, _ = at_head
    await asyncio.to_thread(Migrations(url).check)


async def test_a_difference_that_no_migration_made_is_reported_by_name(at_head: tuple[str, ByHand]) -> None:
    url, connection = at_head
    await connection.execute("DROP INDEX ix_memberships_user_id")
    with pytest.raises(MigrationError, match=r"ix_memberships_user_id(?s:.*)make migration"):
        await asyncio.to_thread(Migrations(url).check)


async def test_every_foreign_key_has_an_index(at_head: tuple[str, ByHand]) -> None:
    _, connection = at_head
    keys = await connection.fetch(
        """
        SELECT conname, conrelid, conkey FROM pg_constraint
        WHERE contype = 'f' AND connamespace = 'public'::regnamespace
        """
    )
    indexes = await connection.fetch(
        "SELECT indrelid, string_to_array(indkey::text, ' ')::int[] FROM pg_index WHERE indpred IS NULL"
    )
    assert len(keys) > 5
    for name, table, columns in keys:
        beginnings = [set(its[: len(columns)]) for of, its in indexes if of == table]
        assert set(columns) in beginnings, name


NAMES = {
    "p": "pk_{table}",
    "u": "uq_{table}_{columns}",
    "f": "fk_{table}_{columns}_{other}",
    "c": "ck_{table}_",
}


async def test_every_constraint_and_index_follows_the_naming_convention(at_head: tuple[str, ByHand]) -> None:
    _, connection = at_head
    constraints = await connection.fetch(
        """
        SELECT contype::text, conname, conrelid::regclass::text, confrelid::regclass::text, (
            SELECT string_agg(attname, '_' ORDER BY place)
            FROM unnest(conkey) WITH ORDINALITY AS part (number, place)
            JOIN pg_attribute ON attrelid = conrelid AND attnum = number
        )
        FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
            AND conrelid <> 'alembic_version'::regclass
        """
    )
    assert {kind for kind, *_ in constraints} == set(NAMES)
    for kind, name, table, other, columns in constraints:
        expected = NAMES[kind].format(table=table, columns=columns, other=other)
        if kind == "c":
            assert name.startswith(expected)
        else:
            shorter = re.sub(r"^(fk_\w+?)_workspace_id_(\w+)_id_(memberships)$", r"\1_\2_\3", expected)
            assert name in {expected, shorter}
    for name, table, definition in await connection.fetch(
        """
        SELECT indexname, tablename, indexdef FROM pg_indexes
        WHERE schemaname = 'public' AND tablename <> 'alembic_version'
            AND indexname NOT IN (SELECT conname FROM pg_constraint)
        """
    ):
        kind = "uq" if definition.startswith("CREATE UNIQUE INDEX") else "ix"  # among some of the rows
        assert name.startswith(f"{kind}_{table}_")


# ── how they are applied ─────────────────────────────────────────────────────────────────────────


async def test_a_migration_that_cannot_have_its_lock_soon_gives_up_and_changes_nothing(
    at_head: tuple[str, ByHand],
) -> None:
    url, connection = at_head
    before = await whole_schema(connection)
    async with connection.transaction():  # somebody reads for long, and everybody would queue behind us
        await connection.execute("SELECT count(*) FROM users")
        with pytest.raises(TimedOut):
            await asyncio.wait_for(down(url, "base"), PATIENCE)
        assert (await whole_schema(connection))["columns"][-1] in before["columns"]

    await down(url, "base")


async def test_every_migration_runs_under_a_lock_timeout(bare: tuple[str, ByHand]) -> None:
    url, connection = bare
    await connection.execute(
        """
        CREATE SCHEMA watch;
        CREATE TABLE watch.seen (command text, lock_timeout text);
        CREATE FUNCTION watch.look() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
            -- What runs CONCURRENTLY waits beside the traffic, and may find nothing done before it.
            IF current_query() NOT ILIKE '%CONCURRENTLY%' THEN
                INSERT INTO watch.seen VALUES (tg_tag, current_setting('lock_timeout'));
            END IF;
        END $$;
        CREATE EVENT TRIGGER look ON ddl_command_start EXECUTE FUNCTION watch.look()
        """
    )
    await up(url)
    await down(url, "base")

    seen = await connection.fetch("SELECT command, lock_timeout FROM watch.seen")
    commands = {each["command"] for each in seen}
    assert {"CREATE TABLE", "CREATE INDEX", "CREATE TRIGGER", "DROP TABLE"} <= commands
    assert {each["lock_timeout"] for each in seen} == {"2s"}


PROGRAM = """
import functools, pathlib, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal, however the tests were started
from adapters.postgres.kernel.migrating.migrations import Migrations
from application.kernel.ports.world import WorldError
lines = {{"kernel": pathlib.Path({kernel!r}), "app": pathlib.Path({app!r})}}
tell = functools.partial(print, flush=True)
try:
    Migrations({url!r}, lines=lines).upgrade(wait_seconds={wait}, tell=tell)
except WorldError as error:
    sys.exit(str(error))
"""


async def a_migrator(url: str, lines: Mapping[str, Path] | None = None, *, wait: float = 60) -> Process:
    """A process of its own that migrates; what it tells is on its standard output."""
    folders = {line: str((lines or {}).get(line, FOLDER / line)) for line in ("kernel", "app")}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM.format(url=url, wait=wait, **folders)),
        env={**os.environ, "PYTHONPATH": str(SRC)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def a_line_of(process: Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(60):  # it is a whole process
        return (await process.stdout.readline()).decode()


async def test_services_that_start_at_the_same_instant_migrate_one_after_the_other(
    bare: tuple[str, ByHand],
) -> None:
    url, connection = bare
    await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
    holder = await connection.fetchval("SELECT pg_backend_pid()")
    migrators = [await a_migrator(url) for _ in range(2)]
    for migrator in migrators:
        assert re.match(
            rf"Another migrator works, for 60 seconds at most: process {holder} of the server, .* UTC",
            await a_line_of(migrator),
        )
    while_they_waited = await row_counts(connection)
    await connection.execute("SELECT pg_advisory_unlock($1)", LOCK)
    outputs = [(await migrator.communicate())[0].decode() for migrator in migrators]

    assert [migrator.returncode for migrator in migrators] == [0, 0], outputs
    assert while_they_waited == {}
    assert set(await row_counts(connection)) == {table.name for table in migrated_tables()}


async def test_a_migrator_waits_for_another_one_no_longer_than_it_is_told(bare: tuple[str, ByHand]) -> None:
    url, connection = bare
    await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
    with pytest.raises(MigrationError, match=r"still works after 0.2 seconds: process \d+ .*run this again"):
        await asyncio.to_thread(Migrations(url).upgrade, wait_seconds=0.2)
    assert await row_counts(connection) == {}


ON_AN_EXISTING_TABLE = """
from alembic import op

revision, down_revision, depends_on, branch_labels = "aaaaaaaaaaaa", {before!r}, {needs!r}, {labels!r}


def upgrade():
    with op.get_context().autocommit_block():
        op.create_index("ix_users_by_hand", "users", ["created_at"], postgresql_concurrently=True)


def downgrade():
    with op.get_context().autocommit_block():
        op.drop_index("ix_users_by_hand", "users", postgresql_concurrently=True)
"""


def write_index(lines: Mapping[str, Path]) -> Migrations:
    """A migration that makes an index CONCURRENTLY."""
    migrations = Migrations("", lines=lines)
    before, needs = the_head(migrations, "app"), the_head(migrations, "kernel")
    labels = None if before else ("app",)
    (lines["app"] / "aaaaaaaaaaaa_by_hand.py").write_text(
        ON_AN_EXISTING_TABLE.format(before=before, needs=needs, labels=labels)
    )
    return migrations


async def test_an_index_is_built_concurrently_while_other_migrators_wait(
    at_head: tuple[str, ByHand], lines: dict[str, Path]
) -> None:
    """It waits for every transaction of before, so a migrator that waited in one would stop it for good."""
    url, connection = at_head
    write_index(lines)
    async with connection.transaction(
        isolation="repeatable_read"
    ):  # as long as this is open the first goes on
        await connection.execute("SELECT count(*) FROM users")
        first = await a_migrator(url, lines)
        building = "SELECT count(*) FROM pg_index WHERE indexrelid = to_regclass('ix_users_by_hand')"
        looking = await asyncpg.connect(url)

        async def builds() -> bool:
            return bool(await looking.fetchval(building))

        await eventually(builds, seconds=60)
        second = await a_migrator(url, lines)
        assert "Another migrator works" in await a_line_of(second)
        await asyncio.sleep(2.5)  # longer than any other lock may be waited for
        assert first.returncode is None
    outputs = [(await migrator.communicate())[0].decode() for migrator in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], outputs
    await looking.close()


async def test_an_index_that_an_attempt_has_left_half_built_is_built_anew(
    at_head: tuple[str, ByHand], lines: dict[str, Path]
) -> None:
    url, connection = at_head
    write_index(lines)
    await connection.execute("CREATE INDEX ix_users_by_hand ON users (email)")
    invalidated = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_users_by_hand'::regclass"
    await connection.execute(invalidated)
    await asyncio.to_thread(Migrations(url, lines=lines).upgrade)
    definition = await connection.fetchval(
        """
        SELECT pg_get_indexdef(indexrelid) FROM pg_index
        WHERE indexrelid = 'ix_users_by_hand'::regclass AND indisvalid
        """
    )
    assert definition.endswith("(created_at)")


IN_BATCHES = """
from adapters.postgres.kernel.migrating.backfill import in_batches

revision, down_revision, branch_labels, depends_on = "9990", {before!r}, None, None


def upgrade():
    in_batches(
        "UPDATE users SET display_name = 'Loom' "
        "WHERE id IN (SELECT id FROM users WHERE display_name <> 'Loom' LIMIT 2)"
    )


def downgrade():
    in_batches("DELETE FROM users")
"""


async def test_rows_are_changed_in_batches_each_in_its_own_transaction(
    at_head: tuple[str, ByHand], lines: dict[str, Path]
) -> None:
    url, connection = at_head
    migrations = Migrations(url, lines=lines)
    before = the_head(migrations, "kernel")
    (lines["kernel"] / "9990_by_hand.py").write_text(IN_BATCHES.format(before=before))
    await connection.execute(
        """
        INSERT INTO users (id, email, display_name, created_at, version)
        SELECT gen_random_uuid(), n || '@example.com', 'Weaver', now(), 1 FROM generate_series(1, 5) AS n
        """
    )
    await asyncio.to_thread(migrations.upgrade)
    assert await connection.fetchval("SELECT count(*) FROM users WHERE display_name = 'Loom'") == 5
    assert await connection.fetchval("SELECT count(DISTINCT xmin::text) FROM users") == 3
    with pytest.raises(ValueError, match="A batch has a LIMIT"):
        await asyncio.to_thread(migrations.downgrade, str(before))


@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_a_migrator_that_is_ended_leaves_no_lock(
    at_head: tuple[str, ByHand], lines: dict[str, Path], way: signal.Signals
) -> None:
    url, connection = at_head
    write(
        lines["kernel"],
        "9990",
        before=the_head(Migrations("", lines=lines), "kernel"),
        then="SELECT pg_sleep(600)",
    )
    process = await a_migrator(url, lines)
    sleeping = (
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active' "
        "AND datname = current_database()"
    )

    async def sleeps() -> bool:
        return bool(await connection.fetchval(sleeping))

    await eventually(sleeps, seconds=60)
    process.send_signal(way)
    await asyncio.wait_for(process.wait(), 30)

    async def can_be_had() -> bool:
        return bool(await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK))

    await eventually(can_be_had)
    assert await connection.fetchval("SELECT to_regclass('t_9990')") is None


async def test_a_migration_whose_lock_is_not_to_be_had_is_tried_again(
    at_head: tuple[str, ByHand], lines: dict[str, Path]
) -> None:
    url, connection = at_head
    migrations = Migrations(url, lines=lines)
    write(
        lines["kernel"],
        "9990",
        before=the_head(migrations, "kernel"),
        then="ALTER TABLE users ADD COLUMN by_hand text",
    )
    loop, told, first = asyncio.get_running_loop(), list[str](), asyncio.Event()

    def tell(sentence: str) -> None:
        told.append(sentence)
        loop.call_soon_threadsafe(first.set)

    async with connection.transaction():  # somebody reads for long
        await connection.execute("SELECT count(*) FROM users")
        migrating = asyncio.create_task(asyncio.to_thread(migrations.upgrade, attempts=5, tell=tell))
        async with asyncio.timeout(60):
            await first.wait()
    there = await migrating

    holder = await connection.fetchval("SELECT pg_backend_pid()")
    assert told[0].startswith(
        "ALTER TABLE users ADD COLUMN by_hand text: the lock was not to be had within 2s."
    )
    assert f"process {holder} of the server" in told[0]
    assert there.missing == frozenset()
    assert await connection.fetchval("SELECT count(by_hand) FROM users") == 0


@pytest.mark.parametrize("path", ["/no-such-database"])
async def test_a_database_that_is_not_there_cannot_be_migrated(postgres_server: str, path: str) -> None:
    url = urlsplit(postgres_server)._replace(path=path).geturl()
    with pytest.raises(Unavailable):
        await up(url)


async def test_a_server_that_is_not_there_cannot_be_migrated() -> None:
    with pytest.raises(Unavailable):
        await up("postgresql://nobody@127.0.0.1:1/nothing")


# ── whether they were applied ────────────────────────────────────────────────────────────────────


async def test_head_is_reached_when_all_migrations_were_applied_and_only_then(
    bare: tuple[str, ByHand],
) -> None:
    url, connection = bare
    migrations, database = Migrations(url), Database(url)
    assert not await migrations.reached(database)

    await up(url, "kernel@head")
    assert await migrations.reached(database) is (not migrations.heads()["app"])
    await up(url)
    assert await migrations.reached(database)
    await connection.execute("DELETE FROM alembic_version")
    assert not await migrations.reached(database)
    await database.close()


@pytest.fixture
async def ahead(at_head: tuple[str, ByHand], lines: dict[str, Path]) -> tuple[str, ByHand, Migrations]:
    """A database that a later release has migrated, on both lines, and the migrations of that release."""
    url, connection = at_head
    later = Migrations(url, lines=lines)
    kernel, app = the_head(later, "kernel"), the_head(later, "app")
    write(lines["kernel"], "9990", before=kernel)
    write(lines["kernel"], "9991", before="9990")
    write(lines["app"], "aaaaaaaaaaaa", before=app, needs="9991")
    await asyncio.to_thread(later.upgrade)
    return url, connection, later


async def test_a_database_that_a_later_release_has_migrated_is_ready_for_this_one(
    ahead: tuple[str, ByHand, Migrations],
) -> None:
    url, _, later = ahead
    database = Database(url)
    there = await THE_SAME_FOR_ALL.standing(database)
    assert there.ahead == {"aaaaaaaaaaaa"}  # which implies the others
    assert there.missing == frozenset()
    assert await THE_SAME_FOR_ALL.reached(database)
    assert await later.reached(database)
    await database.close()


async def test_a_release_that_is_behind_has_nothing_to_migrate(ahead: tuple[str, ByHand, Migrations]) -> None:
    url, connection, _ = ahead
    before = await whole_schema(connection)
    there = await asyncio.to_thread(Migrations(url).upgrade)
    assert there.ahead == {"aaaaaaaaaaaa"}
    assert there.missing == frozenset()
    assert await whole_schema(connection) == before
    for refused in (lambda: Migrations(url).downgrade("0014"), Migrations(url).check):
        with pytest.raises(
            MigrationError, match="is at migration aaaaaaaaaaaa, which this code does not have"
        ):
            await asyncio.to_thread(refused)


async def test_taking_back_a_later_release_and_going_there_again_keeps_the_record_true(
    ahead: tuple[str, ByHand, Migrations], lines: dict[str, Path]
) -> None:
    url, _, later = ahead
    database = Database(url)
    for revision, behind in (("9990", {"9990"}), ("0014", {"0014"})):
        there = await asyncio.to_thread(later.downgrade, revision)
        assert behind <= there.applied
        assert "9991" in there.missing
    assert not await THE_SAME_FOR_ALL.reached(database)
    await asyncio.to_thread(later.upgrade)
    assert await THE_SAME_FOR_ALL.reached(database)
    await database.close()


@pytest.mark.parametrize("line", ["kernel", "app"])
async def test_another_branchs_database_is_not_ready_and_is_refused_in_a_sentence(
    at_head: tuple[str, ByHand], lines: dict[str, Path], tmp_path: Path, line: str
) -> None:
    """A developer has switched branches: the database has what theirs lacks, and lacks what theirs has."""
    url, connection = at_head
    ours = {name: shutil.copytree(folder, tmp_path / "ours" / name) for name, folder in lines.items()}
    before, needs = the_head(Migrations("", lines=lines), line), None
    if before is None:
        pytest.skip("an empty line has no head that both could follow")
    write(lines[line], "bbbbbbbbbbbb", before=before, needs=needs)
    write(ours[line], "cccccccccccc", before=before, needs=needs)
    await asyncio.to_thread(Migrations(url, lines=lines).upgrade)

    migrations, database = Migrations(url, lines=ours), Database(url)
    assert not await migrations.reached(database)
    with pytest.raises(MigrationError) as refused:
        await asyncio.to_thread(migrations.upgrade)
    assert str(refused.value) == (
        "The database is at migration bbbbbbbbbbbb, which this code does not have and lacks cccccccccccc of "
        "this code. Use the release that has all of them, or a database of this one."
    )
    assert await connection.fetchval("SELECT to_regclass('t_cccccccccccc')") is None
    await database.close()


async def test_a_join_that_this_code_lacks_is_ahead_of_it(
    at_head: tuple[str, ByHand], lines: dict[str, Path], tmp_path: Path
) -> None:
    url, _ = at_head
    head = the_head(Migrations("", lines=lines), "kernel")
    write(lines["kernel"], "bbbbbbbbbbbb", before=head)
    mine = {name: shutil.copytree(folder, tmp_path / "mine" / name) for name, folder in lines.items()}
    write(lines["kernel"], "cccccccccccc", before=head)
    joined = Migrations(url, lines=lines)
    await asyncio.to_thread(joined.join, "kernel")
    await asyncio.to_thread(joined.upgrade)
    database = Database(url)
    assert await Migrations(url, lines=mine).reached(database)
    assert await THE_SAME_FOR_ALL.reached(database)
    await database.close()


async def test_a_history_that_was_squashed_serves_the_release_before_and_after(
    bare: tuple[str, ByHand], new_database: NewDatabase, lines: dict[str, Path], tmp_path: Path
) -> None:
    """One revision takes the place of all, under the name of the last; a database of either kind is known."""
    squashed = {line: tmp_path / "squashed" / line for line in ("kernel", "app")}
    for folder in squashed.values():
        folder.mkdir(parents=True)
    before = {"kernel": lines["kernel"], "app": squashed["app"]}
    write(before["kernel"], "9990", before=the_head(Migrations("", lines=before), "kernel"))
    write(squashed["kernel"], "9990", before=None)
    url, _ = bare
    await asyncio.to_thread(Migrations(url, lines=before).upgrade)
    of_before = Database(url)
    assert await Migrations("", lines=squashed).reached(of_before)
    await of_before.close()

    write(squashed["kernel"], "9991", before="9990")
    fresh = await new_database()
    await asyncio.to_thread(Migrations(fresh, lines=squashed).upgrade)
    of_after = Database(fresh)
    assert await Migrations("", lines=before).reached(of_after)
    await of_after.close()


async def test_a_database_without_a_record_keeps_working_and_gets_one(
    ahead: tuple[str, ByHand, Migrations],
) -> None:
    """As of a release that wrote none."""
    url, connection, later = ahead
    record = "SELECT col_description('alembic_version'::regclass, 1)"
    whole = await connection.fetchval(record)
    assert {*whole.split()} == {*later.revisions()}
    await connection.execute("COMMENT ON COLUMN alembic_version.version_num IS NULL")

    database = Database(url)
    assert await later.reached(database)
    assert not await THE_SAME_FOR_ALL.reached(database)  # nothing says what an unknown revision implies
    with pytest.raises(MigrationError, match="is at migration aaaaaaaaaaaa, which this code does not have"):
        await up(url)
    await asyncio.to_thread(later.upgrade)
    assert await connection.fetchval(record) == whole
    assert await THE_SAME_FOR_ALL.reached(database)
    await database.close()


async def test_a_record_is_not_believed_against_revisions_that_are_known(at_head: tuple[str, ByHand]) -> None:
    """A release that keeps no record has gone back since it was written."""
    url, connection = at_head
    database = Database(url)
    await connection.execute("DELETE FROM alembic_version")
    await connection.execute("INSERT INTO alembic_version VALUES ('0009')")
    assert not await THE_SAME_FOR_ALL.reached(database)
    await database.close()


async def test_whether_head_is_reached_cannot_be_said_without_the_database() -> None:
    url = "postgresql://nobody@127.0.0.1:1/nothing"
    with pytest.raises(Unavailable):
        await Migrations(url).reached(Database(url))


# ── the next one ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def lines(tmp_path: Path) -> dict[str, Path]:
    """The folders of both lines, to write into."""
    return {
        line: shutil.copytree(FOLDER / line, tmp_path / line, ignore=shutil.ignore_patterns("__pycache__"))
        for line in ("kernel", "app")
    }


REVISION = """
from alembic import op

revision, down_revision, depends_on = {revision!r}, {before!r}, {needs!r}
branch_labels = {labels!r}


def upgrade():
    op.execute("CREATE TABLE {table} (id integer PRIMARY KEY{refers})")
    op.execute("{then}")


def downgrade():
    op.execute("DROP TABLE {table}")
"""


def write(
    folder: Path,
    revision: str,
    *,
    before: str | None,
    needs: str | None = None,
    refers: str = "",
    then: str = "SELECT 1",
) -> Path:
    """A migration that makes a table `t_<revision>`."""
    path = folder / f"{revision}_by_hand.py"
    labels = None if before else (folder.name,)
    table = f"t_{revision}"
    path.write_text(
        REVISION.format(
            revision=revision,
            before=before,
            needs=needs,
            labels=labels,
            table=table,
            refers=refers,
            then=then,
        )
    )
    return path


def the_head(migrations: Migrations, line: str) -> str | None:
    return next(iter(migrations.heads()[line]), None)


@pytest.mark.parametrize("line", ["app", "kernel"])
async def test_the_next_migration_is_written_from_what_differs_and_tried(
    at_head: tuple[str, ByHand], lines: dict[str, Path], line: str
) -> None:
    url, connection = at_head
    before = await whole_schema(connection)
    await connection.execute("DROP INDEX ix_memberships_user_id")
    migrations = Migrations(url, lines=lines)
    known = set(migrations.revisions())

    (path,) = await asyncio.to_thread(migrations.make, "index the user", line=line)

    assert path.parent == lines[line]
    written = path.read_text()
    assert "Index the user." in written
    assert "ix_memberships_user_id" in written
    assert written.count("with op.get_context().autocommit_block():") == 2  # up and down
    assert written.count("postgresql_concurrently=True") == 2
    (revision,) = {*migrations.revisions()} - known
    assert path.name == f"{revision}_index_the_user.py" if line == "kernel" else revision in path.name
    assert len(revision) == (4 if line == "kernel" else 12)
    assert await whole_schema(connection) == before
    await asyncio.to_thread(migrations.check)
    assert await asyncio.to_thread(migrations.make, "once more", line=line) == []


@pytest.mark.parametrize("line", ["app", "kernel"])
async def test_what_would_hold_a_lock_for_long_is_written_as_migrations_that_follow_one_another(
    at_head: tuple[str, ByHand], lines: dict[str, Path], line: str
) -> None:
    url, connection = at_head
    before = await whole_schema(connection)
    await connection.execute(
        """
        ALTER TABLE memberships DROP CONSTRAINT uq_memberships_workspace_id_user_id CASCADE,
            DROP CONSTRAINT ck_memberships_role, DROP CONSTRAINT fk_memberships_user_id_users;
        DROP INDEX ix_memberships_user_id;
        ALTER TABLE invitations DROP COLUMN token_hash
        """
    )
    without = await whole_schema(connection)
    migrations = Migrations(url, lines=lines)

    paths = await asyncio.to_thread(migrations.make, "add what is missing", line=line)

    before_all, at_once, beside, at_last = (path.read_text().partition("\n\n\ndef down")[0] for path in paths)
    assert before_all.count("postgresql_concurrently=True") == 1
    assert "UNIQUE USING INDEX uq_memberships_workspace_id_user_id" in at_once
    assert "token_hash" in at_once
    assert at_once.count("postgresql_not_valid=True") == at_once.count("op.create_")
    assert beside.count("VALIDATE CONSTRAINT") == at_once.count("op.create_")
    assert beside.count("postgresql_concurrently=True") == 2
    assert "UNIQUE USING INDEX uq_invitations_token_hash" in at_last
    assert [text.count("autocommit_block") for text in (before_all, at_once, beside, at_last)] == [1, 0, 2, 0]
    assert await whole_schema(connection) == before
    by_file = {Path(script.path): script for script in migrations.scripts()}
    base = by_file[paths[0]].down_revision or f"{line}@base"
    await asyncio.to_thread(migrations.downgrade, str(base))
    assert await whole_schema(connection) == without


async def test_a_check_that_no_migration_made_is_reported_by_name(at_head: tuple[str, ByHand]) -> None:
    url, connection = at_head
    await connection.execute("ALTER TABLE memberships DROP CONSTRAINT ck_memberships_role")
    with pytest.raises(MigrationError, match="ck_memberships_role"):
        await asyncio.to_thread(Migrations(url).check)


async def test_a_random_id_that_has_no_letter_does_not_count_among_the_kernels(
    at_head: tuple[str, ByHand], lines: dict[str, Path]
) -> None:
    url, connection = at_head
    migrations = Migrations(url, lines=lines)
    head = the_head(migrations, "app")
    (lines["app"] / "627523149090_random.py").write_text(
        f"revision, down_revision, branch_labels, depends_on = '627523149090', {head!r}, None, None\n\n\n"
        "def upgrade(): ...\n\n\ndef downgrade(): ...\n"
    )
    await asyncio.to_thread(Migrations(url, lines=lines).upgrade)
    await connection.execute("DROP INDEX ix_memberships_user_id")
    (path,) = await asyncio.to_thread(Migrations(url, lines=lines).make, "index the user", line="kernel")
    assert re.fullmatch(r"\d{4}_index_the_user\.py", path.name)


async def test_the_first_migration_of_an_empty_line_begins_it(
    at_head: tuple[str, ByHand], lines: dict[str, Path]
) -> None:
    url, connection = at_head
    shutil.rmtree(lines["app"])
    lines["app"].mkdir()
    migrations = Migrations(url, lines=lines)
    await connection.execute("DELETE FROM alembic_version")
    await connection.execute("INSERT INTO alembic_version VALUES ($1)", the_head(migrations, "kernel"))
    await connection.execute("DROP INDEX ix_memberships_user_id")

    (path,) = await asyncio.to_thread(migrations.make, "begin")

    assert 'branch_labels: str | Sequence[str] | None = ("app",)' in path.read_text()
    assert f'depends_on: str | Sequence[str] | None = "{the_head(migrations, "kernel")}"' in path.read_text()
    database = Database(url)
    assert await migrations.reached(database)
    await database.close()


async def test_a_migration_that_does_not_run_both_ways_is_not_kept(
    at_head: tuple[str, ByHand], lines: dict[str, Path]
) -> None:
    url, connection = at_head
    await connection.execute("DROP INDEX ix_memberships_user_id; CREATE SEQUENCE ix_memberships_user_id")
    before = {*lines["app"].iterdir()}
    with pytest.raises(MigrationError, match=r"does not run and was removed: .*ix_memberships_user_id"):
        await asyncio.to_thread(Migrations(url, lines=lines).make, "in vain")
    assert {path for path in lines["app"].iterdir() if path.suffix == ".py"} == {
        path for path in before if path.suffix == ".py"
    }


async def test_tables_that_refer_to_each_other_are_dropped_in_an_order_that_runs(
    at_head: tuple[str, ByHand], lines: dict[str, Path]
) -> None:
    """As for a fork that deletes the example: nothing in the code knows of these tables any more."""
    url, connection = at_head
    before = await whole_schema(connection)
    await connection.execute(
        """
        CREATE TABLE a_looms (id uuid PRIMARY KEY, owner uuid REFERENCES users (id));
        CREATE TABLE b_shuttles (id uuid PRIMARY KEY, loom uuid REFERENCES a_looms (id));
        CREATE INDEX ix_b_shuttles_loom ON b_shuttles (loom);
        CREATE TABLE c_threads (id uuid PRIMARY KEY, shuttle uuid REFERENCES b_shuttles (id))
        """
    )
    assert await asyncio.to_thread(Migrations(url, lines=lines).make, "drop the looms")
    assert await whole_schema(connection) == before


# ── two lines ────────────────────────────────────────────────────────────────────────────────────


async def test_a_kernel_revision_that_arrives_beside_newer_ones_of_the_service_is_applied(
    at_head: tuple[str, ByHand], lines: dict[str, Path]
) -> None:
    url, connection = at_head
    migrations = Migrations(url, lines=lines)
    kernel, app = the_head(migrations, "kernel"), the_head(migrations, "app")
    write(lines["app"], "aaaaaaaaaaaa", before=app, needs=kernel)
    await asyncio.to_thread(migrations.upgrade)
    database = Database(url)
    assert await migrations.reached(database)

    write(lines["kernel"], "9990", before=kernel)
    assert not await migrations.reached(database)
    await asyncio.to_thread(migrations.upgrade)
    assert await migrations.reached(database)
    assert await connection.fetchval("SELECT to_regclass('t_9990') IS NOT NULL")

    write(lines["app"], "bbbbbbbbbbbb", before="aaaaaaaaaaaa", needs="9990")
    await asyncio.to_thread(migrations.upgrade)
    assert await migrations.reached(database)
    await database.close()


async def test_a_downgrade_of_the_kernel_takes_along_what_depends_on_it(
    at_head: tuple[str, ByHand], lines: dict[str, Path]
) -> None:
    url, connection = at_head
    migrations = Migrations(url, lines=lines)
    kernel, app = the_head(migrations, "kernel"), the_head(migrations, "app")
    write(lines["kernel"], "9990", before=kernel)
    write(
        lines["app"],
        "aaaaaaaaaaaa",
        before=app,
        needs="9990",
        refers=", other integer REFERENCES t_9990 (id)",
    )
    await asyncio.to_thread(migrations.upgrade)
    await asyncio.to_thread(migrations.downgrade, str(kernel))
    there = await connection.fetchrow("SELECT to_regclass('t_9990'), to_regclass('t_aaaaaaaaaaaa')")
    assert there is not None
    assert tuple(there) == (None, None)


@pytest.mark.parametrize("line", ["app", "kernel"])
async def test_two_heads_of_one_line_are_named_with_the_command_that_joins_them(
    at_head: tuple[str, ByHand], lines: dict[str, Path], line: str
) -> None:
    url, _ = at_head
    migrations = Migrations(url, lines=lines)
    before, kernel = the_head(migrations, line), the_head(migrations, "kernel")
    needs = kernel if line == "app" else None
    write(lines[line], "aaaaaaaaaaaa", before=before, needs=needs)
    write(lines[line], "bbbbbbbbbbbb", before=before or None, needs=needs)
    if before is None:
        pytest.skip("an empty line has no head that two could follow")
    sentence = (
        f"The line {line} has 2 heads, aaaaaaaaaaaa and bbbbbbbbbbbb, which were written side by side. "
        f"Join them: make migration JOIN={line}"
    )
    database = Database(url)
    for run in (migrations.upgrade, migrations.check, lambda: migrations.make("more", line=line)):
        with pytest.raises(MigrationError) as refused:
            await asyncio.to_thread(run)
        assert str(refused.value) == sentence
    assert not await migrations.reached(database)

    joined = await asyncio.to_thread(migrations.join, line)

    assert joined.parent == lines[line]
    assert len(migrations.heads()[line]) == 1
    await asyncio.to_thread(migrations.upgrade)
    assert await migrations.reached(database)
    with pytest.raises(MigrationError, match="nothing to join"):
        await asyncio.to_thread(migrations.join, line)
    await database.close()


async def test_a_database_at_a_revision_that_the_code_lacks_is_told_so(at_head: tuple[str, ByHand]) -> None:
    url, connection = at_head
    await connection.execute("DELETE FROM alembic_version")
    await connection.execute("INSERT INTO alembic_version VALUES ('cccccccccccc')")
    await connection.execute("COMMENT ON COLUMN alembic_version.version_num IS NULL")
    with pytest.raises(MigrationError, match="is at migration cccccccccccc, which this code does not have"):
        await up(url)


FORMERLY = [f"{number:04}" for number in range(1, 11)]
"""The single line of before."""


@pytest.mark.skipif(
    "0005" not in REVISIONS, reason="the example's migrations are gone, and so is the old line"
)
@pytest.mark.parametrize("newest", FORMERLY)
async def test_a_database_of_the_single_line_moves_over_with_its_rows(
    bare: tuple[str, ByHand], newest: str
) -> None:
    url, connection = bare
    for revision in FORMERLY[: FORMERLY.index(newest) + 1]:
        await up(url, revision)
        if revision in FILLINGS:
            await connection.execute(FILLINGS[revision])
    await connection.execute("DELETE FROM alembic_version")
    await connection.execute("INSERT INTO alembic_version VALUES ($1)", newest)
    await connection.execute("COMMENT ON TABLE alembic_version IS NULL")
    rows = await row_counts(connection)

    await up(url)

    database = Database(url)
    assert await THE_SAME_FOR_ALL.reached(database)
    assert rows_in(rows) <= rows_in(await row_counts(connection))
    await database.close()


# ── triggers ─────────────────────────────────────────────────────────────────────────────────────


async def test_one_signal_tells_of_all_events_of_a_commit_and_none_of_a_rollback(
    begin: Begin[UnitOfWork], by_hand: ByHand
) -> None:
    heard: list[str] = []
    await by_hand.add_listener(CHANNEL, lambda _, __, channel, payload: heard.append(f"{channel}{payload}"))

    async with begin() as uow:
        for _ in range(3):
            user = a_user()
            edited = UserEdited(at=datetime.now(UTC), user_id=user.id)
            await uow.users.add(user.recording(edited).recording(edited))
    await by_hand.execute("SELECT 1")
    assert heard == [CHANNEL]

    async def fail(uow: UnitOfWork) -> None:
        for user in (a_user(), a_user()):
            await uow.users.add(user.recording(UserEdited(at=NOW, user_id=user.id)))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Runner(begin)(fail)
    await by_hand.execute("SELECT 1")
    assert heard == [CHANNEL]
