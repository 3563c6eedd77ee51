"""Lists in pages: what is asked for and what comes back."""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.errors import Invalid

LIMIT_MOST = 100


class InvalidCursor(Invalid):
    """The cursor is not one of this list."""


@dataclass(frozen=True, slots=True)
class Sort[Key: str]:
    """One thing to sort by. `Key` is the list's own whitelist, a Literal."""

    key: Key
    descending: bool = False


@dataclass(frozen=True, slots=True)
class PageRequest:
    """At most `limit` items (1 to 100) after `cursor`, which came with the page before."""

    limit: int = 50
    cursor: str | None = None


@dataclass(slots=True)
class Page[Item]:
    """One page. `next` is the cursor of the page after it; `null` on the last one."""

    items: Sequence[Item]
    next: str | None
