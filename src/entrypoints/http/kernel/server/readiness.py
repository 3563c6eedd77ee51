"""Whether what the service needs is there, asked at most once a second for all who want to know."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic

import structlog

from application.kernel.ports.world import Misconfigured, Unavailable

log = structlog.get_logger("readiness")

type Check = Callable[[], Awaitable[bool | None]]
"""False, or any exception, says that it does not hold."""


class NotReady(Unavailable):
    """The service is not available now."""


class Readiness:
    """Several checks at once. An answer counts for `keep_seconds`, and is shared by all who ask meanwhile."""

    def __init__(
        self, checks: Mapping[str, Check], *, timeout_seconds: float = 2.0, keep_seconds: float = 1.0
    ) -> None:
        self._checks = checks
        self._timeout = timeout_seconds
        self._keep = keep_seconds
        self._answer: asyncio.Task[list[str]] | None = None
        self._good_until = 0.0

    async def confirm(self) -> list[str]:
        """The names of all checks, when all hold; raises NotReady with the names of those that do not."""
        if self._answer is None or (self._answer.done() and monotonic() >= self._good_until):
            self._answer = asyncio.create_task(self._check_all())
        failed = await asyncio.shield(self._answer)  # cancelled for one, not for all
        if failed:
            raise NotReady(f"Not there: {', '.join(failed)}.")
        return list(self._checks)

    async def _check_all(self) -> list[str]:
        failed = await asyncio.gather(*(self._failed(name, check) for name, check in self._checks.items()))
        self._good_until = monotonic() + self._keep
        return [*filter(None, failed)]

    async def _failed(self, name: str, check: Check) -> str | None:
        """What to say of the check, where it does not hold."""
        try:
            async with asyncio.timeout(self._timeout):
                holds = await check() is not False
        except Misconfigured as error:  # the operator's to mend, and no secret
            log.warning("not ready", check=name, reason=str(error))
            return f"{name} ({str(error).removesuffix('.')})"
        except Exception as error:  # noqa: BLE001 (whatever it is, the check does not hold)
            log.warning("not ready", check=name, reason=repr(error))
            return name
        if not holds:
            log.warning("not ready", check=name)
        return None if holds else name
