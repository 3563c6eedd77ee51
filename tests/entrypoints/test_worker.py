"""The worker's tables of this service: what its events cause, and what is done every so often."""

import signal

from application.commands.tasks import create_task
from application.kernel.paging import PageRequest
from application.kernel.run import Runner
from application.kernel.unit_of_work import Begin
from application.queries import Queries
from application.queries.notifications import NotificationFilter
from application.reactions import forget_user, notify_assignee
from application.unit_of_work import UnitOfWork
from domain.kernel.users import UserDeleted
from domain.tasks import TaskAssigned
from entrypoints.kernel.worker import table
from entrypoints.worker import JOBS, REACTIONS
from kernel.servers.workers import a_worker, logged
from kernel.world.builders import a_team, store


def test_this_is_what_this_service_s_events_cause() -> None:
    assert table(REACTIONS) == {TaskAssigned: [notify_assignee], UserDeleted: [forget_user]}


def test_this_service_has_no_jobs_beside_the_kernel_s() -> None:
    assert list(JOBS) == []


async def test_a_worker_tells_the_assignee(
    empty_database_url: str, begin: Begin[UnitOfWork], run: Runner[UnitOfWork], queries: Queries
) -> None:
    team = a_team()
    await store(begin, *team.aggregates)
    async with a_worker(empty_database_url) as process:
        await logged(process, "worker started")
        await run(
            create_task,
            team.owner,
            team.workspace.id,
            title="Look at this",
            assignee_id=team.member.user_id,
        )
        handled = await logged(process, "event handled", event_type="TaskAssigned")
        process.send_signal(signal.SIGTERM)
        await logged(process, "worker stopped")
        assert await process.wait() == 0
    page = await queries.notifications.page(
        team.member.user_id, NotificationFilter(unread=True), PageRequest()
    )
    assert [(str(each.id), each.task_title) for each in page.items] == [(handled["event_id"], "Look at this")]
