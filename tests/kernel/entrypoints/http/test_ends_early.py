"""Requests that end before they are answered: their time is over, or their client has left."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from time import perf_counter

import pytest
from httpx2 import AsyncClient, Response

from entrypoints.kernel.service import SERVICE_NAME
from entrypoints.settings import Settings
from kernel.servers.backends import PATIENCE, ByHand, Proxy, await_backends, eventually
from kernel.servers.proxies import a_proxy, documented, nginx
from kernel.servers.serving import environment_of, logged, serving
from kernel.specimen.service import Container
from kernel.world.builders import Team, a_session, store

SLOW = "kernel.servers.slow"
SPECIMEN_ORDER = {"title": "Spin"}
KEY = {"idempotency-key": "8e03978e-40d5-43e8-bc93-6894a57f9324"}
EFFECTS = "SELECT count(*) FROM specimen_orders"

# A COMMIT that lasts as long as somebody else holds the lock.
_SLOW_COMMIT = """
    CREATE FUNCTION wait_for_lock() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_advisory_xact_lock(11); RETURN NULL; END';
    CREATE CONSTRAINT TRIGGER slow_commit AFTER INSERT ON specimen_orders
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait_for_lock();
"""
_NO_SLOW_COMMIT = "DROP FUNCTION IF EXISTS wait_for_lock CASCADE"


@pytest.fixture
def environment(empty_database_url: str, settings: Settings) -> dict[str, str]:
    """Of a server that takes the tokens of this process."""
    return environment_of(empty_database_url, PUBLIC_URL=settings.public_url)


@pytest.fixture
async def headers(container: Container, team: Team) -> dict[str, str]:
    """A request of a member, under a key."""
    session = a_session(user_id=team.member.user_id, created_at=container.clock()())
    await store(container.begin(), session)
    token = await container.token_issuer().issue(team.member.user_id, session_id=session.id)
    return {**KEY, "authorization": f"Bearer {token.value}"}


@pytest.fixture
def specimen_orders(team: Team) -> str:
    return f"/v1/workspaces/{team.workspace.id}/specimen_orders"


@pytest.fixture
async def slow_commit(by_hand: ByHand) -> AsyncIterator[None]:
    """A COMMIT after an INSERT of an order lasts as long as this block holds its lock."""
    await by_hand.execute(_SLOW_COMMIT)
    await by_hand.execute("SELECT pg_advisory_lock(11)")
    try:
        yield
    finally:
        await by_hand.execute("SELECT pg_advisory_unlock_all()")
        await by_hand.execute(_NO_SLOW_COMMIT)


async def again_until_answered(client: AsyncClient, path: str, headers: Mapping[str, str]) -> Response:
    """The answer to a request that is repeated under its key, once the first has ended."""
    async with asyncio.timeout(PATIENCE):
        while True:
            answer = await client.post(path, json=SPECIMEN_ORDER, headers=headers)
            if answer.status_code != 409:
                return answer
            await asyncio.sleep(0.05)


def is_late(answer: Response) -> bool:
    return (answer.status_code, answer.json().get("type")) == (504, "/problems/deadline-exceeded")


# ── the deadline ─────────────────────────────────────────────────────────────────────────────────


async def test_whatever_a_request_waits_for_its_answer_comes_in_time(
    environment: dict[str, str], by_hand: ByHand
) -> None:
    environment |= {"REQUEST_SECONDS": "0.5", "DATABASE_POOL_SIZE": "1", "DATABASE_WAIT_SECONDS": "60"}
    async with serving(environment, module=SLOW) as (client, process), logged(process) as lines:
        before = perf_counter()
        late = await asyncio.gather(
            client.get("/sleeping/8"),  # in a statement
            client.post("/sleeping/8"),  # for a connection
            client.get("/stuck"),  # for nothing in particular
        )
        unread = await said(environment, asking("POST", "/v1/auth/login", body="{}  ")[:-2])
        took = perf_counter() - before
        assert [is_late(answer) for answer in late] == [True] * 3
        assert unread.startswith(b"HTTP/1.1 504")  # its body never came
        assert took < 5  # without a deadline 8 at least
        await await_backends(by_hand, SERVICE_NAME, 0, state="active")
        assert (await client.get("/sleeping/0")).status_code == 200
        begun = await client.get("/drip/1")  # what has begun to be answered has no deadline
        assert (begun.status_code, begun.text) == (200, "first last")
    assert [line for line in lines if line["level"] == "error"] == []
    assert [line["status"] for line in lines if line["event"] == "request"].count(504) == 4


async def said(environment: Mapping[str, str], request: bytes) -> bytes:
    """The first that is answered to these bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(environment["PORT"]))
    writer.write(request)
    try:
        async with asyncio.timeout(PATIENCE):
            return await reader.read(1000)
    finally:
        writer.close()


async def test_a_command_whose_time_is_over_has_done_nothing_and_is_done_when_it_comes_again(
    environment: dict[str, str], headers: dict[str, str], specimen_orders: str, by_hand: ByHand
) -> None:
    async with serving({**environment, "REQUEST_SECONDS": "0.5"}, module=SLOW) as (client, _):
        async with by_hand.transaction():
            await by_hand.execute("LOCK TABLE specimen_orders IN EXCLUSIVE MODE")
            assert is_late(await client.post(specimen_orders, json=SPECIMEN_ORDER, headers=headers))
        await await_backends(by_hand, SERVICE_NAME, 0, state="active")
        assert await by_hand.fetchval(EFFECTS) == 0
        answer = await again_until_answered(client, specimen_orders, headers)
    assert (answer.status_code, answer.headers.get("idempotency-replayed")) == (201, None)
    assert await by_hand.fetchval(EFFECTS) == 1


@pytest.mark.usefixtures("slow_commit")
async def test_a_command_whose_time_is_over_in_its_commit_is_done_whole_or_not_at_all(
    environment: dict[str, str], headers: dict[str, str], specimen_orders: str, by_hand: ByHand
) -> None:
    async with serving({**environment, "REQUEST_SECONDS": "0.5"}, module=SLOW) as (client, _):
        assert is_late(await client.post(specimen_orders, json=SPECIMEN_ORDER, headers=headers))
        await await_backends(by_hand, SERVICE_NAME, 0, state="active")
        effects = (
            await by_hand.fetchval(EFFECTS),
            await by_hand.fetchval("SELECT count(*) FROM idempotency_keys"),
        )
        assert effects in {(0, 0), (1, 1)}
        await by_hand.execute("SELECT pg_advisory_unlock_all()")
        answer = await again_until_answered(client, specimen_orders, headers)
    assert answer.status_code == 201
    assert await by_hand.fetchval(EFFECTS) == 1


@pytest.mark.usefixtures("slow_commit")
async def test_a_commit_that_was_done_after_the_time_was_over_is_answered_when_it_comes_again(
    environment: dict[str, str],
    headers: dict[str, str],
    specimen_orders: str,
    by_hand: ByHand,
    empty_database_url: str,
) -> None:
    proxy = Proxy(empty_database_url)
    await proxy.start()
    try:
        through = {"DATABASE_URL": proxy.url, "REQUEST_SECONDS": "1.5"}
        async with serving({**environment, **through}, module=SLOW) as (client, _):
            request = asyncio.create_task(client.post(specimen_orders, json=SPECIMEN_ORDER, headers=headers))
            await eventually(lambda: commits(by_hand))
            proxy.frozen = True  # from here on neither the answer nor a cancellation gets through
            await by_hand.execute("SELECT pg_advisory_unlock_all()")
            assert is_late(await request)
            await eventually(lambda: is_one(by_hand))
            proxy.frozen = False
            answer = await again_until_answered(client, specimen_orders, headers)
    finally:
        await proxy.stop()
    assert (answer.status_code, answer.headers.get("idempotency-replayed")) == (201, "true")
    assert await by_hand.fetchval(EFFECTS) == 1


async def commits(by_hand: ByHand) -> bool:
    """Whether a COMMIT of the service waits for the lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE query = 'COMMIT' AND wait_event_type = 'Lock'"
    return bool(await by_hand.fetchval(waiting))


async def is_one(by_hand: ByHand) -> bool:
    return bool(await by_hand.fetchval(EFFECTS) == 1)


# ── clients that leave ───────────────────────────────────────────────────────────────────────────


async def left(
    environment: Mapping[str, str], request: bytes, *, after: float = 0.3, reset: bool = False
) -> None:
    """Sends these bytes, and leaves without waiting for an answer."""
    _, writer = await asyncio.open_connection("127.0.0.1", int(environment["PORT"]))
    writer.write(request)
    await writer.drain()
    await asyncio.sleep(after)
    if reset:
        wire = writer.get_extra_info("socket")
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


def asking(method: str, path: str, *headers: str, body: str = "") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *headers]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def statuses(lines: list[dict[str, object]]) -> list[object]:
    return [line["status"] for line in lines if line["event"] == "request"]


def errors(lines: list[dict[str, object]]) -> list[dict[str, object]]:
    return [line for line in lines if line["level"] in {"error", "critical"}]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_statements_of_reads_end_with_the_clients_that_wait_for_them(
    environment: dict[str, str], by_hand: ByHand, method: str
) -> None:
    environment |= {"DATABASE_POOL_SIZE": "5", "DATABASE_WAIT_SECONDS": "60"}
    async with serving(environment, module=SLOW) as (client, process), logged(process) as lines:
        await asyncio.gather(*(left(environment, asking(method, "/sleeping/8")) for _ in range(50)))
        gone = perf_counter()
        await await_backends(by_hand, SERVICE_NAME, 0, state="active")
        assert (await client.get("/sleeping/0")).status_code == 200
        assert perf_counter() - gone < 4  # their statements alone would have lasted twice as long
    assert (statuses(lines).count(499), errors(lines)) == (50, [])


async def test_nginx_in_front_passes_on_that_its_client_has_left(
    environment: dict[str, str], by_hand: ByHand, tmp_path: Path
) -> None:
    behind = int(environment["PORT"])
    environment |= {"TRUSTED_PROXIES": "127.0.0.1"}
    async with (
        serving(environment, module=SLOW) as (_, process),
        logged(process) as lines,
        a_proxy(tmp_path / "proxy", nginx(documented("nginx")), behind=behind) as (plain, _),
    ):
        in_front = {"PORT": str(plain)}
        await asyncio.gather(*(left(in_front, asking("GET", "/sleeping/8")) for _ in range(5)))
        gone = perf_counter()
        await await_backends(by_hand, SERVICE_NAME, 0, state="active")
        assert perf_counter() - gone < 4
    assert (statuses(lines).count(499), errors(lines)) == (5, [])


@pytest.mark.usefixtures("slow_commit")
async def test_a_command_is_finished_once_although_its_client_has_left(
    environment: dict[str, str], headers: dict[str, str], specimen_orders: str, by_hand: ByHand
) -> None:
    told = [f"{name}: {value}" for name, value in headers.items()]
    post = asking("POST", specimen_orders, *told, body='{"title":"Spin"}')
    async with serving(environment, module=SLOW) as (client, process), logged(process) as lines:
        request = asyncio.create_task(left(environment, post))
        await eventually(lambda: commits(by_hand))
        await request
        await by_hand.execute("SELECT pg_advisory_unlock_all()")
        await eventually(lambda: is_one(by_hand))
        answer = await again_until_answered(client, specimen_orders, headers)
        assert (answer.status_code, answer.headers.get("idempotency-replayed")) == (201, "true")
    assert await by_hand.fetchval(EFFECTS) == 1
    of_the_first = next(line for line in lines if line["event"] == "request" and line["method"] == "POST")
    assert (of_the_first["status"], of_the_first["unsent_status"]) == (499, 201)
    assert errors(lines) == []


@pytest.mark.parametrize("reset", [False, True], ids=["closes", "resets"])
async def test_whoever_pipelines_and_leaves_is_a_499_for_each_request(
    environment: dict[str, str], by_hand: ByHand, reset: bool
) -> None:
    async with serving(environment, module=SLOW) as (client, process), logged(process) as lines:
        pipelined = asking("GET", "/sleeping/8") * 3 + asking("POST", "/sleeping/8") * 2
        await left(environment, pipelined, reset=reset)
        await await_backends(by_hand, SERVICE_NAME, 0, state="active")
        assert (await client.get("/sleeping/0")).status_code == 200
    assert (sorted(map(str, statuses(lines))), errors(lines)) == (["200", *["499"] * 5], [])


LEAVING = {
    "before the head": b"",
    "in the head": b"GET /told HTTP/1.1\r\nHost:",
    "in the body": asking("POST", "/v1/auth/login", body='{"email": "a"}')[:-5],
    "in a chunk": asking("POST", "/v1/auth/login", "Transfer-Encoding: chunked") + b"5\r\nab",
    "in a trailer": asking("POST", "/v1/auth/login", "Transfer-Encoding: chunked") + b"1\r\n{\r\n0\r\nX-A: b",
    "before 100 Continue": asking("POST", "/v1/auth/login", "Expect: 100-continue", "Content-Length: 9"),
    "before a HEAD is answered": asking("HEAD", "/sleeping/8"),
    "in a long answer": asking("GET", "/v1/docs/swagger-ui-bundle.js") * 4,
    "in an answer that drips": asking("GET", "/drip/1"),
    "behind a long line": asking("GET", "/sleeping/8") * 40,
    "with half a request behind": asking("GET", "/sleeping/8") + b"GET /sleeping/8 HT",
    "with rubbish behind": asking("GET", "/sleeping/8") + b"\0\0\0\r\n\r\n",
    "in an upgrade": asking("GET", "/sleeping/8", "Connection: Upgrade", "Upgrade: websocket"),
    "from a stuck route": asking("GET", "/stuck"),
}


@pytest.mark.parametrize("reset", [False, True], ids=["closes", "resets"])
async def test_no_way_of_leaving_is_an_error_of_the_service(environment: dict[str, str], reset: bool) -> None:
    async with serving(environment, module=SLOW) as (client, process), logged(process) as lines:
        await asyncio.gather(
            *(
                left(environment, request, after=after, reset=reset)
                for request in LEAVING.values()
                for after in (0, 0.02, 0.5)
            )
        )
        await asyncio.sleep(1.2)  # for the answer that drips
        assert (await client.get("/sleeping/0")).status_code == 200
    assert errors(lines) == []
    assert 499 in statuses(lines)
