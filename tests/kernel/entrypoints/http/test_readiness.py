"""Readiness: asked seldom, for all at once, and never waiting long."""

import asyncio

import asyncpg
import pytest
from httpx2 import AsyncClient

from entrypoints.http.kernel.server.readiness import Check, NotReady, Readiness


class Counted:
    """A check that counts how often it is asked."""

    def __init__(self, *, holds: bool | None = True, seconds: float = 0) -> None:
        self.asked = 0
        self.holds = holds
        self.seconds = seconds

    async def __call__(self) -> bool | None:
        self.asked += 1
        await asyncio.sleep(self.seconds)
        return self.holds


async def test_with_its_database_migrated_the_service_is_ready(client: AsyncClient) -> None:
    ready = await client.get("/health/ready")
    assert (ready.status_code, ready.json()) == (200, {"ready": ["database", "migrations"]})


async def test_a_database_without_its_migrations_is_not_enough(
    client: AsyncClient, empty_database_url: str
) -> None:
    connection = await asyncpg.connect(empty_database_url)
    versions = await connection.fetch("DELETE FROM alembic_version RETURNING version_num")
    try:
        unready = await client.get("/health/ready")
    finally:
        await connection.executemany(
            "INSERT INTO alembic_version VALUES ($1)", [tuple(row) for row in versions]
        )
        await connection.close()
    assert versions
    assert (unready.status_code, unready.json()["type"]) == (503, "/problems/not-ready")
    assert unready.json()["detail"] == "Not there: migrations."
    assert unready.headers["retry-after"] == "1"


async def test_all_who_ask_at_once_share_one_answer() -> None:
    check = Counted(seconds=0.01)
    readiness = Readiness({"a": check})
    answers = await asyncio.gather(*(readiness.confirm() for _ in range(100)))
    assert (check.asked, answers[0], answers[99]) == (1, ["a"], ["a"])


async def test_an_answer_counts_for_a_while_and_no_longer() -> None:
    check = Counted()
    readiness = Readiness({"a": check}, keep_seconds=0.05)
    await readiness.confirm()
    await readiness.confirm()
    assert check.asked == 1
    await asyncio.sleep(0.06)
    check.holds = False
    with pytest.raises(NotReady):
        await readiness.confirm()
    assert check.asked == 2


async def test_it_names_all_that_does_not_hold() -> None:
    async def broken() -> bool:
        raise ZeroDivisionError

    checks: dict[str, Check] = {
        "a": Counted(holds=False),
        "b": Counted(holds=None),
        "c": broken,
        "d": Counted(seconds=9),
    }
    with pytest.raises(NotReady, match=r"^Not there: a, c, d\.$"):
        await Readiness(checks, timeout_seconds=0.01).confirm()


async def test_one_who_leaves_does_not_end_it_for_the_others() -> None:
    check = Counted(seconds=0.02)
    readiness = Readiness({"a": check})
    first = asyncio.create_task(readiness.confirm())
    second = asyncio.create_task(readiness.confirm())
    await asyncio.sleep(0)
    first.cancel()
    assert await second == ["a"]
    assert check.asked == 1
