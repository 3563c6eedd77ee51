"""Many who do the same at one instant, in two processes of the service."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest
from httpx2 import AsyncClient, Limits

from kernel.reliability.conftest import Tell
from kernel.reliability.writers import PUBLIC_URL, a_team_on
from kernel.servers.serving import environment_of, serving
from kernel.world.people import EMAIL, PASSWORD


@pytest.fixture
async def client(empty_database_url: str) -> AsyncIterator[AsyncClient]:
    """A client of two processes, over as many connections as it needs."""
    environment = environment_of(empty_database_url, PUBLIC_URL=PUBLIC_URL, WORKERS="2")
    async with serving(environment) as (one, process):
        reading = asyncio.gather(process.stdout.read(), process.stderr.read())  # type: ignore[union-attr]
        limits = Limits(max_connections=200)
        async with AsyncClient(base_url=one.base_url, limits=limits, timeout=60) as client:
            yield client
        process.terminate()
        await reading


async def test_a_hundred_posts_with_one_key_have_one_effect(
    empty_database_url: str, client: AsyncClient, tell: Tell
) -> None:
    team, headers = await a_team_on(empty_database_url)
    path, keyed = f"/v1/workspaces/{team.workspace.id}/specimen_orders", {"idempotency-key": f"{uuid4()}"}
    answers = await asyncio.gather(
        *(client.post(path, json={"title": "Spin"}, headers={**headers, **keyed}) for _ in range(100))
    )
    last = await client.post(path, json={"title": "Spin"}, headers={**headers, **keyed})
    by_hand = await asyncpg.connect(empty_database_url)
    made = await by_hand.fetchval("SELECT count(*) FROM specimen_orders")
    await by_hand.close()
    statuses = Counter(answer.status_code for answer in answers)
    assert (made, last.status_code) == (1, 201)
    assert statuses.keys() <= {201, 409, 503}
    assert {answer.content for answer in answers if answer.status_code == 201} <= {last.content}
    tell("100 posts with one key", f"{made} effect ({dict(statuses)})")


async def test_of_fifty_writers_with_one_entity_tag_one_succeeds(
    empty_database_url: str, client: AsyncClient, tell: Tell
) -> None:
    team, headers = await a_team_on(empty_database_url)
    made = await client.post(
        f"/v1/workspaces/{team.workspace.id}/specimen_orders", json={"title": "Spin"}, headers=headers
    )
    conditional = {**headers, "if-match": made.headers["etag"]}
    answers = await asyncio.gather(
        *(
            client.patch(made.headers["location"], json={"title": f"{number}"}, headers=conditional)
            for number in range(50)
        )
    )
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses == {200: 1, 412: 49}
    tell("50 writers with one entity tag", f"{dict(statuses)}")


async def test_twenty_uses_of_one_refresh_token_leave_one_session(
    empty_database_url: str, client: AsyncClient, tell: Tell
) -> None:
    """Within the grace all are answered alike (docs/decisions/0027); after it the family ends."""
    account = {"email": EMAIL, "password": PASSWORD}
    registered = await client.post("/v1/auth/register", json={**account, "display_name": "Ada"})
    assert registered.status_code == 201, registered.text
    session = (await client.post("/v1/auth/login", json=account)).json()
    token = {"refresh_token": session["refresh_token"]}
    answers = await asyncio.gather(*(client.post("/v1/auth/refresh", json=token) for _ in range(20)))
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses[200] >= 1
    successors = {answer.json()["refresh_token"] for answer in answers if answer.status_code == 200}
    assert len(successors) == 1
    after = await client.post("/v1/auth/refresh", json={"refresh_token": successors.pop()})
    assert after.status_code == 200
    tell("20 uses of one refresh token", f"{dict(statuses)}, one successor, which is good")
