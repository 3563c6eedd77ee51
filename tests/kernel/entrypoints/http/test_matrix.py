"""Every route of the service, held against who asks and what else comes along: one without a row here fails.

anonymous   no token at all
expired     a good token of whoever may, but of yesterday
other       who may do everything in a workspace, but in another one
too weak    somebody on the spot whose role does not grant it
allowed     the least who may; it is really done, after all the others were refused
"""

import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import Any

import pytest
from argon2 import PasswordHasher
from dependency_injector import providers
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from httpx2 import ASGITransport, AsyncClient, Response
from pydantic import SecretStr

from adapters.tokens.local import LocalTokenIssuer
from adapters.tokens.sealing import LOGINS, JweSeal
from application.kernel.identity.accounts import Linking
from application.kernel.identity.cookie_sessions import csrf_token
from application.kernel.identity.provider_login import PendingLogin
from application.kernel.identity.secret_tokens import fingerprint
from application.kernel.unit_of_work import Begin
from domain.kernel.identity.one_time_tokens import Purpose
from domain.kernel.identity.sessions import SessionKind
from domain.kernel.memberships import Role
from domain.kernel.users import GlobalRole, User
from entrypoints.http.kernel.identity.cookies import CSRF_HEADER, LOG_IN, SESSION
from entrypoints.http.kernel.server.app import versioned_routes, with_kernel
from entrypoints.http.kernel.server.edge import LIVE
from entrypoints.kernel.service import ROOT
from entrypoints.settings import Settings
from kernel.specimen.service import Container, UnitOfWork, create_app, versions
from kernel.world.builders import (
    Team,
    a_credential,
    a_link,
    a_membership,
    a_one_time_token,
    a_proof,
    a_session,
    a_slug,
    a_team,
    a_user,
    a_workspace,
    address_of,
    an_email,
    an_invitation,
    store,
)
from kernel.world.documented import Contract
from kernel.world.fakes import OneProvider, ProvingVerifier
from kernel.world.resources import (
    Matrix,
    Places,
    Row,
    all_places,
    all_stored,
    anybody,
    for_the_service,
    form,
    in_a_workspace,
    json,
    oneself,
    parts,
    query,
)
from kernel.world.resources import World as Surroundings

BASE_URL = "http://localhost:8000"
PASSWORD = "violet kettle hums at dawn"
VERIFIER = "v" * 43
ISSUER = "https://login.example"
CLIENT_SECRET = "s" * 32


# ── the rows ─────────────────────────────────────────────────────────────────────────────────────


def _callback(places: Places) -> Mapping[str, Any]:
    kept = {"cookie": f"{LOG_IN}{'s' * 16}={places['sealed']}"}
    return {"params": {"state": "s" * 20, "code": "code"}, "headers": kept}


KERNEL_ROWS: Matrix = {
    "GET /v1/openapi.json": anybody(),
    "GET /v1/docs": anybody(),
    "GET /v1/docs/oauth2-redirect.html": anybody(),
    "GET /v1/docs/{name}": anybody(at={"name": "asset"}),
    "GET /problems": anybody(),
    "GET /problems/{code}": anybody(),
    "GET /health/ready": anybody(),
    "GET /health/startup": anybody(),
    "GET /.well-known/oauth-protected-resource": anybody(),
    "GET /.well-known/oauth-authorization-server": anybody(),
    "GET /.well-known/openid-configuration": anybody(),
    "GET /.well-known/jwks.json": anybody(),
    "POST /v1/auth/register": anybody(
        201, send=json(email="<new_email>", password=PASSWORD, display_name="New")
    ),
    "POST /v1/auth/login": anybody(send=json(email="<email>", password=PASSWORD)),
    "POST /v1/auth/refresh": anybody(send=json(refresh_token="<refresh_token>")),
    "POST /v1/auth/password-reset": anybody(204, send=json(email="<email>")),
    "POST /v1/auth/password-reset/confirmation": anybody(
        204, send=json(token="reset", password="another kettle hums at dusk")
    ),
    "POST /v1/auth/email-verification/confirmation": Row(
        allowed="member", done=204, other=404, send=json(token="verify")
    ),
    "POST /v1/auth/email-change/reversal": anybody(204, send=json(token="undo")),
    "POST /v1/auth/reauthentication": oneself(send=json(password=PASSWORD)),
    "POST /v1/auth/token": anybody(send=form(grant_type="refresh_token", refresh_token="<refresh_token>")),
    "POST /v1/auth/revoke": anybody(send=form(token="<refresh_token>")),
    "GET /v1/auth/providers": anybody(),
    "GET /v1/auth/providers/{name}/authorize": anybody(
        302, send=query(return_to=f"{BASE_URL}/welcome", mode="cookie")
    ),
    "GET /v1/auth/providers/{name}/callback": anybody(302, send=_callback),
    "POST /v1/auth/exchange": anybody(send=json(code="exchange", verifier=VERIFIER)),
    "POST /v1/auth/cookie": anybody(204, send=json(email="<email>", password=PASSWORD)),
    "POST /v1/auth/introspect": Row(allowed="service", other=401, send=form(token="whatever")),
    "GET /v1/auth/cookie": Row(allowed="browser", other=401),
    "DELETE /v1/auth/cookie": Row(allowed="browser", done=204, other=401),
    "GET /v1/auth/sessions": oneself(),
    "GET /v1/auth/sessions/{session_id}": Row(allowed="member", other=404, weak=("owner", 404)),
    "DELETE /v1/auth/sessions/{session_id}": Row(allowed="member", done=204, other=404, weak=("owner", 404)),
    "POST /v1/auth/logout": oneself(204),
    "POST /v1/auth/logout/all": oneself(204),
    "POST /v1/auth/email-verification": oneself(204),
    "POST /v1/me/password": oneself(
        204, send=json(current_password=PASSWORD, new_password="another kettle hums at dusk")
    ),
    "GET /v1/me": oneself(),
    "GET /v1/me/export": oneself(),
    "DELETE /v1/me": Row(allowed="member", done=204, other=409, weak=("owner", 409)),
    "PATCH /v1/me": oneself(send=json(display_name="Augusta")),
    "GET /v1/me/identities": oneself(),
    # The one token that is known belongs to one of them only.
    "POST /v1/me/identities": Row(
        allowed="member", done=201, other=409, weak=("owner", 409), send=json(token="of-member")
    ),
    "GET /v1/me/identities/{link_id}": Row(allowed="member", other=404, weak=("owner", 404)),
    "DELETE /v1/me/identities/{link_id}": Row(allowed="member", done=204, other=404, weak=("owner", 404)),
    "GET /v1/invitations": oneself(),
    "POST /v1/invitations/acceptance": Row(
        allowed="stranger", done=201, other=404, weak=("member", 404), send=json(token="invitation")
    ),
    "POST /v1/workspaces": oneself(201, send=json(name="Looms", slug="<new_slug>")),
    "GET /v1/workspaces": oneself(),
    "GET /v1/workspaces/{workspace_id}": in_a_workspace("viewer", weak=None),
    "PATCH /v1/workspaces/{workspace_id}": in_a_workspace(
        "admin", weak=("member", 403), send=json(name="Looms")
    ),
    "DELETE /v1/workspaces/{workspace_id}": in_a_workspace("owner", 204, weak=("admin", 403)),
    "POST /v1/workspaces/{workspace_id}/archival": in_a_workspace("admin", weak=("member", 403)),
    "DELETE /v1/workspaces/{workspace_id}/archival": in_a_workspace(
        "admin", 204, weak=("member", 403), at={"workspace_id": "archived_workspace_id"}
    ),
    "GET /v1/workspaces/{workspace_id}/members": in_a_workspace("viewer", weak=None),
    "GET /v1/workspaces/{workspace_id}/members/{user_id}": in_a_workspace("viewer", weak=None),
    "PATCH /v1/workspaces/{workspace_id}/members/{user_id}": in_a_workspace(
        "admin", weak=("member", 403), send=json(role="viewer")
    ),
    "DELETE /v1/workspaces/{workspace_id}/members/{user_id}": in_a_workspace(
        "admin", 204, weak=("viewer", 403)
    ),
    "POST /v1/workspaces/{workspace_id}/invitations": in_a_workspace(
        "admin", 201, weak=("member", 403), send=json(email="<new_email>", role="viewer")
    ),
    "GET /v1/workspaces/{workspace_id}/invitations": in_a_workspace("admin", weak=("member", 403)),
    "GET /v1/invitations/{invitation_id}": in_a_workspace("admin", weak=("member", 403)),
    "DELETE /v1/invitations/{invitation_id}": in_a_workspace("admin", 204, weak=("member", 403)),
    "GET /v1/admin/users": for_the_service("support", weak="owner"),
    "GET /v1/admin/users/{user_id}": for_the_service("support", weak="owner"),
    "PATCH /v1/admin/users/{user_id}": for_the_service("root", weak="support", send=json(roles=["support"])),
    "POST /v1/admin/users/{user_id}/suspension": for_the_service("root", weak="support"),
    "DELETE /v1/admin/users/{user_id}/sessions": for_the_service("root", 204, weak="support"),
    "DELETE /v1/admin/users/{user_id}/suspension": for_the_service("root", 204, weak="support"),
}

ROWS: dict[str, Row] = {
    **KERNEL_ROWS,
    **{operation: row for _, matrix in parts("MATRIX") for operation, row in matrix.items()},
}


def operations(app: FastAPI) -> list[str]:
    """Every method of every route, as the application has them."""
    return [
        f"{method} {context.path}"
        for context in iter_route_contexts(app.routes)
        for method in sorted(getattr(context, "methods", None) or {"ANY"})
        if method != "HEAD"  # it comes with GET
    ]


@pytest.fixture(scope="module")
def service() -> FastAPI:
    settings = Settings(_env_file=None, database_url=SecretStr("postgresql://nobody@localhost/nothing"))
    return create_app(Container(settings=settings))


def test_every_route_has_a_row_and_every_row_a_route(service: FastAPI) -> None:
    assert sorted(ROWS) == sorted(operations(service))


def test_whatever_is_below_admin_takes_a_role_in_the_whole_service() -> None:
    for name, row in ROWS.items():
        if "/admin/" in name:
            assert (row.anonymous, row.other, row.weak and row.weak[1]) == (401, 403, 403), name


def names_one_of_a_workspace(name: str) -> bool:
    """Whether a path names something that belongs to a workspace, or to one user in it: all but a user's own
    sessions and links, the providers and the files of the documentation."""
    in_path = {*re.findall(r"{(\w+)}", name)}
    return bool(in_path - {"session_id", "link_id", "name", "code", "user_id"})


def test_whatever_names_something_of_a_workspace_does_not_exist_for_others() -> None:
    for name, row in ROWS.items():
        if names_one_of_a_workspace(name):
            assert (row.anonymous, row.other) == (401, 404), name


def test_a_member_who_may_not_is_told_so_whatever_it_is_of_the_workspaces() -> None:
    """A member knows of all that is in the workspace: a 404 is for others.

    An owner lacks no role. What they may not have is another user's own, which nobody else knows of.
    """
    for name, row in ROWS.items():
        if names_one_of_a_workspace(name) and row.weak is not None and row.weak[0] != "owner":
            assert row.weak[1] == 403, name


def test_whatever_anybody_may_call_stands_in_the_page_of_limits_with_what_it_costs() -> None:
    page = (ROOT / "docs" / "limits.md").read_text("utf-8").partition("## What anybody may call")[2]
    told = re.findall(r"^\| `([A-Z]+ /\S*)` \| \S.* \|.*\|$", page, re.MULTILINE)
    without_a_token = [name for name, row in KERNEL_ROWS.items() if row.allowed in {"anonymous", "service"}]
    assert sorted(told) == sorted([*without_a_token, f"GET {LIVE}"])


def test_no_operation_has_two_rows() -> None:
    named = [*KERNEL_ROWS, *(operation for _, matrix in parts("MATRIX") for operation in matrix)]
    assert sorted(named) == sorted({*named})


# ── the world ────────────────────────────────────────────────────────────────────────────────────


@cache
def _password_hash() -> str:
    """Made once, with few rounds: how it is made is not what is tested here."""
    return PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    clients = SecretStr(f"billing:{CLIENT_SECRET}")
    return settings.model_copy(update={"auth_introspection_clients": clients})


@pytest.fixture
def container(container: Container) -> Container:
    container.login_providers.override(providers.Object({"one": OneProvider(a_proof(issuer=ISSUER))}))
    of_member = a_proof(issuer=ISSUER, subject="of-member")
    tokens = ProvingVerifier(**{"of-member": of_member})
    container.linking.override(providers.Singleton(Linking, container.run, tokens, local_issuer=BASE_URL))
    return container


@dataclass(frozen=True)
class World:
    """Who may ask, by what they are, and what they may ask for."""

    people: Mapping[str, User]
    places: Places


def _claiming(team: Team) -> Team:
    """With members who can ask for the mail that proves their address."""
    users = {role: replace(user, email_verified_at=None) for role, user in team.users.items()}
    return replace(team, users=users)


@pytest.fixture
async def world(begin: Begin[UnitOfWork], container: Container) -> World:
    now = datetime.now(UTC)
    team, elsewhere = _claiming(a_team()), _claiming(a_team())
    member, workspace = team.users[Role.MEMBER], team.workspace
    people = {
        **{role.value: team.users[role] for role in Role},
        "stranger": team.outsider,
        "other": elsewhere.users[Role.OWNER],
        "support": a_user(roles=(GlobalRole.SUPPORT,)),
        "root": a_user(roles=(GlobalRole.ADMIN,)),
    }
    archived = a_workspace(archived_at=now)
    surroundings = Surroundings(workspace_id=workspace.id, owner=people["owner"].id, member=member.id, at=now)
    invitation = an_invitation(
        workspace_id=workspace.id,
        invited_by=people["owner"].id,
        email=address_of(team.outsider),
        token_hash=fingerprint("invitation"),
        created_at=now,
    )
    session = a_session(user_id=member.id, token_hash=fingerprint("refresh"), created_at=now)
    cookie = a_session(
        user_id=member.id, token_hash=fingerprint("cookie"), kind=SessionKind.COOKIE, created_at=now
    )
    link = a_link(user_id=member.id)
    linked = a_link(user_id=member.id, issuer=ISSUER, subject="of-member")
    mailed: dict[str, Any] = {"user_id": member.id, "email": address_of(member), "created_at": now}
    await store(
        begin,
        *team.aggregates,
        *elsewhere.aggregates,
        people["support"],
        people["root"],
        archived,
        *(a_membership(workspace_id=archived.id, user_id=team.users[role].id, role=role) for role in Role),
        *(a_credential(id=people[name].id, password_hash=_password_hash()) for name in ("member", "other")),
        *all_stored(surroundings),
        invitation,
        session,
        cookie,
        link,
        linked,
        a_one_time_token(purpose=Purpose.RESET_PASSWORD, token_hash=fingerprint("reset"), **mailed),
        a_one_time_token(purpose=Purpose.VERIFY_EMAIL, token_hash=fingerprint("verify"), **mailed),
        a_one_time_token(purpose=Purpose.UNDO_EMAIL_CHANGE, token_hash=fingerprint("undo"), **mailed),
        a_one_time_token(
            purpose=Purpose.EXCHANGE,
            user_id=member.id,
            token_hash=fingerprint("exchange"),
            challenge=urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode(),
            created_at=now,
        ),
    )
    pending = PendingLogin(
        provider="one",
        state="s" * 20,
        nonce="nonce",
        verifier=VERIFIER,
        return_to=f"{BASE_URL}/welcome",
        mode="cookie",
        response_mode="fragment",
        challenge=None,
        expires_at=(now + timedelta(minutes=5)).timestamp(),
    )
    places = {
        "workspace_id": workspace.id,
        "user_id": member.id,
        **all_places(surroundings),
        "archived_workspace_id": archived.id,
        "invitation_id": invitation.id,
        "session_id": session.id,
        "link_id": link.id,
        "name": "one",
        "asset": "favicon.png",
        "code": "invalid",
        "email": address_of(member),
        "new_email": an_email,
        "new_slug": a_slug,
        "refresh_token": f"{session.id.hex}.refresh",
        "cookie": f"{cookie.id.hex}.cookie",
        "sealed": JweSeal(container.settings().auth_secret.get_secret_value(), LOGINS).seal(pending.dump()),
    }
    return World(people, places)


@pytest.fixture
async def callers(
    world: World, app: FastAPI, container: Container, contract: Contract
) -> AsyncIterator["Callers"]:
    async with AsyncExitStack() as stack:
        transport = await stack.enter_async_context(ASGITransport(app=app, raise_app_exceptions=False))
        yield Callers(world, container, contract, stack, transport)


class Callers:
    """Clients of the people in the world, and of nobody."""

    def __init__(
        self,
        world: World,
        container: Container,
        contract: Contract,
        stack: AsyncExitStack,
        transport: ASGITransport,
    ) -> None:
        self._world, self._container, self._contract = world, container, contract
        self._stack, self._transport = stack, transport

    async def client(
        self, name: str, *, expired: bool = False, let_in: timedelta | None = timedelta(0)
    ) -> AsyncClient:
        """Whom a provider has let in so long ago, or with None nobody but a password."""

        async def check(response: Response) -> None:
            self._contract.check(response, await response.aread())

        client = AsyncClient(
            transport=self._transport,
            base_url=BASE_URL,
            headers=await self._proof(name, expired=expired, let_in=let_in),
            event_hooks={"response": [check]},
        )
        self._stack.push_async_callback(client.aclose)
        return client

    async def _proof(self, name: str, *, expired: bool, let_in: timedelta | None) -> dict[str, str]:
        if name == "service" and not expired:
            basic = b64encode(f"billing:{CLIENT_SECRET}".encode()).decode()
            return {"authorization": f"Basic {basic}"}
        if name == "browser" and not expired:
            cookie = str(self._world.places["cookie"])
            return {"cookie": f"{SESSION}={cookie}", "origin": BASE_URL, CSRF_HEADER: csrf_token(cookie)}
        if name == "anonymous" and not expired:
            return {}
        user = self._world.people.get(name, self._world.people["member"])
        return {"authorization": f"Bearer {await self._token(user, expired=expired, let_in=let_in)}"}

    async def _token(self, user: User, *, expired: bool, let_in: timedelta | None) -> str:
        now = datetime.now(UTC)
        session = a_session(
            user_id=user.id,
            created_at=now - timedelta(days=1),
            authenticated_at=None if let_in is None else now - let_in,
        )
        await store(self._container.begin(), session)
        settings = self._container.settings()
        issuer = LocalTokenIssuer(
            self._container.key_ring(),
            issuer=settings.public_url,
            audience=settings.auth_audience,
            lifetime_seconds=settings.auth_access_token_seconds,
            clock=lambda: now - timedelta(hours=1) if expired else now,
        )
        return (await issuer.issue(user.id, session_id=session.id)).value


# ── the matrix ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("operation", ROWS)
async def test_each_caller_gets_what_the_table_says(operation: str, world: World, callers: Callers) -> None:
    row = ROWS[operation]
    method, path = operation.split(" ")
    address = path.format_map({**world.places, **{name: world.places[at] for name, at in row.at.items()}})

    async def status(name: str, *, expired: bool = False) -> int:
        client = await callers.client(name, expired=expired)
        return (await client.request(method, address, **row.send(world.places))).status_code

    got: dict[str, int] = {}
    wanted: dict[str, int] = {}
    if row.allowed != "anonymous":
        wanted |= {"anonymous": row.anonymous, "expired": 401, "other": row.other}
        got["anonymous"] = await status("anonymous")
        got["expired"] = await status(row.allowed, expired=True)
        got["other"] = await status("other")
    elif method == "GET":  # a bad token does no harm where none is needed
        wanted["expired"] = row.done
        got["expired"] = await status("member", expired=True)
    if row.weak is not None:
        wanted["too weak"] = row.weak[1]
        got["too weak"] = await status(row.weak[0])
    wanted["allowed"] = row.done
    got["allowed"] = await status(row.allowed)
    assert got == wanted


# ── the same, with If-Match and with Idempotency-Key ─────────────────────────────────────────────

ROUTES = {
    f"{method} {route.path}": route
    for route in versioned_routes(with_kernel(versions()))
    for method in route.methods or ()
}
CHANGING = [name for name in ROWS if name in ROUTES and ROUTES[name].changes]
KEYED = [name for name in ROWS if name in ROUTES and ROUTES[name].shape.keyed]


# ── without a fresh proof of who somebody is ─────────────────────────────────────────────────────

REAUTHENTICATED = [name for name in ROWS if name in ROUTES and ROUTES[name].shape.reauthenticated]
IN_SOME_CASES = {"PATCH /v1/me": json(email="<new_email>")}
"""What takes a fresh proof, where the row does not."""


def test_these_change_how_somebody_gets_in_or_who_else_is_in_or_take_everything() -> None:
    """So that none of them can lose it by accident."""
    assert {*REAUTHENTICATED} == {
        "PATCH /v1/me",
        "DELETE /v1/me",
        "GET /v1/me/export",
        "POST /v1/me/identities",
        "DELETE /v1/me/identities/{link_id}",
        "POST /v1/auth/logout/all",
        "DELETE /v1/auth/sessions/{session_id}",
    }


@pytest.mark.parametrize("let_in", [None, timedelta(minutes=5), timedelta(days=1)], ids=str)
@pytest.mark.parametrize("operation", REAUTHENTICATED)
async def test_a_token_alone_changes_no_way_in_and_the_password_as_well_does(
    operation: str, let_in: timedelta | None, world: World, callers: Callers
) -> None:
    row = ROWS[operation]
    method, path = operation.split(" ")
    client = await callers.client(row.allowed, let_in=let_in)
    sent = IN_SOME_CASES.get(operation, row.send)(world.places)

    async def send(**headers: str) -> Response:
        return await client.request(method, path.format_map(world.places), headers=headers, **sent)

    for proof in ({}, {"Reauthentication-Token": "guess"}):
        refused = await send(**proof)
        assert (refused.status_code, refused.json()["type"]) == (403, "/problems/reauthentication-required")
        assert "POST /v1/auth/reauthentication" in refused.json()["detail"]
        assert "www-authenticate" not in refused.headers  # a client would refresh its token, and try again
    given = await client.post("/v1/auth/reauthentication", json={"password": PASSWORD})
    assert given.json()["expires_in"] == 300
    assert (await send(**{"Reauthentication-Token": given.json()["token"]})).status_code == row.done


class Requests:
    """The example of one row, again and again."""

    def __init__(self, operation: str, world: World, client: AsyncClient) -> None:
        self.row = ROWS[operation]
        self._method, path = operation.split(" ")
        at = {name: world.places[place] for name, place in self.row.at.items()}
        self._path = path.format_map({**world.places, **at})
        self._sent = self.row.send(world.places)
        self._client = client

    async def send(self, more: Mapping[str, Any] | None = None, **headers: str) -> Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {**self._sent, **(more or {})}
        return await self._client.request(self._method, self._path, headers=named, **sent)

    async def read(self, answer: Response, **headers: str) -> Response:
        """What can be read where the answer says that it is, at the path, or above it."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        for path in (answer.headers.get("location", self._path), self._path.rpartition("/")[0]):
            read = await self._client.get(path, headers=named)
            if read.status_code not in {404, 405}:
                return read
        raise AssertionError(f"{self._path} shows what nobody can read.")


@pytest.fixture
async def example(request: pytest.FixtureRequest, world: World, callers: Callers) -> Requests:
    operation: str = request.param
    return Requests(operation, world, await callers.client(ROWS[operation].allowed))


@pytest.mark.parametrize("example", CHANGING, indirect=True)
async def test_a_change_is_made_to_the_version_that_was_seen_or_not_at_all(example: Requests) -> None:
    for condition, status in (
        ('"999"', 412),
        ('"999-51f0c5ad0f3e2b61", "998"', 412),
        ('W/"1"', 412),  # RFC 9110 §13.1.1: compared strongly
        ('"01a"', 412),
        ("1", 400),
        ('"1', 400),
    ):
        refused = await example.send(if_match=condition)
        assert (refused.status_code, condition) == (status, condition)
    assert (await example.send(if_match='"7", "1"')).status_code == example.row.done


@pytest.mark.parametrize("example", CHANGING, indirect=True)
async def test_any_version_will_do_where_it_says_so(example: Requests) -> None:
    assert (await example.send(if_match="*")).status_code == example.row.done


@pytest.mark.parametrize("example", KEYED, indirect=True)
async def test_a_request_under_a_key_is_done_once_and_answered_alike(example: Requests) -> None:
    first = await example.send(idempotency_key="k-1")
    again = await example.send(idempotency_key='"k-1"')
    assert (first.status_code, again.status_code) == (example.row.done, example.row.done)
    assert again.content == first.content
    own = {"content-type", "content-length", "etag", "location"}
    assert [(name, first.headers.get(name)) for name in own] == [
        (name, again.headers.get(name)) for name in own
    ]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    other = await example.send({"params": {"now": "another request"}}, idempotency_key="k-1")
    assert other.status_code == 422


@pytest.mark.parametrize("example", KEYED, indirect=True)
async def test_what_is_no_key_is_refused(example: Requests) -> None:
    for key in ("", " ", '""', "two words", "a,b", "a;b", '"open', "k" * 256, '"\\x"'):
        refused = await example.send(idempotency_key=key)
        assert (refused.status_code, refused.json()["type"]) == (400, "/problems/invalid-idempotency-key")
    assert (await example.send(idempotency_key="k" * 255)).status_code == example.row.done


def test_whatever_changes_something_takes_conditions_and_keys() -> None:
    """So that a new route cannot lose them by accident."""
    for name, route in ROUTES.items():
        method = name.split()[0]
        shows_what_it_changes = method == "POST" and route.shape.tagged and not route.shape.location
        if method in {"PUT", "PATCH", "DELETE"} or shows_what_it_changes:
            assert route.changes or name in WITHOUT_A_VERSION, f"{name}: say what it `changes`."
        if method == "POST":
            assert route.shape.keyed != bool(route.unkeyed), (
                f"{name}: take a Runner[UnitOfWork], or say why it is `unkeyed`."
            )


WITHOUT_A_VERSION = {"DELETE /v1/auth/cookie"}  # a cookie is no resource that anybody reads


# ── what a change answers with is what can be read ───────────────────────────────────────────────


def readings() -> dict[str, str]:
    """Each POST and PATCH that shows a thing, and the GET that shows it: at its Location, or at its path.

    What is done to a thing at a path below its own, such as `…/start`, shows it as well.
    """
    paths = {
        re.sub(r"{\w+}", "{}", route.path): name for name, route in ROUTES.items() if route.methods == {"GET"}
    }
    found = {}
    for name, route in ROUTES.items():
        if route.methods in ({"POST"}, {"PATCH"}) and route.response_model is not None:
            above = route.path.rpartition("/")[0] if route.changes else route.path
            for path in (route.shape.location or route.path, above):
                if read := paths.get(re.sub(r"{\w+}", "{}", path)):
                    found[name] = read
                    break
    return found


READINGS = readings()


def test_whatever_shows_a_version_shows_what_can_be_read() -> None:
    tagged = {name for name, route in ROUTES.items() if route.shape.tagged and "GET" not in name}
    assert READINGS.keys() == tagged
    assert len(tagged) >= 15


@pytest.mark.parametrize("operation", READINGS)
def test_a_resource_has_one_schema(operation: str, document: dict[str, Any]) -> None:
    def schema(name: str) -> dict[str, Any]:
        method, path = name.split(" ")
        responses = document["paths"][path][method.lower()]["responses"]
        (shown,) = [responses[status] for status in ("200", "201") if status in responses]
        found: dict[str, Any] = shown["content"]["application/json"]["schema"]
        return found

    assert schema(operation) == schema(READINGS[operation])


@pytest.mark.parametrize(
    "example", [name for name in READINGS if ROWS[name].allowed != "anonymous"], indirect=True
)
async def test_a_change_answers_with_what_is_read_then(example: Requests) -> None:
    answer = await example.send()
    read = await example.read(answer)
    assert read.status_code == 200
    if set(read.json()) == set(answer.json()):
        assert (read.content, read.headers["etag"]) == (answer.content, answer.headers["etag"])
    assert read.json().items() <= answer.json().items()
    known = await example.read(answer, if_none_match=answer.headers["etag"])
    assert known.status_code == (304 if read.content == answer.content else 200)


@pytest.mark.parametrize("example", [name for name in KEYED if name in READINGS], indirect=True)
async def test_under_a_key_too(example: Requests) -> None:
    answer = await example.send(idempotency_key="k-1")
    read = await example.read(answer)
    again = await example.send(idempotency_key="k-1")
    assert answer.content == again.content
    assert read.json().items() <= again.json().items()
