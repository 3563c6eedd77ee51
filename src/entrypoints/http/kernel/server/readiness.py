"""Whether what the service needs is there, asked at most once a second for all who want to know.

A check is required, and the service is not ready without it; or it only degrades: the service is ready, and
an operator has something to do. What each check found is told to the log, since anybody may ask.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic
from types import MappingProxyType

import structlog

from application.kernel.ports.world import Misconfigured, Unavailable, WorldError
from entrypoints.kernel.states import States

log = structlog.get_logger("readiness")

type Findings = Mapping[str, str | None]
"""Further checks, which only degrade, by their names: why each does not hold, or `None` where it does."""

type Check = Callable[[], Awaitable[bool | Findings | None]]
"""False, or any exception, says that it does not hold."""

_NONE: Mapping[str, Check] = MappingProxyType({})


class NotReady(Unavailable):
    """The service is not available now."""


class State(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Report:
    """What was found, by the names of the checks. What nothing is known of is left out."""

    states: Mapping[str, State]

    @property
    def failed(self) -> list[str]:
        return [name for name, state in self.states.items() if state is State.FAILED]

    @property
    def degraded(self) -> bool:
        return State.DEGRADED in self.states.values()


class Readiness:
    """Several checks at once. An answer counts for `keep_seconds`, and is shared by all who ask meanwhile.

    No check delays the answer for longer than `timeout_seconds`, nor does it the others. One that goes on
    after that, because it cannot be cancelled, is not begun a second time before it has ended.
    """

    def __init__(
        self,
        required: Mapping[str, Check],
        degrading: Mapping[str, Check] = _NONE,
        *,
        timeout_seconds: float = 2.0,
        keep_seconds: float = 1.0,
    ) -> None:
        self._required = required
        self._checks = {**required, **degrading}
        self._timeout = timeout_seconds
        self._keep = keep_seconds
        self._under_way: dict[str, asyncio.Task[bool | Findings | None]] = {}
        self._answer: asyncio.Task[Report] | None = None
        self.last: Report | None = None
        """What was found last, for those who do not ask."""
        self._good_until = 0.0
        self._states = States(log)
        self._misconfigured: dict[str, str] = {}
        self._started = False
        self._draining = False

    async def confirm(self) -> Report:
        """What holds; raises NotReady, with the names of what does not, where that is required."""
        if self._draining:
            raise NotReady("The service is stopping.")
        report = await self.look()
        if self._draining:
            raise NotReady("The service is stopping.")
        if report.failed:
            raise NotReady(f"Not there: {', '.join(map(self._shown, report.failed))}.")
        self._started = True
        return report

    async def look(self) -> Report:
        """What holds and what does not."""
        if self._answer is None or (self._answer.done() and monotonic() >= self._good_until):
            self._answer = asyncio.create_task(self._check_all())
        return await asyncio.shield(self._answer)  # cancelled for one, not for all

    def _shown(self, name: str) -> str:
        """The name, and the reason where it is the operator's to mend, and no secret."""
        reason = self._misconfigured.get(name, "")
        return f"{name} ({reason.removesuffix('.')})" if reason else name

    async def confirm_started(self) -> None:
        """Returns where the service has been ready once, whatever came after that; else raises NotReady."""
        if not self._started:
            await self.confirm()

    def drain(self) -> None:
        """From now on the service is not ready, whatever holds: the process is about to stop."""
        self._draining = True

    async def _check_all(self) -> Report:
        found = await asyncio.gather(*(self._check(name, check) for name, check in self._checks.items()))
        self._good_until = monotonic() + self._keep
        self.last = Report({name: state for states in found for name, state in states.items()})
        return self.last

    async def _check(self, name: str, check: Check) -> Mapping[str, State]:
        if name in self._under_way:
            return self._wrong(name, "The last look has not ended.")
        task = asyncio.ensure_future(check())
        self._under_way[name] = task
        task.add_done_callback(lambda ended: self._ended(name, ended))
        try:
            await asyncio.wait([task], timeout=self._timeout)
        finally:
            task.cancel()  # where it has not ended; this does not wait for that
        if not task.done():
            return self._wrong(name, f"It took longer than {self._timeout:g} seconds.")
        if task.cancelled():
            return self._wrong(name, "It was cancelled.")
        self._misconfigured.pop(name, None)
        if error := task.exception():
            if isinstance(error, Misconfigured):
                self._misconfigured[name] = str(error)
            return self._wrong(name, str(error) or repr(error), cause=_cause(error))
        found = task.result()
        if found is False:
            return self._wrong(name)
        self._states.right(name, "check holds again", check=name)
        further = found if isinstance(found, Mapping) else {}
        return {name: State.OK, **{each: self._found(each, wrong) for each, wrong in further.items()}}

    def _ended(self, name: str, task: asyncio.Task[bool | Findings | None]) -> None:
        del self._under_way[name]
        if not task.cancelled():
            task.exception()  # also of one that is no longer waited for

    def _found(self, name: str, reason: str | None) -> State:
        if reason is None:
            self._states.right(name, "check holds again", check=name)
            return State.OK
        return self._wrong(name, reason)[name]

    def _wrong(self, name: str, reason: str | None = None, **details: str | None) -> Mapping[str, State]:
        required = name in self._required
        told = {key: value for key, value in {"reason": reason, **details}.items() if value is not None}
        self._states.wrong(name, "not ready" if required else "degraded", check=name, **told)
        return {name: State.FAILED if required else State.DEGRADED}


def _cause(error: BaseException) -> str | None:
    if isinstance(error, WorldError) and error.cause:
        return error.cause
    return None if error.__cause__ is None else repr(error.__cause__)
