"""Pages for people: complete without a network, and closed to everything else."""

import base64
import hashlib
import re

import pytest
from httpx2 import AsyncClient

from entrypoints.http.problems import kinds


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


async def test_every_problem_has_a_page_and_the_list_leads_to_it(client: AsyncClient) -> None:
    listed = await client.get("/problems")
    assert listed.status_code == 200
    addresses = re.findall(r'href="(/problems/[^"]+)"', listed.text)
    assert addresses == [kind.type for kind in kinds()]
    page = await client.get("/problems/task-not-found")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "There is no such task, or it is not in a workspace of yours." in page.text
    assert "404" in page.text


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
