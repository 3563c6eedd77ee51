"""Every list of every resource: what it shows, and what PostgreSQL reads for a page, by its plan."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import cycle
from operator import attrgetter
from types import ModuleType
from typing import Any, override
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import select

from adapters.postgres.kernel.connection.database import Database, Statement
from adapters.postgres.kernel.connection.transactions import PostgresTransactions
from adapters.postgres.kernel.discovery import import_tables, queries_of, repositories_of
from adapters.postgres.kernel.tables.paging import Listing
from adapters.postgres.kernel.tables.schema import metadata
from application.kernel.paging import InvalidCursor, Page, PageRequest, Sort, sorts_of
from application.kernel.queries.users import UserFilter
from domain.kernel.users import GlobalRole
from kernel.specimen.service import Queries, UnitOfWork
from kernel.world.builders import NOW, Team, a_caller, a_team, store
from kernel.world.refusals import refused
from kernel.world.resources import ROWS, Filled, Listed, modules, part, parts

LIMIT = 20

READ_MOST = LIMIT + 5
"""Rows of the list: the page, one more, and what an incremental sort looks at to see that a pair is over."""

BLOCKS_MOST = 6 * LIMIT
"""Of 8 KiB, with those of indexes and joins. A look at every row of a list takes far more."""


# ── the kernel's own lists ───────────────────────────────────────────────────────────────────────

KERNEL_FILLS: Sequence[Mapping[str, str]] = [
    {
        "users": """
            INSERT INTO users (id, email, display_name, created_at, version)
            SELECT gen_random_uuid(), 'user-' || lpad(n::text, 5, '0') || '@example.com', 'User ' || n, :at, 1
            FROM generate_series(1, 10000) AS n
        """,
    },
    {
        "memberships": """
            INSERT INTO memberships (id, workspace_id, user_id, role, joined_at, version)
            SELECT gen_random_uuid(), :workspace, id, 'member', created_at, 1 FROM users
            WHERE email LIKE 'user-%'
        """,
    },
    {
        "workspaces": """
            INSERT INTO workspaces (id, name, slug, created_at, version)
            SELECT gen_random_uuid(), 'Workspace', 'filled-' || n, :at, 1 FROM generate_series(1, 10000) AS n
        """,
        "memberships": """
            INSERT INTO memberships (id, workspace_id, user_id, role, joined_at, version)
            SELECT gen_random_uuid(), id, :owner, 'member', :now, 1 FROM workspaces
            WHERE slug LIKE 'filled-%' ORDER BY slug LIMIT 60
        """,
    },
    {
        "invitations": """
            INSERT INTO invitations
                (id, workspace_id, email, role, token_hash, invited_by, created_at, expires_at, version)
            SELECT gen_random_uuid(), :workspace, 'guest-' || n || '@example.com', 'member', n::text, :owner,
                   :at, timestamptz 'infinity', 1
            FROM generate_series(1, 10000) AS n
            UNION ALL
            SELECT gen_random_uuid(), numbered.id, users.email, 'member', 'own-' || n, :owner, :at,
                   timestamptz 'infinity', 1
            FROM (SELECT id, row_number() OVER (ORDER BY slug) AS n FROM workspaces WHERE id <> :workspace
                  LIMIT 60) AS numbered
            JOIN users ON users.id = :outsider
        """,
    },
    {
        "sessions": """
            INSERT INTO sessions (id, user_id, token_hash, created_at, expires_at, version)
            SELECT gen_random_uuid(), id, email, created_at, timestamptz 'infinity', 1 FROM users
            UNION ALL
            SELECT gen_random_uuid(), :owner, n::text, :at, timestamptz 'infinity', 1
            FROM generate_series(1, 59) AS n
        """,
    },
    {
        "identities": """
            INSERT INTO identities (id, user_id, issuer, subject, created_at, version)
            SELECT gen_random_uuid(), id, 'https://id.example.com', id::text, created_at, 1 FROM users
            UNION ALL
            SELECT gen_random_uuid(), :owner, 'https://id.example.com', n::text, :at, 1
            FROM generate_series(1, 59) AS n
        """,
    },
]
NEWEST_FIRST = Sort("created_at", descending=True)
KERNEL_LISTS: Mapping[str, Listed[Any]] = {
    "users": Listed(
        table="users",
        ask=lambda world, sort, page: world.ask.users.page(
            a_caller(roles=frozenset({GlobalRole.SUPPORT})), UserFilter(), sort, page
        ),
        sorts={
            "created_at": lambda view: view.created_at,
            "email": lambda view: view.email or "",
        },
    ),
    "members": Listed(
        table="memberships",
        ask=lambda world, _, page: world.ask.memberships.page(
            world.team.viewer.user_id, world.team.workspace.id, page
        ),
        sorts={"joined_at": lambda view: view.joined_at},
        fixed=Sort("joined_at"),
    ),
    "workspaces": Listed(
        table="memberships",  # the viewer's lead to their workspaces
        ask=lambda world, _, page: world.ask.workspaces.page(world.team.owner.user_id, page),
        sorts={"created_at": lambda view: view.created_at},
        fixed=NEWEST_FIRST,
        rows=60,
        short=True,
    ),
    "invitations": Listed(
        table="invitations",
        ask=lambda world, _, page: world.ask.invitations.page(
            world.team.owner.user_id, world.team.workspace.id, page
        ),
        sorts={"created_at": lambda view: view.created_at},
        fixed=NEWEST_FIRST,
    ),
    "invitations of mine": Listed(
        table="invitations",
        ask=lambda world, _, page: world.ask.invitations.mine(world.team.outsider.id, page),
        sorts={"created_at": lambda view: view.created_at},
        fixed=NEWEST_FIRST,
        rows=60,
        short=True,
    ),
    "sessions": Listed(
        table="sessions",
        ask=lambda world, _, page: world.ask.auth.sessions(world.team.owner.user_id, page, current=None),
        sorts={"created_at": lambda view: view.created_at},
        fixed=NEWEST_FIRST,
        rows=60,
        short=True,
    ),
    "links": Listed(
        table="identities",
        ask=lambda world, _, page: world.ask.identities.page(world.team.owner.user_id, page),
        sorts={"created_at": lambda view: view.created_at},
        fixed=Sort("created_at"),
        rows=60,
        short=True,
    ),
}


@dataclass(frozen=True)
class Plan:
    """What a statement did: the rows that it read of each table, and the blocks that it looked at."""

    read: Mapping[str, float]
    sorted: float
    blocks: int

    @classmethod
    def of(cls, explained: str) -> "Plan":
        root: dict[str, Any] = json.loads(explained)[0]["Plan"]
        read: dict[str, float] = {}
        sorts = [0.0]
        for node in _nodes(root):
            loops = node["Actual Loops"]
            if "Relation Name" in node:
                refused = [node.get(f"Rows Removed by {why}", 0) for why in ("Filter", "Index Recheck")]
                table = node["Relation Name"]
                read[table] = read.get(table, 0) + (node["Actual Rows"] + sum(refused)) * loops
            if node["Node Type"] == "Sort":
                sorts += [below["Actual Rows"] * below["Actual Loops"] for below in node["Plans"]]
        return cls(read, max(sorts), root["Shared Hit Blocks"] + root["Shared Read Blocks"])


def _nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for below in node.get("Plans", ()):
        yield from _nodes(below)


class WatchedDatabase(Database):
    """Remembers the last statement that read rows, and what it was given; and the SQL of all."""

    last: tuple[Statement, Mapping[str, Any]]

    def __init__(self, url: str) -> None:
        self.statements: list[str] = []
        super().__init__(url, on_connect=self._listen)

    def _listen(self, connection: Any) -> None:
        connection.add_query_logger(lambda query: self.statements.append(query.query))

    @override
    async def fetch(self, statement: Statement, values: Mapping[str, Any]) -> list[asyncpg.Record]:
        self.last = statement, values
        return await super().fetch(statement, values)


async def explain(url: str, statement: Statement, values: Mapping[str, Any], *, mode: str) -> Plan:
    """How a prepared statement is run, which is planned for these values or for any."""
    connection = await asyncpg.connect(url)
    given = ", ".join(_literal(value) for value in statement.arguments(values))
    await connection.execute(f"SET plan_cache_mode = {mode}; SET jit = off; PREPARE page AS {statement.sql}")
    execute = f"EXECUTE page({given})" if given else "EXECUTE page"
    explained = await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {execute}")
    await connection.close()
    return Plan.of(explained)


def _literal(value: UUID | datetime | str | int | Sequence[str] | None) -> str:
    match value:
        case None:
            return "NULL"
        case int():
            return str(value)
        case list():
            return "'{" + ",".join(value) + "}'"
        case _:
            return "'" + str(value) + "'"


@dataclass(frozen=True)
class World(Filled):
    url: str
    database: WatchedDatabase


@pytest.fixture(scope="module")
async def world(database_url: str) -> AsyncIterator[World]:
    """Every list has its rows. Made once: these tests only look."""
    import_tables()
    tables = ", ".join(metadata.tables)
    by_hand = await asyncpg.connect(database_url)
    await by_hand.execute(f"TRUNCATE {tables}")
    database = WatchedDatabase(database_url)
    team = a_team()
    begin = PostgresTransactions(database, lambda: NOW, UnitOfWork, repositories_of(UnitOfWork))
    await store(begin, *team.aggregates)
    for sql in fillings(team):
        await by_hand.execute(sql)
    await by_hand.execute("VACUUM ANALYZE")
    yield World(queries_of(Queries, database), team, database_url, database)
    await database.close()
    await by_hand.execute(f"TRUNCATE {tables}")
    await by_hand.close()


def fillings(team: Team) -> Iterator[str]:
    """The SQL of all resources, in an order that foreign keys accept."""
    now = f"timestamptz '{NOW}'"
    meant = {
        ":workspace": f"uuid '{team.workspace.id}'",
        ":owner": f"uuid '{team.owner.user_id}'",
        ":outsider": f"uuid '{team.outsider.id}'",
        ":now": now,
        # In an order of its own, so that no list is sorted already as it lies on disk.
        ":at": f"{now} + (n / 2 * 7919 % {ROWS // 2}) * interval '1 minute'",
    }
    fills = [*KERNEL_FILLS, *(fill for _, fill in parts("FILL"))]
    for table in metadata.sorted_tables:
        for fill in fills:
            if table.name in fill:
                yield re.sub(r"(?<!:):[a-z]+", lambda found: meant[found.group()], fill[table.name])


LISTS: Mapping[str, Listed[Any]] = {
    **KERNEL_LISTS,
    **{
        f"{module.__name__}: {name}": each for module, lists in parts("LISTS") for name, each in lists.items()
    },
}
ORDERS = {
    f"{name} by {','.join(f'-{by.key}' if by.descending else by.key for by in order)}": (listed, order)
    for name, listed in LISTS.items()
    for order in listed.orders
}
by_order = pytest.mark.parametrize(("listed", "order"), ORDERS.values(), ids=list(ORDERS))


# ── none is forgotten ────────────────────────────────────────────────────────────────────────────


def listings() -> Mapping[Listing[Any], tuple[str, str]]:
    """Every list that the adapter has: the file with its resource's facts, and the list's name."""
    import_tables()
    homes = {
        "kernel.specimen.postgres": "tests/kernel/specimen/resources/{}.py",
        "adapters.postgres.kernel": "tests/kernel/resources/{}.py",
        "adapters.postgres": "tests/resources/{}.py",
    }
    found = {}
    for module in [*sys.modules.values()]:
        for package, home in homes.items():
            if module.__name__.startswith(f"{package}."):
                path = home.format(module.__name__.rpartition(".")[2])
                for name, value in vars(module).items():
                    if isinstance(value, Listing):
                        found[value] = path, f"{module.__name__}.{name}"
                break
    return found


def lacking(
    listings: Mapping[Listing[Any], tuple[str, str]], asked: Mapping[Listing[Any], Collection[str]]
) -> Iterator[str]:
    """What LISTS should have and has not; `asked` has the keys by which a list is sorted there."""
    for listing, (path, name) in listings.items():
        if listing not in asked:
            yield f"{path}: LISTS lacks {name}"
        elif listing.sorted_by is not None:
            for key in sorts_of(listing.sorted_by)[0]:
                if key not in asked[listing]:
                    yield f"{path}: LISTS lacks the key {key} of {name}"


async def test_every_list_stands_in_the_facts_of_its_resource_with_all_its_keys(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[Listing[Any], set[str]] = {}
    seen: list[Listing[Any]] = []
    paged = Listing.page

    async def page(listing: Listing[Any], *given: Any, **named: Any) -> Page[Any]:
        seen.append(listing)
        return await paged(listing, *given, **named)

    monkeypatch.setattr(Listing, "page", page)
    for listed in LISTS.values():
        await listed.ask(world, listed.orders[0], PageRequest(limit=1))
        asked.setdefault(seen.pop(), set()).update(listed.sorts)

    assert list(lacking(listings(), asked)) == []


def test_a_list_and_a_key_that_are_forgotten_are_named() -> None:
    path, name = (
        "tests/kernel/specimen/resources/specimen_orders.py",
        "kernel.specimen.postgres.specimen_orders._PAGE",
    )
    [listing] = [listing for listing, home in listings().items() if home == (path, name)]

    assert list(lacking({listing: (path, name)}, {})) == [f"{path}: LISTS lacks {name}"]
    assert list(lacking({listing: (path, name)}, {listing: {"created_at", "due_at", "title"}})) == [
        f"{path}: LISTS lacks the key priority of {name}"
    ]


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.__name__)
def test_a_list_s_table_is_filled_by_its_resource(module: ModuleType) -> None:
    lacked = {listed.table for listed in part(module, "LISTS").values()} - part(module, "FILL").keys()
    assert not lacked, f"tests/{module.__name__.replace('.', '/')}.py: FILL lacks {lacked}"


# ── what they show ───────────────────────────────────────────────────────────────────────────────

SIZES = [1, 2, 7, 4_000]


@by_order
async def test_the_pages_of_a_list_together_are_the_sorted_list(
    world: World, listed: Listed[Any], order: Sequence[Sort[Any]]
) -> None:
    found: list[Any] = []
    request = PageRequest()
    for limit in cycle(SIZES):
        page = await listed.ask(world, order, replace(request, limit=limit))
        found += page.items
        if page.next is None:
            break
        assert len(page.items) == limit
        request = PageRequest(cursor=page.next)

    assert len({repr(view) for view in found}) == len(found)
    assert (await listed.ask(world, order, PageRequest(limit=1, counted=True))).total == len(found)
    assert listed.rows <= len(found) <= listed.rows + len(world.team.aggregates)
    assert found == in_order(found, listed, order)


def in_order(views: Sequence[Any], listed: Listed[Any], order: Sequence[Sort[Any]]) -> list[Any]:
    """As the database should sort them: what is equal by its id, in the direction of the first key."""
    ordered = list(views)
    if views and hasattr(views[0], "id"):  # a member is shown without the id of the membership
        ordered.sort(key=attrgetter("id"), reverse=order[0].descending)
    for by in reversed(order):
        ordered.sort(key=listed.sorts[by.key], reverse=by.descending)
    return ordered


@pytest.mark.parametrize("name", LISTS)
async def test_a_cursor_of_every_other_list_is_refused(world: World, name: str) -> None:
    listed = LISTS[name]
    for another in (other for other in LISTS.values() if other is not listed):
        for order in another.orders:
            cursor = (await another.ask(world, order, PageRequest(limit=1))).next
            for own in listed.orders:
                with refused(
                    InvalidCursor, "It belongs to another list, filter or sort; start at the first page."
                ):
                    await listed.ask(world, own, PageRequest(cursor=cursor))


# ── what they cost ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("counted", [False, True], ids=["", "counted"])
@pytest.mark.parametrize("limit", [1, 10, 100])
@pytest.mark.parametrize("name", LISTS)
async def test_a_page_is_one_statement_whatever_its_size(
    world: World, name: str, limit: int, *, counted: bool
) -> None:
    listed = LISTS[name]
    first = PageRequest(limit=limit, counted=counted)
    page = await one_statement(world, listed, first)
    if limit < listed.rows:
        assert len(page.items) == limit
        assert page.next is not None
        await one_statement(world, listed, replace(first, cursor=page.next))


async def one_statement(world: World, listed: Listed[Any], request: PageRequest) -> Page[Any]:
    await asyncio.sleep(0)  # the driver tells of a statement a moment after it ended
    world.database.statements.clear()
    page = await listed.ask(world, listed.orders[-1], request)
    await asyncio.sleep(0)
    assert len(world.database.statements) == 1
    assert (page.total is not None) is request.counted
    return page


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@by_order
async def test_a_page_reads_as_much_at_the_end_of_a_list_as_at_its_beginning(
    world: World, listed: Listed[Any], order: Sequence[Sort[Any]], mode: str
) -> None:
    before_last = listed.rows - 2 * LIMIT
    read_most = listed.rows + READ_MOST if listed.short else READ_MOST
    blocks_most = 6 * listed.rows if listed.short else BLOCKS_MOST
    deep = await listed.ask(world, order, PageRequest(limit=before_last))
    for cursor in (None, deep.next):
        page = await listed.ask(world, order, PageRequest(limit=LIMIT, cursor=cursor))
        assert len(page.items) == LIMIT
        plan = await explain(world.url, *world.database.last, mode=mode)
        assert plan.read[listed.table] <= read_most
        assert plan.sorted <= read_most
        assert plan.blocks <= blocks_most


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_words_are_looked_for_in_an_index(world: World, mode: str) -> None:
    """As far as the planner may choose it: the index has the very expression that is searched."""
    searched = set[str]()
    for listing in listings():
        conditions = vars(listing)["_filters"]
        if "q" not in conditions or " @@ " not in str(conditions["q"]):
            continue
        table = vars(listing)["_id"].expression.table
        searched.add(table.name)
        statement = Statement(select(table.c.id).where(conditions["q"]))
        connection = await asyncpg.connect(world.url)
        await connection.execute(
            f"SET plan_cache_mode = {mode}; SET enable_seqscan = off; PREPARE search AS {statement.sql}"
        )
        plan = await connection.fetch("EXPLAIN EXECUTE search ('\"wool/loom\" -wheel')")
        await connection.close()
        assert any(f"Bitmap Index Scan on ix_{table.name}_words" in line for (line,) in plan), plan
    assert "specimen_orders" in searched
