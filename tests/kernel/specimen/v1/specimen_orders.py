"""SpecimenOrders: what the members of a workspace have to do."""

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
from kernel.specimen.commands import specimen_orders as commands
from kernel.specimen.domain.specimen_orders import (
    DESCRIPTION_MOST,
    LABEL_MOST,
    LABEL_PATTERN,
    LABELS_MOST,
    TITLE_MOST,
    SpecimenOrder,
    SpecimenOrderAssigneeNotMember,
    SpecimenOrderId,
    SpecimenOrderPriority,
    SpecimenOrderTransitionNotAllowed,
)
from kernel.specimen.queries.specimen_orders import (
    SpecimenOrderFilter,
    SpecimenOrderSortKey,
    SpecimenOrderView,
)
from kernel.specimen.service import Ask, Run

router = Router(tag="specimen_orders")

Title = Annotated[str, text(least=1, most=TITLE_MOST, examples=["Weave algebraic patterns"])]
Description = Annotated[str, text(most=DESCRIPTION_MOST)]
Label = Annotated[str, text(least=1, most=LABEL_MOST, pattern=f"^{LABEL_PATTERN}$", examples=["loom"])]
Labels = Annotated[tuple[Label, ...], Field(json_schema_extra={"maxItems": LABELS_MOST})]


@strict
class NewSpecimenOrder(TypedDict, total=False):
    """A specimen order to create."""

    title: Required[Title]
    description: Description
    priority: SpecimenOrderPriority
    due_at: Instant | None
    assignee_id: UserId | None
    labels: Labels


@strict
class SpecimenOrderPatch(TypedDict, total=False):
    """What of a specimen order is to change; `null` takes a due date or an assignee away."""

    title: Title
    description: Description
    priority: SpecimenOrderPriority
    due_at: Instant | None
    assignee_id: UserId | None
    labels: Labels


@router.post(
    "/workspaces/{workspace_id}/specimen_orders",
    use_case=commands.create_specimen_order,
    response_model=SpecimenOrderView,
    location="/specimen_orders/{id}",
    refuses=(*NOT_ADMITTED, SpecimenOrderAssigneeNotMember),
)
async def create_specimen_order(
    workspace_id: WorkspaceId, actor: Actor, run: Run, body: Annotated[NewSpecimenOrder, Body()]
) -> SpecimenOrder:
    return await run(commands.create_specimen_order, actor, workspace_id, **body)


@router.get("/workspaces/{workspace_id}/specimen_orders")
async def list_specimen_orders(
    workspace_id: WorkspaceId,
    actor: Actor,
    ask: Ask,
    query: Annotated[ListQuery[SpecimenOrderFilter, SpecimenOrderSortKey], Query()],
) -> Page[SpecimenOrderView]:
    """Any member may list the specimen orders."""
    return await ask.specimen_orders.page(actor.user_id, workspace_id, query.where, query.sort, query.page)


@router.get("/specimen_orders/{specimen_order_id}")
async def get_specimen_order(specimen_order_id: SpecimenOrderId, actor: Actor, ask: Ask) -> SpecimenOrderView:
    """Any member may see a specimen order."""
    return await ask.specimen_orders.get(actor.user_id, specimen_order_id)


@router.patch(
    "/specimen_orders/{specimen_order_id}",
    use_case=commands.edit_specimen_order,
    changes=SpecimenOrder,
    response_model=SpecimenOrderView,
    refuses=(*NOT_ADMITTED, SpecimenOrderAssigneeNotMember),
)
async def edit_specimen_order(
    specimen_order_id: SpecimenOrderId, actor: Actor, run: Run, body: Annotated[SpecimenOrderPatch, Body()]
) -> SpecimenOrder:
    return await run(commands.edit_specimen_order, actor, specimen_order_id, **body)


@router.delete(
    "/specimen_orders/{specimen_order_id}",
    use_case=commands.delete_specimen_order,
    changes=SpecimenOrder,
    refuses=NOT_ADMITTED,
)
async def delete_specimen_order(specimen_order_id: SpecimenOrderId, actor: Actor, run: Run) -> None:
    await run(commands.delete_specimen_order, actor, specimen_order_id)


@router.post(
    "/specimen_orders/{specimen_order_id}/start",
    use_case=commands.start_specimen_order,
    changes=SpecimenOrder,
    response_model=SpecimenOrderView,
    refuses=(*NOT_ADMITTED, SpecimenOrderTransitionNotAllowed),
)
async def start_specimen_order(specimen_order_id: SpecimenOrderId, actor: Actor, run: Run) -> SpecimenOrder:
    return await run(commands.start_specimen_order, actor, specimen_order_id)


@router.post(
    "/specimen_orders/{specimen_order_id}/completion",
    use_case=commands.complete_specimen_order,
    changes=SpecimenOrder,
    response_model=SpecimenOrderView,
    refuses=(*NOT_ADMITTED, SpecimenOrderTransitionNotAllowed),
)
async def complete_specimen_order(
    specimen_order_id: SpecimenOrderId, actor: Actor, run: Run
) -> SpecimenOrder:
    return await run(commands.complete_specimen_order, actor, specimen_order_id)


@router.post(
    "/specimen_orders/{specimen_order_id}/cancellation",
    use_case=commands.cancel_specimen_order,
    changes=SpecimenOrder,
    response_model=SpecimenOrderView,
    refuses=(*NOT_ADMITTED, SpecimenOrderTransitionNotAllowed),
)
async def cancel_specimen_order(specimen_order_id: SpecimenOrderId, actor: Actor, run: Run) -> SpecimenOrder:
    return await run(commands.cancel_specimen_order, actor, specimen_order_id)


@router.post(
    "/specimen_orders/{specimen_order_id}/reopening",
    use_case=commands.reopen_specimen_order,
    changes=SpecimenOrder,
    response_model=SpecimenOrderView,
    refuses=(*NOT_ADMITTED, SpecimenOrderTransitionNotAllowed),
)
async def reopen_specimen_order(specimen_order_id: SpecimenOrderId, actor: Actor, run: Run) -> SpecimenOrder:
    return await run(commands.reopen_specimen_order, actor, specimen_order_id)
