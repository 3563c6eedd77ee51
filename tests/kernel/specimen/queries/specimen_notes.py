"""What a member can ask about the notes on a specimen order."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from application.kernel.paging import Page, PageRequest
from domain.kernel.users import UserId
from kernel.specimen.domain.specimen_notes import SpecimenNoteId
from kernel.specimen.domain.specimen_orders import SpecimenOrderId


@dataclass(slots=True)
class SpecimenNoteView:
    """A note with its author's present name."""

    id: SpecimenNoteId
    specimen_order_id: SpecimenOrderId
    author_id: UserId
    author_name: str
    body: str
    created_at: datetime
    edited_at: datetime | None
    version: int


class SpecimenNoteQueries(Protocol):
    async def get(self, viewer: UserId, specimen_note_id: SpecimenNoteId, /) -> SpecimenNoteView:
        """Raises SpecimenNoteNotFound, also for a viewer who is not a member of the workspace."""

    async def page(
        self, viewer: UserId, specimen_order_id: SpecimenOrderId, page: PageRequest, /
    ) -> Page[SpecimenNoteView]:
        """The oldest first; raises SpecimenOrderNotFound, InvalidCursor."""
