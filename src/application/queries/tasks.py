"""What a member can ask about tasks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, Protocol

from application.kernel.example import Example
from application.kernel.paging import Page, PageRequest, Sort
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId
from domain.tasks import Priority, Status, TaskId


@dataclass(slots=True)
class TaskView:
    """A task. Times are UTC; `finished_at` is set exactly while it is done."""

    id: TaskId
    workspace_id: WorkspaceId
    title: Annotated[str, Example("Weave algebraic patterns")]
    description: Annotated[str, Example("The engine can arrange and combine.")]
    status: Status
    priority: Priority
    due_at: datetime | None
    assignee_id: UserId | None
    labels: list[Annotated[str, Example("loom")]]
    created_by: UserId
    created_at: datetime
    updated_at: datetime
    finished_at: Annotated[datetime | None, Example(None)]
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Which tasks. Each condition that is given must hold; a sequence means any of its values.

    `due_after` is inclusive, `due_before` exclusive; `text` is searched in title and description, in
    the manner of a web search (`"exact words"`, `-without`, `or`).
    """

    status: Sequence[Status] = ()
    priority: Sequence[Priority] = ()
    assignee_id: UserId | None = None
    label: str | None = None
    due_after: datetime | None = None
    due_before: datetime | None = None
    text: str | None = None


type TaskSortKey = Literal["created_at", "due_at", "priority", "title"]
"""Tasks without a due date come last when sorted by it upwards."""


class TaskQueries(Protocol):
    async def get(self, viewer: UserId, task_id: TaskId, /) -> TaskView:
        """Raises TaskNotFound, also for somebody who is no member of the workspace."""

    async def page(
        self,
        viewer: UserId,
        workspace_id: WorkspaceId,
        where: TaskFilter,
        sort: Sequence[Sort[TaskSortKey]],
        page: PageRequest,
        /,
    ) -> Page[TaskView]:
        """Sorted by `sort` and then by id; raises WorkspaceNotFound, InvalidCursor."""
