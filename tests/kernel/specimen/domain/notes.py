"""Notes on a work order."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NewType, Self
from uuid import UUID

from domain.kernel.aggregate import Aggregate, Event
from domain.kernel.errors import Conflict, Forbidden, NotFound
from domain.kernel.text import prose
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId
from kernel.specimen.domain.work_orders import WorkOrderId

NoteId = NewType("NoteId", UUID)

BODY_MOST = 5_000
EDIT_WINDOW = timedelta(minutes=15)


class NoteNotFound(NotFound, of=NoteId):
    """There is no such note, or it is not in a workspace of yours."""


class NoteAuthorOnly(Forbidden):
    """Only its author may do this to a note."""


class NoteEditClosed(Conflict):
    """A note can be edited for 15 minutes only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteAdded(Event):
    note_id: NoteId
    work_order_id: WorkOrderId
    workspace_id: WorkspaceId
    by: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteEdited(Event):
    note_id: NoteId
    work_order_id: WorkOrderId
    workspace_id: WorkspaceId
    by: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteDeleted(Event):
    note_id: NoteId
    work_order_id: WorkOrderId
    workspace_id: WorkspaceId
    by: UserId


def _valid_body(body: str) -> str:
    return prose(body, field="body", least=1, most=BODY_MOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note(Aggregate):
    """What somebody said about a work order. It stays when its author leaves the workspace."""

    id: NoteId
    work_order_id: WorkOrderId
    workspace_id: WorkspaceId
    author_id: UserId
    body: str
    created_at: datetime
    edited_at: datetime | None = None

    @classmethod
    def add(
        cls,
        *,
        id: NoteId,
        work_order_id: WorkOrderId,
        workspace_id: WorkspaceId,
        body: str,
        by: UserId,
        at: datetime,
    ) -> Self:
        return cls(
            id=id,
            work_order_id=work_order_id,
            workspace_id=workspace_id,
            author_id=by,
            body=_valid_body(body),
            created_at=at,
            events=(
                NoteAdded(at=at, note_id=id, work_order_id=work_order_id, workspace_id=workspace_id, by=by),
            ),
        )

    def edit(self, *, body: str, by: UserId, at: datetime) -> Self:
        if by != self.author_id:
            raise NoteAuthorOnly("Write a note of your own.")
        if at - self.created_at > EDIT_WINDOW:
            raise NoteEditClosed("Write another one.")
        edited = replace(self, body=_valid_body(body), edited_at=at)
        return edited.recording(
            NoteEdited(
                at=at,
                note_id=self.id,
                work_order_id=self.work_order_id,
                workspace_id=self.workspace_id,
                by=by,
            )
        )

    def delete(self, *, by: UserId, moderator: bool, at: datetime) -> Self:
        """By its author, or by a `moderator` of the workspace."""
        if by != self.author_id and not moderator:
            raise NoteAuthorOnly("An admin of the workspace can delete it too.")
        return self.recording(
            NoteDeleted(
                at=at,
                note_id=self.id,
                work_order_id=self.work_order_id,
                workspace_id=self.workspace_id,
                by=by,
            )
        )
