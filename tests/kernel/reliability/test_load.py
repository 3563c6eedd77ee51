"""Many clients at once."""

import asyncio
from time import perf_counter

from httpx2 import AsyncClient, Limits

from kernel.reliability.conftest import Share, Tell
from kernel.reliability.writers import PUBLIC_URL, a_team_on
from kernel.servers.serving import environment_of, serving


async def test_64_connections_see_no_error(empty_database_url: str, tell: Tell, share: Share) -> None:
    team, headers = await a_team_on(empty_database_url)
    path, count = f"/v1/workspaces/{team.workspace.id}/specimen_orders", 0
    async with serving(environment_of(empty_database_url, PUBLIC_URL=PUBLIC_URL)) as (client, process):
        reading = asyncio.gather(process.stdout.read(), process.stderr.read())  # type: ignore[union-attr]
        ends = perf_counter() + share(10)

        async def ask(own: AsyncClient) -> None:
            nonlocal count
            while perf_counter() < ends:
                made = await own.post(path, json={"title": "Spin"}, headers=headers)
                seen = await own.get(path, headers=headers)
                assert (made.status_code, seen.status_code) == (201, 200)
                count += 2

        limits = Limits(max_connections=64, max_keepalive_connections=64)
        async with AsyncClient(base_url=client.base_url, limits=limits, timeout=30) as own:
            await asyncio.gather(*(ask(own) for _ in range(64)))
        process.terminate()
        await reading
    assert count > 64
    tell("64 connections, errors", f"0 of {count}")
