"""Delivers events from the outbox: the table "when this happens, do that", and the loop that runs it.

`python -m entrypoints.worker`. Any number may run side by side. At SIGTERM or SIGINT it ends what it is at.
"""

import asyncio
import random
import signal
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import cast

import structlog

from application.ports import Delivery, Outbox, Reaction, UnitOfWork, WorldError
from application.reactions import MailReactions, notify_assignee
from domain.aggregate import Event
from domain.auth import (
    EmailVerificationRequested,
    PasswordChanged,
    PasswordResetRequested,
    RefreshTokenReused,
)
from domain.tasks import TaskAssigned
from domain.users import EmailChanged, UserRegistered
from entrypoints.container import Container, close
from entrypoints.logging import configure_logging
from entrypoints.settings import load_settings

log = structlog.get_logger("worker")

LONGEST_PAUSE_SECONDS = 30.0
STOP_SECONDS = 5.0

type Table = Mapping[type[Event], Sequence[Reaction[Event]]]
"""Which events cause what, in this order."""


def when[E: Event](event: type[E], *reactions: Reaction[E]) -> tuple[type[Event], Sequence[Reaction[Event]]]:
    """A row of the table; mypy sees to it that each reaction takes the event it stands beside."""
    return event, cast("Sequence[Reaction[Event]]", reactions)


async def log_reuse(_: UnitOfWork, delivery: Delivery[RefreshTokenReused]) -> None:
    """For whoever watches the log: a token was stolen, or a client sent one twice. The session is over."""
    event = delivery.event
    log.warning("refresh token reused", user_id=str(event.user_id), session_id=str(event.session_id))


def reactions(mails: MailReactions) -> Table:
    """When this happens, do that.

    Mail leaves while its event's transaction waits. A worker can afford that: it does one thing at a time on
    connections of its own, and a mail is given up before the database gives up the transaction.
    """
    return dict(
        [
            when(TaskAssigned, notify_assignee),
            when(UserRegistered, mails.verify_address),
            when(EmailChanged, mails.verify_address),
            when(EmailVerificationRequested, mails.verify_again),
            when(PasswordResetRequested, mails.reset_password),
            when(PasswordChanged, mails.tell_of_password),
            when(RefreshTokenReused, log_reuse),
        ]
    )


def reacting(table: Table) -> Reaction[Event]:
    """Everything that an event causes, in the transaction of its delivery. Most events cause nothing."""

    async def react(uow: UnitOfWork, delivery: Delivery[Event], /) -> None:
        event = type(delivery.event)
        with structlog.contextvars.bound_contextvars(event_type=event.__name__, event_id=delivery.id):
            try:
                for reaction in table.get(event, ()):
                    await reaction(uow, delivery)
            except WorldError as away:
                log.warning("event waits", reason=str(away))
                raise
            except Exception:
                log.exception("event failed")
                raise
            log.info("event handled")

    return react


async def work(outbox: Outbox, react: Reaction[Event], stop: asyncio.Event, *, poll_seconds: float) -> None:
    """Delivers what is due until `stop` is set. Nothing that goes wrong ends it: it tries again, later."""
    failures = 0
    while not stop.is_set():
        try:
            if not await outbox.deliver_next(react):
                await _unless(stop, outbox.wait(poll_seconds))
        except Exception as error:
            failures += 1
            pause = min(2.0 ** (failures - 1), LONGEST_PAUSE_SECONDS) * random.uniform(0.5, 1)  # noqa: S311
            # A world that is away explains itself; whatever else it is, is a defect and worth its traceback.
            defect = None if isinstance(error, WorldError) else error
            log.warning(
                "cannot deliver", reason=str(error), next_try_seconds=round(pause, 1), exc_info=defect
            )
            await _unless(stop, asyncio.sleep(pause))
        else:
            if failures:
                log.info("can deliver again", failures=failures)
            failures = 0


async def _unless(stop: asyncio.Event, waiting: Coroutine[None, None, None]) -> None:
    """Waits, unless it is time to stop."""
    tasks = [asyncio.create_task(waiting), asyncio.create_task(_until(stop))]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()


async def run(container: Container) -> None:
    """Works until the process is told to stop; then the delivery at hand has a moment to finish."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    log.info("worker started")
    working = asyncio.create_task(
        work(
            container.outbox(),
            reacting(reactions(container.mail_reactions())),
            stop,
            poll_seconds=container.settings().outbox_poll_seconds,
        )
    )
    try:
        await stop.wait()
        # One that does not finish is rolled back, and delivered again by the next worker.
        await asyncio.wait([working], timeout=STOP_SECONDS)
    finally:
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working
        await close(container)
        log.info("worker stopped")


def main() -> None:
    settings = load_settings()
    configure_logging(settings)
    asyncio.run(run(Container(settings=settings)))


if __name__ == "__main__":
    main()
