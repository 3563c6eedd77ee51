"""What members do with specimen notes."""

from application.kernel.admission import admit
from application.kernel.ports.callers import Caller
from domain.kernel.aggregate import new_id
from kernel.specimen.domain.specimen_notes import SpecimenNote, SpecimenNoteId, SpecimenNoteNotFound
from kernel.specimen.domain.specimen_orders import SpecimenOrderId, SpecimenOrderNotFound
from kernel.specimen.permissions import MODERATE_SPECIMEN_NOTES, WRITE_SPECIMEN_NOTES
from kernel.specimen.service import UnitOfWork


async def add_specimen_note(
    uow: UnitOfWork, actor: Caller, specimen_order_id: SpecimenOrderId, *, body: str
) -> SpecimenNote:
    """Any member but a viewer may note on a specimen order."""
    specimen_order = await uow.specimen_orders.get(specimen_order_id)
    await admit(
        uow, actor, specimen_order.workspace_id, WRITE_SPECIMEN_NOTES, otherwise=SpecimenOrderNotFound
    )
    return await uow.specimen_notes.add(
        SpecimenNote.add(
            id=SpecimenNoteId(new_id(uow.now)),
            specimen_order_id=specimen_order.id,
            workspace_id=specimen_order.workspace_id,
            body=body,
            by=actor.user_id,
            at=uow.now,
        )
    )


async def edit_specimen_note(
    uow: UnitOfWork, actor: Caller, specimen_note_id: SpecimenNoteId, *, body: str
) -> SpecimenNote:
    """Its author may edit a note for 15 minutes, while they may note there at all."""
    note, _ = await _admitted(uow, actor, specimen_note_id)
    return await uow.specimen_notes.save(note.edit(body=body, by=actor.user_id, at=uow.now))


async def delete_specimen_note(uow: UnitOfWork, actor: Caller, specimen_note_id: SpecimenNoteId) -> None:
    """Its author may delete a note while they may note there at all; owners and admins anybody's."""
    note, moderator = await _admitted(uow, actor, specimen_note_id)
    await uow.specimen_notes.remove(note.delete(by=actor.user_id, moderator=moderator, at=uow.now))


async def _admitted(
    uow: UnitOfWork, actor: Caller, specimen_note_id: SpecimenNoteId
) -> tuple[SpecimenNote, bool]:
    """The note, and whether the actor moderates where it is."""
    note = await uow.specimen_notes.get(specimen_note_id)
    role = await admit(uow, actor, note.workspace_id, WRITE_SPECIMEN_NOTES, otherwise=SpecimenNoteNotFound)
    return note, role in MODERATE_SPECIMEN_NOTES.roles
