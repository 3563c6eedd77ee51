"""The yardstick's SQL, and its requests, answers and events."""

# ruff: noqa: S608 (the SQL is made of this file's constants alone)

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec

_COLUMNS = (
    "id, workspace_id, title, description, status, priority, due_at, assignee_id, labels, "
    "created_by, created_at, updated_at, finished_at, version"
)
_MEMBER = "SELECT FROM memberships WHERE workspace_id = {} AND user_id = {}"

GET = f"SELECT {_COLUMNS} FROM tasks WHERE id = $1 AND EXISTS ({_MEMBER.format('tasks.workspace_id', '$2')})"
LIST = f"""
    SELECT {_COLUMNS} FROM tasks WHERE workspace_id = $1 AND EXISTS ({_MEMBER.format("$1", "$2")})
    ORDER BY created_at DESC, id DESC LIMIT $3"""
LIST_AFTER = f"""
    SELECT {_COLUMNS} FROM tasks WHERE workspace_id = $1 AND EXISTS ({_MEMBER.format("$1", "$2")})
    AND (created_at, id) < ($4, $5) ORDER BY created_at DESC, id DESC LIMIT $3"""
CREATE = f"""
    WITH task AS (
        INSERT INTO tasks ({_COLUMNS})
        SELECT $1, $2, $3, $4, 'open', $5, $6, NULL, $7, $8, $9, $9, NULL, 1
        FROM memberships JOIN workspaces ON workspaces.id = workspace_id
        WHERE workspace_id = $2 AND user_id = $8 AND role <> 'viewer' AND archived_at IS NULL
        RETURNING id
    ), event AS (
        INSERT INTO outbox (id, type, aggregate_id, payload) SELECT $10, 'TaskCreated', id, $11 FROM task
    )
    SELECT count(*) FROM task"""


class Task(msgspec.Struct, gc=False):
    """A task as it is answered."""

    id: UUID
    workspace_id: UUID | str
    title: str
    description: str
    status: str
    priority: str
    due_at: datetime | None
    assignee_id: UUID | None
    labels: list[str]
    created_by: UUID
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    version: int


class Page(msgspec.Struct, gc=False):
    """Some tasks, and where the next ones begin."""

    items: list[Task]
    next: str | None


class NewTask(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """The body that creates a task."""

    title: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    description: Annotated[str, msgspec.Meta(max_length=10_000)] = ""
    priority: Annotated[str, msgspec.Meta(pattern="^(low|normal|high|urgent)$")] = "normal"
    due_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    labels: Annotated[list[str], msgspec.Meta(max_length=10)] = []


class TaskCreated(msgspec.Struct, gc=False):
    """The event that goes into the outbox."""

    at: datetime
    task_id: UUID
    workspace_id: str
    by: UUID
