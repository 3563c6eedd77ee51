"""What members do with notes."""

from typing import Unpack

from application.kernel.admission import admit
from application.kernel.ports.callers import Caller
from application.permissions import WRITE_NOTES
from application.unit_of_work import UnitOfWork
from domain.kernel.aggregate import new_id
from domain.kernel.workspaces import WorkspaceId
from domain.notes import Note, NoteChanges, NoteId, NoteNotFound


async def create_note(
    uow: UnitOfWork,
    actor: Caller,
    workspace_id: WorkspaceId,
    *,
    title: str,
    body: str = "",
) -> Note:
    """Any member but a viewer may create a note."""
    await admit(uow, actor, workspace_id, WRITE_NOTES)
    return await uow.notes.add(
        Note.create(
            id=NoteId(new_id(uow.now)),
            workspace_id=workspace_id,
            title=title,
            body=body,
            by=actor.user_id,
            at=uow.now,
        )
    )


async def edit_note(uow: UnitOfWork, actor: Caller, note_id: NoteId, **changes: Unpack[NoteChanges]) -> Note:
    """Any member but a viewer may edit a note."""
    note = await _admitted(uow, actor, note_id)
    edited = note.edit(by=actor.user_id, at=uow.now, **changes)
    return note if edited is note else await uow.notes.save(edited)


async def delete_note(uow: UnitOfWork, actor: Caller, note_id: NoteId) -> None:
    """Any member but a viewer may delete a note."""
    note = await _admitted(uow, actor, note_id)
    await uow.notes.remove(note.delete(by=actor.user_id, at=uow.now))


async def _admitted(uow: UnitOfWork, actor: Caller, note_id: NoteId) -> Note:
    """The note, if the actor may write it; others learn nothing but that it is not theirs."""
    note = await uow.notes.get(note_id)
    await admit(uow, actor, note.workspace_id, WRITE_NOTES, otherwise=NoteNotFound)
    return note
