"""The user who is logged in, over HTTP."""

from collections.abc import Callable

import pytest
from httpx2 import AsyncClient

from application.ports import Identity
from builders import Team, an_identity
from domain.memberships import Role


async def test_everybody_sees_their_own_profile(member: AsyncClient, team: Team) -> None:
    profile = await member.get("/v1/me")
    assert profile.status_code == 200
    user = team.users[Role.MEMBER]
    assert (profile.json()["id"], profile.json()["email"]) == (str(user.id), user.email)


async def test_a_profile_can_be_edited(member: AsyncClient, team: Team) -> None:
    edited = await member.patch("/v1/me", json={"display_name": " Grace Hopper "})
    assert edited.status_code == 200
    assert (edited.json()["display_name"], edited.json()["version"]) == ("Grace Hopper", 2)
    assert edited.json()["email"] == team.users[Role.MEMBER].email
    assert (await member.get("/v1/me")).json() == edited.json()


async def test_the_address_of_another_account_is_refused(member: AsyncClient, team: Team) -> None:
    refused = await member.patch("/v1/me", json={"email": team.users[Role.OWNER].email})
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/email-taken")


@pytest.mark.parametrize("body", [{"display_name": None}, {"email": ""}, {"email": None}, {"id": "1"}])
async def test_an_edit_that_is_not_valid_is_refused(member: AsyncClient, body: dict[str, object]) -> None:
    refused = await member.patch("/v1/me", json=body)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, f"#/{next(iter(body))}")


async def test_a_token_can_outlive_its_user(as_: Callable[[Identity], AsyncClient]) -> None:
    nobody = as_(an_identity())
    for answer in (await nobody.get("/v1/me"), await nobody.patch("/v1/me", json={"display_name": "x"})):
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/user-not-found")
