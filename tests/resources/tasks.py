"""Tasks: all that the suites need to know of them."""

from datetime import datetime

from domain.kernel.aggregate import new_id
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId
from domain.tasks import Priority, Status, Task, TaskId
from kernel.world.builders import NOW, a_user_id, a_workspace_id


def a_task_id() -> TaskId:
    return TaskId(new_id(NOW))


def a_task(
    *,
    id: TaskId | None = None,
    workspace_id: WorkspaceId | None = None,
    title: str = "Weave algebraic patterns",
    description: str = "",
    status: Status = Status.OPEN,
    priority: Priority = Priority.NORMAL,
    due_at: datetime | None = None,
    assignee_id: UserId | None = None,
    labels: tuple[str, ...] = (),
    created_by: UserId | None = None,
    created_at: datetime = NOW,
    updated_at: datetime | None = None,
    finished_at: datetime | None = None,
) -> Task:
    """Finished when it was updated, where it is done and nothing else is said."""
    updated_at = updated_at or created_at
    return Task(
        id=id or a_task_id(),
        workspace_id=workspace_id or a_workspace_id(),
        title=title,
        description=description,
        status=status,
        priority=priority,
        due_at=due_at,
        assignee_id=assignee_id,
        labels=labels,
        created_by=created_by or a_user_id(),
        created_at=created_at,
        updated_at=updated_at,
        finished_at=finished_at or (updated_at if status is Status.DONE else None),
    )


FILLINGS = {
    "0005": """
        INSERT INTO tasks (id, workspace_id, title, description, status, priority, assignee_id, labels,
            created_by, created_at, updated_at, version)
        SELECT gen_random_uuid(), workspace_id, 'Spin', '', 'open', 'high', user_id, '{wool}', user_id, now(),
            now(), 1
        FROM memberships
    """,
}
