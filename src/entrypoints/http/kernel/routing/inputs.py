"""What clients may send: the types that several resources share.

A body is a TypedDict with the names and types of its use case's arguments, so that `**body` is type-checked
against the use case, and what is absent stays absent. Lengths stand in the documentation and are not checked
here: the domain does, after it has trimmed and normalised the text.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal, TypeAliasType

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema, with_config
from pydantic_core import PydanticCustomError

from application.kernel.paging import LIMIT_MOST, PageRequest, Sort, sorts_of

strict = with_config(
    ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True)
)
"""For the TypedDict of a body: no conversions, no unknown members."""

_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _read_instant(value: object) -> datetime:
    try:
        if isinstance(value, str) and _INSTANT.fullmatch(value):
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):  # no such day, or in UTC a year before 1 or after 9999
        pass
    raise PydanticCustomError("instant", "It must be an instant such as 2026-11-30T17:00:00Z.")


_InstantText = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Instant = Annotated[datetime, PlainValidator(_read_instant, json_schema_input_type=_InstantText)]
"""RFC 3339, to the microsecond at most, always with an offset; an aware datetime in UTC here."""


def text(*, most: int, least: int = 0, **schema: object) -> WithJsonSchema:
    """The documentation of a text of `least` to `most` code points."""
    bounds = {"minLength": least, "maxLength": most} if least else {"maxLength": most}
    return WithJsonSchema({"type": "string", **bounds, **schema})


class PageQuery(BaseModel):
    """Which page of a list. What a list can be filtered and sorted by is a `ListQuery`'s."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True)

    limit: Annotated[int, Field(ge=1, le=LIMIT_MOST)] = 50
    """Items on the page, at most."""

    cursor: Annotated[str | None, Field(max_length=2000)] = None
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
