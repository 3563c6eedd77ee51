"""Many clients at once."""

import asyncio
from time import perf_counter

from httpx2 import AsyncClient, Limits

from kernel.reliability.conftest import Share, Tell
from kernel.servers.serving import environment_of, serving


async def test_64_connections_see_no_error(empty_database_url: str, tell: Tell, share: Share) -> None:
    count = 0
    async with serving(environment_of(empty_database_url)) as (client, _):
        ends = perf_counter() + share(10)

        async def ask(own: AsyncClient) -> None:
            nonlocal count
            while perf_counter() < ends:
                answer = await own.get("/health/ready")
                assert answer.status_code == 200
                count += 1

        limits = Limits(max_connections=64, max_keepalive_connections=64)
        async with AsyncClient(base_url=client.base_url, limits=limits, timeout=30) as own:
            await asyncio.gather(*(ask(own) for _ in range(64)))
    assert count > 64
    tell("64 connections, errors", f"0 of {count}")
