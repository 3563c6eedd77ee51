"""What members do with work orders."""

from datetime import datetime
from typing import Unpack

from application.kernel.admission import admit
from application.kernel.ports.callers import Caller
from domain.kernel.aggregate import new_id
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId
from kernel.specimen.domain.work_orders import (
    WorkOrder,
    WorkOrderChanges,
    WorkOrderId,
    WorkOrderNotFound,
    WorkOrderPriority,
    WorkOrderStatus,
)
from kernel.specimen.permissions import WRITE_WORK_ORDERS
from kernel.specimen.service import UnitOfWork


async def create_work_order(
    uow: UnitOfWork,
    actor: Caller,
    workspace_id: WorkspaceId,
    *,
    title: str,
    description: str = "",
    priority: WorkOrderPriority = WorkOrderPriority.NORMAL,
    due_at: datetime | None = None,
    assignee_id: UserId | None = None,
    labels: tuple[str, ...] = (),
) -> WorkOrder:
    """Any member but a viewer may create a work order; its assignee must be a member."""
    await admit(uow, actor, workspace_id, WRITE_WORK_ORDERS)
    return await uow.work_orders.add(
        WorkOrder.create(
            id=WorkOrderId(new_id(uow.now)),
            workspace_id=workspace_id,
            title=title,
            description=description,
            priority=priority,
            due_at=due_at,
            assignee_id=assignee_id,
            labels=labels,
            by=actor.user_id,
            at=uow.now,
        )
    )


async def edit_work_order(
    uow: UnitOfWork, actor: Caller, work_order_id: WorkOrderId, **changes: Unpack[WorkOrderChanges]
) -> WorkOrder:
    """Any member but a viewer may edit a work order in whatever status; its assignee must be a member."""
    work_order = await _admitted(uow, actor, work_order_id)
    edited = work_order.edit(by=actor.user_id, at=uow.now, **changes)
    return work_order if edited is work_order else await uow.work_orders.save(edited)


async def start_work_order(uow: UnitOfWork, actor: Caller, work_order_id: WorkOrderId) -> WorkOrder:
    """Any member but a viewer may start an open work order."""
    return await _move(uow, actor, work_order_id, WorkOrderStatus.IN_PROGRESS)


async def complete_work_order(uow: UnitOfWork, actor: Caller, work_order_id: WorkOrderId) -> WorkOrder:
    """Any member but a viewer may complete a work order that is open or in progress."""
    return await _move(uow, actor, work_order_id, WorkOrderStatus.DONE)


async def cancel_work_order(uow: UnitOfWork, actor: Caller, work_order_id: WorkOrderId) -> WorkOrder:
    """Any member but a viewer may cancel a work order that is open or in progress."""
    return await _move(uow, actor, work_order_id, WorkOrderStatus.CANCELLED)


async def reopen_work_order(uow: UnitOfWork, actor: Caller, work_order_id: WorkOrderId) -> WorkOrder:
    """Any member but a viewer may reopen a work order that is in progress, done or cancelled."""
    return await _move(uow, actor, work_order_id, WorkOrderStatus.OPEN)


async def delete_work_order(uow: UnitOfWork, actor: Caller, work_order_id: WorkOrderId) -> None:
    """Any member but a viewer may delete a work order, with its notes."""
    work_order = await _admitted(uow, actor, work_order_id)
    await uow.work_orders.remove(work_order.delete(by=actor.user_id, at=uow.now))


async def _move(
    uow: UnitOfWork, actor: Caller, work_order_id: WorkOrderId, destination: WorkOrderStatus
) -> WorkOrder:
    work_order = await _admitted(uow, actor, work_order_id)
    return await uow.work_orders.save(work_order.move(destination, by=actor.user_id, at=uow.now))


async def _admitted(uow: UnitOfWork, actor: Caller, work_order_id: WorkOrderId) -> WorkOrder:
    """The work order, if the caller may write work orders there; for others it is not found."""
    work_order = await uow.work_orders.get(work_order_id)
    await admit(uow, actor, work_order.workspace_id, WRITE_WORK_ORDERS, otherwise=WorkOrderNotFound)
    return work_order
