"""What members do with specimen orders."""

from datetime import datetime
from typing import Unpack

from application.kernel.admission import admit
from application.kernel.ports.callers import Caller
from domain.kernel.aggregate import new_id
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId
from kernel.specimen.domain.specimen_orders import (
    SpecimenOrder,
    SpecimenOrderChanges,
    SpecimenOrderId,
    SpecimenOrderNotFound,
    SpecimenOrderPriority,
    SpecimenOrderStatus,
)
from kernel.specimen.permissions import WRITE_SPECIMEN_ORDERS
from kernel.specimen.service import UnitOfWork


async def create_specimen_order(
    uow: UnitOfWork,
    actor: Caller,
    workspace_id: WorkspaceId,
    *,
    title: str,
    description: str = "",
    priority: SpecimenOrderPriority = SpecimenOrderPriority.NORMAL,
    due_at: datetime | None = None,
    assignee_id: UserId | None = None,
    labels: tuple[str, ...] = (),
) -> SpecimenOrder:
    """Any member but a viewer may create a specimen order; its assignee must be a member."""
    await admit(uow, actor, workspace_id, WRITE_SPECIMEN_ORDERS)
    return await uow.specimen_orders.add(
        SpecimenOrder.create(
            id=SpecimenOrderId(new_id(uow.now)),
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


async def edit_specimen_order(
    uow: UnitOfWork,
    actor: Caller,
    specimen_order_id: SpecimenOrderId,
    **changes: Unpack[SpecimenOrderChanges],
) -> SpecimenOrder:
    """Any member but a viewer may edit a specimen order in whatever status; its assignee must be a member."""
    specimen_order = await _admitted(uow, actor, specimen_order_id)
    edited = specimen_order.edit(by=actor.user_id, at=uow.now, **changes)
    return specimen_order if edited is specimen_order else await uow.specimen_orders.save(edited)


async def start_specimen_order(
    uow: UnitOfWork, actor: Caller, specimen_order_id: SpecimenOrderId
) -> SpecimenOrder:
    """Any member but a viewer may start an open specimen order."""
    return await _move(uow, actor, specimen_order_id, SpecimenOrderStatus.IN_PROGRESS)


async def complete_specimen_order(
    uow: UnitOfWork, actor: Caller, specimen_order_id: SpecimenOrderId
) -> SpecimenOrder:
    """Any member but a viewer may complete a specimen order that is open or in progress."""
    return await _move(uow, actor, specimen_order_id, SpecimenOrderStatus.DONE)


async def cancel_specimen_order(
    uow: UnitOfWork, actor: Caller, specimen_order_id: SpecimenOrderId
) -> SpecimenOrder:
    """Any member but a viewer may cancel a specimen order that is open or in progress."""
    return await _move(uow, actor, specimen_order_id, SpecimenOrderStatus.CANCELLED)


async def reopen_specimen_order(
    uow: UnitOfWork, actor: Caller, specimen_order_id: SpecimenOrderId
) -> SpecimenOrder:
    """Any member but a viewer may reopen a specimen order that is in progress, done or cancelled."""
    return await _move(uow, actor, specimen_order_id, SpecimenOrderStatus.OPEN)


async def delete_specimen_order(uow: UnitOfWork, actor: Caller, specimen_order_id: SpecimenOrderId) -> None:
    """Any member but a viewer may delete a specimen order, with its notes."""
    specimen_order = await _admitted(uow, actor, specimen_order_id)
    await uow.specimen_orders.remove(specimen_order.delete(by=actor.user_id, at=uow.now))


async def _move(
    uow: UnitOfWork, actor: Caller, specimen_order_id: SpecimenOrderId, destination: SpecimenOrderStatus
) -> SpecimenOrder:
    specimen_order = await _admitted(uow, actor, specimen_order_id)
    return await uow.specimen_orders.save(specimen_order.move(destination, by=actor.user_id, at=uow.now))


async def _admitted(uow: UnitOfWork, actor: Caller, specimen_order_id: SpecimenOrderId) -> SpecimenOrder:
    """The specimen order, if the caller may write specimen orders there; for others it is not found."""
    specimen_order = await uow.specimen_orders.get(specimen_order_id)
    await admit(
        uow, actor, specimen_order.workspace_id, WRITE_SPECIMEN_ORDERS, otherwise=SpecimenOrderNotFound
    )
    return specimen_order
