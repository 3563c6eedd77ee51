"""Work orders: all that the suites need to know of them."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from application.kernel.paging import Sort
from kernel.specimen.domain.work_orders import WorkOrderId, WorkOrderPriority
from kernel.specimen.queries.work_orders import WorkOrderFilter, WorkOrderView
from kernel.world.builders import NOW
from kernel.world.resources import Listed

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
