"""Invitations over HTTP."""

from typing import Any

import pytest
from httpx2 import AsyncClient

from kernel.world.builders import Team, an_email


@pytest.fixture
def invitations(team: Team) -> str:
    return f"/v1/workspaces/{team.workspace.id}/invitations"


@pytest.fixture
async def invited(admin: AsyncClient, invitations: str, team: Team) -> dict[str, Any]:
    """An open invitation of the stranger, as the inviter got it."""
    answer = await admin.post(invitations, json={"email": team.outsider.email, "role": "member"})
    assert answer.status_code == 201
    invitation: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/invitations/{invitation['id']}"
    return invitation


async def test_the_invited_accept_with_the_token_and_belong(
    stranger: AsyncClient, invited: dict[str, Any], team: Team
) -> None:
    mine = await stranger.get("/v1/invitations")
    (shown,) = mine.json()["items"]
    assert shown == {name: value for name, value in invited.items() if name != "token"} | {
        "workspace_name": team.workspace.name
    }
    accepted = await stranger.post("/v1/invitations/acceptance", json={"token": invited["token"]})
    assert (accepted.status_code, accepted.json()["role"]) == (201, "member")
    assert accepted.headers["location"] == f"/v1/workspaces/{team.workspace.id}/members/{team.outsider.id}"
    assert (await stranger.get(f"/v1/workspaces/{team.workspace.id}")).status_code == 200
    again = await stranger.post("/v1/invitations/acceptance", json={"token": invited["token"]})
    assert (again.status_code, again.json()["type"]) == (404, "/problems/invitation-not-found")


async def test_an_invitation_is_found_where_the_answer_said_and_so_is_who_accepts_it(
    admin: AsyncClient, stranger: AsyncClient, member: AsyncClient, invited: dict[str, Any], team: Team
) -> None:
    address = f"/v1/invitations/{invited['id']}"
    found = await admin.get(address)
    assert found.json() | {"token": invited["token"]} == invited | {"workspace_name": team.workspace.name}
    assert (await stranger.get(address)).json() == found.json()
    refused = await member.get(address)
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/not-permitted")
    accepted = await stranger.post("/v1/invitations/acceptance", json={"token": invited["token"]})
    joined = (await member.get(accepted.headers["location"])).json()
    assert joined == joined | {name: accepted.json()[name] for name in ("user_id", "role", "version")}
    assert (await admin.get(address)).status_code == 404


@pytest.mark.parametrize("token", ["", "nonsense", "é" * 500])
async def test_what_is_no_token_accepts_nothing(stranger: AsyncClient, invited: object, token: str) -> None:
    refused = await stranger.post("/v1/invitations/acceptance", json={"token": token})
    assert (refused.status_code, refused.json()["type"]) == (404, "/problems/invitation-not-found")


async def test_an_invitation_is_not_for_others(viewer: AsyncClient, invited: dict[str, Any]) -> None:
    refused = await viewer.post("/v1/invitations/acceptance", json={"token": invited["token"]})
    assert (refused.status_code, refused.json()["type"]) == (404, "/problems/invitation-not-found")


async def test_the_token_is_shown_once(admin: AsyncClient, invitations: str, invited: dict[str, Any]) -> None:
    page = await admin.get(invitations)
    assert [item["id"] for item in page.json()["items"]] == [invited["id"]]
    assert invited["token"] not in page.text
    assert "token" not in page.text


async def test_an_invitation_can_be_withdrawn(
    admin: AsyncClient, member: AsyncClient, stranger: AsyncClient, invited: dict[str, Any]
) -> None:
    address = f"/v1/invitations/{invited['id']}"
    assert (await stranger.delete(address)).status_code == 404
    assert (await member.delete(address)).status_code == 403
    assert (await admin.delete(address)).status_code == 204
    assert (await stranger.get("/v1/invitations")).json()["items"] == []


async def test_members_and_open_invitations_are_conflicts(
    admin: AsyncClient, invitations: str, invited: dict[str, Any], team: Team
) -> None:
    twice = await admin.post(invitations, json={"email": invited["email"], "role": "viewer"})
    assert (twice.status_code, twice.json()["type"]) == (409, "/problems/already-invited")
    member = next(iter(team.users.values()))
    again = await admin.post(invitations, json={"email": member.email, "role": "viewer"})
    assert (again.status_code, again.json()["type"]) == (409, "/problems/already-member")


async def test_who_may_invite_whom(
    admin: AsyncClient, member: AsyncClient, stranger: AsyncClient, invitations: str
) -> None:
    body = {"email": an_email(), "role": "owner"}
    assert (await admin.post(invitations, json=body)).json()["type"] == "/problems/owners-only"
    assert (await member.post(invitations, json=body)).json()["type"] == "/problems/not-permitted"
    assert (await stranger.post(invitations, json=body)).json()["type"] == "/problems/workspace-not-found"
    assert (await member.get(invitations)).json()["type"] == "/problems/not-permitted"
    assert (await stranger.get(invitations)).json()["type"] == "/problems/workspace-not-found"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"email": "grace@example.com"}, "#/role"),
        ({"email": "grace", "role": "member"}, "#/email"),
        ({"email": "grace@example.com", "role": "Member"}, "#/role"),
    ],
)
async def test_an_invitation_that_is_not_valid_is_refused_by_place(
    admin: AsyncClient, invitations: str, body: dict[str, str], pointer: str
) -> None:
    refused = await admin.post(invitations, json=body)
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]
