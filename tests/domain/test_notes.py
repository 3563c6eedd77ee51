"""The rules of notes."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from domain.kernel.aggregate import new_id
from domain.kernel.errors import Invalid
from domain.notes import BODY_MOST, TITLE_MOST, Note, NoteCreated, NoteDeleted, NoteEdited, NoteId
from kernel.world.builders import NOW, a_user_id, a_workspace_id

SOMEBODY = a_user_id()
LATER = NOW + timedelta(hours=1)
ABOUT: dict[str, Any] = {
    "id": NoteId(new_id(NOW)),
    "workspace_id": a_workspace_id(),
    "by": SOMEBODY,
    "at": NOW,
}
REQUIRED: dict[str, Any] = {
    "title": "First title",
}
MADE = Note.create(**ABOUT, **REQUIRED)


def test_it_is_created_with_what_it_was_given() -> None:
    made = Note.create(
        **ABOUT,
        title="First title",
        body="The first body.\nOn two lines.",
    )
    assert replace(made, events=()) == Note(
        id=ABOUT["id"],
        workspace_id=ABOUT["workspace_id"],
        title="First title",
        body="The first body.\nOn two lines.",
        created_by=SOMEBODY,
        created_at=NOW,
        updated_at=NOW,
    )
    assert made.events == (NoteCreated(at=NOW, note_id=made.id, workspace_id=made.workspace_id, by=SOMEBODY),)


def test_what_is_not_said_has_its_default() -> None:
    made = Note.create(**ABOUT, **REQUIRED)
    assert (made.created_at, made.updated_at) == (NOW, NOW)
    assert made.body == ""


WRONG: list[tuple[str, Any]] = [
    ("title", ""),
    ("title", "x" * (TITLE_MOST + 1)),
    ("body", "x" * (BODY_MOST + 1)),
]


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_what_is_wrong_is_refused_with_its_name(field: str, value: object) -> None:
    with pytest.raises(Invalid) as refused:
        Note.create(**ABOUT, **(REQUIRED | {field: value}))
    assert refused.value.field == field
    assert refused.value.detail
    changes: dict[str, Any] = {field: value}
    with pytest.raises(Invalid) as refused:
        MADE.edit(by=SOMEBODY, at=LATER, **changes)
    assert refused.value.field == field


MOST: list[tuple[str, Any]] = [
    ("title", "x" * TITLE_MOST),
    ("body", "x" * BODY_MOST),
]


@pytest.mark.parametrize(("field", "value"), MOST)
def test_the_longest_that_may_be_is_taken(field: str, value: object) -> None:
    assert getattr(Note.create(**ABOUT, **(REQUIRED | {field: value})), field) == value


def test_an_edit_changes_what_it_names_and_says_so() -> None:
    edited = MADE.edit(by=SOMEBODY, at=LATER, title="Other title")
    (*before, event) = edited.events
    assert replace(edited, events=tuple(before)) == replace(MADE, title="Other title", updated_at=LATER)
    assert event == NoteEdited(at=LATER, note_id=MADE.id, workspace_id=MADE.workspace_id, by=SOMEBODY)


def test_everything_can_be_edited() -> None:
    edited = MADE.edit(
        by=SOMEBODY,
        at=LATER,
        title="Other title",
        body="Another body.",
    )
    assert replace(edited, events=()) == replace(
        MADE,
        title="Other title",
        body="Another body.",
        updated_at=LATER,
        events=(),
    )


def test_an_edit_that_changes_nothing_is_none() -> None:
    assert MADE.edit(by=SOMEBODY, at=LATER, title=MADE.title) is MADE


def test_a_deletion_says_who_did_it() -> None:
    *_, event = MADE.delete(by=SOMEBODY, at=LATER).events
    assert event == NoteDeleted(at=LATER, note_id=MADE.id, workspace_id=MADE.workspace_id, by=SOMEBODY)
