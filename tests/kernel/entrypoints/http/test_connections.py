"""How many connections a process has: idle ones give way, and whoever is too many is told so."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from kernel.servers.serving import environment_of, serving
from kernel.servers.talking import Answer, Connection, Cut, connected

MOST = 4


@pytest.fixture
async def port(empty_database_url: str) -> AsyncIterator[int]:
    environment = environment_of(empty_database_url, CONNECTIONS_MOST=str(MOST))
    async with serving(environment, module="kernel.servers.telling") as (client, process):
        await client.aclose()
        yield int(environment["PORT"])
        process.terminate()
        output, _ = await process.communicate()
    assert b"Traceback" not in output
    refused = [line for line in map(json.loads, output.splitlines()) if line.get("status") == 503]
    assert {line["event"] for line in refused} <= {"request"}


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def busy(port: int, stack: AsyncExitStack, many: int) -> list[Connection]:
    """So many that wait for an answer."""
    connections = [await stack.enter_async_context(connected(port)) for _ in range(many)]
    for connection in connections:
        connection.send("/endless")
    await asyncio.sleep(0.5)
    return connections


def is_refusal(answer: Answer) -> bool:
    assert (answer.status, answer.json["type"]) == (503, "/problems/too-many-connections")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "1"
    return answer.ends


async def test_whoever_is_too_many_is_told_so_and_health_is_answered(
    port: int, stack: AsyncExitStack
) -> None:
    first, *_ = await busy(port, stack, MOST)
    for path, body in (("/told", None), ("/echo", b"12"), ("/echo", b"1" * 1_000_000)):
        async with connected(port) as newcomer:
            assert is_refusal(await newcomer.ask(path, body))
    for path in ("/health/live", "/health/ready"):
        async with connected(port) as prober:
            assert (await prober.ask(path)).status == 200
            assert is_refusal(await prober.ask("/told"))
    first.close()
    await asyncio.sleep(0.3)
    async with connected(port) as newcomer:
        assert (await newcomer.ask("/told")).status == 200


async def test_the_connection_that_is_idle_longest_gives_way(port: int, stack: AsyncExitStack) -> None:
    await busy(port, stack, MOST - 3)
    one, two, three = [await stack.enter_async_context(connected(port)) for _ in range(3)]
    for connection in (two, one, three):
        assert (await connection.ask("/told")).status == 200
    newcomer = await stack.enter_async_context(connected(port))
    assert (await newcomer.ask("/told")).status == 200
    assert await two.rest() == b""
    for connection in (one, three, newcomer):
        assert (await connection.ask("/told")).status == 200


async def test_a_request_that_is_arriving_does_not_give_way(port: int, stack: AsyncExitStack) -> None:
    await busy(port, stack, MOST - 2)
    arriving, used = [await stack.enter_async_context(connected(port)) for _ in range(2)]
    arriving.writer.write(b"GET /told HTTP/1.1\r\nHo")
    await used.ask("/told")
    used.writer.write(b"GET /told HTTP/1.1\r\nHo")
    await asyncio.sleep(1.2)
    async with connected(port) as newcomer:
        assert is_refusal(await newcomer.ask("/told"))
    for connection in (arriving, used):
        connection.writer.write(b"st: x\r\n\r\n")
        assert (await connection.read()).status == 200


async def test_whoever_has_said_nothing_for_a_second_gives_way_and_not_before(
    port: int, stack: AsyncExitStack
) -> None:
    await busy(port, stack, MOST - 1)
    silent = await stack.enter_async_context(connected(port))
    await asyncio.sleep(1.2)
    newcomer = await stack.enter_async_context(connected(port))
    assert (await newcomer.ask("/told")).status == 200
    assert await silent.rest() == b""


async def test_a_crowd_at_once_is_served_or_refused_and_nobody_hangs(port: int) -> None:
    async def one() -> int:
        async with connected(port) as connection:
            try:
                return (await asyncio.wait_for(connection.ask("/told"), 60)).status
            except Cut:
                return 0

    statuses = [
        status for _ in range(10) for status in await asyncio.gather(*(one() for _ in range(2 * MOST)))
    ]
    assert set(statuses) <= {200, 503}
    assert statuses.count(200) >= 10 * MOST
