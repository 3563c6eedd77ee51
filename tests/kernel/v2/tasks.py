"""Tasks, of which the second version shows less."""

from dataclasses import dataclass

from domain.tasks import Status, TaskId
from entrypoints.http.dependencies import Ask
from entrypoints.http.kernel.routing.dependencies import Actor
from entrypoints.http.kernel.routing.routes import Router

router = Router(tag="tasks", prefix="/v2")


@dataclass(slots=True)
class TaskSummary:
    """What most people want to know of a task."""

    id: TaskId
    heading: str
    status: Status
    version: int


@router.get("/tasks/{task_id}")
async def get_task(task_id: TaskId, actor: Actor, ask: Ask) -> TaskSummary:
    """Any member may see a task, at a glance."""
    task = await ask.tasks.get(actor.user_id, task_id)
    return TaskSummary(task.id, task.title, task.status, task.version)
