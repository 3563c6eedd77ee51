"""The yardstick's SQL, and its requests, answers and events."""

# ruff: noqa: S608 (the SQL is made of this file's constants and of tables' names)

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec

_COLUMNS = (
    "id, workspace_id, title, description, status, priority, due_at, assignee_id, labels, "
    "created_by, created_at, updated_at, finished_at, version"
)
_MEMBER = "SELECT FROM memberships WHERE workspace_id = {} AND user_id = {}"


class Statements:
    """Those of one table that is shaped as the specimen's; its entity's name is in the event."""

    def __init__(self, table: str, entity: str) -> None:
        of_one, found = _MEMBER.format(f"{table}.workspace_id", "$2"), _MEMBER.format("$1", "$2")
        self.get = f"SELECT {_COLUMNS} FROM {table} WHERE id = $1 AND EXISTS ({of_one})"
        self.list = f"""
    SELECT {_COLUMNS} FROM {table} WHERE workspace_id = $1 AND EXISTS ({found})
    ORDER BY created_at DESC, id DESC LIMIT $3"""
        self.list_after = f"""
    SELECT {_COLUMNS} FROM {table} WHERE workspace_id = $1 AND EXISTS ({found})
    AND (created_at, id) < ($4, $5) ORDER BY created_at DESC, id DESC LIMIT $3"""
        self.create = f"""
    WITH made AS (
        INSERT INTO {table} ({_COLUMNS})
        SELECT $1, $2, $3, $4, 'open', $5, $6, NULL, $7, $8, $9, $9, NULL, 1
        FROM memberships JOIN workspaces ON workspaces.id = workspace_id
        WHERE workspace_id = $2 AND user_id = $8 AND role <> 'viewer' AND archived_at IS NULL
        RETURNING id
    ), event AS (
        INSERT INTO outbox (id, type, aggregate_id, payload) SELECT $10, '{entity}Created', id, $11 FROM made
    )
    SELECT count(*) FROM made"""


class Order(msgspec.Struct, gc=False):
    """An order as it is answered."""

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
    """Some orders, and where the next ones begin."""

    items: list[Order]
    next: str | None


class NewOrder(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """The body that creates an order."""

    title: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    description: Annotated[str, msgspec.Meta(max_length=10_000)] = ""
    priority: Annotated[str, msgspec.Meta(pattern="^(low|normal|high|urgent)$")] = "normal"
    due_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    labels: Annotated[list[str], msgspec.Meta(max_length=10)] = []


def created(entity: str, id_name: str) -> type[msgspec.Struct]:
    """The event that goes into the outbox."""
    fields = [("at", datetime), (id_name, UUID), ("workspace_id", str), ("by", UUID)]
    return msgspec.defstruct(f"{entity}Created", fields, gc=False)
