"""The members of a workspace, over HTTP."""

import pytest
from httpx2 import AsyncClient

from domain.kernel.memberships import Role
from kernel.world.builders import Team, a_user_id


@pytest.fixture
def members(team: Team) -> str:
    return f"/v1/workspaces/{team.workspace.id}/members"


async def test_any_member_lists_the_members(viewer: AsyncClient, members: str, team: Team) -> None:
    page = await viewer.get(members)
    assert page.status_code == 200
    assert {item["role"] for item in page.json()["items"]} == {"owner", "admin", "member", "viewer"}
    first = await viewer.get(members, params={"limit": 3})
    rest = await viewer.get(first.links["next"]["url"])
    assert len(rest.json()["items"]) == 1


async def test_an_admin_changes_a_role(admin: AsyncClient, members: str, team: Team) -> None:
    changed = await admin.patch(f"{members}/{team.viewer.user_id}", json={"role": "member"})
    assert changed.status_code == 200
    assert (changed.json()["role"], changed.json()["user_id"]) == ("member", str(team.viewer.user_id))
    assert "id" not in changed.json()


async def test_any_member_sees_a_member_whose_version_rises_with_the_role(
    admin: AsyncClient, viewer: AsyncClient, members: str, team: Team
) -> None:
    address = f"{members}/{team.member.user_id}"
    before = (await viewer.get(address)).json()
    assert before in (await viewer.get(members)).json()["items"]
    changed = (await admin.patch(address, json={"role": "viewer"})).json()
    after = (await viewer.get(address)).json()
    assert after == before | {"role": "viewer", "version": before["version"] + 1}
    assert changed["version"] == after["version"]


async def test_only_an_owner_makes_an_owner(
    admin: AsyncClient, owner: AsyncClient, members: str, team: Team
) -> None:
    address = f"{members}/{team.member.user_id}"
    refused = await admin.patch(address, json={"role": "owner"})
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/owners-only")
    assert (await owner.patch(address, json={"role": "owner"})).status_code == 200


async def test_the_last_owner_stays(owner: AsyncClient, members: str, team: Team) -> None:
    address = f"{members}/{team.owner.user_id}"
    for answer in (await owner.patch(address, json={"role": "admin"}), await owner.delete(address)):
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/last-owner")


async def test_everybody_may_leave_and_an_admin_may_remove(
    admin: AsyncClient, member: AsyncClient, members: str, team: Team
) -> None:
    assert (await member.delete(f"{members}/{team.viewer.user_id}")).status_code == 403
    assert (await admin.delete(f"{members}/{team.viewer.user_id}")).status_code == 204
    assert (await member.delete(f"{members}/{team.member.user_id}")).status_code == 204
    assert (await member.get(members)).status_code == 404


@pytest.mark.parametrize("body", [{}, {"role": "king"}, {"role": None}, {"role": "member", "x": 1}])
async def test_a_role_that_is_not_valid_is_refused(
    owner: AsyncClient, members: str, team: Team, body: dict[str, object]
) -> None:
    refused = await owner.patch(f"{members}/{team.users[Role.VIEWER].id}", json=body)
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/invalid-request")


async def test_somebody_who_is_no_member_is_not_found(owner: AsyncClient, members: str) -> None:
    address = f"{members}/{a_user_id()}"
    for answer in (
        await owner.get(address),
        await owner.patch(address, json={"role": "member"}),
        await owner.delete(address),
    ):
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/member-not-found")


async def test_to_a_stranger_there_are_no_members(stranger: AsyncClient, members: str, team: Team) -> None:
    address = f"{members}/{team.member.user_id}"
    for answer in (
        await stranger.get(members),
        await stranger.get(address),
        await stranger.patch(address, json={"role": "viewer"}),
        await stranger.delete(address),
    ):
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/workspace-not-found")
