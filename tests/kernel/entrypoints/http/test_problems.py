"""Problems: one for every error class, with what HTTP wants beside it."""

import inspect
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from dependency_injector import providers
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from adapters.postgres.kernel.connection.database import Database
from application.kernel.idempotency import IdempotencyKeyInUse
from application.kernel.paging import InvalidCursor
from application.kernel.ports.world import Contention, Misconfigured, TimedOut, Unavailable, WorldError
from domain.kernel.errors import (
    Conflict,
    DomainError,
    Forbidden,
    Invalid,
    Limited,
    NotFound,
    Stale,
    Unauthenticated,
)
from entrypoints.http.kernel.routing.field_errors import field_errors, pointer
from entrypoints.http.kernel.routing.problems import RequestError, kind_of, kinds
from kernel.specimen.domain.specimen_orders import SpecimenOrderNotFound
from kernel.specimen.service import Container, create_app

type Answer = Callable[[Exception], Awaitable[tuple[int, dict[str, str], dict[str, object]]]]


@pytest.fixture
def raised(app: FastAPI, client: AsyncClient) -> Answer:
    """How a route answers that raises an error: status, headers, body."""
    errors: list[Exception] = []

    @app.get("/raises")
    async def raises() -> None:
        raise errors.pop()

    async def answer(error: Exception) -> tuple[int, dict[str, str], dict[str, object]]:
        errors.append(error)
        response = await client.get("/raises")
        return response.status_code, dict(response.headers), response.json()

    return answer


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Invalid("no"), 422, "invalid"),
        (InvalidCursor("no"), 400, "invalid-cursor"),
        (Unauthenticated("no"), 401, "unauthenticated"),
        (Forbidden("no"), 403, "forbidden"),
        (NotFound("no"), 404, "not-found"),
        (SpecimenOrderNotFound("no"), 404, "specimen-order-not-found"),
        (Conflict("no"), 409, "conflict"),
        (Stale("no"), 409, "stale"),
        (Limited("no", retry_after=7), 429, "limited"),
        (Unavailable("no"), 503, "unavailable"),
        (Contention("no"), 503, "contention"),
        (TimedOut("no"), 504, "timed-out"),
    ],
)
async def test_the_category_gives_the_status_and_the_class_the_rest(
    raised: Answer, error: Exception, status: int, code: str
) -> None:
    got, headers, body = await raised(error)
    assert got == status
    assert body == {
        "type": f"/problems/{code}",
        "title": inspect.getdoc(error),
        "status": status,
        "detail": "no",
        "instance": "/raises",
        "trace_id": body["trace_id"],
    }
    scheme, _, _ = headers.get("www-authenticate", "").partition(" ")
    assert scheme == ("Bearer" if status == 401 else "")
    assert headers.get("retry-after") == {429: "7", 503: "1", 504: "1"}.get(status)


async def test_what_operators_have_to_set_up_otherwise_is_unavailable_to_clients(
    raised: Answer, document: dict[str, Any]
) -> None:
    with capture_logs() as logs:
        status, headers, body = await raised(Misconfigured("Set SECRET_THING."))
    _, _, unavailable = await raised(Unavailable())
    assert (status, headers["retry-after"]) == (503, "1")
    same = body.keys() - {"trace_id"}
    assert {name: body[name] for name in same} == {name: unavailable[name] for name in same}
    assert "SECRET_THING" not in str(body)
    (failure,) = [event for event in logs if event["event"] == "the world failed"]
    assert failure["reason"] == "Set SECRET_THING."
    assert {"misconfigured", "not-now", "lease-lost"}.isdisjoint(kind.code for kind in kinds())
    assert "/problems/misconfigured" not in str(document)


async def test_whatever_says_that_it_may_be_tried_again_says_when(
    raised: Answer, document: dict[str, Any]
) -> None:
    status, headers, _ = await raised(IdempotencyKeyInUse())
    assert (status, headers["retry-after"]) == (409, "1")
    assert "retry-after" not in (await raised(Conflict()))[1]
    hopeful = [kind for kind in kinds() if "try again" in kind.title or kind.status in {503, 504}]
    assert {kind.code for kind in hopeful} > {"idempotency-key-in-use", "deadline-exceeded", "contention"}
    assert [kind for kind in hopeful if not kind.passing and kind.status != 429] == []
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                examples = response.get("content", {}).get("application/problem+json", {}).get("examples", {})
                needs = status in {"429", "503", "504"} or "idempotency-key-in-use" in examples
                assert needs == ("Retry-After" in response.get("headers", {})), (operation, status)


async def test_what_the_world_did_is_logged_with_its_cause(raised: Answer) -> None:
    error = Unavailable("The database does not answer.")
    error.__cause__ = ConnectionRefusedError(111, "secret host")
    with capture_logs() as logs:
        _, _, body = await raised(error)
    (failure,) = [event for event in logs if event["event"] == "the world failed"]
    assert (failure["log_level"], "secret host" in failure["cause"]) == ("warning", True)
    assert "secret" not in str(body)


async def test_a_cause_that_its_adapter_has_logged_is_not_told_twice(raised: Answer) -> None:
    error = Unavailable("The database does not answer.")
    error.cause = "57P01 AdminShutdownError: secret"
    with capture_logs() as logs:
        _, _, body = await raised(error)
    (failure,) = [event for event in logs if event["event"] == "the world failed"]
    assert "cause" not in failure
    assert "secret" not in str(body)


async def test_why_the_database_failed_is_logged_with_the_request(container: Container) -> None:
    nowhere = Database("postgresql://nobody@127.0.0.1:1/nothing")
    container.database.override(providers.Object(nowhere))
    transport = ASGITransport(app=create_app(container), raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
        with capture_logs(processors=[merge_contextvars]) as logs:
            sent = {"email": "a@b.example", "password": "x" * 20}
            answer = await client.post("/v1/auth/login", json=sent, headers={"x-request-id": "the-one"})

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "Errno" not in answer.text
    told = [entry for entry in logs if "Errno" in str(entry)]
    assert [(entry["event"], entry["request_id"]) for entry in told] == [("the database failed", "the-one")]


async def test_an_error_without_a_detail_repeats_its_title(raised: Answer) -> None:
    _, _, body = await raised(SpecimenOrderNotFound())
    assert body["detail"] == body["title"] == inspect.getdoc(SpecimenOrderNotFound)


@pytest.mark.parametrize("error", [DomainError("secret"), WorldError("secret"), ValueError("secret")])
async def test_an_error_of_no_category_is_a_defect(raised: Answer, error: Exception) -> None:
    status, _, body = await raised(error)
    assert (status, body["type"]) == (500, "/problems/internal-error")
    assert "secret" not in str(body)


async def test_an_http_error_of_somebody_else_keeps_its_status_and_headers(raised: Answer) -> None:
    status, headers, body = await raised(HTTPException(410, "secret", {"X-Kept": "yes"}))
    assert (status, body["type"], body["title"]) == (410, "about:blank", "Gone")
    assert headers["x-kept"] == "yes"
    assert "secret" not in str(body)


async def test_a_plain_route_of_fastapi_refuses_with_a_problem_too(app: FastAPI, client: AsyncClient) -> None:
    class Item(BaseModel):
        price: float

    @app.post("/items")
    async def post_item(item: Item) -> None: ...

    for content in (b'{"price": "secret"}', b'{"price": [NaN]}', b'{"price": secret'):
        refused = await client.post("/items", content=content, headers={"content-type": "application/json"})
        assert (refused.status_code, refused.json()["type"]) == (422, "/problems/invalid-request")
        assert "secret" not in refused.text
        assert refused.json()["errors"][0]["code"] in {"float-parsing", "float-type", "json-invalid"}


async def test_a_path_with_odd_characters_is_still_a_reference(client: AsyncClient) -> None:
    missing = await client.get("/a%20b/%22%3C%00%3E/é")
    assert missing.json()["instance"] == "/a%20b/%22%3C%00%3E/%C3%A9"


def test_every_error_class_has_a_title_and_a_code_of_its_own() -> None:
    found = kinds()
    assert len({kind.code for kind in found}) == len(found)
    for kind in found:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.code)
        assert re.fullmatch(r"[A-Z`].*[.]", kind.title), kind
        assert 400 <= kind.status < 600


def test_the_kinds_are_those_of_every_layer() -> None:
    codes = {kind.code for kind in kinds()}
    assert codes >= {
        "specimen-order-not-found",
        "invalid-cursor",
        "not-permitted",
        "unavailable",
        "malformed-body",
    }
    assert kind_of(RequestError).status == 500


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([], "#"),
        (["a", 0, "b"], "#/a/0/b"),
        (["a/b", "c~d"], "#/a~1b/c~0d"),
        (["é %#"], "#/%C3%A9%20%25%23"),
        (["a", "x" * 101, "b"], "#/a"),
    ],
)
def test_a_pointer_is_a_fragment(parts: list[object], expected: str) -> None:
    assert pointer(parts) == expected


def test_the_first_errors_are_enough() -> None:
    error = {"type": "missing", "loc": ("a",), "msg": "Field required"}
    assert len(field_errors([error] * 1000)) == 20
