"""What this service's events cause; `entrypoints/worker.py` has the table that says which.

A reaction runs in the transaction that marks its event as delivered. It may run again after a failure,
and by then the world may have moved on: what it needs can be gone.
"""

from application.kernel.ports.events import Delivery
from application.unit_of_work import UnitOfWork
from domain.kernel.users import UserDeleted
from domain.notifications import Kind, Notification, NotificationId
from domain.tasks import TaskAssigned, TaskNotFound


async def notify_assignee(uow: UnitOfWork, delivery: Delivery[TaskAssigned]) -> None:
    """Notifies a user to whom another user assigned a task, unless the task has been deleted since."""
    event = delivery.event
    if event.assignee_id == event.by:
        return
    try:
        await uow.tasks.get(event.task_id)
    except TaskNotFound:
        return
    await uow.notifications.add(
        Notification(
            id=NotificationId(delivery.id),
            user_id=event.assignee_id,
            kind=Kind.TASK_ASSIGNED,
            task_id=event.task_id,
            workspace_id=event.workspace_id,
            caused_by=event.by,
            created_at=event.at,
        )
    )


async def forget_user(uow: UnitOfWork, delivery: Delivery[UserDeleted]) -> None:
    """Removes what is here for a deleted user alone: what they were told.

    Their tasks and comments are others' work too, and stay; the kernel shows them as a deleted user's. A
    table of this service that has personal data of users gets a line here.
    """
    await uow.notifications.remove_of(delivery.event.user_id)
