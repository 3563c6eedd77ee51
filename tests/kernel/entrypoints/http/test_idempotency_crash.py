"""Whoever repeats a request under its key may rely on it: whatever dies meanwhile, it is done once."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping

import pytest
from httpx2 import AsyncClient, RemoteProtocolError, Response

from adapters.postgres.kernel.connection.database import Database
from entrypoints.settings import Settings
from kernel.servers.backends import PATIENCE, ByHand, Proxy
from kernel.servers.serving import environment_of, serving
from kernel.specimen.service import Container
from kernel.world.builders import Team, a_session, store

SPECIMEN_ORDER = {"title": "Spin"}
KEY = {"idempotency-key": "8e03978e-40d5-43e8-bc93-6894a57f9324"}


@pytest.fixture
def specimen_orders(team: Team) -> str:
    return f"/v1/workspaces/{team.workspace.id}/specimen_orders"


def replayed(answer: Response) -> bool:
    return answer.headers.get("idempotency-replayed") == "true"


async def counts(by_hand: ByHand) -> dict[str, int]:
    """How often it was done: the specimen orders, the events, and the answers that are kept."""
    return {
        # A service that finds no signing key makes one at some time after its start.
        table: await by_hand.fetchval(f"SELECT count(*) FROM {table} WHERE {which}")  # noqa: S608
        for table, which in {
            "specimen_orders": "true",
            "outbox": "type <> 'SigningKeyAdded'",
            "idempotency_keys": "true",
        }.items()
    }


ONCE = {"specimen_orders": 1, "outbox": 1, "idempotency_keys": 1}
NEVER = {"specimen_orders": 0, "outbox": 0, "idempotency_keys": 0}


# ── processes that die ───────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def environment(
    empty_database_url: str, settings: Settings, by_hand: ByHand, team: Team
) -> dict[str, str]:
    """Of a server that takes the tokens of this process."""
    await by_hand.execute("DELETE FROM outbox")  # what the team's making has emitted
    return environment_of(empty_database_url, PUBLIC_URL=settings.public_url)


@pytest.fixture
async def headers(container: Container, team: Team) -> dict[str, str]:
    """A request of a member, under a key."""
    session = a_session(user_id=team.member.user_id, created_at=container.clock()())
    await store(container.begin(), session)
    token = await container.token_issuer().issue(team.member.user_id, session_id=session.id)
    return {**KEY, "authorization": f"Bearer {token.value}"}


async def crash(
    environment: Mapping[str, str], at: str, path: str, headers: Mapping[str, str], *, json: object = None
) -> None:
    """Sends the request to a server that it kills."""
    async with serving({**environment, "CRASH_AT": at}, module="kernel.servers.crashing") as (
        client,
        process,
    ):
        with pytest.raises(RemoteProtocolError, match="without sending a response"):
            await client.post(path, json=json, headers=headers)
        assert await asyncio.wait_for(process.wait(), PATIENCE) == -signal.SIGKILL


async def test_what_was_committed_and_never_answered_is_answered_when_the_request_comes_again(
    environment: dict[str, str], headers: dict[str, str], specimen_orders: str, by_hand: ByHand
) -> None:
    await crash(environment, "before-answer", specimen_orders, headers, json=SPECIMEN_ORDER)
    assert await counts(by_hand) == ONCE

    async with serving(environment) as (client, _):
        first, again = [
            await client.post(specimen_orders, json=SPECIMEN_ORDER, headers=headers) for _ in range(2)
        ]
        other = await client.post(specimen_orders, json={"title": "Weave"}, headers=headers)
        shown = await client.get(first.headers["location"], headers=headers)
    assert [(answer.status_code, replayed(answer)) for answer in (first, again)] == [(201, True)] * 2
    assert first.content == again.content == shown.content
    assert first.headers["etag"] == again.headers["etag"] == shown.headers["etag"]
    assert other.status_code == 422
    assert await counts(by_hand) == ONCE
    assert await by_hand.fetchval("SELECT id FROM specimen_orders") == await by_hand.fetchval(
        "SELECT aggregate_id FROM outbox WHERE type <> 'SigningKeyAdded'"
    )
    assert first.json()["id"] == str(await by_hand.fetchval("SELECT id FROM specimen_orders"))


async def test_what_was_never_committed_is_done_when_the_request_comes_again(
    environment: dict[str, str], headers: dict[str, str], specimen_orders: str, by_hand: ByHand
) -> None:
    await crash(environment, "before-commit", specimen_orders, headers, json=SPECIMEN_ORDER)
    assert await counts(by_hand) == NEVER

    async with serving(environment) as (client, _):
        first = await when_free(client, specimen_orders, headers)
        again = await client.post(specimen_orders, json=SPECIMEN_ORDER, headers=headers)
    assert (first.status_code, replayed(first)) == (201, False)
    assert (again.status_code, replayed(again), again.content) == (201, True, first.content)
    assert await counts(by_hand) == ONCE


async def when_free(client: AsyncClient, path: str, headers: Mapping[str, str] = KEY) -> Response:
    """The answer, once the database has seen that the connection with the key has gone."""
    async with asyncio.timeout(PATIENCE):
        while True:
            answer = await client.post(path, json=SPECIMEN_ORDER, headers=headers)
            if answer.status_code not in {409, 503}:
                return answer
            await asyncio.sleep(0.02)


async def test_of_twenty_at_once_in_two_processes_one_does_it(
    environment: dict[str, str], headers: dict[str, str], specimen_orders: str, by_hand: ByHand
) -> None:
    async with serving({**environment, "WORKERS": "2"}) as (client, _):
        answers = await asyncio.gather(
            *(client.post(specimen_orders, json=SPECIMEN_ORDER, headers=headers) for _ in range(20))
        )
        last = await client.post(specimen_orders, json=SPECIMEN_ORDER, headers=headers)
    made = [answer for answer in answers if answer.status_code == 201]
    in_use = [answer for answer in answers if answer.status_code == 409]
    assert len(made) + len(in_use) == 20
    assert [replayed(answer) for answer in made].count(False) == 1
    assert {answer.content for answer in (*made, last)} == {last.content}
    assert replayed(last)
    assert {answer.json()["type"] for answer in in_use} <= {"/problems/idempotency-key-in-use"}
    assert await counts(by_hand) == ONCE


# ── connections that are lost ────────────────────────────────────────────────────────────────────


class TestBehindANetworkThatFails:
    """The service, in process, whose way to the database is the proxy."""

    @pytest.fixture
    async def database(self, proxy: Proxy) -> AsyncIterator[Database]:
        database = Database(proxy.url, pool_size=5, wait_seconds=5)
        yield database
        await database.close()

    @pytest.mark.parametrize(
        "statement",
        ["pg_try_advisory_xact_lock", "INSERT INTO specimen_orders", "INSERT INTO idempotency_keys"],
    )
    async def test_a_connection_that_is_lost_between_claim_and_commit_leaves_nothing(
        self, member: AsyncClient, specimen_orders: str, proxy: Proxy, by_hand: ByHand, statement: str
    ) -> None:
        await member.get(specimen_orders)
        await by_hand.execute("DELETE FROM outbox")
        proxy.lost_answer_to = statement.encode()
        lost = await member.post(specimen_orders, json=SPECIMEN_ORDER, headers=KEY)
        assert (lost.status_code, lost.json()["type"]) == (503, "/problems/unavailable")
        assert lost.headers["retry-after"]
        proxy.lost_answer_to = None

        first = await when_free(member, specimen_orders)
        again = await member.post(specimen_orders, json=SPECIMEN_ORDER, headers=KEY)
        assert (first.status_code, replayed(first), replayed(again)) == (201, False, True)
        assert await counts(by_hand) == ONCE

    async def test_a_commit_whose_outcome_nobody_learnt_is_cleared_up_by_the_next_request(
        self, member: AsyncClient, specimen_orders: str, proxy: Proxy, by_hand: ByHand
    ) -> None:
        await member.get(specimen_orders)
        await by_hand.execute("DELETE FROM outbox")
        proxy.lost_answer_to = b"COMMIT"
        lost = await member.post(specimen_orders, json=SPECIMEN_ORDER, headers=KEY)
        assert (lost.status_code, lost.json()["type"]) == (503, "/problems/unavailable")
        proxy.lost_answer_to = None

        again = await when_free(member, specimen_orders)
        assert (again.status_code, replayed(again)) == (201, True)
        assert await counts(by_hand) == ONCE
