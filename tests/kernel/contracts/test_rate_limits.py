"""What counts requests: the same of a process's own memory and of a Redis that many share."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from time import monotonic

import pytest

from adapters.limits.memory import MemoryRateLimits
from adapters.limits.redis import RedisRateLimits
from application.kernel.ports.limits import Charge, Policy, RateLimits
from kernel.servers.redis_server import RedisServer, a_redis

PATIENT_SECONDS = 30  # in which a machine under load answers, too

MINUTE = Policy("default", 3, 60)
WORKSPACE = Policy("workspace", 5, 60)
SECOND = Policy("default", 2, 1)


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with a_redis() as server:
        yield server


@asynccontextmanager
async def of_redis(redis: RedisServer, prefix: str) -> AsyncIterator[RedisRateLimits]:
    limits = RedisRateLimits(redis.url, prefix=prefix, wait_seconds=PATIENT_SECONDS)
    yield limits
    await limits.close()


@pytest.fixture(params=["memory", "redis"])
async def limits(request: pytest.FixtureRequest) -> AsyncIterator[RateLimits]:
    if request.param == "memory":
        yield MemoryRateLimits()
        return
    async with of_redis(request.getfixturevalue("redis"), f"{request.node.name}:") as limits:
        yield limits


async def test_a_quota_is_used_up_and_says_for_how_long(limits: RateLimits) -> None:
    ada = [Charge("ada", MINUTE)]
    left = []
    for _ in range(3):
        verdict = await limits.charge(ada)
        assert verdict.allowed
        (standing,) = verdict.standings
        assert 0 < standing.seconds <= 60
        left.append(standing.left)
    assert left == [2, 1, 0]
    for _ in range(2):  # the second is known without a question
        verdict = await limits.charge(ada)
        assert not verdict.allowed
        (standing,) = verdict.standings
        assert standing.left == 0
        assert 0 < standing.seconds <= 60
    assert (await limits.charge([Charge("grace", MINUTE)])).allowed
    assert (limits.allowed, limits.refused, limits.fell_back) == (4, 2, 0)


async def test_a_request_that_one_key_refuses_counts_under_none(limits: RateLimits) -> None:
    for name in ("ada", "ada", "ada", "grace"):
        assert (await limits.charge([Charge(name, MINUTE), Charge("shop", WORKSPACE)])).allowed
    refused = await limits.charge([Charge("ada", MINUTE), Charge("shop", WORKSPACE)])
    assert not refused.allowed
    assert refused.standings[0].left == 0
    last = await limits.charge([Charge("grace", MINUTE), Charge("shop", WORKSPACE)])
    assert last.allowed
    assert [standing.left for standing in last.standings] == [1, 0]
    refused = await limits.charge([Charge("linus", MINUTE), Charge("shop", WORKSPACE)])
    assert not refused.allowed
    assert (await limits.charge([Charge("linus", MINUTE)])).standings[0].left == 2


async def test_what_is_given_back_can_be_used_again(limits: RateLimits) -> None:
    shop = [Charge("shop", Policy("workspace", 1, 60))]
    for _ in range(3):
        assert (await limits.charge(shop)).allowed
        await limits.give_back(shop)
    assert (await limits.charge(shop)).standings[0].left == 0


async def test_in_no_window_there_are_more_than_the_quota(limits: RateLimits) -> None:
    """Greedy for some windows: each request that was allowed lies a window behind the one two before it."""
    ada, allowed = [Charge("ada", SECOND)], list[tuple[float, float]]()
    ends = monotonic() + 3.2
    while monotonic() < ends:
        asked = monotonic()
        if (await limits.charge(ada)).allowed:
            allowed.append((asked, monotonic()))
        await asyncio.sleep(0.001)
    assert len(allowed) >= 6  # at 0, 1, 2 and 3 seconds, and a slow machine may miss one
    for before, after in zip(allowed, allowed[2:], strict=False):
        assert after[1] - before[0] >= 1


async def test_one_that_keeps_below_its_quota_is_never_refused(limits: RateLimits) -> None:
    """A key that is used all the time does not expire as a whole: what is over is dropped from it."""
    policy = Policy("default", 4, 1)
    for _ in range(8):
        assert (await limits.charge([Charge("ada", policy)])).allowed
        await asyncio.sleep(0.3)


async def test_many_at_once_are_no_more_than_the_quota(limits: RateLimits) -> None:
    verdicts = await asyncio.gather(
        *(limits.charge([Charge("ada", Policy("p", 50, 60))]) for _ in range(200))
    )
    assert sum(verdict.allowed for verdict in verdicts) == 50
    assert limits.fell_back == 0


async def test_what_counts_can_be_checked(limits: RateLimits) -> None:
    assert await limits.check()


async def test_processes_that_share_a_redis_share_its_counts(redis: RedisServer) -> None:
    async with of_redis(redis, "shared:") as one, of_redis(redis, "shared:") as other:
        ada = [Charge("ada", MINUTE)]
        assert [(await each.charge(ada)).standings[0].left for each in (one, other, one)] == [2, 1, 0]
        assert not (await other.charge(ada)).allowed
    async with of_redis(redis, "another service:") as one:
        assert (await one.charge(ada)).standings[0].left == 2


# ── of a process's own memory ────────────────────────────────────────────────────────────────────


async def test_a_hundred_thousand_clients_are_remembered_and_no_more() -> None:
    now = 0.0
    limits = MemoryRateLimits(keys_most=1_000, clock=lambda: now)
    assert MemoryRateLimits()._keys_most == 100_000
    for _ in range(3):
        await limits.charge([Charge("ada", MINUTE)])
    for number in range(5_000):
        await limits.charge([Charge(f"client {number}", MINUTE)])
        if number % 500 == 0:  # whoever goes on is not forgotten for those who come
            assert not (await limits.charge([Charge("ada", MINUTE)])).allowed
    assert len(limits) == 1_000


async def test_what_is_over_is_forgotten_however_long_a_client_goes_on() -> None:
    now = 0.0
    limits = MemoryRateLimits(clock=lambda: now)
    for second in range(1_000):
        now = float(second)
        assert (await limits.charge([Charge("ada", Policy("p", 20, 10))])).allowed
    assert len(limits._times["ada"]) <= 40


async def test_a_quota_that_has_become_smaller_is_used_up() -> None:
    limits = MemoryRateLimits()
    for _ in range(3):
        await limits.charge([Charge("ada", MINUTE)])
    verdict = await limits.charge([Charge("ada", Policy("default", 1, 60))])
    assert (verdict.allowed, verdict.standings[0].left) == (False, 0)
