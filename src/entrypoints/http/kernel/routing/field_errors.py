"""What is wrong with the parts of a request, in our words and without the value that was sent."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypedDict
from urllib.parse import quote

# A client that sends a thousand errors learns from the first ones.
MOST_ERRORS = 20
LONGEST_NAME = 100

# Where pydantic's own words would quote what was sent, or sound like Python.
_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "missing": "It is required.",
        "uuid_parsing": "It must be a UUID.",
        "uuid_type": "It must be a UUID.",
        "string_type": "It must be a text.",
        "bool_type": "It must be true or false.",
        "bool_parsing": "It must be true or false.",
        "tuple_type": "It must be a list.",
        "dict_type": "It must be an object.",
        "int_parsing": "It must be a whole number.",
        "int_parsing_size": "It must be a whole number of ordinary size.",
        "union_tag_invalid": "It is of no known kind.",
    }
)


class FieldError(TypedDict):
    """What is wrong with one part of a request.

    `pointer` is a JSON pointer as a URI fragment (RFC 6901 §6): into the body, or where the part is not of
    the body `#/query/…` or `#/path/…`.
    """

    pointer: str
    code: str
    detail: str


def field_errors(
    errors: Iterable[Mapping[str, Any]], *, where: Sequence[str] = (), known: Iterable[str] = ()
) -> list[FieldError]:
    """pydantic's errors as ours. `where` goes before each place, `known` are the names that exist there."""
    return [
        FieldError(
            pointer=pointer([*where, *error["loc"]]),
            code=error["type"].replace("_", "-"),
            detail=_detail(error, known),
        )
        for _, error in zip(range(MOST_ERRORS), errors, strict=False)
    ]


def pointer(parts: Iterable[object]) -> str:
    """A JSON pointer as a URI fragment; it ends before a part that is too long to repeat."""
    named = "#"
    for part in parts:
        text = str(part)
        if len(text) > LONGEST_NAME:
            break
        named += "/" + quote(text.replace("~", "~0").replace("/", "~1"), safe="~!$&'()*+,;=:@")
    return named


def _detail(error: Mapping[str, Any], known: Iterable[str]) -> str:
    if error["type"] == "extra_forbidden":
        return f"There is no such name. There are: {', '.join(sorted(known))}."
    return _WORDS.get(error["type"]) or error["msg"].replace("Input should", "It must").rstrip(".") + "."
