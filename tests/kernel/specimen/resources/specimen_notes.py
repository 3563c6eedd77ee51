"""Notes: all that the suites need to know of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from application.kernel.paging import PageRequest, Sort
from domain.kernel.aggregate import Aggregate
from kernel.specimen.builders import a_specimen_note, a_specimen_order
from kernel.specimen.commands.specimen_notes import (
    add_specimen_note,
    delete_specimen_note,
    edit_specimen_note,
)
from kernel.specimen.domain.specimen_notes import SpecimenNote, SpecimenNoteId, SpecimenNoteNotFound
from kernel.specimen.queries.specimen_notes import SpecimenNoteView
from kernel.specimen.resources import specimen_orders
from kernel.specimen.resources.specimen_orders import FILLED
from kernel.world.builders import NOW, a_user, a_workspace
from kernel.world.resources import Example, Listed, Matrix, Places, Statements, World, in_a_workspace, json

LATER = NOW + timedelta(days=1, hours=2, minutes=3, seconds=4, microseconds=5)


# ── contracts ────────────────────────────────────────────────────────────────────────────────────


def specimen_note_example() -> Example:
    user, workspace = a_user(), a_workspace()
    specimen_order = a_specimen_order(workspace_id=workspace.id, created_by=user.id)
    note = a_specimen_note(
        specimen_order_id=specimen_order.id,
        workspace_id=workspace.id,
        author_id=user.id,
        body="Well\nwoven.",
        edited_at=LATER,
    )
    changed = replace(note, body="Better.", edited_at=LATER + timedelta(minutes=1))
    return Example((user, workspace, specimen_order), note, changed, SpecimenNoteNotFound)


EXAMPLES = [specimen_note_example]


# ── the world ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Made:
    note: SpecimenNote


def of(world: World) -> Made:
    """A note of the member's on the specimen order."""
    return world.once(
        Made,
        lambda: Made(
            a_specimen_note(
                id=SpecimenNoteId(world.id("note")),
                specimen_order_id=specimen_orders.of(world).specimen_order.id,
                workspace_id=world.workspace_id,
                author_id=world.member,
                created_at=world.at,
            )
        ),
    )


def stored(world: World) -> Sequence[Aggregate]:
    return [of(world).note]


def crowd(world: World, count: int) -> Sequence[Aggregate]:
    specimen_order_id = specimen_orders.of(world).specimen_order.id
    return [
        a_specimen_note(
            specimen_order_id=specimen_order_id, workspace_id=world.workspace_id, author_id=world.owner
        )
        for _ in range(count)
    ]


def places(world: World) -> Places:
    return {"specimen_note_id": of(world).note.id}


PEOPLE: list[str] = []

MATRIX: Matrix = {
    "POST /v1/specimen_orders/{specimen_order_id}/specimen_notes": in_a_workspace(
        "member", 201, weak=("viewer", 403), send=json(body="Which wool?")
    ),
    "GET /v1/specimen_orders/{specimen_order_id}/specimen_notes": in_a_workspace("viewer", weak=None),
    "GET /v1/specimen_notes/{specimen_note_id}": in_a_workspace("viewer", weak=None),
    "PATCH /v1/specimen_notes/{specimen_note_id}": in_a_workspace(
        "member", weak=("owner", 403), send=json(body="Whose wool?")
    ),
    "DELETE /v1/specimen_notes/{specimen_note_id}": in_a_workspace("member", 204, weak=("viewer", 403)),
}


# ── statements ───────────────────────────────────────────────────────────────────────────────────

COMMANDS: Statements = {
    # specimen order, standing, change
    "add_specimen_note": (
        3,
        lambda it: it.run(
            add_specimen_note,
            it.team.member,
            specimen_orders.of(it.world).specimen_order.id,
            body="Which wool?",
        ),
    ),
    # note, standing, change
    "edit_specimen_note": (
        3,
        lambda it: it.run(edit_specimen_note, it.team.member, of(it.world).note.id, body="Whose wool?"),
    ),
    "delete_specimen_note": (3, lambda it: it.run(delete_specimen_note, it.team.admin, of(it.world).note.id)),
}

QUERIES: Statements = {
    "specimen_notes.get": (
        1,
        lambda it: it.ask.specimen_notes.get(it.team.viewer.user_id, of(it.world).note.id),
    ),
    "specimen_notes.page": (
        1,
        lambda it: it.ask.specimen_notes.page(
            it.team.viewer.user_id, specimen_orders.of(it.world).specimen_order.id, PageRequest(limit=20)
        ),
    ),
}

FILLINGS: Mapping[str, str] = {}


# ── lists ────────────────────────────────────────────────────────────────────────────────────────

FILL = {
    "specimen_notes": """
        INSERT INTO specimen_notes (id, specimen_order_id, workspace_id, author_id, body, created_at, version)
        SELECT gen_random_uuid(), '00000000-0000-0000-0000-000000000001', :workspace, :owner, 'loom', :at, 1
        FROM generate_series(1, 10000) AS n
    """,
}
LISTS: dict[str, Listed[SpecimenNoteView]] = {
    "specimen_notes": Listed(
        table="specimen_notes",
        ask=lambda world, _, page: world.ask.specimen_notes.page(world.team.viewer.user_id, FILLED, page),
        sorts={"created_at": lambda view: view.created_at},
        fixed=Sort("created_at"),
    ),
}
