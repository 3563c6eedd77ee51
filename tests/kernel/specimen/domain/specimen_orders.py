"""SpecimenOrders: what the members of a workspace have to do."""

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

SpecimenOrderId = NewType("SpecimenOrderId", UUID)

TITLE_MOST = 200
DESCRIPTION_MOST = 10_000
LABELS_MOST = 10
LABEL_PATTERN = r"[a-z0-9]+(-[a-z0-9]+)*"
LABEL_MOST = 30


class SpecimenOrderStatus(StrEnum):
    OPEN = "open"
    IN_PROGRESS = "in_progress"
    DONE = "done"
    CANCELLED = "cancelled"


class SpecimenOrderPriority(StrEnum):
    """From the least to the most; a list sorted by priority follows this order."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"


# Where a specimen order may go from where it is. What is finished can only be reopened.
MOVES: Mapping[SpecimenOrderStatus, frozenset[SpecimenOrderStatus]] = MappingProxyType(
    {
        SpecimenOrderStatus.OPEN: frozenset(
            {SpecimenOrderStatus.IN_PROGRESS, SpecimenOrderStatus.DONE, SpecimenOrderStatus.CANCELLED}
        ),
        SpecimenOrderStatus.IN_PROGRESS: frozenset(
            {SpecimenOrderStatus.OPEN, SpecimenOrderStatus.DONE, SpecimenOrderStatus.CANCELLED}
        ),
        SpecimenOrderStatus.DONE: frozenset({SpecimenOrderStatus.OPEN}),
        SpecimenOrderStatus.CANCELLED: frozenset({SpecimenOrderStatus.OPEN}),
    }
)


class SpecimenOrderNotFound(NotFound, of=SpecimenOrderId):
    """There is no such specimen order, or it is not in a workspace of yours."""


class SpecimenOrderTransitionNotAllowed(Conflict):
    """The specimen order cannot go from its status to that one."""


class SpecimenOrderAssigneeNotMember(Invalid):
    """A specimen order can only be assigned to a member of its workspace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecimenOrderCreated(Event):
    specimen_order_id: SpecimenOrderId
    workspace_id: WorkspaceId
    by: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecimenOrderEdited(Event):
    specimen_order_id: SpecimenOrderId
    workspace_id: WorkspaceId
    by: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecimenOrderAssigned(Event):
    """The assignee is new; nobody is told when a specimen order is taken away from them."""

    specimen_order_id: SpecimenOrderId
    workspace_id: WorkspaceId
    assignee_id: UserId
    by: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecimenOrderMoved(Event):
    specimen_order_id: SpecimenOrderId
    workspace_id: WorkspaceId
    origin: SpecimenOrderStatus
    destination: SpecimenOrderStatus
    by: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecimenOrderDeleted(Event):
    specimen_order_id: SpecimenOrderId
    workspace_id: WorkspaceId
    by: UserId


class SpecimenOrderChanges(TypedDict, total=False):
    """What of a specimen order can be edited; what is absent stays, and `None` takes the value away."""

    title: str
    description: str
    priority: SpecimenOrderPriority
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
class SpecimenOrder(Aggregate):
    """Something to do. `labels` are sorted and unique; `finished_at` is set exactly while it is done."""

    id: SpecimenOrderId
    workspace_id: WorkspaceId
    title: str
    description: str = ""
    status: SpecimenOrderStatus = SpecimenOrderStatus.OPEN
    priority: SpecimenOrderPriority = SpecimenOrderPriority.NORMAL
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
        id: SpecimenOrderId,
        workspace_id: WorkspaceId,
        title: str,
        description: str = "",
        priority: SpecimenOrderPriority = SpecimenOrderPriority.NORMAL,
        due_at: datetime | None = None,
        assignee_id: UserId | None = None,
        labels: tuple[str, ...] = (),
        by: UserId,
        at: datetime,
    ) -> Self:
        """An open specimen order; the repository refuses an assignee who is no member."""
        specimen_order = cls(
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
            events=(SpecimenOrderCreated(at=at, specimen_order_id=id, workspace_id=workspace_id, by=by),),
        )
        return (
            specimen_order
            if assignee_id is None
            else specimen_order.recording(_assigned(specimen_order, assignee_id, by, at))
        )

    def edit(self, *, by: UserId, at: datetime, **changes: Unpack[SpecimenOrderChanges]) -> Self:
        """The specimen order with its changes; unchanged, and without an event, where they change nothing."""
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
            SpecimenOrderEdited(at=at, specimen_order_id=self.id, workspace_id=self.workspace_id, by=by)
        )
        if edited.assignee_id is None or edited.assignee_id == self.assignee_id:
            return edited
        return edited.recording(_assigned(edited, edited.assignee_id, by, at))

    def move(self, destination: SpecimenOrderStatus, *, by: UserId, at: datetime) -> Self:
        """The specimen order in another status, if `MOVES` has the way there."""
        if destination not in MOVES[self.status]:
            raise SpecimenOrderTransitionNotAllowed(
                f"It is {self.status}, and from there it cannot become {destination}."
            )
        moved = SpecimenOrderMoved(
            at=at,
            specimen_order_id=self.id,
            workspace_id=self.workspace_id,
            origin=self.status,
            destination=destination,
            by=by,
        )
        finished_at = at if destination is SpecimenOrderStatus.DONE else None
        return replace(self, status=destination, finished_at=finished_at, updated_at=at).recording(moved)

    def delete(self, *, by: UserId, at: datetime) -> Self:
        return self.recording(
            SpecimenOrderDeleted(at=at, specimen_order_id=self.id, workspace_id=self.workspace_id, by=by)
        )


def _assigned(
    specimen_order: SpecimenOrder, assignee_id: UserId, by: UserId, at: datetime
) -> SpecimenOrderAssigned:
    return SpecimenOrderAssigned(
        at=at,
        specimen_order_id=specimen_order.id,
        workspace_id=specimen_order.workspace_id,
        assignee_id=assignee_id,
        by=by,
    )
