"""Rows become dataclasses by the names and the types of their fields."""

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, make_dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from types import ModuleType
from typing import Any, ClassVar, Literal, NewType, Optional
from uuid import UUID

import pytest
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Double,
    Index,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import INET, JSONB
from sqlalchemy.types import TypeEngine

from adapters.postgres.kernel.connection.database import Statement
from adapters.postgres.kernel.discovery import repositories_of
from adapters.postgres.kernel.tables.mapping import column_names, differences, loader, renewer
from adapters.postgres.kernel.tables.repository import PostgresRepository, Recording
from adapters.postgres.kernel.tables.schema import metadata, version
from application.kernel.unit_of_work import Begin
from domain.kernel.aggregate import Aggregate, Event
from domain.kernel.errors import DomainError, NotFound
from domain.kernel.users import User
from kernel.contracts.test_repositories import EXAMPLES, id_of
from kernel.servers.backends import ByHand
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import (
    NOW,
    a_user_id,
    repository_of,
    store,
)
from kernel.world.resources import Example

Id = NewType("Id", UUID)
ID = a_user_id()


class Shade(StrEnum):
    LIGHT = "light"
    DARK = "dark"


class Weight(Enum):
    HEAVY = 3


@dataclass(slots=True)
class View:
    id: Id
    shade: Shade
    names: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity(Aggregate):
    id: Id
    shade: Shade
    weight: Weight
    words: tuple[str, ...]
    other_shade: Shade | None
    other_words: tuple[str, ...] | None = None
    third_shade: Optional[Shade] = None  # noqa: UP045 (both ways of writing it are read)
    at: datetime | None = None


def test_a_row_becomes_a_view_by_position() -> None:
    view = loader(View)([ID, "dark", ["a", "b"]])

    assert view == View(Id(ID), Shade.DARK, ["a", "b"])
    assert view.shade is Shade.DARK


def test_what_is_only_shown_keeps_its_text() -> None:
    view = loader(View, as_text=True)([ID, "dark", ["a", "b"]])

    assert view == View(Id(ID), Shade.DARK, ["a", "b"])
    assert type(view.shade) is str


def test_what_is_saved_is_the_same_with_another_version_and_without_events() -> None:
    entity = loader(Entity)([7, ID, "light", 3, ["b", "a"], "dark", ["c"], "light", NOW])

    saved = renewer(Entity)(entity.recording(Event(at=NOW)), 8)

    assert saved == replace(entity, version=8)


def test_a_row_becomes_an_aggregate_by_name_and_without_events() -> None:
    row = [7, ID, "light", 3, ["b", "a"], "dark", ["c"], "light", NOW]

    entity = loader(Entity)(row)

    assert entity == Entity(
        version=7,
        id=Id(ID),
        shade=Shade.LIGHT,
        weight=Weight.HEAVY,
        words=("b", "a"),
        other_shade=Shade.DARK,
        other_words=("c",),
        third_shade=Shade.LIGHT,
        at=NOW,
    )
    assert entity.shade is Shade.LIGHT
    assert isinstance(entity.words, tuple)
    assert isinstance(entity.other_words, tuple)
    assert entity.events == ()


def test_what_is_null_stays_none() -> None:
    entity = loader(Entity)([1, ID, "light", 3, [], None, None, None, None])

    assert (entity.other_shade, entity.other_words, entity.third_shade, entity.at) == (None, None, None, None)
    assert entity.words == ()


def test_the_row_itself_is_left_as_it_is() -> None:
    row = [ID, "dark", ["a"]]
    loader(View)(row)
    assert row == [ID, "dark", ["a"]]


@pytest.mark.parametrize("change", [lambda row: [*row, "more"], lambda row: row[:-1], lambda row: []])
def test_a_row_of_another_width_is_a_defect(change: Callable[[list[Any]], list[Any]]) -> None:
    with pytest.raises(ValueError, match="values to unpack"):
        loader(View)(change([ID, "dark", []]))
    with pytest.raises(ValueError, match="values to unpack"):
        loader(Entity)(change([1, ID, "light", 3, [], None, None, None, None]))


def test_a_value_that_no_member_has_is_a_defect() -> None:
    with pytest.raises(KeyError, match="grey"):
        loader(View)([ID, "grey", []])


def test_the_columns_are_the_fields_in_their_order_without_the_events() -> None:
    assert column_names(View) == ["id", "shade", "names"]
    assert column_names(Entity) == [field.name for field in fields(Entity) if field.name != "events"]
    assert "events" not in column_names(User)
    assert column_names(User)[:2] == ["version", "id"]


# ── every aggregate there is ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("make", EXAMPLES)
async def test_an_aggregate_comes_back_equal_and_with_the_same_types(
    begin: Begin[UnitOfWork], make: Callable[[], Example]
) -> None:
    """No field of an example has its default, so one that was forgotten or mistaken for another shows."""
    example = make()
    await store(begin, *example.needs, example.aggregate)

    async with begin() as uow:
        loaded = await repository_of(uow, example.aggregate).get(id_of(example.aggregate))

    assert loaded == example.aggregate
    for field in fields(example.aggregate):
        was, became = getattr(example.aggregate, field.name), getattr(loaded, field.name)
        assert isinstance(became, type(was)), field.name


def repositories() -> list[type[PostgresRepository[Any, Any]]]:
    names = {**repositories_of(UnitOfWork)}
    return [kind for kind in PostgresRepository.registry if kind in names.values()]


def test_every_table_of_an_aggregate_has_a_column_for_each_of_its_fields() -> None:
    kinds = repositories()
    assert {kind.entity for kind in kinds} == {type(make().aggregate) for make in EXAMPLES}
    for kind in kinds:
        assert sorted(kind.table.c.keys()) == sorted(column_names(kind.entity))
        assert kind.table is metadata.tables[kind.table.name]


async def test_a_row_that_the_database_changes_by_itself_has_its_version_raised(by_hand: ByHand) -> None:
    """By a foreign key that sets columns to null or to another value, a trigger has to."""
    changed_by_themselves = await by_hand.fetch(
        """
        SELECT conrelid::regclass::text AS name, array(
            SELECT prosrc FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid WHERE tgrelid = conrelid
        ) AS triggers
        FROM pg_constraint WHERE contype = 'f' AND (confdeltype IN ('n', 'd') OR confupdtype <> 'a')
        """
    )
    aggregates = {kind.table.name for kind in repositories()}
    found = [row for row in changed_by_themselves if row["name"] in aggregates]
    assert "specimen_orders" in {row["name"] for row in found}
    for row in found:
        assert any("NEW.version := OLD.version + 1" in source for source in row["triggers"]), row["name"]


# What is shown to nobody: the version that people know stays good.
UNSEEN = ("UPDATE invitations SET token_hash=$1::VARCHAR WHERE",)


def test_a_statement_that_changes_an_aggregate_raises_its_version() -> None:
    aggregates = {kind.table.name for kind in repositories()}
    updates = 0
    for kind in repositories():
        for statement in _statements_of(importlib.import_module(kind.__module__), kind._save):
            for table in re.findall(r"UPDATE (\w+) SET", statement.sql):
                if table in aggregates and not statement.sql.startswith(UNSEEN):
                    assert re.search(rf"version=\({table}\.version \+ ", statement.sql), statement.sql
                    updates += 1
    assert updates > len(aggregates)


def _statements_of(module: ModuleType, *more: Recording) -> set[Statement]:
    found = [*vars(module).values(), *more]
    recordings = [thing for thing in found if isinstance(thing, Recording)]
    return {
        *(thing for thing in found if isinstance(thing, Statement)),
        *(statement for each in recordings for statement in (each.statement, each.audited)),
    }


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ([], "the table has no column shade"),
        (["shade", "shape"], "Thing has no field shape"),
        (["shape"], "the table has no column shade; Thing has no field shape"),
    ],
    ids=["too few", "too many", "another"],
)
def test_a_table_that_differs_from_its_entity_is_refused_at_once(more: list[str], told: str) -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Thing(Aggregate):
        id: Id
        shade: str

    this = things(*(Column(name, Text) for name in more))

    with pytest.raises(TypeError, match=f"^Thing and the table things differ: {told}\\.$"):

        class PostgresThings(PostgresRepository[Thing, Id]):
            table: ClassVar[Table] = this
            entity: ClassVar[type[Aggregate]] = Thing
            missing: ClassVar[type[NotFound]] = NotFound


# Nobody breaks these by what they ask for: all are drawn at random.
DEFECTS = {"uq_outbox_id", "uq_deliveries_event_id_reaction", "uq_invitations_token_hash"}
COUNTED = {"uq_audit_counted_in_counted_as"}
"""By the statement itself, which adds to the row that is there."""


def test_every_conflict_names_a_constraint_that_its_table_can_break_and_no_uniqueness_is_left_out() -> None:
    translated = set()
    for kind in repositories():
        names = {str(constraint.name) for constraint in kind.table.constraints}
        names |= {str(index.name) for index in kind.table.indexes if index.unique}
        names |= {  # of those that refer to a row of it, when it is deleted
            str(key.name)
            for table in metadata.tables.values()
            for key in table.foreign_key_constraints
            if key.referred_table is kind.table
        }
        assert set(kind.conflicts) <= names
        translated |= set(kind.conflicts)
        assert all(isinstance(conflict(), DomainError) for conflict in kind.conflicts.values())
    unique: list[UniqueConstraint | Index] = []
    for table in metadata.tables.values():
        unique += [each for each in table.constraints if isinstance(each, UniqueConstraint)]
        unique += [each for each in table.indexes if each.unique]
    # With the whole key among its columns it is broken by nothing that does not break the key: it is there
    # for foreign keys to refer to.
    breakable = {
        str(each.name)
        for each in unique
        if each.table is not None and not {*each.table.primary_key.columns} <= {*each.columns}
    }
    assert breakable - translated == DEFECTS | COUNTED


FITTING: list[tuple[TypeEngine[Any], object]] = [
    (Uuid(), Id),
    (Text(), str),
    (Text(), Shade | None),
    (String(3), Literal["CHF", "EUR"]),
    (DateTime(timezone=True), datetime | None),
    (Date(), date),
    (Boolean(), bool),
    (Integer(), int),
    (Integer(), Weight),
    (BigInteger(), int),
    (Numeric(8, 2), Decimal | None),
    (Double(), float),
    (LargeBinary(), bytes),
    (ARRAY(Text), tuple[str, ...]),
    (ARRAY(Text), list[str]),
    (JSONB(), dict[str, object] | None),
    (JSONB(), list[int]),
    (Interval(), timedelta),
    (INET(), object),
]
WRONG: list[tuple[TypeEngine[Any], object]] = [
    (Numeric(8, 2), float),
    (Numeric(8, 2), int),
    (Double(), Decimal),
    (DateTime(timezone=True), date),
    (Date(), datetime | None),
    (Integer(), bool),
    (Boolean(), int),
    (Boolean(), str),
    (Uuid(), str),
    (Text(), UUID),
    (Text(), Weight),
    (JSONB(), str),
    (ARRAY(Text), str),
]


def an_entity(hint: object) -> type[Any]:
    return make_dataclass("Thing", [("id", Id), ("it", hint)], bases=(Aggregate,), kw_only=True, frozen=True)


def things(*columns: Column[Any]) -> Table:
    return Table("things", MetaData(), Column("id", Uuid, primary_key=True), version(), *columns)


@pytest.mark.parametrize(("kind", "hint"), FITTING, ids=str)
def test_a_column_fits_a_field_of_its_type(kind: TypeEngine[Any], hint: object) -> None:
    assert list(differences(an_entity(hint), things(Column("it", kind)))) == []


@pytest.mark.parametrize(("kind", "hint"), WRONG, ids=str)
def test_a_column_of_another_type_than_its_field_is_named(kind: TypeEngine[Any], hint: object) -> None:
    (difference,) = differences(an_entity(hint), things(Column("it", kind)))
    assert re.fullmatch(r"it is (\w+) there, and the column .+ gives (?!\1\b)\w+( or \w+)*", difference)
