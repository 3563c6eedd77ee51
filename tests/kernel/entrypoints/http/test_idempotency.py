"""Idempotency keys over HTTP; that every route takes them is `test_matrix.py`'s to see."""

import asyncio
from collections.abc import Mapping

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient, Response

from adapters.postgres.kernel.connection.database import Database, Statement
from adapters.postgres.kernel.idempotency import idempotency_keys
from application.kernel.ports.world import Contention
from application.kernel.unit_of_work import KernelUnitOfWork
from entrypoints.http.kernel.routing.dependencies import Actor, Run
from entrypoints.http.kernel.routing.routes import Router
from kernel.specimen.domain.specimen_orders import SpecimenOrder
from kernel.world.builders import Team

KEY = {"idempotency-key": "8e03978e-40d5-43e8-bc93-6894a57f9324"}


@pytest.fixture
def specimen_orders(team: Team) -> str:
    return f"/v1/workspaces/{team.workspace.id}/specimen_orders"


async def titles(client: AsyncClient, specimen_orders: str) -> list[str]:
    return sorted(item["title"] for item in (await client.get(specimen_orders)).json()["items"])


def replayed(answer: Response) -> bool:
    return answer.headers.get("idempotency-replayed") == "true"


async def test_the_answer_comes_again_even_if_the_thing_has_changed(
    member: AsyncClient, specimen_orders: str
) -> None:
    first = await member.post(specimen_orders, json={"title": "Spin"}, headers=KEY)
    await member.patch(first.headers["location"], json={"title": "Weave"})
    again = await member.post(specimen_orders, json={"title": "Spin"}, headers=KEY)
    assert (again.status_code, again.content, replayed(again)) == (201, first.content, True)
    assert await titles(member, specimen_orders) == ["Weave"]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"json": {"title": "Weave"}}, id="body"),
        pytest.param({"content": b'{"title":  "Spin"}'}, id="spaces"),
        pytest.param({"json": {"title": "Spin"}, "params": {"x": "1"}}, id="query"),
    ],
)
async def test_another_request_under_the_key_is_refused(
    member: AsyncClient, specimen_orders: str, other: Mapping[str, object]
) -> None:
    headers = KEY | {"content-type": "application/json"}
    await member.post(specimen_orders, content=b'{"title": "Spin"}', headers=headers)
    refused = await member.post(specimen_orders, headers=headers, **other)  # type: ignore[arg-type]
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/idempotency-key-reused")
    assert await titles(member, specimen_orders) == ["Spin"]


async def test_the_path_is_part_of_the_request_and_the_route_of_the_key(
    member: AsyncClient, specimen_orders: str
) -> None:
    one, two = [
        (await member.post(specimen_orders, json={"title": name})).json()["id"] for name in ("one", "two")
    ]
    assert (await member.post(f"/v1/specimen_orders/{one}/completion", headers=KEY)).status_code == 200
    assert (await member.post(f"/v1/specimen_orders/{two}/completion", headers=KEY)).status_code == 422
    assert (await member.post(f"/v1/specimen_orders/{two}/start", headers=KEY)).status_code == 200


async def test_each_user_has_keys_of_their_own(
    member: AsyncClient, admin: AsyncClient, specimen_orders: str
) -> None:
    for client in (member, admin):
        answer = await client.post(specimen_orders, json={"title": "Spin"}, headers=KEY)
        assert (answer.status_code, replayed(answer)) == (201, False)
    assert await titles(member, specimen_orders) == ["Spin", "Spin"]


async def test_what_was_refused_may_be_tried_again(
    member: AsyncClient, viewer: AsyncClient, specimen_orders: str
) -> None:
    for wrong in (b"{", b"{}", b'{"title": ""}'):
        headers = KEY | {"content-type": "application/json"}
        assert (await member.post(specimen_orders, content=wrong, headers=headers)).status_code in {400, 422}
    assert (await viewer.post(specimen_orders, json={"title": "Spin"}, headers=KEY)).status_code == 403
    created = await member.post(specimen_orders, json={"title": "Spin"}, headers=KEY)
    assert (created.status_code, replayed(created)) == (201, False)


async def test_a_conflict_is_no_answer_to_keep(member: AsyncClient, specimen_order: SpecimenOrder) -> None:
    path = f"/v1/specimen_orders/{specimen_order.id}/reopening"
    assert (await member.post(path, headers=KEY)).status_code == 409
    await member.post(f"/v1/specimen_orders/{specimen_order.id}/completion")
    assert (await member.post(path, headers=KEY)).status_code == 200


async def test_of_twenty_at_once_one_does_it(member: AsyncClient, specimen_orders: str) -> None:
    answers = await asyncio.gather(
        *(member.post(specimen_orders, json={"title": "Spin"}, headers=KEY) for _ in range(20))
    )
    made = [answer for answer in answers if answer.status_code == 201]
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert {answer.content for answer in made} == {made[0].content}
    assert [replayed(answer) for answer in made].count(False) == 1
    assert {answer.json()["type"] for answer in answers if answer.status_code == 409} <= {
        "/problems/idempotency-key-in-use"
    }
    assert await titles(member, specimen_orders) == ["Spin"]


async def test_a_condition_is_checked_once_too(member: AsyncClient, specimen_order: SpecimenOrder) -> None:
    path, headers = f"/v1/specimen_orders/{specimen_order.id}/start", KEY | {"if-match": '"1"'}
    assert (await member.post(path, headers=KEY | {"if-match": '"2"'})).status_code == 412
    first = await member.post(path, headers=headers)
    again = await member.post(path, headers=headers)
    assert (first.status_code, again.status_code, replayed(again)) == (200, 200, True)
    for other in ({}, {"if-match": '"2"'}):
        assert (await member.post(path, headers=KEY | other)).status_code == 422


async def test_what_an_answer_says_is_not_stored_in_the_open(
    admin: AsyncClient, team: Team, database: Database
) -> None:
    path = f"/v1/workspaces/{team.workspace.id}/invitations"
    invitation = {"email": "new@example.com", "role": "viewer"}
    first = await admin.post(path, json=invitation, headers=KEY)
    again = await admin.post(path, json=invitation, headers=KEY)
    assert again.json()["email"] == first.json()["email"] == invitation["email"]
    (row,) = await database.fetch(Statement(idempotency_keys.select()), {})
    assert invitation["email"] not in str(tuple(row))


async def test_under_a_key_contention_begins_the_whole_request_anew(
    app: FastAPI, member: AsyncClient
) -> None:
    router = Router(tag="test", prefix="/test")
    tried: list[int] = []

    async def use_case(_: KernelUnitOfWork) -> int:
        tried.append(1)
        if len(tried) < 3:
            raise Contention
        return len(tried)

    @router.post("/things")
    async def post_thing(actor: Actor, run: Run) -> dict[str, int]:
        return {"tried": await run(use_case)}

    app.router.routes.extend(router.routes)
    answer = await member.post("/test/things", headers=KEY)
    assert answer.json() == {"tried": 3}
    assert (await member.post("/test/things", headers=KEY)).json() == {"tried": 3}


async def test_several_keys_are_no_key(member: AsyncClient, specimen_orders: str) -> None:
    headers = [("idempotency-key", "one"), ("idempotency-key", "two")]
    refused = await member.post(specimen_orders, json={"title": "Spin"}, headers=headers)
    assert (refused.status_code, refused.json()["type"]) == (400, "/problems/invalid-idempotency-key")


async def test_a_key_costs_its_own_statements_and_a_request_without_one_none(
    member: AsyncClient, specimen_orders: str, statements: list[str]
) -> None:
    await member.post(specimen_orders, json={"title": "Warp"})
    statements.clear()
    await member.post(specimen_orders, json={"title": "Spin"})
    assert len(statements) == 2
    statements.clear()
    await member.post(specimen_orders, json={"title": "Spin"}, headers=KEY)
    assert len(statements) == 7  # and BEGIN, the claim, the look, the answer, COMMIT
    statements.clear()
    await member.post(specimen_orders, json={"title": "Spin"}, headers=KEY)
    assert len(statements) == 4  # BEGIN, the claim, the look, COMMIT
