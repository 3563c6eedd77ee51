"""What a user is told about the tasks that concern them."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import NewType, Self
from uuid import UUID

from domain.kernel.aggregate import Aggregate
from domain.kernel.errors import NotFound
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId
from domain.tasks import TaskId

NotificationId = NewType("NotificationId", UUID)


class Kind(StrEnum):
    TASK_ASSIGNED = "task_assigned"


class NotificationNotFound(NotFound, of=NotificationId):
    """There is no such notification, or it is not yours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification(Aggregate):
    """One thing for one user to know. `id` is the id of the event that caused it.

    So an event that is delivered twice cannot notify twice.
    """

    id: NotificationId
    user_id: UserId
    kind: Kind
    task_id: TaskId
    workspace_id: WorkspaceId
    caused_by: UserId
    created_at: datetime
    read_at: datetime | None = None

    def mark(self, *, read: bool, at: datetime) -> Self:
        """Read, or unread again; the instant of the first reading stays."""
        if read:
            return self if self.read_at is not None else replace(self, read_at=at)
        return replace(self, read_at=None)
