"""What a member can ask about specimen orders."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, Protocol

from application.kernel.example import Example
from application.kernel.paging import Length, Page, PageRequest, Sort
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId
from kernel.specimen.domain.specimen_orders import (
    LABEL_MOST,
    SpecimenOrderId,
    SpecimenOrderPriority,
    SpecimenOrderStatus,
)


@dataclass(slots=True)
class SpecimenOrderView:
    """A specimen order. Times are UTC; `finished_at` is set exactly while it is done."""

    id: SpecimenOrderId
    workspace_id: WorkspaceId
    title: Annotated[str, Example("Weave algebraic patterns")]
    description: str
    status: SpecimenOrderStatus
    priority: SpecimenOrderPriority
    due_at: datetime | None
    assignee_id: UserId | None
    labels: list[str]
    created_by: UserId
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecimenOrderFilter:
    """Which specimen orders. All filters that are given have to hold; of several values any will do."""

    status: Annotated[Sequence[SpecimenOrderStatus], Length(20)] = ()
    """In any of these statuses."""

    priority: Annotated[Sequence[SpecimenOrderPriority], Length(20)] = ()
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


type SpecimenOrderSortKey = Annotated[
    Literal["created_at", "due_at", "priority", "title"], Sort("created_at", descending=True)
]
"""SpecimenOrders without a due date come last when sorted by it upwards."""


class SpecimenOrderQueries(Protocol):
    async def get(self, viewer: UserId, specimen_order_id: SpecimenOrderId, /) -> SpecimenOrderView:
        """Raises SpecimenOrderNotFound, also for a viewer who is not a member of the workspace."""

    async def page(
        self,
        viewer: UserId,
        workspace_id: WorkspaceId,
        where: SpecimenOrderFilter,
        sort: Sequence[Sort[SpecimenOrderSortKey]],
        page: PageRequest,
        /,
    ) -> Page[SpecimenOrderView]:
        """Sorted by `sort` and then by id; raises WorkspaceNotFound, InvalidCursor."""
