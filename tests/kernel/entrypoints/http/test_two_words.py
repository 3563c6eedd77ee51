"""A resource whose name has two words is described like any other: nothing is guessed from strings."""

from dataclasses import dataclass
from typing import Any, NewType
from uuid import UUID

import pytest
from fastapi import FastAPI

from domain.kernel.errors import NotFound
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId
from entrypoints.http.kernel.document.openapi import openapi_document
from entrypoints.http.kernel.routing.routes import Router
from entrypoints.settings import Settings

PurchaseOrderId = NewType("PurchaseOrderId", UUID)
OrderLineId = NewType("OrderLineId", UUID)


class PurchaseOrderNotFound(NotFound, of=PurchaseOrderId):
    """The purchase order does not exist."""


@dataclass(slots=True)
class PurchaseOrderView:
    """A purchase order."""

    id: PurchaseOrderId
    workspace_id: WorkspaceId
    ordered_by: UserId
    approver: UserId | None
    watchers: list[UserId]
    replaces: PurchaseOrderId | None
    version: int


@pytest.fixture
def document(app: FastAPI, settings: Settings) -> dict[str, Any]:
    router = Router(tag="purchase orders")

    @router.post("/workspaces/{workspace_id}/purchase_orders", location="/purchase_orders/{id}", public=True)
    async def create_purchase_order(workspace_id: WorkspaceId) -> PurchaseOrderView:
        """Creates one."""
        raise NotImplementedError

    @router.get("/purchase_orders/{purchase_order_id}", public=True)
    async def get_purchase_order(purchase_order_id: PurchaseOrderId) -> PurchaseOrderView:
        """Shows it."""
        raise NotImplementedError

    @router.delete("/purchase_orders/{purchase_order_id}/lines/{line}", public=True, missing=NotFound)
    async def delete_order_line(purchase_order_id: PurchaseOrderId, line: int) -> None:
        """Deletes a line."""

    app.router.routes.extend(router.routes)
    return openapi_document("v1", app.routes, settings)


def not_found(operation: dict[str, Any]) -> list[str]:
    return list(operation["responses"]["404"]["content"]["application/problem+json"]["examples"])


def test_what_is_not_found_is_what_the_type_of_the_last_id_names(document: dict[str, Any]) -> None:
    paths = document["paths"]
    create = paths["/v1/workspaces/{workspace_id}/purchase_orders"]["post"]
    assert not_found(create) == ["workspace-not-found"]
    get = paths["/v1/purchase_orders/{purchase_order_id}"]["get"]
    assert not_found(get) == ["purchase-order-not-found"]
    delete = paths["/v1/purchase_orders/{purchase_order_id}/lines/{line}"]["delete"]
    assert not_found(delete) == ["not-found"]


@pytest.mark.parametrize("kind", [OrderLineId, UUID, str])
def test_a_route_that_does_not_say_what_is_not_found_is_refused_at_once(kind: Any) -> None:
    async def get_order_line(purchase_order_id: PurchaseOrderId, line_id: Any) -> None: ...

    get_order_line.__annotations__["line_id"] = kind
    add = Router(tag="lines").get("/purchase_orders/{purchase_order_id}/lines/{line_id}", public=True)
    told = (
        r"^GET /v1/purchase_orders/{purchase_order_id}/lines/{line_id}: .* found by line_id\."
        rf".* class …NotFound\(NotFound, of={kind.__name__}\), or .* missing=…NotFound\.$"
    )
    with pytest.raises(TypeError, match=told):
        add(get_order_line)


def test_a_parameter_of_a_path_is_described_in_words(document: dict[str, Any]) -> None:
    parameters = document["paths"]["/v1/purchase_orders/{purchase_order_id}/lines/{line}"]["delete"]
    told = {parameter["name"]: parameter["description"] for parameter in parameters["parameters"]}
    assert told == {"purchase_order_id": "The id of the purchase order.", "line": "Its line."}
