"""Keyset pages: a list that can be filtered, sorted and continued, as one statement a page.

A page continues after the sort values and the id of its last row, which are the cursor. So rows that come or
go in between neither repeat nor hide another one, and where an index has the order, a page costs the same at
any depth. Of several sorts the index has the first: the rows that share its value are read, and sorted, for
each page. What a filter refuses is read too, until the page is full.

A total is counted where it is asked for, in the same statement and from the same snapshot. All that the
filters let through is read for it, anew for each page.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeAliasType
from uuid import UUID

import msgspec
from sqlalchemy import (
    Boolean,
    Date,
    DateTime,
    Integer,
    Numeric,
    Text,
    Uuid,
    and_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy.sql import ColumnElement, Select
from sqlalchemy.types import TypeEngine

from adapters.postgres.kernel.connection.database import Statement
from adapters.postgres.kernel.tables.mapping import column_names, loader
from adapters.postgres.kernel.tables.queries import Source
from application.kernel.admission import NotPermitted
from application.kernel.paging import InvalidCursor, Page, PageRequest, Sort, sorts_of
from domain.kernel.errors import NotFound
from domain.kernel.instants import read_instant

# What a Decimal's own text looks like, with an exponent where it is very small.
_DECIMAL = re.compile(r"-?[0-9]{1,200}(\.[0-9]{1,200})?(E[+-][0-9]{1,3})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

SHAPES = 512
"""How many different statements one list keeps: which filters, sort, limit; cursor or total or not."""


@dataclass(frozen=True, slots=True)
class _Column:
    """A column to sort by, which is never NULL: how its values are bound, and read from a cursor."""

    expression: ColumnElement[Any]
    type: TypeEngine[Any]
    read: Callable[[object], Any]


def by_time(expression: ColumnElement[Any]) -> _Column:
    return _Column(expression, DateTime(timezone=True), _read_time)


def by_text(expression: ColumnElement[Any]) -> _Column:
    return _Column(expression, Text(), _read_text)


def by_number(expression: ColumnElement[Any]) -> _Column:
    return _Column(expression, Integer(), _read_number)


def by_decimal(expression: ColumnElement[Any]) -> _Column:
    return _Column(expression, Numeric(), _read_decimal)


def by_date(expression: ColumnElement[Any]) -> _Column:
    return _Column(expression, Date(), _read_date)


def by_flag(expression: ColumnElement[Any]) -> _Column:
    """False comes before true."""
    return _Column(expression, Boolean(), _read_flag)


@dataclass(frozen=True, slots=True)
class _Shape:
    """A statement, and where in its rows the values of a cursor stand: those sorted by, then the id.

    `whole` where a row has nothing but the view's columns.
    """

    statement: Statement
    places: Sequence[int]
    whole: bool


class Listing[View]:
    """One list: `source` selects what a `View` shows, a column for each of its fields, in their order.

    What can be asked for is declared with the query: `sorted_by` is the Literal of the sorts, `filtered_by`
    the dataclass of the filters. Here stands what each of their names means in SQL: every one, and no other,
    or it is a TypeError when the module is imported.

    `gate`, where given, selects one row for a viewer who may know of the list and none for others, so that an
    empty page and a list that is not theirs can be told apart in the same statement. Where not all who know
    of it may see it, the gate's column `permitted` says who does.
    """

    def __init__(
        self,
        view: type[View],
        source: Select[Any],
        *,
        id: ColumnElement[Any],
        sorts: Mapping[str, _Column],
        sorted_by: TypeAliasType | None = None,
        filters: Mapping[str, ColumnElement[bool]] | None = None,
        filtered_by: type[Any] | None = None,
        gate: Select[Any] | None = None,
        missing: type[NotFound] = NotFound,
    ) -> None:
        self.sorted_by, self.filtered_by = sorted_by, filtered_by
        if sorted_by is not None:
            keys, _ = sorts_of(sorted_by)
            _ensure_all(f"The sorts of {view.__name__}", sorts, keys)
        names = [] if filtered_by is None else [field.name for field in fields(filtered_by)]
        _ensure_all(f"The filters of {view.__name__}", filters or {}, names)
        shown, selected = column_names(view), [column.key for column in source.selected_columns]
        if shown != selected:
            raise TypeError(f"{view.__name__} has the fields {shown}, and its source selects {selected}.")
        self._name = view.__name__
        self._statement_name = f"{view.__module__.rpartition('.')[2]}.{view.__name__}.page"
        self._load = loader(view, as_text=True)
        self._width = len(column_names(view))
        self._source = source
        self._id = _Column(id, Uuid(), _read_uuid)
        self._sorts = sorts
        self._filters = filters or {}
        self._gate = gate
        self._restricted = gate is not None and "permitted" in gate.selected_columns
        self._missing = missing
        self._shape = lru_cache(SHAPES)(self._build)

    async def page(
        self,
        source: Source,
        scope: Mapping[str, Any],
        request: PageRequest,
        *,
        sort: Sequence[Sort[Any]],
        where: object = None,
    ) -> Page[View]:
        """One page. `scope` binds what `source` and `gate` name; `where` is a `filtered_by`.

        Raises InvalidCursor for a cursor of another list, filter or sort, `missing` where the gate is shut,
        and NotPermitted where it is open and the list is not for the viewer.
        """
        given = self._given(where)
        order = tuple((key.key, key.descending) for key in sort)
        after = None
        if request.cursor is not None:
            after = self._read_cursor(request.cursor, order, self._mark(scope, given, order))
        shape = self._shape(tuple(given), order, after is not None, request.limit, request.counted)
        rows = await source.fetch(shape.statement, {**scope, **given, **(after or {})})
        total = None
        if request.counted or self._gate is not None:
            if not rows:
                raise self._missing
            if self._restricted and not rows[0]["permitted"]:
                raise NotPermitted
            if request.counted:
                total = rows[0]["total"]
            if rows[0][shape.places[-1]] is None:  # the outer join's row for a page without an item
                return Page(items=[], next=None, total=total)
        load, width = self._load, self._width
        more = len(rows) > request.limit
        if more:
            del rows[request.limit :]
        items = [load(row) for row in rows] if shape.whole else [load(row[:width]) for row in rows]
        if not more:
            return Page(items=items, next=None, total=total)
        values = [rows[-1][place] for place in shape.places]
        return Page(items=items, next=_write_cursor(values, self._mark(scope, given, order)), total=total)

    def _mark(
        self, scope: Mapping[str, Any], where: Mapping[str, Any], order: Sequence[tuple[str, bool]]
    ) -> str:
        """Tells lists, filters and sorts apart; no secret, since the SQL itself checks who may see."""
        try:
            said = msgspec.json.encode((self._name, scope, where, order))
        except UnicodeEncodeError as error:  # half a surrogate pair, which no page before could have matched
            raise InvalidCursor("It belongs to another filter; start at the first page.") from error
        return hashlib.blake2b(said, digest_size=8).hexdigest()

    def _given(self, where: object) -> dict[str, Any]:
        """The filters that are in use, with the values that they bind; several have no order and no twins."""
        given: dict[str, Any] = {}
        for name in self._filters:
            value = getattr(where, name)
            if isinstance(value, (list, tuple)):
                if value:
                    given[name] = sorted({*value})
            elif value is not None:
                given[name] = value
        return given

    def _columns(self, order: Sequence[tuple[str, bool]]) -> list[tuple[_Column, bool]]:
        """What is sorted by, and whether downwards; the id, last, makes every place unique."""
        columns = [(self._sorts[key], descending) for key, descending in order]
        return [*columns, (self._id, bool(columns) and columns[0][1])]

    def _build(
        self,
        filters: Sequence[str],
        order: Sequence[tuple[str, bool]],
        continued: bool,
        limit: int,
        counted: bool,
    ) -> _Shape:
        columns = self._columns(order)
        everything = query = self._source.where(*(self._filters[name] for name in filters))
        selected = list(query.selected_columns)
        places = []
        for column, _ in columns:
            place = next((at for at, each in enumerate(selected) if each is column.expression), None)
            if place is None:  # it is sorted by, and no part of the view
                place = len(selected)
                selected.append(column.expression.label(f"sort_{place}"))
            places.append(place)
        query = query.with_only_columns(*selected, maintain_column_froms=True)
        if continued:
            query = query.where(_after(columns))
        query = query.order_by(*(_towards(column.expression, down) for column, down in columns))
        # A limit that is part of the text lets PostgreSQL plan once for it; one more row tells
        # whether there is another page.
        query = query.limit(literal_column(str(limit + 1), Integer))
        whole = len(selected) == self._width and not counted and not self._restricted
        if self._gate is None and not counted:
            return _Shape(Statement(query, name=self._statement_name), places, whole)
        items = query.subquery("items")
        found = list(items.c)
        order_by = (_towards(found[place], down) for place, (_, down) in zip(places, columns, strict=True))
        if counted:
            total = everything.with_only_columns(func.count(), maintain_column_froms=True)
            found.append(total.scalar_subquery().label("total"))
        # Without a gate, one that is always open: an empty page has a total, too.
        gate = (select(literal_column("1").label("seen")) if self._gate is None else self._gate).subquery(
            "gate"
        )
        if self._restricted:
            found.append(gate.c.permitted)
        shown = gate.c.permitted if self._restricted else true()
        page = select(*found).select_from(gate.outerjoin(items, shown))
        statement = Statement(page.order_by(*order_by), name=self._statement_name)
        return _Shape(statement, places, whole)

    def _read_cursor(self, cursor: str, order: Sequence[tuple[str, bool]], mark: str) -> dict[str, Any]:
        columns = self._columns(order)
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            written_mark, *values = json.loads(raw)
            if written_mark != mark or len(values) != len(columns):
                raise InvalidCursor("It belongs to another list, filter or sort; start at the first page.")
            read = [column.read(value) for value, (column, _) in zip(values, columns, strict=True)]
        except (ValueError, TypeError, RecursionError, OverflowError, binascii.Error) as error:
            raise InvalidCursor("It is damaged; start at the first page.") from error
        return {f"after_{position}": value for position, value in enumerate(read)}


def _towards(expression: ColumnElement[Any], down: bool) -> ColumnElement[Any]:
    return expression.desc() if down else expression.asc()


def _after(columns: Sequence[tuple[_Column, bool]]) -> ColumnElement[bool]:
    """Rows behind the cursor: one comparison of rows where all go one way, which an index can answer.

    Where they do not, it is said such that an index on the first column can begin at the cursor's value, and
    the planner need not guess how many rows are left.
    """
    bound = [
        bindparam(f"after_{position}", type_=column.type) for position, (column, _) in enumerate(columns)
    ]
    expressions = [column.expression for column, _ in columns]
    directions = [down for _, down in columns]
    if len({*directions}) == 1:
        row, cursor = tuple_(*expressions), tuple_(*bound)
        return row < cursor if directions[0] else row > cursor
    *firsts, (here, there, down) = zip(expressions, bound, directions, strict=True)
    behind = here < there if down else here > there
    for here, there, down in reversed(firsts):
        behind = and_(here <= there if down else here >= there, or_(here != there, behind))
    return behind


def _ensure_all(what: str, meant: Mapping[str, object], declared: Sequence[str]) -> None:
    differences = [
        *(f"{name} is declared, and has no SQL" for name in declared if name not in meant),
        *(f"{name} has SQL, and is not declared" for name in meant if name not in declared),
    ]
    if differences:
        raise TypeError(f"{what} differ: {'; '.join(differences)}.")


def _write_cursor(values: Sequence[Any], mark: str) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode([mark, *values])).decode().rstrip("=")


def _read_time(value: object) -> datetime:
    return read_instant(_read_text(value))


def _read_text(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("no text")
    value.encode()  # a lone surrogate raises UnicodeEncodeError, a ValueError
    return value


def _read_number(value: object) -> int:
    if type(value) is not int or abs(value) >= 1 << 31:
        raise ValueError("no number")
    return value


def _read_decimal(value: object) -> Decimal:
    if not _DECIMAL.fullmatch(text := _read_text(value)):
        raise ValueError("no decimal")
    return Decimal(text)


def _read_date(value: object) -> date:
    if not _DATE.fullmatch(text := _read_text(value)):
        raise ValueError("no day")
    return date.fromisoformat(text)


def _read_flag(value: object) -> bool:
    if type(value) is not bool:
        raise ValueError("neither true nor false")
    return value


def _read_uuid(value: object) -> UUID:
    return UUID(_read_text(value))
