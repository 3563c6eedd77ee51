"""What members do with tasks."""

from datetime import datetime
from typing import Unpack

from application.kernel.admission import admit
from application.kernel.ports.callers import Caller
from application.permissions import WRITE_TASKS
from application.unit_of_work import UnitOfWork
from domain.kernel.aggregate import new_id
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId
from domain.tasks import Priority, Status, Task, TaskChanges, TaskId, TaskNotFound


async def create_task(
    uow: UnitOfWork,
    actor: Caller,
    workspace_id: WorkspaceId,
    *,
    title: str,
    description: str = "",
    priority: Priority = Priority.NORMAL,
    due_at: datetime | None = None,
    assignee_id: UserId | None = None,
    labels: tuple[str, ...] = (),
) -> Task:
    """Any member but a viewer may create a task; its assignee must be a member."""
    await admit(uow, actor, workspace_id, WRITE_TASKS)
    return await uow.tasks.add(
        Task.create(
            id=TaskId(new_id(uow.now)),
            workspace_id=workspace_id,
            title=title,
            description=description,
            priority=priority,
            due_at=due_at,
            assignee_id=assignee_id,
            labels=labels,
            by=actor.user_id,
            at=uow.now,
        )
    )


async def edit_task(uow: UnitOfWork, actor: Caller, task_id: TaskId, **changes: Unpack[TaskChanges]) -> Task:
    """Any member but a viewer may edit a task in whatever status; its assignee must be a member."""
    task = await _admitted(uow, actor, task_id)
    edited = task.edit(by=actor.user_id, at=uow.now, **changes)
    return task if edited is task else await uow.tasks.save(edited)


async def start_task(uow: UnitOfWork, actor: Caller, task_id: TaskId) -> Task:
    """Any member but a viewer may start an open task."""
    return await _move(uow, actor, task_id, Status.IN_PROGRESS)


async def complete_task(uow: UnitOfWork, actor: Caller, task_id: TaskId) -> Task:
    """Any member but a viewer may complete a task that is open or in progress."""
    return await _move(uow, actor, task_id, Status.DONE)


async def cancel_task(uow: UnitOfWork, actor: Caller, task_id: TaskId) -> Task:
    """Any member but a viewer may cancel a task that is open or in progress."""
    return await _move(uow, actor, task_id, Status.CANCELLED)


async def reopen_task(uow: UnitOfWork, actor: Caller, task_id: TaskId) -> Task:
    """Any member but a viewer may reopen a task that is in progress, done or cancelled."""
    return await _move(uow, actor, task_id, Status.OPEN)


async def delete_task(uow: UnitOfWork, actor: Caller, task_id: TaskId) -> None:
    """Any member but a viewer may delete a task, with its comments."""
    task = await _admitted(uow, actor, task_id)
    await uow.tasks.remove(task.delete(by=actor.user_id, at=uow.now))


async def _move(uow: UnitOfWork, actor: Caller, task_id: TaskId, destination: Status) -> Task:
    task = await _admitted(uow, actor, task_id)
    return await uow.tasks.save(task.move(destination, by=actor.user_id, at=uow.now))


async def _admitted(uow: UnitOfWork, actor: Caller, task_id: TaskId) -> Task:
    """The task, if the actor may write tasks where it is; others learn nothing but that it is not theirs."""
    task = await uow.tasks.get(task_id)
    await admit(uow, actor, task.workspace_id, WRITE_TASKS, otherwise=TaskNotFound)
    return task
