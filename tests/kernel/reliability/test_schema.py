"""A schema that is ahead of the code, and migrations under load."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import perf_counter

import asyncpg
import pytest
from httpx2 import AsyncClient, Timeout

from adapters.postgres.kernel.migrating.migrations import FOLDER, Migrations
from kernel.reliability.conftest import Share, Tell
from kernel.servers.serving import environment_of, serving

type NewDatabase = Callable[..., Awaitable[str]]

A_LATER_RELEASE = """
import sqlalchemy as sa
from alembic import op
from adapters.postgres.kernel.migrating.backfill import in_batches

revision, down_revision, branch_labels, depends_on = "9990", {before!r}, None, None


def upgrade():
    op.create_table("looms", sa.Column("id", sa.Uuid(), sa.ForeignKey("users.id"), primary_key=True))
    op.add_column("users", sa.Column("motto", sa.Text(), nullable=True))
    op.create_check_constraint(
        op.f("ck_users_motto"), "users", "char_length(motto) < 100", postgresql_not_valid=True
    )
    in_batches(
        "UPDATE users SET motto = 'weave' "
        "WHERE id IN (SELECT id FROM users WHERE motto IS NULL ORDER BY id LIMIT 1000)"
    )
    op.execute("ALTER TABLE users VALIDATE CONSTRAINT ck_users_motto")
    with op.get_context().autocommit_block():
        op.create_index("ix_users_motto", "users", ["motto", "id"], postgresql_concurrently=True)


def downgrade():
    with op.get_context().autocommit_block():
        op.drop_index("ix_users_motto", "users", postgresql_concurrently=True)
    op.drop_column("users", "motto")
    op.drop_table("looms")
"""
"""Does of everything what docs/migrations.md says, on a table that is filled."""

MANY_USERS = """
    INSERT INTO users (id, email, display_name, created_at, version)
    SELECT gen_random_uuid(), 'weaver-' || n || '@example.com', 'Weaver', now(), 1
    FROM generate_series(1, 20000) AS n
"""

# Whoever waits for a lock waits as long as somebody else has held it: this is what a request would see.
A_WRITE = "UPDATE users SET display_name = 'Loom' WHERE email = 'weaver-7@example.com'"

EMAIL, PASSWORD = "weaver@example.com", "a long word of many threads"


@pytest.fixture
async def later(migrated_specimen: str, tmp_path: Path) -> Migrations:
    """The migrations of the release after this one."""
    kernel, app = (FOLDER / line for line in ("kernel", "app"))
    folder = tmp_path / "kernel"
    folder.mkdir()
    for path in kernel.glob("*.py"):
        (folder / path.name).write_text(path.read_text())
    (before,) = Migrations("").heads()["kernel"]
    (folder / "9990_a_later_release.py").write_text(A_LATER_RELEASE.format(before=before))
    return Migrations(migrated_specimen, lines={"kernel": folder, "app": app})


@pytest.fixture
async def migrated_specimen(new_database: NewDatabase, template_database: str) -> str:
    """A database of this test's own, at head, with 20,000 users."""
    url = await new_database(template_database)
    connection = await asyncpg.connect(url)
    await connection.execute(MANY_USERS)
    await connection.close()
    return url


async def a_user(client: AsyncClient) -> dict[str, str]:
    registered = await client.post(
        "/v1/auth/register", json={"email": EMAIL, "password": PASSWORD, "display_name": "Weaver"}
    )
    assert registered.status_code in {201, 202}, registered.text
    logged_in = await client.post("/v1/auth/login", json={"email": EMAIL, "password": PASSWORD})
    return {"Authorization": f"Bearer {logged_in.json()['access_token']}"}


class Load:
    """Requests that read and write, one after the other, and what they were answered."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.slowest = 0.0

    @asynccontextmanager
    async def on(self, client: AsyncClient) -> AsyncIterator[None]:
        client.timeout = Timeout(30)  # the figure says how long it took
        headers = await a_user(client)

        async def ask(number: int) -> None:
            count = 0
            while True:
                count += 1
                began = perf_counter()
                for answer in (
                    await client.get("/v1/me", headers=headers),
                    await client.post(
                        "/v1/workspaces", headers=headers, json={"name": f"W {number} {count}"}
                    ),
                    await client.get("/health/ready"),
                ):
                    self.answers.append(answer.status_code)
                self.slowest = max(self.slowest, perf_counter() - began)

        tasks = [asyncio.create_task(ask(number)) for number in range(4)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task

    @property
    def failed(self) -> list[int]:
        return [status for status in self.answers if status >= 400]


async def test_a_schema_one_release_ahead_serves_every_request_and_is_ready(
    migrated_specimen: str, later: Migrations, tell: Tell, share: Share
) -> None:
    await asyncio.to_thread(later.upgrade)
    load = Load()
    async with serving(environment_of(migrated_specimen)) as (client, _), load.on(client):
        await asyncio.sleep(share(4))
    assert load.failed == []
    assert len(load.answers) > 10
    tell("a schema one release ahead, requests that failed", f"0 of {len(load.answers)}")


async def test_migrations_up_down_and_up_under_load_hold_no_lock_for_two_seconds(
    migrated_specimen: str, later: Migrations, tell: Tell, share: Share
) -> None:
    connection = await asyncpg.connect(migrated_specimen)
    (before,) = Migrations("").heads()["kernel"]
    longest, stop, load = 0.0, asyncio.Event(), Load()

    async def write() -> None:
        nonlocal longest
        while not stop.is_set():
            began = perf_counter()
            await connection.execute(A_WRITE)
            longest = max(longest, perf_counter() - began)
            await asyncio.sleep(0.01)

    async with serving(environment_of(migrated_specimen)) as (client, _), load.on(client):
        writing, ends = asyncio.create_task(write()), perf_counter() + share(5)
        rounds = 0
        while rounds < 1 or perf_counter() < ends:
            await asyncio.to_thread(later.upgrade)
            await asyncio.to_thread(later.downgrade, before)
            await asyncio.to_thread(later.upgrade)
            await asyncio.to_thread(later.downgrade, before)
            rounds += 1
        stop.set()
        await writing
    await connection.close()
    assert load.failed == []
    assert longest < 2, load.slowest
    tell("migrations up, down, up under load, longest wait for a lock", f"{longest:.2f} s, {rounds} rounds")
    tell(
        "requests that failed meanwhile",
        f"0 of {len(load.answers)}; the slowest three took {load.slowest:.2f} s",
    )
