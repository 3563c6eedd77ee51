"""WorkOrders: what the members of a workspace have to do."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import NewType, Self, TypedDict, Unpack
from uuid import UUID

from domain.kernel.aggregate import Aggregate, Event
from domain.kernel.errors import Conflict, Invalid, NotFound
from domain.kernel.text import line, prose
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId

WorkOrderId = NewType("WorkOrderId", UUID)

TITLE_MOST = 200
DESCRIPTION_MOST = 10_000
LABELS_MOST = 10
LABEL_PATTERN = r"[a-z0-9]+(-[a-z0-9]+)*"
LABEL_MOST = 30


class WorkOrderStatus(StrEnum):
    OPEN = "open"
    IN_PROGRESS = "in_progress"
    DONE = "done"
    CANCELLED = "cancelled"


class WorkOrderPriority(StrEnum):
    """From the least to the most; a list sorted by priority follows this order."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"


# Where a work order may go from where it is. What is finished can only be reopened.
MOVES: Mapping[WorkOrderStatus, frozenset[WorkOrderStatus]] = MappingProxyType(
    {
        WorkOrderStatus.OPEN: frozenset(
            {WorkOrderStatus.IN_PROGRESS, WorkOrderStatus.DONE, WorkOrderStatus.CANCELLED}
        ),
        WorkOrderStatus.IN_PROGRESS: frozenset(
            {WorkOrderStatus.OPEN, WorkOrderStatus.DONE, WorkOrderStatus.CANCELLED}
        ),
        WorkOrderStatus.DONE: frozenset({WorkOrderStatus.OPEN}),
        WorkOrderStatus.CANCELLED: frozenset({WorkOrderStatus.OPEN}),
    }
)


class WorkOrderNotFound(NotFound, of=WorkOrderId):
    """There is no such work order, or it is not in a workspace of yours."""


class TransitionNotAllowed(Conflict):
    """The work order cannot go from its status to that one."""


class WorkOrderAssigneeNotMember(Invalid):
    """A work order can only be assigned to a member of its workspace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkOrderCreated(Event):
    work_order_id: WorkOrderId
    workspace_id: WorkspaceId
    by: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkOrderEdited(Event):
    work_order_id: WorkOrderId
    workspace_id: WorkspaceId
    by: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkOrderAssigned(Event):
    """The assignee is new; nobody is told when a work order is taken away from them."""

    work_order_id: WorkOrderId
    workspace_id: WorkspaceId
    assignee_id: UserId
    by: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkOrderMoved(Event):
    work_order_id: WorkOrderId
    workspace_id: WorkspaceId
    origin: WorkOrderStatus
    destination: WorkOrderStatus
    by: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkOrderDeleted(Event):
    work_order_id: WorkOrderId
    workspace_id: WorkspaceId
    by: UserId


class WorkOrderChanges(TypedDict, total=False):
    """What of a work order can be edited; what is absent stays, and `None` takes the value away."""

    title: str
    description: str
    priority: WorkOrderPriority
    due_at: datetime | None
    assignee_id: UserId | None
    labels: tuple[str, ...]


def _valid_title(title: str) -> str:
    return line(title, field="title", most=TITLE_MOST)


def _valid_description(description: str) -> str:
    return prose(description, field="description", most=DESCRIPTION_MOST)


def _valid_labels(labels: tuple[str, ...]) -> tuple[str, ...]:
    words = tuple(sorted(set(labels)))
    if len(words) > LABELS_MOST:
        raise Invalid(f"There must be at most {LABELS_MOST}.", field="labels")
    for word in words:
        if len(word) > LABEL_MOST or not re.fullmatch(LABEL_PATTERN, word):
            detail = f"Each must have 1 to {LABEL_MOST} lower-case letters, digits and single hyphens."
            raise Invalid(detail, field="labels")
    return words


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkOrder(Aggregate):
    """Something to do. `labels` are sorted and unique; `finished_at` is set exactly while it is done."""

    id: WorkOrderId
    workspace_id: WorkspaceId
    title: str
    description: str = ""
    status: WorkOrderStatus = WorkOrderStatus.OPEN
    priority: WorkOrderPriority = WorkOrderPriority.NORMAL
    due_at: datetime | None = None
    assignee_id: UserId | None = None
    labels: tuple[str, ...] = ()
    created_by: UserId
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None = None

    @classmethod
    def create(
        cls,
        *,
        id: WorkOrderId,
        workspace_id: WorkspaceId,
        title: str,
        description: str = "",
        priority: WorkOrderPriority = WorkOrderPriority.NORMAL,
        due_at: datetime | None = None,
        assignee_id: UserId | None = None,
        labels: tuple[str, ...] = (),
        by: UserId,
        at: datetime,
    ) -> Self:
        """An open work order; the repository refuses an assignee who is no member."""
        work_order = cls(
            id=id,
            workspace_id=workspace_id,
            title=_valid_title(title),
            description=_valid_description(description),
            priority=priority,
            due_at=due_at,
            assignee_id=assignee_id,
            labels=_valid_labels(labels),
            created_by=by,
            created_at=at,
            updated_at=at,
            events=(WorkOrderCreated(at=at, work_order_id=id, workspace_id=workspace_id, by=by),),
        )
        return (
            work_order
            if assignee_id is None
            else work_order.recording(_assigned(work_order, assignee_id, by, at))
        )

    def edit(self, *, by: UserId, at: datetime, **changes: Unpack[WorkOrderChanges]) -> Self:
        """The work order with its changes; unchanged, and without an event, where they change nothing."""
        if "title" in changes:
            changes["title"] = _valid_title(changes["title"])
        if "description" in changes:
            changes["description"] = _valid_description(changes["description"])
        if "labels" in changes:
            changes["labels"] = _valid_labels(changes["labels"])
        edited = replace(self, **changes)
        if edited == self:
            return self
        edited = replace(edited, updated_at=at).recording(
            WorkOrderEdited(at=at, work_order_id=self.id, workspace_id=self.workspace_id, by=by)
        )
        if edited.assignee_id is None or edited.assignee_id == self.assignee_id:
            return edited
        return edited.recording(_assigned(edited, edited.assignee_id, by, at))

    def move(self, destination: WorkOrderStatus, *, by: UserId, at: datetime) -> Self:
        """The work order in another status, if `MOVES` has the way there."""
        if destination not in MOVES[self.status]:
            raise TransitionNotAllowed(f"It is {self.status}, and from there it cannot become {destination}.")
        moved = WorkOrderMoved(
            at=at,
            work_order_id=self.id,
            workspace_id=self.workspace_id,
            origin=self.status,
            destination=destination,
            by=by,
        )
        finished_at = at if destination is WorkOrderStatus.DONE else None
        return replace(self, status=destination, finished_at=finished_at, updated_at=at).recording(moved)

    def delete(self, *, by: UserId, at: datetime) -> Self:
        return self.recording(
            WorkOrderDeleted(at=at, work_order_id=self.id, workspace_id=self.workspace_id, by=by)
        )


def _assigned(work_order: WorkOrder, assignee_id: UserId, by: UserId, at: datetime) -> WorkOrderAssigned:
    return WorkOrderAssigned(
        at=at,
        work_order_id=work_order.id,
        workspace_id=work_order.workspace_id,
        assignee_id=assignee_id,
        by=by,
    )
