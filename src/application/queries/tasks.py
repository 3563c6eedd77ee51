"""What a member can ask about tasks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, Protocol

from application.kernel.example import Example
from application.kernel.paging import Length, Page, PageRequest, Sort
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId
from domain.tasks import LABEL_MOST, Priority, Status, TaskId


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
    """Which tasks. All filters that are given have to hold; of several values any will do."""

    status: Annotated[Sequence[Status], Length(20)] = ()
    """In any of these statuses."""

    priority: Annotated[Sequence[Priority], Length(20)] = ()
    """Of any of these priorities."""

    assignee_id: UserId | None = None
    """Assigned to this user."""

    label: Annotated[str | None, Length(LABEL_MOST, least=1)] = None
    """With this label."""

    due_after: datetime | None = None
    """Due at this instant or later."""

    due_before: datetime | None = None
    """Due before this instant."""

    q: Annotated[str | None, Length(200)] = None
    """Words in title or description, in the manner of a web search: `"exact words"`, `-without`, `or`."""


type TaskSortKey = Annotated[
    Literal["created_at", "due_at", "priority", "title"], Sort("created_at", descending=True)
]
"""Tasks without a due date come last when sorted by it upwards."""


class TaskQueries(Protocol):
    async def get(self, viewer: UserId, task_id: TaskId, /) -> TaskView:
        """Raises TaskNotFound, also for a viewer who is not a member of the workspace."""

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

    async def of_user(self, user_id: UserId, page: PageRequest, /) -> Page[TaskView]:
        """What the user created or is assigned to, the newest first, where they are a member.

        Raises InvalidCursor.
        """
