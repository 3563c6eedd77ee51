"""Versions of the API: a later one overrides single routes, and what is deprecated says so."""

from datetime import date

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient

from domain.kernel.errors import NotFound
from entrypoints.http.kernel.routing.routes import Deprecation, Router
from entrypoints.http.kernel.server.app import Service, versioned_routes, with_kernel
from kernel.specimen import v2
from kernel.specimen.domain.specimen_orders import SpecimenOrder
from kernel.specimen.service import Container, versions
from kernel.specimen.v2 import specimen_orders as second_specimen_orders
from kernel.world.builders import Team

BOTH = {**versions(), "v2": (v2,)}


@pytest.fixture
async def app(container: Container) -> FastAPI:
    return Service(container, BOTH)


async def test_a_later_version_has_its_own_route_and_the_first_keeps_its(
    member: AsyncClient, specimen_order: SpecimenOrder
) -> None:
    first = (await member.get(f"/v1/specimen_orders/{specimen_order.id}")).json()
    second = (await member.get(f"/v2/specimen_orders/{specimen_order.id}")).json()
    assert second == {"id": str(specimen_order.id), "heading": first["title"], "status": "open", "version": 1}


async def test_a_later_version_inherits_what_it_does_not_override(member: AsyncClient, team: Team) -> None:
    created = await member.post(f"/v2/workspaces/{team.workspace.id}/specimen_orders", json={"title": "Spin"})
    assert (created.status_code, created.headers["location"]) == (
        201,
        f"/v2/specimen_orders/{created.json()['id']}",
    )
    assert (await member.get(created.headers["location"])).json()["heading"] == "Spin"
    page = await member.get(f"/v2/workspaces/{team.workspace.id}/specimen_orders", params={"limit": 1})
    assert [item["title"] for item in page.json()["items"]] == ["Spin"]


def test_what_differs_may_call_what_is_in_its_path_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    router = Router(tag="specimen_orders", prefix="/v2")

    @router.get("/specimen_orders/{id}", public=True, missing=NotFound)
    async def get_specimen_order(id: str) -> dict[str, str]:
        return {"id": id}

    monkeypatch.setattr(second_specimen_orders, "router", router)
    routes = [
        route.path for route in versioned_routes(with_kernel(BOTH)) if route.name == "get_specimen_order"
    ]
    assert routes == ["/v1/specimen_orders/{specimen_order_id}", "/v2/specimen_orders/{id}"]


def test_versions_have_the_same_operations_and_documents_of_their_own(app: Service) -> None:
    first, second = app.openapi("v1"), app.openapi("v2")
    moved = {
        path.replace("/v1/", "/v2/") for path, item in first["paths"].items() if "oauth" not in str(item)
    }
    assert set(second["paths"]) == moved
    shown = second["paths"]["/v2/specimen_orders/{specimen_order_id}"]["get"]["responses"]["200"]["content"][
        "application/json"
    ]
    assert shown["schema"] == {"$ref": "#/components/schemas/SpecimenOrderSummary"}
    assert "SpecimenOrderSummary" not in first["components"]["schemas"]


async def test_each_version_has_its_page(client: AsyncClient) -> None:
    for version in ("v1", "v2"):
        document = await client.get(f"/{version}/openapi.json")
        assert all(path.startswith(f"/{version}/") for path in document.json()["paths"])
        page = await client.get(f"/{version}/docs")
        assert page.status_code == 200
        assert (await client.get(f"/{version}/docs/swagger-ui-bundle.js")).status_code == 200


def test_a_router_that_forgot_its_version_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_specimen_orders, "router", Router(tag="specimen_orders"))
    versions = with_kernel(BOTH)
    with pytest.raises(TypeError, match=r"prefix /v1 \(tag specimen_orders\) is in the package of v2"):
        list(versioned_routes(versions))


GOING = Deprecation(since=date(2026, 11, 1), sunset=date(2027, 5, 1), link="https://example.com/v2")


async def test_what_is_deprecated_says_so_on_every_answer(app: FastAPI, client: AsyncClient) -> None:
    router = Router(tag="test", prefix="/test")

    @router.get("/old/{number}", public=True, missing=NotFound, deprecated=GOING)
    async def get_old(number: int) -> dict[str, int]:
        if number == 0:
            raise NotFound
        return {"number": number}

    app.router.routes.extend(router.routes)
    for path, status in (("1", 200), ("0", 404), ("x", 422)):
        answer = await client.get(f"/test/old/{path}")
        assert answer.status_code == status
        assert answer.headers["deprecation"] == "@1793491200"
        assert answer.headers["sunset"] == "Sat, 01 May 2027 00:00:00 GMT"
        assert answer.headers["link"] == '<https://example.com/v2>; rel="deprecation"; type="text/html"'


def test_what_is_deprecated_is_so_in_the_document() -> None:
    router = Router(tag="test")

    @router.get("/old", public=True, deprecated=GOING)
    async def get_old() -> dict[str, int]:
        return {}

    @router.get("/new", public=True)
    async def get_new() -> dict[str, int]:
        return {}

    old, new = router.routes
    assert (old.deprecated, new.deprecated) == (True, None)
    assert {"Deprecation", "Sunset"} <= old.responses[200]["headers"].keys()
    assert new.responses.get(200, {}) == {}
