"""What events cause: that an assignee is told, and that nothing is left of what a deleted user was told."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from application.kernel.ports.events import Delivery
from application.kernel.run import Runner
from application.reactions import forget_user, notify_assignee
from application.unit_of_work import UnitOfWork
from domain.kernel.users import UserDeleted
from domain.notifications import Kind, Notification, NotificationId, NotificationNotFound
from domain.tasks import Task, TaskAssigned
from kernel.world.builders import NOW, Team, store
from kernel.world.fakes import FakeClock, MemoryTransactions
from kernel.world.refusals import refused
from resources.notifications import a_notification
from resources.tasks import a_task


@pytest.fixture
def task(team: Team) -> Task:
    return a_task(workspace_id=team.workspace.id, assignee_id=team.member.user_id)


def assigned(task: Task, team: Team, *, by: str = "owner") -> Delivery[TaskAssigned]:
    event = TaskAssigned(
        at=NOW,
        task_id=task.id,
        workspace_id=task.workspace_id,
        assignee_id=team.member.user_id,
        by=getattr(team, by).user_id,
    )
    return Delivery(id=uuid4(), event=event)


async def test_an_assignee_is_told_by_whom_when_and_about_what(
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    clock: FakeClock,
    team: Team,
    task: Task,
) -> None:
    await store(transactions, task)
    delivery = assigned(task, team)
    clock.advance(timedelta(hours=1))
    await run(notify_assignee, delivery)
    async with transactions() as uow:
        assert await uow.notifications.get(NotificationId(delivery.id)) == Notification(
            id=NotificationId(delivery.id),
            user_id=team.member.user_id,
            kind=Kind.TASK_ASSIGNED,
            task_id=task.id,
            workspace_id=task.workspace_id,
            caused_by=team.owner.user_id,
            created_at=NOW,
            read_at=None,
        )


async def test_nobody_is_told_what_they_did_themselves(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team, task: Task
) -> None:
    await store(transactions, task)
    delivery = assigned(task, team, by="member")
    await run(notify_assignee, delivery)
    async with transactions() as uow:
        with refused(NotificationNotFound):
            await uow.notifications.get(NotificationId(delivery.id))


async def test_a_task_that_is_gone_by_then_is_nobodys_news(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team, task: Task
) -> None:
    delivery = assigned(task, team)
    await run(notify_assignee, delivery)
    async with transactions() as uow:
        with refused(NotificationNotFound):
            await uow.notifications.get(NotificationId(delivery.id))


async def test_what_a_deleted_user_was_told_is_gone_and_nothing_of_others(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team, task: Task
) -> None:
    where: dict[str, Any] = {"task_id": task.id, "workspace_id": task.workspace_id}
    theirs = [a_notification(user_id=team.member.user_id, **where) for _ in range(2)]
    others = a_notification(user_id=team.owner.user_id, caused_by=team.member.user_id, **where)
    await store(transactions, task, *theirs, others)
    event = UserDeleted(at=NOW, user_id=team.member.user_id, by=team.member.user_id)
    for _ in range(2):  # it may be delivered again
        await run(forget_user, Delivery(id=uuid4(), event=event))
    assert [*transactions.committed.of(Notification)] == [others.id]
    assert [*transactions.committed.of(Task)] == [task.id]
