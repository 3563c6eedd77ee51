"""The user who is logged in, and all users for those who look after the service, over HTTP."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from httpx2 import AsyncClient

from application.kernel.ports.callers import Caller
from application.kernel.unit_of_work import Begin
from domain.kernel.memberships import Role
from domain.kernel.users import Email, GlobalRole
from entrypoints.settings import Settings
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import NOW, Team, a_caller, a_user, a_user_id, an_email, store

type As = Callable[[Caller], AsyncClient]


def let_in(caller: Caller) -> Caller:
    """Whom a provider has let in just now, which counts as a fresh proof of who they are."""
    return replace(caller, authenticated_at=datetime.now(UTC))


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


async def test_another_address_takes_a_fresh_proof(member: AsyncClient) -> None:
    before = await member.get("/v1/me")
    for email in (an_email(), before.json()["email"] + ".example"):
        refused = await member.patch("/v1/me", json={"email": email, "display_name": "Grace"})
        assert (refused.status_code, refused.json()["type"]) == (403, "/problems/reauthentication-required")
    assert (await member.get("/v1/me")).content == before.content
    same = {"email": before.json()["email"].upper(), "display_name": "Grace"}
    assert (await member.patch("/v1/me", json=same)).status_code == 200


async def test_whether_an_address_is_anothers_is_not_told(as_: As, team: Team) -> None:
    member = as_(let_in(team.member))
    for email in (team.users[Role.OWNER].email, an_email()):
        answer = await member.patch("/v1/me", json={"email": email})
        assert (answer.status_code, answer.json()["pending_email"]) == (200, email)


@pytest.mark.parametrize("body", [{"display_name": None}, {"email": ""}, {"email": None}, {"id": "1"}])
async def test_an_edit_that_is_not_valid_is_refused(member: AsyncClient, body: dict[str, object]) -> None:
    refused = await member.patch("/v1/me", json=body)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, f"#/{next(iter(body))}")


async def test_a_token_can_outlive_its_user(as_: As, begin: Begin[UnitOfWork]) -> None:
    user = a_user()
    await store(begin, user)
    nobody = as_(a_caller(user.id))
    await nobody.get("/v1/me")
    async with begin() as uow:
        await uow.users.remove(user)
    for answer in (await nobody.get("/v1/me"), await nobody.patch("/v1/me", json={"display_name": "x"})):
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/user-not-found")


async def test_a_profile_without_an_address_says_so(as_: As, begin: Begin[UnitOfWork]) -> None:
    user = replace(a_user(), email=None)
    await store(begin, user)
    profile = (await as_(a_caller(user.id)).get("/v1/me")).json()
    assert (profile["email"], profile["email_verified"], profile["roles"]) == (None, False, [])


async def test_another_address_is_pending_and_the_one_so_far_stays(as_: As, begin: Begin[UnitOfWork]) -> None:
    user = a_user(email_verified_at=NOW, roles=(GlobalRole.SUPPORT,))
    await store(begin, user)
    client, another = as_(let_in(a_caller(user.id))), an_email()
    profile = (await client.get("/v1/me")).json()
    assert (profile["email_verified"], profile["pending_email"]) == (True, None)
    assert profile["roles"] == ["support"]
    edited = (await client.patch("/v1/me", json={"email": another})).json()
    assert edited == profile | {"pending_email": another, "version": 2}
    assert (await client.get("/v1/me")).json() == edited
    kept = (await client.patch("/v1/me", json={"email": user.email})).json()
    assert kept == profile | {"version": 3}


# ── looking after users ──────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def root(as_: As, begin: Begin[UnitOfWork]) -> AsyncClient:
    """Somebody with the role of an administrator in the whole service."""
    user = a_user(email=Email("root@example.com"), display_name="Root", roles=(GlobalRole.ADMIN,))
    await store(begin, user)
    return as_(a_caller(user.id))


@pytest.fixture
async def support(as_: As, begin: Begin[UnitOfWork]) -> AsyncClient:
    user = a_user(email=Email("help@example.com"), display_name="Help", roles=(GlobalRole.SUPPORT,))
    await store(begin, user)
    return as_(a_caller(user.id))


async def listed(client: AsyncClient, **query: str) -> list[str]:
    answer = await client.get("/v1/admin/users", params=query)
    assert answer.status_code == 200, answer.text
    return [user["email"] for user in answer.json()["items"]]


async def test_support_sees_all_users_and_changes_none(
    support: AsyncClient, root: AsyncClient, team: Team
) -> None:
    user = team.users[Role.MEMBER]
    seen = await support.get(f"/v1/admin/users/{user.id}")
    assert seen.json() == {
        "id": str(user.id),
        "email": user.email,
        "email_verified": True,
        "display_name": "Member",
        "roles": [],
        "created_at": "2026-11-02T09:30:15.123456Z",
        "suspended_at": None,
        "deleted_at": None,
        "version": 1,
    }
    assert len(await listed(support)) == 7
    for answer in (
        await support.patch(f"/v1/admin/users/{user.id}", json={"roles": ["admin"]}),
        await support.post(f"/v1/admin/users/{user.id}/suspension"),
        await support.delete(f"/v1/admin/users/{user.id}/suspension"),
    ):
        assert (answer.status_code, answer.json()["type"]) == (403, "/problems/not-permitted")
    assert (await support.get(f"/v1/admin/users/{user.id}")).json() == seen.json()


async def test_the_owner_of_a_workspace_is_nobody_special_in_the_whole_service(
    owner: AsyncClient, team: Team
) -> None:
    for answer in (
        await owner.get("/v1/admin/users"),
        await owner.get(f"/v1/admin/users/{team.outsider.id}"),
        await owner.get(f"/v1/admin/users/{a_user_id()}"),  # nor do they learn who exists
    ):
        assert (answer.status_code, answer.json()["type"]) == (403, "/problems/not-permitted")


async def test_who_is_no_user_is_not_found(root: AsyncClient) -> None:
    for answer in (
        await root.get(f"/v1/admin/users/{a_user_id()}"),
        await root.patch(f"/v1/admin/users/{a_user_id()}", json={"roles": []}),
        await root.post(f"/v1/admin/users/{a_user_id()}/suspension"),
        await root.delete(f"/v1/admin/users/{a_user_id()}/suspension"),
    ):
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/user-not-found")


async def test_users_can_be_searched_filtered_and_sorted(root: AsyncClient, begin: Begin[UnitOfWork]) -> None:
    await store(
        begin,
        a_user(email=Email("ada@example.com"), display_name="Lovelace", created_at=NOW + timedelta(hours=1)),
        a_user(email=Email("charles@example.com"), display_name="Adam B%", suspended_at=NOW),
        a_user(email=Email("grace@example.com"), display_name="Grace", roles=(GlobalRole.SUPPORT,)),
        replace(a_user(display_name="Nameless"), email=None),
    )
    ada, charles, grace, me = (f"{name}@example.com" for name in ("ada", "charles", "grace", "root"))
    assert await listed(root, q="ADA", sort="email") == [ada, charles]
    assert await listed(root, q="adam b%", sort="email") == [charles]
    assert await listed(root, q="%", sort="email") == []
    assert await listed(root, q="lace", sort="email") == []
    assert await listed(root, suspended="true") == [charles]
    assert await listed(root, suspended="false", sort="-email") == [me, grace, ada, None]
    assert await listed(root, role="support") == [grace]
    assert await listed(root, role="admin") == [me]
    assert await listed(root, role="admin", suspended="true") == []
    assert await listed(root, sort="email") == [None, ada, charles, grace, me]
    assert (await listed(root))[0] == ada  # the newest first
    assert (await listed(root, sort="-created_at"))[0] == ada
    assert (await listed(root, sort="created_at"))[-1] == ada


@pytest.mark.parametrize("sort", ["email", "-email", "created_at", "-created_at", "email,-created_at"])
async def test_pages_of_users_neither_repeat_nor_lose_anybody(
    root: AsyncClient, begin: Begin[UnitOfWork], sort: str
) -> None:
    await store(begin, *(a_user() for _ in range(3)), *(replace(a_user(), email=None) for _ in range(3)))
    found, cursor = [], None
    for _ in range(7):
        page = (
            await root.get(
                "/v1/admin/users", params={"limit": 1, "sort": sort, **({"cursor": cursor} if cursor else {})}
            )
        ).json()
        found += [user["id"] for user in page["items"]]
        cursor = page["next"]
    assert cursor is None
    assert len(set(found)) == 7
    whole = (await root.get("/v1/admin/users", params={"sort": sort})).json()
    assert [user["id"] for user in whole["items"]] == found


@pytest.mark.parametrize(
    "query",
    [{"role": "owner"}, {"suspended": "perhaps"}, {"sort": "version"}, {"q": "x" * 255}, {"text": "x"}],
)
async def test_a_list_that_nobody_can_have_is_refused(root: AsyncClient, query: dict[str, str]) -> None:
    refused = await root.get("/v1/admin/users", params=query)
    pointer = f"#/query/{next(iter(query))}"
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_roles_can_be_given_and_taken(root: AsyncClient, member: AsyncClient, team: Team) -> None:
    address = f"/v1/admin/users/{team.member.user_id}"
    given = await root.patch(address, json={"roles": ["admin", "support"]})
    assert (given.status_code, given.json()["roles"]) == (200, ["support", "admin"])
    assert (await root.get(address)).json() == given.json()
    assert (await member.get(address)).status_code == 200
    assert (await root.patch(address, json={"roles": []})).json()["roles"] == []


@pytest.mark.parametrize(
    "body", [{}, {"roles": None}, {"roles": ["owner"]}, {"roles": "admin"}, {"roles": [], "email": "x"}]
)
async def test_roles_that_are_none_are_refused(
    root: AsyncClient, team: Team, body: dict[str, object]
) -> None:
    refused = await root.patch(f"/v1/admin/users/{team.member.user_id}", json=body)
    assert refused.status_code == 422


async def test_nobody_suspends_themselves_or_changes_their_own_roles(root: AsyncClient) -> None:
    me = f"/v1/admin/users/{(await root.get('/v1/me')).json()['id']}"
    for answer in (await root.post(f"{me}/suspension"), await root.patch(me, json={"roles": []})):
        assert (answer.status_code, answer.json()["type"]) == (403, "/problems/own-account")


class TestWhoIsSuspended:
    """With nothing remembered of a token: `AUTH_RECHECK_SECONDS` is how long the rest may take."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"auth_recheck_seconds": 300.0})

    async def test_is_out_at_once_and_has_to_log_in_anew_when_restored(
        self, root: AsyncClient, as_: As, team: Team
    ) -> None:
        before, after = as_(team.member), as_(team.member)
        assert (await before.get("/v1/me")).status_code == 200
        suspension = f"/v1/admin/users/{team.member.user_id}/suspension"
        suspended = await root.post(suspension)
        assert suspended.status_code == 200
        assert suspended.json()["suspended_at"] is not None
        refused = await before.get("/v1/me")
        assert (refused.status_code, refused.json()["type"]) == (401, "/problems/unauthenticated")
        assert refused.json()["detail"] == "The access token is not valid."
        assert (await root.post(suspension)).json() == suspended.json()
        assert (await root.delete(suspension)).status_code == 204
        assert (await root.delete(suspension)).status_code == 204
        assert (await before.get("/v1/me")).status_code == 401
        assert (await after.get("/v1/me")).status_code == 200

    async def test_cannot_even_with_a_session_that_is_open(self, begin: Begin[UnitOfWork], as_: As) -> None:
        user = a_user(suspended_at=NOW)
        await store(begin, user)
        assert (await as_(a_caller(user.id)).get("/v1/me")).status_code == 401


# ── deleting an account ──────────────────────────────────────────────────────────────────────────


async def test_whoever_deletes_their_account_is_nobody_here_and_is_shown_as_deleted(
    as_: As, root: AsyncClient, member: AsyncClient, team: Team
) -> None:
    client, path = as_(let_in(team.member)), f"/v1/admin/users/{team.member.user_id}"
    refused = await member.delete("/v1/me")
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/reauthentication-required")
    deleted = await client.delete("/v1/me")
    assert (deleted.status_code, deleted.content) == (204, b"")
    shown = (await root.get(path)).json()
    assert (shown["email"], shown["display_name"], shown["roles"]) == (None, "Deleted user", [])
    assert shown["deleted_at"] == shown["suspended_at"] is not None
    for asked, items in (("true", [shown]), ("false", [])):
        page = (await root.get("/v1/admin/users", params={"deleted": asked})).json()
        assert [each for each in page["items"] if each["id"] == shown["id"]] == items
    restored = await root.delete(f"{path}/suspension")
    assert (restored.status_code, restored.json()["type"]) == (409, "/problems/account-deleted")


async def test_the_only_owner_reads_where_to_hand_over(as_: As, team: Team) -> None:
    refused = await as_(let_in(team.owner)).delete("/v1/me")
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/last-owner")
    assert f"“{team.workspace.name}”" in refused.json()["detail"]


async def test_the_export_is_a_file_that_nobody_keeps_on_the_way_and_takes_a_fresh_proof(
    as_: As, member: AsyncClient, team: Team
) -> None:
    refused = await member.get("/v1/me/export")
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/reauthentication-required")
    assert "content-disposition" not in refused.headers
    answer = await as_(let_in(team.member)).get("/v1/me/export")
    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == 'attachment; filename="account.json"'
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["profile"]["id"] == str(team.member.user_id)
    assert [each["name"] for each in answer.json()["workspaces"]] == [team.workspace.name]
