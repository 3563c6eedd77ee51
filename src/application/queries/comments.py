"""What a member can ask about the comments on a task."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Protocol

from application.kernel.example import Example
from application.kernel.paging import Page, PageRequest
from domain.comments import CommentId
from domain.kernel.users import UserId
from domain.tasks import TaskId


@dataclass(slots=True)
class CommentView:
    """A comment with its author's present name."""

    id: CommentId
    task_id: TaskId
    author_id: UserId
    author_name: Annotated[str, Example("Ada Lovelace")]
    body: Annotated[str, Example("Which cards does it take?")]
    created_at: datetime
    edited_at: Annotated[datetime | None, Example(None)]
    version: int


class CommentQueries(Protocol):
    async def get(self, viewer: UserId, comment_id: CommentId, /) -> CommentView:
        """Raises CommentNotFound, also for a viewer who is not a member of the workspace."""

    async def page(self, viewer: UserId, task_id: TaskId, page: PageRequest, /) -> Page[CommentView]:
        """The oldest first; raises TaskNotFound, InvalidCursor."""

    async def of_author(self, author_id: UserId, page: PageRequest, /) -> Page[CommentView]:
        """What the user wrote, the newest first, also where they are no member any more.

        Raises InvalidCursor.
        """
