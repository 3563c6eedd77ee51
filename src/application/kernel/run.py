"""Runs a use case in a transaction of its own: every entry point's way in."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Concatenate, cast

import structlog

from application.kernel.ports.callers import Caller
from application.kernel.ports.world import Contention
from application.kernel.preconditions import Expected, PreconditionFailed, Watch
from application.kernel.queries import KernelQueries
from application.kernel.unit_of_work import Asking, Begin
from domain.kernel.errors import Stale

log = structlog.get_logger(__name__)

TRIES = 4
PAUSE_SECONDS = 0.02  # doubled each time, and multiplied by chance so that rivals part


class Runner[U: Asking[KernelQueries]]:
    """One use case, one transaction, committed before an answer can be built.

    A use case that lost to another transaction (a deadlock, a serialization failure) is run again from
    its beginning. Nothing is repeated once a commit was sent: its outcome would be unknown.

    A service's runner runs the kernel's use cases as well as its own; a runner of `KernelUnitOfWork` runs
    the kernel's alone.
    """

    def __init__(self, begin: Begin[U], *, expected: Expected | None = None, tries: int = TRIES) -> None:
        self._begin = begin
        self._expected = expected
        self._tries = tries

    def expecting(self, expected: Expected) -> "Runner[U]":
        """A runner that raises PreconditionFailed where what is to be changed is not as expected."""
        return Runner(self._begin, expected=expected, tries=self._tries)

    async def __call__[**P, T](
        self, use_case: Callable[Concatenate[U, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        async def work() -> T:
            if self._expected is None:
                async with self._begin() as uow:
                    return await use_case(uow, *args, **kwargs)
            async with self.transaction() as (uow, _):
                return await use_case(uow, *args, **kwargs)

        return await self.repeating(work, name=_name(use_case))

    async def showing[Q: KernelQueries, **P, T, V](
        self: "Runner[Asking[Q]]",
        view: Callable[[Q, Caller, T], Awaitable[V]],
        use_case: Callable[Concatenate[U, Caller, P], Awaitable[T]],
        actor: Caller,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> V:
        """What `view` reads of the use case's result, in the transaction that has done the work.

        So it shows what the actor would read now, and nothing that another transaction has changed since
        (docs/decisions/0024). What the actor may not see is not changed either: its NotFound ends the
        transaction. Where the result has all that is shown, call the runner itself: that reads nothing.
        """
        # To mypy `self` is here no longer the runner of U, only of what has this `ask`.
        work = cast("Callable[Concatenate[Asking[Q], Caller, P], Awaitable[T]]", use_case)

        async def work_and_look() -> V:
            async with self.transaction() as (uow, watch):
                result = await work(uow, actor, *args, **kwargs)
                if watch is not None:
                    watch.ensure_met()  # before the change is sent, which what is read has to see
                return await view(uow.ask, actor, result)

        return await self.repeating(work_and_look, name=_name(use_case))

    async def repeating[T](self, work: Callable[[], Awaitable[T]], *, name: str) -> T:
        """What `work` returns, which opens a `transaction` of its own each time it is called."""
        number = 1
        while True:
            try:
                return await work()
            except Contention:
                if number >= self._tries:
                    raise
                await _pause(name, number)
                number += 1

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[tuple[U, Watch | None]]:
        """A transaction for more than one use case, which is committed if what is expected was met.

        Raises PreconditionFailed at its end otherwise. The watch, where something is expected, can waive it.
        """
        if self._expected is None:
            async with self._begin() as uow:
                yield uow, None
            return
        watch = Watch(self._expected)
        try:
            async with self._begin(watch.look) as uow:
                yield uow, watch
                watch.ensure_met()
        except PreconditionFailed:
            raise
        except Stale as lost:  # changed after it was read: the same to a caller who has named a version
            raise PreconditionFailed from lost


def within[U: Asking[KernelQueries]](uow: U) -> Runner[U]:
    """A runner whose use cases take part in an open transaction, which its opener ends."""
    return Runner(lambda _=None, /: nullcontext(uow), tries=1)


def _name(use_case: object) -> str:
    return getattr(use_case, "__name__", repr(use_case))


async def _pause(use_case: str, number: int) -> None:
    log.info("use case met contention and runs again", use_case=use_case, attempt=number)
    await asyncio.sleep(PAUSE_SECONDS * 2**number * random.random())  # noqa: S311 (no secret)
