"""Runs a use case in a transaction of its own: every entry point's way in."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Concatenate

import structlog

from application.ports import Begin, Contention, UnitOfWork

log = structlog.get_logger(__name__)

ATTEMPTS = 4
PAUSE_SECONDS = 0.02  # doubled each time, and multiplied by chance so that rivals part


class Runner:
    """One use case, one transaction, committed before an answer can be built.

    A use case that lost to another transaction (a deadlock, a serialization failure) is run again from
    its beginning. Nothing is repeated once a commit was sent: its outcome would be unknown.
    """

    def __init__(self, begin: Begin) -> None:
        self._begin = begin

    async def __call__[**P, T](
        self,
        use_case: Callable[Concatenate[UnitOfWork, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        attempt = 1
        while True:
            try:
                async with self._begin() as uow:
                    return await use_case(uow, *args, **kwargs)
            except Contention:
                if attempt == ATTEMPTS:
                    raise
                name = getattr(use_case, "__name__", repr(use_case))
                log.info("use case met contention and runs again", use_case=name, attempt=attempt)
                await asyncio.sleep(PAUSE_SECONDS * 2**attempt * random.random())  # noqa: S311 (no secret)
                attempt += 1
