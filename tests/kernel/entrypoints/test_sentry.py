"""What an error tracker is sent: which exception and where, and nothing that the log would not say."""

import gzip
import io
import json
import logging
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
import structlog

from entrypoints.kernel.logging import configure_logging
from entrypoints.kernel.service import SERVICE_VERSION
from entrypoints.settings import Settings
from kernel.servers.collector import Collector, collecting, hanging

PATIENCE_SECONDS = 60
# In two parts, since the source of this file is reported as well.
PASSWORD, NAME = "hun" + "ter2", "Love" + "lace"
TOKEN, EMAIL = "eyJhbGciOiJFUzI1" + "NiJ9.eyJzdWIi.c2ln", "ada" + "@example.com"
BEARER = "Bearer s3c" + "ret-token"
BEFORE = "done by a " + "library"
SECRETS = (PASSWORD, NAME, TOKEN, EMAIL, BEARER)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(autouse=True)
def _logs_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before, level = structlog.get_config(), logging.root.level
    monkeypatch.setattr(logging.root, "handlers", [])
    yield
    structlog.configure(**before)
    structlog.contextvars.clear_contextvars()
    logging.captureWarnings(capture=False)
    logging.root.setLevel(level)


def started(url: str) -> io.BytesIO:
    """Sets up the logs of a service that reports there, and gives what they are written to."""
    settings = Settings(
        _env_file=None,
        database_url="postgresql://nobody@localhost/nothing",
        sentry_dsn=url.replace("://", "://key@") + "/7",
    )
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding="utf-8")
    configure_logging(settings, stream=stream)
    stream.detach()
    return written


def fail(password: str, token: str, email: str) -> None:
    held = {"name": NAME, "password": password}
    try:
        raise KeyError(held["password"])
    except KeyError as error:
        raise ValueError(f"{email} of {held['name']} may not use {token}") from error


def events_of(collector: Collector) -> list[dict[str, Any]]:
    """The events among the envelopes: https://develop.sentry.dev/sdk/data-model/envelopes/."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not collector.bodies and time.monotonic() < deadline:
        time.sleep(0.01)
    return [json.loads(gzip.decompress(body).splitlines()[2]) for body in collector.bodies]


def test_an_exception_is_reported_without_locals_and_without_values(collector: Collector) -> None:
    written = started(collector.url)
    log = structlog.get_logger("http")
    sentry_sdk.add_breadcrumb(message=BEFORE)
    with structlog.contextvars.bound_contextvars(trace_id="0af7", user_id=EMAIL):
        log.warning("no exception", password=PASSWORD)
        try:
            fail(PASSWORD, TOKEN, EMAIL)
        except ValueError:
            log.exception("request failed", route="/v1/things/{id}", authorization=BEARER)
    (event,) = events_of(collector)
    sent = json.dumps(event)
    assert BEFORE not in sent
    assert [secret for secret in SECRETS if secret in sent] == []
    assert [secret for secret in SECRETS if secret in written.getvalue().decode()] == []
    inner, outer = event["exception"]["values"]
    assert (inner["type"], inner["value"]) == ("KeyError", "…")
    assert (outer["type"], outer["value"]) == ("ValueError", "… may not use …")
    frames = outer["stacktrace"]["frames"]
    assert frames[-1]["function"] == "fail"
    assert [frame for frame in frames if "vars" in frame] == []
    assert event["tags"] == {"logger": "http", "route": "/v1/things/{id}", "trace_id": "0af7"}
    assert event["release"] == SERVICE_VERSION
    assert not event.get("breadcrumbs", {}).get("values")
    assert "user" not in event


def test_a_tracker_that_never_answers_keeps_no_line_from_being_written() -> None:
    with hanging() as url:
        written = started(url)
        for number in range(300):  # more than wait in the library's queue
            try:
                raise LookupError("nothing there")
            except LookupError:
                structlog.get_logger("http").exception("failed", number=number)
        lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [line["number"] for line in lines if line["event"] == "failed"] == [*range(300)]


def test_without_the_library_the_process_ends_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "entrypoints.kernel.telemetry.sentry", raising=False)
    monkeypatch.setitem(sys.modules, "sentry_sdk", None)
    with pytest.raises(SystemExit, match="Install the extra `sentry`"):
        started("http://127.0.0.1:9")


@pytest.mark.parametrize(
    "dsn", ["key@host/7", "https://host/7", "https://key@host/project", "https://key@host"]
)
def test_a_dsn_that_is_none_is_refused_and_not_repeated(dsn: str) -> None:
    with pytest.raises(ValueError, match="https://key@host/project") as refused:
        Settings(_env_file=None, database_url="postgresql://nobody@localhost/nothing", sentry_dsn=dsn)
    assert "input_value" not in str(refused.value)
