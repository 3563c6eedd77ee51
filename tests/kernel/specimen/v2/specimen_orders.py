"""SpecimenOrders, of which the second version shows less."""

from dataclasses import dataclass

from entrypoints.http.kernel.routing.dependencies import Actor
from entrypoints.http.kernel.routing.routes import Router
from kernel.specimen.domain.specimen_orders import SpecimenOrderId, SpecimenOrderStatus
from kernel.specimen.service import Ask

router = Router(tag="specimen_orders", prefix="/v2")


@dataclass(slots=True)
class SpecimenOrderSummary:
    """What most people want to know of a specimen order."""

    id: SpecimenOrderId
    heading: str
    status: SpecimenOrderStatus
    version: int


@router.get("/specimen_orders/{specimen_order_id}")
async def get_specimen_order(
    specimen_order_id: SpecimenOrderId, actor: Actor, ask: Ask
) -> SpecimenOrderSummary:
    """Any member may see a specimen order, at a glance."""
    specimen_order = await ask.specimen_orders.get(actor.user_id, specimen_order_id)
    return SpecimenOrderSummary(
        specimen_order.id, specimen_order.title, specimen_order.status, specimen_order.version
    )
