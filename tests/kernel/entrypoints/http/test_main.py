"""The real server, over a real socket."""

import asyncio
import signal
import socket
from contextlib import suppress

import pytest

from kernel.servers.serving import environment_of, serving, start


@pytest.fixture
def environment(empty_database_url: str) -> dict[str, str]:
    return environment_of(empty_database_url)


async def raw(environment: dict[str, str], request: bytes) -> bytes:
    """What the server answers to these very bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(environment["PORT"]))
    try:
        writer.write(request)
        with suppress(ConnectionError):
            await writer.drain()
            async with asyncio.timeout(60):
                return await reader.read(65_536)
    finally:
        writer.close()
    return b""


async def test_it_serves_until_it_is_told_to_stop(environment: dict[str, str]) -> None:
    async with serving(environment) as (client, process):
        ready = await client.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")  # without a worker
        assert {"database", "migrations", "signing keys", "pool"} <= {*ready.json()["ready"]}
        assert (await client.get("/health/startup")).json() == {"status": "started"}
        person = {"email": "ada@example.com", "password": "violet kettle hums at dawn"}
        assert (
            await client.post("/v1/auth/register", json={**person, "display_name": "Ada"})
        ).status_code == 201
        token = (await client.post("/v1/auth/login", json=person)).json()["access_token"]
        me = await client.get("/v1/me", headers={"authorization": f"Bearer {token}"})
        assert (me.status_code, me.json()["display_name"]) == (200, "Ada")
        assert {"ratelimit", "ratelimit-policy"} <= {*me.headers}
        assert "server" not in me.headers
        assert "date" in me.headers
        assert (await client.head("/v1/docs")).status_code == 200

        for request in (
            b"GET /v1/me HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 65_536 + b"\r\nConnection: close\r\n\r\n",
            b"GET /v1/me HTTP/1.1\r\nHost: x\r\nX-Odd: a\0b\r\nConnection: close\r\n\r\n",
            b"GET /v1/me\0 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            b"GET /v1/me HTTP/1.1\r\nHost: x\r\nX-Split: a\r\n b\r\nConnection: close\r\n\r\n",
            b"GET /v1/me?" + b"a=1&" * 10_000 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            b"GET /v1/me\xff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            b"GET /v1/workspaces/%ff%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            b"GET http://x/v1/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            b"GET ../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            b"POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
            (
                b"POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b'Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\n{"a":\r\n0\r\n\r\n'
            ),
            b"nonsense\r\n\r\n",
        ):
            answer = await raw(environment, request)
            assert not answer or answer.split(b" ")[1].startswith(b"4"), (request[:80], answer[:200])

        process.send_signal(signal.SIGTERM)
        output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    assert b'"route":"/v1/me"' in output
    assert b"violet kettle" not in output
    assert b"ada@example.com" not in output
    assert b"Traceback" not in output


async def test_what_the_server_refuses_by_itself_can_be_read_by_scripts(environment: dict[str, str]) -> None:
    page = b"Origin: https://app.example.com\r\n"
    async with serving({**environment, "CORS_ORIGINS": "https://app.example.com"}):
        for request, status in (
            (b"GET /v1/me HTTP/1.1\r\nHost: x\r\nHost: y\r\n" + page + b"\r\n", b"400"),
            (
                b"GET /v1/me HTTP/1.1\r\nHost: x\r\n" + page + b"X-Long: " + b"a" * 40_000 + b"\r\n\r\n",
                b"431",
            ),
            (
                b"GET /v1/me?" + b"a" * 30_000 + b" HTTP/1.1\r\nHost: x\r\n" + page + b"X: " + b"a" * 9_000,
                b"414",
            ),
            (
                b"POST /v1/auth/login HTTP/1.1\r\nHost: x\r\n" + page + b"Content-Type: application/json\r\n"
                b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n",
                b"400",
            ),
        ):
            answer = await raw(environment, request)
            assert answer.split(b" ")[1] == status, answer
            assert b"content-type: application/problem+json\r\n" in answer
            assert b"access-control-allow-origin: https://app.example.com\r\n" in answer, answer


async def test_whoever_is_not_answered_in_time_learns_that_it_stops(environment: dict[str, str]) -> None:
    page = "https://app.example.com"
    stopping = {**environment, "CORS_ORIGINS": page, "SHUTDOWN_SECONDS": "1"}
    async with serving(stopping, module="kernel.servers.telling") as (client, process):
        waiting = asyncio.create_task(client.get("/endless", headers={"origin": page}, timeout=30))
        async with asyncio.timeout(60):
            while (await client.get("/waiting")).json() == 0:  # noqa: ASYNC110 (it happens in another process)
                await asyncio.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        answer = await waiting
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/shutting-down")
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["access-control-allow-origin"] == page


async def test_a_second_one_on_the_port_says_so_in_a_sentence(environment: dict[str, str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(environment["PORT"])))
        other.listen()
        process = await start(environment)
        _, errors = await asyncio.wait_for(process.communicate(), 60)
    port = environment["PORT"]
    assert errors.decode() == f"Port {port} is in use by another program. Set PORT to another one.\n"
    assert process.returncode == 1


@pytest.mark.parametrize(
    ("settings", "arguments", "said", "status"),
    [
        (
            {"HOST": "203.0.113.1"},
            [],
            "which is no address of this machine. Set HOST to another one.",
            1,
        ),
        (
            {"HOST": "no such host"},
            [],
            "HOST is 'no such host', which is no address of this machine. Set",
            1,
        ),
        ({"PORT": "none"}, [], "PORT is 'none'.", 2),
        ({}, ["--help"], "Usage: python -m entrypoints.http [--reload]", 2),
    ],
)
async def test_what_cannot_be_served_ends_in_a_sentence(
    environment: dict[str, str], settings: dict[str, str], arguments: list[str], said: str, status: int
) -> None:
    process = await start({**environment, **settings}, *arguments)
    _, errors = await asyncio.wait_for(process.communicate(), 60)
    assert said in errors.decode()
    assert b"Traceback" not in errors
    assert process.returncode == status


async def test_several_processes_serve_one_port(environment: dict[str, str]) -> None:
    several = {**environment, "WORKERS": "2"}
    async with serving(several) as (client, _):
        for _ in range(10):
            assert (await client.get("/health/ready")).status_code == 200


async def test_with_reload_it_serves_too(environment: dict[str, str]) -> None:
    async with serving(environment, "--reload") as (client, _):
        assert (await client.get("/health/ready")).status_code == 200
