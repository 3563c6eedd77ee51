"""The logs of every entry point: one line an event, JSON or readable, without secrets.

`structlog` writes straight to bytes. What libraries say through the standard library's `logging` takes the
same way, so there is one format and one place that removes secrets.
"""

import json
import logging
import sys
from typing import Any, TextIO, override

import orjson
import structlog
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.processors import ExceptionRenderer, TimeStamper, format_exc_info
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor, WrappedLogger

from entrypoints.kernel.redaction import redact
from entrypoints.kernel.settings import KernelSettings


def configure_logging(settings: KernelSettings, *, stream: TextIO | None = None) -> None:
    """Sets up the logs of this process, on standard output or on `stream`; each entry point does it once."""
    stream = stream or sys.stdout
    as_json = settings.log_format == "json" or (
        settings.log_format == "auto" and not (settings.environment == "development" and stream.isatty())
    )
    structlog.configure(
        processors=_as_json() if as_json else _for_people(colors=stream.isatty()),
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        logger_factory=structlog.BytesLoggerFactory(stream.buffer),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=settings.log_level.upper(), handlers=[ToStructlog()], force=True)
    logging.captureWarnings(capture=True)
    for chatty in ("alembic.runtime.plugins", "httpx2"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.root.level))


def _as_json() -> list[Processor]:
    # The transformer's default shows the local variables of every frame, and with them passwords and tokens.
    exceptions = ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
    return [*_FIRST, exceptions, redact, _to_json]


def _for_people(*, colors: bool) -> list[Processor]:
    renderer = ConsoleRenderer(colors=colors, exception_formatter=plain_traceback)

    def to_text(logger: WrappedLogger, method: str, event: EventDict) -> bytes:
        return renderer(logger, method, event).encode("utf-8", "backslashreplace")

    return [*_FIRST, format_exc_info, redact, to_text]


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
