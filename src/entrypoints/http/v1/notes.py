"""Notes of a workspace."""

from typing import Annotated, Required, TypedDict

from fastapi import Body, Query

from application.commands import notes as commands
from application.kernel.admission import NOT_ADMITTED
from application.kernel.paging import Page
from application.queries.notes import NoteFilter, NoteSortKey, NoteView
from domain.kernel.workspaces import WorkspaceId
from domain.notes import BODY_MOST, TITLE_MOST, Note, NoteId
from entrypoints.http.dependencies import Ask, Run
from entrypoints.http.kernel.routing.dependencies import Actor
from entrypoints.http.kernel.routing.inputs import strict, text
from entrypoints.http.kernel.routing.lists import ListQuery
from entrypoints.http.kernel.routing.routes import Router

router = Router(tag="notes")

Title = Annotated[str, text(least=1, most=TITLE_MOST, examples=["First title"])]
NoteBody = Annotated[str, text(most=BODY_MOST, examples=["A body of some words."])]


@strict
class NewNote(TypedDict, total=False):
    """A note to create."""

    title: Required[Title]
    body: NoteBody


@strict
class NotePatch(TypedDict, total=False):
    """What of a note is to change."""

    title: Title
    body: NoteBody


@router.post(
    "/workspaces/{workspace_id}/notes",
    use_case=commands.create_note,
    response_model=NoteView,
    location="/notes/{id}",
    refuses=NOT_ADMITTED,
)
async def create_note(
    workspace_id: WorkspaceId, actor: Actor, run: Run, body: Annotated[NewNote, Body()]
) -> Note:
    return await run(commands.create_note, actor, workspace_id, **body)


@router.get("/workspaces/{workspace_id}/notes")
async def list_notes(
    workspace_id: WorkspaceId,
    actor: Actor,
    ask: Ask,
    query: Annotated[ListQuery[NoteFilter, NoteSortKey], Query()],
) -> Page[NoteView]:
    """Any member may list the notes."""
    return await ask.notes.page(actor.user_id, workspace_id, query.where, query.sort, query.page)


@router.get("/notes/{note_id}")
async def get_note(note_id: NoteId, actor: Actor, ask: Ask) -> NoteView:
    """Any member may see a note."""
    return await ask.notes.get(actor.user_id, note_id)


@router.patch(
    "/notes/{note_id}",
    use_case=commands.edit_note,
    changes=Note,
    response_model=NoteView,
    refuses=NOT_ADMITTED,
)
async def edit_note(note_id: NoteId, actor: Actor, run: Run, body: Annotated[NotePatch, Body()]) -> Note:
    return await run(commands.edit_note, actor, note_id, **body)


@router.delete("/notes/{note_id}", use_case=commands.delete_note, changes=Note, refuses=NOT_ADMITTED)
async def delete_note(note_id: NoteId, actor: Actor, run: Run) -> None:
    await run(commands.delete_note, actor, note_id)
