"""The logs of every entry point: one line an event, JSON or readable, without secrets.

`structlog` writes straight to bytes. What libraries say through the standard library's `logging` takes the
same way, so there is one format and one place that removes secrets.
"""

import json
import logging
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, BinaryIO, TextIO, override
from uuid import UUID

import orjson
import structlog
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.processors import ExceptionRenderer, TimeStamper
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from entrypoints.kernel.redaction import clean_text, redact
from entrypoints.kernel.settings import KernelSettings
from entrypoints.kernel.telemetry.exceptions import as_text, described
from entrypoints.kernel.telemetry.output import output_on

log = structlog.get_logger("http")


def configure_logging(settings: KernelSettings, *, stream: TextIO | None = None) -> None:
    """Sets up the logs of this process, on standard output or on `stream`; each entry point does it once."""
    stream = stream or sys.stdout
    as_json = settings.log_format == "json" or (
        settings.log_format == "auto" and not (settings.environment == "development" and stream.isatty())
    )
    first = [*_FIRST, *_reporting(settings)]
    output = output_on(stream.buffer)
    writes_requests = settings.log_level in {"debug", "info"}
    structlog.configure(
        processors=(
            _as_json(first, output, writes_requests)
            if as_json
            else _for_people(first, colors=stream.isatty())
        ),
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        logger_factory=structlog.BytesLoggerFactory(output),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=settings.log_level.upper(), handlers=[ToStructlog()], force=True)
    logging.captureWarnings(capture=True)
    for chatty in ("alembic.runtime.plugins", "httpx2"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.root.level))
    # Each retry of what an error tracker is sent, for each error, while the tracker is away.
    logging.getLogger("urllib3").setLevel(max(logging.ERROR, logging.root.level))


def log_request(fields: dict[str, Any], given: Iterable[str]) -> None:
    """The line of a request, which is encoded in one go where the logs are JSON.

    Of the `fields` only those that are `given` by the client are looked through for secrets; the others must
    be the service's own: numbers, ids, and text from its code. No key may be one that `redact` takes for
    secret.
    """
    for name in given:
        value = fields[name]
        if value is not None:
            fields[name] = clean_text(value)
    processors = structlog.get_config()["processors"]
    if isinstance(processors, _Json) and processors and processors[-1] is _to_json:
        if processors.writes_requests:
            fields["timestamp"] = datetime.now(UTC)
            processors.write(orjson.dumps(_REQUEST | fields, default=str, option=orjson.OPT_UTC_Z))
    else:  # for people, or what a test or a service has configured
        texts = {name: str(value) for name, value in fields.items() if isinstance(value, UUID)}
        log.info("request", **fields | texts)


_REQUEST = {"event": "request", "level": "info", "logger": "http"}


class _Json(list[Processor]):
    """The processors of logs in JSON, and what writes a line that needs none of them."""

    def __init__(
        self, processors: Iterable[Processor], write: Callable[[bytes], None], *, writes_requests: bool
    ) -> None:
        super().__init__(processors)
        self.write = write
        self.writes_requests = writes_requests


def _reporting(settings: KernelSettings) -> Iterable[Processor]:
    """What hands exceptions to an error tracker, if there is one; ends the process where it cannot."""
    if not settings.sentry_dsn.get_secret_value():
        return
    try:
        # Not at the top: the library is an extra, and takes a while to import.
        from entrypoints.kernel.telemetry.sentry import reporting  # noqa: PLC0415
    except ModuleNotFoundError as missing:
        sys.exit(
            f"SENTRY_DSN is set, and {missing.name} is not installed. Install the extra `sentry` "
            "(uv pip install -r pyproject.toml --extra sentry), or remove SENTRY_DSN."
        )
    yield reporting(settings)


def _as_json(first: list[Processor], output: BinaryIO, writes_requests: bool) -> list[Processor]:
    write = structlog.BytesLogger(output).msg
    # Neither local variables nor values in messages: with either come passwords, tokens and rows.
    processors: list[Processor] = [*first, ExceptionRenderer(described), redact, _to_json]
    return _Json(processors, write, writes_requests=writes_requests)


def _for_people(first: list[Processor], *, colors: bool) -> list[Processor]:
    renderer = ConsoleRenderer(colors=colors, exception_formatter=plain_traceback)

    def to_text(logger: WrappedLogger, method: str, event: EventDict) -> bytes:
        return renderer(logger, method, event).encode("utf-8", "backslashreplace")

    return [*first, ExceptionRenderer(_text_of), redact, to_text]


def _text_of(exc_info: ExcInfo) -> str:
    return as_text(exc_info[1])


def _add_logger_name(logger: WrappedLogger, _: str, event: EventDict) -> EventDict:
    if "logger" not in event:
        event["logger"] = logger.name
    return event


_FIRST: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    _add_logger_name,
    TimeStamper(fmt="iso", utc=True),
]


def _to_json(_: WrappedLogger, __: str, event: EventDict) -> bytes:
    try:
        return orjson.dumps(event)
    except TypeError:
        # A number above 64 bits, or half a surrogate pair: rare, and no reason to lose the line.
        return json.dumps(event, default=str).encode()


class ToStructlog(logging.Handler):
    """Hands on what a library logs; its own name and level stay."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        try:
            fields: dict[str, Any] = {"logger": record.name}
            if record.exc_info:
                fields["exc_info"] = record.exc_info
            structlog.get_logger().log(_level(record.levelno), record.getMessage(), **fields)
        except Exception:  # noqa: BLE001 (a bad format string must not break what logs it; Handler's own rule)
            self.handleError(record)


def _level(number: int) -> int:
    """One of structlog's five levels, the next below: libraries make up levels of their own."""
    return max(10, min(50, number // 10 * 10))
