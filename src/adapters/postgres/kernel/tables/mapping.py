"""Rows to dataclasses. Columns and fields share their names, so there is nothing to write by hand."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import date, datetime
from decimal import Decimal
from enum import Enum, StrEnum
from types import MappingProxyType, UnionType
from typing import (
    Any,
    Literal,
    NewType,
    TypeAliasType,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)
from uuid import UUID

import asyncpg
from sqlalchemy import Table
from sqlalchemy.types import (
    ARRAY,
    JSON,
    Boolean,
    Date,
    DateTime,
    Float,
    Integer,
    LargeBinary,
    Numeric,
    String,
    TypeEngine,
    Uuid,
)

from adapters.postgres.kernel.connection.documents import json_value

# What a column of a type gives, and can be bound to. A type that is not here, such as an interval, passes as
# the driver has it. The first that fits counts.
_GIVEN: Mapping[type[TypeEngine[Any]], Sequence[type]] = MappingProxyType(
    {
        Uuid: [UUID],
        String: [str],
        DateTime: [datetime],
        Date: [date],
        Boolean: [bool],
        Integer: [int],
        Float: [float],
        Numeric: [Decimal],
        LargeBinary: [bytes],
        ARRAY: [list, tuple],
        JSON: [dict, list, tuple],
    }
)


def column_names(shape: type) -> list[str]:
    """The fields of a dataclass that are columns: all but the events."""
    return [field.name for field in fields(shape) if field.name != "events"]


def differences(shape: type, table: Table) -> Iterator[str]:
    """Where the fields of a dataclass and the columns of its table do not match, each as a sentence."""
    names, hints = column_names(shape), get_type_hints(shape)
    for name in names:
        if name not in table.c:
            yield f"the table has no column {name}"
    for column in table.c:
        if column.key not in names:
            yield f"{shape.__name__} has no field {column.key}"
            continue
        given = next((types for kind, types in _GIVEN.items() if isinstance(column.type, kind)), ())
        asked = _plain(hints[column.key])
        if given and asked and asked not in given:
            one = " or ".join(kind.__name__ for kind in given)
            yield f"{column.key} is {asked.__name__} there, and the column {column.type!r} gives {one}"


def _plain(hint: object) -> type | None:
    """The class of which a field's values are; None where a hint does not tell."""
    while isinstance(hint, (NewType, TypeAliasType)):
        hint = hint.__supertype__ if isinstance(hint, NewType) else hint.__value__
    if get_origin(hint) in {Union, UnionType}:
        found = {_plain(part) for part in get_args(hint) if part is not type(None)}
        return found.pop() if len(found) == 1 else None
    if is_typeddict(hint):
        return dict
    if get_origin(hint) is Literal:
        return type(get_args(hint)[0])
    kind = get_origin(hint) or hint
    if not isinstance(kind, type):
        return None
    if issubclass(kind, Enum):
        return type(next(iter(kind)).value)
    plain = (bool, int, float, str, bytes, Decimal, UUID, datetime, date, dict, list, tuple)
    return next((known for known in plain if issubclass(kind, known)), None)


def loader[T](shape: type[T], *, as_text: bool = False) -> Callable[[asyncpg.Record | Sequence[Any]], T]:
    """A function that makes a `shape` from a row whose columns are its fields, in their order.

    The driver's types are the right ones except for enumerations, which come as text, tuples, which come
    as lists, and JSON, which comes as text.

    With `as_text` the members of a StrEnum stay the text that they equal: for what is only shown, where to
    look them up, and their values again, costs 20 µs in a list of 50 rows. A CHECK constraint keeps other
    text out of the column.
    """
    names, hints = column_names(shape), get_type_hints(shape)
    by_keyword = any(field.kw_only for field in fields(shape))  # type: ignore[arg-type]
    known: dict[str, Any] = {"shape": shape}
    arguments = []
    for position, name in enumerate(names):
        value = f"value_{position}"
        if as_text and _is_text(hints[name]):
            pass
        elif (conversion := _conversion(hints[name])) is not None:
            known[f"convert_{position}"] = conversion
            converted = f"convert_{position}({value})"
            is_json = conversion is json_value  # or an array, which the driver has read already
            value = f"{value} if {value}.__class__ is list else {converted}" if is_json else converted
        arguments.append(f"{name}={value}" if by_keyword else value)
    values = ", ".join(f"value_{position}" for position in range(len(names)))
    # Written as source text, as dataclasses are: it takes 70 % of the time of a loop over the columns, and
    # CPython specialises it for its one class, which it cannot where one function makes every shape.
    source = f"def load(row):\n    {values}, = row\n    return shape({', '.join(arguments)})"
    exec(source, known)  # noqa: S102 (of the names of a dataclass's fields)
    load: Callable[[asyncpg.Record | Sequence[Any]], T] = known["load"]
    return load


def renewer[T](shape: type[T]) -> Callable[[T, int], T]:
    """A function that makes of an aggregate the same with this version and without events.

    In a third of the time of `dataclasses.replace`, which looks at every field's description anew.
    """
    arguments = ", ".join(f"{name}=it.{name}" for name in column_names(shape) if name != "version")
    known: dict[str, Any] = {"shape": shape}
    exec(f"def renew(it, version):\n    return shape({arguments}, version=version, events=())", known)  # noqa: S102 (as above)
    renew: Callable[[T, int], T] = known["renew"]
    return renew


def _is_text(hint: object) -> bool:
    """Whether it is a StrEnum, or one or nothing."""
    members = get_args(hint) if get_origin(hint) in {Union, UnionType} else (hint,)
    return all(
        member is type(None) or (isinstance(member, type) and issubclass(member, StrEnum))
        for member in members
    )


def _conversion(hint: object) -> Callable[[Any], Any] | None:
    if get_origin(hint) in {Union, UnionType}:
        inner = next((_conversion(part) for part in get_args(hint) if part is not type(None)), None)
        return None if inner is None else lambda value: None if value is None else inner(value)
    if get_origin(hint) is tuple:
        member = _conversion(get_args(hint)[0])
        if member is None:
            return lambda values: tuple(json_value(values))
        return lambda values: tuple(map(member, json_value(values)))
    if (get_origin(hint) or hint) in {dict, list, Mapping, Sequence} or is_typeddict(hint):
        return json_value
    if isinstance(hint, type) and issubclass(hint, Enum):
        members: dict[Any, Enum] = {member.value: member for member in hint}
        return members.__getitem__  # several times faster than calling the class
    return None
