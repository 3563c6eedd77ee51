"""Comments: fifteen minutes to edit, and who may delete."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain.comments import (
    Comment,
    CommentAdded,
    CommentDeleted,
    CommentEdited,
    CommentId,
    EditWindowClosed,
    NotTheAuthor,
)
from domain.kernel.aggregate import new_id
from domain.kernel.errors import Invalid
from domain.kernel.users import UserId
from kernel.world.builders import NOW, a_user_id, a_workspace_id
from kernel.world.refusals import refused
from resources.comments import a_comment
from resources.tasks import a_task_id

ADA, CHARLES = a_user_id(), a_user_id()
WINDOW = timedelta(minutes=15)
INSTANT = timedelta(microseconds=1)


def add(body: str) -> Comment:
    return Comment.add(
        id=CommentId(new_id(NOW)),
        task_id=a_task_id(),
        workspace_id=a_workspace_id(),
        body=body,
        by=ADA,
        at=NOW,
    )


def test_a_comment_says_who_said_what_where_and_when() -> None:
    comment_id, task_id, workspace_id = CommentId(new_id(NOW)), a_task_id(), a_workspace_id()
    comment = Comment.add(
        id=comment_id, task_id=task_id, workspace_id=workspace_id, body=" Well\r\nwoven. ", by=ADA, at=NOW
    )
    fact = CommentAdded(at=NOW, comment_id=comment_id, task_id=task_id, workspace_id=workspace_id, by=ADA)
    assert comment == Comment(
        id=comment_id,
        task_id=task_id,
        workspace_id=workspace_id,
        author_id=ADA,
        body="Well\nwoven.",
        created_at=NOW,
        edited_at=None,
        events=(fact,),
    )


@pytest.mark.parametrize(
    ("body", "detail"),
    [("", "It must not be empty."), ("x" * 5_001, "It must have at most 5000 characters.")],
)
def test_a_comment_has_1_to_5000_characters(body: str, detail: str) -> None:
    assert add("x").body == "x"
    assert add("x" * 5_000).body == "x" * 5_000
    with refused(Invalid, detail, field="body"):
        add(body)
    with refused(Invalid, detail, field="body"):
        a_comment(author_id=ADA).edit(body=body, by=ADA, at=NOW)


@pytest.mark.parametrize("age", [timedelta(0), WINDOW])
def test_its_author_can_edit_a_comment_for_15_minutes(age: timedelta) -> None:
    comment = a_comment(author_id=ADA)
    edited = comment.edit(body=" Better. ", by=ADA, at=NOW + age)
    fact = CommentEdited(
        at=NOW + age,
        comment_id=comment.id,
        task_id=comment.task_id,
        workspace_id=comment.workspace_id,
        by=ADA,
    )
    assert edited == replace(comment, body="Better.", edited_at=NOW + age, events=(fact,))


def test_after_that_even_its_author_cannot() -> None:
    with refused(EditWindowClosed, "Write another one."):
        a_comment(author_id=ADA).edit(body="Better.", by=ADA, at=NOW + WINDOW + INSTANT)


def test_an_edit_does_not_open_the_window_again() -> None:
    edited = a_comment(author_id=ADA).edit(body="Better.", by=ADA, at=NOW + WINDOW)
    with refused(EditWindowClosed, "Write another one."):
        edited.edit(body="Best.", by=ADA, at=NOW + WINDOW + INSTANT)


@pytest.mark.parametrize("age", [timedelta(0), WINDOW + INSTANT])
def test_nobody_else_can_edit_a_comment(age: timedelta) -> None:
    with refused(NotTheAuthor, "Write a comment of your own."):
        a_comment(author_id=ADA).edit(body="Nonsense.", by=CHARLES, at=NOW + age)


@pytest.mark.parametrize(("by", "moderator"), [(ADA, False), (ADA, True), (CHARLES, True)])
def test_its_author_and_moderators_can_delete_a_comment_of_any_age(by: UserId, moderator: bool) -> None:
    comment = a_comment(author_id=ADA)
    at = NOW + timedelta(days=365)
    fact = CommentDeleted(
        at=at, comment_id=comment.id, task_id=comment.task_id, workspace_id=comment.workspace_id, by=by
    )
    assert comment.delete(by=by, moderator=moderator, at=at) == comment.recording(fact)


def test_nobody_else_can_delete_a_comment() -> None:
    with refused(NotTheAuthor, "An admin of the workspace can delete it too."):
        a_comment(author_id=ADA).delete(by=CHARLES, moderator=False, at=NOW)
