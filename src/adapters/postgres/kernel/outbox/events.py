"""The tables of the outbox, and how an aggregate's events get into it: by the statement that saves it."""

import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import (
    CTE,
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    bindparam,
    cast,
    func,
    insert,
    literal,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from adapters.postgres.kernel.tables.schema import instant, metadata, text
from application.kernel.origin import present_origin
from domain.kernel.aggregate import Event, new_id

outbox = Table(
    "outbox",
    metadata,
    # Drawn while the aggregate's row is locked, so for one aggregate it grows in the order of commits.
    Column("position", BigInteger, Identity(always=True), primary_key=True),
    Column("id", Uuid, nullable=False, unique=True),
    text("type"),
    Column("aggregate_id", Uuid, nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("available_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    instant("parked_at", nullable=True),
    text("last_error", nullable=True),
    # Set where the event waits, and what it causes outside of the database does not wait with it.
    instant("dispatched_at", nullable=True),
    # Of the request that has caused it (W3C Trace Context).
    text("traceparent", nullable=True),
    Index(None, "aggregate_id", "position"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("position", BigInteger, Identity(always=True), primary_key=True),
    Column("event_id", Uuid, nullable=False),
    text("reaction"),
    text("type"),
    Column("aggregate_id", Uuid, nullable=False),
    Column("payload", JSONB, nullable=False),
    instant("recorded_at"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("refusals", Integer, nullable=False, server_default="0"),
    instant("first_refused_at", nullable=True),
    Column("available_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("lease", Uuid, nullable=True),
    instant("parked_at", nullable=True),
    text("last_error", nullable=True),
    text("traceparent", nullable=True),
    UniqueConstraint("event_id", "reaction"),
    Index(None, "aggregate_id", "reaction", "position"),
)
Index(None, deliveries.c.available_at, postgresql_where=deliveries.c.parked_at.is_(None))

_RECORDED = ["id", "type", "aggregate_id", "payload", "traceparent"]

CHANNEL = "outbox"
"""A trigger sends NOTIFY on it for every statement that writes events (see the migration)."""


def recording(changed: CTE) -> CTE:
    """The part of a statement that stores the events, if there was a row in `changed`."""
    rows = (
        func.unnest(
            bindparam("event_ids", type_=ARRAY(Uuid)),
            bindparam("event_types", type_=ARRAY(Text)),
            bindparam("event_payloads", type_=ARRAY(Text)),
        )
        .table_valued("id", "type", "payload")
        .render_derived("event")
    )
    source = select(
        rows.c.id,
        rows.c.type,
        bindparam("id", type_=Uuid),
        cast(rows.c.payload, JSONB),
        bindparam("traceparent", type_=Text),
    ).select_from(changed.join(rows, onclause=true()))
    return insert(outbox).from_select(_RECORDED, source).cte("recorded")


def recording_each(changed: CTE, kind: type[Event], *fields: str) -> CTE:
    """The part of a statement that stores an event for every row in `changed`, which has the row's `id`.

    `fields` are those of the event beside `at`, and columns of `changed`.
    """
    named = [part for name in fields for part in (literal(name), changed.c[name])]
    payload = cast(bindparam("event_payload", type_=Text), JSONB).op("||")(func.jsonb_build_object(*named))
    traceparent = bindparam("traceparent", type_=Text)
    source = select(func.gen_random_uuid(), literal(kind.__name__), changed.c.id, payload, traceparent)
    return insert(outbox).from_select(_RECORDED, source).cte("recorded")


def each_event_values(at: datetime) -> dict[str, Any]:
    """What `recording_each` binds."""
    return {
        "event_payload": msgspec.json.encode({"at": at}).decode(),
        "traceparent": present_origin().traceparent,
    }


def event_values(events: Iterable[Event]) -> dict[str, Any]:
    """What `recording` binds."""
    events = tuple(events)
    return {
        "event_ids": [new_id(event.at) for event in events],
        "event_types": [type(event).__name__ for event in events],
        "event_payloads": [msgspec.json.encode(event).decode() for event in events],
        "traceparent": present_origin().traceparent if events else None,
    }


def decode(type_name: str, payload: str) -> Event:
    """The event as it was; raises LookupError for a type that this version of the service lacks."""
    try:
        shape = event_types()[type_name]
    except KeyError:
        raise LookupError(f"This version of the service has no event {type_name!r}.") from None
    return msgspec.json.decode(payload, type=shape)


@cache
def event_types() -> Mapping[str, type[Event]]:
    """Every event of the domain by its name, which must be unique."""
    found: dict[str, type[Event]] = {}
    remaining = list(Event.__subclasses__())
    while remaining:
        kind = remaining.pop()
        remaining.extend(kind.__subclasses__())
        # `slots=True` makes a class twice; only the second one is in its module.
        if getattr(sys.modules[kind.__module__], kind.__name__, None) is not kind:
            continue
        if kind.__name__ in found:
            raise TypeError(f"Two events are called {kind.__name__}: the outbox stores them by name.")
        found[kind.__name__] = kind
    return found
