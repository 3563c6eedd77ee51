"""What the specimen's events cause."""

from application.kernel.ports.events import Delivery
from kernel.specimen.domain.notes import Note, NoteId
from kernel.specimen.domain.work_orders import WorkOrderAssigned, WorkOrderNotFound
from kernel.specimen.service import UnitOfWork


async def note_assignment(uow: UnitOfWork, delivery: Delivery[WorkOrderAssigned]) -> None:
    """An assignment by another member is noted at the work order, unless that is gone already."""
    event = delivery.event
    if event.assignee_id == event.by:
        return
    try:
        await uow.work_orders.get(event.work_order_id)
    except WorkOrderNotFound:
        return
    await uow.notes.add(
        Note(
            id=NoteId(delivery.id),  # so an event that is delivered twice is noted once
            work_order_id=event.work_order_id,
            workspace_id=event.workspace_id,
            author_id=event.by,
            body="Assigned.",
            created_at=event.at,
        )
    )
