"""What a workspace looks like at a glance."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Protocol

from application.kernel.example import Example
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId
from domain.tasks import Priority, Status

DAYS = 30
LOAD_MOST = 100


@dataclass(slots=True)
class FinishedOn:
    """How many of the tasks that are done now were finished on a day (UTC)."""

    day: date
    count: int


@dataclass(slots=True)
class Load:
    """The open and started tasks of one assignee; `null` for those without an assignee."""

    assignee_id: UserId | None
    display_name: Annotated[str | None, Example("Ada Lovelace")]
    active: int
    overdue: int


@dataclass(slots=True)
class Dashboard:
    """Counts over the tasks of a workspace.

    `by_status` counts all of them, `by_priority` the active ones (open or in progress), `overdue` the
    active ones whose time has passed. `finished` has an entry for each of the last 30 days in UTC, the
    oldest first and today included. `load` has the 100 busiest assignees, the busiest first.
    """

    by_status: dict[Status, int]
    by_priority: dict[Priority, int]
    overdue: int
    finished: list[FinishedOn]
    load: list[Load]


class DashboardQueries(Protocol):
    async def of(self, viewer: UserId, workspace_id: WorkspaceId, now: datetime, /) -> Dashboard:
        """Raises WorkspaceNotFound, also for a viewer who is not a member."""
