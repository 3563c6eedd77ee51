"""Notes on a work order."""

from typing import Annotated, TypedDict

from fastapi import Body

from application.kernel.admission import NOT_ADMITTED
from application.kernel.paging import Page
from application.kernel.ports.callers import Caller
from entrypoints.http.kernel.routing.dependencies import Actor
from entrypoints.http.kernel.routing.inputs import Paging, strict, text
from entrypoints.http.kernel.routing.routes import Router
from kernel.specimen.commands import notes as commands
from kernel.specimen.domain.notes import BODY_MOST, Note, NoteAuthorOnly, NoteEditClosed, NoteId
from kernel.specimen.domain.work_orders import WorkOrderId
from kernel.specimen.queries.notes import NoteView
from kernel.specimen.service import Ask, Queries, Run

router = Router(tag="notes")


@strict
class NoteText(TypedDict):
    """What a note says."""

    body: Annotated[str, text(least=1, most=BODY_MOST)]


async def _view(ask: Queries, actor: Caller, note: Note) -> NoteView:
    return await ask.notes.get(actor.user_id, note.id)


@router.post(
    "/work_orders/{work_order_id}/notes",
    use_case=commands.add_note,
    location="/notes/{id}",
    refuses=NOT_ADMITTED,
)
async def add_note(
    work_order_id: WorkOrderId, actor: Actor, run: Run, body: Annotated[NoteText, Body()]
) -> NoteView:
    return await run.showing(_view, commands.add_note, actor, work_order_id, **body)


@router.get("/work_orders/{work_order_id}/notes")
async def list_notes(work_order_id: WorkOrderId, actor: Actor, ask: Ask, query: Paging) -> Page[NoteView]:
    """Any member may list the notes on a work order, the oldest first."""
    return await ask.notes.page(actor.user_id, work_order_id, query.page)


@router.get("/notes/{note_id}")
async def get_note(note_id: NoteId, actor: Actor, ask: Ask) -> NoteView:
    """Any member may see a note."""
    return await ask.notes.get(actor.user_id, note_id)


@router.patch(
    "/notes/{note_id}",
    use_case=commands.edit_note,
    changes=Note,
    refuses=(*NOT_ADMITTED, NoteAuthorOnly, NoteEditClosed),
)
async def edit_note(note_id: NoteId, actor: Actor, run: Run, body: Annotated[NoteText, Body()]) -> NoteView:
    return await run.showing(_view, commands.edit_note, actor, note_id, **body)


@router.delete(
    "/notes/{note_id}",
    use_case=commands.delete_note,
    changes=Note,
    refuses=(*NOT_ADMITTED, NoteAuthorOnly),
)
async def delete_note(note_id: NoteId, actor: Actor, run: Run) -> None:
    await run(commands.delete_note, actor, note_id)
