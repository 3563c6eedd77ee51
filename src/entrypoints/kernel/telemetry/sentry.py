"""Errors for Sentry, or what understands its protocol: each exception that is logged, by the same redaction.

Imported where SENTRY_DSN is set, since the library belongs to the extra `sentry`. None of its integrations is
on: they send local variables, headers, command lines and what was logged before (docs/decisions/0045).
"""

import atexit
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any, cast

import sentry_sdk
from sentry_sdk.types import Event, Hint
from structlog.typing import EventDict, Processor, WrappedLogger

from entrypoints.kernel.redaction import redact
from entrypoints.kernel.service import SERVICE_VERSION
from entrypoints.kernel.settings import KernelSettings
from entrypoints.kernel.telemetry.exceptions import LEFT_OUT, chain_of, message_of

END_SECONDS = 2.0
"""How long the last errors may take to leave when the process ends."""

# By what errors are searched; none of them is a value of a request.
_TAGS = (
    *("logger", "method", "route", "statement", "sqlstate", "event_type", "lane", "job"),
    *("trace_id", "request_id"),
)


def reporting(settings: KernelSettings) -> Processor:
    """What has to see each event of the log, before its exception is rendered.

    What is reported waits in a bounded queue, and leaves by a thread of the library's own.
    """
    client = _client(settings.sentry_dsn.get_secret_value(), settings.environment)

    def report(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        error = _exception_of(event.get("exc_info"))
        if error is not None:
            with sentry_sdk.new_scope() as scope:
                scope.set_client(client)
                scope.set_level("warning" if event.get("level") == "warning" else "error")
                for name in _TAGS:
                    if event.get(name) is not None:
                        scope.set_tag(name, str(event[name]))
                scope.set_extra("event", str(event.get("event")))
                scope.capture_exception(error)
        return event

    return report


@cache
def _client(dsn: str, environment: str) -> sentry_sdk.Client:
    """One for the process, which sets up its logs more than once."""
    client = sentry_sdk.Client(
        dsn=dsn,
        environment=environment,
        release=SERVICE_VERSION,  # with the name and an @ in front it would pass for an address
        before_send=_without_values,
        default_integrations=False,
        auto_enabling_integrations=False,
        include_local_variables=False,
        max_breadcrumbs=0,
        auto_session_tracking=False,
        send_client_reports=False,
    )
    atexit.register(client.close, timeout=END_SECONDS)
    return client


def _exception_of(info: object) -> BaseException | None:
    if info is True:
        return sys.exception()
    if isinstance(info, tuple):
        return cast("BaseException | None", info[1])
    return info if isinstance(info, BaseException) else None


def _without_values(event: Event, hint: Hint) -> Event:
    """A `before_send`: nothing that is secret, and of messages what the log has of them."""
    _, error, _ = hint.get("exc_info") or (None, None, None)
    messages = {} if error is None else {_said(link): message_of(link) for link, _ in chain_of(error)}
    exceptions = cast("Mapping[str, Any]", event.get("exception", {})).get("values", ())
    for each in exceptions:
        each["value"] = messages.get(each.get("value"), LEFT_OUT)
    return cast("Event", redact(None, "", cast("EventDict", event)))


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 (then the library has nothing of it, either)
        return ""
