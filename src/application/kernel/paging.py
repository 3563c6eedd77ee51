"""Lists in pages: what is asked for and what comes back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAliasType, get_args

from domain.kernel.errors import Invalid

LIMIT_MOST = 100


class InvalidCursor(Invalid):
    """The cursor does not belong to this list, or to these filters and this sort."""


@dataclass(frozen=True, slots=True)
class Sort[Key: str]:
    """One thing to sort by. `Key` is the list's own whitelist, a Literal."""

    key: Key
    descending: bool = False


def sorts_of(declared: TypeAliasType) -> tuple[tuple[str, ...], tuple[Sort[Any], ...]]:
    """The names of a whitelist, and its order where a request asks for none.

    It is declared as `type BookSortKey = Annotated[Literal["created_at", …], Sort("created_at")]`, in which
    one Sort or more are the order. Raises TypeError for any other.
    """
    names, *order = get_args(declared.__value__) or ("",)
    keys: tuple[str, ...] = get_args(names)
    if not keys or not order or any(each.key not in keys for each in order):
        raise TypeError(f"{declared} has no order: write `type … = Annotated[Literal[…], Sort(…)]`.")
    return keys, tuple(order)


@dataclass(frozen=True, slots=True)
class Length:
    """How much a client may ask for in a filter: characters of a text, or values of a sequence.

    `label: Annotated[str | None, Length(30, least=1)] = None`; entry points hold requests to it.
    """

    most: int
    least: int = 0


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
