"""Pages for people: complete without a network, and closed to everything else."""

import base64
import hashlib
import html
import re
from typing import Any

import pytest
from httpx2 import AsyncClient

from entrypoints.http.kernel.routing.problems import kinds


async def test_the_documentation_needs_nothing_from_elsewhere(client: AsyncClient) -> None:
    page = await client.get("/v1/docs")
    assert page.status_code == 200
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text) + re.findall(r"url: '([^']+)'", page.text)
    assert len(addresses) == 4
    assert not [address for address in addresses if ":" in address]
    for address in addresses:
        loaded = await client.get(f"/v1/{address}")
        assert loaded.status_code == 200
        assert len(loaded.content) > 1000


async def test_its_policy_allows_this_service_and_its_own_script_alone(client: AsyncClient) -> None:
    page = await client.get("/v1/docs")
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    (script,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == f"'self' 'sha256-{digest}'"
    assert policy["connect-src"] == "'self'"
    assert page.headers["cross-origin-opener-policy"] == "same-origin-allow-popups"
    assert "unsafe" not in page.headers["content-security-policy"]
    assert '"validatorUrl": null' in page.text


@pytest.mark.parametrize("name", ["swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"])
async def test_what_it_is_made_of_may_be_kept(client: AsyncClient, name: str) -> None:
    asset = await client.get(f"/v1/docs/{name}")
    assert asset.headers["cache-control"] == "public, max-age=86400"
    assert asset.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


@pytest.mark.parametrize("name", ["swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"])
async def test_what_a_browser_has_of_it_already_is_not_sent_again(client: AsyncClient, name: str) -> None:
    address = f"/v1/docs/{name}"
    asset = await client.get(address)
    for condition in (
        asset.headers["etag"],
        f"W/{asset.headers['etag']}",
        '"x", ' + asset.headers["etag"],
        "*",
    ):
        known = await client.get(address, headers={"if-none-match": condition})
        assert (known.status_code, known.content) == (304, b"")
        assert known.headers["etag"] == asset.headers["etag"]
        assert known.headers["cache-control"] == asset.headers["cache-control"]
    changed = await client.get(address, headers={"if-none-match": '"x"'})
    assert (changed.status_code, changed.content) == (200, asset.content)


async def test_every_problem_has_a_page_and_the_list_leads_to_it(client: AsyncClient) -> None:
    listed = await client.get("/problems")
    assert listed.status_code == 200
    addresses = re.findall(r'href="(problems/[^"]+)"', listed.text)
    assert [f"/{address}" for address in addresses] == [kind.type for kind in kinds()]
    for kind in kinds():
        page = await client.get(kind.type)
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        shown = re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(kind.title))
        assert shown in page.text
        assert shown in listed.text
        assert "`" not in page.text + listed.text
        assert f"HTTP status {kind.status} " in page.text


async def test_the_page_of_a_problem_leads_to_the_operations_that_answer_it(
    client: AsyncClient, document: dict[str, Any]
) -> None:
    page = await client.get("/problems/specimen-order-transition-not-allowed")
    found = re.findall(r'href="../v1/docs#/specimen_orders/([^"]+)"', page.text)
    assert found == [
        "cancel_specimen_order",
        "complete_specimen_order",
        "reopen_specimen_order",
        "start_specimen_order",
    ]
    assert "POST /v1/specimen_orders/{specimen_order_id}/completion" in page.text
    assert "<h2>Where</h2>" not in (await client.get("/problems/key-in-use")).text  # of the commands


async def test_pages_about_problems_hold_nothing_but_their_own_style(client: AsyncClient) -> None:
    for address in ("/problems", "/problems/stale"):
        page = await client.get(address)
        (style,) = re.findall(r"<style>(.*?)</style>", page.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        policy = page.headers["content-security-policy"]
        assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'; ")
        assert "unsafe" not in policy
        assert not re.findall(r"<script|src=|(?:href|url\()=?.?(?:https?:)?//", page.text)


async def test_the_type_of_a_problem_leads_to_its_page(client: AsyncClient) -> None:
    problem = (await client.get("/nowhere")).json()
    assert (await client.get(problem["type"])).status_code == 200


async def test_the_page_to_return_to_talks_to_the_one_that_opened_it_and_nothing_else(
    client: AsyncClient,
) -> None:
    docs = await client.get("/v1/docs")
    (path,) = re.findall(r"oauth2RedirectUrl: window.location.origin \+ '([^']+)'", docs.text)
    page = await client.get(path)
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    (script,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy["script-src"] == f"'self' 'sha256-{digest}'"
    assert policy["connect-src"] == "'self'"
    assert page.headers["cross-origin-opener-policy"] == "unsafe-none"
