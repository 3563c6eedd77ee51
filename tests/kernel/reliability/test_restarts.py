"""Restarts under load, behind proxies that try nothing twice, as docs/restarts.md says."""

import asyncio
import os
import signal
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import monotonic

import pytest

from kernel.reliability.conftest import Tell
from kernel.servers.proxies import Proxy, a_proxy, documented, haproxy, nginx
from kernel.servers.serving import environment_of, start
from kernel.servers.talking import Connection, Cut, ask, connected

TELLING = "kernel.servers.telling"
CLIENTS = 8
NOBODYS = b'{"refresh_token": "' + b"x" * 43 + b'"}'
REQUESTS = 8_000  # at least, in each of the restarts
PAUSE_SECONDS = 0.004  # between the requests of a client, so that what restarts has a part of the processor

# The short form has each proxy and each number of processes once; the other two are the long form's.
LONG_FORM = pytest.mark.skipif(not os.environ.get("HOURS"), reason="part of the long form: set HOURS")


class Instances:
    """Two servers that a proxy has behind it."""

    def __init__(self, database_url: str, **settings: str) -> None:
        settings = {"LOG_LEVEL": "warning", **settings}  # nobody reads the pipe meanwhile
        self.environments = [environment_of(database_url, **settings) for _ in range(2)]
        self.processes: list[Process | None] = [None, None]

    def port(self, number: int) -> int:
        return int(self.environments[number]["PORT"])

    async def start(self, number: int) -> None:
        """Returns when it is ready."""
        self.processes[number] = await start(self.environments[number], module=TELLING)
        async with asyncio.timeout(60):
            while True:
                with suppress(OSError, Cut):
                    if (await ask(self.port(number), "/health/ready")).status == 200:
                        return
                await asyncio.sleep(0.1)

    def tell(self, number: int) -> None:
        process = self.processes[number]
        assert process is not None
        process.send_signal(signal.SIGTERM)

    async def end(self, number: int) -> None:
        process = self.processes[number]
        assert process is not None
        await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0

    async def kill(self) -> None:
        for process in self.processes:
            if process is not None and process.returncode is None:
                process.terminate()
                await process.communicate()


@asynccontextmanager
async def two_instances(database_url: str, **settings: str) -> AsyncIterator[Instances]:
    instances = Instances(database_url, **settings)
    try:
        await asyncio.gather(instances.start(0), instances.start(1))
        yield instances
    finally:
        await instances.kill()


class Load:
    """Clients, and what they were answered."""

    def __init__(self, port: int, *, keeping: bool = True) -> None:
        """`keeping`: they keep their connections. nginx ends those when it is reloaded."""
        self.port = port
        self.keeping = keeping
        self.answered: Counter[str] = Counter()
        self.ended = asyncio.Event()

    @property
    def total(self) -> int:
        return self.answered.total()

    async def one(self) -> None:
        number = 0
        while not self.ended.is_set():
            async with connected(self.port) as connection:
                kept = True
                while kept and not self.ended.is_set():
                    number += 1
                    kept = await self.ask(connection, number) and self.keeping
                    await asyncio.sleep(PAUSE_SECONDS)

    async def ask(self, connection: Connection, number: int) -> bool:
        """Whether the connection may be used again."""
        try:
            if number % 20 == 0:  # a statement
                answer, good = await connection.ask("/v1/auth/refresh", NOBODYS), 401
            elif number % 2:
                answer, good = await connection.ask("/told"), 200
            else:
                answer, good = await connection.ask("/echo", b"12345"), 200
        except (Cut, OSError) as error:
            self.answered[f"cut: {error}"] += 1
            return False
        self.answered["good" if answer.status == good else f"status {answer.status}"] += 1
        return not answer.ends

    @asynccontextmanager
    async def running(self, at_least: int) -> AsyncIterator[None]:
        clients = [asyncio.create_task(self.one()) for _ in range(CLIENTS)]
        try:
            await asyncio.sleep(0.5)
            yield
            async with asyncio.timeout(120):
                while self.total < at_least:  # noqa: ASYNC110 (the clients only count)
                    await asyncio.sleep(0.1)
        finally:
            self.ended.set()
            await asyncio.gather(*clients)


def at_the_ports(lines: str, instances: Instances) -> str:
    """The lines of the documentation, for these instances."""
    for number, documented_port in enumerate((8001, 8002)):
        lines = lines.replace(f"127.0.0.1:{documented_port}", f"127.0.0.1:{instances.port(number)}")
    return lines


def an_haproxy(instances: Instances) -> Proxy:
    lines = documented("haproxy", "restarts.md").replace("inter 1s", "inter 200ms")
    assert "retries 0" in lines
    return haproxy(at_the_ports(lines, instances))


def an_nginx(instances: Instances) -> Proxy:
    location = documented("nginx").replace(
        "http://127.0.0.1:8000;", "http://service; proxy_next_upstream off;"
    )
    return nginx(location, upstream=at_the_ports(documented("nginx", "restarts.md"), instances))


async def take_out_of_nginx(folder: Path, instances: Instances, number: int) -> Callable[[], Awaitable[None]]:
    """What takes the instance in again."""
    file = folder / "configuration"
    before = file.read_text()
    server = f"server 127.0.0.1:{instances.port(number)} max_fails=0"
    assert server in before
    await _reload_nginx(folder, before.replace(server, f"{server} down"))

    async def take_in() -> None:
        await _reload_nginx(folder, before)

    return take_in


async def _reload_nginx(folder: Path, configuration: str) -> None:
    """Returns when the new configuration is in force."""
    pid = int((folder / "pid").read_text())
    before = _children(pid)
    (folder / "configuration").write_text(configuration)
    os.kill(pid, signal.SIGHUP)
    async with asyncio.timeout(60):
        while not _children(pid) - before:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.2)


def _children(pid: int) -> set[str]:
    return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


@pytest.mark.parametrize("workers", [pytest.param("1", marks=LONG_FORM), "2"])
async def test_a_rolling_restart_behind_haproxy(
    empty_database_url: str, tmp_path: Path, tell: Tell, workers: str
) -> None:
    async with (
        two_instances(empty_database_url, WORKERS=workers, DRAIN_SECONDS="2") as instances,
        a_proxy(tmp_path / "proxy", an_haproxy(instances), behind=0) as (port, _),
    ):
        load = Load(port)
        async with load.running(REQUESTS):
            for number in range(2):
                instances.tell(number)
                await instances.end(number)
                await instances.start(number)
                await asyncio.sleep(1)  # for HAProxy to notice
    assert load.answered == {"good": load.total}
    tell(f"a rolling restart behind HAProxy without retries, WORKERS={workers}", f"0 failed of {load.total}")


@pytest.mark.parametrize(
    ("workers", "told_first"), [("1", "nginx"), pytest.param("2", "the service", marks=LONG_FORM)]
)
async def test_a_rolling_restart_behind_nginx(
    empty_database_url: str, tmp_path: Path, tell: Tell, workers: str, told_first: str
) -> None:
    async with (
        two_instances(empty_database_url, WORKERS=workers, DRAIN_SECONDS="2") as instances,
        a_proxy(tmp_path / "proxy", an_nginx(instances), behind=0) as (port, _),
    ):
        load = Load(port, keeping=False)
        async with load.running(REQUESTS):
            for number in range(2):
                if told_first == "the service":
                    instances.tell(number)
                take_in = await take_out_of_nginx(tmp_path / "proxy", instances, number)
                if told_first == "nginx":
                    instances.tell(number)
                await instances.end(number)
                await instances.start(number)
                await take_in()
    assert load.answered == {"good": load.total}
    tell(
        f"a rolling restart behind nginx without a next upstream, {told_first} told first, WORKERS={workers}",
        f"0 failed of {load.total}",
    )


async def test_100_in_flight_are_answered(empty_database_url: str, tell: Tell) -> None:
    environment = environment_of(empty_database_url)
    process = await start(environment, module=TELLING)
    port = int(environment["PORT"])
    async with asyncio.timeout(60):
        while True:
            with suppress(OSError):
                await ask(port, "/health/live")
                break
            await asyncio.sleep(0.1)

    async def one() -> int:
        async with connected(port) as connection:
            return (await connection.ask("/slow?seconds=3")).status

    waiting = [asyncio.create_task(one()) for _ in range(100)]
    async with asyncio.timeout(60):
        while (await ask(port, "/waiting")).json < 100:  # noqa: ASYNC110 (it happens in another process)
            await asyncio.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    statuses = await asyncio.gather(*waiting)
    await process.communicate()
    assert (statuses.count(200), process.returncode) == (100, 0)
    tell("SIGTERM with 100 in flight, dropped", f"{100 - statuses.count(200)} of 100")


async def test_a_worker_that_is_busy_for_seconds_is_not_killed(empty_database_url: str, tell: Tell) -> None:
    """uvicorn's supervisor kills one that does not answer for 5 seconds."""
    environment = environment_of(empty_database_url, WORKERS="2")
    process = await start(environment, module=TELLING)
    port = int(environment["PORT"])
    async with asyncio.timeout(60):
        while True:
            with suppress(OSError):
                await ask(port, "/health/live")
                break
            await asyncio.sleep(0.1)
    started = monotonic()
    assert (await ask(port, "/busy?seconds=6")).status == 200
    busy = monotonic() - started
    process.terminate()
    output, _ = await process.communicate()
    assert b"worker ended by itself" not in output
    tell("a worker that kept the processor without pause, seconds", f"{busy:.0f}, not killed")
