"""From where a change comes: by which way in, and who is at the other end of it.

An entry point says it once for all that it then calls, as it does for what stands in each line of its log. A
use case neither takes it nor passes it on: it decides nothing, and is only written down.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Channel(StrEnum):
    """The ways in."""

    HTTP = "http"
    WORKER = "worker"
    CLI = "cli"
    SERVICE = "service"
    """The service by itself, such as when it is time for another signing key."""


@dataclass(frozen=True, slots=True)
class Origin:
    """`address` is the client's network address, `agent` what it calls itself, `request_id` as in the log.

    `traceparent` names the trace that it is part of (W3C Trace Context), where there is one.
    """

    channel: Channel = Channel.SERVICE
    address: str = ""
    agent: str = ""
    request_id: str = ""
    traceparent: str | None = None


_origin: Final[ContextVar[Callable[[], Origin]]] = ContextVar("origin", default=Origin)


def come_from(origin: Callable[[], Origin]) -> None:
    """For all that this task does from now on, and the tasks that it makes. Called when it is asked for."""
    _origin.set(origin)


@contextmanager
def coming_from(origin: Callable[[], Origin]) -> Iterator[None]:
    """The same for a block."""
    token = _origin.set(origin)
    try:
        yield
    finally:
        _origin.reset(token)


def present_origin() -> Origin:
    """Where what is done at this moment comes from."""
    return _origin.get()()
