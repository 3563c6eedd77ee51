"""The examples of the stored document, sent as they are to the service: each gets its success."""

import json
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from argon2 import PasswordHasher
from dependency_injector import providers
from httpx2 import AsyncClient
from pydantic import SecretStr

from application.kernel.identity.accounts import Linking
from application.kernel.identity.cookie_sessions import csrf_token
from application.kernel.identity.secret_tokens import fingerprint
from application.kernel.unit_of_work import Begin
from domain.kernel.aggregate import Aggregate
from domain.kernel.identity.identities import LinkId
from domain.kernel.identity.one_time_tokens import Purpose
from domain.kernel.identity.sessions import SessionId, SessionKind
from domain.kernel.invitations import InvitationId
from domain.kernel.memberships import Role
from domain.kernel.users import Email, GlobalRole, UserId
from domain.kernel.workspaces import WorkspaceId
from entrypoints.http.kernel.document.examples import PASSWORD, TOKEN, example_id
from entrypoints.http.kernel.identity.cookies import CSRF_HEADER, SESSION
from entrypoints.kernel.service import ROOT
from entrypoints.settings import Settings
from kernel.entrypoints.http.test_matrix import ROWS
from kernel.specimen.service import Container, UnitOfWork
from kernel.world.builders import (
    a_caller,
    a_credential,
    a_link,
    a_membership,
    a_one_time_token,
    a_proof,
    a_session,
    a_user,
    a_workspace,
    an_invitation,
    store,
)
from kernel.world.fakes import OneProvider, ProvingVerifier
from kernel.world.resources import World as Surroundings
from kernel.world.resources import all_stored

BASE_URL = "http://localhost:8000"
CLIENT_SECRET = "s" * 32

OPERATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    f"{method.upper()} {path}": (path, operation)
    for path, methods in json.loads((ROOT / "openapi/v1.json").read_text("utf-8"))["paths"].items()
    for method, operation in methods.items()
}
# It goes on with a log-in that the same browser began, which no example can.
del OPERATIONS["GET /v1/auth/providers/{name}/callback"]

ISSUER = "https://login.example.com"

# Where the world has to be another one than usual.
ARCHIVED = {"DELETE /v1/workspaces/{workspace_id}/archival"}
UNINVITED = {"POST /v1/workspaces/{workspace_id}/invitations"}
EMPTY = {"POST /v1/auth/register"}
MAILED = {
    "POST /v1/auth/password-reset/confirmation": Purpose.RESET_PASSWORD,
    "POST /v1/auth/email-verification/confirmation": Purpose.VERIFY_EMAIL,
    "POST /v1/auth/email-change/reversal": Purpose.UNDO_EMAIL_CHANGE,
    "POST /v1/auth/exchange": Purpose.EXCHANGE,
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    clients = SecretStr(f"billing:{CLIENT_SECRET}")
    return settings.model_copy(
        update={"auth_introspection_clients": clients, "app_url": "https://app.example.com"}
    )


@pytest.fixture
def container(container: Container) -> Container:
    container.login_providers.override(providers.Object({"example": OneProvider(a_proof(issuer=ISSUER))}))
    tokens = ProvingVerifier(**{TOKEN: a_proof(issuer=ISSUER)})
    container.linking.override(providers.Singleton(Linking, container.run, tokens, local_issuer=BASE_URL))
    return container


def the(noun: str) -> UUID:
    return UUID(example_id(noun))


ADA, OWNER, GRACE, ROOT_USER = (UserId(the(noun)) for noun in ("user", "owner", "grace", "root"))


def world(operation: str) -> list[Aggregate]:
    """What the examples speak of: Ada, a member of a workspace, and what she has to do with it."""
    if operation in EMPTY:
        return []
    now = datetime.now(UTC)
    workspace_id = WorkspaceId(the("workspace"))
    password_hash = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
    found: list[Aggregate] = [
        a_user(id=ADA, email=Email("ada@example.com")),
        a_user(id=OWNER),
        a_user(id=GRACE, email=Email("grace@example.com"), email_verified_at=now),
        a_user(id=ROOT_USER, roles=(GlobalRole.ADMIN,)),
        a_credential(id=ADA, password_hash=password_hash),
        a_workspace(id=workspace_id, archived_at=now if operation in ARCHIVED else None),
        a_membership(workspace_id=workspace_id, user_id=ADA),
        a_membership(workspace_id=workspace_id, user_id=OWNER, role=Role.OWNER),
        *all_stored(
            Surroundings(
                workspace_id=workspace_id, owner=OWNER, member=ADA, at=now, id=the, operation=operation
            )
        ),
        a_session(id=SessionId(the("session")), user_id=ADA, token_hash=fingerprint(TOKEN), created_at=now),
        a_session(
            id=SessionId(the("cookie")),
            user_id=ADA,
            token_hash=fingerprint("cookie"),
            kind=SessionKind.COOKIE,
            created_at=now,
        ),
        a_link(id=LinkId(the("link")), user_id=ADA),
    ]
    if operation not in UNINVITED:
        found.append(
            an_invitation(
                id=InvitationId(the("invitation")),
                workspace_id=workspace_id,
                invited_by=OWNER,
                email=Email("grace@example.com"),
                token_hash=fingerprint(TOKEN),
                created_at=now,
            )
        )
    if operation in MAILED:
        exchanged = MAILED[operation] is Purpose.EXCHANGE
        found.append(
            a_one_time_token(
                purpose=MAILED[operation],
                user_id=ADA,
                email=None if exchanged else Email("ada@example.com"),
                token_hash=fingerprint("SplxlOBeZQQYbYS6WxSbIA" if exchanged else TOKEN),
                challenge="E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM" if exchanged else None,
                created_at=now,
            )
        )
    return found


def caller(operation: str) -> UserId:
    """The least who may, by the matrix."""
    people = {"stranger": GRACE, "admin": OWNER, "owner": OWNER, "support": ROOT_USER, "root": ROOT_USER}
    return people.get(ROWS[operation].allowed, ADA)


def headers(operation: dict[str, Any]) -> dict[str, str]:
    """What shows who asks, where that is no bearer token."""
    schemes = {name for way in operation["security"] for name in way}
    if schemes == {"introspection"}:
        return {"authorization": f"Basic {b64encode(f'billing:{CLIENT_SECRET}'.encode()).decode()}"}
    if schemes == {"cookie"}:
        cookie = f"{the('cookie').hex}.cookie"
        return {"cookie": f"{SESSION}={cookie}", "origin": BASE_URL, CSRF_HEADER: csrf_token(cookie)}
    return {}


@pytest.mark.parametrize("name", OPERATIONS)
async def test_an_example_is_answered_as_it_is_documented(
    name: str, begin: Begin[UnitOfWork], as_: Any, client: AsyncClient
) -> None:
    path, operation = OPERATIONS[name]
    await store(begin, *world(name))
    examples: dict[str, Any] = {"path": {}, "query": {}}
    for parameter in operation.get("parameters", ()):
        if "example" in parameter:
            examples[parameter["in"]][parameter["name"]] = parameter["example"]
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        examples["json" if media_type == "application/json" else "data"] = content["example"]
    who = a_caller(caller(name), authenticated_at=datetime.now(UTC))  # a fresh proof, where one is asked for
    speaker = as_(who) if "bearer" in str(operation["security"]) else client
    answer = await speaker.request(
        name.split(" ", maxsplit=1)[0],
        path.format_map(examples.pop("path")),
        params=examples.pop("query"),
        headers=headers(operation),
        **examples,
    )
    promised = min(status for status in operation["responses"] if status < "4")
    assert str(answer.status_code) == promised, answer.text
    if promised == "201":
        assert urlsplit(answer.headers["location"]).path.startswith("/v1/")
