"""The worker: what events cause, and a loop that nothing but a signal ends."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, override
from uuid import UUID

import asyncpg
import pytest
import structlog
from dependency_injector import providers
from structlog.testing import capture_logs

from adapters.postgres.kernel.outbox.events import CHANNEL
from application.kernel.identity.letters import Letters
from application.kernel.identity.mails import MAIL, MailReactions
from application.kernel.origin import Channel
from application.kernel.paging import PageRequest
from application.kernel.ports.events import NONE_OUTSIDE, Backlog, Delivery, OutboxEntry, Reaction
from application.kernel.ports.world import TimedOut, Unavailable
from application.kernel.queries.audit import AuditFilter
from application.kernel.run import Runner
from application.kernel.unit_of_work import Begin
from domain.kernel.aggregate import Event, new_id
from domain.kernel.identity.credentials import PasswordChanged
from domain.kernel.identity.identities import IdentityLinked, IdentityUnlinked
from domain.kernel.identity.one_time_tokens import EmailVerificationRequested, PasswordResetRequested
from domain.kernel.identity.sessions import OtherSessionsEnded
from domain.kernel.invitations import MemberInvited
from domain.kernel.users import EmailChanged, EmailChangeRequested, GlobalRole, UserDeleted, UserRegistered
from entrypoints.kernel import worker
from entrypoints.kernel.lanes import OutsideReaction
from entrypoints.settings import Settings
from kernel.servers.workers import a_worker, logged
from kernel.specimen.builders import a_specimen_order_id
from kernel.specimen.commands.specimen_orders import create_specimen_order
from kernel.specimen.domain.specimen_orders import SpecimenOrderAssigned, SpecimenOrderDeleted
from kernel.specimen.service import Container, Queries, UnitOfWork
from kernel.world.builders import NOW, a_caller, a_team, a_user_id, a_workspace_id, store
from kernel.world.fakes import FakeMailer

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"
NO_UNIT_OF_WORK: Any = None


def an_event() -> SpecimenOrderDeleted:
    return SpecimenOrderDeleted(
        at=NOW, specimen_order_id=a_specimen_order_id(), workspace_id=a_workspace_id(), by=a_user_id()
    )


def a_delivery(event: Event) -> Delivery[Event]:
    return Delivery(id=new_id(NOW), event=event)


class ScriptedOutbox:
    """An Outbox to which happens what the script says: an event, `None` for nothing due, or an error."""

    def __init__(self, *script: Event | Exception | None) -> None:
        self.script = list(script)
        self.delivered: list[Event] = []
        self.waits = 0
        self.idle = asyncio.Event()

    async def deliver_next(
        self, react: Reaction[UnitOfWork, Event], outside: Mapping[str, Sequence[str]] = NONE_OUTSIDE, /
    ) -> bool:
        match self.script.pop(0) if self.script else None:
            case None:
                return False
            case Exception() as error:
                raise error
            case event:
                await react(NO_UNIT_OF_WORK, a_delivery(event))
                self.delivered.append(event)
                return True

    async def wait(self, seconds: float, /, *, ear: str = "") -> None:
        if ear:
            await asyncio.sleep(seconds)
            return
        self.waits += 1
        if not self.script:
            self.idle.set()
            await asyncio.sleep(seconds)

    async def entries(self, *, parked_only: bool, limit: int) -> Collection[OutboxEntry]:
        raise AssertionError

    async def backlog_by_reaction(self) -> Mapping[str, Backlog]:
        raise AssertionError

    async def backlog(self) -> Backlog:
        raise AssertionError

    async def replay(self, id: UUID | None, /, *, reaction: str | None = None) -> int:
        raise AssertionError


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 (what it asks about has no event)
            await asyncio.sleep(0.001)


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "LONGEST_PAUSE_SECONDS", 0.01)


async def worked_off(outbox: ScriptedOutbox) -> None:
    """Runs the loop until nothing is left of the script, and then stops it."""
    stop = asyncio.Event()
    working = asyncio.create_task(worker.work(outbox, worker.reacting({}), stop, poll_seconds=60))
    async with asyncio.timeout(60):
        await outbox.idle.wait()
        stop.set()
        await working


# ── when this happens, do that ───────────────────────────────────────────────────────────────────


def test_this_is_what_events_cause() -> None:
    mails = MailReactions(FakeMailer(), Letters(service="", app_url="", api_url=""))
    caused: dict[type[Event], Any] = {
        UserRegistered: mails.verify_address,
        EmailChangeRequested: mails.change_address,
        EmailChanged: mails.tell_former_address,
        UserDeleted: mails.tell_of_deletion,
        EmailVerificationRequested: mails.verify_again,
        PasswordResetRequested: mails.reset_password,
        MemberInvited: mails.invite,
        PasswordChanged: mails.tell_of_password,
        IdentityLinked: mails.tell_of_link,
        IdentityUnlinked: mails.tell_of_unlinking,
        OtherSessionsEnded: mails.tell_of_sessions,
    }
    assert worker.table(worker.kernel_reactions(mails)) == {
        event: [OutsideReaction(f"MailReactions.{react.__name__}", MAIL, react)]
        for event, react in caused.items()
    }


def test_an_event_causes_what_the_kernel_and_the_service_say() -> None:
    mails = MailReactions(FakeMailer(), Letters(service="", app_url="", api_url=""))
    own = worker.when(UserRegistered, worker_of_nothing)
    table = worker.table([*worker.kernel_reactions(mails), own])
    verify: Any = mails.verify_address
    verifying = OutsideReaction("MailReactions.verify_address", MAIL, verify)
    assert table[UserRegistered] == [verifying, worker_of_nothing]


async def worker_of_nothing(uow: UnitOfWork, delivery: Delivery[UserRegistered]) -> None: ...


async def test_an_event_reaches_its_reactions_in_order_and_no_others() -> None:
    reached: list[tuple[str, Event]] = []

    def reaction(name: str) -> Reaction[UnitOfWork, Event]:
        async def react(_: UnitOfWork, delivery: Delivery[Event]) -> None:
            reached.append((name, delivery.event))

        return react

    table = dict(
        [
            worker.when(SpecimenOrderDeleted, reaction("1"), reaction("2")),
            worker.when(SpecimenOrderAssigned, reaction("3")),
        ]
    )
    delivery = a_delivery(an_event())
    with capture_logs() as logs:
        await worker.reacting(table)(NO_UNIT_OF_WORK, delivery)
    assert reached == [("1", delivery.event), ("2", delivery.event)]
    assert [entry["event"] for entry in logs] == ["event handled"]


@pytest.mark.parametrize(
    ("error", "logged"),
    [(LookupError("not today"), ("event failed", "error")), (TimedOut("slow"), ("event waits", "warning"))],
)
async def test_a_reaction_that_fails_is_logged_and_fails_the_delivery(
    error: Exception, logged: tuple[str, str]
) -> None:
    async def fail(_: UnitOfWork, __: Delivery[Event]) -> None:
        raise error

    react = worker.reacting(dict([worker.when(SpecimenOrderDeleted, fail)]))
    with capture_logs() as logs, pytest.raises(type(error)):
        await react(NO_UNIT_OF_WORK, a_delivery(an_event()))
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [logged]


# ── the loop ─────────────────────────────────────────────────────────────────────────────────────


async def test_what_is_due_is_delivered_before_anything_is_waited_for() -> None:
    events = [an_event() for _ in range(3)]
    outbox = ScriptedOutbox(*events, None, *events)
    await worked_off(outbox)
    assert outbox.delivered == events * 2
    assert outbox.waits == 2


@pytest.mark.usefixtures("short_pauses")
async def test_a_world_that_is_away_is_waited_for_and_said_to_be_away_once_for_each_try() -> None:
    event = an_event()
    outbox = ScriptedOutbox(*[Unavailable("The database does not answer.")] * 3, event, None)
    with capture_logs() as logs:
        await worked_off(outbox)
    assert outbox.delivered == [event]
    assert [entry["event"] for entry in logs] == [
        *["cannot deliver"] * 3,
        "event handled",
        "can deliver again",
    ]
    assert (logs[0]["reason"], logs[0]["log_level"]) == ("The database does not answer.", "warning")
    assert logs[0]["exc_info"] is None
    assert logs[-1]["failures"] == 3


@pytest.mark.usefixtures("short_pauses")
async def test_a_world_that_goes_away_while_it_is_waited_for_is_said_to_be_away() -> None:
    class Deaf(ScriptedOutbox):
        @override
        async def wait(self, seconds: float, /, *, ear: str = "") -> None:
            await super().wait(seconds if self.waits else 0)
            raise Unavailable("The database does not answer.")

    with capture_logs() as logs:
        await worked_off(Deaf(None, an_event()))
    assert [entry["event"] for entry in logs][:2] == ["cannot deliver", "event handled"]


@pytest.mark.usefixtures("short_pauses")
async def test_a_defect_is_logged_with_its_traceback_and_does_not_end_the_loop() -> None:
    event, defect = an_event(), LookupError("a defect")
    outbox = ScriptedOutbox(defect, event)
    with capture_logs() as logs:
        await worked_off(outbox)
    assert outbox.delivered == [event]
    assert logs[0]["exc_info"] is defect


async def test_the_pauses_grow_to_a_limit_and_begin_again_after_a_success(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("random.uniform", lambda _, most: most)

    async def unless(_: asyncio.Event, waiting: Any) -> None:
        waiting.close()
        await asyncio.sleep(0)

    monkeypatch.setattr(worker, "_unless", unless)
    away = Unavailable("away")
    outbox, stop = ScriptedOutbox(*[away] * 7, an_event(), away), asyncio.Event()
    with capture_logs() as logs:
        working = asyncio.create_task(worker.work(outbox, worker.reacting({}), stop, poll_seconds=60))
        await eventually(lambda: len(outbox.script) == 0)
        stop.set()
        await working
    pauses = [entry["next_try_seconds"] for entry in logs if entry["event"] == "cannot deliver"]
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 1]


@pytest.mark.parametrize("script", [(), (Unavailable("away"),) * 9], ids=["idle", "away"])
async def test_a_loop_that_waits_stops_at_once(script: tuple[Exception, ...]) -> None:
    outbox, stop = ScriptedOutbox(*script), asyncio.Event()
    working = asyncio.create_task(worker.work(outbox, worker.reacting({}), stop, poll_seconds=60))
    await asyncio.sleep(0.05)
    assert not working.done()
    started = time.monotonic()
    stop.set()
    await working
    assert time.monotonic() - started < 1


# ── every so often, do that ──────────────────────────────────────────────────────────────────────


class ScriptedExpiry:
    """An Expiry whose rows are counted and not there."""

    def __init__(self, *, answers: int = 0) -> None:
        self.answers = answers
        self.asked: list[tuple[str, int]] = []

    async def delete_kept_answers(self, most: int, /) -> int:
        self.asked.append(("kept answers", most))
        deleted = min(most, self.answers)
        self.answers -= deleted
        return deleted

    async def delete_one_time_tokens(self, most: int, /) -> int:
        self.asked.append(("one-time tokens", most))
        return 0

    async def delete_sessions(self, most: int, /) -> int:
        self.asked.append(("sessions", most))
        return 0

    async def delete_audit(self, most: int, /) -> int:
        self.asked.append(("audit", most))
        return 0


class ScriptedJob:
    """A Job to which happens what the script says: there is more, there is no more, or an error."""

    def __init__(self, *script: bool | Exception) -> None:
        self.script = list(script)
        self.runs = 0

    async def __call__(self) -> bool:
        self.runs += 1
        match self.script.pop(0) if self.script else False:
            case Exception() as error:
                raise error
            case more:
                return more


async def repeated(job: ScriptedJob, *, runs: int, pause: timedelta) -> None:
    """Repeats the job until it has run so often, and then stops it."""
    stop = asyncio.Event()
    repeating = asyncio.create_task(worker.repeat(worker.every(pause, "sweep", job), stop))
    await eventually(lambda: job.runs == runs)
    await asyncio.sleep(0.05)  # it could run once more
    stop.set()
    async with asyncio.timeout(4):
        await repeating
    assert job.runs == runs


async def test_these_are_the_jobs_and_each_is_done() -> None:
    expiry = ScriptedExpiry()
    table = worker.kernel_jobs(expiry)
    assert [(each.name, each.pause) for each in table] == [
        ("delete kept answers", timedelta(minutes=10)),
        ("delete one-time tokens", timedelta(hours=1)),
        ("delete sessions", timedelta(hours=1)),
        ("delete audit log", timedelta(hours=1)),
    ]
    assert [await each.job() for each in table] == [False] * 4
    assert expiry.asked == [
        ("kept answers", 1000),
        ("one-time tokens", 1000),
        ("sessions", 1000),
        ("audit", 1000),
    ]


async def test_rows_are_deleted_a_thousand_at_a_time_until_there_are_fewer() -> None:
    expiry = ScriptedExpiry(answers=2500)
    job = worker.deleting(expiry.delete_kept_answers)
    with capture_logs() as logs:
        assert [await job() for _ in range(4)] == [True, True, False, False]
    assert expiry.answers == 0
    assert [(entry["event"], entry["count"]) for entry in logs] == [
        ("rows deleted", 1000),
        ("rows deleted", 1000),
        ("rows deleted", 500),
    ]


async def test_a_job_is_done_at_once_and_again_while_there_is_more() -> None:
    await repeated(ScriptedJob(True, True, False), runs=3, pause=timedelta(hours=1))


async def test_a_job_is_done_again_after_its_pause() -> None:
    await repeated(ScriptedJob(*[False] * 4), runs=1, pause=timedelta(minutes=1))
    stop, job = asyncio.Event(), ScriptedJob()
    repeating = asyncio.create_task(worker.repeat(worker.every(timedelta(milliseconds=20), "", job), stop))
    started = time.monotonic()
    await eventually(lambda: job.runs == 4)
    stop.set()
    await repeating
    assert time.monotonic() - started >= 0.06


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.parametrize("error", [Unavailable("The database does not answer."), LookupError("a defect")])
async def test_a_job_that_fails_is_logged_and_tried_again_soon(error: Exception) -> None:
    with capture_logs() as logs:
        await repeated(ScriptedJob(error, error, True, False), runs=4, pause=timedelta(hours=1))
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [
        ("job failed", "warning"),
        ("job failed", "warning"),
        ("job works again", "info"),
    ]
    assert logs[0]["reason"] == str(error)
    assert logs[0]["exc_info"] is (error if isinstance(error, LookupError) else None)


async def test_the_log_says_which_job_it_is() -> None:
    said: list[object] = []

    async def job() -> bool:
        said.append(structlog.contextvars.get_contextvars().get("job"))
        return False

    stop = asyncio.Event()
    repeating = asyncio.create_task(worker.repeat(worker.every(timedelta(hours=1), "sweep", job), stop))
    await eventually(lambda: bool(said))
    stop.set()
    await repeating
    assert said == ["sweep"]
    assert "job" not in structlog.contextvars.get_contextvars()


# ── signals ──────────────────────────────────────────────────────────────────────────────────────


class SlowOutbox(ScriptedOutbox):
    """Takes `seconds` for its one delivery."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.begun = asyncio.Event()
        self.finished = False
        self._seconds = seconds

    @override
    async def deliver_next(
        self, react: Reaction[UnitOfWork, Event], outside: Mapping[str, Sequence[str]] = NONE_OUTSIDE, /
    ) -> bool:
        self.begun.set()
        await asyncio.sleep(self._seconds)
        self.finished = True
        return True


@pytest.mark.parametrize(("seconds", "finished"), [(0.2, True), (60, False)])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_at_a_signal_the_delivery_at_hand_has_a_moment_to_finish(
    number: signal.Signals, seconds: float, *, finished: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "STOP_SECONDS", 0.5)
    outbox = SlowOutbox(seconds)
    container = Container(settings=Settings(_env_file=None, database_url=NOWHERE))
    container.outbox.override(providers.Object(outbox))
    container.expiry.override(providers.Object(ScriptedExpiry()))
    running = asyncio.create_task(worker.run(container, [], []))
    try:
        await outbox.begun.wait()
        os.kill(os.getpid(), number)
        async with asyncio.timeout(60):
            await running
    finally:
        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().remove_signal_handler(each)
    assert outbox.finished == finished


# ── as a process ─────────────────────────────────────────────────────────────────────────────────


async def test_a_worker_delivers_what_is_committed_and_ends_when_told_to(
    empty_database_url: str, begin: Begin[UnitOfWork], run: Runner[UnitOfWork], queries: Queries
) -> None:
    team = a_team()
    await store(begin, *team.aggregates)
    async with a_worker(empty_database_url, module="kernel.specimen.worker") as process:
        await logged(process, "worker started")
        specimen_order = await run(
            create_specimen_order,
            team.owner,
            team.workspace.id,
            title="Look at this",
            assignee_id=team.member.user_id,
        )
        handled = await logged(process, "event handled", event_type="SpecimenOrderAssigned")
        process.send_signal(signal.SIGTERM)
        stopped = await logged(process, "worker stopped")
        assert stopped["logger"] == "worker"
        assert await process.wait() == 0
    page = await queries.specimen_notes.page(team.member.user_id, specimen_order.id, PageRequest())
    assert [(str(each.id), each.author_id) for each in page.items] == [
        (handled["event_id"], team.owner.user_id)
    ]


async def test_a_worker_deletes_what_is_in_the_audit_log_for_too_long(
    empty_database_url: str,
) -> None:
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute(
        """
        INSERT INTO audit (id, at, last_at, kind, channel, address, agent, request_id, details)
        SELECT gen_random_uuid(), at, at, 'log_in', 'http', '', '', '', '{}'
        FROM generate_series(1, 1503) AS n,
             LATERAL (SELECT now() - CASE WHEN n > 3 THEN 366 ELSE 364 END * interval '1 day' AS at) AS ago
        """
    )
    async with a_worker(empty_database_url) as process:
        entries = [await logged(process, "rows deleted") for _ in range(2)]
        process.send_signal(signal.SIGTERM)
        await logged(process, "worker stopped")
    assert [(entry["job"], entry["count"]) for entry in entries] == [
        ("delete audit log", 1000),
        ("delete audit log", 500),
    ]
    assert await connection.fetchval("SELECT count(*) FROM audit") == 3
    await connection.close()


async def test_a_worker_deletes_answers_whose_time_is_over(empty_database_url: str) -> None:
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute(
        """
        INSERT INTO idempotency_keys (key, fingerprint, answer, created_at)
        SELECT int4send(n), '', '', now() - CASE WHEN n > 3 THEN 25 ELSE 23 END * interval '1 hour'
        FROM generate_series(1, 1503) AS n
        """
    )
    async with a_worker(empty_database_url) as process:
        entries = [await logged(process, "rows deleted") for _ in range(2)]
        process.send_signal(signal.SIGTERM)
        await logged(process, "worker stopped")
    assert [(entry["job"], entry["count"]) for entry in entries] == [
        ("delete kept answers", 1000),
        ("delete kept answers", 500),
    ]
    assert await connection.fetchval("SELECT count(*) FROM idempotency_keys") == 3
    await connection.close()


async def test_a_worker_without_its_database_waits_and_still_ends_when_told_to() -> None:
    async with a_worker(NOWHERE) as process:
        assert (await logged(process, "the database failed"))["error"] == "ConnectionError"
        assert (await logged(process, "cannot deliver"))["reason"] == "The database does not answer."
        process.send_signal(signal.SIGINT)
        await logged(process, "worker stopped")
        assert await process.wait() == 0


async def test_what_a_reaction_does_is_written_down_as_the_worker_s(
    settings: Settings, run: Runner[UnitOfWork], begin: Begin[UnitOfWork], queries: Queries
) -> None:
    """In this process, so that the reaction can be the test's own."""
    team, done = a_team(), asyncio.Event()
    await store(begin, *team.aggregates)

    async def suspend(uow: UnitOfWork, delivery: Delivery[SpecimenOrderAssigned]) -> None:
        user = await uow.users.get(delivery.event.assignee_id)
        await uow.users.save(user.suspend(by=None, at=uow.now))
        done.set()

    member = team.member.user_id
    await run(create_specimen_order, team.owner, team.workspace.id, title="Spin", assignee_id=member)
    rows = [worker.when(SpecimenOrderAssigned, suspend)]
    working = asyncio.create_task(worker.run(Container(settings=settings), rows, []))
    async with asyncio.timeout(60):
        await done.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await working
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().remove_signal_handler(number)
    root = a_caller(roles=frozenset({GlobalRole.ADMIN}))
    [entry] = (await queries.audit.page(root, AuditFilter(kind=["suspended"]), PageRequest())).items
    assert (entry.user_id, entry.channel) == (member, Channel.WORKER)


async def test_a_worker_with_nothing_to_do_does_nothing(empty_database_url: str) -> None:
    heard: list[str] = []
    connection = await asyncpg.connect(empty_database_url)
    await connection.add_listener(CHANNEL, lambda *said: heard.append(said[-1]))
    async with a_worker(empty_database_url) as process:
        await logged(process, "worker started")
        await asyncio.sleep(2)  # two of its looks wake each other, if one wakes another at all
    await connection.close()
    assert heard == []
