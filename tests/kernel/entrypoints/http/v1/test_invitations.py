"""Invitations over HTTP, and the mails that they cause."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from httpx2 import AsyncClient

from application.kernel.unit_of_work import Begin
from domain.kernel.memberships import Role
from entrypoints.settings import Settings
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import Team, a_caller, a_user, an_email, store
from kernel.world.fakes import FakeMailer
from kernel.world.http import As, secret_in


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With a front end that mails link to."""
    return settings.model_copy(update={"app_url": "https://app.example"})


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


@pytest.fixture
async def secret(
    invited: dict[str, Any], mailer: FakeMailer, work: Callable[[], Awaitable[None]], team: Team
) -> str:
    """What was mailed to the invited address."""
    await work()
    assert [mail.to for mail in mailer.sent] == [team.outsider.email]
    return secret_in(mailer)


async def test_the_invited_accept_with_what_was_mailed_and_belong(
    stranger: AsyncClient, invited: dict[str, Any], secret: str, team: Team
) -> None:
    mine = await stranger.get("/v1/invitations")
    assert mine.json()["items"] == [invited]
    accepted = await stranger.post("/v1/invitations/acceptance", json={"token": secret})
    assert (accepted.status_code, accepted.json()["role"]) == (201, "member")
    assert accepted.headers["location"] == f"/v1/workspaces/{team.workspace.id}/members/{team.outsider.id}"
    assert (await stranger.get(f"/v1/workspaces/{team.workspace.id}")).status_code == 200
    again = await stranger.post("/v1/invitations/acceptance", json={"token": secret})
    assert (again.status_code, again.json()["type"]) == (404, "/problems/invitation-not-found")


async def test_an_invitation_is_found_where_the_answer_said_and_so_is_who_accepts_it(
    admin: AsyncClient, stranger: AsyncClient, member: AsyncClient, invited: dict[str, Any], secret: str
) -> None:
    address = f"/v1/invitations/{invited['id']}"
    found = await admin.get(address)
    assert found.json() == invited
    assert (await stranger.get(address)).json() == found.json()
    refused = await member.get(address)
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/not-permitted")
    accepted = await stranger.post("/v1/invitations/acceptance", json={"token": secret})
    joined = (await member.get(accepted.headers["location"])).json()
    assert joined == joined | {name: accepted.json()[name] for name in ("user_id", "role", "version")}
    assert (await admin.get(address)).status_code == 404


@pytest.mark.parametrize("token", ["", "nonsense", "é" * 500])
async def test_what_is_no_token_accepts_nothing(stranger: AsyncClient, invited: object, token: str) -> None:
    refused = await stranger.post("/v1/invitations/acceptance", json={"token": token})
    assert (refused.status_code, refused.json()["type"]) == (404, "/problems/invitation-not-found")


async def test_an_invitation_is_not_for_others(viewer: AsyncClient, secret: str) -> None:
    refused = await viewer.post("/v1/invitations/acceptance", json={"token": secret})
    assert (refused.status_code, refused.json()["type"]) == (404, "/problems/invitation-not-found")


async def test_the_secret_is_in_the_mail_alone(
    admin: AsyncClient, invitations: str, invited: dict[str, Any], secret: str, mailer: FakeMailer
) -> None:
    page = await admin.get(invitations)
    assert page.json()["items"] == [invited]
    assert not {"token", "token_hash"} & set(invited)
    assert secret not in page.text
    assert "Admin invites you to the workspace Analytical Engines" in mailer.sent[0].text


async def test_the_mail_changes_nothing_that_is_shown(
    admin: AsyncClient, invitations: str, team: Team, work: Callable[[], Awaitable[None]]
) -> None:
    created = await admin.post(invitations, json={"email": team.outsider.email, "role": "member"})
    await work()
    address, tag = created.headers["location"], created.headers["etag"]
    assert (await admin.get(address)).headers["etag"] == tag
    assert (await admin.delete(address, headers={"If-Match": tag})).status_code == 204


async def test_who_only_claims_the_address_sees_nothing_and_has_to_verify_it_first(
    as_: As,
    admin: AsyncClient,
    invitations: str,
    begin: Begin[UnitOfWork],
    mailer: FakeMailer,
    *,
    work: Callable[[], Awaitable[None]],
) -> None:
    claimant = a_user()
    await store(begin, claimant)
    invited = await admin.post(invitations, json={"email": claimant.email, "role": "member"})
    await work()
    theirs = as_(a_caller(claimant.id))
    assert (await theirs.get("/v1/invitations")).json()["items"] == []
    unseen = await theirs.get(invited.headers["location"])
    assert (unseen.status_code, unseen.json()["type"]) == (404, "/problems/invitation-not-found")
    refused = await theirs.post("/v1/invitations/acceptance", json={"token": secret_in(mailer)})
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/email-not-verified")
    assert refused.json()["title"] == "Verify your e-mail address first."


@pytest.mark.parametrize("how", ["demoted", "removed"])
async def test_an_invitation_ends_with_its_inviters_right_to_give_it(
    owner: AsyncClient, stranger: AsyncClient, invitations: str, team: Team, secret: str, *, how: str
) -> None:
    admin = f"/v1/workspaces/{team.workspace.id}/members/{team.users[Role.ADMIN].id}"
    if how == "demoted":
        assert (await owner.patch(admin, json={"role": "member"})).status_code == 200
    else:
        assert (await owner.delete(admin)).status_code == 204
    refused = await stranger.post("/v1/invitations/acceptance", json={"token": secret})
    assert (refused.status_code, refused.json()["type"]) == (404, "/problems/invitation-not-found")
    again = await owner.post(invitations, json={"email": team.outsider.email, "role": "viewer"})
    assert again.status_code == 201


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
