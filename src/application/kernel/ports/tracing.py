"""Telling a collector what was done for a request, and for what the request has caused (docs/decisions/0044).

A trace is handed on as a `traceparent` (W3C Trace Context). No span has a value of a parameter, an address or
another personal datum: names, methods, statuses and codes alone.
"""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol


class Serving(Protocol):
    """The span of a request that is being answered."""

    trace_id: str
    """32 hexadecimal digits."""

    traceparent: str
    """What names this span to others, whether it is sampled or not."""

    def end(self, *, route: str | None, status: int, error: str | None) -> None:
        """It was answered by the route with this template; `error` is the name of a defect's class."""


class Calling(Protocol):
    """The span of a call to another party."""

    headers: Mapping[str, str]
    """What continues the trace there, where the protocol has headers."""

    def answered(self, status: int) -> None:
        """It was answered with this HTTP status."""


class Reacting(Protocol):
    """The span of what an event causes."""

    traceparent: str
    """What names this span to others."""

    def fail(self, why: str) -> None:
        """It was not done; `why` is a word of the service's own."""


class Tracing(Protocol):
    """What is under way is kept for each task, and inherited by the tasks that it makes."""

    def serve(self, method: str, headers: Iterable[tuple[bytes, bytes]]) -> Serving:
        """Begins the span of a request, in the trace that its headers name; it ends with `Serving.end`."""

    def calling(self, name: str, attributes: Mapping[str, str]) -> AbstractContextManager[Calling]:
        """A call to another party; an exception in the block makes it a failed one."""

    def reacting(
        self, name: str, traceparent: str | None, attributes: Mapping[str, str]
    ) -> AbstractContextManager[Reacting]:
        """What an event causes, in the trace of `traceparent`; an exception in the block makes it a failed
        one."""

    def statement_ended(self, name: str, seconds: float, error: Exception | None) -> None:
        """A statement of what is under way has ended just now."""

    async def close(self) -> None:
        """Sends what is left, for a bounded time."""
