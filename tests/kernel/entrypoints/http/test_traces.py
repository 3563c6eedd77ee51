"""Traces as a collector gets them: from the request to what the worker does, and without any value."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient
from pydantic import SecretStr
from starlette.routing import BaseRoute
from structlog.testing import capture_logs

from adapters.postgres.kernel.connection.database import Database
from adapters.tokens.oidc import OidcIssuer
from adapters.tokens.providers import Provider
from adapters.tracing.otlp import OtlpTracing
from application.kernel.ports.world import Unavailable
from entrypoints.http.kernel.routing.routes import Route
from entrypoints.kernel.container import close
from entrypoints.kernel.service import SERVICE_NAME
from entrypoints.settings import Settings
from kernel.servers.collector import Collector, collecting, hanging
from kernel.servers.mail_server import MailServer
from kernel.servers.serving import environment_of, logged, serving
from kernel.servers.workers import a_worker
from kernel.servers.workers import logged as logged_by
from kernel.specimen.service import Container, create_app

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, NOT_SAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"
SERVER, CLIENT, CONSUMER = 2, 3, 5  # the numbers of OTLP's kinds

PATIENCE_SECONDS = 60
SECRETS = ("ada@example.com", "ada%40example.com", "Lovelace", "correct horse", "10.9.8.7")


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():  # noqa: ASYNC110 (it comes about in another thread)
            await asyncio.sleep(0.02)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture
async def traced(settings: Settings, collector: Collector) -> tuple[FastAPI, Container]:
    """The service that sends its traces there; they have left once its container is closed."""
    changed = settings.model_copy(update={"otel_exporter_otlp_endpoint": collector.url})
    container = Container(settings=changed)
    return create_app(container), container


def client_of(app: FastAPI) -> AsyncClient:
    transport = ASGITransport(app=app, raise_app_exceptions=False)
    return AsyncClient(transport=transport, base_url="http://localhost:8000")


def ours(routes: list[BaseRoute]) -> list[tuple[str, Route]]:
    return [(method, route) for route in routes if isinstance(route, Route) for method in route.methods or ()]


async def test_every_route_has_its_template_and_the_log_its_trace(
    traced: tuple[FastAPI, Container], collector: Collector
) -> None:
    app, container = traced
    routes = [(method, route) for method, route in ours(app.routes) if "/health/" not in route.path]
    last = ""
    with capture_logs() as logs:
        async with client_of(app) as client:
            for method, route in routes:
                path = re.sub(r"{[^}]*}", lambda _: str(uuid4()), route.path)
                answer = await client.request(method, path)
                last = answer.headers["traceresponse"]
                if answer.status_code >= 400:
                    assert answer.json()["trace_id"] == last.split("-")[1]
            await client.get("/nowhere/ada@example.com")
            await client.request("ADA", "/nowhere")
            await client.get("/health/ready")
    await close(container)
    lines = {line["trace_id"]: line for line in logs if line["event"] == "request"}
    spans = {span.trace_id: span for span in collector.spans if span.kind == SERVER}
    assert len(routes) > 30
    assert lines.keys() == spans.keys()
    for trace, span in spans.items():
        line = lines[trace]
        method = line["method"] if line["method"] != "ADA" else "_OTHER"
        assert span.name == (f"{method} {line['route']}" if line["route"] else method)
        assert span.attributes["http.response.status_code"] == line["status"]
    assert {(method, route.path) for method, route in routes} == {
        (span.attributes["http.request.method"], span.attributes["http.route"])
        for span in spans.values()
        if "http.route" in span.attributes
    }
    _, trace_id, span_id, flags = last.split("-")
    assert spans[trace_id].span_id == span_id
    assert int(flags, 16) & 1  # sampled
    assert {span.service for span in spans.values()} == {SERVICE_NAME}


async def test_a_statement_is_a_span_of_its_request_also_where_it_fails(
    traced: tuple[FastAPI, Container], collector: Collector, database_url: str
) -> None:
    app, container = traced
    database: Database = container.database()

    @app.get("/locked")
    async def locked() -> None:
        async with database.connection() as connection:
            await connection.execute("SELECT 1/0")

    async with client_of(app) as client:
        assert (await client.get("/locked", headers={"traceparent": SAMPLED})).status_code == 500
        assert (await client.get("/locked", headers={"traceparent": NOT_SAMPLED})).status_code == 500
    await close(container)
    request, statement = collector.named("GET /locked"), collector.named("other")
    assert len(collector.spans) == 2
    assert (request.trace_id, request.parent_id) == (TRACE, PARENT)
    assert (request.failed, request.attributes["error.type"]) == (True, "DivisionByZeroError")
    assert (statement.trace_id, statement.parent_id, statement.kind) == (TRACE, request.span_id, CLIENT)
    assert (statement.failed, statement.attributes["db.response.status_code"]) == (True, "22012")


async def test_a_provider_is_asked_within_the_trace(collector: Collector) -> None:
    tracing = OtlpTracing(collector.url, service={"service.name": "shop"})
    provider = Provider(issuer=collector.url, preset="rfc9068", audiences=frozenset({"shop"}))
    issuer = OidcIssuer(provider, allow_loopback_http=True, tracing=tracing)
    request = tracing.serve("GET", [(b"traceparent", SAMPLED.encode()), (b"tracestate", b"vendor=1")])
    with pytest.raises(Unavailable):
        await issuer.discovery.keys()
    request.end(route="/v1/me", status=503, error=None)
    await issuer.close()
    await tracing.close()
    asked = [span for span in collector.spans if span.name == "GET"]
    assert {span.trace_id for span in asked} == {TRACE}
    assert [headers["traceparent"] for headers in collector.asked] == [
        f"00-{TRACE}-{span.span_id}-01" for span in asked
    ]
    assert {headers["tracestate"] for headers in collector.asked} == {"vendor=1"}
    assert asked[0].attributes["http.response.status_code"] == 404
    assert collector.url.encode() not in b"".join(collector.bodies)


async def test_a_trace_goes_on_in_what_the_worker_does_and_holds_no_value(
    empty_database_url: str, collector: Collector
) -> None:
    exporting = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}
    mails = MailServer()
    await mails.start()
    person = {"email": "ada@example.com", "password": "correct horse battery", "display_name": "Ada Lovelace"}
    environment = environment_of(empty_database_url, **exporting, TRUSTED_PROXIES="127.0.0.1")
    async with (
        serving(environment) as (client, process),
        logged(process) as lines,
        a_worker(empty_database_url, **mails.environment(), **exporting) as worker,
    ):
        answer = await client.post(
            "/v1/auth/register",
            json=person,
            headers={"traceparent": SAMPLED, "x-forwarded-for": "10.9.8.7", "user-agent": "ada@example.com"},
        )
        assert answer.status_code < 300, answer.text
        delivered = await logged_by(worker, "delivered")
        wanted = {"POST /v1/auth/register", "SMTP send", "react to UserRegistered"}
        await until(lambda: wanted <= {span.name for span in collector.spans})
    await mails.stop()
    assert mails.recipients == ["ada@example.com"]
    spans = [span for span in collector.spans if span.trace_id == TRACE]
    request = collector.named("POST /v1/auth/register")
    assert answer.headers["traceresponse"] == f"00-{TRACE}-{request.span_id}-01"
    reactions = [span for span in spans if span.name == "react to UserRegistered"]
    sent = collector.named("SMTP send")
    assert {span.parent_id for span in reactions} == {request.span_id}
    assert {span.kind for span in reactions} == {CONSUMER}
    assert sent.parent_id in {span.span_id for span in reactions}
    added = collector.named("users.add")
    assert (added.parent_id, added.attributes["db.system.name"]) == (request.span_id, "postgresql")
    (line,) = [line for line in lines if line["event"] == "request" and line["route"] == "/v1/auth/register"]
    assert (line["trace_id"], delivered["trace_id"]) == (TRACE, TRACE)
    everything = b"".join(collector.bodies)
    assert [secret for secret in SECRETS if secret.encode() in everything] == []


@pytest.mark.parametrize("collector_is", ["hanging", "away"])
async def test_a_collector_that_takes_nothing_holds_up_no_request_and_no_end(
    database_url: str, collector_is: str
) -> None:
    with hanging() as url:
        away = "http://127.0.0.1:9"  # the port of `discard`, where nothing listens
        environment = environment_of(
            database_url,
            OTEL_EXPORTER_OTLP_ENDPOINT=away if collector_is == "away" else url,
            OTEL_BSP_SCHEDULE_DELAY="10",
            OTEL_BSP_MAX_QUEUE_SIZE="64",
            OTEL_BSP_MAX_EXPORT_BATCH_SIZE="32",
        )
        async with serving(environment) as (client, process), logged(process) as lines:
            for _ in range(200):
                assert (await client.get("/v1/me")).status_code == 401
            process.terminate()
            async with asyncio.timeout(PATIENCE_SECONDS):
                assert await process.wait() == 0
    slow = [line for line in lines if line["event"] == "slow request"]
    assert slow == []
    assert any("Queue full" in str(line["event"]) or "export" in str(line["event"]) for line in lines)
    if collector_is == "hanging":  # its thread is left behind, and not waited for
        assert any("does not take the last spans" in str(line["event"]) for line in lines)


def test_without_a_collector_nothing_of_the_sdk_is_imported(database_url: str) -> None:
    code = (
        "import json, sys; from kernel.servers.specimen import create_app; create_app();"
        "from entrypoints import worker;"
        "print(json.dumps([m for m in sys.modules if m.partition('.')[0] in ('google', 'requests')"
        " or m.startswith(('opentelemetry.sdk', 'opentelemetry.exporter', 'sentry_sdk'))]))"
    )
    environment = environment_of(database_url) | {"OTEL_EXPORTER_OTLP_ENDPOINT": "", "SENTRY_DSN": ""}
    ran = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_SECONDS,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1]) == []


@pytest.mark.parametrize("endpoint", ["collector:4318", "grpc://collector:4317", "http://", "http://a b"])
def test_an_address_that_is_none_is_refused_with_the_remedy(endpoint: str) -> None:
    with pytest.raises(ValueError, match=r"Write it like http://collector:4318\."):
        Settings(
            _env_file=None,
            database_url=SecretStr("postgresql://nobody@localhost/nothing"),
            otel_exporter_otlp_endpoint=endpoint,
        )
