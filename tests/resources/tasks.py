"""Tasks: all that the suites need to know of them."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from application.kernel.paging import Sort
from application.queries.tasks import TaskFilter, TaskView
from domain.kernel.aggregate import new_id
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId
from domain.tasks import Priority, Status, Task, TaskId
from kernel.world.builders import NOW, a_user_id, a_workspace_id
from kernel.world.resources import Listed


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


FILLED = TaskId(UUID(int=1))
"""The first that FILL makes."""

FILL = {
    "tasks": """
        INSERT INTO tasks
            (id, workspace_id, title, description, status, priority, due_at, labels, created_by,
             created_at, updated_at, version)
        SELECT CASE WHEN n = 1 THEN '00000000-0000-0000-0000-000000000001'::uuid ELSE gen_random_uuid() END,
               :workspace, 'Task ' || (n / 2 * 7919 % 5000), '', 'open',
               (ARRAY['low', 'normal', 'high', 'urgent'])[1 + n % 4],
               CASE WHEN n % 4 = 0 THEN NULL ELSE :now + (n / 2 * 7907 % 5000) * interval '1 minute' END,
               '{}', :owner, :at, :now, 1
        FROM generate_series(1, 10000) AS n
    """,
}
DUE = TaskFilter(due_after=NOW, due_before=NOW.replace(year=2030))


def _pages(where: TaskFilter | None = None, **more: Any) -> Listed[TaskView]:
    return Listed(
        table="tasks",
        ask=lambda world, sort, page: world.ask.tasks.page(
            world.team.viewer.user_id, world.team.workspace.id, where or TaskFilter(), sort, page
        ),
        **more,
    )


def _due(view: TaskView) -> datetime:
    return view.due_at or datetime(9999, 12, 31, tzinfo=UTC)


LISTS = {
    "tasks": _pages(
        sorts={
            "created_at": lambda view: view.created_at,
            "due_at": _due,
            "priority": lambda view: [*Priority].index(view.priority),
            "title": lambda view: view.title,
        },
        several=[
            [Sort("created_at", descending=True), Sort("title", descending=True)],
            [Sort("created_at", descending=True), Sort("title")],
            [Sort("title"), Sort("due_at", descending=True)],
        ],
    ),
    "tasks due in a window": _pages(DUE, sorts={"due_at": _due}, rows=7_500),
}
