"""Workspaces over HTTP."""

import asyncio
from collections.abc import Awaitable

import pytest
from httpx2 import AsyncClient, Response

from kernel.world.builders import Team, a_slug


async def test_whoever_creates_a_workspace_owns_it(stranger: AsyncClient) -> None:
    slug = a_slug()
    created = await stranger.post("/v1/workspaces", json={"name": "Looms", "slug": slug})
    assert created.status_code == 201
    found = await stranger.get(created.headers["location"])
    assert found.json() == created.json() | {"role": "owner"}
    assert (found.json()["slug"], found.json()["archived_at"]) == (slug, None)


async def test_a_slug_is_made_from_the_name(stranger: AsyncClient) -> None:
    created = await stranger.post("/v1/workspaces", json={"name": "Café Zürich"})
    assert created.json()["slug"] == "cafe-zurich"


async def test_workspaces_of_one_name_get_slugs_of_their_own(
    member: AsyncClient, stranger: AsyncClient
) -> None:
    def create(client: AsyncClient, number: int) -> Awaitable[Response]:
        headers = {"idempotency-key": str(number)} if number % 3 else {}
        return client.post("/v1/workspaces", json={"name": "Looms"}, headers=headers)

    created = await asyncio.gather(
        *(create(client, number) for number, client in enumerate([member, stranger] * 5))
    )
    assert {answer.status_code for answer in created} == {201}
    slugs = {answer.json()["slug"] for answer in created}
    assert len(slugs) == 10
    assert "looms" in slugs


async def test_a_taken_slug_is_a_conflict(stranger: AsyncClient, team: Team) -> None:
    taken = await stranger.post("/v1/workspaces", json={"name": "Looms", "slug": team.workspace.slug})
    assert (taken.status_code, taken.json()["type"]) == (409, "/problems/slug-taken")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/name"),
        ({"name": ""}, "#/name"),
        ({"name": "x" * 81}, "#/name"),
        ({"name": "x", "slug": "Not A Slug"}, "#/slug"),
        ({"name": "織機"}, "#/slug"),
        ({"name": "x", "owner": "me"}, "#/owner"),
    ],
)
async def test_a_workspace_that_is_not_valid_is_refused_by_place(
    stranger: AsyncClient, body: dict[str, object], pointer: str
) -> None:
    refused = await stranger.post("/v1/workspaces", json=body)
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]


async def test_the_list_has_the_workspaces_of_the_viewer_alone(
    viewer: AsyncClient, stranger: AsyncClient, team: Team
) -> None:
    mine = await viewer.get("/v1/workspaces")
    assert [(item["id"], item["role"]) for item in mine.json()["items"]] == [
        (str(team.workspace.id), "viewer")
    ]
    assert (await stranger.get("/v1/workspaces")).json() == {"items": [], "next": None, "total": None}


async def test_an_admin_renames_a_workspace_and_a_member_does_not(
    admin: AsyncClient, member: AsyncClient, team: Team
) -> None:
    address = f"/v1/workspaces/{team.workspace.id}"
    renamed = await admin.patch(address, json={"name": "New Looms"})
    assert (renamed.status_code, renamed.json()["name"]) == (200, "New Looms")
    assert renamed.json()["slug"] == team.workspace.slug
    refused = await member.patch(address, json={"name": "Mine"})
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/not-permitted")
    assert (await admin.patch(address, json={"slug": None})).status_code == 422


async def test_an_archived_workspace_is_read_only_until_it_is_restored(
    admin: AsyncClient, member: AsyncClient, team: Team
) -> None:
    address = f"/v1/workspaces/{team.workspace.id}"
    archived = await admin.post(f"{address}/archival")
    assert archived.status_code == 200
    assert archived.json()["archived_at"] is not None
    assert (await member.get(address)).status_code == 200
    refused = await member.post(f"{address}/specimen_orders", json={"title": "x"})
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/workspace-archived")
    assert (await admin.delete(f"{address}/archival")).status_code == 204
    assert (await member.post(f"{address}/specimen_orders", json={"title": "x"})).status_code == 201
    again = await admin.delete(f"{address}/archival")
    assert (again.status_code, again.json()["type"]) == (409, "/problems/workspace-not-archived")


async def test_an_owner_deletes_a_workspace_and_an_admin_does_not(
    owner: AsyncClient, admin: AsyncClient, team: Team
) -> None:
    address = f"/v1/workspaces/{team.workspace.id}"
    assert (await admin.delete(address)).status_code == 403
    assert (await owner.delete(address)).status_code == 204
    gone = await owner.get(address)
    assert (gone.status_code, gone.json()["type"]) == (404, "/problems/workspace-not-found")


async def test_to_a_stranger_a_workspace_does_not_exist(stranger: AsyncClient, team: Team) -> None:
    address = f"/v1/workspaces/{team.workspace.id}"
    for answer in (
        await stranger.get(address),
        await stranger.patch(address, json={"name": "Mine"}),
        await stranger.post(f"{address}/archival"),
        await stranger.delete(f"{address}/archival"),
        await stranger.delete(address),
    ):
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/workspace-not-found")
