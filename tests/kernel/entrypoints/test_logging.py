"""The logs as they are written: one line an event, with the context it belongs to."""

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any, override
from uuid import UUID

import pytest
import structlog

from entrypoints.kernel.logging import configure_logging, log_request
from entrypoints.settings import Settings

PRODUCTION = {
    "auth_secret": "Wm9vbGVuIHJpdmVycyBydW4gZGVlcCBhdCBuaWdodA",
    "public_url": "https://api.example.com",
    "trusted_proxies": "none",
    "mailer": "smtp",
    "smtp_host": "localhost",
    "mail_from": "noreply@example.com",
}

type Start = Callable[..., "Written"]


class Written(io.TextIOWrapper):
    """A stream that remembers what was written, and is a terminal or not."""

    def __init__(self, *, terminal: bool) -> None:
        self.memory = io.BytesIO()
        super().__init__(self.memory, encoding="utf-8")
        self.terminal = terminal

    @override
    def isatty(self) -> bool:
        return self.terminal

    @property
    def text(self) -> str:
        return self.memory.getvalue().decode()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Sets up the logs for one test; pytest's own come back afterwards."""
    before, level = structlog.get_config(), logging.root.level
    monkeypatch.setattr(logging.root, "handlers", [])

    def configure(*, terminal: bool = False, **changes: Any) -> Written:
        settings = Settings(_env_file=None, database_url="postgresql://nobody@localhost/nothing", **changes)
        written = Written(terminal=terminal)
        configure_logging(settings, stream=written)
        return written

    yield configure
    structlog.configure(**before)
    structlog.contextvars.clear_contextvars()
    logging.captureWarnings(capture=False)
    logging.root.setLevel(level)


def test_an_event_is_one_line_of_json(start: Start) -> None:
    written = start()
    structlog.get_logger("http").info(
        "request", status=200, route="/v1/specimen_orders/{id}", user_id=UUID(int=1)
    )
    (line,) = written.lines
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "request",
        "level": "info",
        "logger": "http",
        "status": 200,
        "route": "/v1/specimen_orders/{id}",
        "user_id": "00000000-0000-0000-0000-000000000001",
    }


def test_what_is_bound_stands_on_every_line_inside(start: Start) -> None:
    written = start()
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        structlog.get_logger("http").info("inside")
        logging.getLogger("asyncio").warning("inside, by a library")
    structlog.get_logger("http").info("outside")
    assert [line.get("request_id") for line in written.lines] == ["r-1", "r-1", None]


def test_an_exception_has_its_frames_and_none_of_their_variables(start: Start) -> None:
    written = start()
    try:
        held = "hun" + "ter2"  # noqa: F841 (what must not be written)
        raise LookupError("nothing there")
    except LookupError:
        structlog.get_logger("http").exception("failed")
    (line,) = written.lines
    (raised,) = line["exception"]
    assert (raised["exc_type"], raised["exc_value"]) == ("LookupError", "nothing there")
    assert raised["frames"][-1]["name"] == "test_an_exception_has_its_frames_and_none_of_their_variables"
    assert "hunter2" not in written.text


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_secret_is_written_in_no_format(start: Start, log_format: str) -> None:
    written = start(log_format=log_format)
    log = structlog.get_logger("http")
    with structlog.contextvars.bound_contextvars(authorization="Bearer s3cret-token"):
        log.info("login of ada@example.com", password="hunter2", body={"token": "s3cret"})
        try:
            raise ValueError("postgresql://ada:s3cret@db/shop refused ada@example.com")
        except ValueError:
            log.exception("failed")
            logging.getLogger("uvicorn.error").exception("failed for %s", "ada@example.com")
    assert written.text.count("failed") == 2
    for secret in ("hunter2", "s3cret", "ada@"):
        assert secret not in written.text


@pytest.mark.parametrize("library", ["uvicorn.error", "asyncio", "alembic.runtime"])
def test_libraries_write_the_same_way_under_their_own_name(start: Start, library: str) -> None:
    written = start()
    logging.getLogger(library).warning("slow: %s", "very")
    (line,) = written.lines
    assert (line["logger"], line["level"], line["event"]) == (library, "warning", "slow: very")


def test_a_level_that_a_library_made_up_becomes_the_one_below(start: Start) -> None:
    written = start(log_level="debug")
    for level in (5, 15, 25, 60):
        logging.getLogger("library").setLevel(1)
        logging.getLogger("library").log(level, "something")
    assert [line["level"] for line in written.lines] == ["debug", "debug", "info", "critical"]


def test_a_library_s_broken_format_breaks_nobody(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    written = start()
    monkeypatch.setattr(logging, "raiseExceptions", False)
    logging.getLogger("library").warning("%d", "no number")
    logging.getLogger("library").warning("next")
    assert [line["event"] for line in written.lines] == ["next"]


def test_a_warning_of_python_is_logged(start: Start) -> None:
    written = start()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old ways", DeprecationWarning, stacklevel=1)
    # `catch_warnings` puts back what showed warnings before, which was our way.
    (line,) = written.lines
    assert line["logger"] == "py.warnings"
    assert "DeprecationWarning: old ways" in line["event"]


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_what_is_less_serious_than_the_level_is_not_written(start: Start, level: str) -> None:
    written = start(log_level=level)
    levels = ["debug", "info", "warning", "error"]
    for each in levels:
        getattr(structlog.get_logger("http"), each)("ours")
        getattr(logging.getLogger("library"), each)("theirs")
    expected = levels[levels.index(level) :]
    assert [line["level"] for line in written.lines] == [each for each in expected for _ in range(2)]


@pytest.mark.parametrize(
    ("log_format", "environment", "terminal", "as_json"),
    [
        ("auto", "development", True, False),
        ("auto", "development", False, True),
        ("auto", "production", True, True),
        ("console", "production", False, False),
        ("json", "development", True, True),
    ],
)
def test_people_in_a_terminal_read_no_json(
    start: Start, log_format: str, environment: str, *, terminal: bool, as_json: bool
) -> None:
    more = PRODUCTION if environment == "production" else {}
    written = start(terminal=terminal, log_format=log_format, environment=environment, **more)
    structlog.get_logger("http").info("request", status=200)
    assert written.text.startswith("{") == as_json
    assert ("\x1b[" in written.text) == (terminal and not as_json)
    assert "request" in written.text


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize("value", [2**80, "half a pair: \ud800", b"\xff", object, {1: {2: 3}}], ids=repr)
def test_no_value_keeps_a_line_from_being_written(start: Start, log_format: str, value: object) -> None:
    written = start(log_format=log_format)
    structlog.get_logger("http").info(f"odd {value}", value=value)
    assert written.text.count("\n") == 1
    assert "odd" in written.text


def test_the_logs_go_to_standard_output_unless_told_otherwise(
    start: Start, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    start()
    configure_logging(Settings(_env_file=None, database_url="postgresql://nobody@localhost/nothing"))
    structlog.get_logger("http").info("here")
    assert json.loads(capsysbinary.readouterr().out)["event"] == "here"


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_what_a_client_chose_of_its_request_is_looked_through_for_secrets(
    start: Start, log_format: str
) -> None:
    written = start(log_format=log_format)
    fields = {"method": "GET", "route": "/v1/me", "request_id": "ada@example.com", "status": 200}
    log_request(fields, ("method", "request_id"))
    assert "/v1/me" in written.text
    assert "ada@example.com" not in written.text


def test_a_request_has_no_line_where_the_level_leaves_it_out(start: Start) -> None:
    written = start(log_format="json", log_level="warning")
    log_request({"method": "GET", "status": 200}, ())
    assert written.text == ""
