"""The providers' accounts with which a user can log in, over HTTP."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from dependency_injector import providers
from httpx2 import AsyncClient

from application.kernel.identity.accounts import Linking
from application.kernel.identity.identities import admit_stranger
from application.kernel.ports.callers import Caller, Claims
from application.kernel.run import Runner
from application.kernel.unit_of_work import Begin
from domain.kernel.users import UserNotFound
from kernel.specimen.service import Container, UnitOfWork
from kernel.world.builders import NOW, Team, a_caller, a_credential, a_link, a_proof, a_user, store
from kernel.world.fakes import ProvingVerifier

type As = Callable[[Caller], AsyncClient]

ISSUER = "https://login.example"


@pytest.fixture
def proof() -> Claims:
    """What the other provider says of the token `good`."""
    return a_proof(issuer=ISSUER, subject="7")


@pytest.fixture
def container(container: Container, proof: Claims) -> Container:
    """With another provider, of which one token is known."""
    proving = ProvingVerifier(good=proof)
    linking = providers.Singleton(Linking, container.run, proving, local_issuer="http://localhost:8000")
    container.linking.override(linking)
    return container


def let_in(caller: Caller) -> Caller:
    """Whom a provider has let in just now, which counts as a fresh proof of who they are."""
    return replace(caller, authenticated_at=datetime.now(UTC))


@pytest.fixture
def member(as_: As, team: Team) -> AsyncClient:
    return as_(let_in(team.member))


@pytest.fixture
def stranger(as_: As, team: Team) -> AsyncClient:
    return as_(let_in(team.stranger))


async def linked(client: AsyncClient) -> list[tuple[str, str]]:
    answer = await client.get("/v1/me/identities")
    assert answer.status_code == 200
    return [(link["issuer"], link["subject"]) for link in answer.json()["items"]]


async def test_the_account_of_another_provider_can_be_linked_seen_and_unlinked(
    member: AsyncClient, begin: Begin[UnitOfWork], team: Team
) -> None:
    await store(begin, a_credential(id=team.member.user_id))
    made = await member.post("/v1/me/identities", json={"token": "good"})
    assert made.status_code == 201
    assert made.json() == made.json() | {"issuer": ISSUER, "subject": "7"}
    assert made.headers["location"] == f"/v1/me/identities/{made.json()['id']}"
    assert await linked(member) == [(ISSUER, "7")]
    assert (await member.get(made.headers["location"])).json() == made.json()
    again = await member.post("/v1/me/identities", json={"token": "good"})
    assert (again.status_code, again.json()) == (201, made.json())
    assert (await member.delete(made.headers["location"])).status_code == 204
    assert await linked(member) == []
    assert (await member.delete(made.headers["location"])).status_code == 404


async def test_the_user_whom_the_token_had_made_is_gone_and_the_pair_moves(
    member: AsyncClient,
    stranger: AsyncClient,
    run: Runner[UnitOfWork],
    begin: Begin[UnitOfWork],
    proof: Claims,
) -> None:
    shell = await run(admit_stranger, proof, email_trusted=False)
    assert (await member.post("/v1/me/identities", json={"token": "good"})).status_code == 201
    assert await linked(member) == [(ISSUER, "7")]
    async with begin() as uow:
        with pytest.raises(UserNotFound):
            await uow.users.get(shell.id)
    refused = await stranger.post("/v1/me/identities", json={"token": "good"})
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/linked-elsewhere")


async def test_a_bad_token_in_the_body_is_no_401(member: AsyncClient) -> None:
    refused = await member.post("/v1/me/identities", json={"token": "bad"})
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/nothing-to-link")
    assert refused.json()["errors"][0]["pointer"] == "#/token"


async def test_the_last_way_to_log_in_stays(as_: As, begin: Begin[UnitOfWork]) -> None:
    user = a_user()
    one, two = a_link(user_id=user.id), a_link(user_id=user.id)
    await store(begin, user, one, two)
    client = as_(let_in(a_caller(user.id)))
    assert (await client.delete(f"/v1/me/identities/{one.id}")).status_code == 204
    refused = await client.delete(f"/v1/me/identities/{two.id}")
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/last-way-in")


async def test_anothers_links_are_neither_shown_nor_to_be_unlinked(
    member: AsyncClient, begin: Begin[UnitOfWork], team: Team
) -> None:
    links = [a_link(user_id=team.owner.user_id, created_at=NOW) for _ in range(2)]
    await store(begin, *links)
    assert await linked(member) == []
    address = f"/v1/me/identities/{links[0].id}"
    for refused in (await member.get(address), await member.delete(address)):
        assert (refused.status_code, refused.json()["type"]) == (404, "/problems/link-not-found")


async def test_links_come_in_pages(member: AsyncClient, begin: Begin[UnitOfWork], team: Team) -> None:
    await store(begin, *(a_link(user_id=team.member.user_id, subject=str(each)) for each in range(3)))
    first = await member.get("/v1/me/identities", params={"limit": 2})
    second = await member.get("/v1/me/identities", params={"limit": 2, "cursor": first.json()["next"]})
    subjects = [link["subject"] for page in (first, second) for link in page.json()["items"]]
    assert sorted(subjects) == ["0", "1", "2"]
    assert second.json()["next"] is None
