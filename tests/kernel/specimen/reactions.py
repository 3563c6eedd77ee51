"""What the specimen's events cause."""

from application.kernel.ports.events import Delivery
from kernel.specimen.domain.specimen_notes import SpecimenNote, SpecimenNoteId
from kernel.specimen.domain.specimen_orders import SpecimenOrderAssigned, SpecimenOrderNotFound
from kernel.specimen.service import UnitOfWork


async def note_assignment(uow: UnitOfWork, delivery: Delivery[SpecimenOrderAssigned]) -> None:
    """An assignment by another member is noted at the specimen order, unless that is gone already."""
    event = delivery.event
    if event.assignee_id == event.by:
        return
    try:
        await uow.specimen_orders.get(event.specimen_order_id)
    except SpecimenOrderNotFound:
        return
    await uow.specimen_notes.add(
        SpecimenNote(
            id=SpecimenNoteId(delivery.id),  # so an event that is delivered twice is noted once
            specimen_order_id=event.specimen_order_id,
            workspace_id=event.workspace_id,
            author_id=event.by,
            body="Assigned.",
            created_at=event.at,
        )
    )
