"""What PostgreSQL reads for a page, by its plan and not by a clock: the same at the end of a list."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, override
from uuid import UUID

import asyncpg
import pytest

from adapters.postgres.kernel.connection.database import Database, Statement
from adapters.postgres.kernel.connection.transactions import PostgresTransactions
from adapters.postgres.kernel.discovery import queries_of, repositories_of
from adapters.postgres.kernel.tables.schema import metadata
from application.kernel.paging import Page, PageRequest, Sort
from application.kernel.queries.users import UserFilter
from application.queries.notifications import NotificationFilter
from application.queries.tasks import TaskFilter
from domain.kernel.users import GlobalRole
from domain.tasks import Task
from kernel.specimen.service import Queries, UnitOfWork
from kernel.world.builders import NOW, Team, a_caller, a_team, store
from resources.tasks import a_task

LIMIT = 20
DEEP = 9_500

READ_MOST = LIMIT + 3
"""Rows of the list: the page, one more, and what an incremental sort looks at to see that a group is over."""

BLOCKS_MOST = 6 * LIMIT
"""Of 8 KiB, with those of indexes and joins. A look at every row of a list takes far more."""

# Each in an order of its own, so that no list is sorted already as it lies on disk.
FILL = """
INSERT INTO users (id, email, display_name, created_at, version)
SELECT gen_random_uuid(), 'user-' || n || '@example.com', 'User ' || n,
       :now + (n * 7919 % 10000) * interval '1 minute', 1
FROM generate_series(1, 10000) AS n;

INSERT INTO memberships (id, workspace_id, user_id, role, joined_at, version)
SELECT gen_random_uuid(), :workspace, id, 'member', created_at, 1 FROM users WHERE email LIKE 'user-%';

INSERT INTO invitations (id, workspace_id, email, role, token_hash, invited_by, created_at, expires_at,
                         version)
SELECT gen_random_uuid(), :workspace, 'guest-' || n || '@example.com', 'member', n, :owner,
       :now + (n * 7919 % 10000) * interval '1 minute', 'infinity', 1
FROM generate_series(1, 10000) AS n;

INSERT INTO tasks (id, workspace_id, title, description, status, priority, due_at, labels, created_by,
                   created_at, updated_at, version)
SELECT gen_random_uuid(), :workspace, 'Task ' || (n * 7919 % 10000), '', 'open',
       (ARRAY['low', 'normal', 'high', 'urgent'])[1 + n % 4],
       CASE WHEN n % 3 = 0 THEN NULL ELSE :now + (n * 7907 % 10000) * interval '1 minute' END, '{}', :owner,
       :now + (n * 7901 % 10000) * interval '1 minute', :now, 1
FROM generate_series(1, 10000) AS n;

INSERT INTO comments (id, task_id, workspace_id, author_id, body, created_at, version)
SELECT gen_random_uuid(), :task, :workspace, :owner, 'loom',
       :now + (n * 7919 % 10000) * interval '1 minute', 1
FROM generate_series(1, 10000) AS n;

INSERT INTO notifications (id, user_id, kind, task_id, workspace_id, caused_by, created_at, version)
SELECT gen_random_uuid(), :owner, 'task_assigned', id, :workspace, :owner,
       :now + (row_number() OVER () * 7919 % 10000) * interval '1 minute', 1
FROM tasks
"""


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
    """Remembers the last statement that read rows, and what it was given."""

    last: tuple[Statement, Mapping[str, Any]]

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


def _literal(value: UUID | datetime | str | int | Sequence[str]) -> str:
    match value:
        case int():
            return str(value)
        case list():
            return "'{" + ",".join(value) + "}'"
        case _:
            return "'" + str(value) + "'"


@dataclass(frozen=True)
class World:
    url: str
    database: WatchedDatabase
    ask: Queries
    team: Team
    task: Task


@pytest.fixture(scope="module")
async def world(database_url: str) -> AsyncIterator[World]:
    """Every list has 10,000 rows. Made once: these tests only look."""
    tables = ", ".join(metadata.tables)
    by_hand = await asyncpg.connect(database_url)
    await by_hand.execute(f"TRUNCATE {tables}")
    database = WatchedDatabase(database_url)
    team = a_team()
    task = a_task(workspace_id=team.workspace.id, created_by=team.owner.user_id)
    await store(
        PostgresTransactions(database, lambda: NOW, UnitOfWork, repositories_of(UnitOfWork)),
        *team.aggregates,
        task,
    )
    fill = FILL.replace(":now", f"timestamptz '{NOW}'")
    for name, id in {":workspace": team.workspace.id, ":owner": team.owner.user_id, ":task": task.id}.items():
        fill = fill.replace(name, f"uuid '{id}'")
    await by_hand.execute(fill)
    await by_hand.execute("VACUUM ANALYZE")
    yield World(database_url, database, queries_of(Queries, database), team, task)
    await database.close()
    await by_hand.execute(f"TRUNCATE {tables}")
    await by_hand.close()


type Ask = Callable[[World, PageRequest], Awaitable[Page[Any]]]


def tasks_by(*sort: Sort[Any], where: TaskFilter | None = None) -> Ask:
    return lambda it, page: it.ask.tasks.page(
        it.team.viewer.user_id, it.team.workspace.id, where or TaskFilter(), sort, page
    )


def users_by(*sort: Sort[Any]) -> Ask:
    support = a_caller(roles=frozenset({GlobalRole.SUPPORT}))
    return lambda it, page: it.ask.users.page(support, UserFilter(), sort, page)


def up(key: str) -> Sort[Any]:
    return Sort(key)


def down(key: str) -> Sort[Any]:
    return Sort(key, descending=True)


LISTS: dict[str, tuple[str, Ask]] = {
    **{
        f"tasks by {sign}{key}": ("tasks", tasks_by(Sort(key, bool(sign))))
        for key in ("created_at", "due_at", "priority", "title")
        for sign in ("", "-")
    },
    "tasks by -created_at,-title": ("tasks", tasks_by(down("created_at"), down("title"))),
    "tasks by -created_at,title": ("tasks", tasks_by(down("created_at"), up("title"))),
    "tasks by title,-due_at": ("tasks", tasks_by(up("title"), down("due_at"))),
    "tasks, due in a window": (
        "tasks",
        tasks_by(up("due_at"), where=TaskFilter(due_after=NOW, due_before=NOW.replace(year=2030))),
    ),
    **{
        f"users by {sign}{key}": ("users", users_by(Sort(key, bool(sign))))
        for key in ("created_at", "email")
        for sign in ("", "-")
    },
    "members": (
        "memberships",
        lambda it, page: it.ask.memberships.page(it.team.viewer.user_id, it.team.workspace.id, page),
    ),
    "invitations": (
        "invitations",
        lambda it, page: it.ask.invitations.page(it.team.owner.user_id, it.team.workspace.id, page),
    ),
    "comments": ("comments", lambda it, page: it.ask.comments.page(it.team.viewer.user_id, it.task.id, page)),
    "notifications": (
        "notifications",
        lambda it, page: it.ask.notifications.page(it.team.owner.user_id, NotificationFilter(), page),
    ),
}


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("name", LISTS)
async def test_a_page_reads_as_much_at_the_end_of_a_list_as_at_its_beginning(
    world: World, name: str, mode: str
) -> None:
    table, ask = LISTS[name]
    before_last = 6_000 if name == "tasks, due in a window" else DEEP  # a third has no due date
    deep = await ask(world, PageRequest(limit=before_last))
    for cursor in (None, deep.next):
        page = await ask(world, PageRequest(limit=LIMIT, cursor=cursor))
        assert len(page.items) == LIMIT
        plan = await explain(world.url, *world.database.last, mode=mode)
        assert plan.read[table] <= READ_MOST
        assert plan.sorted <= READ_MOST
        assert plan.blocks <= BLOCKS_MOST
