"""A mail server that hangs, is away or refuses, and a worker that is killed: no mail is lost, and none waits
for another's fault."""

import asyncio
import json
from collections.abc import Sequence
from time import perf_counter

import asyncpg

from application.kernel.run import Runner
from application.kernel.unit_of_work import Begin
from domain.kernel.users import Email, User
from kernel.reliability.conftest import Tell
from kernel.servers.backends import ByHand, eventually
from kernel.servers.mail_server import a_mail_server
from kernel.servers.workers import a_worker, logged
from kernel.specimen.commands.specimen_orders import create_specimen_order
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import NOW, a_team, a_user_id, an_email, store

MAILS = 20
SOON = {"OUTBOX_OUTSIDE_SECONDS": "2", "OUTBOX_POLL_SECONDS": "0.5"}


async def register(begin: Begin[UnitOfWork], emails: Sequence[Email]) -> None:
    """Each of them is mailed to."""
    for email in emails:
        await store(begin, User.register(id=a_user_id(), email=email, display_name="Ada", at=NOW))


async def left(by_hand: ByHand, *, waiting: int = 0) -> None:
    """Returns when no more mails than that wait."""

    async def few() -> bool:
        waits = "(SELECT count(*) FROM outbox) + (SELECT count(*) FROM deliveries)"
        return bool(await by_hand.fetchval(f"SELECT {waits} <= $1", waiting))

    await eventually(few, seconds=30)


async def test_a_mail_server_that_hangs_delays_no_notification_and_loses_no_mail(
    empty_database_url: str, begin: Begin[UnitOfWork], run: Runner[UnitOfWork], tell: Tell
) -> None:
    by_hand, team = await asyncpg.connect(empty_database_url), a_team()
    await store(begin, *team.aggregates)
    async with a_mail_server() as mail:
        mail.mood = "silent"
        settings = {**mail.environment(), "OUTBOX_OUTSIDE_SECONDS": "2"}
        async with a_worker(empty_database_url, module="kernel.specimen.worker", **settings) as worker:
            await logged(worker, "worker started")
            emails = [an_email() for _ in range(MAILS)]
            await register(begin, emails)
            await logged(worker, "lane paused")
            began = perf_counter()
            assignee = team.member.user_id
            await run(create_specimen_order, team.owner, team.workspace.id, title="x", assignee_id=assignee)
            await logged(worker, "event handled", event_type="SpecimenOrderAssigned")
            delay = perf_counter() - began
            mail.mood, back = "good", perf_counter()
            reading = asyncio.create_task(worker.stdout.read())  # type: ignore[union-attr]
            await left(by_hand)
            seconds = perf_counter() - back
            reading.cancel()
        await by_hand.close()
        assert {*mail.recipients} == {*emails}
    assert delay < 5
    tell(f"{MAILS} mails hang, delay of a notification", f"{delay:.2f} s")
    tell("mail server back, all mails left after", f"{seconds:.1f} s")


async def test_a_mail_whose_worker_is_killed_while_it_leaves_is_sent_by_the_next_one_as_the_same_event(
    empty_database_url: str, begin: Begin[UnitOfWork], tell: Tell
) -> None:
    by_hand, email = await asyncpg.connect(empty_database_url), an_email()
    async with a_mail_server() as mail:
        mail.mood = "stalls after data"
        settings = {**mail.environment(), **SOON}
        async with a_worker(empty_database_url, **settings) as worker:
            await logged(worker, "worker started")
            await register(begin, [email])

            async def in_the_middle() -> bool:
                return bool(mail.taken)

            await eventually(in_the_middle)
            worker.kill()
            await worker.wait()
        killed, mail.mood = perf_counter(), "good"
        [waiting] = await by_hand.fetch("SELECT event_id, refusals, attempts, lease FROM deliveries")
        assert (waiting["refusals"], waiting["attempts"], waiting["lease"] is None) == (0, 0, False)
        async with a_worker(empty_database_url, **settings) as next_worker:
            again = await logged(next_worker, "delivered")
        assert again["event_id"] == str(waiting["event_id"])
        seconds = perf_counter() - killed
        await left(by_hand)
    await by_hand.close()
    assert mail.recipients == [email, email]
    tell("worker killed while a mail leaves, sent again after", f"{seconds:.1f} s (a lease of 12 s)")


async def test_every_mail_leaves_by_itself_when_a_mail_server_that_was_away_is_back(
    empty_database_url: str, begin: Begin[UnitOfWork], tell: Tell
) -> None:
    by_hand, emails = await asyncpg.connect(empty_database_url), [an_email() for _ in range(MAILS)]
    async with a_mail_server() as mail:
        await mail.stop()
        async with a_worker(empty_database_url, **mail.environment(), **SOON) as worker:
            await logged(worker, "worker started")
            await register(begin, emails)
            await logged(worker, "lane paused", lane="mail", silences=2)
            assert mail.recipients == []
            await mail.start()
            back = perf_counter()
            await logged(worker, "lane works again", lane="mail")
            reading = asyncio.create_task(worker.stdout.read())  # type: ignore[union-attr]
            await left(by_hand)  # so none is parked, either
            seconds = perf_counter() - back
            reading.cancel()
    await by_hand.close()
    assert sorted(mail.recipients) == sorted(emails)
    tell(f"mail server refused connections, {MAILS} mails left after its return in", f"{seconds:.1f} s")


async def test_a_recipient_who_is_refused_for_now_holds_up_nobody_else(
    empty_database_url: str, begin: Begin[UnitOfWork], tell: Tell
) -> None:
    by_hand, others = await asyncpg.connect(empty_database_url), [an_email() for _ in range(MAILS)]
    refused = an_email()
    async with a_mail_server() as mail:
        mail.moods[refused] = "not now"
        settings = {**mail.environment(), **SOON, "OUTBOX_LANE_DELIVERIES": "1"}
        async with a_worker(empty_database_url, **settings) as worker:
            await logged(worker, "worker started")
            await register(begin, [refused])
            await logged(worker, "delivery waits", reason="NotNow")
            began = perf_counter()
            await register(begin, others)
            await left(by_hand, waiting=1)
            seconds = perf_counter() - began
            assert sorted(mail.recipients) == sorted(others)
            [waiting] = await by_hand.fetch("SELECT refusals, attempts, parked_at FROM deliveries")
            assert tuple(waiting) == (1, 0, None)
            mail.moods.clear()
            await by_hand.execute("UPDATE deliveries SET available_at = now()")  # as if its pause were over
            await left(by_hand)
            worker.terminate()
            said, _ = await worker.communicate()
    await by_hand.close()
    assert mail.recipients[-1] == refused
    assert "lane paused" not in {json.loads(line)["event"] for line in said.splitlines()}
    tell(f"one recipient refused for now, {MAILS} others' mails left within", f"{seconds:.1f} s")
