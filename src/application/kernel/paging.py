"""Lists in pages: what is asked for and what comes back."""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.kernel.errors import Invalid

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
    """At most `limit` items (1 to 100) after `cursor`, which came with the page before.

    With `counted` the page says how many there are in all. Both may differ from one page to the next.
    """

    limit: int = 50
    cursor: str | None = None
    counted: bool = False


@dataclass(slots=True)
class Page[Item]:
    """One page. `next` is the cursor of the page after it; `null` on the last one.

    `total` counts what is in the whole list with its filters, at the instant of this page; `null` unless it
    was asked for.
    """

    items: Sequence[Item]
    next: str | None
    total: int | None
