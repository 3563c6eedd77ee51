"""A database that falls silent, or takes no changes: what is in flight, and how soon all is well again."""

import asyncio
from collections.abc import Mapping
from time import perf_counter
from urllib.parse import urlsplit

import pytest
from httpx2 import AsyncClient, Limits, Response

from application.kernel.unit_of_work import Begin
from entrypoints.kernel.service import SERVICE_NAME
from entrypoints.settings import Settings
from kernel.reliability.conftest import Tell
from kernel.servers.backends import ByHand, Proxy, terminate
from kernel.servers.serving import environment_of, serving
from kernel.servers.workers import a_worker
from kernel.specimen.service import Container, UnitOfWork
from kernel.world.builders import Team, a_session, a_team, store

IN_FLIGHT = 10
POOL = 10
STATEMENT_SECONDS = 2.0
LIMIT_SECONDS = STATEMENT_SECONDS + 2
RECOVERY_SECONDS = 5.0


@pytest.fixture
async def team(begin: Begin[UnitOfWork]) -> Team:
    team = a_team()
    await store(begin, *team.aggregates)
    return team


@pytest.fixture
async def headers(container: Container, team: Team) -> Mapping[str, str]:
    session = a_session(user_id=team.member.user_id, created_at=container.clock()())
    await store(container.begin(), session)
    token = await container.token_issuer().issue(team.member.user_id, session_id=session.id)
    return {"authorization": f"Bearer {token.value}"}


async def test_a_network_that_stalls_hangs_nobody_and_all_is_well_when_it_is_back(
    *,
    proxy: Proxy,
    by_hand: ByHand,
    settings: Settings,
    team: Team,
    headers: Mapping[str, str],
    tell: Tell,
) -> None:
    limits = {
        "DATABASE_STATEMENT_SECONDS": str(STATEMENT_SECONDS),
        "DATABASE_POOL_SIZE": str(POOL),
        "PUBLIC_URL": settings.public_url,
    }
    orders = f"/v1/workspaces/{team.workspace.id}/specimen_orders"
    environment = environment_of(proxy.url, **limits)
    async with (
        serving(environment) as (client, _),
        AsyncClient(
            base_url=client.base_url,
            timeout=60,
            limits=Limits(max_connections=64),
            headers=headers,
        ) as own,
        a_worker(proxy.url, module="kernel.specimen.worker", **limits),
    ):

        async def order(key: int) -> tuple[int, float]:
            began = perf_counter()
            answer = await own.post(
                orders,
                json={"title": f"Order {key}", "assignee_id": str(team.member.user_id)},
                headers={"idempotency-key": f"8e03978e-40d5-43e8-bc93-{key:012d}"},
            )
            if answer.status_code >= 400:
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.headers["retry-after"]
            return answer.status_code, perf_counter() - began

        async def waiting() -> int:
            return int(await by_hand.fetchval("SELECT count(*) FROM outbox WHERE parked_at IS NULL"))

        async def delivered() -> None:
            while await waiting():  # noqa: ASYNC110 (another process does it)
                await asyncio.sleep(0.02)

        # Every place has a connection, and the worker its own.
        first = await asyncio.gather(*(order(key) for key in range(IN_FLIGHT)))
        assert [status for status, _ in first] == [201] * IN_FLIGHT
        async with asyncio.timeout(60):
            await delivered()

        proxy.stalled = True
        answers = await asyncio.gather(*(order(key) for key in range(100, 100 + IN_FLIGHT)))
        slowest = max(seconds for _, seconds in answers)
        assert {status for status, _ in answers} == {503}
        # One that comes when the places are free again is told soon.
        late, seconds = await order(200)
        assert late == 503
        unready = await own.get("/health/ready")
        assert unready.status_code == 503
        await asyncio.sleep(2)

        proxy.stalled = False
        back = perf_counter()
        while (await order(300))[0] != 201:
            assert perf_counter() - back < RECOVERY_SECONDS
        serving_again = perf_counter() - back
        again = await asyncio.gather(*(order(key) for key in range(100, 100 + IN_FLIGHT)))
        async with asyncio.timeout(60):
            await delivered()
        delivering_again = perf_counter() - back

    assert [status for status, _ in again] == [201] * IN_FLIGHT
    counted = await by_hand.fetch("SELECT title, count(*) AS times FROM specimen_orders GROUP BY title")
    assert {row["times"] for row in counted} == {1}
    assert len(counted) == 2 * IN_FLIGHT + 1
    assert slowest < LIMIT_SECONDS + 3  # the rest is this machine's
    assert serving_again < RECOVERY_SECONDS
    tell(
        f"network stalls, {IN_FLIGHT} in flight, limit {LIMIT_SECONDS:g} s: slowest answer",
        f"{slowest:.1f} s",
    )
    tell("network stalls: one who comes meanwhile is answered after", f"{seconds:.1f} s")
    tell("network is back: serving after", f"{serving_again:.2f} s")
    tell("network is back: the worker has delivered everything after", f"{delivering_again:.1f} s")
    tell("network stalls: changes done twice or lost", f"0 of {len(counted)}")


async def test_a_server_that_takes_no_changes_for_a_while_is_503_and_then_all_is_well(
    *,
    empty_database_url: str,
    by_hand: ByHand,
    settings: Settings,
    team: Team,
    headers: Mapping[str, str],
    tell: Tell,
) -> None:
    """As after a failover that leaves the connections on the former primary."""
    name = urlsplit(empty_database_url).path.removeprefix("/")
    orders = f"/v1/workspaces/{team.workspace.id}/specimen_orders"
    environment = environment_of(empty_database_url, PUBLIC_URL=settings.public_url)
    async with serving(environment) as (client, _):

        async def order() -> Response:
            return await client.post(orders, json={"title": "Spin"}, headers=headers, timeout=30)

        assert (await order()).status_code == 201
        await by_hand.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        try:
            await terminate(by_hand, SERVICE_NAME)
            await asyncio.gather(*(client.get(orders, headers=headers, timeout=30) for _ in range(IN_FLIGHT)))
            refused = [await order() for _ in range(2 * IN_FLIGHT)]
        finally:
            await by_hand.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
        accepted = [await order() for _ in range(IN_FLIGHT)]

    assert {answer.status_code for answer in refused} == {503}
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}
    assert [answer.status_code for answer in accepted] == [201] * IN_FLIGHT
    assert await by_hand.fetchval("SELECT count(*) FROM specimen_orders") == 1 + IN_FLIGHT
    tell("server is read-only: answers that are no 503", f"0 of {len(refused)}")
    tell("server takes changes again: changes refused afterwards", f"0 of {len(accepted)}")
