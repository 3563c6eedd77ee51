"""Tasks: all that the suites need to know of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from application.commands.tasks import (
    cancel_task,
    complete_task,
    create_task,
    delete_task,
    edit_task,
    reopen_task,
    start_task,
)
from application.kernel.admission import NotPermitted
from application.kernel.paging import PageRequest, Sort
from application.queries.tasks import TaskFilter, TaskView
from domain.kernel.aggregate import Aggregate, new_id
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId
from domain.tasks import Priority, Status, Task, TaskId, TaskNotFound
from kernel.world.builders import NOW, a_team, a_user_id, a_workspace_id
from kernel.world.resources import (
    Example,
    Listed,
    Matrix,
    Places,
    Stage,
    Statements,
    World,
    in_a_workspace,
    json,
)


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


LATER = NOW + timedelta(days=1, hours=2, minutes=3, seconds=4, microseconds=5)


# ── contracts ────────────────────────────────────────────────────────────────────────────────────


def task_example() -> Example:
    team = a_team()
    task = a_task(
        workspace_id=team.workspace.id,
        title="Weave",
        description="Flowers\n\tand leaves 🌿",
        status=Status.DONE,
        priority=Priority.URGENT,
        due_at=LATER,
        assignee_id=team.member.user_id,
        labels=("card", "loom"),
        created_by=team.owner.user_id,
        updated_at=LATER,
        finished_at=LATER,
    )
    changed = replace(
        task,
        title="Unweave",
        description="",
        status=Status.IN_PROGRESS,
        priority=Priority.LOW,
        due_at=None,
        assignee_id=None,
        labels=(),
        updated_at=LATER + timedelta(days=1),
        finished_at=None,
    )
    return Example(team.aggregates, task, changed, TaskNotFound)


EXAMPLES = [task_example]


# ── the world ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Made:
    task: Task
    done: Task


def of(world: World) -> Made:
    """A task that is open, unless it is about to be reopened, and one that is done."""
    reopened = world.operation == "POST /v1/tasks/{task_id}/reopening"
    about: dict[str, Any] = {"workspace_id": world.workspace_id, "created_by": world.member}
    return world.once(
        Made,
        lambda: Made(
            task=a_task(
                **about, id=TaskId(world.id("task")), status=Status.DONE if reopened else Status.OPEN
            ),
            done=a_task(**about, status=Status.DONE),
        ),
    )


def stored(world: World) -> Sequence[Aggregate]:
    return [of(world).task, of(world).done]


def crowd(world: World, count: int) -> Sequence[Aggregate]:
    return [
        a_task(workspace_id=world.workspace_id, created_by=world.owner, assignee_id=world.member)
        for _ in range(count)
    ]


def places(world: World) -> Places:
    return {"task_id": of(world).task.id, "done_task_id": of(world).done.id}


PEOPLE = ["assignee_id"]

MATRIX: Matrix = {
    "POST /v1/workspaces/{workspace_id}/tasks": in_a_workspace(
        "member", 201, weak=("viewer", 403), send=json(title="Spin")
    ),
    "GET /v1/workspaces/{workspace_id}/tasks": in_a_workspace("viewer", weak=None),
    "GET /v1/tasks/{task_id}": in_a_workspace("viewer", weak=None),
    "PATCH /v1/tasks/{task_id}": in_a_workspace("member", weak=("viewer", 403), send=json(title="Spin")),
    "DELETE /v1/tasks/{task_id}": in_a_workspace("member", 204, weak=("viewer", 403)),
    "POST /v1/tasks/{task_id}/start": in_a_workspace("member", weak=("viewer", 403)),
    "POST /v1/tasks/{task_id}/completion": in_a_workspace("member", weak=("viewer", 403)),
    "POST /v1/tasks/{task_id}/cancellation": in_a_workspace("member", weak=("viewer", 403)),
    "POST /v1/tasks/{task_id}/reopening": in_a_workspace(
        "member", weak=("viewer", 403), at={"task_id": "done_task_id"}
    ),
}


# ── statements ───────────────────────────────────────────────────────────────────────────────────


async def _refused(it: Stage) -> None:
    with pytest.raises(NotPermitted):
        await it.run(create_task, it.team.viewer, it.team.workspace.id, title="Spin")


COMMANDS: Statements = {
    # standing, change
    "create_task": (2, lambda it: it.run(create_task, it.team.member, it.team.workspace.id, title="Spin")),
    # that the assignee is a member is the foreign key's to see to
    "create_task, assigned": (
        2,
        lambda it: it.run(
            create_task, it.team.member, it.team.workspace.id, title="Spin", assignee_id=it.team.admin.user_id
        ),
    ),
    # standing
    "create_task, refused": (1, _refused),
    # task, standing, change
    "edit_task": (3, lambda it: it.run(edit_task, it.team.member, of(it.world).task.id, title="Spin")),
    "edit_task, another assignee": (
        3,
        lambda it: it.run(
            edit_task, it.team.member, of(it.world).task.id, assignee_id=it.team.admin.user_id, title="Spin"
        ),
    ),
    "edit_task, the same": (
        2,
        lambda it: it.run(edit_task, it.team.member, of(it.world).task.id, title=of(it.world).task.title),
    ),
    "start_task": (3, lambda it: it.run(start_task, it.team.member, of(it.world).task.id)),
    "complete_task": (3, lambda it: it.run(complete_task, it.team.member, of(it.world).task.id)),
    "cancel_task": (3, lambda it: it.run(cancel_task, it.team.member, of(it.world).task.id)),
    "reopen_task": (3, lambda it: it.run(reopen_task, it.team.member, of(it.world).done.id)),
    "delete_task": (3, lambda it: it.run(delete_task, it.team.member, of(it.world).task.id)),
}

QUERIES: Statements = {
    "tasks.get": (1, lambda it: it.ask.tasks.get(it.team.viewer.user_id, of(it.world).task.id)),
    "tasks.of_user": (
        1,
        lambda it: it.ask.tasks.of_user(it.team.owner.user_id, PageRequest(limit=20)),
    ),
    "tasks.page": (
        1,
        lambda it: it.ask.tasks.page(
            it.team.viewer.user_id, it.team.workspace.id, TaskFilter(), [Sort("title")], PageRequest(limit=20)
        ),
    ),
}

FILLINGS = {
    "0005": """
        INSERT INTO tasks (id, workspace_id, title, description, status, priority, assignee_id, labels,
            created_by, created_at, updated_at, version)
        SELECT gen_random_uuid(), workspace_id, 'Spin', '', 'open', 'high', user_id, '{wool}', user_id, now(),
            now(), 1
        FROM memberships
    """,
}


# ── lists ────────────────────────────────────────────────────────────────────────────────────────

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
    # For an export, which is asked for once: no index has the order.
    "tasks of a user": Listed(
        table="tasks",
        ask=lambda world, _, page: world.ask.tasks.of_user(world.team.owner.user_id, page),
        sorts={"created_at": lambda view: view.created_at},
        fixed=Sort("created_at", descending=True),
        short=True,
    ),
}
