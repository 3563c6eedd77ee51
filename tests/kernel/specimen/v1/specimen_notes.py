"""SpecimenNotes on a specimen order."""

from typing import Annotated, TypedDict

from fastapi import Body

from application.kernel.admission import NOT_ADMITTED
from application.kernel.paging import Page
from application.kernel.ports.callers import Caller
from entrypoints.http.kernel.routing.dependencies import Actor
from entrypoints.http.kernel.routing.inputs import Paging, strict, text
from entrypoints.http.kernel.routing.routes import Router
from kernel.specimen.commands import specimen_notes as commands
from kernel.specimen.domain.specimen_notes import (
    BODY_MOST,
    SpecimenNote,
    SpecimenNoteAuthorOnly,
    SpecimenNoteEditClosed,
    SpecimenNoteId,
)
from kernel.specimen.domain.specimen_orders import SpecimenOrderId
from kernel.specimen.queries.specimen_notes import SpecimenNoteView
from kernel.specimen.service import Ask, Queries, Run

router = Router(tag="specimen notes")


@strict
class SpecimenNoteText(TypedDict):
    """What a note says."""

    body: Annotated[str, text(least=1, most=BODY_MOST)]


async def _view(ask: Queries, actor: Caller, note: SpecimenNote) -> SpecimenNoteView:
    return await ask.specimen_notes.get(actor.user_id, note.id)


@router.post(
    "/specimen_orders/{specimen_order_id}/specimen_notes",
    use_case=commands.add_specimen_note,
    location="/specimen_notes/{id}",
    refuses=NOT_ADMITTED,
)
async def add_specimen_note(
    specimen_order_id: SpecimenOrderId, actor: Actor, run: Run, body: Annotated[SpecimenNoteText, Body()]
) -> SpecimenNoteView:
    return await run.showing(_view, commands.add_specimen_note, actor, specimen_order_id, **body)


@router.get("/specimen_orders/{specimen_order_id}/specimen_notes")
async def list_specimen_notes(
    specimen_order_id: SpecimenOrderId, actor: Actor, ask: Ask, query: Paging
) -> Page[SpecimenNoteView]:
    """Any member may list the notes on a specimen order, the oldest first."""
    return await ask.specimen_notes.page(actor.user_id, specimen_order_id, query.page)


@router.get("/specimen_notes/{specimen_note_id}")
async def get_specimen_note(specimen_note_id: SpecimenNoteId, actor: Actor, ask: Ask) -> SpecimenNoteView:
    """Any member may see a note."""
    return await ask.specimen_notes.get(actor.user_id, specimen_note_id)


@router.patch(
    "/specimen_notes/{specimen_note_id}",
    use_case=commands.edit_specimen_note,
    changes=SpecimenNote,
    refuses=(*NOT_ADMITTED, SpecimenNoteAuthorOnly, SpecimenNoteEditClosed),
)
async def edit_specimen_note(
    specimen_note_id: SpecimenNoteId, actor: Actor, run: Run, body: Annotated[SpecimenNoteText, Body()]
) -> SpecimenNoteView:
    return await run.showing(_view, commands.edit_specimen_note, actor, specimen_note_id, **body)


@router.delete(
    "/specimen_notes/{specimen_note_id}",
    use_case=commands.delete_specimen_note,
    changes=SpecimenNote,
    refuses=(*NOT_ADMITTED, SpecimenNoteAuthorOnly),
)
async def delete_specimen_note(specimen_note_id: SpecimenNoteId, actor: Actor, run: Run) -> None:
    await run(commands.delete_specimen_note, actor, specimen_note_id)
