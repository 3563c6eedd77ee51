"""The move from the built-in provider to another one, on a service of two instances that never stops."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import asyncpg
from httpx2 import Response

from kernel.providers.openid_provider import OpenIdProvider, free_port
from kernel.providers.services import PASSWORD, Service, a_service, log_in, register, trusting

INSTANCES = 2
MOST_REQUESTS = 3_000
RECHECK_SECONDS = 0.5


@dataclass
class Instance:
    """One of the fleet, with the number of requests that it has not answered yet."""

    service: Service
    stack: AsyncExitStack
    busy: int = 0

    async def leave(self) -> None:
        """Nothing new comes any more; what it has is answered, and then it ends."""
        for _ in range(100):
            if not self.busy:
                break
            await asyncio.sleep(0.05)
        await self.stack.aclose()


@dataclass
class Fleet:
    """Instances on one database, and what stands before them and gives requests to each in turn."""

    database_url: str
    public_url: str
    serving: list[Instance] = field(default_factory=list)
    _turns: Iterator[int] = field(default_factory=itertools.count)

    async def get(self, path: str, token: str | None = None) -> Response:
        return await self._ask(lambda service: service.get(path, token))

    async def post(
        self, path: str, body: Any = None, token: str | None = None, *, proof: str | None = None
    ) -> Response:
        return await self._ask(lambda service: service.post(path, body, token, proof=proof))

    async def _ask(self, request: Callable[[Service], Awaitable[Response]]) -> Response:
        instance = self.serving[next(self._turns) % len(self.serving)]
        instance.busy += 1
        try:
            return await request(instance.service)
        finally:
            instance.busy -= 1

    async def roll_out(self, settings: Mapping[str, str]) -> None:
        """Each instance in turn is followed by one with these settings, as a deployment does it."""
        settings = {
            "PUBLIC_URL": self.public_url,
            "AUTH_RECHECK_SECONDS": str(RECHECK_SECONDS),
            **settings,
        }
        leaving = list(self.serving)
        for _ in range(INSTANCES):
            stack = AsyncExitStack()
            service = await stack.enter_async_context(a_service(self.database_url, settings))
            await _is_ready(service)
            self.serving.append(Instance(service, stack))
            if leaving:
                self.serving.remove(leaving[0])
                await leaving.pop(0).leave()

    async def stop(self) -> None:
        for instance in self.serving:
            await instance.leave()


async def _is_ready(service: Service) -> None:
    for _ in range(50):  # the first question is what makes it fetch the provider's keys
        if (await service.get("/health/ready")).status_code == 200:
            return
        await asyncio.sleep(0.2)
    raise AssertionError((await service.get("/health/ready")).text)


@asynccontextmanager
async def a_fleet(database_url: str, settings: Mapping[str, str]) -> AsyncIterator[Fleet]:
    fleet = Fleet(database_url, f"http://localhost:{free_port()}")
    await fleet.roll_out(settings)
    try:
        yield fleet
    finally:
        await fleet.stop()


@dataclass
class Person:
    """Somebody who works without a pause, with whatever token they have now."""

    name: str
    token: str
    me: dict[str, Any]
    workspace: str
    answers: Counter[int] = field(default_factory=Counter)

    async def work(self, fleet: Fleet, until: asyncio.Event) -> None:
        for number in range(MOST_REQUESTS):
            if until.is_set():
                return
            token = self.token
            if number % 10:
                answer = await fleet.get(f"/v1/workspaces/{self.workspace}/invitations", token)
                assert answer.status_code == 200, (self.name, answer.text)
                assert answer.json()["items"], self.name
            else:
                body = {"email": f"{uuid4().hex}@example.com", "role": "member"}
                answer = await fleet.post(f"/v1/workspaces/{self.workspace}/invitations", body, token)
                assert answer.status_code == 201, (self.name, answer.text)
            self.answers[answer.status_code] += 1
            await asyncio.sleep(0.01)

    async def is_still_there(self, fleet: Fleet) -> None:
        """Under the token of now they are the same user, in their own workspace, with what they made."""
        me = await fleet.get("/v1/me", self.token)
        assert (me.status_code, me.json()["id"]) == (200, self.me["id"]), (self.name, me.text)
        spaces = (await fleet.get("/v1/workspaces", self.token)).json()["items"]
        assert [space["id"] for space in spaces] == [self.workspace]


async def a_person(fleet: Fleet, name: str) -> Person:
    """Registered and logged in with a password, with a workspace and an invitation."""
    email = f"{name.lower()}@example.com"
    await register(fleet, email, name)
    token = (await log_in(fleet, email))["access_token"]
    me = (await fleet.get("/v1/me", token)).json()
    space = await fleet.post("/v1/workspaces", {"name": f"{name}'s", "slug": f"of-{name.lower()}"}, token)
    assert space.status_code == 201, space.text
    workspace = space.json()["id"]
    guest = {"email": f"guest-of-{name.lower()}@example.com", "role": "member"}
    invitation = await fleet.post(f"/v1/workspaces/{workspace}/invitations", guest, token)
    assert invitation.status_code == 201, invitation.text
    return Person(name, token, me, workspace)


@asynccontextmanager
async def at_work(fleet: Fleet, *people: Person) -> AsyncIterator[None]:
    """All of them, the whole time: a single refusal fails the test."""
    over = asyncio.Event()
    async with asyncio.TaskGroup() as clients:
        for person in people:
            clients.create_task(person.work(fleet, over))
        try:
            yield
            await asyncio.sleep(2 * RECHECK_SECONDS)
        finally:
            over.set()


async def test_a_service_moves_to_another_provider_and_nobody_is_refused_or_lost(
    empty_database_url: str, provider: OpenIdProvider
) -> None:
    async with a_fleet(empty_database_url, {"AUTH_PROVIDER": "local"}) as fleet:
        ada, bob = await a_person(fleet, "Ada"), await a_person(fleet, "Bob")
        await has_verified_the_address(empty_database_url, ada)
        passwords = {person.name: person.token for person in (ada, bob)}

        # 1. Both are trusted. Whoever is logged in stays it.
        both = trusting(provider, AUTH_TRUST_LOCAL="true", OIDC_TRUST_EMAIL="true")
        async with at_work(fleet, ada, bob):
            await fleet.roll_out(both)

        async with at_work(fleet, ada, bob):
            # 2. Ada's address is verified here and there: the provider's word is enough.
            ada.token = (await provider.log_in("subject-of-ada")).access
            await ada.is_still_there(fleet)

            # 3. Bob's is not: at the provider he would be somebody else, until he shows that he is both.
            theirs = (await provider.log_in("subject-of-bob")).access
            stranger = await fleet.get("/v1/me", theirs)
            assert stranger.json()["id"] != bob.me["id"]
            given = await fleet.post("/v1/auth/reauthentication", {"password": PASSWORD}, bob.token)
            proof = given.json()["token"]
            linked = await fleet.post("/v1/me/identities", {"token": theirs}, bob.token, proof=proof)
            assert linked.status_code == 201, linked.text
            await asyncio.sleep(2 * RECHECK_SECONDS)
            bob.token = theirs
            await bob.is_still_there(fleet)

            # Somebody new comes by the provider alone; their verified address is nobody's here.
            eve = (await provider.log_in("subject-of-eve")).access
            assert (await fleet.get("/v1/workspaces", eve)).json()["items"] == []

        # 4. The built-in provider goes. What it issued is good no more; everybody is where they were.
        async with at_work(fleet, ada, bob):
            await fleet.roll_out(trusting(provider))
        for person in (ada, bob):
            await person.is_still_there(fleet)
            assert person.answers[200] > 0
            refused = await fleet.get("/v1/me", passwords[person.name])
            assert refused.status_code == 401
        assert await everything(empty_database_url) == {
            "Ada": 1 + ada.answers[201],
            "Bob": 1 + bob.answers[201],
        }


async def has_verified_the_address(database_url: str, person: Person) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE users SET email_verified_at = now() WHERE id = $1", person.me["id"])
    await connection.close()


async def everything(database_url: str) -> dict[str, int]:
    """How many invitations of whose are stored."""
    connection = await asyncpg.connect(database_url)
    rows = await connection.fetch(
        """
        SELECT users.display_name, count(*)
        FROM invitations JOIN users ON users.id = invitations.invited_by GROUP BY 1
        """
    )
    await connection.close()
    return {row["display_name"]: row["count"] for row in rows}
