"""The audit log, which only asks: all that the suites need to know of it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from application.kernel.paging import PageRequest, Sort
from application.kernel.ports.callers import Caller
from application.kernel.queries.audit import AuditFilter, WorkspaceAuditFilter
from domain.kernel.aggregate import Aggregate
from domain.kernel.users import GlobalRole
from kernel.world.builders import a_caller
from kernel.world.resources import (
    Example,
    Listed,
    Matrix,
    Places,
    Statements,
    World,
    for_the_service,
    in_a_workspace,
)

EXAMPLES: list[Callable[[], Example]] = []


def stored(world: World) -> Sequence[Aggregate]:
    return []


def crowd(world: World, count: int) -> Sequence[Aggregate]:
    return []


def places(world: World) -> Places:
    return {}


PEOPLE: list[str] = []

MATRIX: Matrix = {
    "GET /v1/workspaces/{workspace_id}/audit": in_a_workspace("admin", weak=("member", 403)),
    "GET /v1/admin/audit": for_the_service("root", weak="support"),
}

COMMANDS: Statements = {}


def root() -> Caller:
    return a_caller(roles=frozenset({GlobalRole.ADMIN}))


QUERIES: Statements = {
    "audit.page": (1, lambda it: it.ask.audit.page(root(), AuditFilter(), PageRequest(limit=20))),
    "audit.of_workspace": (
        1,
        lambda it: it.ask.audit.of_workspace(
            it.team.admin.user_id, it.team.workspace.id, WorkspaceAuditFilter(), PageRequest(limit=20)
        ),
    ),
}

FILLINGS: Mapping[str, str] = {
    "0014": """
        INSERT INTO audit
            (id, at, last_at, kind, user_id, by, workspace_id, channel, address, agent, request_id, details)
        SELECT gen_random_uuid(), joined_at, joined_at, 'member_joined', user_id, user_id, workspace_id,
               'http', '192.0.2.7', '', '', '{}'
        FROM memberships
    """,
}


# ── lists ────────────────────────────────────────────────────────────────────────────────────────

# A third of them is in the workspace. One in two is about and by the owner, the others of fifty more.
FILL: Mapping[str, str] = {
    "audit": """
        INSERT INTO audit
            (id, at, last_at, kind, user_id, account, by, workspace_id, channel, address, agent, request_id,
             details)
        SELECT gen_random_uuid(), :at, :at, 'member_role_changed',
               CASE WHEN n % 2 = 0 THEN :owner ELSE md5((n % 100)::text)::uuid END,
               CASE WHEN n % 2 = 0 THEN 'somebody' END,
               CASE WHEN n % 2 = 0 THEN :owner ELSE md5((n % 100)::text)::uuid END,
               CASE WHEN n <= 10000 THEN :workspace END, 'http', '192.0.2.7', '', '', '{}'
        FROM generate_series(1, 30000) AS n
    """,
}
NEWEST_FIRST = Sort("at", descending=True)


def all_of(where: Callable[[Any], AuditFilter], rows: int) -> Listed[Any]:
    return Listed(
        table="audit",
        ask=lambda world, _, page: world.ask.audit.page(root(), where(world.team), page),
        sorts={"at": lambda view: view.at},
        fixed=NEWEST_FIRST,
        rows=rows,
    )


def of_workspace(where: Callable[[Any], WorkspaceAuditFilter], rows: int) -> Listed[Any]:
    return Listed(
        table="audit",
        ask=lambda world, _, page: world.ask.audit.of_workspace(
            world.team.owner.user_id, world.team.workspace.id, where(world.team), page
        ),
        sorts={"at": lambda view: view.at},
        fixed=NEWEST_FIRST,
        rows=rows,
    )


LISTS: Mapping[str, Listed[Any]] = {
    "audit": all_of(lambda _: AuditFilter(), 30_000),
    "audit about a user": all_of(lambda team: AuditFilter(user_id=team.owner.user_id), 15_000),
    "audit by a user": all_of(lambda team: AuditFilter(by=team.owner.user_id), 15_000),
    "audit about an address": all_of(lambda _: AuditFilter(account="somebody"), 15_000),
    "audit of a workspace, by an administrator": all_of(
        lambda team: AuditFilter(workspace_id=team.workspace.id), 10_000
    ),
    "audit of a workspace": of_workspace(lambda _: WorkspaceAuditFilter(), 10_000),
}
