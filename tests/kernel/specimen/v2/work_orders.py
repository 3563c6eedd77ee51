"""WorkOrders, of which the second version shows less."""

from dataclasses import dataclass

from entrypoints.http.kernel.routing.dependencies import Actor
from entrypoints.http.kernel.routing.routes import Router
from kernel.specimen.domain.work_orders import WorkOrderId, WorkOrderStatus
from kernel.specimen.service import Ask

router = Router(tag="work_orders", prefix="/v2")


@dataclass(slots=True)
class WorkOrderSummary:
    """What most people want to know of a work order."""

    id: WorkOrderId
    heading: str
    status: WorkOrderStatus
    version: int


@router.get("/work_orders/{work_order_id}")
async def get_work_order(work_order_id: WorkOrderId, actor: Actor, ask: Ask) -> WorkOrderSummary:
    """Any member may see a work order, at a glance."""
    work_order = await ask.work_orders.get(actor.user_id, work_order_id)
    return WorkOrderSummary(work_order.id, work_order.title, work_order.status, work_order.version)
