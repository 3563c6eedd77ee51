"""`?profile` in development: the page in the place of the answer, and the request as it would have been."""

from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient

from entrypoints.http.kernel.server import profiling
from entrypoints.settings import Settings
from kernel.specimen.domain.specimen_orders import SpecimenOrder
from kernel.specimen.service import Container, create_app

PRODUCTION = {
    "environment": "production",
    "auth_secret": "Wm9vbGVuIHJpdmVycyBydW4gZGVlcCBhdCBuaWdodA",
    "public_url": "https://api.example.com",
    "trusted_proxies": "none",
    "mailer": "smtp",
    "smtp_host": "localhost",
    "mail_from": "noreply@example.com",
}


@pytest.fixture
def browser(member: AsyncClient) -> AsyncClient:
    """The member's, without what holds each answer against the document: that says nothing of the page."""
    member.event_hooks = {}
    return member


@pytest.mark.parametrize("query", ["profile", "limit=5&profile", "profile=1&limit=5"])
async def test_a_request_shows_where_its_time_goes(
    browser: AsyncClient, specimen_order: SpecimenOrder, query: str
) -> None:
    path = f"/v1/workspaces/{specimen_order.workspace_id}/specimen_orders"

    page = await browser.get(f"{path}?{query}")

    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert f"<title>GET {path} was answered 200</title>" in page.text
    assert "specimen_orders.py" in page.text
    assert "connect-src" not in page.headers["content-security-policy"]
    assert "default-src 'none'" in page.headers["content-security-policy"]


async def test_what_it_is_refused_for_is_told(browser: AsyncClient) -> None:
    assert "was answered 422</title>" in (await browser.get("/v1/workspaces?profile&nothing=1")).text


async def test_without_the_profiler_it_is_a_parameter_like_any_other(
    app: FastAPI, member: AsyncClient, specimen_order: SpecimenOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/v1/workspaces/{specimen_order.workspace_id}/specimen_orders"
    monkeypatch.setattr(profiling, "find_spec", lambda _: None)
    assert not profiling.is_available()
    app._profiles = False  # type: ignore[attr-defined]
    app.middleware_stack = app.build_middleware_stack()

    assert (await member.get(f"{path}?profile")).status_code == 422


@pytest.mark.parametrize(("settings", "shown"), [({}, True), (PRODUCTION, False)])
async def test_in_production_there_is_none(settings: dict[str, Any], shown: bool) -> None:
    made = Settings(_env_file=None, database_url="postgresql://nobody@127.0.0.1:1/nothing", **settings)
    transport = ASGITransport(app=create_app(Container(settings=made)))
    async with AsyncClient(transport=transport, base_url="https://api.example.com") as client:
        answer = await client.get("/problems/not-found?profile")
    assert answer.status_code == 200
    assert ("was answered 200</title>" in answer.text) is shown
