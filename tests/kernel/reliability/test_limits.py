"""Limits that two processes share through a Redis, under load and without it."""

import asyncio
from contextlib import AsyncExitStack
from statistics import median
from time import perf_counter

from httpx2 import AsyncClient, Limits

from adapters.limits.redis import FAILURES_MOST, RedisRateLimits
from application.kernel.ports.limits import Charge, Policy
from kernel.reliability.conftest import Share, Tell
from kernel.reliability.writers import PUBLIC_URL, a_team_on
from kernel.servers.redis_server import a_redis
from kernel.servers.serving import environment_of, serving

QUOTA, WINDOW_SECONDS = 100, 5


async def test_two_processes_under_load_allow_what_the_policy_allows(
    empty_database_url: str, tell: Tell, share: Share
) -> None:
    team, headers = await a_team_on(empty_database_url)
    path = f"/v1/workspaces/{team.workspace.id}"
    seconds = max(2, round(share(2))) * WINDOW_SECONDS + WINDOW_SECONDS / 2
    allowed, refused = list[float](), 0
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(a_redis())
        settings = {
            "PUBLIC_URL": PUBLIC_URL,
            "REDIS_URL": redis.url,
            "REDIS_WAIT_MS": "1000",  # a machine under this load may stall, which is another test's matter
            "RATE_LIMITS": f"default={QUOTA}/{WINDOW_SECONDS},workspace=1000000/60",
            "LOG_LEVEL": "warning",
        }
        replicas = [
            (await stack.enter_async_context(serving(environment_of(empty_database_url, **settings))))[0]
            for _ in range(2)
        ]
        for each in replicas:  # both connected, and no count of it
            assert (await each.get("/v1/auth/providers")).status_code == 200
        began = perf_counter()

        async def ask(own: AsyncClient) -> None:
            nonlocal refused
            while perf_counter() < began + seconds:
                answer = await own.get(path, headers=headers)
                if answer.status_code == 200:
                    allowed.append(perf_counter())
                else:
                    assert answer.status_code == 429
                    refused += 1
                    await asyncio.sleep(0.02)  # more are no further proof, and take the machine's time

        most = Limits(max_connections=8, max_keepalive_connections=8)
        clients = [AsyncClient(base_url=each.base_url, limits=most, timeout=30) for each in replicas]
        for each in clients:
            await stack.enter_async_context(each)
        await asyncio.gather(*(ask(each) for each in clients for _ in range(8)))
    expected = QUOTA * (int(seconds / WINDOW_SECONDS) + 1)
    assert refused > QUOTA
    assert abs(len(allowed) - expected) <= expected / 100
    tell("two processes, one policy", f"{len(allowed)} of {expected} allowed, {refused} refused")


async def test_a_frozen_redis_costs_the_first_requests_60_ms_and_the_next_ones_one(tell: Tell) -> None:
    with a_redis() as redis:
        limits = RedisRateLimits(redis.url, prefix="test:")
        policy = Policy("default", 1_000_000, 60)

        async def took() -> float:
            began = perf_counter()
            await limits.charge([Charge("ada", policy), Charge("shop", policy)])
            return (perf_counter() - began) * 1000

        asked = [await took() for _ in range(500)]
        redis.freeze()
        first = [await took() for _ in range(FAILURES_MOST)]
        assert limits.is_open
        then = [await took() for _ in range(500)]
        redis.thaw()
        await limits.close()
    assert median(first) <= 60
    assert median(then) <= 1
    tell("Redis asked, two keys", f"{median(asked):.2f} ms")
    tell(
        "Redis frozen",
        f"{', '.join(f'{each:.1f}' for each in first)} ms, then {median(then):.3f} ms (most {max(then):.2f})",
    )
