"""Tasks: what the members of a workspace have to do."""

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

TaskId = NewType("TaskId", UUID)

TITLE_MOST = 200
DESCRIPTION_MOST = 10_000
LABELS_MOST = 10
LABEL_PATTERN = r"[a-z0-9]+(-[a-z0-9]+)*"
LABEL_MOST = 30


class Status(StrEnum):
    OPEN = "open"
    IN_PROGRESS = "in_progress"
    DONE = "done"
    CANCELLED = "cancelled"


class Priority(StrEnum):
    """From the least to the most; a list sorted by priority follows this order."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"


# Where a task may go from where it is. What is finished can only be reopened.
MOVES: Mapping[Status, frozenset[Status]] = MappingProxyType(
    {
        Status.OPEN: frozenset({Status.IN_PROGRESS, Status.DONE, Status.CANCELLED}),
        Status.IN_PROGRESS: frozenset({Status.OPEN, Status.DONE, Status.CANCELLED}),
        Status.DONE: frozenset({Status.OPEN}),
        Status.CANCELLED: frozenset({Status.OPEN}),
    }
)


class TaskNotFound(NotFound, of=TaskId):
    """There is no such task, or it is not in a workspace of yours."""


class MoveNotAllowed(Conflict):
    """The task's status does not allow this."""


class AssigneeNotMember(Invalid):
    """A task can only be assigned to a member of its workspace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCreated(Event):
    task_id: TaskId
    workspace_id: WorkspaceId
    by: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEdited(Event):
    task_id: TaskId
    workspace_id: WorkspaceId
    by: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAssigned(Event):
    """There is a new assignee. The one before is not notified."""

    task_id: TaskId
    workspace_id: WorkspaceId
    assignee_id: UserId
    by: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskMoved(Event):
    task_id: TaskId
    workspace_id: WorkspaceId
    origin: Status
    destination: Status
    by: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDeleted(Event):
    task_id: TaskId
    workspace_id: WorkspaceId
    by: UserId


class TaskChanges(TypedDict, total=False):
    """What of a task can be edited; what is absent stays, and `None` takes the value away."""

    title: str
    description: str
    priority: Priority
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
class Task(Aggregate):
    """Something to do. `labels` are sorted and unique; `finished_at` is set exactly while it is done."""

    id: TaskId
    workspace_id: WorkspaceId
    title: str
    description: str = ""
    status: Status = Status.OPEN
    priority: Priority = Priority.NORMAL
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
        id: TaskId,
        workspace_id: WorkspaceId,
        title: str,
        description: str = "",
        priority: Priority = Priority.NORMAL,
        due_at: datetime | None = None,
        assignee_id: UserId | None = None,
        labels: tuple[str, ...] = (),
        by: UserId,
        at: datetime,
    ) -> Self:
        """An open task. That `assignee_id` is a member, the repository sees to: AssigneeNotMember."""
        task = cls(
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
            events=(TaskCreated(at=at, task_id=id, workspace_id=workspace_id, by=by),),
        )
        return task if assignee_id is None else task.recording(_assigned(task, assignee_id, by, at))

    def edit(self, *, by: UserId, at: datetime, **changes: Unpack[TaskChanges]) -> Self:
        """The task with its changes; unchanged, and without an event, where they change nothing."""
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
            TaskEdited(at=at, task_id=self.id, workspace_id=self.workspace_id, by=by)
        )
        if edited.assignee_id is None or edited.assignee_id == self.assignee_id:
            return edited
        return edited.recording(_assigned(edited, edited.assignee_id, by, at))

    def move(self, destination: Status, *, by: UserId, at: datetime) -> Self:
        """The task in another status, if `MOVES` has the way there."""
        if destination not in MOVES[self.status]:
            raise MoveNotAllowed(f"It is {self.status}, and from there it cannot become {destination}.")
        moved = TaskMoved(
            at=at,
            task_id=self.id,
            workspace_id=self.workspace_id,
            origin=self.status,
            destination=destination,
            by=by,
        )
        finished_at = at if destination is Status.DONE else None
        return replace(
            self,
            status=destination,
            finished_at=finished_at,
            updated_at=at,
            events=(*self.events, moved),
        )

    def delete(self, *, by: UserId, at: datetime) -> Self:
        return self.recording(TaskDeleted(at=at, task_id=self.id, workspace_id=self.workspace_id, by=by))


def _assigned(task: Task, assignee_id: UserId, by: UserId, at: datetime) -> TaskAssigned:
    return TaskAssigned(
        at=at, task_id=task.id, workspace_id=task.workspace_id, assignee_id=assignee_id, by=by
    )
