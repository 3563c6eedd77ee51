"""What members do with notes."""

from application.kernel.admission import admit
from application.kernel.ports.callers import Caller
from domain.kernel.aggregate import new_id
from kernel.specimen.domain.notes import Note, NoteId, NoteNotFound
from kernel.specimen.domain.work_orders import WorkOrderId, WorkOrderNotFound
from kernel.specimen.permissions import MODERATE_NOTES, WRITE_NOTES
from kernel.specimen.service import UnitOfWork


async def add_note(uow: UnitOfWork, actor: Caller, work_order_id: WorkOrderId, *, body: str) -> Note:
    """Any member but a viewer may note on a work order."""
    work_order = await uow.work_orders.get(work_order_id)
    await admit(uow, actor, work_order.workspace_id, WRITE_NOTES, otherwise=WorkOrderNotFound)
    return await uow.notes.add(
        Note.add(
            id=NoteId(new_id(uow.now)),
            work_order_id=work_order.id,
            workspace_id=work_order.workspace_id,
            body=body,
            by=actor.user_id,
            at=uow.now,
        )
    )


async def edit_note(uow: UnitOfWork, actor: Caller, note_id: NoteId, *, body: str) -> Note:
    """Its author may edit a note for 15 minutes, while they may note there at all."""
    note, _ = await _admitted(uow, actor, note_id)
    return await uow.notes.save(note.edit(body=body, by=actor.user_id, at=uow.now))


async def delete_note(uow: UnitOfWork, actor: Caller, note_id: NoteId) -> None:
    """Its author may delete a note while they may note there at all; owners and admins anybody's."""
    note, moderator = await _admitted(uow, actor, note_id)
    await uow.notes.remove(note.delete(by=actor.user_id, moderator=moderator, at=uow.now))


async def _admitted(uow: UnitOfWork, actor: Caller, note_id: NoteId) -> tuple[Note, bool]:
    """The note, and whether the actor moderates where it is."""
    note = await uow.notes.get(note_id)
    role = await admit(uow, actor, note.workspace_id, WRITE_NOTES, otherwise=NoteNotFound)
    return note, role in MODERATE_NOTES.roles
