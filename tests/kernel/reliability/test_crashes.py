"""What dies, dies without a word: the database server, its processes, the worker."""

import asyncio
import random
import signal
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from uuid import uuid4

import asyncpg
from httpx2 import AsyncClient, HTTPError
from pydantic import SecretStr

from entrypoints.kernel.settings import SERVICE_NAME
from entrypoints.settings import Settings
from kernel.reliability.conftest import Share, Tell
from kernel.servers.backends import backends, eventually, terminate
from kernel.servers.killable import killable_postgres
from kernel.servers.serving import environment_of, serving
from kernel.servers.workers import a_worker
from kernel.specimen.service import Container
from kernel.world.builders import Team, a_session, a_team, store

PUBLIC_URL = "http://localhost:8000"
WRITERS = 8


async def a_team_on(url: str) -> tuple[Team, dict[str, str]]:
    """A workspace in that database, and the headers of its owner."""
    settings = Settings(_env_file=None, database_url=SecretStr(url), public_url=PUBLIC_URL)
    container = Container(settings=settings)
    team = a_team()
    session = a_session(user_id=team.owner.user_id, created_at=container.clock()())
    await store(container.begin(), *team.aggregates, session)
    token = await container.token_issuer().issue(team.owner.user_id, session_id=session.id)
    await container.database().close()
    return team, {"authorization": f"Bearer {token.value}"}


@dataclass
class Writers:
    """Clients that each make one thing after another, and repeat what failed under the same key."""

    client: AsyncClient
    path: str
    headers: dict[str, str]
    acknowledged: list[str] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    last_at: float = 0.0

    async def write(self) -> None:
        while not self.stop.is_set():
            await eventually(partial(self._made, title=f"{uuid4()}", key=f"{uuid4()}"), seconds=60)

    async def _made(self, *, title: str, key: str) -> bool:
        try:
            answer = await self.client.post(
                self.path, json={"title": title}, headers={**self.headers, "idempotency-key": key}
            )
        except HTTPError as error:
            self.failures[type(error).__name__] += 1
            await asyncio.sleep(random.uniform(0.02, 0.1))
            return False
        if answer.status_code == 201:
            self.acknowledged.append(title)
            self.last_at = perf_counter()
            return True
        assert answer.headers["content-type"] == "application/problem+json", answer.text
        assert answer.status_code in {409, 503}, answer.text
        assert int(answer.headers["retry-after"]) > 0
        self.failures[str(answer.status_code)] += 1
        await asyncio.sleep(random.uniform(0.02, 0.1))
        return False

    async def written_again(self) -> float:
        """Seconds until something is acknowledged from now on."""
        now = perf_counter()

        async def written() -> bool:
            return self.last_at >= now

        await eventually(written, seconds=30)
        return self.last_at - now


async def ensure_once(url: str, acknowledged: list[str]) -> None:
    """Each acknowledged title is there, and none twice."""
    connection = await asyncpg.connect(url)
    titles = Counter(row["title"] for row in await connection.fetch("SELECT title FROM specimen_orders"))
    await connection.close()
    assert not {*acknowledged} - titles.keys()
    assert [title for title, count in titles.items() if count > 1] == []


async def test_a_killed_postgresql_loses_nothing_acknowledged_and_doubles_nothing(
    tmp_path: Path, tell: Tell, share: Share
) -> None:
    slowest, kills = 0.0, round(share(20))
    for folder in (tmp_path, *tmp_path.parents[:2]):  # run as root, the server is another user's
        folder.chmod(folder.stat().st_mode | 0o011)
    async with killable_postgres(tmp_path / "postgres") as server:
        team, headers = await a_team_on(server.url)
        environment = environment_of(server.url, PUBLIC_URL=PUBLIC_URL, AUTH_ACCESS_TOKEN_SECONDS="86400")
        async with serving(environment) as (client, process):
            reading = asyncio.gather(process.stdout.read(), process.stderr.read())  # type: ignore[union-attr]
            client.timeout = 30
            writers = Writers(client, f"/v1/workspaces/{team.workspace.id}/specimen_orders", headers)
            tasks = [asyncio.create_task(writers.write()) for _ in range(WRITERS)]
            for _ in range(kills):
                await writers.written_again()
                await asyncio.sleep(random.uniform(0, 0.3))
                server.kill()
                await server.stop()
                await server.start()
                slowest = max(slowest, await writers.written_again())
            writers.stop.set()
            await asyncio.gather(*tasks)
            process.terminate()
            await reading
        await ensure_once(server.url, writers.acknowledged)
    assert slowest <= 5
    assert set(writers.failures) <= {"503", "409"}
    tell(
        f"PostgreSQL killed {kills} times under {WRITERS} writers",
        f"0 of {len(writers.acknowledged)} acknowledged lost, none doubled; serving again at most "
        f"{slowest * 1000:.0f} ms after a restart; {sum(writers.failures.values())} requests failed",
    )


async def test_terminated_backends_fail_a_request_each_at_most(
    empty_database_url: str, tell: Tell, share: Share
) -> None:
    by_hand = await asyncpg.connect(empty_database_url)
    team, headers = await a_team_on(empty_database_url)
    environment = environment_of(empty_database_url, PUBLIC_URL=PUBLIC_URL, AUTH_ACCESS_TOKEN_SECONDS="86400")
    async with serving(environment) as (client, process):
        reading = asyncio.gather(process.stdout.read(), process.stderr.read())  # type: ignore[union-attr]
        writers = Writers(client, f"/v1/workspaces/{team.workspace.id}/specimen_orders", headers)
        tasks = [asyncio.create_task(writers.write()) for _ in range(WRITERS)]
        ended, terminated = perf_counter() + share(15), 0
        while perf_counter() < ended:
            await writers.written_again()
            terminated += len(await backends(by_hand, SERVICE_NAME))
            await terminate(by_hand, SERVICE_NAME)
            await asyncio.sleep(0.5)
        writers.stop.set()
        await asyncio.gather(*tasks)
        process.terminate()
        await reading
    await by_hand.close()
    await ensure_once(empty_database_url, writers.acknowledged)
    failed = sum(writers.failures.values())
    assert 0 < failed <= terminated
    tell(
        "backends terminated",
        f"{failed} requests failed for {terminated} ends; "
        f"0 of {len(writers.acknowledged)} acknowledged lost, none doubled",
    )


async def test_a_killed_worker_loses_no_event_and_keeps_their_order(
    empty_database_url: str, tell: Tell, share: Share
) -> None:
    """Each assignment is noted once: a delivery that is repeated has the same id."""
    kills, events = round(share(10)), 200
    by_hand = await asyncpg.connect(empty_database_url)
    team, headers = await a_team_on(empty_database_url)
    environment = environment_of(empty_database_url, PUBLIC_URL=PUBLIC_URL, AUTH_ACCESS_TOKEN_SECONDS="86400")
    orders = f"/v1/workspaces/{team.workspace.id}/specimen_orders"
    async with serving(environment) as (client, process):
        reading = asyncio.gather(process.stdout.read(), process.stderr.read())  # type: ignore[union-attr]
        for number in range(events):
            made = await client.post(
                orders,
                json={"title": f"{number}", "assignee_id": str(team.member.user_id)},
                headers={**headers, "idempotency-key": f"{uuid4()}"},
            )
            assert made.status_code == 201, made.text
        process.terminate()
        await reading
    assigned = "SELECT count(*) FROM outbox WHERE type = 'SpecimenOrderAssigned'"
    assert await by_hand.fetchval(assigned) == events

    async def at_most(count: int) -> None:
        async def delivered() -> bool:
            return bool(await by_hand.fetchval(assigned) <= count)

        await eventually(delivered, seconds=60)

    for _ in range(kills):
        async with a_worker(empty_database_url, module="kernel.specimen.worker") as worker:
            reading = asyncio.gather(worker.stdout.read(), worker.stderr.read())  # type: ignore[union-attr]
            few_more = max(0, await by_hand.fetchval(assigned) - 5)
            await at_most(few_more)
            worker.send_signal(signal.SIGKILL)
            await reading
    async with a_worker(empty_database_url, module="kernel.specimen.worker") as worker:
        reading = asyncio.gather(worker.stdout.read(), worker.stderr.read())  # type: ignore[union-attr]
        await at_most(0)
        worker.terminate()
        await reading
    noted = await by_hand.fetchval("SELECT count(*) FROM specimen_notes")
    orders_noted = await by_hand.fetchval("SELECT count(DISTINCT specimen_order_id) FROM specimen_notes")
    await by_hand.close()
    assert (noted, orders_noted) == (events, events)
    tell(f"worker killed {kills} times", f"{noted} of {events} events had their effect, each once")
