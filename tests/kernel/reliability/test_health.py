"""Readiness while what it looks at is busy, read-only, silent or not at work."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

import asyncpg
from httpx2 import AsyncClient, Response

from entrypoints.kernel.service import SERVICE_NAME
from kernel.reliability.conftest import Share, Tell
from kernel.servers.backends import ByHand, Proxy, backends, eventually, terminate
from kernel.servers.serving import environment_of, serving
from kernel.servers.workers import a_worker, logged

POOL = 10


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[ByHand]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def poll(client: AsyncClient) -> Response:
    return await client.get("/health/ready", timeout=10)


def degraded(answer: Response) -> set[str]:
    checks = answer.json().get("checks", ())
    return {check["name"] for check in checks if check["state"] == "degraded"}


async def becomes(client: AsyncClient, status: int) -> float:
    """For how many seconds it was not yet so."""
    started = perf_counter()

    async def has() -> bool:
        await asyncio.sleep(0.05)
        return (await poll(client)).status_code == status

    await eventually(has, seconds=15)
    return perf_counter() - started


async def test_readiness_with_the_pool_exhausted(empty_database_url: str, tell: Tell, share: Share) -> None:
    """Every connection of the pool waits in a statement, and as many requests again for a connection."""
    answers, found, slowest = Counter[int](), Counter[str](), 0.0
    environment = environment_of(
        empty_database_url, DATABASE_LOCK_SECONDS="60", DATABASE_STATEMENT_SECONDS="60"
    )
    person = {"email": "ada@example.com", "password": "violet kettle hums at dawn"}
    async with (
        connected(empty_database_url) as by_hand,
        connected(empty_database_url) as locking,
        serving(environment) as (client, _),
    ):
        assert (await poll(client)).status_code == 200
        await client.post("/v1/auth/register", json={**person, "display_name": "Ada"})
        token = (await client.post("/v1/auth/login", json=person)).json()["access_token"]
        over = asyncio.Event()

        async def ask() -> None:
            while not over.is_set():
                await client.get("/v1/me", headers={"authorization": f"Bearer {token}"}, timeout=90)

        async with asyncio.TaskGroup() as clients, locking.transaction():
            await locking.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
            for _ in range(2 * POOL):
                clients.create_task(ask())

            async def full() -> bool:
                return len(await backends(by_hand, SERVICE_NAME, state="active")) == POOL

            await eventually(full)
            await asyncio.sleep(1)  # for so long does readiness keep what it found before
            for _ in range(16 * round(share(1))):
                started = perf_counter()
                answer = await poll(client)
                slowest = max(slowest, perf_counter() - started)
                answers[answer.status_code] += 1
                found.update(degraded(answer))
                await asyncio.sleep(0.2)
            over.set()
        polls = answers.total()
        assert answers == {200: polls}
        assert found["pool"] == polls
        assert slowest < 2

        async def free() -> bool:
            return "pool" not in degraded(await poll(client))

        await eventually(free)
    tell("readiness with the pool exhausted", f"{answers[200]} of {polls} are 200, slowest {slowest:.2f} s")


async def test_a_server_that_becomes_read_only(empty_database_url: str, tell: Tell) -> None:
    """As after a failover: every connection is cut, and whoever answers from then on takes no write."""
    async with (
        connected(empty_database_url) as by_hand,
        serving(environment_of(empty_database_url)) as (
            client,
            _,
        ),
    ):
        name = await by_hand.fetchval("SELECT current_database()")
        assert (await poll(client)).status_code == 200
        try:
            await by_hand.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
            for application in (SERVICE_NAME, f"{SERVICE_NAME} health"):
                await terminate(by_hand, application)
            told = await becomes(client, 503)
            for _ in range(5):
                answer = await poll(client)
                assert (answer.status_code, answer.json()["detail"]) == (503, "Not there: database.")
                assert answer.headers["retry-after"] == "1"
                assert (await client.get("/health/live")).status_code == 200
                await asyncio.sleep(0.3)
        finally:
            await by_hand.execute("SET default_transaction_read_only = off")
            await by_hand.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
        back = await becomes(client, 200)
        assert (await client.get("/health/startup")).status_code == 200
    assert told < 5
    assert back < 5
    tell("a server that becomes read-only", f"not ready after {told:.1f} s, ready {back:.1f} s after its end")


async def test_a_database_that_falls_silent(empty_database_url: str, tell: Tell, share: Share) -> None:
    """Readiness says so in time, each time; and the worker says that it cannot show itself."""
    proxy, slowest, most = Proxy(empty_database_url), 0.0, 0
    await proxy.start()
    async with (
        serving(environment_of(proxy.url)) as (client, _),
        a_worker(proxy.url, WORKER_HEARTBEAT_SECONDS="0.5") as worker,
    ):
        await logged(worker, "worker started")
        assert (await poll(client)).status_code == 200
        proxy.frozen = proxy.silent = True
        silent = perf_counter()
        told = await becomes(client, 503)
        worker_told = asyncio.create_task(logged(worker, "cannot show that it is at work"))
        while perf_counter() - silent < share(6):
            started = perf_counter()
            answer = await poll(client)
            slowest = max(slowest, perf_counter() - started)
            assert answer.status_code == 503
            most = max(most, len(proxy._serving))
            await asyncio.sleep(0.2)
        await worker_told
        proxy.frozen = proxy.silent = False
        back = await becomes(client, 200)
        await logged(worker, "can show again that it is at work")
    await proxy.stop()
    assert slowest < 3
    assert back < 5
    assert most < 20  # of both processes: nothing piles up
    tell(
        "a database that falls silent",
        f"not ready after {told:.1f} s, slowest answer {slowest:.1f} s, ready {back:.1f} s after its end",
    )


async def test_a_worker_that_is_killed(empty_database_url: str, tell: Tell) -> None:
    settings = {"WORKER_HEARTBEAT_SECONDS": "0.5", "WORKER_MISSING_SECONDS": "2"}
    async with serving(environment_of(empty_database_url, **settings)) as (client, _):

        async def at_work() -> bool:
            answer = await poll(client)
            assert answer.status_code == 200
            return "worker" not in degraded(answer)

        async def missing() -> bool:
            return not await at_work()

        assert await missing()
        async with a_worker(empty_database_url, **settings) as worker:
            await eventually(at_work, seconds=15)
            os.kill(worker.pid, signal.SIGKILL)
            killed = perf_counter()
            await eventually(missing, seconds=15)
            told = perf_counter() - killed
    assert 1 < told < 6
    tell("a worker killed, missing after 2 s", f"degraded after {told:.1f} s")
