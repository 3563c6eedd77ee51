"""Tasks: what the members of a workspace have to do."""

from typing import Annotated, Required, TypedDict

from fastapi import Body, Query
from pydantic import Field

from application.commands import tasks as commands
from application.kernel.admission import NOT_ADMITTED
from application.kernel.paging import Page
from application.queries.tasks import TaskFilter, TaskSortKey, TaskView
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId
from domain.tasks import (
    DESCRIPTION_MOST,
    LABEL_MOST,
    LABEL_PATTERN,
    LABELS_MOST,
    TITLE_MOST,
    AssigneeNotMember,
    MoveNotAllowed,
    Priority,
    Task,
    TaskId,
)
from entrypoints.http.dependencies import Ask, Run
from entrypoints.http.kernel.document.examples import INSTANT
from entrypoints.http.kernel.routing.dependencies import Actor
from entrypoints.http.kernel.routing.inputs import Instant, strict, text
from entrypoints.http.kernel.routing.lists import ListQuery
from entrypoints.http.kernel.routing.routes import Router

router = Router(tag="tasks")

Title = Annotated[str, text(least=1, most=TITLE_MOST, examples=["Weave algebraic patterns"])]
Description = Annotated[str, text(most=DESCRIPTION_MOST, examples=["The engine can arrange and combine."])]
Label = Annotated[str, text(least=1, most=LABEL_MOST, pattern=f"^{LABEL_PATTERN}$", examples=["loom"])]
Labels = Annotated[tuple[Label, ...], Field(json_schema_extra={"maxItems": LABELS_MOST})]


@strict
class NewTask(TypedDict, total=False):
    """A task to create."""

    title: Required[Title]
    description: Description
    priority: Priority
    due_at: Instant | None
    assignee_id: UserId | None
    labels: Labels


@strict
class TaskPatch(TypedDict, total=False):
    """What of a task is to change; `null` takes a due date or an assignee away."""

    title: Title
    description: Description
    priority: Priority
    due_at: Instant | None
    assignee_id: UserId | None
    labels: Labels


@router.post(
    "/workspaces/{workspace_id}/tasks",
    use_case=commands.create_task,
    response_model=TaskView,
    location="/tasks/{id}",
    refuses=(*NOT_ADMITTED, AssigneeNotMember),
)
async def create_task(
    workspace_id: WorkspaceId, actor: Actor, run: Run, body: Annotated[NewTask, Body()]
) -> Task:
    return await run(commands.create_task, actor, workspace_id, **body)


@router.get("/workspaces/{workspace_id}/tasks")
async def list_tasks(
    workspace_id: WorkspaceId,
    actor: Actor,
    ask: Ask,
    query: Annotated[ListQuery[TaskFilter, TaskSortKey], Query()],
) -> Page[TaskView]:
    """Any member may list the tasks."""
    return await ask.tasks.page(actor.user_id, workspace_id, query.where, query.sort, query.page)


@router.get("/tasks/{task_id}")
async def get_task(task_id: TaskId, actor: Actor, ask: Ask) -> TaskView:
    """Any member may see a task."""
    return await ask.tasks.get(actor.user_id, task_id)


@router.patch(
    "/tasks/{task_id}",
    use_case=commands.edit_task,
    changes=Task,
    response_model=TaskView,
    refuses=(*NOT_ADMITTED, AssigneeNotMember),
)
async def edit_task(task_id: TaskId, actor: Actor, run: Run, body: Annotated[TaskPatch, Body()]) -> Task:
    return await run(commands.edit_task, actor, task_id, **body)


@router.delete("/tasks/{task_id}", use_case=commands.delete_task, changes=Task, refuses=NOT_ADMITTED)
async def delete_task(task_id: TaskId, actor: Actor, run: Run) -> None:
    await run(commands.delete_task, actor, task_id)


@router.post(
    "/tasks/{task_id}/start",
    use_case=commands.start_task,
    example={"status": "in_progress"},
    changes=Task,
    response_model=TaskView,
    refuses=(*NOT_ADMITTED, MoveNotAllowed),
)
async def start_task(task_id: TaskId, actor: Actor, run: Run) -> Task:
    return await run(commands.start_task, actor, task_id)


@router.post(
    "/tasks/{task_id}/completion",
    use_case=commands.complete_task,
    example={"status": "done", "finished_at": INSTANT},
    changes=Task,
    response_model=TaskView,
    refuses=(*NOT_ADMITTED, MoveNotAllowed),
)
async def complete_task(task_id: TaskId, actor: Actor, run: Run) -> Task:
    return await run(commands.complete_task, actor, task_id)


@router.post(
    "/tasks/{task_id}/cancellation",
    use_case=commands.cancel_task,
    example={"status": "cancelled"},
    changes=Task,
    response_model=TaskView,
    refuses=(*NOT_ADMITTED, MoveNotAllowed),
)
async def cancel_task(task_id: TaskId, actor: Actor, run: Run) -> Task:
    return await run(commands.cancel_task, actor, task_id)


@router.post(
    "/tasks/{task_id}/reopening",
    use_case=commands.reopen_task,
    changes=Task,
    response_model=TaskView,
    refuses=(*NOT_ADMITTED, MoveNotAllowed),
)
async def reopen_task(task_id: TaskId, actor: Actor, run: Run) -> Task:
    return await run(commands.reopen_task, actor, task_id)
