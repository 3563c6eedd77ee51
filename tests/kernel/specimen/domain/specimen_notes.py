"""SpecimenNotes on a specimen order."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NewType, Self
from uuid import UUID

from domain.kernel.aggregate import Aggregate, Event
from domain.kernel.errors import Conflict, Forbidden, NotFound
from domain.kernel.text import prose
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId
from kernel.specimen.domain.specimen_orders import SpecimenOrderId

SpecimenNoteId = NewType("SpecimenNoteId", UUID)

BODY_MOST = 5_000
EDIT_WINDOW = timedelta(minutes=15)


class SpecimenNoteNotFound(NotFound, of=SpecimenNoteId):
    """There is no such note, or it is not in a workspace of yours."""


class SpecimenNoteAuthorOnly(Forbidden):
    """Only its author may do this to a note."""


class SpecimenNoteEditClosed(Conflict):
    """A note can be edited for 15 minutes only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecimenNoteAdded(Event):
    specimen_note_id: SpecimenNoteId
    specimen_order_id: SpecimenOrderId
    workspace_id: WorkspaceId
    by: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecimenNoteEdited(Event):
    specimen_note_id: SpecimenNoteId
    specimen_order_id: SpecimenOrderId
    workspace_id: WorkspaceId
    by: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecimenNoteDeleted(Event):
    specimen_note_id: SpecimenNoteId
    specimen_order_id: SpecimenOrderId
    workspace_id: WorkspaceId
    by: UserId


def _valid_body(body: str) -> str:
    return prose(body, field="body", least=1, most=BODY_MOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecimenNote(Aggregate):
    """What somebody said about a specimen order. It stays when its author leaves the workspace."""

    id: SpecimenNoteId
    specimen_order_id: SpecimenOrderId
    workspace_id: WorkspaceId
    author_id: UserId
    body: str
    created_at: datetime
    edited_at: datetime | None = None

    @classmethod
    def add(
        cls,
        *,
        id: SpecimenNoteId,
        specimen_order_id: SpecimenOrderId,
        workspace_id: WorkspaceId,
        body: str,
        by: UserId,
        at: datetime,
    ) -> Self:
        return cls(
            id=id,
            specimen_order_id=specimen_order_id,
            workspace_id=workspace_id,
            author_id=by,
            body=_valid_body(body),
            created_at=at,
            events=(
                SpecimenNoteAdded(
                    at=at,
                    specimen_note_id=id,
                    specimen_order_id=specimen_order_id,
                    workspace_id=workspace_id,
                    by=by,
                ),
            ),
        )

    def edit(self, *, body: str, by: UserId, at: datetime) -> Self:
        if by != self.author_id:
            raise SpecimenNoteAuthorOnly("Write a note of your own.")
        if at - self.created_at > EDIT_WINDOW:
            raise SpecimenNoteEditClosed("Write another one.")
        edited = replace(self, body=_valid_body(body), edited_at=at)
        return edited.recording(
            SpecimenNoteEdited(
                at=at,
                specimen_note_id=self.id,
                specimen_order_id=self.specimen_order_id,
                workspace_id=self.workspace_id,
                by=by,
            )
        )

    def delete(self, *, by: UserId, moderator: bool, at: datetime) -> Self:
        """By its author, or by a `moderator` of the workspace."""
        if by != self.author_id and not moderator:
            raise SpecimenNoteAuthorOnly("An admin of the workspace can delete it too.")
        return self.recording(
            SpecimenNoteDeleted(
                at=at,
                specimen_note_id=self.id,
                specimen_order_id=self.specimen_order_id,
                workspace_id=self.workspace_id,
                by=by,
            )
        )
