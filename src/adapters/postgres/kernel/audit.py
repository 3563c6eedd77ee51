"""The audit log in PostgreSQL: what failed, which is stored by itself, and the queries."""

from collections.abc import Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final, override

from sqlalchemy import (
    DateTime,
    Integer,
    Text,
    Uuid,
    any_,
    bindparam,
    case,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.types import TypeEngine

from adapters.postgres.kernel.connection.database import Database, Statement
from adapters.postgres.kernel.memberships import known_to_viewer
from adapters.postgres.kernel.outbox.audited import audit, origin_values
from adapters.postgres.kernel.tables.mapping import column_names
from adapters.postgres.kernel.tables.paging import Listing, by_time
from adapters.postgres.kernel.tables.queries import PostgresQueries
from application.kernel.admission import require
from application.kernel.identity.attempts import network_of
from application.kernel.origin import present_origin
from application.kernel.paging import Page, PageRequest, Sort
from application.kernel.permissions import MANAGE_MEMBERS, READ_AUDIT
from application.kernel.ports.audit import Entry, Note, Tell
from application.kernel.ports.callers import Caller
from application.kernel.ports.storing import Clock
from application.kernel.queries.audit import (
    AuditEntry,
    AuditFilter,
    AuditQueries,
    WorkspaceAuditEntry,
    WorkspaceAuditFilter,
)
from domain.kernel.aggregate import new_id
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId, WorkspaceNotFound

# ── what failed ──────────────────────────────────────────────────────────────────────────────────

_VALUES: Final[Mapping[str, TypeEngine[Any]]] = {
    "id": Uuid(),
    "at": DateTime(timezone=True),
    "kind": Text(),
    "reason": Text(),
    "user_id": Uuid(),
    "by": Uuid(),
    "workspace_id": Uuid(),
    "channel": Text(),
    "details": JSONB(),
    "counted_in": Text(),
}
# What tells one from another, and does not stand in the row for all that are too many to be told apart.
_TOLD_APART: Final = ("account", "address", "agent", "request_id")

_window = audit.c.counted_in == bindparam("counted_in", type_=Text)
_same = bindparam("same", type_=Text)
_there = (
    select(
        func.count().label("count"),
        func.coalesce(func.bool_or(audit.c.counted_as == _same), literal_column("false")).label("known"),
    )
    .where(_window)
    .cte("there")
)
_room = or_(_there.c.known, _there.c.count < bindparam("most", type_=Integer))
_row = {
    **{name: bindparam(name, type_=kind) for name, kind in _VALUES.items()},
    "last_at": bindparam("at", type_=DateTime(timezone=True)),
    "account": case((_room, bindparam("account", type_=Text))),
    **{name: case((_room, bindparam(name, type_=Text)), else_="") for name in _TOLD_APART[1:]},
    "counted_as": case((_room, _same), else_=bindparam("rest", type_=Text)),
}
_adding = insert(audit).from_select([*_row], select(*_row.values()).select_from(_there))
_NOTE = Statement(
    _adding.on_conflict_do_update(
        index_elements=[audit.c.counted_in, audit.c.counted_as],
        index_where=audit.c.counted_in.is_not(None),
        set_={
            "count": audit.c.count + 1,
            "last_at": func.greatest(audit.c.last_at, _adding.excluded.last_at),
        },
    ).returning(audit.c.count)
)


class PostgresAudit:
    """An `Audit`. Not part of any transaction: what failed stays written down, whatever is rolled back."""

    def __init__(self, database: Database, clock: Clock, tell: Tell = lambda _: None) -> None:
        self._database = database
        self._clock = clock
        self._tell = tell

    async def note(self, entry: Entry, /, *, most: int) -> None:
        now = self._clock()
        note = Note(id=new_id(now), at=now, entry=entry, origin=present_origin())
        await self._database.fetch(_NOTE, {**_values(note), "most": most})
        self._tell(note)


def _values(note: Note) -> dict[str, Any]:
    entry, origin = note.entry, note.origin
    kind = str(entry.kind)
    return {
        "id": note.id,
        "at": note.at,
        "kind": kind,
        "reason": entry.reason,
        "user_id": entry.user_id,
        "by": entry.by,
        "workspace_id": entry.workspace_id,
        "account": entry.account,
        "details": dict(entry.details),
        **origin_values(origin),
        "counted_in": f"{_hour(note.at)} {entry.user_id or 'unknown'}",
        "same": _digest(
            kind, entry.reason, entry.account, network_of(origin.address), *entry.details.items()
        ),
        "rest": f"{kind} {entry.reason}",
    }


def _hour(at: datetime) -> int:
    return int(at.timestamp()) // 3600


def _digest(*parts: object) -> str:
    return blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


# ── the lists ────────────────────────────────────────────────────────────────────────────────────

_NEWEST_FIRST = (Sort("at", descending=True),)
_SORTS = {"at": by_time(audit.c.at)}
_kinds = bindparam("kind", type_=ARRAY(Text))
_instant = DateTime(timezone=True)
_FILTERS = {
    "kind": audit.c.kind == any_(_kinds),
    "user_id": audit.c.user_id == bindparam("user_id", type_=Uuid),
    "by": audit.c.by == bindparam("by", type_=Uuid),
    "since": audit.c.at >= bindparam("since", type_=_instant),
    "until": audit.c.at < bindparam("until", type_=_instant),
}

_ALL = Listing(
    AuditEntry,
    select(*(audit.c[name] for name in column_names(AuditEntry))),
    id=audit.c.id,
    sorts=_SORTS,
    filters={
        **_FILTERS,
        "workspace_id": audit.c.workspace_id == bindparam("workspace_id", type_=Uuid),
        "account": audit.c.account == bindparam("account", type_=Text),
    },
    filtered_by=AuditFilter,
)
_OF_WORKSPACE = Listing(
    WorkspaceAuditEntry,
    select(*(audit.c[name] for name in column_names(WorkspaceAuditEntry))).where(
        audit.c.workspace_id == bindparam("workspace_id", type_=Uuid)
    ),
    id=audit.c.id,
    sorts=_SORTS,
    filters=_FILTERS,
    filtered_by=WorkspaceAuditFilter,
    gate=known_to_viewer(bindparam("workspace_id", type_=Uuid), roles=MANAGE_MEMBERS.roles),
    missing=WorkspaceNotFound,
)


class PostgresAuditQueries(PostgresQueries, AuditQueries):
    @override
    async def page(self, actor: Caller, where: AuditFilter, page: PageRequest, /) -> Page[AuditEntry]:
        require(actor, READ_AUDIT)
        return await _ALL.page(self._source, {}, page, sort=_NEWEST_FIRST, where=where)

    @override
    async def of_workspace(
        self, viewer: UserId, workspace_id: WorkspaceId, where: WorkspaceAuditFilter, page: PageRequest, /
    ) -> Page[WorkspaceAuditEntry]:
        scope = {"viewer": viewer, "workspace_id": workspace_id}
        return await _OF_WORKSPACE.page(self._source, scope, page, sort=_NEWEST_FIRST, where=where)
