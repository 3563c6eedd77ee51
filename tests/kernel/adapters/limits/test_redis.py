"""A Redis that does not answer, or not as it should: what the requests get, and what the operator is told."""

import asyncio
from collections.abc import AsyncIterator, Iterator, MutableSequence
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs
from valkey.asyncio import Valkey

from adapters.limits.redis import FAILURES_MOST, OPEN_SECONDS, RedisRateLimits
from application.kernel.ports.limits import Charge, Policy
from application.kernel.ports.world import Misconfigured, Unavailable
from kernel.servers.redis_server import RedisServer, a_redis

ADA = [Charge("ada", Policy("default", 5, 60))]
GRACE = [Charge("grace", Policy("login", 5, 60))]
SECRET = "s3cret-of-redis"


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with a_redis() as server:
        yield server


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def limits_of(url: str, **options: object) -> AsyncIterator[RedisRateLimits]:
    limits = RedisRateLimits(url, prefix="test:", **{"wait_seconds": 0.2, **options})  # type: ignore[arg-type]
    yield limits
    await limits.close()


async def test_a_silent_redis_is_asked_three_times_and_then_by_one_request_a_second(
    redis: RedisServer,
) -> None:
    clock = Clock()
    async with limits_of(redis.url, clock=clock) as limits:
        assert (await limits.charge(ADA)).standings[0].left == 4
        redis.freeze()
        with capture_logs() as logs:
            for number in range(FAILURES_MOST):
                assert limits.failed == number
                # It goes on from what this process has counted.
                assert (await limits.charge(ADA)).standings[0].left == 3 - number
            assert limits.failed == FAILURES_MOST
            for _ in range(20):
                await limits.charge(ADA)
            assert limits.failed == FAILURES_MOST
        assert [(line["event"], line["log_level"]) for line in logs] == [
            ("rate limits without Redis", "warning")
        ]
        assert logs[0]["reason"] == "Redis did not answer within 200 ms."
        clock.now += OPEN_SECONDS
        await asyncio.gather(*(limits.charge(GRACE) for _ in range(5)))
        assert limits.failed == FAILURES_MOST + 1
        assert limits.fell_back == FAILURES_MOST + 20 + 5
        redis.thaw()
        clock.now += OPEN_SECONDS
        with capture_logs() as logs:
            while limits.is_open:  # on a machine under load it may not answer in time, still
                await limits.charge([Charge("linus", Policy("default", 1_000_000, 60))])
                clock.now += OPEN_SECONDS
        assert logs[-1]["event"] == "rate limits with Redis again"


async def test_a_key_that_is_out_is_refused_without_a_question(redis: RedisServer) -> None:
    clock = Clock()
    async with limits_of(redis.url, wait_seconds=60, clock=clock) as limits:
        for _ in range(5):
            assert (await limits.charge(ADA)).allowed
        assert not (await limits.charge(ADA)).allowed
        redis.freeze()  # what asks it now waits
        async with asyncio.timeout(30):
            verdict = await limits.charge(ADA)
        assert (verdict.allowed, verdict.standings[0].left, limits.fell_back) == (False, 0, 0)
        redis.thaw()
        clock.now += 60
        assert not (await limits.charge(ADA)).allowed  # by the clock of Redis the window is not over


async def test_a_closed_class_is_refused_while_redis_is_silent(redis: RedisServer) -> None:
    async with limits_of(redis.url, closed=frozenset({"login"})) as limits:
        redis.kill()
        allowed = list[bool]()
        for _ in range(2 * FAILURES_MOST):
            with pytest.raises(Unavailable):
                await limits.charge(GRACE)
            allowed.append((await limits.charge(ADA)).allowed)
        assert allowed == [True] * 5 + [False]


async def test_a_redis_that_was_restarted_is_used_again(redis: RedisServer) -> None:
    async with limits_of(redis.url, wait_seconds=30) as limits:
        await limits.charge(ADA)
        redis.kill()
        redis.start()
        assert await limits.check()
        assert (await limits.charge(ADA)).standings[0].left == 4  # it has forgotten, and knows no script
        assert limits.failed == 0


async def test_many_requests_at_once_wait_for_a_connection_and_none_fails(redis: RedisServer) -> None:
    async with limits_of(redis.url, wait_seconds=30) as limits:
        await asyncio.gather(*(limits.charge(GRACE) for _ in range(300)))
        assert limits.failed == 0


async def test_requests_that_are_cancelled_leave_no_answer_to_another(redis: RedisServer) -> None:
    async with limits_of(redis.url, wait_seconds=30) as limits:
        tasks = [asyncio.create_task(limits.charge([Charge(f"{n}", ADA[0].policy)])) for n in range(100)]
        await asyncio.sleep(0)
        for number, task in enumerate(tasks):
            if number % 2:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        policy = Policy("default", 1_000, 60)
        left = [(await limits.charge([Charge("after", policy)])).standings[0].left for _ in range(50)]
        assert left == [*range(999, 949, -1)]
        assert limits.failed == 0


async def test_what_is_wrong_is_told_with_its_remedy_and_without_the_password() -> None:
    def told_by(error: BaseException) -> str:
        text = str(error)
        assert SECRET not in text
        return text

    with a_redis("--requirepass", SECRET) as locked:
        for url in (locked.url, f"redis://:{SECRET}x@127.0.0.1:{locked.port}"):
            async with limits_of(url, wait_seconds=30) as limits:
                with capture_logs() as logs:
                    for _ in range(FAILURES_MOST):
                        assert (await limits.charge(ADA)).allowed
                    with pytest.raises(Misconfigured) as refused:
                        await limits.check()
                assert "Set it as redis://user:password@host" in told_by(refused.value)
                assert SECRET not in str(logs)
        async with limits_of(f"redis://:{SECRET}@127.0.0.1:{locked.port}", wait_seconds=30) as limits:
            assert await limits.check()
    for options, remedy in (
        (("--maxmemory", "1mb", "--maxmemory-policy", "noeviction"), "Raise its maxmemory"),
        (("--replicaof", "127.0.0.1 1", "--replica-serve-stale-data", "yes"), "Name the primary"),
        (("--rename-command", "EVALSHA", ""), "It takes Redis 6"),
    ):
        with a_redis(*options) as odd:
            if "--maxmemory" in options:
                await fill(odd)
            async with limits_of(odd.url, wait_seconds=30) as limits:
                assert (await limits.charge(ADA)).allowed
                assert limits.fell_back == 1
                with pytest.raises(Misconfigured, match=remedy):
                    await limits.check()


async def fill(redis: RedisServer) -> None:
    client = Valkey(port=redis.port)
    await client.config_set("maxmemory", "1")
    await client.aclose()


async def test_what_is_no_redis_counts_as_none() -> None:
    answers: MutableSequence[bytes] = [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"*1\r\n:1\r\n", b"$5\r\nab", b""]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answers[0])
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    while answers:
        async with limits_of(f"redis://127.0.0.1:{port}", wait_seconds=30) as limits:
            assert (await limits.charge(ADA)).allowed
            assert (limits.fell_back, limits.failed) == (1, 1)
            with pytest.raises(Unavailable):
                await limits.check()
        del answers[0]
    server.close()
    await server.wait_closed()
