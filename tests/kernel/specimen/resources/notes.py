"""Notes: all that the suites need to know of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from application.kernel.paging import PageRequest, Sort
from domain.kernel.aggregate import Aggregate
from kernel.specimen.builders import a_note, a_work_order
from kernel.specimen.commands.notes import add_note, delete_note, edit_note
from kernel.specimen.domain.notes import Note, NoteId, NoteNotFound
from kernel.specimen.queries.notes import NoteView
from kernel.specimen.resources import work_orders
from kernel.specimen.resources.work_orders import FILLED
from kernel.world.builders import NOW, a_user, a_workspace
from kernel.world.resources import Example, Listed, Matrix, Places, Statements, World, in_a_workspace, json

LATER = NOW + timedelta(days=1, hours=2, minutes=3, seconds=4, microseconds=5)


# ── contracts ────────────────────────────────────────────────────────────────────────────────────


def note_example() -> Example:
    user, workspace = a_user(), a_workspace()
    work_order = a_work_order(workspace_id=workspace.id, created_by=user.id)
    note = a_note(
        work_order_id=work_order.id,
        workspace_id=workspace.id,
        author_id=user.id,
        body="Well\nwoven.",
        edited_at=LATER,
    )
    changed = replace(note, body="Better.", edited_at=LATER + timedelta(minutes=1))
    return Example((user, workspace, work_order), note, changed, NoteNotFound)


EXAMPLES = [note_example]


# ── the world ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Made:
    note: Note


def of(world: World) -> Made:
    """A note of the member's on the work order."""
    return world.once(
        Made,
        lambda: Made(
            a_note(
                id=NoteId(world.id("note")),
                work_order_id=work_orders.of(world).work_order.id,
                workspace_id=world.workspace_id,
                author_id=world.member,
                created_at=world.at,
            )
        ),
    )


def stored(world: World) -> Sequence[Aggregate]:
    return [of(world).note]


def crowd(world: World, count: int) -> Sequence[Aggregate]:
    work_order_id = work_orders.of(world).work_order.id
    return [
        a_note(work_order_id=work_order_id, workspace_id=world.workspace_id, author_id=world.owner)
        for _ in range(count)
    ]


def places(world: World) -> Places:
    return {"note_id": of(world).note.id}


PEOPLE: list[str] = []

MATRIX: Matrix = {
    "POST /v1/work_orders/{work_order_id}/notes": in_a_workspace(
        "member", 201, weak=("viewer", 403), send=json(body="Which wool?")
    ),
    "GET /v1/work_orders/{work_order_id}/notes": in_a_workspace("viewer", weak=None),
    "GET /v1/notes/{note_id}": in_a_workspace("viewer", weak=None),
    "PATCH /v1/notes/{note_id}": in_a_workspace("member", weak=("owner", 403), send=json(body="Whose wool?")),
    "DELETE /v1/notes/{note_id}": in_a_workspace("member", 204, weak=("viewer", 403)),
}


# ── statements ───────────────────────────────────────────────────────────────────────────────────

COMMANDS: Statements = {
    # work order, standing, change
    "add_note": (
        3,
        lambda it: it.run(
            add_note, it.team.member, work_orders.of(it.world).work_order.id, body="Which wool?"
        ),
    ),
    # note, standing, change
    "edit_note": (
        3,
        lambda it: it.run(edit_note, it.team.member, of(it.world).note.id, body="Whose wool?"),
    ),
    "delete_note": (3, lambda it: it.run(delete_note, it.team.admin, of(it.world).note.id)),
}

QUERIES: Statements = {
    "notes.get": (1, lambda it: it.ask.notes.get(it.team.viewer.user_id, of(it.world).note.id)),
    "notes.page": (
        1,
        lambda it: it.ask.notes.page(
            it.team.viewer.user_id, work_orders.of(it.world).work_order.id, PageRequest(limit=20)
        ),
    ),
}

FILLINGS: Mapping[str, str] = {}


# ── lists ────────────────────────────────────────────────────────────────────────────────────────

FILL = {
    "notes": """
        INSERT INTO notes (id, work_order_id, workspace_id, author_id, body, created_at, version)
        SELECT gen_random_uuid(), '00000000-0000-0000-0000-000000000001', :workspace, :owner, 'loom', :at, 1
        FROM generate_series(1, 10000) AS n
    """,
}
LISTS: dict[str, Listed[NoteView]] = {
    "notes": Listed(
        table="notes",
        ask=lambda world, _, page: world.ask.notes.page(world.team.viewer.user_id, FILLED, page),
        sorts={"created_at": lambda view: view.created_at},
        fixed=Sort("created_at"),
    ),
}
