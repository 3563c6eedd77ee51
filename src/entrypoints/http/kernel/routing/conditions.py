"""Entity tags, and requests that depend on them (RFC 9110 §8.8.3, §13).

A tag is the version of what is shown and a hash of how it is shown: `"7-51f0c5ad0f3e2b61"`. The hash makes it
a strong validator whatever a representation depends on, such as who looks at it or a release that adds a
member. A change depends on the version alone, because one version looks different to different people; so
`"7"`, made of the `version` in any representation, does as well.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from hashlib import blake2b
from typing import Any
from uuid import UUID

from application.kernel.preconditions import Expected
from domain.kernel.aggregate import Aggregate
from entrypoints.http.kernel.routing.answers import Header
from entrypoints.http.kernel.routing.problems import InvalidPrecondition, PreconditionRequired

TAG_PATTERN = '^"[0-9]{1,10}-[0-9a-f]{16}"$'
"""What an `ETag` of ours looks like, as the documentation tells it."""

_TAG = r'(W/)?"[!#-~\u0080-\u00ff]*"'
TAGS_PATTERN = rf"^(\*|(,[ \t]*)*{_TAG}([ \t]*,([ \t]*{_TAG})?)*)$"
"""What `If-Match` takes: `*`, or a list (RFC 9110 §5.6.1.2, which lets elements be empty)."""

_TAGS = re.compile(TAGS_PATTERN)
_ONE_TAG = re.compile(_TAG)
_VERSION = re.compile(r'"(\d{1,10})(?:-[0-9a-f]{16})?"', re.ASCII)


def has_version(model: object) -> bool:
    """Whether what is shown as this is one thing with a version, and so has an entity tag."""
    return is_dataclass(model) and any(field.name == "version" for field in fields(model))


def entity_tag(version: int, body: bytes) -> bytes:
    """The strong tag of this version, shown as this."""
    return b'"%d-%s"' % (version, blake2b(body, digest_size=8).hexdigest().encode())


def is_known(headers: Iterable[Header], tag: bytes) -> bool:
    """Whether the client has it already: `If-None-Match`, compared weakly (RFC 9110 §13.1.2).

    A header that is no list of entity tags says nothing.
    """
    for name, value in headers:
        if name == b"if-none-match" and (value.strip() == b"*" or (tag in value and _names(value, tag))):
            return True
    return False


def _names(value: bytes, tag: bytes) -> bool:
    given = value.decode("latin-1")
    tags = _ONE_TAG.finditer(given) if _TAGS.fullmatch(given) else ()
    return tag.decode("latin-1") in {each[0].removeprefix("W/") for each in tags}


class Condition:
    """What the requests of one route may expect of the aggregate that it changes."""

    def __init__(self, kind: type[Aggregate] | None, names: Iterable[str], *, required: bool) -> None:
        """`names` are those of the path. One that the aggregate has tells it; any other is its id's."""
        own = {field.name for field in fields(kind)} if kind is not None else set()
        self._kind = kind
        self._columns = {name: name if name in own else "id" for name in names} if kind is not None else {}
        self._required = required

    def of(
        self, headers: Iterable[Header], arguments: Mapping[str, Any], *, user_id: UUID
    ) -> Expected | None:
        """What this request expects, if it says so.

        Where the path names nothing it is about the user who asks. Raises InvalidPrecondition, and
        PreconditionRequired where a request has to say.
        """
        given = []
        for name, value in headers:
            if name == b"if-match":
                given.append(value.decode("latin-1"))
            elif name == b"if-none-match":
                raise InvalidPrecondition("`If-None-Match` is for reads.")
        if not given:
            if self._required:
                raise PreconditionRequired('Send the entity tag of what you have read: `If-Match: "…"`.')
            return None
        columns = {column: arguments[name] for name, column in self._columns.items()}
        return Expected(self._kind, columns or {"id": user_id}, _versions(", ".join(given)))


def _versions(given: str) -> frozenset[int] | None:
    """The versions that `If-Match` names; a weak tag, or one that is none of ours, matches nothing."""
    given = given.strip(" \t")
    if given == "*":
        return None
    if not _TAGS.fullmatch(given):
        raise InvalidPrecondition('Send entity tags, such as `If-Match: "7"`, or `*`.')
    tags = (found[0] for found in _ONE_TAG.finditer(given))
    matches: Iterable[re.Match[str] | None] = map(_VERSION.fullmatch, tags)
    return frozenset(int(match[1]) for match in matches if match)
