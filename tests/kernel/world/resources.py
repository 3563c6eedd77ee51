"""The facts of each resource, which the suites discover: one module a resource.

The fork's are in `tests/resources/`, the kernel's in `tests/kernel/resources/`, and the specimen's, which are
written like a fork's, in `tests/kernel/specimen/resources/`. A module has these names, and a suite fails with
the module's path where one is missing; what a resource does not have is an empty list or table.

EXAMPLES   what the contract suite stores, changes and removes: no field has its default
make       (team, at) -> what stands in the world of the suites below, as the module's own dataclass
stored     (made) -> the aggregates of it, in an order that a database accepts
places     (made) -> what paths and bodies of requests can name
MATRIX     a row for each of its operations: who may call it, and what the others get
COMMANDS   for each use case how many statements it takes
QUERIES    for each question how many statements it takes
LISTS      each list that can be asked for, by a name: how, and by what it is sorted
FILL       SQL that makes 10,000 rows, by the table that it fills: what is in the lists
FILLINGS   SQL that fills the tables of a migration, by its revision
"""

import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from application.kernel.paging import Page, PageRequest, Sort
from domain.kernel.aggregate import Aggregate
from domain.kernel.errors import NotFound
from kernel.specimen.service import Queries
from kernel.world.builders import Team

PACKAGES = ("kernel.resources", "kernel.specimen.resources", "resources")


class IncompleteError(Exception):
    """A resource lacks a part. The message names the resource, the part and the file."""


def modules() -> Sequence[ModuleType]:
    """The modules with facts, the kernel's first."""
    found: list[ModuleType] = []
    for name in PACKAGES:
        try:
            package = importlib.import_module(name)
        except ModuleNotFoundError as missing:
            if missing.name != name:
                raise
            continue  # a fork without a resource of its own
        below = pkgutil.iter_modules(package.__path__, f"{name}.")
        found += [importlib.import_module(module.name) for module in below]
    return found


def parts(name: str) -> Sequence[tuple[ModuleType, Any]]:
    """That part of every resource; raises IncompleteError."""
    return [(module, part(module, name)) for module in modules()]


def part(module: ModuleType, name: str) -> Any:
    """One part of one resource; raises IncompleteError."""
    try:
        return getattr(module, name)
    except AttributeError:
        resource, path = module.__name__.rpartition(".")[2], module.__name__.replace(".", "/")
        raise IncompleteError(f"{resource} has no {name}: tests/{path}.py") from None


# ── the contract suite ───────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Example:
    """An aggregate, what has to be there before it, and what it may become; no field has its default."""

    needs: tuple[Aggregate, ...]
    aggregate: Aggregate
    changed: Aggregate
    missing: type[NotFound]


# ── the matrix ───────────────────────────────────────────────────────────────────────────────────

type Places = Mapping[str, object]
"""What is in the world, by the names that paths and bodies use; a function makes a new one each time."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """Who may call one operation, what the others get, and an example that succeeds.

    `at` says where a name in the path means another thing than usual; `weak` is None where every caller whom
    the workspace knows may do it, or where there is no workspace.
    """

    allowed: str
    done: int = 200
    anonymous: int = 401
    other: int
    weak: tuple[str, int] | None = None
    at: Mapping[str, str] = field(default_factory=dict)
    send: Callable[[Places], Mapping[str, Any]] = lambda _: {}


def anybody(done: int = 200, **more: Any) -> Row:
    """No token is needed: what one would be good for does not matter."""
    return Row(allowed="anonymous", done=done, anonymous=done, other=done, **more)


def oneself(done: int = 200, **more: Any) -> Row:
    """Every user, on what is their own: none is too weak for it."""
    return Row(allowed="member", done=done, other=done, **more)


def in_a_workspace(allowed: str, done: int = 200, *, weak: tuple[str, int] | None, **more: Any) -> Row:
    """Members of the workspace; to others nothing in it exists."""
    return Row(allowed=allowed, done=done, other=404, weak=weak, **more)


def for_the_service(allowed: str, done: int = 200, *, weak: str, **more: Any) -> Row:
    """A role in the whole service; the owner of a workspace has none."""
    return Row(allowed=allowed, done=done, other=403, weak=(weak, 403), **more)


def json(**body: object) -> Callable[[Places], Mapping[str, Any]]:
    """A body; a value in angle brackets is the thing of that name."""
    return lambda places: {"json": {name: filled(value, places) for name, value in body.items()}}


def form(**fields: str) -> Callable[[Places], Mapping[str, Any]]:
    return lambda places: {"data": {name: filled(value, places) for name, value in fields.items()}}


def query(**names: str) -> Callable[[Places], Mapping[str, Any]]:
    return lambda places: {"params": {name: filled(value, places) for name, value in names.items()}}


def filled(value: object, places: Places) -> object:
    """The value, or the thing that it names in angle brackets."""
    named = isinstance(value, str) and value.startswith("<")
    found = places[value.strip("<>")] if named and isinstance(value, str) else value
    return found() if callable(found) else found


# ── the lists ────────────────────────────────────────────────────────────────────────────────────

ROWS = 10_000


@dataclass(frozen=True)
class Filled:
    """A database in which a team has what FILL makes.

    In FILL, `:workspace`, `:owner` and `:outsider` are the team's ids, `:now` is NOW, and `:at` is an instant
    that two values of `n` share. A table is filled after those that it refers to.
    """

    ask: Queries
    team: Team


@dataclass(frozen=True, kw_only=True)
class Listed[View]:
    """A list: how to ask for a page of it, and by what it is sorted.

    `sorts` has for every key that the list can be sorted by what PostgreSQL compares, from a view. A list
    whose order cannot be chosen has it as `fixed`; `ask` is then given that one. `several` are orders of more
    than one key that are to be fast as well: of their first key few rows share a value.

    `rows` is how many of FILL's rows are in the list. A `short` list, which is of one person, may be read as
    a whole for a page.
    """

    table: str
    ask: Callable[[Filled, Sequence[Sort[Any]], PageRequest], Awaitable[Page[View]]]
    sorts: Mapping[str, Callable[[View], Any]]
    fixed: Sort[Any] | None = None
    several: Sequence[Sequence[Sort[Any]]] = ()
    rows: int = ROWS
    short: bool = False

    @property
    def orders(self) -> Sequence[Sequence[Sort[Any]]]:
        """Every order that the suites look at."""
        if self.fixed is not None:
            return [[self.fixed]]
        return [*([Sort(key, down)] for key in self.sorts for down in (False, True)), *self.several]
