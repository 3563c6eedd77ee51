"""Entity tags: what a client has need not be sent again, and what it has not seen is not overwritten."""

import asyncio

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient

from application.kernel.unit_of_work import Begin
from entrypoints.http.kernel.routing.dependencies import Actor, Run
from entrypoints.http.kernel.routing.routes import Router
from kernel.specimen.builders import a_specimen_order
from kernel.specimen.domain.specimen_orders import SpecimenOrder, SpecimenOrderId
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import Team, store


@pytest.fixture
def path(specimen_order: SpecimenOrder) -> str:
    return f"/v1/specimen_orders/{specimen_order.id}"


async def test_a_tag_tells_the_version(member: AsyncClient, path: str) -> None:
    first = await member.get(path)
    assert first.headers["etag"].startswith('"1-')
    changed = await member.patch(path, json={"title": "Spin"})
    assert changed.headers["etag"].startswith('"2-')
    assert (await member.get(path)).headers["etag"] == changed.headers["etag"]


async def test_what_the_client_has_is_not_sent_again(member: AsyncClient, path: str) -> None:
    tag = (await member.get(path)).headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        for method in ("GET", "HEAD"):
            answer = await member.request(method, path, headers={"if-none-match": known})
            assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
            assert "content-type" not in answer.headers
    for unreadable in (f"x{tag}", f"{tag}x", f"{tag} {tag}", f'"{tag}"', f"w/{tag}", f"W/ {tag}"):
        assert (await member.get(path, headers={"if-none-match": unreadable})).status_code == 200
    await member.patch(path, json={"title": "Spin"})
    for unknown in (tag, '"1"', "1", tag.strip('"'), '"'):
        assert (await member.get(path, headers={"if-none-match": unknown})).status_code == 200


async def test_a_change_takes_no_condition_that_is_for_reads(member: AsyncClient, path: str) -> None:
    refused = await member.patch(path, json={"title": "Spin"}, headers={"if-none-match": "*"})
    assert (refused.status_code, refused.json()["type"]) == (400, "/problems/invalid-precondition")
    assert (await member.get(path)).json()["version"] == 1


async def test_a_condition_tells_nobody_what_they_may_not_know(
    stranger: AsyncClient, viewer: AsyncClient, path: str
) -> None:
    for condition in ('"1"', '"99"', "*"):
        headers = {"if-match": condition}
        assert (await stranger.patch(path, json={"title": "Spin"}, headers=headers)).status_code == 404
        assert (await viewer.patch(path, json={"title": "Spin"}, headers=headers)).status_code == 403


async def test_the_tag_differs_where_the_same_version_looks_different(
    member: AsyncClient, owner: AsyncClient, team: Team
) -> None:
    """A workspace shows the role of whoever looks at it."""
    path = f"/v1/workspaces/{team.workspace.id}"
    mine, theirs = [(await each.get(path)).headers["etag"] for each in (member, owner)]
    assert mine != theirs
    assert mine.split("-")[0] == theirs.split("-")[0] == '"1'
    assert (await owner.patch(path, json={"name": "Looms"}, headers={"if-match": mine})).status_code == 200


async def test_a_read_costs_no_statement_more(member: AsyncClient, path: str, statements: list[str]) -> None:
    tag = (await member.get(path)).headers["etag"]
    statements.clear()
    assert (await member.get(path, headers={"if-none-match": tag})).status_code == 304
    assert len(statements) == 1


async def test_a_condition_costs_no_statement(member: AsyncClient, path: str, statements: list[str]) -> None:
    tag = (await member.patch(path, json={"title": "Warp"})).headers["etag"]
    statements.clear()
    await member.patch(path, json={"title": "Spin"})
    unconditional = len(statements)
    statements.clear()
    await member.patch(path, json={"title": "Weave"}, headers={"if-match": '"3"'})
    assert len(statements) == unconditional
    statements.clear()
    refused = await member.patch(path, json={"title": "Weft"}, headers={"if-match": tag})
    assert (refused.status_code, refused.json()["type"]) == (412, "/problems/precondition-failed")
    assert len(statements) < unconditional


async def test_of_fifty_who_change_what_they_have_seen_one_succeeds(member: AsyncClient, path: str) -> None:
    tag = (await member.get(path)).headers["etag"]
    answers = await asyncio.gather(
        *(member.patch(path, json={"title": f"{number}"}, headers={"if-match": tag}) for number in range(50))
    )
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] + [412] * 49
    assert (await member.get(path)).json()["version"] == 2


async def test_without_a_condition_a_lost_race_is_a_conflict(member: AsyncClient, path: str) -> None:
    answers = await asyncio.gather(*(member.patch(path, json={"title": f"{number}"}) for number in range(20)))
    won = [answer for answer in answers if answer.status_code == 200]
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert (await member.get(path)).json()["version"] == 1 + len(won)


async def test_even_a_change_that_changes_nothing_is_held_against_the_version(
    member: AsyncClient, path: str, specimen_order: SpecimenOrder
) -> None:
    same = {"title": specimen_order.title}
    assert (await member.patch(path, json=same, headers={"if-match": '"9"'})).status_code == 412
    assert (await member.patch(path, json=same, headers={"if-match": '"1"'})).json()["version"] == 1


async def test_a_condition_is_about_this_one_and_no_other(
    begin: Begin[UnitOfWork], member: AsyncClient, path: str, team: Team
) -> None:
    other = a_specimen_order(workspace_id=team.workspace.id, created_by=team.member.user_id)
    await store(begin, other)
    await member.patch(f"/v1/specimen_orders/{other.id}", json={"title": "Spin"})
    assert (await member.delete(path, headers={"if-match": '"2"'})).status_code == 412
    assert (await member.delete(path, headers={"if-match": '"1"'})).status_code == 204
    gone = await member.delete(path, headers={"if-match": "*"})
    assert gone.status_code == 404


async def test_a_condition_on_what_has_no_version_does_not_hold(member: AsyncClient, team: Team) -> None:
    path = f"/v1/workspaces/{team.workspace.id}/specimen_orders"
    refused = await member.post(path, json={"title": "Spin"}, headers={"if-match": '"1"'})
    assert (refused.status_code, (await member.get(path)).json()["items"]) == (412, [])


async def test_a_route_can_insist(app: FastAPI, member: AsyncClient, specimen_order: SpecimenOrder) -> None:
    router = Router(tag="test", prefix="/test")

    @router.delete("/specimen_orders/{specimen_order_id}", changes=SpecimenOrder, must_match=True)
    async def delete(specimen_order_id: SpecimenOrderId, actor: Actor, run: Run) -> None: ...

    app.router.routes.extend(router.routes)
    refused = await member.delete(f"/test/specimen_orders/{specimen_order.id}")
    assert (refused.status_code, refused.json()["type"]) == (428, "/problems/precondition-required")
    (documented,) = router.routes[0].openapi_extra["parameters"]  # type: ignore[index]
    assert (documented["name"], documented["required"]) == ("If-Match", True)
