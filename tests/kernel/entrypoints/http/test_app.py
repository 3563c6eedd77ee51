"""The application as a whole: its document, CORS, and life without a database."""

import asyncio
import gc
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.openapi.models import OpenAPI
from fastapi.responses import JSONResponse
from httpx2 import ASGITransport, AsyncClient
from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

from domain.kernel.errors import Unauthenticated
from entrypoints.kernel.service import SERVICE_TITLE, SERVICE_VERSION
from entrypoints.settings import Settings
from kernel.specimen.builders import a_specimen_order_id
from kernel.specimen.service import Container, create_app
from kernel.world.provider import ProviderServer

type Operation = tuple[str, dict[str, Any]]

NOWHERE = SecretStr("postgresql://nobody@127.0.0.1:1/nothing")


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def references(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for member in part.values():
            yield from references(member)
    elif isinstance(part, list):
        for item in part:
            yield from references(item)


async def test_the_document_is_served(client: AsyncClient, document: dict[str, Any]) -> None:
    served = await client.get("/v1/openapi.json")
    assert served.status_code == 200
    assert served.json()["paths"].keys() == document["paths"].keys()
    info = served.json()["info"]
    assert (info["title"], info["version"]) == (SERVICE_TITLE, SERVICE_VERSION)


def test_the_document_is_valid_and_refers_to_what_is_there(document: dict[str, Any]) -> None:
    OpenAPI.model_validate(document)
    schemas = document["components"]["schemas"]
    used = set(references(document))
    assert used <= {
        f"#/components/{kind}/{name}"
        for kind in ("schemas", "examples", "headers")
        for name in document["components"][kind]
    }
    assert "HTTPValidationError" not in schemas


def test_every_operation_says_what_it_is_for_and_how_it_refuses(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert operation["description"].endswith("."), name
        refusals = {code: response for code, response in operation["responses"].items() if code >= "4"}
        assert refusals.keys() >= {"500", "503", "504"}, name
        for response in refusals.values():
            content = response["content"]["application/problem+json"]
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}, name
        assert ("401" in refusals) or operation["security"] == [], name


def test_operations_are_named_after_their_functions(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(ids)) == len(ids)
    assert {"create_specimen_order", "complete_specimen_order", "log_in", "get_profile"} <= set(ids)


def test_the_document_names_every_kind_of_problem(document: dict[str, Any]) -> None:
    problems = document["components"]["schemas"]["Problem"]["x-problems"]
    assert {
        "type": "/problems/slug-taken",
        "status": 409,
        "title": "Another workspace has this slug.",
    } in problems


def test_bodies_are_strict_and_documented(document: dict[str, Any]) -> None:
    bodies = {
        reference.rpartition("/")[2]
        for _, operation in operations(document)
        for reference in references(operation.get("requestBody", {}))
    }
    for name in bodies:
        schema = document["components"]["schemas"][name]
        assert schema["additionalProperties"] is False, name
        assert schema["description"], name
    new_specimen_order = document["components"]["schemas"]["NewSpecimenOrder"]
    assert new_specimen_order["required"] == ["title"]
    assert new_specimen_order["properties"]["title"] == new_specimen_order["properties"]["title"] | {
        "minLength": 1,
        "maxLength": 200,
    }


def test_no_answer_documents_a_secret(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        assert not {"password_hash", "token_hash", "events"} & schema.get("properties", {}).keys(), name


def test_created_things_are_located_and_lists_are_linked(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        if created := operation["responses"].get("201"):
            assert "Location" in created["headers"], name
        if name.startswith("GET") and operation["operationId"].startswith("list_"):
            assert operation["responses"]["200"]["headers"].keys() >= {"Link"}, name


def talk_to(**settings: Any) -> AsyncClient:
    container = Container(settings=Settings(database_url=NOWHERE, **settings))
    transport = ASGITransport(app=create_app(container), raise_app_exceptions=False)
    # Whether it is good the database would say: in there are the keys.
    head, body = {"alg": "ES256", "typ": "at+jwt", "kid": "x"}, {"iss": container.settings().public_url}
    token = ".".join(
        urlsafe_b64encode(json.dumps(part).encode()).decode().strip("=") for part in (head, body)
    )
    return AsyncClient(
        transport=transport, base_url="http://localhost", headers={"authorization": f"Bearer {token}.eHh4"}
    )


async def test_without_a_database_it_starts_and_says_so() -> None:
    async with talk_to() as client:
        assert (await client.get("/health/live")).status_code == 200
        ready = await client.get("/health/ready")
        assert (ready.status_code, ready.json()["type"]) == (503, "/problems/not-ready")
        assert ready.json()["detail"] == "Not there: database, migrations, signing keys."
        for answer in (
            await client.get(f"/v1/specimen_orders/{a_specimen_order_id()}"),
            await client.post(f"/v1/specimen_orders/{a_specimen_order_id()}/completion"),
            await client.post("/v1/auth/login", json={"email": "ada@example.com", "password": "x" * 20}),
        ):
            assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")
            assert answer.headers["retry-after"] == "1"
            assert "127.0.0.1" not in answer.text


PREFLIGHT = {"origin": "https://app.example.com", "access-control-request-method": "PATCH"}


async def test_without_origins_no_script_of_another_site_is_let_in() -> None:
    async with talk_to() as client:
        answer = await client.options("/v1/me", headers=PREFLIGHT)
        assert answer.status_code == 405
        assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_an_origin_on_the_list_is_let_in_to_errors_too() -> None:
    async with talk_to(cors_origins="https://app.example.com") as client:
        asked = await client.options("/v1/me", headers=PREFLIGHT)
        assert asked.status_code == 200
        assert "PATCH" in asked.headers["access-control-allow-methods"]
        for path in ("/health/ready", "/nowhere", "/v1/me", "/health/live"):
            answer = await client.get(path, headers={"origin": "https://app.example.com"})
            assert (answer.status_code >= 400) == (path != "/health/live")
            assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
            exposed = set(answer.headers["access-control-expose-headers"].split(", "))
            assert exposed >= {"ETag", "Link", "Location", "Retry-After", "X-Request-ID"}


PREFLIGHTS_REFUSED = {
    "another origin": ({"origin": "https://evil.example.com"}, "CORS_ORIGINS does not list this origin."),
    "no origin at all": ({"origin": "null"}, "CORS_ORIGINS does not list this origin."),
    "another method": (
        {"access-control-request-method": "PUT"},
        "Scripts of other origins may use GET, POST, PATCH, DELETE.",
    ),
    "another header": (
        {"access-control-request-headers": "etag, x-evil"},
        "They may send the headers Authorization,",
    ),
    "the network around": (
        {"access-control-request-private-network": "true"},
        "Scripts of this origin may not send such a request.",
    ),
}


@pytest.mark.parametrize("case", PREFLIGHTS_REFUSED)
async def test_a_preflight_is_refused_with_a_problem_that_says_why(case: str) -> None:
    headers, detail = PREFLIGHTS_REFUSED[case]
    async with talk_to(cors_origins="https://app.example.com") as client:
        refused = await client.options("/v1/me", headers=PREFLIGHT | headers)
        assert (refused.status_code, refused.headers["content-type"]) == (400, "application/problem+json")
        assert refused.json()["type"] == "/problems/preflight-refused"
        assert refused.json()["detail"].startswith(detail)
        assert ("access-control-allow-origin" in refused.headers) == ("origin" not in headers)
        assert "x-request-id" in refused.headers


@pytest.mark.parametrize("origin", ["HTTPS://App.Example.com", "https://app.example.com:443"])
async def test_an_origin_is_the_same_in_every_spelling(origin: str) -> None:
    async with talk_to(cors_origins="https://APP.example.com:443") as client:
        for answer in (
            await client.options("/v1/me", headers=PREFLIGHT | {"origin": origin}),
            await client.get("/health/live", headers={"origin": origin}),
        ):
            assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, origin)


async def test_scripts_may_send_what_continues_a_trace() -> None:
    names = "traceparent, tracestate,baggage , Sentry-Trace"
    async with talk_to(cors_origins="https://app.example.com") as client:
        asked = await client.options("/v1/me", headers=PREFLIGHT | {"access-control-request-headers": names})
        assert asked.status_code == 200


async def test_a_failure_can_be_read_by_scripts_too() -> None:
    container = Container(settings=Settings(database_url=NOWHERE, cors_origins="https://app.example.com"))
    app = create_app(container)

    @app.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError

    transport = ASGITransport(app=app, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://localhost") as client:
        failed = await client.get("/broken", headers={"origin": "https://app.example.com"})
    assert (failed.status_code, failed.json()["type"]) == (500, "/problems/internal-error")
    assert failed.headers["access-control-allow-origin"] == "https://app.example.com"


async def test_the_largest_body_is_a_setting_whose_refusal_scripts_can_read() -> None:
    async with talk_to(max_body_bytes=1024, cors_origins="https://app.example.com") as client:
        body = {"email": "ada@example.com", "password": "x" * 1024}
        refused = await client.post("/v1/auth/login", json=body, headers=PREFLIGHT)
        assert (refused.status_code, refused.json()["type"]) == (413, "/problems/content-too-large")
        assert refused.headers["access-control-allow-origin"] == "https://app.example.com"


async def test_the_largest_body_is_a_setting() -> None:
    async with talk_to(max_body_bytes=1024) as client:
        body = {"email": "ada@example.com", "password": "x" * 1024}
        refused = await client.post("/v1/auth/login", json=body)
        assert (refused.status_code, refused.json()["type"]) == (413, "/problems/content-too-large")


@pytest.mark.parametrize("path", ["/v1/me", "/v1/nowhere", "/docs/oauth2-redirect"])
async def test_a_middleware_of_a_service_is_around_every_route(app: FastAPI, path: str) -> None:
    seen: list[str] = []

    class Looking:
        def __init__(self, app: ASGIApp, *, answer: str) -> None:
            self._app, self._answer = app, answer

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            seen.append(f"{self._answer} {scope['path']}")
            await self._app(scope, receive, send)

    app.add_middleware(Looking, answer="inner")
    app.add_middleware(Looking, answer="outer")
    async with AsyncClient(transport=ASGITransport(app=app), base_url="http://localhost") as client:
        await client.get(path)
    assert seen == [f"outer {path}", f"inner {path}"]


async def test_an_error_that_a_service_handles_itself_is_handled_in_our_routes_too(app: FastAPI) -> None:
    async def own(_: Request, error: Exception) -> Response:
        return JSONResponse({"type": "about:blank", "title": str(error)}, 402)

    app.add_exception_handler(Unauthenticated, own)
    async with AsyncClient(transport=ASGITransport(app=app), base_url="http://localhost") as client:
        assert (await client.get("/v1/me")).status_code == 402


async def test_it_closes_the_database_when_it_ends(container: Container) -> None:
    app = create_app(container)
    threshold = gc.get_threshold()
    try:
        async with app.router.lifespan_context(app):
            await container.database().ping()
            assert gc.get_freeze_count() > 0
            assert gc.get_threshold()[0] == 50_000
    finally:
        gc.unfreeze()
        gc.set_threshold(*threshold)
    await container.database().ping()  # it opens again where somebody still asks


async def test_the_keys_of_a_provider_are_fetched_before_anybody_asks_for_them() -> None:
    provider = ProviderServer()
    await provider.start()
    trusting: Any = {"auth_provider": "oidc", "oidc_issuer": provider.issuer, "oidc_audience": "shop"}
    app = create_app(Container(settings=Settings(_env_file=None, database_url=NOWHERE, **trusting)))
    threshold = gc.get_threshold()
    try:
        async with app.router.lifespan_context(app), asyncio.timeout(60):
            while not provider.asked:  # noqa: ASYNC110 (it is asked on the other side of a socket)
                await asyncio.sleep(0.01)
    finally:
        gc.unfreeze()
        gc.set_threshold(*threshold)
        await provider.stop()


async def test_scripts_of_other_origins_can_send_and_read_every_header_that_is_documented(
    document: dict[str, Any],
) -> None:
    sent = {"authorization", "content-type"}
    shown: set[str] = set()
    for _, operation in operations(document):
        sent |= {each["name"].lower() for each in operation.get("parameters", ()) if each["in"] == "header"}
        for answer in operation["responses"].values():
            shown |= {name.lower() for name in answer.get("headers", ())}
    shown -= {"www-authenticate"}  # the page of ours that is refused knows how to log in
    asks = {"origin": "https://app.example.com", "access-control-request-method": "POST"}
    async with talk_to(cors_origins=["https://app.example.com"]) as client:
        for name in sorted(sent):
            preflight = await client.options(
                "/v1/me", headers=asks | {"access-control-request-headers": name}
            )
            assert preflight.status_code == 200, name
        answer = await client.get("/v1/nothing", headers=asks)
        read = answer.headers["access-control-expose-headers"].lower().split(", ")
    assert {"etag", "location", "idempotency-replayed", "retry-after", "link"} <= shown
    assert shown <= set(read)
