"""The service behind PgBouncer in transaction mode, while its connections are cut and it dies itself."""

import asyncio
from collections import Counter
from functools import partial
from time import perf_counter
from uuid import uuid4

import asyncpg
from httpx2 import AsyncClient, Response, TransportError

from adapters.postgres.kernel.connection.pooling import Pooler
from application.kernel.unit_of_work import Begin
from entrypoints.kernel.settings import SERVICE_NAME
from kernel.reliability.conftest import Share, Tell
from kernel.servers.backends import ByHand, eventually, terminate
from kernel.servers.pgbouncer import PgBouncer, a_pgbouncer
from kernel.servers.serving import environment_of, serving
from kernel.specimen.service import Container, UnitOfWork
from kernel.world.builders import Team, a_session, a_team, store

WRITERS = 6
TRY_AGAIN = {409, 503, 504}


class Writers:
    """Each makes one specimen order after the other, and repeats a request under its key until it is done."""

    def __init__(self, client: AsyncClient, team: Team, token: str) -> None:
        self._client = client
        self._path = f"/v1/workspaces/{team.workspace.id}/specimen_orders"
        self._authorization = {"authorization": f"Bearer {token}"}
        self.acknowledged: list[str] = []
        self.tries = Counter[int]()

    async def write(self, until: float) -> None:
        while perf_counter() < until:
            title = str(uuid4())
            await eventually(partial(self._made, title), seconds=60)
            self.acknowledged.append(title)

    async def _made(self, title: str) -> bool:
        answer = await self._try(title)
        if answer is None or answer.status_code in TRY_AGAIN:
            return False
        assert answer.status_code == 201, answer.text
        return True

    async def _try(self, title: str) -> Response | None:
        headers = {**self._authorization, "idempotency-key": title}
        try:
            answer = await self._client.post(self._path, json={"title": title}, headers=headers)
        except TransportError:
            return None
        self.tries[answer.status_code] += 1
        return answer


async def sabotage(pgbouncer: PgBouncer, by_hand: ByHand, until: float) -> Counter[str]:
    """Cuts PgBouncer's connections to the server, and every fourth time kills it and starts another."""
    done = Counter[str]()
    while perf_counter() < until:
        await asyncio.sleep(0.5)
        if sum(done.values()) % 4 == 3:
            await asyncio.to_thread(pgbouncer.kill)
            await asyncio.to_thread(pgbouncer.start)
            done["restarted"] += 1
        else:
            await terminate(by_hand, SERVICE_NAME)
            done["cut"] += 1
    return done


async def test_nothing_acknowledged_is_lost_while_a_pooler_dies(
    empty_database_url: str, container: Container, begin: Begin[UnitOfWork], tell: Tell, share: Share
) -> None:
    team = a_team()
    session = a_session(user_id=team.member.user_id, created_at=container.clock()())
    await store(begin, *team.aggregates, session)
    token = await container.token_issuer().issue(team.member.user_id, session_id=session.id)
    by_hand: ByHand = await asyncpg.connect(empty_database_url)
    with a_pgbouncer(empty_database_url, default_pool_size=5) as pgbouncer:
        pooler = Pooler(pgbouncer.url, empty_database_url, statement_seconds=10, lock_seconds=5)
        await pooler.apply_role_settings()
        environment = environment_of(empty_database_url, PUBLIC_URL=container.settings().public_url) | {
            "DATABASE_URL": pgbouncer.url,
            "DATABASE_DIRECT_URL": empty_database_url,
            "DATABASE_POOLER": "transaction",
            "LOG_LEVEL": "error",  # nobody reads the log, and a pipe that is full would stop the server
        }
        async with serving(environment) as (client, _):
            writers = Writers(client, team, token.value)
            ends = perf_counter() + share(12)
            async with asyncio.timeout(share(12) + 30):
                writing = [asyncio.create_task(writers.write(ends)) for _ in range(WRITERS)]
                done = await sabotage(pgbouncer, by_hand, ends)
                await asyncio.gather(*writing)
    found = Counter(row["title"] for row in await by_hand.fetch("SELECT title FROM specimen_orders"))
    await by_hand.close()
    lost = [title for title in writers.acknowledged if not found[title]]
    doubled = [title for title, count in found.items() if count > 1]
    assert (lost, doubled) == ([], [])
    assert writers.acknowledged
    assert done["cut"]
    assert {*writers.tries} <= {201, *TRY_AGAIN}
    told = f"0 of {len(writers.acknowledged)}; tries by status {dict(sorted(writers.tries.items()))}"
    tell(f"PgBouncer {done['restarted']} x killed, its connections {done['cut']} x cut, writes lost", told)
