"""Notes: all that the suites need to know of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from application.commands.notes import create_note, delete_note, edit_note
from application.kernel.admission import NotPermitted
from application.kernel.paging import PageRequest, Sort
from application.queries.notes import NoteFilter
from domain.kernel.aggregate import Aggregate, new_id
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId
from domain.notes import Note, NoteId, NoteNotFound
from kernel.world.builders import NOW, a_team, a_user_id, a_workspace_id
from kernel.world.resources import (
    Example,
    Listed,
    Matrix,
    Places,
    Stage,
    Statements,
    World,
    in_a_workspace,
    json,
)


def a_note(
    *,
    id: NoteId | None = None,
    workspace_id: WorkspaceId | None = None,
    title: str = "First title",
    body: str = "",
    created_by: UserId | None = None,
    created_at: datetime = NOW,
    updated_at: datetime | None = None,
) -> Note:
    return Note(
        id=id or NoteId(new_id(NOW)),
        workspace_id=workspace_id or a_workspace_id(),
        title=title,
        body=body,
        created_by=created_by or a_user_id(),
        created_at=created_at,
        updated_at=updated_at or created_at,
    )


LATER = NOW + timedelta(days=1, hours=2, minutes=3, seconds=4, microseconds=5)


# ── contracts ────────────────────────────────────────────────────────────────────────────────────


def note_example() -> Example:
    team = a_team()
    note = a_note(
        workspace_id=team.workspace.id,
        title="First title",
        body="The first body.\nOn two lines.",
        created_by=team.owner.user_id,
        updated_at=LATER,
    )
    changed = replace(
        note,
        title="Other title",
        body="Another body.",
        updated_at=LATER + timedelta(days=1),
    )
    return Example(team.aggregates, note, changed, NoteNotFound)


EXAMPLES = [note_example]


# ── the world ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Made:
    note: Note


def of(world: World) -> Made:
    """A note of the member's."""
    return world.once(
        Made,
        lambda: Made(
            a_note(id=NoteId(world.id("note")), workspace_id=world.workspace_id, created_by=world.member)
        ),
    )


def stored(world: World) -> Sequence[Aggregate]:
    return [of(world).note]


def crowd(world: World, count: int) -> Sequence[Aggregate]:
    return [a_note(workspace_id=world.workspace_id, created_by=world.owner) for _ in range(count)]


def places(world: World) -> Places:
    return {"note_id": of(world).note.id}


PEOPLE: list[str] = []

MATRIX: Matrix = {
    "POST /v1/workspaces/{workspace_id}/notes": in_a_workspace(
        "member", 201, weak=("viewer", 403), send=json(title="First title")
    ),
    "GET /v1/notes/{note_id}": in_a_workspace("viewer", weak=None),
    "GET /v1/workspaces/{workspace_id}/notes": in_a_workspace("viewer", weak=None),
    "PATCH /v1/notes/{note_id}": in_a_workspace(
        "member", weak=("viewer", 403), send=json(title="Other title")
    ),
    "DELETE /v1/notes/{note_id}": in_a_workspace("member", 204, weak=("viewer", 403)),
}


# ── statements ───────────────────────────────────────────────────────────────────────────────────


async def _refused(it: Stage) -> None:
    with pytest.raises(NotPermitted):
        await it.run(create_note, it.team.viewer, it.team.workspace.id, title="First title")


COMMANDS: Statements = {
    # standing, change
    "create_note": (
        2,
        lambda it: it.run(create_note, it.team.member, it.team.workspace.id, title="First title"),
    ),
    # standing
    "create_note, refused": (1, _refused),
    # note, standing, change
    "edit_note": (3, lambda it: it.run(edit_note, it.team.member, of(it.world).note.id, title="Other title")),
    "edit_note, the same": (
        2,
        lambda it: it.run(edit_note, it.team.member, of(it.world).note.id, title=of(it.world).note.title),
    ),
    "delete_note": (3, lambda it: it.run(delete_note, it.team.member, of(it.world).note.id)),
}

QUERIES: Statements = {
    "notes.get": (1, lambda it: it.ask.notes.get(it.team.viewer.user_id, of(it.world).note.id)),
    "notes.page": (
        1,
        lambda it: it.ask.notes.page(
            it.team.viewer.user_id,
            it.team.workspace.id,
            NoteFilter(),
            [Sort("created_at")],
            PageRequest(limit=20),
        ),
    ),
}

FILLINGS = {
    "c133953bc629": """
        INSERT INTO notes
            (id, workspace_id, title, body, created_by, created_at, updated_at, version)
        SELECT gen_random_uuid(), workspace_id,
               'Title ' || (n / 2 * 7919 % 5000),
               'Body',
               user_id, now(), now(), 1
        FROM (SELECT *, (row_number() OVER (ORDER BY id))::int AS n FROM memberships) AS numbered
    """,
}


# ── lists ────────────────────────────────────────────────────────────────────────────────────────

FILL = {
    "notes": """
        INSERT INTO notes
            (id, workspace_id, title, body, created_by, created_at, updated_at, version)
        SELECT gen_random_uuid(), :workspace,
               'Title ' || (n / 2 * 7919 % 5000),
               'Body',
               :owner, :at, :now, 1
        FROM generate_series(1, 10000) AS n
    """,
}

LISTS = {
    "notes": Listed(
        table="notes",
        ask=lambda world, sort, page: world.ask.notes.page(
            world.team.viewer.user_id, world.team.workspace.id, NoteFilter(), sort, page
        ),
        sorts={
            "created_at": lambda view: view.created_at,
            "title": lambda view: view.title,
        },
    ),
}
