"""The table of the audit log, and how what an event tells gets into it: by the statement that saves both.

No foreign key leads out of it: what happened stays true when the user or the workspace is gone.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import (
    CTE,
    ColumnElement,
    DateTime,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    bindparam,
    cast,
    func,
    insert,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.schema import Column
from sqlalchemy.types import TypeEngine

from adapters.postgres.kernel.tables.schema import document, instant, key, metadata, text
from application.kernel.origin import Origin
from application.kernel.ports.audit import Note
from domain.kernel.identity.sessions import AGENT_MOST

audit: Final = Table(
    "audit",
    metadata,
    key(),
    instant("at"),
    # The same again in a window raises the count: of what strangers cause without end.
    Column("count", Integer, nullable=False, server_default="1"),
    instant("last_at"),
    text("kind"),
    text("reason", nullable=True),
    Column("user_id", Uuid, nullable=True),
    text("account", nullable=True),
    Column("by", Uuid, nullable=True),
    Column("workspace_id", Uuid, nullable=True),
    text("channel"),
    text("address"),
    text("agent"),
    text("request_id"),
    document("details"),
    text("counted_in", nullable=True),
    text("counted_as", nullable=True),
    Index(None, "at", "id"),
)
for _name in ("user_id", "by", "workspace_id", "account"):
    Index(None, audit.c[_name], audit.c.at, audit.c.id, postgresql_where=audit.c[_name].is_not(None))
Index(
    "uq_audit_counted_in_counted_as",
    audit.c.counted_in,
    audit.c.counted_as,
    unique=True,
    postgresql_where=audit.c.counted_in.is_not(None),
)

# Of each entry, and of the origin, which all of a statement share.
_OF_EACH: Final[Mapping[str, TypeEngine[Any]]] = {
    "id": Uuid(),
    "at": DateTime(timezone=True),
    "kind": Text(),
    "reason": Text(),
    "user_id": Uuid(),
    "account": Text(),
    "by": Uuid(),
    "workspace_id": Uuid(),
    "details": Text(),
}
_OF_ORIGIN: Final = ("channel", "address", "agent", "request_id")


def auditing(changed: CTE) -> CTE:
    """The part of a statement that stores the notes, if there was a row in `changed`."""
    rows = (
        func.unnest(*(bindparam(f"audit_{name}", type_=ARRAY(kind)) for name, kind in _OF_EACH.items()))
        .table_valued(*_OF_EACH)
        .render_derived("note")
    )
    values: dict[str, ColumnElement[Any]] = {
        **{name: rows.c[name] for name in _OF_EACH if name != "details"},
        "last_at": rows.c["at"],
        "details": cast(rows.c["details"], JSONB),
        **{name: bindparam(f"audit_{name}", type_=Text) for name in _OF_ORIGIN},
    }
    source = select(*values.values()).select_from(changed.join(rows, onclause=true()))
    return insert(audit).from_select([*values], source).cte("audited")


def audit_values(notes: Sequence[Note]) -> dict[str, Any]:
    """What `auditing` binds; there is at least one note."""
    entries = [note.entry for note in notes]
    return {
        "audit_id": [note.id for note in notes],
        "audit_at": [note.at for note in notes],
        "audit_kind": [str(entry.kind) for entry in entries],
        "audit_reason": [entry.reason for entry in entries],
        "audit_user_id": [entry.user_id for entry in entries],
        "audit_account": [entry.account for entry in entries],
        "audit_by": [entry.by for entry in entries],
        "audit_workspace_id": [entry.workspace_id for entry in entries],
        "audit_details": [msgspec.json.encode(dict(entry.details)).decode() for entry in entries],
        **{f"audit_{name}": value for name, value in origin_values(notes[0].origin).items()},
    }


def origin_values(origin: Origin) -> dict[str, str]:
    """The columns that say where it came from."""
    return {
        "channel": origin.channel.value,
        "address": origin.address,
        "agent": origin.agent[:AGENT_MOST],
        "request_id": origin.request_id,
    }
