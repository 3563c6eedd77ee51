"""The alerts and the dashboard on a real Prometheus, which reads the real server and worker under load.

Time is shorter here: a minute of a rule is `MINUTE` seconds. Each alert below is seen to fire, and to clear
once what is wrong is mended. `make check-alerts` runs this, and promtool's tests, which have all alerts.
"""

import asyncio
import json
import os
import re
import shutil
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from httpx2 import AsyncClient, HTTPError, Limits

from entrypoints.kernel.service import ROOT
from kernel.servers.mail_server import MailServer
from kernel.servers.serving import environment_of, serving
from kernel.servers.workers import a_worker

MONITORING = ROOT / "deploy/monitoring"
MINUTE = 1.5
PATIENCE_SECONDS = 180
SLOW = "kernel.servers.slow"
BAD = {"authorization": "Bearer not.a.token"}
QUIET = frozenset(
    {  # of what there is none here: a provider, a limit
        "provider_keys_age_seconds",
        "provider_key_refreshes_total",
        "provider_certificate_until_seconds",
        "rate_limit_requests_total",
    }
)


def prometheus_or_skip() -> str:
    found = shutil.which("prometheus")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("There is no Prometheus: apt install prometheus.")
        pytest.skip("There is no Prometheus on PATH: apt install prometheus.")
    return found


def faster(rules: str) -> str:
    """The rules with a minute of MINUTE seconds."""

    def seconds(found: re.Match[str]) -> str:
        minutes = int(found[2]) * (60 if found[3] == "h" else 1)
        return f"{found[1]}{round(minutes * MINUTE * 1000)}ms"

    return re.sub(r"(\[|for: )(\d+)([mh])", seconds, rules)


@dataclass
class Field:
    """A server, its database and a Prometheus; the worker comes and goes."""

    client: AsyncClient
    server: Process
    database_url: str
    by_hand: asyncpg.Connection
    prometheus: str
    worker_port: str
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def asked(self, path: str, **query: str) -> Any:
        async with AsyncClient(timeout=30) as client:
            answer = await client.get(f"{self.prometheus}/api/v1/{path}", params=query)
            return answer.json()

    async def firing(self) -> set[str]:
        with suppress(HTTPError):
            alerts = (await self.asked("alerts"))["data"]["alerts"]
            return {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}
        return set()

    async def fires(self, *names: str) -> None:
        await self._until(lambda firing: firing >= set(names), f"{names} to fire")

    async def clears(self, *names: str) -> None:
        await self._until(lambda firing: not firing & set(names), f"{names} to clear")

    async def _until(self, holds: Callable[[set[str]], bool], what: str) -> None:
        seen = set[str]()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not holds(seen := await self.firing()):  # noqa: ASYNC110 (Prometheus sets no event)
                    await asyncio.sleep(0.25)
        except TimeoutError:
            pytest.fail(f"Waited for {what}; firing are {sorted(seen)}.")

    @property
    def database(self) -> str:
        return urlsplit(self.database_url).path[1:]

    async def end_connections(self) -> None:
        await self.by_hand.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


@asynccontextmanager
async def again_and_again(do: Callable[[], Awaitable[object]], *, pause: float) -> AsyncIterator[None]:
    """While the block runs; what fails on the way to the server is no matter."""

    async def repeat() -> None:
        while True:
            with suppress(HTTPError):
                await do()
            await asyncio.sleep(pause)

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def a_prometheus(folder: Path, api: str, worker: str) -> AsyncIterator[str]:
    """Its address; it reads the metrics at these two ports."""
    port = environment_of("")["PORT"]
    (folder / "alerts.yml").write_text(faster((MONITORING / "alerts.yml").read_text()))
    config = (MONITORING / "prometheus.yml").read_text()
    config = re.sub(r"interval: 15s", "interval: 500ms", config)
    config = config.replace("localhost:9000", f"127.0.0.1:{api}").replace(
        "localhost:10000", f"127.0.0.1:{worker}"
    )
    (folder / "prometheus.yml").write_text(config)
    process = await asyncio.create_subprocess_exec(
        prometheus_or_skip(),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
        stdout=DEVNULL,
        stderr=PIPE,
    )
    assert process.stderr is not None
    reading = asyncio.create_task(process.stderr.read())
    try:
        async with AsyncClient() as client, asyncio.timeout(PATIENCE_SECONDS):
            while True:
                with suppress(HTTPError):
                    if (await client.get(f"http://127.0.0.1:{port}/-/ready")).status_code == 200:
                        break
                assert process.returncode is None, (await reading).decode()
                await asyncio.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        await reading


@pytest.fixture(scope="module")
async def running(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Field]:
    prometheus_or_skip()
    ports = [environment_of("")["PORT"] for _ in range(2)]
    environment = environment_of(
        database_url,
        METRICS_PORT=ports[0],
        WORKERS="2",
        DATABASE_POOL_SIZE="2",
        PASSWORD_HASHERS="1",
        PASSWORD_QUEUE="0",
        CONNECTIONS_MOST="30",
        LOG_LEVEL="error",
    )
    by_hand = await asyncpg.connect(database_url)
    async with (
        serving(environment, module=SLOW) as (client, server),
        a_prometheus(tmp_path_factory.mktemp("prometheus"), *ports) as prometheus,
        AsyncExitStack() as stack,
    ):
        yield Field(client, server, database_url, by_hand, prometheus, ports[1], stack)
    await by_hand.close()


async def test_events_that_nobody_delivers(running: Field) -> None:
    """NoWorker, ServiceDown, OutboxOverdue, EventsParked, LanePaused."""
    for name in ("ada", "grace", "edith"):
        body = {"email": f"{name}@loomworks.example", "password": "look around as long as you like"}
        answer = await running.client.post(
            "/v1/auth/register", json={**body, "display_name": name}, timeout=60
        )
        assert answer.status_code == 201, answer.text
    await running.by_hand.execute("UPDATE outbox SET available_at = now() - interval '10 minutes'")
    await running.by_hand.execute(
        "UPDATE outbox SET parked_at = now() WHERE position = (SELECT max(position) FROM outbox)"
    )
    await running.fires("NoWorker", "ServiceDown", "OutboxOverdue", "EventsParked")
    mails = MailServer()
    await mails.start()
    await mails.stop()  # its port is nobody's now
    async with a_worker(
        running.database_url, METRICS_PORT=running.worker_port, **mails.environment()
    ) as worker:
        assert worker.stdout is not None
        draining = asyncio.create_task(worker.stdout.read())
        await running.clears("NoWorker", "ServiceDown", "OutboxOverdue")
        await running.fires("LanePaused")
        await running.by_hand.execute("UPDATE outbox SET parked_at = NULL WHERE parked_at IS NOT NULL")
        await mails.start()
        await running.clears("LanePaused", "EventsParked")
        await mails.stop()
        draining.cancel()


async def test_a_database_that_takes_no_changes_or_ends_its_connections(running: Field) -> None:
    """DatabaseReadOnly, NotReady, ErrorRate; DatabaseFails."""

    async def write() -> None:
        body = {"email": "ada@loomworks.example", "password": "wrong, and as long as it has to be"}
        await running.client.post("/v1/auth/login", json=body)

    set_read_only = f'ALTER DATABASE "{running.database}" SET default_transaction_read_only = '
    await running.by_hand.execute(f"{set_read_only} on")
    await running.end_connections()
    try:
        async with again_and_again(write, pause=0.1):
            await running.fires("DatabaseReadOnly", "NotReady", "ErrorRate")
    finally:
        await running.by_hand.execute("SET transaction_read_only = off")
        await running.by_hand.execute(f"{set_read_only} off")
        await running.end_connections()
    async with again_and_again(lambda: running.client.get("/v1/auth/providers"), pause=0.1):
        await running.clears("DatabaseReadOnly", "NotReady", "ErrorRate")

    async def read() -> None:
        await asyncio.gather(running.client.get("/sleeping/0.05"), running.end_connections())

    async with again_and_again(read, pause=0.05):
        await running.fires("DatabaseFails")
    await running.clears("DatabaseFails")


async def test_more_than_the_service_can_take(running: Field) -> None:
    """PoolExhausted, SlowRequests, HashersBusy, ConnectionsAlmostAll, TokensRefused, EventLoopBlocked."""
    port = int(urlsplit(str(running.client.base_url)).port or 0)
    body = {"email": "nobody@loomworks.example", "password": "look around as long as you like"}
    async with AsyncClient(
        base_url=running.client.base_url, limits=Limits(max_connections=20), timeout=30
    ) as crowd:

        async def sleep() -> None:
            await asyncio.gather(*(crowd.get("/sleeping/2") for _ in range(10)))

        async def log_in() -> None:
            await asyncio.gather(*(crowd.post("/v1/auth/login", json=body) for _ in range(6)))

        async with again_and_again(sleep, pause=0):
            await running.fires("PoolExhausted", "SlowRequests")
        async with again_and_again(log_in, pause=0):
            await running.fires("HashersBusy")
        async with again_and_again(lambda: crowd.get("/v1/me", headers=BAD), pause=0.05):
            await running.fires("TokensRefused")
    idle = list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]()

    async def connect() -> None:  # so many that either process has all that it takes, whoever takes which
        idle.extend([await asyncio.open_connection("127.0.0.1", port) for _ in range(60)])

    async with again_and_again(connect, pause=2):
        await running.fires("ConnectionsAlmostAll")
    for _, writer in idle:
        writer.close()

    async def hold() -> None:
        for each in children(running.server):
            os.kill(each, signal.SIGSTOP)
        await asyncio.sleep(0.3)
        for each in children(running.server):
            os.kill(each, signal.SIGCONT)

    async with again_and_again(hold, pause=0.1):
        await running.fires("EventLoopBlocked")
    async with again_and_again(lambda: running.client.get("/v1/auth/providers"), pause=0.1):
        await running.clears(
            "PoolExhausted", "SlowRequests", "HashersBusy", "ConnectionsAlmostAll", "TokensRefused",
            "EventLoopBlocked",
        )  # fmt: skip


async def test_processes_that_end_by_themselves(running: Field) -> None:
    """ProcessesEnd."""
    for _ in range(2):
        before = children(running.server)
        os.kill(before[0], signal.SIGKILL)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(now := children(running.server)) < 2 or now == before:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    await running.fires("ProcessesEnd")
    await running.clears("ProcessesEnd")


async def test_each_panel_has_a_query_that_gives_something(running: Field) -> None:
    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    queries = {(panel["title"], target["expr"]) for panel in panels for target in panel.get("targets", ())}
    assert len(queries) > 40
    empty, broken = [], []
    async with (
        a_worker(running.database_url, METRICS_PORT=running.worker_port),
        again_and_again(lambda: running.client.get("/v1/me", headers=BAD), pause=0.05),
    ):
        await running.clears("ServiceDown")
        await running.client.get("/.well-known/jwks.json")  # which needs the signing keys
        await asyncio.sleep(10 * MINUTE)  # so long is what a rate looks at
        for title, query in sorted(queries):
            asked = query.replace("$__rate_interval", "30s").replace("$instance", ".*")
            answer = await running.asked("query", query=asked)
            if answer["status"] != "success":
                broken.append((title, answer))
            elif not answer["data"]["result"] and not any(name in query for name in QUIET):
                empty.append((title, query))
        exemplars = await running.asked(
            "query_exemplars", query="http_request_duration_seconds_bucket", start="0", end="9999999999"
        )
    assert broken == []
    assert empty == []
    assert exemplars["data"], exemplars


def children(process: Process) -> list[int]:
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in found if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
