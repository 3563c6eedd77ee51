"""The walk "stranger without anything": who they are is not known, and all they have is one network address.

On the running service and its worker. They register, guess and ask for resets over 70 connections; the owner
of an account is at the same address, and the worst that happens to anybody is to come back a little later.
"""

import asyncio
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from httpx2 import AsyncClient, Limits, Response

from kernel.servers.serving import environment_of, serving
from kernel.servers.workers import PATIENCE_SECONDS, a_worker
from kernel.world.people import EMAIL, PASSWORD

CONNECTIONS = 70
LIMIT = 5
CHARLES = "charles@example.com"


@pytest.fixture
def environment(empty_database_url: str) -> dict[str, str]:
    return environment_of(empty_database_url)


async def send(client: AsyncClient, path: str, **body: str) -> Response:
    return await client.post(f"/v1/auth/{path}", json=body)


async def persisting(client: AsyncClient, path: str, **body: str) -> Response:
    """As a patient client: 503 says to come back in a second."""
    for _ in range(PATIENCE_SECONDS):
        answer = await send(client, path, **body)
        if answer.status_code != 503:
            return answer
        await asyncio.sleep(int(answer.headers["retry-after"]))
    pytest.fail(f"The answer is 503 for {PATIENCE_SECONDS} seconds.")


async def served(client: AsyncClient, **credentials: str) -> None:
    """Somebody logs in nine times, whatever else goes on."""
    for _ in range(9):
        assert (await persisting(client, "login", **credentials)).status_code == 200


async def flood(requests: Iterable[Awaitable[Response]]) -> Counter[int]:
    """The statuses; whoever is told to wait is told how long."""
    answers = await asyncio.gather(*requests)
    for answer in answers:
        assert answer.status_code not in {429, 503} or int(answer.headers["retry-after"]) > 0
    return Counter(answer.status_code for answer in answers)


@asynccontextmanager
async def drained(process: Process) -> AsyncIterator[None]:
    """Reads what the process logs, as a pipe that is full would stop it; ends the process."""
    reading = asyncio.gather(process.stdout.read(), process.stderr.read())  # type: ignore[union-attr]
    try:
        yield
    finally:
        process.terminate()
        await reading


async def mailed(database_url: str) -> Counter[str]:
    """How many mails the worker has sent to whom, once there is nothing left to do."""
    connection, waiting = await asyncpg.connect(database_url), 1
    async with a_worker(database_url) as process:
        for _ in range(10 * PATIENCE_SECONDS):
            waiting = await connection.fetchval("SELECT count(*) FROM outbox")
            if not waiting:
                break
            await asyncio.sleep(0.1)
        process.terminate()
        output, _ = await process.communicate()
    await connection.close()
    assert waiting == 0
    lines = output.decode().splitlines()
    return Counter(line.removeprefix("To: ") for line in lines if line.startswith("To: "))


async def test_a_stranger_without_anything_stops_nobody_and_floods_no_mailbox(
    environment: dict[str, str],
) -> None:
    async with (
        serving(environment) as (_, process),
        drained(process),
        AsyncClient(
            base_url=f"http://127.0.0.1:{environment['PORT']}",
            limits=Limits(max_connections=CONNECTIONS),
            timeout=PATIENCE_SECONDS,
        ) as stranger,
        AsyncClient(base_url=stranger.base_url, timeout=PATIENCE_SECONDS) as owner,
    ):
        for email in (EMAIL, CHARLES):
            person: dict[str, Any] = {"email": email, "password": PASSWORD, "display_name": "Ada"}
            assert (await send(owner, "register", **person)).status_code == 201
        credentials = {"email": EMAIL, "password": PASSWORD}
        device = {"device_token": (await send(owner, "login", **credentials)).json()["device_token"]}

        # Registrations, of whatever address; log-ins of people without a known device go on meanwhile.
        registrations = flood(
            send(
                stranger,
                "register",
                email=f"victim+{number}@example.com",
                password=PASSWORD,
                display_name="Victim",
            )
            for number in range(3 * CONNECTIONS)
        )
        statuses, _ = await asyncio.gather(registrations, served(owner, email=CHARLES, password=PASSWORD))
        assert statuses[201] <= 30
        assert set(statuses) <= {201, 429, 503}

        # Guesses: strangers are locked out, of her account and soon of all, and she is not.
        guesses = flood(
            send(stranger, "login", email=email, password="guess")
            for _ in range(2 * CONNECTIONS)
            for email in (EMAIL, "nobody@example.com", "no address")
        )
        statuses, _ = await asyncio.gather(guesses, served(owner, **credentials, **device))
        assert set(statuses) <= {401, 429, 503}
        assert (await persisting(stranger, "login", **credentials)).status_code in {200, 429}
        for number in range(120):  # what was refused as too much at once was not counted as a failure
            await send(stranger, "login", email=f"{number}@example.com", password="guess")
        assert (await persisting(stranger, "login", **credentials)).status_code == 429
        assert (await persisting(owner, "login", **credentials, **device)).status_code == 200

        # Resets, of hers and of many others'.
        asked = [EMAIL] * CONNECTIONS + [f"victim+{number}@example.com" for number in range(CONNECTIONS)]
        statuses = await flood(send(stranger, "password-reset", email=email) for email in asked)
        assert set(statuses) <= {204, 429, 503}
        assert (await persisting(owner, "login", **credentials, **device)).status_code == 200

    mails = await mailed(environment["DATABASE_URL"])
    victims = sum(count for email, count in mails.items() if email.startswith("victim"))
    assert mails[EMAIL] <= LIMIT
    assert 0 < victims <= LIMIT
