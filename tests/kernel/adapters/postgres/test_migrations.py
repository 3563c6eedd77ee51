"""Migrations: each goes up, down and up again, together they make what the code describes."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from adapters.postgres.kernel.connection.database import Database
from adapters.postgres.kernel.migrating import MigrationError, Migrations
from adapters.postgres.kernel.outbox.events import CHANNEL
from adapters.postgres.kernel.tables.schema import metadata
from application.kernel.ports.world import TimedOut, Unavailable
from application.kernel.run import Runner
from application.kernel.unit_of_work import Begin
from domain.kernel.errors import Stale
from domain.kernel.memberships import Role
from domain.kernel.users import UserEdited
from domain.tasks import Status
from kernel.servers.backends import PATIENCE, ByHand, eventually
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import NOW, Team, a_membership, a_team, a_user, a_workspace, an_invitation, store
from resources.comments import a_comment
from resources.notifications import a_notification
from resources.tasks import a_task

type NewDatabase = Callable[..., Awaitable[str]]

SRC = Path(__file__).parents[4] / "src"
LOCK = 7_001_993  # the one of migrations/env.py, which only Alembic can import
THE_SAME_FOR_ALL = Migrations("")
REVISIONS = THE_SAME_FOR_ALL.revisions()

# Rows for the tables that each migration made.
FILLINGS: Mapping[str, str] = {
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
    "0005": """
        INSERT INTO tasks (id, workspace_id, title, description, status, priority, assignee_id, labels,
            created_by, created_at, updated_at, version)
        SELECT gen_random_uuid(), workspace_id, 'Spin', '', 'open', 'high', user_id, '{wool}', user_id, now(),
            now(), 1
        FROM memberships
    """,
    "0006": """
        INSERT INTO comments (id, task_id, workspace_id, author_id, body, created_at, version)
        SELECT gen_random_uuid(), id, workspace_id, created_by, 'Which wool?', now(), 1 FROM tasks
    """,
    "0007": """
        INSERT INTO notifications (id, user_id, kind, task_id, workspace_id, caused_by, created_at, version)
        SELECT gen_random_uuid(), assignee_id, 'task_assigned', id, workspace_id, created_by, now(), 1
        FROM tasks
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


async def up(url: str, revision: str = "head") -> None:
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
async def at_head(new_database: NewDatabase, template_database: str) -> AsyncIterator[tuple[str, ByHand]]:
    """The address of a database at head that is this test's own, and a connection to it."""
    url = await new_database(template_database)
    connection = await asyncpg.connect(url)
    yield url, connection
    await connection.close()


# ── up, down, up ─────────────────────────────────────────────────────────────────────────────────


def test_the_revisions_are_numbered_in_their_order() -> None:
    assert [f"{number:04}" for number in range(1, len(REVISIONS) + 1)] == REVISIONS


@pytest.mark.parametrize("filled", [False, True], ids=["empty", "filled"])
async def test_each_migration_goes_up_and_down_and_up_again(bare: tuple[str, ByHand], filled: bool) -> None:
    url, connection = bare
    before = "base"
    for revision in REVISIONS:
        schema_before, rows_before = await whole_schema(connection), await row_counts(connection)

        await up(url, revision)
        schema_after = await whole_schema(connection)
        assert schema_after != schema_before
        await down(url, before)
        assert await whole_schema(connection) == schema_before
        assert await row_counts(connection) == rows_before
        await up(url, revision)
        assert await whole_schema(connection) == schema_after
        assert {**await row_counts(connection), **rows_before} == await row_counts(connection)

        if filled and revision in FILLINGS:
            await connection.execute(FILLINGS[revision])
        before = revision

    assert all(await row_counts(connection)) is filled or not filled
    for revision in [*REVISIONS[-2::-1], "base"]:
        rows_before = await row_counts(connection)
        await down(url, revision)
        assert (await row_counts(connection)).items() <= rows_before.items()
    assert not any((await whole_schema(connection)).values())
    await up(url)


async def test_every_table_is_filled_where_migrations_are_tried_on_rows(bare: tuple[str, ByHand]) -> None:
    url, connection = bare
    await up(url)
    for filling in FILLINGS.values():
        await connection.execute(filling)

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
        await connection.run_sync(metadata.create_all)
    await engine.dispose()
    _, from_the_migrations = at_head

    assert await schema(from_the_migrations) == await schema(from_the_code)


async def test_there_is_no_difference_that_a_migration_should_make(at_head: tuple[str, ByHand]) -> None:
    url, _ = at_head
    await asyncio.to_thread(Migrations(url).check)


async def test_a_difference_that_no_migration_made_is_reported_by_name(at_head: tuple[str, ByHand]) -> None:
    url, connection = at_head
    await connection.execute("DROP INDEX ix_comments_author_id")
    with pytest.raises(MigrationError, match=r"ix_comments_author_id(?s:.*)make migration"):
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
    assert len(keys) > 10
    for name, table, columns in keys:
        beginnings = [set(its[: len(columns)]) for of, its in indexes if of == table]
        assert set(columns) in beginnings, name


NAMES = {
    "p": "pk_{table}",
    "u": "uq_{table}_{columns}",
    "f": "fk_{table}_{columns}_{other}",
    "c": "ck_{table}_",
}
SHORTER = {"fk_tasks_workspace_id_assignee_id_memberships": "fk_tasks_assignee_memberships"}


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
            assert name == SHORTER.get(expected, expected)
    for name, table in await connection.fetch(
        """
        SELECT indexname, tablename FROM pg_indexes
        WHERE schemaname = 'public' AND tablename <> 'alembic_version'
            AND indexname NOT IN (SELECT conname FROM pg_constraint)
        """
    ):
        assert name.startswith(f"ix_{table}_")


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
            INSERT INTO watch.seen VALUES (tg_tag, current_setting('lock_timeout'));
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


async def test_services_that_start_at_the_same_instant_migrate_one_after_the_other(
    bare: tuple[str, ByHand],
) -> None:
    url, connection = bare
    await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
    program = f"from adapters.postgres.kernel.migrating import Migrations; Migrations({url!r}).upgrade()"
    migrators = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program),
            env={**os.environ, "PYTHONPATH": str(SRC)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        for _ in range(2)
    ]
    waiting = """
        SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
        WHERE locktype = 'advisory' AND NOT granted AND objid = $1 AND datname = current_database()
    """

    async def all_wait_or_one_has_failed() -> bool:
        failed = any(migrator.returncode is not None for migrator in migrators)
        return failed or await connection.fetchval(waiting, LOCK) == len(migrators)

    await eventually(all_wait_or_one_has_failed, seconds=60)  # they are whole processes
    while_they_waited = await row_counts(connection)
    await connection.execute("SELECT pg_advisory_unlock($1)", LOCK)
    outputs = [(await migrator.communicate())[0].decode() for migrator in migrators]

    assert [migrator.returncode for migrator in migrators] == [0, 0], outputs
    assert while_they_waited == {}
    assert set(await row_counts(connection)) == set(metadata.tables)


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

    await up(url, REVISIONS[-2])
    assert not await migrations.reached(database)
    await up(url)
    assert await migrations.reached(database)
    await connection.execute("UPDATE alembic_version SET version_num = '9999'")
    assert not await migrations.reached(database)
    await connection.execute("DELETE FROM alembic_version")
    assert not await migrations.reached(database)
    await database.close()


async def test_whether_head_is_reached_cannot_be_said_without_the_database() -> None:
    url = "postgresql://nobody@127.0.0.1:1/nothing"
    with pytest.raises(Unavailable):
        await Migrations(url).reached(Database(url))


# ── the next one ─────────────────────────────────────────────────────────────────────────────────


async def test_the_next_migration_is_written_from_what_differs(
    at_head: tuple[str, ByHand], tmp_path: Path
) -> None:
    url, connection = at_head
    before = await whole_schema(connection)
    await connection.execute("DROP INDEX ix_comments_author_id")
    migrations = Migrations(url)
    copied = shutil.copytree(SRC / "adapters/postgres/migrations", tmp_path / "migrations")
    migrations._config.set_main_option("script_location", str(copied))

    await asyncio.to_thread(migrations.make, "index the author")

    number = f"{len(REVISIONS) + 1:04}"
    written = (copied / "versions" / f"{number}_index_the_author.py").read_text()
    assert "index the author" in written
    assert "ix_comments_author_id" in written
    assert migrations.revisions() == [*REVISIONS, number]
    await asyncio.to_thread(migrations.upgrade)
    assert await whole_schema(connection) == before
    await asyncio.to_thread(migrations.check)


# ── triggers ─────────────────────────────────────────────────────────────────────────────────────


async def test_the_triggers_are_those_that_are_tested_here(at_head: tuple[str, ByHand]) -> None:
    _, connection = at_head
    names = [name for _, name, _ in (await schema(connection, MADE_BY_HAND))["triggers"]]
    assert names == ["outbox_notify", "tasks_raise_version"]


async def test_whoever_leaves_is_taken_off_their_tasks_and_nobody_saves_over_it(
    begin: Begin[UnitOfWork], team: Team
) -> None:
    common: dict[str, Any] = {"workspace_id": team.workspace.id, "created_by": team.owner.user_id}
    theirs = a_task(**common, assignee_id=team.member.user_id, title="theirs")
    another_s = a_task(**common, assignee_id=team.admin.user_id, title="another's")
    nobody_s = a_task(**common, title="nobody's")
    await store(begin, theirs, another_s, nobody_s)

    async with begin() as uow:
        await uow.memberships.remove(team.memberships[Role.MEMBER])

    async with begin() as uow:
        left = await uow.tasks.get(theirs.id)
        assert (left.assignee_id, left.version) == (None, theirs.version + 1)
        assert await uow.tasks.get(another_s.id) == another_s
        assert await uow.tasks.get(nobody_s.id) == nobody_s
    with pytest.raises(Stale):
        async with begin() as uow:
            await uow.tasks.save(theirs.move(Status.DONE, by=team.owner.user_id, at=NOW))
    async with begin() as uow:
        saved = await uow.tasks.save(left.move(Status.DONE, by=team.owner.user_id, at=NOW))
    async with begin() as uow:
        assert await uow.tasks.get(theirs.id) == saved
    assert saved.version == left.version + 1


async def test_whoever_leaves_one_workspace_keeps_their_tasks_in_another(
    begin: Begin[UnitOfWork], team: Team
) -> None:
    elsewhere = a_workspace()
    task = a_task(workspace_id=elsewhere.id, created_by=team.owner.user_id, assignee_id=team.member.user_id)
    joined = a_membership(workspace_id=elsewhere.id, user_id=team.member.user_id)
    await store(begin, elsewhere, joined, task)

    async with begin() as uow:
        await uow.memberships.remove(team.memberships[Role.MEMBER])

    async with begin() as uow:
        assert await uow.tasks.get(task.id) == task


async def test_a_user_who_is_deleted_is_taken_off_their_tasks(begin: Begin[UnitOfWork], team: Team) -> None:
    task = a_task(
        workspace_id=team.workspace.id, created_by=team.owner.user_id, assignee_id=team.member.user_id
    )
    await store(begin, task)

    async with begin() as uow:
        await uow.users.remove(team.users[Role.MEMBER])

    async with begin() as uow:
        left = await uow.tasks.get(task.id)
    assert (left.assignee_id, left.version) == (None, task.version + 1)


async def test_a_workspace_goes_with_everything_in_it(
    begin: Begin[UnitOfWork], by_hand: ByHand, team: Team
) -> None:
    elsewhere = a_team()
    kept = a_task(workspace_id=elsewhere.workspace.id, created_by=elsewhere.owner.user_id)
    tasks = [
        a_task(workspace_id=team.workspace.id, created_by=team.owner.user_id, assignee_id=assignee)
        for assignee in (None, team.member.user_id, team.admin.user_id)
    ]
    common: dict[str, Any] = {"task_id": tasks[1].id, "workspace_id": team.workspace.id}
    await store(
        begin,
        *elsewhere.aggregates,
        kept,
        *tasks,
        a_comment(**common, author_id=team.member.user_id),
        a_notification(**common, user_id=team.member.user_id, caused_by=team.owner.user_id),
        an_invitation(workspace_id=team.workspace.id, invited_by=team.owner.user_id),
    )

    async with begin() as uow:
        await uow.workspaces.remove(team.workspace.delete(by=team.owner.user_id, at=NOW))

    for table in ("memberships", "invitations", "tasks", "comments", "notifications"):
        left = f"SELECT count(*) FROM {table} WHERE workspace_id = $1"  # noqa: S608
        assert await by_hand.fetchval(left, team.workspace.id) == 0
    async with begin() as uow:
        assert await uow.tasks.get(kept.id) == kept


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
