"""Work orders: all that the suites need to know of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from application.kernel.admission import NotPermitted
from application.kernel.paging import PageRequest, Sort
from domain.kernel.aggregate import Aggregate
from kernel.specimen.builders import a_work_order
from kernel.specimen.commands.work_orders import (
    cancel_work_order,
    complete_work_order,
    create_work_order,
    delete_work_order,
    edit_work_order,
    reopen_work_order,
    start_work_order,
)
from kernel.specimen.domain.work_orders import (
    WorkOrder,
    WorkOrderId,
    WorkOrderNotFound,
    WorkOrderPriority,
    WorkOrderStatus,
)
from kernel.specimen.queries.work_orders import WorkOrderFilter, WorkOrderView
from kernel.world.builders import NOW, a_team
from kernel.world.resources import (
    Example,
    Listed,
    Matrix,
    Places,
    Stage,
    Statements,
    World,
    in_a_workspace,
    json,
)

LATER = NOW + timedelta(days=1, hours=2, minutes=3, seconds=4, microseconds=5)


# ── contracts ────────────────────────────────────────────────────────────────────────────────────


def work_order_example() -> Example:
    team = a_team()
    work_order = a_work_order(
        workspace_id=team.workspace.id,
        title="Weave",
        description="Flowers\n\tand leaves 🌿",
        status=WorkOrderStatus.DONE,
        priority=WorkOrderPriority.URGENT,
        due_at=LATER,
        assignee_id=team.member.user_id,
        labels=("card", "loom"),
        created_by=team.owner.user_id,
        updated_at=LATER,
        finished_at=LATER,
    )
    changed = replace(
        work_order,
        title="Unweave",
        description="",
        status=WorkOrderStatus.IN_PROGRESS,
        priority=WorkOrderPriority.LOW,
        due_at=None,
        assignee_id=None,
        labels=(),
        updated_at=LATER + timedelta(days=1),
        finished_at=None,
    )
    return Example(team.aggregates, work_order, changed, WorkOrderNotFound)


EXAMPLES = [work_order_example]


# ── the world ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Made:
    work_order: WorkOrder
    done: WorkOrder


def of(world: World) -> Made:
    """A work order that is open, unless it is about to be reopened, and one that is done."""
    reopened = world.operation == "POST /v1/work_orders/{work_order_id}/reopening"
    about: dict[str, Any] = {"workspace_id": world.workspace_id, "created_by": world.member}
    return world.once(
        Made,
        lambda: Made(
            work_order=a_work_order(
                **about,
                id=WorkOrderId(world.id("work_order")),
                status=WorkOrderStatus.DONE if reopened else WorkOrderStatus.OPEN,
            ),
            done=a_work_order(**about, status=WorkOrderStatus.DONE),
        ),
    )


def stored(world: World) -> Sequence[Aggregate]:
    return [of(world).work_order, of(world).done]


def crowd(world: World, count: int) -> Sequence[Aggregate]:
    return [
        a_work_order(workspace_id=world.workspace_id, created_by=world.owner, assignee_id=world.member)
        for _ in range(count)
    ]


def places(world: World) -> Places:
    return {"work_order_id": of(world).work_order.id, "done_work_order_id": of(world).done.id}


PEOPLE = ["assignee_id"]

MATRIX: Matrix = {
    "POST /v1/workspaces/{workspace_id}/work_orders": in_a_workspace(
        "member", 201, weak=("viewer", 403), send=json(title="Spin")
    ),
    "GET /v1/workspaces/{workspace_id}/work_orders": in_a_workspace("viewer", weak=None),
    "GET /v1/work_orders/{work_order_id}": in_a_workspace("viewer", weak=None),
    "PATCH /v1/work_orders/{work_order_id}": in_a_workspace(
        "member", weak=("viewer", 403), send=json(title="Spin")
    ),
    "DELETE /v1/work_orders/{work_order_id}": in_a_workspace("member", 204, weak=("viewer", 403)),
    "POST /v1/work_orders/{work_order_id}/start": in_a_workspace("member", weak=("viewer", 403)),
    "POST /v1/work_orders/{work_order_id}/completion": in_a_workspace("member", weak=("viewer", 403)),
    "POST /v1/work_orders/{work_order_id}/cancellation": in_a_workspace("member", weak=("viewer", 403)),
    "POST /v1/work_orders/{work_order_id}/reopening": in_a_workspace(
        "member", weak=("viewer", 403), at={"work_order_id": "done_work_order_id"}
    ),
}


# ── statements ───────────────────────────────────────────────────────────────────────────────────


async def _refused(it: Stage) -> None:
    with pytest.raises(NotPermitted):
        await it.run(create_work_order, it.team.viewer, it.team.workspace.id, title="Spin")


COMMANDS: Statements = {
    # standing, change
    "create_work_order": (
        2,
        lambda it: it.run(create_work_order, it.team.member, it.team.workspace.id, title="Spin"),
    ),
    # that the assignee is a member is the foreign key's to see to
    "create_work_order, assigned": (
        2,
        lambda it: it.run(
            create_work_order,
            it.team.member,
            it.team.workspace.id,
            title="Spin",
            assignee_id=it.team.admin.user_id,
        ),
    ),
    # standing
    "create_work_order, refused": (1, _refused),
    # work order, standing, change
    "edit_work_order": (
        3,
        lambda it: it.run(edit_work_order, it.team.member, of(it.world).work_order.id, title="Spin"),
    ),
    "edit_work_order, another assignee": (
        3,
        lambda it: it.run(
            edit_work_order,
            it.team.member,
            of(it.world).work_order.id,
            assignee_id=it.team.admin.user_id,
            title="Spin",
        ),
    ),
    "edit_work_order, the same": (
        2,
        lambda it: it.run(
            edit_work_order, it.team.member, of(it.world).work_order.id, title=of(it.world).work_order.title
        ),
    ),
    "start_work_order": (3, lambda it: it.run(start_work_order, it.team.member, of(it.world).work_order.id)),
    "complete_work_order": (
        3,
        lambda it: it.run(complete_work_order, it.team.member, of(it.world).work_order.id),
    ),
    "cancel_work_order": (
        3,
        lambda it: it.run(cancel_work_order, it.team.member, of(it.world).work_order.id),
    ),
    "reopen_work_order": (3, lambda it: it.run(reopen_work_order, it.team.member, of(it.world).done.id)),
    "delete_work_order": (
        3,
        lambda it: it.run(delete_work_order, it.team.member, of(it.world).work_order.id),
    ),
}

QUERIES: Statements = {
    "work_orders.get": (
        1,
        lambda it: it.ask.work_orders.get(it.team.viewer.user_id, of(it.world).work_order.id),
    ),
    "work_orders.page": (
        1,
        lambda it: it.ask.work_orders.page(
            it.team.viewer.user_id,
            it.team.workspace.id,
            WorkOrderFilter(),
            [Sort("title")],
            PageRequest(limit=20),
        ),
    ),
}

FILLINGS: Mapping[str, str] = {}


# ── lists ────────────────────────────────────────────────────────────────────────────────────────

FILLED = WorkOrderId(UUID(int=1))
"""The first that FILL makes."""

FILL = {
    "work_orders": """
        INSERT INTO work_orders
            (id, workspace_id, title, description, status, priority, due_at, labels, created_by,
             created_at, updated_at, version)
        SELECT CASE WHEN n = 1 THEN '00000000-0000-0000-0000-000000000001'::uuid ELSE gen_random_uuid() END,
               :workspace, 'Work order ' || (n / 2 * 7919 % 5000), '', 'open',
               (ARRAY['low', 'normal', 'high', 'urgent'])[1 + n % 4],
               CASE WHEN n % 4 = 0 THEN NULL ELSE :now + (n / 2 * 7907 % 5000) * interval '1 minute' END,
               '{}', :owner, :at, :now, 1
        FROM generate_series(1, 10000) AS n
    """,
}
DUE = WorkOrderFilter(due_after=NOW, due_before=NOW.replace(year=2030))


def _pages(where: WorkOrderFilter | None = None, **more: Any) -> Listed[WorkOrderView]:
    return Listed(
        table="work_orders",
        ask=lambda world, sort, page: world.ask.work_orders.page(
            world.team.viewer.user_id, world.team.workspace.id, where or WorkOrderFilter(), sort, page
        ),
        **more,
    )


def _due(view: WorkOrderView) -> datetime:
    return view.due_at or datetime(9999, 12, 31, tzinfo=UTC)


LISTS = {
    "work orders": _pages(
        sorts={
            "created_at": lambda view: view.created_at,
            "due_at": _due,
            "priority": lambda view: [*WorkOrderPriority].index(view.priority),
            "title": lambda view: view.title,
        },
        several=[
            [Sort("created_at", descending=True), Sort("title", descending=True)],
            [Sort("created_at", descending=True), Sort("title")],
            [Sort("title"), Sort("due_at", descending=True)],
        ],
    ),
    "work orders due in a window": _pages(DUE, sorts={"due_at": _due}, rows=7_500),
}
