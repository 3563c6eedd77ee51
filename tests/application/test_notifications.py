"""What users do with their notifications."""

from dataclasses import replace

import pytest

from application.commands.notifications import mark_notification
from application.kernel.run import Runner
from application.unit_of_work import UnitOfWork
from domain.notifications import Notification, NotificationNotFound
from kernel.world.builders import NOW, Team, store
from kernel.world.fakes import FakeClock, MemoryTransactions
from kernel.world.refusals import refused
from resources.notifications import a_notification
from resources.tasks import a_task


@pytest.fixture
async def notification(transactions: MemoryTransactions[UnitOfWork], team: Team) -> Notification:
    """For the viewer, because everybody may mark their own."""
    task = a_task(workspace_id=team.workspace.id)
    notification = a_notification(
        user_id=team.viewer.user_id, workspace_id=task.workspace_id, task_id=task.id
    )
    await store(transactions, task, notification)
    return notification


async def test_everybody_may_mark_their_own_as_read_and_as_unread_again(
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    clock: FakeClock,
    team: Team,
    notification: Notification,
) -> None:
    clock.now = NOW.replace(year=2031)
    marked = await run(mark_notification, team.viewer, notification.id, read=True)
    assert marked == replace(notification, read_at=clock.now, version=2)
    async with transactions() as uow:
        assert await uow.notifications.get(notification.id) == marked
    unread = await run(mark_notification, team.viewer, notification.id, read=False)
    assert unread == replace(notification, version=3)


async def test_marking_it_as_read_again_saves_nothing(
    run: Runner[UnitOfWork], team: Team, notification: Notification
) -> None:
    marked = await run(mark_notification, team.viewer, notification.id, read=True)
    assert await run(mark_notification, team.viewer, notification.id, read=True) == marked


async def test_to_others_it_does_not_exist(
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    team: Team,
    notification: Notification,
) -> None:
    for other in (team.owner, team.stranger):
        with refused(NotificationNotFound):
            await run(mark_notification, other, notification.id, read=True)
    async with transactions() as uow:
        assert await uow.notifications.get(notification.id) == notification


async def test_one_that_never_was_is_not_found_either(run: Runner[UnitOfWork], team: Team) -> None:
    with refused(NotificationNotFound):
        await run(mark_notification, team.viewer, a_notification().id, read=True)
