"""Specimen orders: all that the suites need to know of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from application.kernel.admission import NotPermitted
from application.kernel.paging import PageRequest, Sort
from domain.kernel.aggregate import Aggregate
from kernel.specimen.builders import a_specimen_order
from kernel.specimen.commands.specimen_orders import (
    cancel_specimen_order,
    complete_specimen_order,
    create_specimen_order,
    delete_specimen_order,
    edit_specimen_order,
    reopen_specimen_order,
    start_specimen_order,
)
from kernel.specimen.domain.specimen_orders import (
    SpecimenOrder,
    SpecimenOrderId,
    SpecimenOrderNotFound,
    SpecimenOrderPriority,
    SpecimenOrderStatus,
)
from kernel.specimen.queries.specimen_orders import SpecimenOrderFilter, SpecimenOrderView
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


def specimen_order_example() -> Example:
    team = a_team()
    specimen_order = a_specimen_order(
        workspace_id=team.workspace.id,
        title="Weave",
        description="Flowers\n\tand leaves 🌿",
        status=SpecimenOrderStatus.DONE,
        priority=SpecimenOrderPriority.URGENT,
        due_at=LATER,
        assignee_id=team.member.user_id,
        labels=("card", "loom"),
        created_by=team.owner.user_id,
        updated_at=LATER,
        finished_at=LATER,
    )
    changed = replace(
        specimen_order,
        title="Unweave",
        description="",
        status=SpecimenOrderStatus.IN_PROGRESS,
        priority=SpecimenOrderPriority.LOW,
        due_at=None,
        assignee_id=None,
        labels=(),
        updated_at=LATER + timedelta(days=1),
        finished_at=None,
    )
    return Example(team.aggregates, specimen_order, changed, SpecimenOrderNotFound)


EXAMPLES = [specimen_order_example]


# ── the world ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Made:
    specimen_order: SpecimenOrder
    done: SpecimenOrder


def of(world: World) -> Made:
    """A specimen order that is open, unless it is about to be reopened, and one that is done."""
    reopened = world.operation == "POST /v1/specimen_orders/{specimen_order_id}/reopening"
    about: dict[str, Any] = {"workspace_id": world.workspace_id, "created_by": world.member}
    return world.once(
        Made,
        lambda: Made(
            specimen_order=a_specimen_order(
                **about,
                id=SpecimenOrderId(world.id("specimen_order")),
                status=SpecimenOrderStatus.DONE if reopened else SpecimenOrderStatus.OPEN,
            ),
            done=a_specimen_order(**about, status=SpecimenOrderStatus.DONE),
        ),
    )


def stored(world: World) -> Sequence[Aggregate]:
    return [of(world).specimen_order, of(world).done]


def crowd(world: World, count: int) -> Sequence[Aggregate]:
    return [
        a_specimen_order(workspace_id=world.workspace_id, created_by=world.owner, assignee_id=world.member)
        for _ in range(count)
    ]


def places(world: World) -> Places:
    return {"specimen_order_id": of(world).specimen_order.id, "done_specimen_order_id": of(world).done.id}


PEOPLE = ["assignee_id"]

MATRIX: Matrix = {
    "POST /v1/workspaces/{workspace_id}/specimen_orders": in_a_workspace(
        "member", 201, weak=("viewer", 403), send=json(title="Spin")
    ),
    "GET /v1/workspaces/{workspace_id}/specimen_orders": in_a_workspace("viewer", weak=None),
    "GET /v1/specimen_orders/{specimen_order_id}": in_a_workspace("viewer", weak=None),
    "PATCH /v1/specimen_orders/{specimen_order_id}": in_a_workspace(
        "member", weak=("viewer", 403), send=json(title="Spin")
    ),
    "DELETE /v1/specimen_orders/{specimen_order_id}": in_a_workspace("member", 204, weak=("viewer", 403)),
    "POST /v1/specimen_orders/{specimen_order_id}/start": in_a_workspace("member", weak=("viewer", 403)),
    "POST /v1/specimen_orders/{specimen_order_id}/completion": in_a_workspace("member", weak=("viewer", 403)),
    "POST /v1/specimen_orders/{specimen_order_id}/cancellation": in_a_workspace(
        "member", weak=("viewer", 403)
    ),
    "POST /v1/specimen_orders/{specimen_order_id}/reopening": in_a_workspace(
        "member", weak=("viewer", 403), at={"specimen_order_id": "done_specimen_order_id"}
    ),
}


# ── statements ───────────────────────────────────────────────────────────────────────────────────


async def _refused(it: Stage) -> None:
    with pytest.raises(NotPermitted):
        await it.run(create_specimen_order, it.team.viewer, it.team.workspace.id, title="Spin")


COMMANDS: Statements = {
    # standing, change
    "create_specimen_order": (
        2,
        lambda it: it.run(create_specimen_order, it.team.member, it.team.workspace.id, title="Spin"),
    ),
    # that the assignee is a member is the foreign key's to see to
    "create_specimen_order, assigned": (
        2,
        lambda it: it.run(
            create_specimen_order,
            it.team.member,
            it.team.workspace.id,
            title="Spin",
            assignee_id=it.team.admin.user_id,
        ),
    ),
    # standing
    "create_specimen_order, refused": (1, _refused),
    # specimen order, standing, change
    "edit_specimen_order": (
        3,
        lambda it: it.run(edit_specimen_order, it.team.member, of(it.world).specimen_order.id, title="Spin"),
    ),
    "edit_specimen_order, another assignee": (
        3,
        lambda it: it.run(
            edit_specimen_order,
            it.team.member,
            of(it.world).specimen_order.id,
            assignee_id=it.team.admin.user_id,
            title="Spin",
        ),
    ),
    "edit_specimen_order, the same": (
        2,
        lambda it: it.run(
            edit_specimen_order,
            it.team.member,
            of(it.world).specimen_order.id,
            title=of(it.world).specimen_order.title,
        ),
    ),
    "start_specimen_order": (
        3,
        lambda it: it.run(start_specimen_order, it.team.member, of(it.world).specimen_order.id),
    ),
    "complete_specimen_order": (
        3,
        lambda it: it.run(complete_specimen_order, it.team.member, of(it.world).specimen_order.id),
    ),
    "cancel_specimen_order": (
        3,
        lambda it: it.run(cancel_specimen_order, it.team.member, of(it.world).specimen_order.id),
    ),
    "reopen_specimen_order": (
        3,
        lambda it: it.run(reopen_specimen_order, it.team.member, of(it.world).done.id),
    ),
    "delete_specimen_order": (
        3,
        lambda it: it.run(delete_specimen_order, it.team.member, of(it.world).specimen_order.id),
    ),
}

QUERIES: Statements = {
    "specimen_orders.get": (
        1,
        lambda it: it.ask.specimen_orders.get(it.team.viewer.user_id, of(it.world).specimen_order.id),
    ),
    "specimen_orders.page": (
        1,
        lambda it: it.ask.specimen_orders.page(
            it.team.viewer.user_id,
            it.team.workspace.id,
            SpecimenOrderFilter(),
            [Sort("title")],
            PageRequest(limit=20),
        ),
    ),
}

FILLINGS: Mapping[str, str] = {}


# ── lists ────────────────────────────────────────────────────────────────────────────────────────

FILLED = SpecimenOrderId(UUID(int=1))
"""The first that FILL makes."""

FILL = {
    "specimen_orders": """
        INSERT INTO specimen_orders
            (id, workspace_id, title, description, status, priority, due_at, labels, created_by,
             created_at, updated_at, version)
        SELECT CASE WHEN n = 1 THEN '00000000-0000-0000-0000-000000000001'::uuid ELSE gen_random_uuid() END,
               :workspace, 'Specimen order ' || (n / 2 * 7919 % 5000), '', 'open',
               (ARRAY['low', 'normal', 'high', 'urgent'])[1 + n % 4],
               CASE WHEN n % 4 = 0 THEN NULL ELSE :now + (n / 2 * 7907 % 5000) * interval '1 minute' END,
               '{}', :owner, :at, :now, 1
        FROM generate_series(1, 10000) AS n
    """,
}
DUE = SpecimenOrderFilter(due_after=NOW, due_before=NOW.replace(year=2030))


def _pages(where: SpecimenOrderFilter | None = None, **more: Any) -> Listed[SpecimenOrderView]:
    return Listed(
        table="specimen_orders",
        ask=lambda world, sort, page: world.ask.specimen_orders.page(
            world.team.viewer.user_id, world.team.workspace.id, where or SpecimenOrderFilter(), sort, page
        ),
        **more,
    )


def _due(view: SpecimenOrderView) -> datetime:
    return view.due_at or datetime(9999, 12, 31, tzinfo=UTC)


LISTS = {
    "specimen orders": _pages(
        sorts={
            "created_at": lambda view: view.created_at,
            "due_at": _due,
            "priority": lambda view: [*SpecimenOrderPriority].index(view.priority),
            "title": lambda view: view.title,
        },
        several=[
            [Sort("created_at", descending=True), Sort("title", descending=True)],
            [Sort("created_at", descending=True), Sort("title")],
            [Sort("title"), Sort("due_at", descending=True)],
        ],
    ),
    "specimen orders due in a window": _pages(DUE, sorts={"due_at": _due}, rows=7_500),
}
