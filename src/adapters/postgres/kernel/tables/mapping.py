"""Rows to dataclasses. Columns and fields share their names, so there is nothing to write by hand."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from enum import Enum
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import asyncpg


def column_names(shape: type) -> list[str]:
    """The fields of a dataclass that are columns: all but the events."""
    return [field.name for field in fields(shape) if field.name != "events"]


def loader[T](shape: type[T]) -> Callable[[asyncpg.Record | Sequence[Any]], T]:
    """A function that makes a `shape` from a row whose columns are its fields, in their order.

    The driver's types are the right ones except for enumerations, which come as text, and tuples,
    which come as lists.
    """
    names = column_names(shape)
    hints = get_type_hints(shape)
    conversions = [
        (position, conversion)
        for position, name in enumerate(names)
        if (conversion := _conversion(hints[name])) is not None
    ]
    by_keyword = any(field.kw_only for field in fields(shape))  # type: ignore[arg-type]

    def load(row: asyncpg.Record | Sequence[Any]) -> T:
        values = list(row)
        for position, conversion in conversions:
            values[position] = conversion(values[position])
        return shape(**dict(zip(names, values, strict=True))) if by_keyword else shape(*values)

    return load


def _conversion(hint: object) -> Callable[[Any], Any] | None:
    if get_origin(hint) in {Union, UnionType}:
        inner = next((_conversion(part) for part in get_args(hint) if part is not type(None)), None)
        return None if inner is None else lambda value: None if value is None else inner(value)
    if get_origin(hint) is tuple:
        member = _conversion(get_args(hint)[0])
        return tuple if member is None else lambda values: tuple(map(member, values))
    if isinstance(hint, type) and issubclass(hint, Enum):
        members: dict[Any, Enum] = {member.value: member for member in hint}
        return members.__getitem__  # several times faster than calling the class
    return None
