"""The audit log over HTTP: what is in it, who reads it, and that no secret is in it or in the stream."""

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from dependency_injector import providers
from httpx2 import AsyncClient
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from application.kernel.identity.attempts import FAILURES_OF_ACCOUNT_FROM_ADDRESS
from application.kernel.unit_of_work import Begin
from domain.kernel.users import GlobalRole, UserId
from entrypoints.kernel.redaction import redact
from kernel.specimen.service import Container, UnitOfWork
from kernel.world.builders import Team, a_caller, a_user, an_email, store
from kernel.world.fakes import FakeMailer
from kernel.world.http import As
from kernel.world.people import PASSWORD
from kernel.world.working import work_off

NEXT = "a drawer full of seashells"
GUESS = "somebody else's guess of it"
AGENT = "Loom/1.0"


type Rows = Callable[[], Awaitable[list[dict[str, Any]]]]


@pytest.fixture
def rows(empty_database_url: str) -> Rows:
    async def read() -> list[dict[str, Any]]:
        """All that is stored, with what no list shows."""
        connection = await asyncpg.connect(empty_database_url)
        found = await connection.fetch("SELECT * FROM audit")
        await connection.close()
        return [dict(row) for row in found]

    return read


@pytest.fixture
async def root(begin: Begin[UnitOfWork], as_: As) -> AsyncClient:
    """An administrator."""
    user = a_user(roles=(GlobalRole.ADMIN,))
    await store(begin, user)
    return as_(a_caller(user.id))


@pytest.fixture
def mailer(container: Container) -> FakeMailer:
    mailer = FakeMailer()
    container.mailer.override(providers.Object(mailer))
    return mailer


@pytest.fixture
def work(container: Container, mailer: FakeMailer) -> Callable[[], Awaitable[None]]:
    """Delivers what waits, as the worker does."""

    async def deliver() -> None:
        await work_off(container)

    return deliver


async def entries(reader: AsyncClient, path: str = "/v1/admin/audit", **where: Any) -> list[dict[str, Any]]:
    answer = await reader.get(path, params={"limit": 100, **where})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


# ── what it shows ────────────────────────────────────────────────────────────────────────────────


async def test_an_entry_says_who_did_what_to_whom_and_from_where(
    root: AsyncClient, owner: AsyncClient, team: Team
) -> None:
    member = team.member.user_id
    headers = {"user-agent": AGENT, "x-request-id": "r-1"}
    path = f"/v1/workspaces/{team.workspace.id}/members/{member}"
    await owner.patch(path, json={"role": "admin"}, headers=headers)
    [entry] = await entries(root, kind="member_role_changed")
    assert entry == {
        "id": entry["id"],
        "at": entry["at"],
        "count": 1,
        "last_at": entry["at"],
        "kind": "member_role_changed",
        "reason": None,
        "user_id": str(member),
        "account": None,
        "by": str(team.owner.user_id),
        "workspace_id": str(team.workspace.id),
        "channel": "http",
        "address": "127.0.0.1",
        "agent": AGENT,
        "request_id": "r-1",
        "details": {"role": "admin"},
    }


async def test_managers_of_a_workspace_do_not_learn_where_its_members_are(
    owner: AsyncClient, admin: AsyncClient, team: Team
) -> None:
    path = f"/v1/workspaces/{team.workspace.id}"
    await owner.patch(f"{path}/members/{team.member.user_id}", json={"role": "viewer"})
    [entry] = await entries(admin, f"{path}/audit", kind="member_role_changed")
    assert entry == {
        "id": entry["id"],
        "at": entry["at"],
        "kind": "member_role_changed",
        "user_id": str(team.member.user_id),
        "by": str(team.owner.user_id),
        "details": {"role": "viewer"},
    }


async def test_the_list_is_filtered_and_goes_on(root: AsyncClient, owner: AsyncClient, team: Team) -> None:
    by = str(team.owner.user_id)
    for name in ("Looms", "Wheels"):
        await owner.post("/v1/workspaces", json={"name": name, "slug": name.lower()})
    first = await root.get("/v1/admin/audit", params={"by": by, "kind": "workspace_created", "limit": 1})
    second = await root.get(first.headers["link"].partition(">")[0].removeprefix("<"))
    [newer], [older] = first.json()["items"], second.json()["items"]
    assert (newer["kind"], older["kind"], second.json()["next"]) == (*["workspace_created"] * 2, None)
    assert newer["at"] > older["at"]
    between = {"since": newer["at"], "until": "2999-01-01T00:00:00Z"}
    assert await entries(root, kind="workspace_created", by=by, **between) == [newer]


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({"kind": "x" * 61}, "kind"),
        ({"kind": "nul\0"}, "kind"),
        ({"kind": ["log_in"] * 21}, "kind"),
        ({"account": "x" * 33}, "account"),
        ({"account": "nul\0"}, "account"),
        ({"user_id": "nobody"}, "user_id"),
        ({"since": "yesterday"}, "since"),
        ({"what": "else"}, "what"),
    ],
)
async def test_what_cannot_be_asked_for_is_refused(
    root: AsyncClient, asked: dict[str, Any], pointer: str
) -> None:
    refused = await root.get("/v1/admin/audit", params=asked)
    assert refused.status_code == 422, refused.text
    assert pointer in refused.json()["errors"][0]["pointer"]


# ── what failed ──────────────────────────────────────────────────────────────────────────────────


async def test_a_guesser_is_seen_without_what_was_typed(
    root: AsyncClient, client: AsyncClient, rows: Rows
) -> None:
    email = an_email()
    for _ in range(FAILURES_OF_ACCOUNT_FROM_ADDRESS + 3):
        await client.post("/v1/auth/login", json={"email": email, "password": GUESS})
    locked, failed = await entries(root, kind=["log_in_failed", "locked_out"])
    assert (failed["kind"], failed["reason"], failed["count"]) == (
        "log_in_failed",
        "unknown_address",
        FAILURES_OF_ACCOUNT_FROM_ADDRESS,
    )
    assert (locked["kind"], locked["reason"], locked["count"]) == ("locked_out", "account_from_network", 1)
    assert locked["account"] == failed["account"]
    assert [entry["id"] for entry in await entries(root, account=failed["account"])] == [
        locked["id"],
        failed["id"],
    ]
    assert email not in str(await rows())


async def test_an_address_has_a_pseudonym_that_needs_our_secret(container: Container) -> None:
    of = container.pseudonyms().of
    assert of("ada@example.com") == of("ada@example.com")
    assert of("ada@example.com") != of("eve@example.com")
    other = container.settings().model_copy(
        update={"auth_secret": type(container.settings().auth_secret)("y" * 43)}
    )
    assert Container(settings=other).pseudonyms().of("ada@example.com") != of("ada@example.com")


async def test_whoever_is_refused_is_in_the_stream(
    client: AsyncClient, member: AsyncClient, team: Team, container: Container
) -> None:
    with capture_logs() as logs:
        await member.get("/v1/admin/audit")
    [line] = [line for line in logs if line["event"] == "access_denied"]
    assert line == {
        "event": "access_denied",
        "log_level": "warning",
        "by": container.pseudonyms().of(str(team.member.user_id)),
        "reason": "not-permitted",
        "channel": "http",
        "client": "127.0.0.1",
    }


# ── what never is in it ──────────────────────────────────────────────────────────────────────────


class Walk:
    """All that people prove who they are with, right and wrong. `secrets` are what they type and get."""

    def __init__(self, client: AsyncClient, mailer: FakeMailer, work: Callable[[], Awaitable[None]]) -> None:
        self._client, self._mailer, self._work = client, mailer, work
        self.email, self.renamed = an_email(), an_email()
        self.secrets = {PASSWORD, NEXT, GUESS, self.email, self.renamed}

    async def post(self, path: str, status: int, by: AsyncClient | None = None, **more: Any) -> Any:
        answer = await (by or self._client).post(f"/v1{path}", **more)
        assert answer.status_code == status, (path, answer.text)
        body: dict[str, Any] = answer.json() if answer.content else {}
        given = {"access_token", "refresh_token", "token"}
        self.secrets.update(value for name, value in body.items() if name in given)
        self.secrets.update(self._client.cookies.values())
        self._client.cookies.clear()
        return body

    async def mailed(self) -> str:
        await self._work()
        found = re.search(r'"token": "([\w-]+)"', self._mailer.sent[-1].text)
        assert found is not None, self._mailer.sent[-1].text
        self.secrets.add(found[1])
        return found[1]

    async def register(self, as_: As) -> AsyncClient:
        person = {"email": self.email, "password": PASSWORD, "display_name": "Ada"}
        registered = await self.post("/auth/register", 201, json=person)
        self.ada = a_caller(UserId(UUID(registered["id"])))
        self.proved = replace(self.ada, authenticated_at=datetime.now(UTC))
        ada = as_(self.ada)
        confirmation = "/auth/email-verification/confirmation"
        await self.post(confirmation, 204, ada, json={"token": await self.mailed()})
        await self.post(confirmation, 404, ada, json={"token": GUESS})
        return ada

    async def log_in(self) -> None:
        typed = {"email": self.email, "password": PASSWORD}
        for wrong in ({"password": GUESS}, {"email": self.renamed}, {"email": PASSWORD}):
            await self.post("/auth/login", 401, json={**typed, **wrong})
        first = await self.post("/auth/login", 200, json=typed)
        token = first["refresh_token"]
        await self.post("/auth/refresh", 200, json={"refresh_token": token})
        await self.post("/auth/refresh", 401, json={"refresh_token": f"{token}{GUESS}"})
        form = {"grant_type": "password", "username": self.email, "password": PASSWORD}
        await self.post("/auth/token", 200, data=form)
        await self.post("/auth/cookie", 204, json=typed, headers={"origin": "http://localhost:8000"})
        await self.post("/auth/exchange", 401, json={"code": GUESS, "verifier": "v" * 43})
        last = await self.post("/auth/login", 200, json=typed)
        await self.post("/auth/revoke", 200, data={"token": last["refresh_token"]})

    async def change(self, ada: AsyncClient) -> None:
        for current, status in ((GUESS, 403), (PASSWORD, 204)):
            passwords = {"current_password": current, "new_password": NEXT}
            await self.post("/me/password", status, ada, json=passwords)
        await ada.patch("/v1/me", json={"email": self.renamed})
        proof = {"token": await self.mailed()}
        await self.post("/auth/email-verification/confirmation", 204, ada, json=proof)
        await self.post("/auth/password-reset", 204, json={"email": self.renamed})
        reset = {"token": await self.mailed(), "password": f"{NEXT} again"}
        await self.post("/auth/password-reset/confirmation", 204, json=reset)

    async def invite(self, owner: AsyncClient, team: Team) -> None:
        path = f"/workspaces/{team.workspace.id}/invitations"
        await self.post(path, 201, owner, json={"email": self.email, "role": "member"})
        await self.post("/invitations/acceptance", 404, owner, json={"token": GUESS})


@pytest.fixture
async def walked(  # noqa: PLR0917 (fixtures come by position)
    client: AsyncClient,
    as_: As,
    owner: AsyncClient,
    team: Team,
    mailer: FakeMailer,
    work: Callable[[], Awaitable[None]],
) -> tuple[Walk, list[Any]]:
    """The walk, and the stream meanwhile."""
    walk = Walk(client, mailer, work)
    with capture_logs(processors=[merge_contextvars]) as logs:
        await walk.register(as_)
        await walk.log_in()
        await walk.post("/auth/logout/all", 204, as_(walk.proved))
        await walk.change(as_(walk.proved))
        await walk.invite(owner, team)
    return walk, [line for line in logs if "audit_id" in line]


async def test_no_secret_and_no_address_is_in_the_log_or_in_the_stream(
    walked: tuple[Walk, list[Any]], rows: Rows
) -> None:
    walk, stream = walked
    written = await rows()
    kinds = {row["kind"] for row in written}
    assert kinds >= {
        *("registered", "email_verified", "email_changed", "password_changed", "password_reset"),
        *("log_in", "log_in_failed", "proof_failed", "session_ended", "sessions_ended", "invited"),
    }
    # Whose request it was that needed a key does not matter.
    keys = {(row["channel"], row["address"], row["by"]) for row in written if row["kind"] == "key_added"}
    assert keys == {("service", "", None)}
    assert {line["event"] for line in stream} >= kinds - {"member_joined", "workspace_created"}
    assert len(walk.secrets) >= 15
    for said in (*written, *stream):
        text = json.dumps(said, default=str)
        for secret in walk.secrets:
            # The first part of a refresh token is the id of its session, which is in its entry.
            assert not [part for part in (secret, *secret.split(".")[1:]) if part and part in text], text
    # And the redaction has nothing to take out of the stream: what is there is meant to be read.
    for line in stream:
        assert "[redacted]" not in json.dumps(redact(None, "", dict(line)), default=str)
