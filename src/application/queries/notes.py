"""What a member can ask about notes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, Protocol

from application.kernel.example import Example
from application.kernel.paging import Length, Page, PageRequest, Sort
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId
from domain.notes import NoteId


@dataclass(slots=True)
class NoteView:
    """A note. Times are UTC."""

    id: NoteId
    workspace_id: WorkspaceId
    title: Annotated[str, Example("First title")]
    body: Annotated[str, Example("A body of some words.")]
    created_by: UserId
    created_at: datetime
    updated_at: datetime
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteFilter:
    """Which notes. All filters that are given have to hold; of several values any will do."""

    q: Annotated[str | None, Length(200)] = None
    """Words in title or body, in the manner of a web search: `"exact words"`, `-without`, `or`."""


type NoteSortKey = Annotated[Literal["created_at", "title"], Sort("created_at", descending=True)]


class NoteQueries(Protocol):
    async def get(self, viewer: UserId, note_id: NoteId, /) -> NoteView:
        """Raises NoteNotFound, also for a viewer who is not a member of the workspace."""

    async def page(
        self,
        viewer: UserId,
        workspace_id: WorkspaceId,
        where: NoteFilter,
        sort: Sequence[Sort[NoteSortKey]],
        page: PageRequest,
        /,
    ) -> Page[NoteView]:
        """Sorted by `sort` and then by id; raises WorkspaceNotFound, InvalidCursor."""
