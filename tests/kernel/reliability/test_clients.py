"""Clients that leave, and more clients than the pool has places."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from time import perf_counter

import asyncpg
from httpx2 import AsyncClient, Limits

from entrypoints.kernel.service import SERVICE_NAME
from kernel.reliability.conftest import Share, Tell
from kernel.servers.backends import await_backends, backends
from kernel.servers.serving import environment_of, logged, serving

SLOW = "kernel.servers.slow"
POOL = 5


async def hang_up(environment: Mapping[str, str], count: int, *, after: float, method: str = "GET") -> None:
    """So many clients ask for what takes 20 seconds in a statement, and leave."""

    async def leave() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", int(environment["PORT"]))
        writer.write(f"{method} /sleeping/20 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await asyncio.sleep(after)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    await asyncio.gather(*(leave() for _ in range(count)))


async def test_200_clients_hang_up_in_a_statement(empty_database_url: str, tell: Tell) -> None:
    patient = {"DATABASE_WAIT_SECONDS": "60", "DATABASE_STATEMENT_SECONDS": "30"}
    environment = environment_of(empty_database_url, **patient)
    by_hand = await asyncpg.connect(empty_database_url)
    async with serving(environment, module=SLOW) as (client, process), logged(process) as lines:
        await hang_up(environment, 200, after=1)
        left = perf_counter()
        await await_backends(by_hand, SERVICE_NAME, 0, state="active")
        ended = perf_counter() - left
        assert (await client.get("/sleeping/0")).status_code == 200
        served = perf_counter() - left
    await by_hand.close()
    statuses = [line["status"] for line in lines if line["event"] == "request"]
    assert (statuses.count(499), [line for line in lines if line["level"] == "error"]) == (200, [])
    assert served < 5  # and not the 20 of a statement
    tell("200 hang-ups, until no statement runs and the next is served", f"{ended:.2f} s, {served:.2f} s")


async def test_500_clients_disconnect_mid_query(empty_database_url: str, tell: Tell) -> None:
    environment = environment_of(empty_database_url, DATABASE_POOL_SIZE=str(POOL), DATABASE_WAIT_SECONDS="60")
    by_hand = await asyncpg.connect(empty_database_url)
    async with serving(environment, module=SLOW) as (client, process), logged(process) as lines:
        for _ in range(5):
            await hang_up(environment, 100, after=0.2)
        await await_backends(by_hand, SERVICE_NAME, 0, state="active")
        answers = await asyncio.gather(*(client.get("/sleeping/0.1") for _ in range(POOL)))
        open_now = len(await backends(by_hand, SERVICE_NAME))
    await by_hand.close()
    assert [answer.status_code for answer in answers] == [200] * POOL
    assert open_now <= POOL + 1  # and one that counts mails
    assert [line for line in lines if line["level"] == "error"] == []
    tell("500 disconnects mid-query, orphan queries, connections", f"0, {open_now} of {POOL}")


async def test_a_pool_of_5_and_200_clients(empty_database_url: str, tell: Tell, share: Share) -> None:
    environment = environment_of(empty_database_url, DATABASE_POOL_SIZE=str(POOL))
    limits = Limits(max_connections=210)
    async with (
        serving(environment, module=SLOW) as (client, process),
        logged(process) as lines,
        AsyncClient(base_url=client.base_url, limits=limits, timeout=30) as own,
    ):
        ends = perf_counter() + share(3)
        while perf_counter() < ends:
            asking = [asyncio.create_task(own.get("/sleeping/2")) for _ in range(200)]
            await asyncio.sleep(0.5)
            assert (await client.get("/health/live")).status_code == 200
            answers = await asyncio.gather(*asking)
            refused = [answer for answer in answers if answer.status_code == 503]
            assert len(refused) >= 200 - 2 * POOL  # a place may be free again within the second of waiting
            assert all(answer.headers["retry-after"] for answer in refused)
            assert {answer.status_code for answer in answers} == {200, 503}
        assert (await client.get("/sleeping/0")).status_code == 200
    waited = sorted(float(str(line["duration_ms"])) for line in lines if line.get("status") == 503)
    median = waited[len(waited) // 2] / 1000
    assert median <= 1.5
    told = f"{len(waited)}, {median:.2f} s, {waited[-1] / 1000:.2f} s"
    tell("pool of 5, 200 clients: answers of 503, their median and their longest", told)
