"""A mail server that hangs: nobody else waits for it, and every mail leaves by itself once it is back."""

import asyncio
from time import perf_counter

import asyncpg

from application.kernel.run import Runner
from application.kernel.unit_of_work import Begin
from domain.kernel.users import User
from kernel.reliability.conftest import Tell
from kernel.servers.backends import eventually
from kernel.servers.mail_server import a_mail_server
from kernel.servers.workers import a_worker, logged
from kernel.specimen.commands.specimen_orders import create_specimen_order
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import NOW, a_team, a_user_id, an_email, store

MAILS = 20


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
            for email in emails:
                await store(begin, User.register(id=a_user_id(), email=email, display_name="Ada", at=NOW))
            await logged(worker, "lane paused")
            began = perf_counter()
            assignee = team.member.user_id
            await run(create_specimen_order, team.owner, team.workspace.id, title="x", assignee_id=assignee)
            await logged(worker, "event handled", event_type="SpecimenOrderAssigned")
            delay = perf_counter() - began
            mail.mood, back = "good", perf_counter()

            async def all_left() -> bool:
                return not await by_hand.fetchval("SELECT count(*) FROM deliveries")

            reading = asyncio.create_task(worker.stdout.read())  # type: ignore[union-attr]
            await eventually(all_left, seconds=60)
            left = perf_counter() - back
            reading.cancel()
        await by_hand.close()
        assert {*mail.recipients} == {*emails}
    assert delay < 5
    tell(f"{MAILS} mails hang, delay of a notification", f"{delay:.2f} s")
    tell("mail server back, all mails left after", f"{left:.1f} s")
