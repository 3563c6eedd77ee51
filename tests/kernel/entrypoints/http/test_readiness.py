"""Readiness: asked seldom, for all at once, never waiting long, and not in the way of what it looks at."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from time import perf_counter
from typing import Any

import asyncpg
import pytest
import structlog
from httpx2 import ASGITransport, AsyncClient, Response
from pydantic import SecretStr
from structlog.testing import capture_logs

from adapters.postgres.kernel.connection.database import Database
from entrypoints.http.kernel.server.readiness import Check, NotReady, Readiness, State
from entrypoints.kernel import states
from entrypoints.kernel.service import SERVICE_NAME
from entrypoints.settings import Settings
from kernel.servers.backends import ByHand, Proxy, backends, eventually, terminate
from kernel.servers.postgres import NewDatabase
from kernel.specimen.service import Container, create_app
from kernel.world.builders import NOW, a_signing_key
from kernel.world.provider import ProviderServer

HEALTH = f"{SERVICE_NAME} health"  # how its connection is called


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


class Stubborn:
    """A check that hangs, and does not end when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.over = asyncio.Event()

    async def __call__(self) -> bool:
        self.asked += 1
        while not self.over.is_set():
            try:
                await self.over.wait()
            except asyncio.CancelledError:
                continue
        return True


def states_of(answer: Response) -> Mapping[str, str]:
    return {check["name"]: check["state"] for check in answer.json()["checks"]}


@asynccontextmanager
async def serving(url: str, **settings: Any) -> AsyncIterator[AsyncClient]:
    """The service on that database, whose readiness keeps no answer."""
    container = Container(settings=Settings(_env_file=None, database_url=SecretStr(url), **settings))
    app = create_app(container)
    app.state.provided.readiness._keep = 0
    transport = ASGITransport(app=app, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client
    await container.health_database().close()
    await container.database().close()


@pytest.fixture
async def service(empty_database_url: str) -> AsyncIterator[AsyncClient]:
    async with serving(empty_database_url) as client:
        yield client


BEAT = "INSERT INTO worker_heartbeats VALUES (gen_random_uuid(), '', now(), now() - $1 * interval '1 s')"
EVENT = """
    INSERT INTO outbox (id, type, aggregate_id, payload, available_at, parked_at)
    VALUES (gen_random_uuid(), 'None', gen_random_uuid(), '{}', now() - $1 * interval '1 s',
            CASE WHEN $2 THEN now() END)
"""


# ── what it tells ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.past_pooler("It names the checks, of which a pooler has one more.")
async def test_with_its_database_migrated_and_a_worker_the_service_is_ready(
    service: AsyncClient, by_hand: ByHand
) -> None:
    await by_hand.execute(BEAT, 0)
    ready = await service.get("/health/ready")
    names = ["database", "worker", "outbox", "parked events", "migrations", "signing keys", "pool"]
    assert ready.status_code == 200
    assert ready.json() == {
        "status": "ready",
        "checks": [{"name": name, "state": "ok"} for name in names],
        "ready": names,
    }


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


@pytest.mark.parametrize(
    ("beaten", "event", "degraded"),
    [
        (None, None, {"worker"}),
        (31, None, {"worker"}),
        (29, None, set[str]()),
        (0, (50, False), set[str]()),
        (0, (70, False), {"outbox"}),
        (0, (0, True), {"parked events"}),
        (31, (70, False), {"worker", "outbox"}),
    ],
)
async def test_what_an_operator_has_to_see_to_degrades_and_no_more(
    service: AsyncClient,
    by_hand: ByHand,
    beaten: int | None,
    event: tuple[int, bool] | None,
    degraded: set[str],
) -> None:
    if beaten is not None:
        await by_hand.execute(BEAT, beaten)
    if event is not None:
        await by_hand.execute(EVENT, *event)
    answer = await service.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded" if degraded else "ready")
    assert {name for name, state in states_of(answer).items() if state == "degraded"} == degraded
    assert not {*answer.json()["ready"]} & degraded


async def test_the_limits_are_settings(empty_database_url: str, by_hand: ByHand) -> None:
    await by_hand.execute(BEAT, 3)
    await by_hand.execute(EVENT, 3, False)
    short = {"worker_heartbeat_seconds": 1, "worker_missing_seconds": 2, "outbox_overdue_seconds": 2}
    async with serving(empty_database_url, **short) as client:
        states = states_of(await client.get("/health/ready"))
    assert (states["worker"], states["outbox"]) == ("degraded", "degraded")


async def test_a_signing_key_that_cannot_be_unsealed_is_not_ready(
    service: AsyncClient, empty_database_url: str, by_hand: ByHand
) -> None:
    key = a_signing_key()
    await by_hand.execute(
        "INSERT INTO signing_keys (id, number, kid, sealed, created_at, signs_from, version)"
        " VALUES ($1, 1, $2, 'sealed with another secret', $3, $3, 1)",
        key.id,
        key.kid,
        NOW,
    )
    unready = await service.get("/health/ready")
    assert (unready.status_code, unready.json()["detail"]) == (503, "Not there: signing keys.")
    assert "AUTH_SECRET" not in unready.text
    # Where the built-in issuer's tokens do not count, nor do its keys.
    provider = {"auth_provider": "oidc", "oidc_issuer": "https://p.example.com", "oidc_audience": "a"}
    async with serving(empty_database_url, **provider) as client:
        answer = await client.get("/health/ready")
        assert answer.status_code == 200
        assert "signing keys" not in states_of(answer)


async def test_the_providers_absence_degrades_and_its_return_is_seen(empty_database_url: str) -> None:
    provider = ProviderServer()
    await provider.start()
    await provider.stop()
    settings = {"auth_provider": "oidc", "oidc_issuer": provider.root, "oidc_audience": "a"}
    async with serving(empty_database_url, **settings) as client:
        answer = await client.get("/health/ready")
        assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
        assert states_of(answer)["provider oidc"] == "degraded"


# ── a pool that is busy ──────────────────────────────────────────────────────────────────────────


async def test_a_pool_that_is_exhausted_degrades_and_takes_nothing_from_readiness(
    app: Any, client: AsyncClient, database: Database, by_hand: ByHand
) -> None:
    app.state.provided.readiness._keep = 0
    await by_hand.execute(BEAT, 0)
    async with AsyncExitStack() as stack:
        for _ in range(5):
            await stack.enter_async_context(database.connection())
        for _ in range(16):
            started = perf_counter()
            answer = await client.get("/health/ready")
            assert perf_counter() - started < 1  # it waited for no place, which takes longer to be refused
            assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
            assert [name for name, state in states_of(answer).items() if state != "ok"] == ["pool"]
    assert states_of(await client.get("/health/ready"))["pool"] == "ok"


@pytest.mark.past_pooler("A pooler's connection to the server keeps the name of whoever used it last.")
async def test_it_has_one_connection_however_many_ask_and_its_own_statements(
    service: AsyncClient, by_hand: ByHand
) -> None:
    for _ in range(3):
        await asyncio.gather(*(service.get("/health/ready") for _ in range(20)))
    assert len(await backends(by_hand, HEALTH)) == 1
    assert await backends(by_hand, SERVICE_NAME) == []


# ── a database that is not what it was ───────────────────────────────────────────────────────────


async def test_a_server_that_has_become_read_only_is_not_ready_until_it_is_no_more(
    new_database: NewDatabase, template_database: str
) -> None:
    url = await new_database(template_database)
    connection = await asyncpg.connect(url)
    name = await connection.fetchval("SELECT current_database()")
    async with serving(url) as client:
        assert (await client.get("/health/ready")).status_code == 200
        await connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        await terminate(connection, HEALTH)  # a failover cuts what was connected
        await client.get("/health/ready")
        for _ in range(3):
            unready = await client.get("/health/ready")
            assert (unready.status_code, unready.json()["detail"]) == (503, "Not there: database.")
        await connection.execute("SET default_transaction_read_only = off")
        await connection.execute(f'ALTER DATABASE "{name}" RESET ALL')
        # The connection that was made meanwhile is one of the time before: it is given up as well.
        assert (await client.get("/health/ready")).status_code == 503
        assert (await client.get("/health/ready")).status_code == 200
    await connection.close()


async def test_a_silent_database_is_told_in_time_again_and_again_and_nothing_piles_up(proxy: Proxy) -> None:
    async with serving(proxy.url) as client:
        assert (await client.get("/health/ready")).status_code == 200
        open_before, tasks_before = len(proxy._serving), len(asyncio.all_tasks())
        proxy.frozen = proxy.silent = True
        most_open = most_tasks = 0
        for _ in range(4):
            started = perf_counter()
            answer = await client.get("/health/ready")
            assert perf_counter() - started < 3
            assert (answer.status_code, answer.json()["type"]) == (503, "/problems/not-ready")
            assert answer.json()["detail"].startswith("Not there: database")
            most_open = max(most_open, len(proxy._serving))
            most_tasks = max(most_tasks, len(asyncio.all_tasks()))
        # The proxy has three tasks of its own for a connection; a cancellation takes a second connection.
        assert most_open <= open_before + 2
        assert most_tasks <= tasks_before + 12
        proxy.frozen = proxy.silent = False

        async def ready() -> bool:
            return (await client.get("/health/ready")).status_code == 200

        await eventually(ready, seconds=5)


# ── /health/startup, and the end ─────────────────────────────────────────────────────────────────


async def test_startup_is_good_from_the_first_time_on_that_the_service_was_ready(proxy: Proxy) -> None:
    await proxy.stop()
    async with serving(proxy.url) as client:
        early = await client.get("/health/startup")
        assert (early.status_code, early.json()["type"]) == (503, "/problems/not-ready")
        assert early.headers["retry-after"] == "1"
        await proxy.start()
        started = await client.get("/health/startup")
        assert (started.status_code, started.json()) == (200, {"status": "started"})
        await proxy.stop()
        assert (await client.get("/health/ready")).status_code == 503
        assert (await client.get("/health/startup")).status_code == 200


async def test_readiness_that_was_asked_first_counts_as_a_start() -> None:
    check = Counted()
    readiness = Readiness({"a": check})
    await readiness.confirm()
    await readiness.confirm_started()
    assert check.asked == 1


async def test_one_that_drains_is_not_ready_at_once_but_has_started() -> None:
    check = Counted(seconds=0.05)
    readiness = Readiness({"a": check})
    await readiness.confirm()
    readiness.drain()
    for _ in range(2):
        with pytest.raises(NotReady, match=r"^The service is stopping\.$"):
            await readiness.confirm()
    await readiness.confirm_started()
    assert check.asked == 1


async def test_whoever_waits_for_an_answer_when_it_begins_to_drain_is_told_so() -> None:
    readiness = Readiness({"a": Counted(seconds=0.05)})
    waiting = asyncio.create_task(readiness.confirm())
    await asyncio.sleep(0.01)
    readiness.drain()
    with pytest.raises(NotReady):
        await waiting


# ── how it asks ──────────────────────────────────────────────────────────────────────────────────


async def test_all_who_ask_at_once_share_one_answer() -> None:
    check = Counted(seconds=0.01)
    readiness = Readiness({"a": check})
    answers = await asyncio.gather(*(readiness.confirm() for _ in range(100)))
    assert (check.asked, answers[0].states) == (1, {"a": State.OK})
    assert all(answer is answers[0] for answer in answers)


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

    async def cancelled() -> bool:
        raise asyncio.CancelledError

    checks: dict[str, Check] = {
        "a": Counted(holds=False),
        "b": Counted(holds=None),
        "c": broken,
        "d": Counted(seconds=9),
        "e": cancelled,
    }
    with pytest.raises(NotReady, match=r"^Not there: a, c, d, e\.$"):
        await Readiness(checks, timeout_seconds=0.01).confirm()


async def test_what_only_degrades_is_told_beside_what_holds() -> None:
    async def look() -> Mapping[str, str | None]:
        return {"found good": None, "found bad": "a reason"}

    report = await Readiness(
        {"a": look}, {"b": Counted(holds=False), "c": Counted(seconds=9)}, timeout_seconds=0.01
    ).confirm()
    assert report.states == {
        "a": State.OK,
        "found good": State.OK,
        "found bad": State.DEGRADED,
        "b": State.DEGRADED,
        "c": State.DEGRADED,
    }
    assert report.degraded


@pytest.mark.parametrize("hanging", ["required", "degrading"])
async def test_one_that_hangs_whatever_is_done_delays_neither_the_answer_nor_the_others(hanging: str) -> None:
    stubborn, other = Stubborn(), Counted()
    checks: tuple[dict[str, Check], dict[str, Check]] = ({"a": other}, {})
    checks[hanging == "degrading"]["b"] = stubborn
    readiness = Readiness(*checks, timeout_seconds=0.05, keep_seconds=0)
    tasks = len(asyncio.all_tasks())
    try:
        for _ in range(5):
            started = perf_counter()
            if hanging == "required":
                with pytest.raises(NotReady, match=r"^Not there: b\.$"):
                    await readiness.confirm()
            else:
                assert (await readiness.confirm()).states == {"a": State.OK, "b": State.DEGRADED}
            assert perf_counter() - started < 1
        assert (stubborn.asked, other.asked) == (1, 5)  # nor does it pile up
        assert len(asyncio.all_tasks()) <= tasks + 1
    finally:
        stubborn.over.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not (await readiness.confirm()).degraded


async def test_one_who_leaves_does_not_end_it_for_the_others() -> None:
    check = Counted(seconds=0.02)
    readiness = Readiness({"a": check})
    first = asyncio.create_task(readiness.confirm())
    second = asyncio.create_task(readiness.confirm())
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).states == {"a": State.OK}
    assert check.asked == 1


# ── what the log is told ─────────────────────────────────────────────────────────────────────────


async def test_the_log_has_a_line_for_a_change_and_none_for_each_poll() -> None:
    check, other = Counted(), Counted()
    readiness = Readiness({"a": check}, {"b": other}, keep_seconds=0)
    with capture_logs() as logs:
        await readiness.confirm()
        check.holds = other.holds = False
        for _ in range(5):
            with pytest.raises(NotReady):
                await readiness.confirm()
        check.holds = other.holds = True
        for _ in range(5):
            await readiness.confirm()
    assert [(entry["log_level"], entry["event"], entry["check"]) for entry in logs] == [
        ("warning", "not ready", "a"),
        ("warning", "degraded", "b"),
        ("info", "check holds again", "a"),
        ("info", "check holds again", "b"),
    ]


async def test_what_lasts_is_told_again_once_a_minute() -> None:
    now = 0.0
    with capture_logs() as logs:
        told = states.States(structlog.get_logger("test"), monotonic=lambda: now)
        for now in range(0, 150, 10):
            told.wrong("a", "wrong", at=now)
        told.right("a", "right")
        told.right("a", "right")
    assert [entry.get("at") for entry in logs] == [0, 60, 120, None]


async def test_a_poll_that_is_refused_is_no_line_and_its_reason_is_only_in_the_log() -> None:
    async with serving("postgresql://nobody:pass@127.0.0.1:1/nothing") as client:
        with capture_logs() as logs:
            for _ in range(3):
                answer = await client.get("/health/ready")
                assert answer.status_code == 503
                assert "127.0.0.1" not in answer.text
                assert "answer" not in answer.json()["detail"]
    assert [entry["check"] for entry in logs] == ["database", "migrations", "signing keys"]
    assert logs[0]["reason"] == "The database does not answer."
    assert "ConnectionError" in logs[0]["cause"]
