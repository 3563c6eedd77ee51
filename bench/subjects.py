"""What is measured: the specimen of the kernel's tests, or a resource of the service by its name.

The specimen and the example are one shape under two names, and for that shape there is a yardstick with
goals. Of any other resource the requests and the rows follow from its facts, `tests/resources/<plural>.py`.
"""

import importlib
import importlib.util
import random
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from types import ModuleType
from uuid import UUID

import asyncpg
from sqlalchemy import Table, UniqueConstraint

from adapters.postgres.kernel.discovery import import_tables
from adapters.postgres.kernel.tables.schema import metadata
from bench.seed import Shape, new_order, seed
from bench.servers import BenchError
from kernel.specimen.postgres.setup import statements
from kernel.world.resources import part

type Connection = asyncpg.Connection[asyncpg.Record]

EXAMPLE = "bench.example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A resource, how it is asked for, and what is there before it is."""

    plural: str
    one: str
    """The path of one of them, without its id."""
    operations: Sequence[str]
    """By the names that they have in `bench/operations.py`."""
    body: Callable[[random.Random], Mapping[str, object]]
    """What creates one of them."""
    seed: Callable[[Connection, UUID, UUID], Awaitable[list[UUID]]]
    """Fills the tables for the owner of a workspace; the ids of what is in its list."""
    command: Sequence[str] = ("-m", "entrypoints.http")
    """What Python is given to serve it."""
    tables: Callable[[], Iterable[str]] = tuple
    """SQL that makes what no migration does."""
    shape: Shape | None = None
    """How its tables are called, where it is shaped as the specimen: there is a yardstick then."""
    once: bool = False
    """Whether something of it is unique, so that a body creates a single one."""


def shaped(shape: Shape) -> Subject:
    """One that is shaped as the specimen is."""
    return Subject(
        plural=shape.plural,
        one=f"/v1/{shape.plural}",
        operations=("health", "get", "list", "deep", "filtered", "create", "complete", "keyed"),
        body=new_order,
        seed=lambda connection, owner, workspace: seed(connection, shape, owner=owner, workspace=workspace),
        shape=shape,
    )


SPECIMEN = replace(
    shaped(Shape(plural="specimen_orders", singular="specimen_order", below="specimen_notes")),
    command=("-m", "kernel.servers.specimen"),
    tables=statements,
)


def example() -> ModuleType | None:
    """The module that has its part in this, or nothing where a fork has taken the example out."""
    return importlib.import_module(EXAMPLE) if importlib.util.find_spec(EXAMPLE) else None


def subject(name: str) -> Subject:
    """The resource of this plural; by default the example's, or else the specimen. Raises BenchError."""
    ours = example()
    for known in (ours.SUBJECT, SPECIMEN) if ours else (SPECIMEN,):
        if name in {"", known.plural}:
            return known
    if not facts_of(name):
        raise BenchError(f"There is no tests/resources/{name}.py: name a resource by its plural.")
    return named(name, importlib.import_module(f"resources.{name}"))


def facts_of(name: str) -> bool:
    """Whether there are any; a fork without a resource has not even the package."""
    there = name.isidentifier() and importlib.util.find_spec("resources")
    return bool(there and importlib.util.find_spec(f"resources.{name}"))


# ── a resource of which nothing is known but its facts ───────────────────────────────────────────


def named(plural: str, facts: ModuleType) -> Subject:
    """Raises BenchError where its facts have nothing that can be measured."""
    import_tables()
    matrix, table = part(facts, "MATRIX"), metadata.tables.get(plural)
    everything, one = f"/v1/workspaces/{{workspace_id}}/{plural}", rf"GET (/v1/{plural})/{{\w+}}"
    create = matrix.get(f"POST {everything}")
    able = {"health"}
    able |= {"get"} if any(re.fullmatch(one, operation) for operation in matrix) else set()
    able |= {"list", "deep"} if f"GET {everything}" in matrix else set()
    if table is None or plural not in part(facts, "FILL") or len(able) == 1:
        raise BenchError(
            f"Of {plural} there is no list of a workspace with rows in FILL, and none can be got."
        )
    body: Mapping[str, object] = {}
    if create is not None:
        try:
            body = create.send({})["json"]
        except KeyError as missing:
            print(f"What creates {plural} names another thing, {missing}: that is not measured.")
        else:
            able |= {"create", "keyed"}
    numbers, unique = count(20_000), unique_of(table)  # beyond those of the rows in FILL
    return Subject(
        plural=plural,
        one=f"/v1/{plural}",
        operations=[name for name in ("health", "get", "list", "deep", "create", "keyed") if name in able],
        body=lambda _: {**body, **another(body, unique, next(numbers))},
        seed=lambda connection, owner, workspace: fill(connection, table, owner, workspace),
        once=bool(unique & body.keys()),
    )


def unique_of(table: Table) -> set[str]:
    """The columns that no two rows may share."""
    unique = [each.columns for each in table.constraints if isinstance(each, UniqueConstraint)]
    unique += [each.columns for each in table.indexes if each.unique]
    return {column.name for columns in unique for column in columns}


def another(body: Mapping[str, object], unique: Iterable[str], number: int) -> dict[str, object]:
    """What of the body may be there once, as it is in no other."""
    made: dict[str, object] = {}
    for name in {*unique} & body.keys():
        value = body[name]
        made[name] = number if isinstance(value, int) else f"{number}-{value}"
        if isinstance(value, str) and "://" in value:
            made[name] = f"{value}?{number}"
    return made


async def fill(connection: Connection, table: Table, owner: UUID, workspace: UUID) -> list[UUID]:
    """Runs what the facts have for the table, and before it for those that it refers to."""
    now = f"timestamptz '{datetime.now(UTC) - timedelta(minutes=1)}'"
    meant = {
        ":workspace": f"uuid '{workspace}'",
        ":owner": f"uuid '{owner}'",
        ":outsider": f"uuid '{owner}'",
        ":now": now,
        ":at": f"{now} - (n / 2 * 7919 % 5000) * interval '1 minute'",
    }
    for name in _referred(table):
        if facts_of(name):
            fills = part(importlib.import_module(f"resources.{name}"), "FILL")
            await connection.execute(re.sub(r"(?<!:):[a-z]+", lambda it: meant[it.group()], fills[name]))
    await connection.execute("VACUUM ANALYZE")
    mine = f"SELECT id FROM {table.name} WHERE workspace_id = $1"  # noqa: S608 (a table of this service)
    return [row["id"] for row in await connection.fetch(mine, workspace)]


def _referred(table: Table) -> Iterator[str]:
    """The tables that it needs, in the order in which they are needed, and itself."""
    needed, known = {table}, set[Table]()
    while needed - known:
        known |= needed
        needed |= {key.column.table for each in needed for key in each.foreign_keys}
    return (each.name for each in metadata.sorted_tables if each in needed)
