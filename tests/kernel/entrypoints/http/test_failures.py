"""What the log tells of a request that failed or was slow, as it is written, in both formats."""

import io
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
import structlog
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient
from sqlalchemy import bindparam, func, insert

import entrypoints.kernel.logging
from adapters.postgres.kernel.connection.database import Database, Statement
from adapters.postgres.kernel.users import users
from domain.kernel.users import email_address
from entrypoints.http.kernel.server import edge
from entrypoints.kernel.logging import configure_logging
from entrypoints.settings import Settings
from kernel.servers.serving import environment_of, logged, serving
from kernel.specimen.service import Container, create_app
from kernel.world.builders import a_user, store

type Written = Callable[[], str]

_ADD = Statement(
    insert(users).values(
        id=bindparam("id"),
        display_name=bindparam("display_name"),
        email=bindparam("email"),
        email_verified_at=func.now(),
        created_at=func.now(),
        version=1,
    )
)
VALUES = ("Ada Lovelace", "ada@example.com", "lovelace", "s3cret", "hunter2")


@pytest.fixture(params=["json", "console"])
def written(
    request: pytest.FixtureRequest, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Written]:
    """What the service has written into its log."""
    before, level = structlog.get_config(), logging.root.level
    monkeypatch.setattr(logging.root, "handlers", [])
    memory = io.BytesIO()
    stream = io.TextIOWrapper(memory, encoding="utf-8")
    configure_logging(settings.model_copy(update={"log_format": request.param}), stream=stream)
    # A logger that has been used keeps what it writes to: these are new, and none is kept for other tests.
    structlog.configure(**structlog.get_config() | {"cache_logger_on_first_use": False})
    for module in (edge, entrypoints.kernel.logging):
        monkeypatch.setattr(module, "log", structlog.get_logger("http"))
    yield lambda: memory.getvalue().decode()
    structlog.configure(**before)
    logging.captureWarnings(capture=False)
    logging.root.setLevel(level)


@pytest.fixture
async def service(settings: Settings) -> AsyncIterator[FastAPI]:
    """The service on a database of its own, whose statements are observed as in production."""
    container = Container(settings=settings)
    await store(
        container.begin(), a_user(email=email_address("ada@example.com"), email_verified_at=datetime.now(UTC))
    )
    yield create_app(container)
    await container.database().close()
    await container.health_database().close()


def lines_of(text: str, event: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, text.splitlines()) if line["event"] == event]


async def test_a_defect_is_told_with_what_repeats_it_and_without_values(
    service: FastAPI, written: Written
) -> None:
    database: Database = service.state.provided.queries.users._source

    @service.get("/broken/{nickname}")
    async def broken(nickname: str, depth: int = 0, secret: str = "") -> None:
        try:
            await database.fetchrow(
                _ADD, {"id": uuid4(), "display_name": nickname, "email": "ada@example.com"}
            )
        except Exception as error:
            raise LookupError(f"{nickname} was not stored, with {secret}") from error

    async with AsyncClient(
        transport=ASGITransport(app=service, raise_app_exceptions=False), base_url="http://localhost:8000"
    ) as client:
        answer = await client.get("/broken/Ada Lovelace?depth=7&secret=hunter2&lovelace=s3cret")
    assert answer.status_code == 500
    text = written()
    for value in VALUES:
        assert value not in text
    for told in ("request failed", "/broken/{nickname}", "test_failures.add", "23505", "uq_users_email"):
        assert told in text
    assert "… was not stored, with …" in text
    if text.startswith("{"):
        (line,) = lines_of(text, "request failed")
        assert line["parameters"] == ["nickname", "depth", "secret"]
        assert (line["statement"], line["sqlstate"]) == ("test_failures.add", "23505")
        outer, inner = line["exception"]
        assert (outer["exc_type"], outer["frames"][-1]["name"]) == ("LookupError", "broken")
        assert inner["exc_type"] == "asyncpg.exceptions.UniqueViolationError"
        assert (inner["table_name"], inner["constraint_name"]) == ("users", "uq_users_email")


async def test_what_a_client_chooses_is_looked_through_for_secrets(
    service: FastAPI, written: Written
) -> None:
    async with AsyncClient(transport=ASGITransport(app=service), base_url="http://localhost:8000") as client:
        for key, place in (("ada@example.com", "7"), ("r1", "lovelace@example.com")):
            await client.get(f"/v1/workspaces/{place}", headers={"x-request-id": key})
    text = written()
    assert text.count("[redacted]") == 2
    assert [value for value in VALUES if value in text] == []
    if text.startswith("{"):
        one, other = lines_of(text, "request")
        assert (one["request_id"], one["workspace_id"]) == ("[redacted]", "7")
        assert (other["request_id"], other["workspace_id"]) == ("r1", "[redacted]")
        assert (one["level"], one["logger"], one["client"]) == ("info", "http", "127.0.0.1")
        assert one["timestamp"].endswith("Z")


async def test_a_slow_request_says_which_statement_took_how_long(database_url: str) -> None:
    settings = {"LOG_SLOW_REQUEST_SECONDS": "0.3", "LOG_SLOW_STATEMENT_SECONDS": "0.3"}
    environment = environment_of(database_url, **settings)
    async with (
        serving(environment, module="kernel.servers.slow") as (client, process),
        logged(process) as lines,
    ):
        for seconds in ("0", "0.4"):
            assert (await client.get(f"/sleeping/{seconds}")).status_code == 200
    (statement,) = [line for line in lines if line["event"] == "slow statement"]
    (request,) = [line for line in lines if line["event"] == "slow request"]
    assert (statement["statement"], statement["level"]) == ("slow.sleep", "warning")
    assert (request["route"], request["slowest_statement"]) == ("/sleeping/{seconds}", "slow.sleep")
    assert request["statements"] == 1
    for line in (statement["duration_ms"], request["duration_ms"], request["slowest_ms"]):
        assert float(str(line)) >= 400
    assert statement["trace_id"] == request["trace_id"]
