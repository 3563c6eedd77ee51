"""What a member can ask about work orders."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, Protocol

from application.kernel.example import Example
from application.kernel.paging import Page, PageRequest, Sort
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId
from kernel.specimen.domain.work_orders import WorkOrderId, WorkOrderPriority, WorkOrderStatus


@dataclass(slots=True)
class WorkOrderView:
    """A work order. Times are UTC; `finished_at` is set exactly while it is done."""

    id: WorkOrderId
    workspace_id: WorkspaceId
    title: Annotated[str, Example("Weave algebraic patterns")]
    description: str
    status: WorkOrderStatus
    priority: WorkOrderPriority
    due_at: datetime | None
    assignee_id: UserId | None
    labels: list[str]
    created_by: UserId
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkOrderFilter:
    """Which work orders. Each condition that is given must hold; a sequence means any of its values.

    `due_after` is inclusive, `due_before` exclusive; `text` is searched in title and description, in
    the manner of a web search (`"exact words"`, `-without`, `or`).
    """

    status: Sequence[WorkOrderStatus] = ()
    priority: Sequence[WorkOrderPriority] = ()
    assignee_id: UserId | None = None
    label: str | None = None
    due_after: datetime | None = None
    due_before: datetime | None = None
    text: str | None = None


type WorkOrderSortKey = Literal["created_at", "due_at", "priority", "title"]
"""WorkOrders without a due date come last when sorted by it upwards."""


class WorkOrderQueries(Protocol):
    async def get(self, viewer: UserId, work_order_id: WorkOrderId, /) -> WorkOrderView:
        """Raises WorkOrderNotFound, also for somebody who is no member of the workspace."""

    async def page(
        self,
        viewer: UserId,
        workspace_id: WorkspaceId,
        where: WorkOrderFilter,
        sort: Sequence[Sort[WorkOrderSortKey]],
        page: PageRequest,
        /,
    ) -> Page[WorkOrderView]:
        """Sorted by `sort` and then by id; raises WorkspaceNotFound, InvalidCursor."""
