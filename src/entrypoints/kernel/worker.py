"""What happens without a request: the tables "when this happens, do that" and "every so often, do that".

`python -m entrypoints.worker` delivers events from the outbox, and beside that what they cause outside of the
database, in lanes, and does the periodic jobs. Any number may run side by side. At SIGTERM or SIGINT it ends
what it is at.
"""

import asyncio
import random
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, cast, overload

import structlog

from application.kernel.identity.mails import MAIL, MailReactions
from application.kernel.origin import Channel, Origin, come_from, coming_from, present_origin
from application.kernel.ports.events import (
    NONE_OUTSIDE,
    Delivery,
    Lane,
    Lanes,
    Leased,
    Outbox,
    Outcome,
    Outside,
    Reaction,
    named,
)
from application.kernel.ports.storing import Expiry
from application.kernel.ports.tracing import Reacting, Tracing
from application.kernel.ports.world import WorldError
from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.aggregate import Event
from domain.kernel.identity.credentials import PasswordChanged
from domain.kernel.identity.identities import IdentityLinked, IdentityUnlinked
from domain.kernel.identity.one_time_tokens import EmailVerificationRequested, PasswordResetRequested
from domain.kernel.identity.sessions import OtherSessionsEnded
from domain.kernel.invitations import MemberInvited
from domain.kernel.users import EmailChanged, EmailChangeRequested, UserDeleted, UserRegistered
from entrypoints.kernel.container import KernelContainer, close
from entrypoints.kernel.heartbeat import keep_beating
from entrypoints.kernel.lanes import (
    Circuit,
    Counted,
    OutsideReaction,
    Progress,
    Reactions,
    by_lane,
    names_by_event,
    unknown,
)
from entrypoints.kernel.metrics.families import worker_metrics
from entrypoints.kernel.metrics.serving import metrics_obstacle, shown
from entrypoints.kernel.telemetry.statements import count_statements

log = structlog.get_logger("worker")

LONGEST_PAUSE_SECONDS = 30.0
STOP_SECONDS = 5.0
NO_DIRECT_URL = (
    "DATABASE_DIRECT_URL is missing, and the worker needs it: DATABASE_URL leads through a pooler, which "
    "delivers no notifications. Set it to the database's own address."
)
SILENT_SECONDS = 60.0  # what is due may wait so long before the log says so, and again after each
ROWS_AT_A_TIME = 1000  # deleted in some ten milliseconds, so that no lock is held for long

_ORIGIN = Origin(Channel.WORKER)

DATABASE = "database"
"""What the log calls the delivery of events to what is in the database."""

UNKNOWN = Lane("unknown")
"""Where what no reaction of this version is for ends up."""

type Row = tuple[type[Event], Sequence[Reaction[Any, Event] | OutsideReaction]]
"""An event and what it causes, in this order."""

type Table = Mapping[type[Event], Sequence[Reaction[Any, Event] | OutsideReaction]]


@overload
def when[E: Event](event: type[E], *reactions: Reaction[Any, E]) -> Row: ...


@overload
def when[E: Event](event: type[E], reaction: Outside[Any, E], /, *, lane: Lane, name: str = "") -> Row: ...


def when(event: type[Event], *reactions: Callable[..., Any], lane: Lane | None = None, name: str = "") -> Row:
    """A row of the table; mypy sees to it that each reaction takes the event it stands beside.

    Without a `lane` the reactions run one after the other in the transaction that ends the event, and write
    to the database alone. One with a `lane` leaves the database, such as a mail or a webhook: it says what is
    to leave, which runs outside of any transaction, and other reactions do not wait for it. It is written
    down by its `name`, by default its own with that of its class: who renames it gives it the former name
    here until nothing waits under it. Raises TypeError for one without a name.
    """
    if lane is None:
        return event, cast("Sequence[Reaction[Any, Event]]", reactions)
    return event, [OutsideReaction(name or named(each), lane, each) for each in reactions]


def table(rows: Iterable[Row]) -> Table:
    """The rows together; an event that has several causes what all of them say."""
    found: dict[type[Event], list[Reaction[Any, Event] | OutsideReaction]] = {}
    for event, reactions in rows:
        found.setdefault(event, []).extend(reactions)
    return found


def kernel_reactions(mails: MailReactions) -> Sequence[Row]:
    """When this happens, do that."""
    return [
        when(UserRegistered, mails.verify_address, lane=MAIL),
        when(EmailChangeRequested, mails.change_address, lane=MAIL),
        when(EmailChanged, mails.tell_former_address, lane=MAIL),
        when(UserDeleted, mails.tell_of_deletion, lane=MAIL),
        when(EmailVerificationRequested, mails.verify_again, lane=MAIL),
        when(PasswordResetRequested, mails.reset_password, lane=MAIL),
        when(MemberInvited, mails.invite, lane=MAIL),
        when(PasswordChanged, mails.tell_of_password, lane=MAIL),
        when(IdentityLinked, mails.tell_of_link, lane=MAIL),
        when(IdentityUnlinked, mails.tell_of_unlinking, lane=MAIL),
        when(OtherSessionsEnded, mails.tell_of_sessions, lane=MAIL),
    ]


def reacting(
    table: Table, tracing: Tracing | None = None, counted: Counted | None = None
) -> Reaction[Any, Event]:
    """Everything that an event causes in the database, in the transaction of its delivery. Most events cause
    nothing."""
    inside = {
        event: [(called(each), each) for each in reactions if not isinstance(each, OutsideReaction)]
        for event, reactions in table.items()
    }
    counts: Counted = Counter() if counted is None else counted

    async def react(uow: KernelUnitOfWork, delivery: Delivery[Event], /) -> None:
        event, name = type(delivery.event), ""
        reactions = inside.get(event, ())
        with structlog.contextvars.bound_contextvars(event_type=event.__name__, event_id=delivery.id):
            try:
                with _traced(tracing if reactions else None, event.__name__, delivery.traceparent):
                    for name, reaction in reactions:
                        await reaction(uow, delivery)
                        counts[name, "delivered"] += 1
            except WorldError as away:
                counts[name, "waits"] += 1
                log.warning("event waits", reason=str(away))
                raise
            except Exception:
                counts[name, "failed"] += 1
                log.exception("event failed")
                raise
            log.info("event handled")

    return react


@contextmanager
def _traced(
    tracing: Tracing | None, name: str, traceparent: str | None, **of_the_event: str
) -> Iterator[Reacting | None]:
    """In the trace of what has caused it, in the log as well as for what it causes in turn."""
    span = None
    with ExitStack() as stack:
        if tracing is not None:
            span = stack.enter_context(tracing.reacting(f"react to {name}", traceparent, of_the_event))
            traceparent = span.traceparent
        if traceparent is not None:
            trace_id = traceparent[3:35]  # W3C Trace Context: version, trace, span, flags
            stack.enter_context(structlog.contextvars.bound_contextvars(trace_id=trace_id))
            origin = replace(present_origin(), traceparent=traceparent)
            stack.enter_context(coming_from(lambda: origin))
        count_statements()
        yield span


def called(reaction: Reaction[Any, Event] | OutsideReaction) -> str:
    """What metrics call it."""
    if isinstance(reaction, OutsideReaction):
        return reaction.name
    return getattr(reaction, "__qualname__", type(reaction).__name__)


def outside_of(table: Table) -> Mapping[Lane, Reactions]:
    """Everything that leaves the database, by its lane."""
    return by_lane(
        each for reactions in table.values() for each in reactions if isinstance(each, OutsideReaction)
    )


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
    outbox: Outbox[Any],
    react: Reaction[Any, Event],
    stop: asyncio.Event,
    *,
    poll_seconds: float,
    outside: Mapping[str, Sequence[str]] = NONE_OUTSIDE,
    progress: Progress | None = None,
) -> None:
    """Delivers what is due until `stop` is set. Nothing that goes wrong ends it: it tries again, later.

    `outside` is what events cause outside of the database; `attend` does it.
    """

    async def deliver() -> None:
        more = await outbox.deliver_next(react, outside)
        if progress is not None:
            progress.made()
        if not more:
            await _unless(stop, outbox.wait(poll_seconds))

    await _steadily(deliver, stop, failed="cannot deliver", recovered="can deliver again")


@dataclass(slots=True)
class Attendant:
    """Attends to one lane: leases what is due, and delivers so much of it at the same time.

    With `others` it leases what none of the reactions is for, which is a former version's or a later one's.
    """

    lanes: Lanes[Any]
    outbox: Outbox[Any]
    lane: Lane
    reactions: Reactions
    at_once: int
    poll_seconds: float
    others: bool = False
    tracing: Tracing | None = None
    progress: Progress = field(default_factory=Progress)
    circuit: Circuit = field(default_factory=Circuit)
    counted: Counted = field(default_factory=Counter)
    _going: set[asyncio.Task[None]] = field(default_factory=set)

    async def attend(self, stop: asyncio.Event) -> None:
        """Goes on until `stop` is set, and then ends what is on its way. Nothing that goes wrong ends it."""
        try:
            with structlog.contextvars.bound_contextvars(lane=self.lane.name):
                await _steadily(
                    lambda: self._turn(stop), stop, failed="cannot deliver", recovered="can deliver again"
                )
                if self._going:
                    await asyncio.wait(self._going)
        finally:
            for task in self._going:
                task.cancel()
            await asyncio.gather(*self._going, return_exceptions=True)

    async def _turn(self, stop: asyncio.Event) -> None:
        if self.circuit.open:
            await _unless(stop, asyncio.sleep(self.circuit.seconds_left))
            if stop.is_set() or self.circuit.seconds_left:  # what was on its way has met silence since
                return
        if len(self._going) >= (1 if self.circuit.open else self.at_once):
            await _unless(stop, _first(self._going))
            return
        leased = await self.lanes.lease(
            self.reactions, passes_parked=self.lane.passes_parked, others=self.others
        )
        if leased is not None:
            task = asyncio.create_task(self._deliver(leased))
            self._going.add(task)
            task.add_done_callback(self._going.discard)
            return
        self.progress.made()
        await _unless(stop, self.outbox.wait(self.poll_seconds, ear=self.lane.name))

    async def _deliver(self, leased: Leased) -> None:
        began = self.circuit.clock()
        react = unknown(leased) if self.others else self.reactions[leased.reaction]
        name = UNKNOWN.name if self.others else leased.reaction
        said = {"event_id": leased.event_id, "event_type": leased.type, "reaction": leased.reaction}
        with (
            structlog.contextvars.bound_contextvars(**said),
            _traced(self.tracing, leased.type, leased.traceparent, reaction=leased.reaction) as span,
        ):
            try:
                outcome = await self.lanes.deliver(
                    leased, react, others_served=lambda: self.circuit.answered_since(began)
                )
            except WorldError as away:
                if span is not None:
                    span.fail(type(away).__name__)
                self.counted[name, "waits"] += 1
                log.warning("delivery waits", reason=str(away))
                return
            except Exception as error:
                if span is not None:
                    span.fail(type(error).__name__)
                self.counted[name, "failed"] += 1
                log.exception("delivery failed")
                return
            self.counted[name, outcome.name.lower()] += 1
            self.circuit.tell(outcome, began=began)
            if outcome in {Outcome.DELIVERED, Outcome.NOTHING}:
                self.progress.made()
                log.info("delivered")
            elif span is not None:
                span.fail(outcome.name.lower())


async def _first(tasks: Iterable[asyncio.Task[None]]) -> None:
    await asyncio.wait([*tasks], return_when=asyncio.FIRST_COMPLETED)


async def watch(name: str, progress: Progress, stop: asyncio.Event) -> None:
    """Says in the log once a minute that something is due and nothing is delivered, and when that is over."""
    told = 0
    while not stop.is_set():
        seconds = progress.seconds
        if seconds < SILENT_SECONDS:
            if told:
                log.info("can deliver again", lane=name)
            told = 0
        elif seconds >= (told + 1) * SILENT_SECONDS:
            told = int(seconds // SILENT_SECONDS)
            log.error("nothing delivered", lane=name, seconds=round(seconds))
        await _unless(stop, asyncio.sleep(SILENT_SECONDS / 60))


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
    if found := metrics_obstacle(settings):
        sys.exit(found)
    if settings.through_pooler:
        container.database.override(container.direct_database)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    come_from(lambda: _ORIGIN)
    reactions = table([*kernel_reactions(container.mail_reactions()), *rows])
    lanes, settings, outbox = outside_of(reactions), container.settings(), container.outbox()
    log.info("worker started")
    progress = {DATABASE: Progress()}
    counted: Counted = Counter({(called(each), "delivered"): 0 for row in reactions.values() for each in row})
    delivering = work(
        outbox,
        reacting(reactions, container.tracing(), counted),
        stop,
        poll_seconds=settings.outbox_poll_seconds,
        outside=names_by_event(reactions),
        progress=progress[DATABASE],
    )
    attendants = [
        Attendant(
            container.lanes(),
            outbox,
            lane,
            of_lane,
            at_once=1 if others else settings.outbox_lane_deliveries,
            poll_seconds=settings.outbox_poll_seconds,
            others=others,
            tracing=container.tracing(),
            counted=counted,
        )
        for lane, of_lane, others in [
            *((lane, of_lane, False) for lane, of_lane in lanes.items()),
            (UNKNOWN, {name: react for of_lane in lanes.values() for name, react in of_lane.items()}, True),
        ]
    ]
    progress |= {each.lane.name: each.progress for each in attendants}
    attending = (each.attend(stop) for each in attendants)
    watching = (watch(name, each, stop) for name, each in progress.items())
    repeating = (repeat(each, stop) for each in [*kernel_jobs(container.expiry()), *periodic])
    beating = keep_beating(
        container.heartbeats(),
        stop,
        pause_seconds=settings.worker_heartbeat_seconds,
        overdue_seconds=settings.outbox_overdue_seconds,
    )
    paused = {each.lane.name: each.circuit for each in attendants}
    metrics = shown(*worker_metrics(container, counted=counted, paused=paused), settings)
    working = [asyncio.create_task(each) for each in (delivering, *attending, *watching, beating, *repeating)]
    try:
        await stop.wait()
        # What does not finish is rolled back, and done again by the next worker.
        await asyncio.wait(working, timeout=STOP_SECONDS)
    finally:
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        await close(container)
        if metrics is not None:
            metrics.close()
        log.info("worker stopped")
