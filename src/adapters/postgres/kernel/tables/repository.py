"""A repository on one table, and all that repositories have in common.

Adding, saving and removing are one statement each: the row, its events, and what of these goes into the audit
log, in data-modifying CTEs. Their shapes are fixed, so each class compiles them once, when it is defined.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, ClassVar, override

import asyncpg
from sqlalchemy import CTE, ColumnElement, Table, bindparam, delete, insert, literal_column, select, update
from sqlalchemy.sql import Select

from adapters.postgres.kernel.connection.database import Statement
from adapters.postgres.kernel.connection.errors import NO_CONFLICTS, Conflicts
from adapters.postgres.kernel.connection.transaction import Transaction, stale
from adapters.postgres.kernel.outbox.audited import audit_values, auditing
from adapters.postgres.kernel.outbox.events import event_values, recording
from adapters.postgres.kernel.tables.mapping import column_names, differences, loader, renewer
from application.kernel.ports.world import WorldError
from domain.kernel.aggregate import Aggregate, Event
from domain.kernel.errors import DomainError, NotFound


class PostgresRepository[A: Aggregate, Id]:
    """Aggregates of one kind. Subclasses name the table, the entity, what it is not to be found,
    and what it means to break each constraint, by its name."""

    table: ClassVar[Table]
    entity: ClassVar[type[Aggregate]]
    missing: ClassVar[type[NotFound]]
    conflicts: ClassVar[Conflicts] = NO_CONFLICTS

    registry: ClassVar[list[type["PostgresRepository[Any, Any]"]]] = []
    """Every subclass."""

    _names: ClassVar[Sequence[str]]
    _load: "ClassVar[staticmethod[[asyncpg.Record | Sequence[Any]], Any]]"
    _renew: "ClassVar[staticmethod[[Any, int], Any]]"
    _values: "ClassVar[staticmethod[[Any], Sequence[Any]]]"
    _get: ClassVar[Statement]
    _add: ClassVar["Recording"]
    _save: ClassVar["Recording"]
    _remove: ClassVar["Recording"]

    @override
    def __init_subclass__(cls) -> None:
        table, cls._names = cls.table, column_names(cls.entity)
        if found := "; ".join(differences(cls.entity, table)):
            raise TypeError(f"{cls.entity.__name__} and the table {table.name} differ: {found}.")
        cls._load = staticmethod(loader(cls.entity))
        cls._renew = staticmethod(renewer(cls.entity))
        cls._values = staticmethod(attrgetter(*cls._names))
        same = (table.c.id == bindparam("id"), table.c.version == bindparam("version"))
        values: dict[str, ColumnElement[Any]] = {name: bindparam(name) for name in cls._names}
        changed = {**values, "version": table.c.version + 1}
        del changed["id"]
        row = insert(table).values(values).returning(table.c.version)
        next_row = update(table).where(*same).values(changed)
        gone = delete(table).where(*same).returning(table.c.version)
        cls._get = cls.selecting(
            lambda query: query.where(table.c.id == bindparam("id")), name=f"{table.name}.get"
        )
        cls._add = with_events(row.cte("changed"), name=f"{table.name}.add")
        cls._save = with_events(next_row.returning(table.c.version).cte("changed"), name=f"{table.name}.save")
        cls._remove = with_events(gone.cte("changed"), name=f"{table.name}.remove")
        PostgresRepository.registry.append(cls)

    @classmethod
    def selecting(cls, narrow: Callable[[Select[Any]], Select[Any]], *, name: str = "") -> Statement:
        """A statement that reads whole aggregates, for `_load`."""
        return Statement(narrow(select(*(cls.table.c[each] for each in cls._names))), name=name)

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def get(self, id: Id, /) -> A:
        found = await self._first(self._get, {"id": id})
        if found is None:
            raise self.missing
        return found

    async def add(self, aggregate: A, /) -> A:
        await self._write(self._add, aggregate)
        added: A = self._renew(aggregate, aggregate.version)
        return added

    async def save(self, aggregate: A, /) -> A:
        await self._write(self._save, aggregate)
        saved: A = self._renew(aggregate, aggregate.version + 1)
        return saved

    async def remove(self, aggregate: A, /) -> None:
        await self._write(self._remove, aggregate)

    async def _first(self, statement: Statement, values: Mapping[str, Any]) -> A | None:
        row = await self._transaction.fetchrow(statement, values)
        return None if row is None else self._read(row)

    def _read(self, row: asyncpg.Record | Sequence[Any]) -> A:
        """The aggregate of a row, which the transaction has now seen."""
        found: A = self._load(row)
        if self._transaction.seen is not None:
            self._transaction.seen(found)
        return found

    async def _write(
        self,
        recording: "Recording",
        aggregate: A,
        *,
        conflicts: Conflicts | None = None,
        otherwise: Callable[[], DomainError | WorldError] = stale,
        **more: Any,  # noqa: ANN401 (what the statement binds beside)
    ) -> None:
        """Changes the aggregate's row and stores its events; raises the conflicts, and `otherwise`."""
        values = dict(zip(self._names, self._values(aggregate), strict=True), **more)
        conflicts = self.conflicts if conflicts is None else conflicts
        await self._record(recording, values, aggregate.events, conflicts=conflicts, otherwise=otherwise)

    async def _record(
        self,
        recording: "Recording",
        values: dict[str, Any],
        events: Sequence[Event],
        *,
        conflicts: Conflicts = NO_CONFLICTS,
        otherwise: Callable[[], DomainError | WorldError] = stale,
    ) -> None:
        """Changes a row, and stores the events of the aggregate whose `id` is in `values`."""
        notes = self._transaction.note(events)
        statement, bound = recording.statement, values | event_values(events)
        if notes:
            statement, bound = recording.audited, bound | audit_values(notes)
        await self._transaction.change(statement, bound, conflicts=conflicts, otherwise=otherwise)

    async def _record_events(self, aggregate: A) -> None:
        """Stores the events of an aggregate whose row the ORM's session writes, once that is flushed."""
        if aggregate.events:
            await self._write(_RECORD_EVENTS, aggregate)


@dataclass(frozen=True, slots=True)
class Recording:
    """A change of one row with its events, and the same for events that go into the audit log as well.

    They are two, so that a change of which nothing is written down there is no dearer for it.
    """

    statement: Statement
    audited: Statement


def with_events(changed: CTE, *, where: CTE | None = None, name: str = "") -> Recording:
    """A change of one row, and its events where there was one; or where `where` has a row."""
    happened = changed if where is None else where
    change = select(changed.c.version).add_cte(recording(happened))
    audited = change.add_cte(auditing(happened))
    return Recording(Statement(change, name=name), Statement(audited, name=name))


_RECORD_EVENTS = with_events(select(literal_column("1").label("version")).cte("changed"))
