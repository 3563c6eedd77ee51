"""Comments on a task."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NewType, Self
from uuid import UUID

from domain.kernel.aggregate import Aggregate, Event
from domain.kernel.errors import Conflict, Forbidden, NotFound
from domain.kernel.text import prose
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId
from domain.tasks import TaskId

CommentId = NewType("CommentId", UUID)

BODY_MOST = 5_000
EDIT_WINDOW = timedelta(minutes=15)


class CommentNotFound(NotFound, of=CommentId):
    """There is no such comment, or it is not in a workspace of yours."""


class NotTheAuthor(Forbidden):
    """Only its author may do this to a comment."""


class EditWindowClosed(Conflict):
    """A comment can be edited for 15 minutes only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentAdded(Event):
    comment_id: CommentId
    task_id: TaskId
    workspace_id: WorkspaceId
    by: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentEdited(Event):
    comment_id: CommentId
    task_id: TaskId
    workspace_id: WorkspaceId
    by: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentDeleted(Event):
    comment_id: CommentId
    task_id: TaskId
    workspace_id: WorkspaceId
    by: UserId


def _valid_body(body: str) -> str:
    return prose(body, field="body", least=1, most=BODY_MOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment(Aggregate):
    """A remark on a task. It stays when its author leaves the workspace."""

    id: CommentId
    task_id: TaskId
    workspace_id: WorkspaceId
    author_id: UserId
    body: str
    created_at: datetime
    edited_at: datetime | None = None

    @classmethod
    def add(
        cls, *, id: CommentId, task_id: TaskId, workspace_id: WorkspaceId, body: str, by: UserId, at: datetime
    ) -> Self:
        return cls(
            id=id,
            task_id=task_id,
            workspace_id=workspace_id,
            author_id=by,
            body=_valid_body(body),
            created_at=at,
            events=(CommentAdded(at=at, comment_id=id, task_id=task_id, workspace_id=workspace_id, by=by),),
        )

    def edit(self, *, body: str, by: UserId, at: datetime) -> Self:
        if by != self.author_id:
            raise NotTheAuthor("Write a comment of your own.")
        if at - self.created_at > EDIT_WINDOW:
            raise EditWindowClosed("Write another one.")
        edited = replace(self, body=_valid_body(body), edited_at=at)
        return edited.recording(
            CommentEdited(
                at=at, comment_id=self.id, task_id=self.task_id, workspace_id=self.workspace_id, by=by
            )
        )

    def delete(self, *, by: UserId, moderator: bool, at: datetime) -> Self:
        """By its author, or by a `moderator` of the workspace."""
        if by != self.author_id and not moderator:
            raise NotTheAuthor("An admin of the workspace can delete it too.")
        return self.recording(
            CommentDeleted(
                at=at, comment_id=self.id, task_id=self.task_id, workspace_id=self.workspace_id, by=by
            )
        )
