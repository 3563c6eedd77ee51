"""Notes of a workspace."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import NewType, Self, TypedDict, Unpack
from uuid import UUID

from domain.kernel.aggregate import Aggregate, Event
from domain.kernel.errors import NotFound
from domain.kernel.text import line, prose
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId

NoteId = NewType("NoteId", UUID)

TITLE_MOST = 80
BODY_MOST = 10_000


class NoteNotFound(NotFound, of=NoteId):
    """There is no such note, or it is not in a workspace of yours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteCreated(Event):
    note_id: NoteId
    workspace_id: WorkspaceId
    by: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteEdited(Event):
    note_id: NoteId
    workspace_id: WorkspaceId
    by: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteDeleted(Event):
    note_id: NoteId
    workspace_id: WorkspaceId
    by: UserId


class NoteChanges(TypedDict, total=False):
    """What of a note can be edited; what is absent stays."""

    title: str
    body: str


def _valid_title(title: str) -> str:
    return line(title, field="title", most=TITLE_MOST)


def _valid_body(body: str) -> str:
    return prose(body, field="body", most=BODY_MOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note(Aggregate):
    id: NoteId
    workspace_id: WorkspaceId
    title: str
    body: str = ""
    created_by: UserId
    created_at: datetime
    updated_at: datetime

    @classmethod
    def create(
        cls,
        *,
        id: NoteId,
        workspace_id: WorkspaceId,
        title: str,
        body: str = "",
        by: UserId,
        at: datetime,
    ) -> Self:
        return cls(
            id=id,
            workspace_id=workspace_id,
            title=_valid_title(title),
            body=_valid_body(body),
            created_by=by,
            created_at=at,
            updated_at=at,
            events=(NoteCreated(at=at, note_id=id, workspace_id=workspace_id, by=by),),
        )

    def edit(self, *, by: UserId, at: datetime, **changes: Unpack[NoteChanges]) -> Self:
        """The note with its changes; unchanged, and without an event, where they change nothing."""
        if "title" in changes:
            changes["title"] = _valid_title(changes["title"])
        if "body" in changes:
            changes["body"] = _valid_body(changes["body"])
        edited = replace(self, **changes)
        if edited == self:
            return self
        return replace(edited, updated_at=at).recording(
            NoteEdited(at=at, note_id=self.id, workspace_id=self.workspace_id, by=by)
        )

    def delete(self, *, by: UserId, at: datetime) -> Self:
        return self.recording(NoteDeleted(at=at, note_id=self.id, workspace_id=self.workspace_id, by=by))
