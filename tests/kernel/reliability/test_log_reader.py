"""Whoever reads the log stops reading: a collector that hangs, a disk behind it that is full."""

import asyncio
from time import perf_counter

from kernel.reliability.conftest import Tell
from kernel.servers.serving import environment_of, logged, serving

REQUESTS = 2_000
AT_A_TIME = 20
ROUTE = "/v1/me"


async def test_a_log_that_nobody_reads_stops_no_request_and_loses_no_line(
    empty_database_url: str, tell: Tell
) -> None:
    environment = environment_of(empty_database_url)
    async with serving(environment, read_ahead=16_384) as (client, process):
        slowest = 0.0

        async def ask() -> None:
            nonlocal slowest
            for _ in range(REQUESTS // AT_A_TIME):
                began = perf_counter()
                answer = await client.get(ROUTE)
                assert answer.status_code == 401
                slowest = max(slowest, perf_counter() - began)

        async with asyncio.timeout(120), asyncio.TaskGroup() as group:
            for _ in range(AT_A_TIME):
                group.create_task(ask())
        async with asyncio.timeout(30), logged(process) as lines:
            while sum(line.get("route") == ROUTE for line in lines) < REQUESTS:  # noqa: ASYNC110 (another reads)
                await asyncio.sleep(0.05)
    tell(
        "nobody reads the log, requests answered",
        f"{REQUESTS} of {REQUESTS}, the slowest in {slowest:.2f} s; lines lost: 0",
    )
