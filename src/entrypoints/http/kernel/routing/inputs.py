"""What clients may send: the types that several resources share.

A body is a TypedDict with the names and types of its use case's arguments, so that `**body` is type-checked
against the use case, and what is absent stays absent. Lengths stand in the documentation and are not checked
here: the domain does, after it has trimmed and normalised the text.
"""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, datetime
from decimal import Context, Decimal
from typing import Annotated, Any, Literal, TypeAliasType

from fastapi import Query
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
    with_config,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from application.kernel.paging import LIMIT_MOST, PageRequest, Sort, sorts_of
from domain.kernel.instants import read_instant

strict = with_config(
    ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True)
)
"""For the TypedDict of a body: no conversions, no unknown members."""


def _read_instant(value: object) -> datetime:
    if isinstance(value, str):
        with suppress(ValueError):
            return read_instant(value)
    raise PydanticCustomError("instant", "It must be an instant such as 2026-11-30T17:00:00Z.")


_InstantText = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Instant = Annotated[datetime, PlainValidator(_read_instant, json_schema_input_type=_InstantText)]
"""RFC 3339, always with an offset; an aware datetime in UTC here, to the microsecond."""

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def _read_day(value: object) -> date:
    try:
        if isinstance(value, str) and _DAY.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:  # there is no such day
        pass
    raise PydanticCustomError("day", "It must be a day such as 2026-11-30.")


_DayText = Annotated[str, WithJsonSchema({"type": "string", "format": "date"})]
Day = Annotated[date, PlainValidator(_read_day, json_schema_input_type=_DayText)]
"""RFC 3339's full-date: a day of the calendar, without a time and a zone."""


def decimal_text(
    digits: int, places: int, *, least: Decimal | int | None = None, most: Decimal | int | None = None
) -> PlainValidator:
    """Reads the text of an exact number, as `Annotated[Decimal, decimal_text(12, 2)]`.

    It has at most `digits` digits, `places` of them behind the point, like a column of that precision and
    scale, and no exponent; it is read with all its places, so that it is shown as it is stored. A JSON number
    is refused, because most clients have rounded it to a binary one before they send it. Both bounds are
    inclusive; without them the digits bound it.

    Raises ValueError for more than 6 places: see `decimal` in the schema of the tables.
    """
    if not 0 <= places <= min(digits, 6):
        raise ValueError(f"{places} places are not within 0 to 6, and to the digits.")
    context, unit = Context(prec=digits), Decimal(1).scaleb(-places)
    end = Decimal(10**digits - 1).scaleb(-places, context)
    low = Decimal(end.copy_negate() if least is None else least).quantize(unit, context=context)
    high = Decimal(end if most is None else most).quantize(unit, context=context)
    before = f"(0|[1-9][0-9]{{0,{digits - places - 1}}})" if digits > places else "0"
    behind = rf"(\.[0-9]{{1,{places}}})?" if places else ""
    pattern = f"{'-?' if low < 0 else ''}{before}{behind}"
    number = re.compile(pattern)
    message = "It must be the text of a number from {least} to {most}, with at most {places} decimal places."
    told = {"least": str(low), "most": str(high), "places": places}

    def read(value: object) -> Decimal:
        if isinstance(value, str) and number.fullmatch(value):
            found = context.plus(Decimal(value).quantize(unit, context=context))  # -0 becomes 0
            if low <= found <= high:
                return found
        raise PydanticCustomError("decimal", message, told)

    schema = {
        "type": "string",
        "format": "decimal",
        "pattern": f"^{pattern}$",
        "x-minimum": str(low),
        "x-maximum": str(high),
    }
    return PlainValidator(read, json_schema_input_type=Annotated[str, WithJsonSchema(schema)])


Money = Annotated[Decimal, decimal_text(14, 2)]
"""An amount of a currency with two decimal places, such as "12.50"; below zero too."""


def whole(*, least: int = -(1 << 31), most: int = (1 << 31) - 1) -> FieldInfo:
    """Bounds of a whole number, as `Annotated[int, whole(least=1)]`; by default those of 32 bits."""
    bounds: FieldInfo = Field(ge=least, le=most)
    return bounds


MEMBERS_MOST = 100
JSON_MOST = 16_384
_EXACT = (1 << 53) - 1  # RFC 7493 §2.2


def _read_json(value: dict[str, object]) -> dict[str, object]:
    parts: list[object] = [value]
    for part in parts:
        if isinstance(part, (dict, list)):
            parts += part.values() if isinstance(part, dict) else part
        elif isinstance(part, (int, float)) and not abs(part) <= _EXACT:
            message = "It must have no number beyond 9007199254740991, which clients would round."
            raise PydanticCustomError("json_number", message)
    if len(json.dumps(value, ensure_ascii=False).encode()) > JSON_MOST:
        raise PydanticCustomError("json_size", "It must have at most 16,384 bytes of JSON.")
    return value


JsonObject = Annotated[
    dict[str, object],
    Field(max_length=MEMBERS_MOST),
    AfterValidator(_read_json),
]
"""An object of whatever JSON there is: at most 100 members, 16 KiB, and numbers that are exact everywhere."""


def text(*, most: int, least: int = 0, **schema: object) -> WithJsonSchema:
    """The documentation of a text of `least` to `most` code points."""
    bounds = {"minLength": least, "maxLength": most} if least else {"maxLength": most}
    return WithJsonSchema({"type": "string", **bounds, **schema})


def _tell_cursor(schema: dict[str, Any]) -> None:
    schema["anyOf"][0]["pattern"] = CURSOR_PATTERN


CURSOR_PATTERN = "^[A-Za-z0-9_-]+$"
"""Base64url (RFC 4648 §5), as the documentation tells it; what else is wrong with a cursor, its list says."""


class PageQuery(BaseModel):
    """Which page of a list. What a list can be filtered and sorted by is a `ListQuery`'s."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True)

    limit: Annotated[int, Field(ge=1, le=LIMIT_MOST)] = 50
    """Items on the page, at most."""

    cursor: Annotated[str | None, Field(max_length=2000, json_schema_extra=_tell_cursor)] = None
    """`next` of the page before, which had the same filters and sort."""

    count: Literal["exact"] | None = None
    """With `exact` the answer's `total` says how many items there are on all pages; it takes longer then."""

    @property
    def page(self) -> PageRequest:
        return PageRequest(self.limit, self.cursor, counted=self.count is not None)


Paging = Annotated[PageQuery, Query()]


def sort_by(keys: TypeAliasType) -> PlainValidator:
    """Reads `-created_at,title` as a tuple of Sorts; `keys` is the list's whitelist, a Literal."""
    names, _ = sorts_of(keys)
    sorts = {sign + name: Sort(name, bool(sign)) for name in names for sign in ("", "-")}

    def read(given: Sequence[str]) -> tuple[Sort[str], ...]:
        wanted = ",".join(given).split(",")
        used = [word.removeprefix("-") for word in wanted]
        if not sorts.keys() >= set(wanted) or len(set(used)) < len(used):
            message = "It sorts by {names}, each at most once; a minus before a name means downwards."
            raise PydanticCustomError("sort", message, {"names": ", ".join(names)})
        return tuple(sorts[word] for word in wanted)

    one = f"-?({'|'.join(names)})"
    return PlainValidator(read, json_schema_input_type=Annotated[str, Field(pattern=f"^{one}(,{one})*$")])
