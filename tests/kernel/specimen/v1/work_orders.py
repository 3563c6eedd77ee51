"""WorkOrders: what the members of a workspace have to do."""

from typing import Annotated, Required, TypedDict

from fastapi import Body, Query
from pydantic import Field

from application.kernel.admission import NOT_ADMITTED
from application.kernel.paging import Page
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId
from entrypoints.http.kernel.routing.dependencies import Actor
from entrypoints.http.kernel.routing.inputs import Instant, strict, text
from entrypoints.http.kernel.routing.lists import ListQuery
from entrypoints.http.kernel.routing.routes import Router
from kernel.specimen.commands import work_orders as commands
from kernel.specimen.domain.work_orders import (
    DESCRIPTION_MOST,
    LABEL_MOST,
    LABEL_PATTERN,
    LABELS_MOST,
    TITLE_MOST,
    TransitionNotAllowed,
    WorkOrder,
    WorkOrderAssigneeNotMember,
    WorkOrderId,
    WorkOrderPriority,
)
from kernel.specimen.queries.work_orders import WorkOrderFilter, WorkOrderSortKey, WorkOrderView
from kernel.specimen.service import Ask, Run

router = Router(tag="work_orders")

Title = Annotated[str, text(least=1, most=TITLE_MOST, examples=["Weave algebraic patterns"])]
Description = Annotated[str, text(most=DESCRIPTION_MOST)]
Label = Annotated[str, text(least=1, most=LABEL_MOST, pattern=f"^{LABEL_PATTERN}$", examples=["loom"])]
Labels = Annotated[tuple[Label, ...], Field(json_schema_extra={"maxItems": LABELS_MOST})]


@strict
class NewWorkOrder(TypedDict, total=False):
    """A work order to create."""

    title: Required[Title]
    description: Description
    priority: WorkOrderPriority
    due_at: Instant | None
    assignee_id: UserId | None
    labels: Labels


@strict
class WorkOrderPatch(TypedDict, total=False):
    """What of a work order is to change; `null` takes a due date or an assignee away."""

    title: Title
    description: Description
    priority: WorkOrderPriority
    due_at: Instant | None
    assignee_id: UserId | None
    labels: Labels


@router.post(
    "/workspaces/{workspace_id}/work_orders",
    use_case=commands.create_work_order,
    response_model=WorkOrderView,
    location="/work_orders/{id}",
    refuses=(*NOT_ADMITTED, WorkOrderAssigneeNotMember),
)
async def create_work_order(
    workspace_id: WorkspaceId, actor: Actor, run: Run, body: Annotated[NewWorkOrder, Body()]
) -> WorkOrder:
    return await run(commands.create_work_order, actor, workspace_id, **body)


@router.get("/workspaces/{workspace_id}/work_orders")
async def list_work_orders(
    workspace_id: WorkspaceId,
    actor: Actor,
    ask: Ask,
    query: Annotated[ListQuery[WorkOrderFilter, WorkOrderSortKey], Query()],
) -> Page[WorkOrderView]:
    """Any member may list the work orders."""
    return await ask.work_orders.page(actor.user_id, workspace_id, query.where, query.sort, query.page)


@router.get("/work_orders/{work_order_id}")
async def get_work_order(work_order_id: WorkOrderId, actor: Actor, ask: Ask) -> WorkOrderView:
    """Any member may see a work order."""
    return await ask.work_orders.get(actor.user_id, work_order_id)


@router.patch(
    "/work_orders/{work_order_id}",
    use_case=commands.edit_work_order,
    changes=WorkOrder,
    response_model=WorkOrderView,
    refuses=(*NOT_ADMITTED, WorkOrderAssigneeNotMember),
)
async def edit_work_order(
    work_order_id: WorkOrderId, actor: Actor, run: Run, body: Annotated[WorkOrderPatch, Body()]
) -> WorkOrder:
    return await run(commands.edit_work_order, actor, work_order_id, **body)


@router.delete(
    "/work_orders/{work_order_id}",
    use_case=commands.delete_work_order,
    changes=WorkOrder,
    refuses=NOT_ADMITTED,
)
async def delete_work_order(work_order_id: WorkOrderId, actor: Actor, run: Run) -> None:
    await run(commands.delete_work_order, actor, work_order_id)


@router.post(
    "/work_orders/{work_order_id}/start",
    use_case=commands.start_work_order,
    changes=WorkOrder,
    response_model=WorkOrderView,
    refuses=(*NOT_ADMITTED, TransitionNotAllowed),
)
async def start_work_order(work_order_id: WorkOrderId, actor: Actor, run: Run) -> WorkOrder:
    return await run(commands.start_work_order, actor, work_order_id)


@router.post(
    "/work_orders/{work_order_id}/completion",
    use_case=commands.complete_work_order,
    changes=WorkOrder,
    response_model=WorkOrderView,
    refuses=(*NOT_ADMITTED, TransitionNotAllowed),
)
async def complete_work_order(work_order_id: WorkOrderId, actor: Actor, run: Run) -> WorkOrder:
    return await run(commands.complete_work_order, actor, work_order_id)


@router.post(
    "/work_orders/{work_order_id}/cancellation",
    use_case=commands.cancel_work_order,
    changes=WorkOrder,
    response_model=WorkOrderView,
    refuses=(*NOT_ADMITTED, TransitionNotAllowed),
)
async def cancel_work_order(work_order_id: WorkOrderId, actor: Actor, run: Run) -> WorkOrder:
    return await run(commands.cancel_work_order, actor, work_order_id)


@router.post(
    "/work_orders/{work_order_id}/reopening",
    use_case=commands.reopen_work_order,
    changes=WorkOrder,
    response_model=WorkOrderView,
    refuses=(*NOT_ADMITTED, TransitionNotAllowed),
)
async def reopen_work_order(work_order_id: WorkOrderId, actor: Actor, run: Run) -> WorkOrder:
    return await run(commands.reopen_work_order, actor, work_order_id)
