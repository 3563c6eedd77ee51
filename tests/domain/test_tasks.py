"""Tasks: what they say, where they may go, who is told."""

from dataclasses import replace
from datetime import timedelta
from typing import Unpack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.kernel.errors import Invalid
from domain.kernel.users import UserId
from domain.tasks import (
    MOVES,
    MoveNotAllowed,
    Priority,
    Status,
    Task,
    TaskAssigned,
    TaskChanges,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
    TaskMoved,
)
from kernel.world.builders import NOW, a_user_id, a_workspace_id
from kernel.world.refusals import refused
from resources.tasks import a_task, a_task_id

LATER = NOW + timedelta(hours=1)
ADA, CHARLES = a_user_id(), a_user_id()


def create(**changes: Unpack[TaskChanges]) -> Task:
    changes = TaskChanges(title="Weave") | changes
    return Task.create(id=a_task_id(), workspace_id=a_workspace_id(), by=ADA, at=NOW, **changes)


# ── creating ─────────────────────────────────────────────────────────────────────────────────────


def test_a_new_task_is_open_and_of_normal_priority_unless_something_else_is_said() -> None:
    task_id, workspace_id = a_task_id(), a_workspace_id()
    task = Task.create(id=task_id, workspace_id=workspace_id, title=" Weave ", by=ADA, at=NOW)
    assert task == Task(
        id=task_id,
        workspace_id=workspace_id,
        title="Weave",
        description="",
        status=Status.OPEN,
        priority=Priority.NORMAL,
        due_at=None,
        assignee_id=None,
        labels=(),
        created_by=ADA,
        created_at=NOW,
        updated_at=NOW,
        finished_at=None,
        events=(TaskCreated(at=NOW, task_id=task_id, workspace_id=workspace_id, by=ADA),),
    )


def test_a_new_task_is_what_was_said() -> None:
    task_id, workspace_id = a_task_id(), a_workspace_id()
    task = Task.create(
        id=task_id,
        workspace_id=workspace_id,
        title="Weave",
        description=" Flowers\r\nand leaves ",
        priority=Priority.URGENT,
        due_at=LATER,
        assignee_id=CHARLES,
        labels=("loom", "card", "loom"),
        by=ADA,
        at=NOW,
    )
    created = TaskCreated(at=NOW, task_id=task_id, workspace_id=workspace_id, by=ADA)
    assigned = TaskAssigned(at=NOW, task_id=task_id, workspace_id=workspace_id, assignee_id=CHARLES, by=ADA)
    assert task == a_task(
        id=task_id,
        workspace_id=workspace_id,
        title="Weave",
        description="Flowers\nand leaves",
        priority=Priority.URGENT,
        due_at=LATER,
        assignee_id=CHARLES,
        labels=("card", "loom"),
        created_by=ADA,
    ).recording(created).recording(assigned)


LABEL_RULE = "Each must have 1 to 30 lower-case letters, digits and single hyphens."

REFUSED: list[tuple[TaskChanges, str]] = [
    ({"title": ""}, "It must not be empty."),
    ({"title": "a\nb"}, "It must be one line without control characters."),
    ({"title": "x" * 201}, "It must have at most 200 characters."),
    ({"description": "x" * 10_001}, "It must have at most 10000 characters."),
    ({"description": "a\0b"}, "It must not contain control characters."),
    ({"labels": ("",)}, LABEL_RULE),
    ({"labels": ("Loom",)}, LABEL_RULE),
    ({"labels": ("two words",)}, LABEL_RULE),
    ({"labels": ("loom-",)}, LABEL_RULE),
    ({"labels": ("a--b",)}, LABEL_RULE),
    ({"labels": ("loom", "x" * 31)}, LABEL_RULE),
    ({"labels": tuple(f"label-{n}" for n in range(11))}, "There must be at most 10."),
]

ACCEPTED: list[TaskChanges] = [
    {"title": "x" * 200},
    {"description": "x" * 10_000},
    {"description": ""},
    {"labels": ("a-1", "x" * 30)},
    {"labels": tuple(f"label-{n}" for n in range(10))},
    {"labels": ()},
]


@pytest.mark.parametrize(("changes", "detail"), REFUSED)
def test_what_cannot_be_a_task_is_refused_when_created_and_when_edited(
    changes: TaskChanges, detail: str
) -> None:
    field = next(iter(changes))
    with refused(Invalid, detail, field=field):
        create(**changes)
    with refused(Invalid, detail, field=field):
        a_task().edit(by=ADA, at=LATER, **changes)


@pytest.mark.parametrize("changes", ACCEPTED)
def test_what_is_just_within_the_limits_is_accepted_when_created_and_when_edited(
    changes: TaskChanges,
) -> None:
    field, value = next(iter(changes.items()))
    assert getattr(create(**changes), field) == value
    different = a_task(description="another", labels=("another",))
    assert getattr(different.edit(by=ADA, at=LATER, **changes), field) == value


@given(labels=st.lists(st.sampled_from("abcdef")))
def test_labels_are_a_set_in_alphabetical_order(labels: list[str]) -> None:
    kept = create(labels=tuple(labels)).labels
    assert set(kept) == set(labels)
    assert list(kept) == sorted(set(kept))


def test_a_label_said_twice_counts_once() -> None:
    assert len(create(labels=("loom",) * 11).labels) == 1


# ── editing ──────────────────────────────────────────────────────────────────────────────────────


def test_an_edit_changes_what_it_names_and_nothing_else() -> None:
    task = a_task(description="old", labels=("old",), due_at=NOW, assignee_id=CHARLES)
    edited = task.edit(by=ADA, at=LATER, title=" New ", priority=Priority.LOW)
    assert edited == replace(
        task,
        title="New",
        priority=Priority.LOW,
        updated_at=LATER,
        events=(TaskEdited(at=LATER, task_id=task.id, workspace_id=task.workspace_id, by=ADA),),
    )


def test_an_edit_can_take_values_away() -> None:
    task = a_task(description="old", labels=("old",), due_at=NOW, assignee_id=CHARLES)
    edited = task.edit(by=ADA, at=LATER, description="", labels=(), due_at=None, assignee_id=None)
    assert (edited.description, edited.labels, edited.due_at, edited.assignee_id) == ("", (), None, None)


def test_an_edit_that_changes_nothing_is_no_fact() -> None:
    task = a_task(title="Weave", description="Flowers", labels=("a", "b"), assignee_id=CHARLES)
    assert task.edit(by=ADA, at=LATER) is task
    same: TaskChanges = {
        "title": " Weave",
        "description": "Flowers\n",
        "labels": ("b", "a"),
        "assignee_id": CHARLES,
    }
    assert task.edit(by=ADA, at=LATER, **same) is task


@pytest.mark.parametrize("status", Status)
def test_a_task_can_be_edited_in_whatever_status(status: Status) -> None:
    task = a_task(status=status)
    edited = task.edit(by=ADA, at=LATER, title="New")
    assert (edited.status, edited.finished_at) == (task.status, task.finished_at)


@pytest.mark.parametrize("before", [None, ADA])
def test_a_new_assignee_is_a_fact_of_its_own(before: UserId | None) -> None:
    task = a_task(assignee_id=before)
    edited = task.edit(by=ADA, at=LATER, assignee_id=CHARLES)
    was_edited = TaskEdited(at=LATER, task_id=task.id, workspace_id=task.workspace_id, by=ADA)
    assigned = TaskAssigned(
        at=LATER, task_id=task.id, workspace_id=task.workspace_id, assignee_id=CHARLES, by=ADA
    )
    assert edited.assignee_id == CHARLES
    assert edited.events == (was_edited, assigned)


@pytest.mark.parametrize("changes", [{"assignee_id": None}, {"title": "New"}])
def test_nobody_is_assigned_by_taking_away_or_by_editing_something_else(changes: TaskChanges) -> None:
    edited = a_task(assignee_id=CHARLES).edit(by=ADA, at=LATER, **changes)
    assert [type(event) for event in edited.events] == [TaskEdited]


# ── moving ───────────────────────────────────────────────────────────────────────────────────────

WAYS = {
    (Status.OPEN, Status.IN_PROGRESS),
    (Status.OPEN, Status.DONE),
    (Status.OPEN, Status.CANCELLED),
    (Status.IN_PROGRESS, Status.OPEN),
    (Status.IN_PROGRESS, Status.DONE),
    (Status.IN_PROGRESS, Status.CANCELLED),
    (Status.DONE, Status.OPEN),
    (Status.CANCELLED, Status.OPEN),
}


@pytest.mark.parametrize(("origin", "destination"), [(a, b) for a in Status for b in Status])
def test_a_task_goes_the_ways_of_the_table_and_no_other(origin: Status, destination: Status) -> None:
    task = a_task(status=origin)
    if (origin, destination) in WAYS:
        assert task.move(destination, by=ADA, at=LATER).status is destination
    else:
        with refused(MoveNotAllowed, f"It is {origin}, and from there it cannot become {destination}."):
            task.move(destination, by=ADA, at=LATER)


def test_every_status_has_its_ways_in_the_table() -> None:
    assert set(MOVES) == set(Status)


@given(destinations=st.lists(st.sampled_from(Status), max_size=12))
def test_whatever_is_tried_a_task_is_finished_exactly_while_it_is_done(destinations: list[Status]) -> None:
    task = a_task()
    for minutes, destination in enumerate(destinations, start=1):
        at = NOW + timedelta(minutes=minutes)
        before = task
        try:
            task = task.move(destination, by=ADA, at=at)
        except MoveNotAllowed:
            assert (before.status, destination) not in WAYS
            assert task is before
        else:
            assert (before.status, destination) in WAYS
            assert (task.status, task.updated_at) == (destination, at)
            assert task.finished_at == (at if destination is Status.DONE else None)
            assert len(task.events) == len(before.events) + 1
        assert (task.finished_at is not None) == (task.status is Status.DONE)


def test_a_move_says_from_where_and_to_where() -> None:
    task = a_task(status=Status.IN_PROGRESS, assignee_id=CHARLES, labels=("loom",))
    moved = TaskMoved(
        at=LATER,
        task_id=task.id,
        workspace_id=task.workspace_id,
        origin=Status.IN_PROGRESS,
        destination=Status.DONE,
        by=ADA,
    )
    assert task.move(Status.DONE, by=ADA, at=LATER) == replace(
        task, status=Status.DONE, finished_at=LATER, updated_at=LATER, events=(moved,)
    )


# ── deleting ─────────────────────────────────────────────────────────────────────────────────────


def test_deleting_is_a_fact() -> None:
    task = a_task()
    deleted = TaskDeleted(at=LATER, task_id=task.id, workspace_id=task.workspace_id, by=ADA)
    assert task.delete(by=ADA, at=LATER).events == (deleted,)


def test_priorities_are_listed_from_the_least_to_the_most() -> None:
    assert list(Priority) == ["low", "normal", "high", "urgent"]
