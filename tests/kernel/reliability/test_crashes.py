"""What dies, dies without a word: the database server, its processes, the worker."""

import asyncio
import random
import signal
from pathlib import Path
from time import perf_counter
from uuid import uuid4

import asyncpg

from entrypoints.kernel.service import SERVICE_NAME
from kernel.reliability.conftest import Share, Tell
from kernel.reliability.writers import PUBLIC_URL, WRITERS, Writers, a_team_on, ensure_once
from kernel.servers.backends import backends, eventually, terminate
from kernel.servers.killable import killable_postgres
from kernel.servers.serving import environment_of, serving
from kernel.servers.workers import a_worker


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
