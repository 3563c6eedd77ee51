"""Clients that write all the time, for the tests in which something dies meanwhile."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from uuid import uuid4

import asyncpg
from httpx2 import AsyncClient, HTTPError
from pydantic import SecretStr

from entrypoints.settings import Settings
from kernel.servers.backends import eventually
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
    passing: frozenset[int] = frozenset({409, 503})
    """The statuses of what may be tried again."""
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
        assert answer.status_code in self.passing, answer.text
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
