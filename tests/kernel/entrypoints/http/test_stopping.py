"""How the real server stops: drained first, nothing cut, and with a status that says that all is well."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from time import monotonic
from typing import Any
from unittest.mock import Mock

import pytest
import uvicorn

from entrypoints.http.kernel.server.stopping import Limits
from entrypoints.http.kernel.server.supervisor import Supervisor
from kernel.servers.backends import eventually
from kernel.servers.serving import environment_of, serving, start
from kernel.servers.talking import Answer, Connection, ask, connected

WORKERS = pytest.mark.parametrize("workers", ["1", "2"])
TELLING = "kernel.servers.telling"

type Environment = dict[str, str]


@pytest.fixture
def environment(empty_database_url: str) -> Environment:
    return environment_of(empty_database_url)


@asynccontextmanager
async def a_server(environment: Environment, **settings: str) -> AsyncIterator[tuple[int, Process]]:
    """Its port, and the process. With several workers, all of them serve."""
    async with serving({**environment, **settings}, module=TELLING) as (client, process):
        port, workers = int(environment["PORT"]), int(settings.get("WORKERS", "1"))
        await client.get("/health/live")
        if workers > 1:
            await _all_serve(process, port, workers)
        yield port, process


async def _all_serve(process: Process, port: int, many: int) -> None:
    """So many of its processes wait for connections: one that does not yet is told to stop as it starts."""
    async with asyncio.timeout(60):
        while sum(_waits_at(port, child) for child in workers_of(process)) < many:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def _waits_at(port: int, pid: int) -> bool:
    """Whether a loop of the process watches the listener; proc(5) has what an epoll watches."""
    sockets = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listeners = {fields[9] for fields in sockets if fields[3] == "0A" and fields[1].endswith(f":{port:04X}")}
    with suppress(OSError):
        for number, target in _files(pid):
            if "eventpoll" in target:
                watched = Path(f"/proc/{pid}/fdinfo/{number}").read_text()
                inodes = {
                    str(int(found, 16)) for found in re.findall(r"^tfd:.* ino:(\w+)", watched, re.MULTILINE)
                }
                if inodes & listeners:
                    return True
    return False


def _files(pid: int) -> list[tuple[str, str]]:
    return [(entry.name, str(entry.readlink())) for entry in Path(f"/proc/{pid}/fd").iterdir()]


def workers_of(process: Process) -> list[int]:
    """The processes that serve for this one; multiprocessing has another one of its own there."""
    found = []
    for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        with suppress(OSError):  # it has ended meanwhile
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(int(pid))
    return found


async def until_waiting(port: int, many: int) -> None:
    async with asyncio.timeout(60):
        while (await ask(port, "/waiting")).json < many:  # noqa: ASYNC110 (it happens in another process)
            await asyncio.sleep(0.02)


async def until_unready(port: int) -> Answer:
    async with asyncio.timeout(60):
        while (answer := await ask(port, "/health/ready")).status == 200:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return answer


async def until_refused(port: int) -> None:
    async with asyncio.timeout(60):
        with suppress(ConnectionRefusedError):
            while True:
                (await Connection.to(port)).close()
                await asyncio.sleep(0.02)


async def end_of(process: Process) -> tuple[list[dict[str, Any]], bytes]:
    """What it has logged, and its other output."""
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    return [json.loads(line) for line in output.splitlines()], errors


# --- the drain ------------------------------------------------------------------------------------


async def all_say_goodbye(port: int) -> bool:
    """Whether each process has been told, as far as ten answers show."""
    return all([(await ask(port, "/told")).ends for _ in range(10)])


@WORKERS
async def test_told_to_stop_it_is_not_ready_and_serves_everything_for_a_while(
    environment: Environment, workers: str
) -> None:
    async with a_server(environment, WORKERS=workers, DRAIN_SECONDS="4") as (port, process):
        async with connected(port) as used, connected(port) as idle, connected(port) as older:
            for connection in (used, idle):
                assert not (await connection.ask("/told")).ends
            process.send_signal(signal.SIGTERM)
            told = monotonic()
            unready = await until_unready(port)
            assert monotonic() - told < 1
            assert (unready.status, unready.json["type"]) == (503, "/problems/not-ready")
            assert unready.json["detail"] == "The service is stopping."
            assert unready.headers["retry-after"] == "1"
            await eventually(partial(all_say_goodbye, port))
            for _ in range(20):
                for answer in (await ask(port, "/told"), await ask(port, "/echo", b"12")):
                    assert (answer.status, answer.ends) == (200, True)
            assert (await ask(port, "/health/live")).status == 200
            for connection, body in ((used, None), (older, b"123")):
                answer = await connection.ask("/told" if body is None else "/echo", body)
                assert (answer.status, answer.ends) == (200, True)
                assert await connection.rest() == b""
            assert monotonic() - told < 3.9
            assert await idle.rest() == b""
            assert monotonic() - told > 3.9
        logged, errors = await end_of(process)
    assert process.returncode == 0
    assert not errors
    assert not [line for line in logged if line["level"] == "error"]


@WORKERS
async def test_what_is_in_flight_is_answered_after_nobody_can_connect_any_more(
    environment: Environment, workers: str
) -> None:
    async with a_server(environment, WORKERS=workers, DRAIN_SECONDS="0.2") as (port, process):
        async with AsyncExitStack() as open_connections:
            many = [await open_connections.enter_async_context(connected(port)) for _ in range(10)]
            for connection in many:
                connection.send("/slow?seconds=3")
            upload = await open_connections.enter_async_context(connected(port))
            upload.send("/echo", b"12", length=4)
            begun = await open_connections.enter_async_context(connected(port))
            begun.writer.write(b"GET /told HT")
            await asyncio.sleep(0.5)
            process.send_signal(signal.SIGTERM)
            await until_refused(port)
            upload.writer.write(b"34")
            begun.writer.write(b"TP/1.1\r\nHost: x\r\n\r\n")
            for connection in (upload, begun, *many):
                answer = await connection.read()
                assert (answer.status, answer.ends) == (200, True)
                assert await connection.rest() == b""
        await end_of(process)
    assert process.returncode == 0


async def test_requests_that_were_sent_behind_each_other_are_all_answered(environment: Environment) -> None:
    async with a_server(environment, DRAIN_SECONDS="3") as (port, process):
        async with connected(port) as before, connected(port) as during:
            before.send_at_once("/held", "/told", "/told")
            await until_waiting(port, 1)
            process.send_signal(signal.SIGTERM)
            await until_unready(port)
            assert (await ask(port, "/release")).status == 200
            during.send_at_once("/told", "/told", "/told")
            for connection in (before, during):
                answers = [await connection.read() for _ in range(3)]
                assert [(answer.status, answer.ends) for answer in answers] == [
                    (200, False),
                    (200, False),
                    (200, True),
                ]
                assert await connection.rest() == b""
        await end_of(process)


async def test_an_answer_before_the_body_has_arrived_is_not_lost_with_the_connection(
    environment: Environment,
) -> None:
    large = b"[" + b"1," * 200_000
    async with a_server(environment, DRAIN_SECONDS="3") as (port, process):
        process.send_signal(signal.SIGTERM)
        await until_unready(port)
        for _ in range(5):
            async with connected(port) as connection:
                connection.send("/v1/workspaces", large, length=2 * len(large))  # without a token
                await asyncio.sleep(0.05)
                answer = await connection.read()
                assert (answer.status, answer.ends) == (401, True)
        await end_of(process)


@WORKERS
async def test_connections_that_nobody_has_taken_yet_are_served(
    environment: Environment, workers: str
) -> None:
    """The loop is busy when it is told to stop, and for so long they wait in the kernel."""
    async with a_server(environment, WORKERS=workers) as (port, process):
        async with AsyncExitStack() as open_connections:
            for _ in range(int(workers)):
                busy = await open_connections.enter_async_context(connected(port))
                busy.send("/busy?seconds=1")
                await asyncio.sleep(0.2)
            late = []
            for _ in range(50):
                connection = await open_connections.enter_async_context(connected(port))
                connection.send("/echo", b"1")
                late.append(connection)
            process.send_signal(signal.SIGTERM)
            assert [(await connection.read()).status for connection in late] == [200] * 50
        await end_of(process)
    assert process.returncode == 0


# --- the deadline ---------------------------------------------------------------------------------


KINDS = ("/endless", "/thread", "/stubborn", "a body", "a head")


@WORKERS
async def test_past_the_deadline_there_is_a_problem(environment: Environment, workers: str) -> None:
    async with a_server(environment, WORKERS=workers, SHUTDOWN_SECONDS="1") as (port, process):
        async with AsyncExitStack() as open_connections:
            late = {kind: await open_connections.enter_async_context(connected(port)) for kind in KINDS}
            late["a body"].send("/echo", b"1", length=9)
            late["a head"].writer.write(b"POST /echo HTTP/1.1\r\nHo")
            for path in KINDS[:3]:
                late[path].send(path)
            await asyncio.sleep(1)
            process.send_signal(signal.SIGTERM)
            for kind, connection in late.items():
                answer = await connection.read()
                assert (answer.status, answer.json["type"]) == (503, "/problems/shutting-down"), kind
                assert answer.headers["content-type"] == "application/problem+json"
                assert (answer.headers["retry-after"], answer.ends) == ("1", True)
                assert await connection.rest() == b""
        logged, errors = await end_of(process)
    assert process.returncode == 0
    statuses = [line["status"] for line in logged if line["event"] == "request"]
    assert [status for status in statuses if status != 200] == [503] * len(KINDS)
    assert b"Traceback" not in errors
    assert not [line for line in logged if "exception" in line]


async def test_an_answer_that_has_begun_is_cut_at_the_deadline_and_not_ended(
    environment: Environment,
) -> None:
    async with a_server(environment, SHUTDOWN_SECONDS="1") as (port, process):
        async with connected(port) as connection:
            connection.send("/stream")
            await until_waiting(port, 1)
            process.send_signal(signal.SIGTERM)
            received = await connection.rest()
            assert b"5\r\nbegun\r\n" in received
            assert not received.endswith(b"0\r\n\r\n")  # RFC 9112 §8: the client sees that it is incomplete
        logged, _ = await end_of(process)
    assert process.returncode == 0
    assert not [line for line in logged if "exception" in line]


@pytest.mark.parametrize(("workers", "number"), [("1", signal.SIGINT), ("2", signal.SIGTERM)])
async def test_told_a_second_time_it_stops_at_once(
    environment: Environment, workers: str, number: signal.Signals
) -> None:
    async with (
        a_server(environment, WORKERS=workers, DRAIN_SECONDS="60") as (port, process),
        connected(port) as connection,
    ):
        connection.send("/endless")
        await asyncio.sleep(0.2)
        process.send_signal(number)
        await until_unready(port)
        process.send_signal(number)
        assert (await asyncio.wait_for(connection.read(), 60)).status == 503
        await end_of(process)
    assert process.returncode == 0


# --- processes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_to_parent_and_children_alike_is_one(
    environment: Environment, number: signal.Signals
) -> None:
    """As a terminal sends SIGINT, and systemd SIGTERM."""
    async with a_server(environment, WORKERS="2", DRAIN_SECONDS="2") as (port, process):
        told = monotonic()
        for pid in (*workers_of(process), process.pid):
            os.kill(pid, number)
        await until_unready(port)
        while monotonic() - told < 1.7:
            assert (await ask(port, "/told")).status == 200
            await asyncio.sleep(0.05)
        await end_of(process)
    assert process.returncode == 0


async def test_a_worker_that_ends_is_replaced_and_one_that_is_told_to_is_drained(
    environment: Environment,
) -> None:
    async with a_server(environment, WORKERS="2", DRAIN_SECONDS="1") as (port, process):
        before = workers_of(process)
        os.kill(before[0], signal.SIGKILL)
        os.kill(before[1], signal.SIGTERM)
        async with asyncio.timeout(60):
            while len(now := workers_of(process)) < 2 or set(now) & set(before):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        await _all_serve(process, port, 2)
        assert (await ask(port, "/told")).status == 200
        process.send_signal(signal.SIGTERM)
        logged, _ = await end_of(process)
    assert process.returncode == 0
    ended = [line["status"] for line in logged if line["event"] == "worker ended by itself"]
    assert sorted(ended) == [-signal.SIGKILL, 0]


def test_workers_that_end_between_two_looks_are_not_waited_for() -> None:
    process = Mock()
    process.is_alive.side_effect = chain([True], repeat(False))
    supervisor = Supervisor(
        uvicorn.Config("none"), Limits(drain_seconds=0, shutdown_seconds=0, connections_most=1)
    )
    with socket.socket() as ended:  # an end is read from a sentinel, as it is from this
        process.sentinel = ended.fileno()
        supervisor._stop([Mock(process=process)])
    for end in (supervisor._wake, supervisor._waker):
        end.close()
    process.kill.assert_not_called()


async def test_workers_do_not_outlive_their_parent(environment: Environment) -> None:
    async with a_server(environment, WORKERS="2") as (port, process):
        process.kill()
        await until_refused(port)
        await process.wait()


async def test_workers_that_cannot_start_end_their_parent(environment: Environment) -> None:
    broken = "from kernel.servers.telling import *; serve('kernel.servers.nothing:app', Settings, [])"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", broken), env={**environment, "WORKERS": "2"}, stdout=PIPE, stderr=PIPE
    )
    logged, _ = await end_of(process)
    assert process.returncode == 3
    assert [line for line in logged if line["event"] == "worker ended by itself"]


async def test_with_reload_it_ends_well(environment: Environment) -> None:
    async with serving(environment, "--reload") as (client, process):
        assert (await client.get("/health/live")).status_code == 200
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0


@pytest.mark.parametrize(("workers", "number"), [("1", signal.SIGINT), ("2", signal.SIGTERM)])
async def test_without_a_drain_idle_clients_do_not_delay_the_end(
    environment: Environment, workers: str, number: signal.Signals
) -> None:
    async with (
        a_server(environment, WORKERS=workers, SHUTDOWN_SECONDS="300") as (port, process),
        connected(port) as idle,
        connected(port) as silent,
    ):
        await idle.ask("/told")
        await asyncio.sleep(1)
        process.send_signal(number)
        assert await idle.rest() == await silent.rest() == b""
        await end_of(process)
    assert process.returncode == 0


@WORKERS
async def test_told_before_it_serves_it_ends_well(environment: Environment, workers: str) -> None:
    process = await start({**environment, "WORKERS": workers}, module=TELLING)
    assert process.stdout is not None
    await process.stdout.readline()  # the first that it says
    process.send_signal(signal.SIGTERM)
    _, errors = await end_of(process)
    assert b"Traceback" not in errors
    assert process.returncode == 0


# --- idle connections -----------------------------------------------------------------------------


async def test_an_idle_connection_is_kept_for_so_long_whether_it_was_used_or_not(
    environment: Environment,
) -> None:
    async with a_server(environment, KEEP_ALIVE_SECONDS="1.5") as (port, _), connected(port) as used:
        await used.ask("/told")
        idle_since = monotonic()
        assert await asyncio.wait_for(used.rest(), 60) == b""
        assert monotonic() - idle_since > 1.4
