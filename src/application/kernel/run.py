"""Runs a use case in a transaction of its own: every entry point's way in."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Concatenate

import structlog

from application.kernel.ports import Begin, Contention, UnitOfWork
from application.kernel.preconditions import Expected, PreconditionFailed, Watch
from domain.kernel.errors import Stale

log = structlog.get_logger(__name__)

ATTEMPTS = 4
PAUSE_SECONDS = 0.02  # doubled each time, and multiplied by chance so that rivals part


class Runner:
    """One use case, one transaction, committed before an answer can be built.

    A use case that lost to another transaction (a deadlock, a serialization failure) is run again from
    its beginning. Nothing is repeated once a commit was sent: its outcome would be unknown.
    """

    def __init__(self, begin: Begin, *, expected: Expected | None = None, attempts: int = ATTEMPTS) -> None:
        self._begin = begin
        self._expected = expected
        self._attempts = attempts

    def expecting(self, expected: Expected) -> "Runner":
        """One that raises PreconditionFailed where what is to be changed is not as expected."""
        return Runner(self._begin, expected=expected, attempts=self._attempts)

    def within(self, uow: UnitOfWork) -> "Runner":
        """One that works in a transaction which somebody else has begun, and ends."""
        return Runner(lambda: nullcontext(uow), expected=self._expected, attempts=1)

    async def __call__[**P, T](
        self,
        use_case: Callable[Concatenate[UnitOfWork, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        attempt = 1
        while True:
            try:
                if self._expected is not None:
                    return await self._run_expecting(self._expected, use_case, *args, **kwargs)
                async with self._begin() as uow:
                    return await use_case(uow, *args, **kwargs)
            except Contention:
                if attempt >= self._attempts:
                    raise
                name = getattr(use_case, "__name__", repr(use_case))
                log.info("use case met contention and runs again", use_case=name, attempt=attempt)
                await asyncio.sleep(PAUSE_SECONDS * 2**attempt * random.random())  # noqa: S311 (no secret)
                attempt += 1

    async def _run_expecting[**P, T](
        self,
        expected: Expected,
        use_case: Callable[Concatenate[UnitOfWork, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        watch = Watch(expected)
        try:
            async with self._begin() as uow:
                result = await use_case(watch.over(uow), *args, **kwargs)
                watch.ensure_met()
                return result
        except PreconditionFailed:
            raise
        except Stale as lost:  # changed after it was read: the same to whoever has named a version
            raise PreconditionFailed from lost
