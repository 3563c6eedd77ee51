"""What happens without a request: the tables "when this happens, do that" and "every so often, do that".

`python -m entrypoints.worker` delivers events from the outbox, and does the periodic jobs beside that. Any
number may run side by side. At SIGTERM or SIGINT it ends what it is at.
"""

import asyncio
import random
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import structlog

from application.kernel.identity.mails import MailReactions
from application.kernel.origin import Channel, Origin, come_from
from application.kernel.ports.events import Delivery, Outbox, Reaction
from application.kernel.ports.storing import Expiry
from application.kernel.ports.world import WorldError
from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.aggregate import Event
from domain.kernel.identity.auth import (
    EmailVerificationRequested,
    OtherSessionsEnded,
    PasswordChanged,
    PasswordResetRequested,
)
from domain.kernel.identity.identities import IdentityLinked, IdentityUnlinked
from domain.kernel.invitations import MemberInvited
from domain.kernel.users import EmailChanged, EmailChangeRequested, UserDeleted, UserRegistered
from entrypoints.kernel.container import KernelContainer, close
from entrypoints.kernel.heartbeat import keep_beating

log = structlog.get_logger("worker")

LONGEST_PAUSE_SECONDS = 30.0
STOP_SECONDS = 5.0
NO_DIRECT_URL = (
    "DATABASE_DIRECT_URL is missing, and the worker needs it: DATABASE_URL leads through a pooler, which "
    "delivers no notifications. Set it to the database's own address."
)
ROWS_AT_A_TIME = 1000  # deleted in some ten milliseconds, so that no lock is held for long

_ORIGIN = Origin(Channel.WORKER)

type Row = tuple[type[Event], Sequence[Reaction[Any, Event]]]
"""An event and what it causes, in this order."""

type Table = Mapping[type[Event], Sequence[Reaction[Any, Event]]]


def when[E: Event](event: type[E], *reactions: Reaction[Any, E]) -> Row:
    """A row of the table; mypy sees to it that each reaction takes the event it stands beside."""
    return event, cast("Sequence[Reaction[Any, Event]]", reactions)


def table(rows: Iterable[Row]) -> Table:
    """The rows together; an event that has several causes what all of them say."""
    found: dict[type[Event], list[Reaction[Any, Event]]] = {}
    for event, reactions in rows:
        found.setdefault(event, []).extend(reactions)
    return found


def kernel_reactions(mails: MailReactions) -> Sequence[Row]:
    """When this happens, do that.

    Mail leaves while its event's transaction waits. A worker can afford that: it delivers one event at a
    time on connections of its own, and a mail is given up before the database gives up the transaction.
    """
    return [
        when(UserRegistered, mails.verify_address),
        when(EmailChangeRequested, mails.tell_of_email_change, mails.verify_address),
        when(EmailChanged, mails.tell_former_address),
        when(UserDeleted, mails.tell_of_deletion),
        when(EmailVerificationRequested, mails.verify_again),
        when(PasswordResetRequested, mails.reset_password),
        when(MemberInvited, mails.invite),
        when(PasswordChanged, mails.tell_of_password),
        when(IdentityLinked, mails.tell_of_link),
        when(IdentityUnlinked, mails.tell_of_unlinking),
        when(OtherSessionsEnded, mails.tell_of_sessions),
    ]


def reacting(table: Table) -> Reaction[Any, Event]:
    """Everything that an event causes, in the transaction of its delivery. Most events cause nothing."""

    async def react(uow: KernelUnitOfWork, delivery: Delivery[Event], /) -> None:
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


type Job = Callable[[], Awaitable[bool]]
"""Does a little of what there is to do; True where there is more."""


@dataclass(frozen=True, slots=True)
class Periodic:
    """A job, what it is called in the log, and how long after its end it begins again."""

    name: str
    pause: timedelta
    job: Job


def every(pause: timedelta, name: str, job: Job) -> Periodic:
    """A row of the table."""
    return Periodic(name, pause, job)


def kernel_jobs(expiry: Expiry) -> Sequence[Periodic]:
    """Every so often, do that. All workers do, beside their deliveries."""
    return [
        every(timedelta(minutes=10), "delete kept answers", deleting(expiry.delete_kept_answers)),
        every(timedelta(hours=1), "delete one-time tokens", deleting(expiry.delete_one_time_tokens)),
        every(timedelta(hours=1), "delete sessions", deleting(expiry.delete_sessions)),
        every(timedelta(hours=1), "delete audit log", deleting(expiry.delete_audit)),
    ]


def deleting(delete: Callable[[int], Awaitable[int]]) -> Job:
    """Deletes so many rows that there may be more, or else the last."""

    async def some() -> bool:
        count = await delete(ROWS_AT_A_TIME)
        if count:
            log.info("rows deleted", count=count)
        return count == ROWS_AT_A_TIME

    return some


async def work(
    outbox: Outbox[Any], react: Reaction[Any, Event], stop: asyncio.Event, *, poll_seconds: float
) -> None:
    """Delivers what is due until `stop` is set. Nothing that goes wrong ends it: it tries again, later."""

    async def deliver() -> None:
        if not await outbox.deliver_next(react):
            await _unless(stop, outbox.wait(poll_seconds))

    await _steadily(deliver, stop, failed="cannot deliver", recovered="can deliver again")


async def repeat(periodic: Periodic, stop: asyncio.Event) -> None:
    """Does a job now and after each pause until `stop` is set. Nothing that goes wrong ends it, either."""
    due = True

    async def do_or_wait() -> None:
        nonlocal due
        if due:
            due = await periodic.job()
        else:
            await _unless(stop, asyncio.sleep(periodic.pause.total_seconds()))
            due = True

    with structlog.contextvars.bound_contextvars(job=periodic.name):
        await _steadily(do_or_wait, stop, failed="job failed", recovered="job works again")


async def _steadily(
    do: Callable[[], Awaitable[None]], stop: asyncio.Event, *, failed: str, recovered: str
) -> None:
    """Does it again and again until `stop` is set; after a failure, later."""
    failures = 0
    while not stop.is_set():
        try:
            await do()
        except Exception as error:
            failures += 1
            pause = min(2.0 ** (failures - 1), LONGEST_PAUSE_SECONDS) * random.uniform(0.5, 1)  # noqa: S311
            # A world that is away explains itself; whatever else it is, is a defect and worth its traceback.
            defect = None if isinstance(error, WorldError) else error
            log.warning(failed, reason=str(error), next_try_seconds=round(pause, 1), exc_info=defect)
            await _unless(stop, asyncio.sleep(pause))
        else:
            if failures:
                log.info(recovered, failures=failures)
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


async def run(container: KernelContainer, rows: Sequence[Row], periodic: Sequence[Periodic]) -> None:
    """Works until the process is told to stop; then what is at hand has a moment to finish."""
    settings = container.settings()
    if settings.direct_through_pooler:
        sys.exit(NO_DIRECT_URL)
    if settings.through_pooler:
        container.database.override(container.direct_database)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    come_from(lambda: _ORIGIN)
    log.info("worker started")
    delivering = work(
        container.outbox(),
        reacting(table([*kernel_reactions(container.mail_reactions()), *rows])),
        stop,
        poll_seconds=container.settings().outbox_poll_seconds,
    )
    repeating = (repeat(each, stop) for each in [*kernel_jobs(container.expiry()), *periodic])
    beating = keep_beating(
        container.heartbeats(),
        stop,
        pause_seconds=container.settings().worker_heartbeat_seconds,
        overdue_seconds=container.settings().outbox_overdue_seconds,
    )
    working = [asyncio.create_task(each) for each in (delivering, beating, *repeating)]
    try:
        await stop.wait()
        # What does not finish is rolled back, and done again by the next worker.
        await asyncio.wait(working, timeout=STOP_SECONDS)
    finally:
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        await close(container)
        log.info("worker stopped")
