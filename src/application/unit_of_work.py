"""One transaction of this service: the kernel's collections, and its own."""

from typing import Protocol

from application.kernel.ports.storing import Repository
from application.kernel.unit_of_work import KernelUnitOfWork
from application.queries import Queries
from domain.comments import Comment, CommentId
from domain.kernel.users import UserId
from domain.notes import Note, NoteId
from domain.notifications import Notification, NotificationId
from domain.tasks import Task, TaskId


class Notifications(Repository[Notification, NotificationId], Protocol):
    async def remove_of(self, user_id: UserId, /) -> None:
        """Removes all that the user is told."""


class UnitOfWork(KernelUnitOfWork):
    ask: Queries
    tasks: Repository[Task, TaskId]
    comments: Repository[Comment, CommentId]
    notifications: Notifications
    notes: Repository[Note, NoteId]
