"""The facts of each resource, which the suites discover: one module a resource.

A fork's are in `tests/resources/`, the specimen's, which are written like a fork's, in
`tests/kernel/specimen/resources/`, and what upstream adds to the kernel from now on in
`tests/kernel/resources/`. A module has these names, and the suites fail with the module's path where
one is missing; of what a resource does not have, the list or table is empty.

EXAMPLES   for the contracts of repositories: no field of an example has its default
of         (world) -> what stands in a `World`, as the module's own dataclass `Made`
stored     (world) -> its aggregates
crowd      (world, count) -> so many more of them, of which no statement may become more
places     (world) -> what paths and bodies of requests can name
PEOPLE     members of its bodies that are a user
MATRIX     a row for each of its operations: who may call it, and what the others get
COMMANDS   for each use case how many statements it takes
QUERIES    for each question how many statements it takes
LISTS      each list that can be asked for, by a name: how, and by what it is sorted
FILL       SQL that makes 10,000 rows, by the table that it fills: what is in the lists
FILLINGS   SQL that fills the tables of a migration, by its revision
"""

import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import ModuleType
from typing import Any
from uuid import UUID

from adapters.postgres.kernel.tables.schema import metadata
from application.kernel.paging import Page, PageRequest, Sort
from application.kernel.run import Runner
from domain.kernel.aggregate import Aggregate, new_id
from domain.kernel.errors import NotFound
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId
from kernel.specimen.service import Queries
from kernel.world.builders import NOW, Team
from kernel.world.fakes import kinds_by_table

PACKAGES = ("kernel.resources", "kernel.specimen.resources", "resources")


class IncompleteError(Exception):
    """A resource lacks a part. The message names the resource, the part and the file."""


def modules() -> Sequence[ModuleType]:
    """The modules with facts, the specimen's first."""
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


# ── a world for the suites that use a resource ───────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class World:
    """The surroundings of what a resource adds: a workspace with people of each role, and an instant.

    `operation` is the one that is about to be tried, where that is known: it may need another state.
    """

    workspace_id: WorkspaceId
    owner: UserId
    member: UserId
    at: datetime = NOW
    id: Callable[[str], UUID] = lambda _: new_id(NOW)
    operation: str = ""
    _made: dict[type, Any] = field(default_factory=dict)

    def once[T](self, kind: type[T], make: Callable[[], T]) -> T:
        """What `make` gives, the same each time in this world."""
        if kind not in self._made:
            self._made[kind] = make()
        made: T = self._made[kind]
        return made


def all_stored(world: World) -> list[Aggregate]:
    """What all resources add, in an order that a database accepts."""
    return in_order(aggregate for _, stored in parts("stored") for aggregate in stored(world))


def all_places(world: World) -> dict[str, object]:
    """What all resources name."""
    return {name: place for _, places in parts("places") for name, place in places(world).items()}


def in_order(aggregates: Iterable[Aggregate]) -> list[Aggregate]:
    """By their tables, such that each comes after those that it refers to."""
    tables = {kind: table for table, kind in kinds_by_table().items()}
    position = {table: number for number, table in enumerate(metadata.sorted_tables)}
    return sorted(aggregates, key=lambda aggregate: position[tables[type(aggregate)]])


# ── statements ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Stage:
    """What a use case and a question are tried on. `U` and `Q` are the service's unit of work and queries."""

    run: Runner[Any]
    ask: Any
    team: Team
    world: World


type Operation = Callable[[Stage], Awaitable[object]]
type Statements = Mapping[str, tuple[int, Operation]]
"""By name, or `name, what is special`: how many statements it takes. BEGIN and COMMIT are two more."""


# ── the matrix ───────────────────────────────────────────────────────────────────────────────────

type Matrix = Mapping[str, "Row"]
"""By method and path."""

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
