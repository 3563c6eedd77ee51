"""What a member can ask about the notes on a work order."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from application.kernel.paging import Page, PageRequest
from domain.kernel.users import UserId
from kernel.specimen.domain.notes import NoteId
from kernel.specimen.domain.work_orders import WorkOrderId


@dataclass(slots=True)
class NoteView:
    """A note with its author's present name."""

    id: NoteId
    work_order_id: WorkOrderId
    author_id: UserId
    author_name: str
    body: str
    created_at: datetime
    edited_at: datetime | None
    version: int


class NoteQueries(Protocol):
    async def get(self, viewer: UserId, note_id: NoteId, /) -> NoteView:
        """Raises NoteNotFound, also for somebody who is no member of the workspace."""

    async def page(self, viewer: UserId, work_order_id: WorkOrderId, page: PageRequest, /) -> Page[NoteView]:
        """The oldest first; raises WorkOrderNotFound, InvalidCursor."""
