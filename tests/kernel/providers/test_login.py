"""Logging in through a provider that nobody here wrote: as a program would, and in a real browser."""

import base64
import hashlib
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from httpx2 import AsyncClient, Response

from kernel.providers.chromium import Browser, a_browser, chromium
from kernel.providers.openid_provider import (
    BROWSER,
    MOST_STEPS,
    PORTAL,
    PORTAL_SECRET,
    OpenIdProvider,
    an_openid_provider,
    free_port,
)
from kernel.providers.services import Service, a_service
from kernel.servers.browser import Browser as CookieJar
from kernel.world.provider import ProviderServer
from kernel.world.provider import answer as page_of

VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class World:
    """A provider, our service that knows it, and a front end on an origin of its own."""

    provider: OpenIdProvider
    service: Service
    app: str


@asynccontextmanager
async def a_world(database_url: str, **settings: str) -> AsyncIterator[World]:
    port, front_end = free_port(), ProviderServer()
    front_end.paths["/welcome"] = page_of(b"<!doctype html><title>Welcome</title>", content_type="text/html")
    await front_end.start()
    app = f"http://localhost:{front_end.port}"
    callback = f"http://localhost:{port}/v1/auth/providers/oidc/callback"
    async with an_openid_provider(redirects=[callback]) as provider:
        known = {"OIDC_ISSUER": provider.issuer, "OIDC_AUDIENCE": "shop", "CORS_ORIGINS": app}
        async with a_service(database_url, {**known, **settings}, port=port) as service:
            yield World(provider, service, app)
    await front_end.stop()


async def go(world: World, jar: CookieJar, **asked: str) -> Response:
    """The answer that leads back to the front end, after the provider's forms."""
    address = {"return_to": f"{world.app}/welcome", **asked}
    answer = await jar.get("/v1/auth/providers/oidc/authorize", params=address)
    async with AsyncClient(timeout=60) as http:
        for _ in range(MOST_STEPS):
            if answer.is_redirect:
                there = str(answer.url.join(answer.headers["location"]))
                if there.startswith(world.service.url):
                    return await jar.get(there.removeprefix(world.service.url))
                answer = await http.get(there)
            else:
                action, form = _filled_in(answer)
                answer = await http.post(action, data=form)
    raise AssertionError("The log-in does not end.")


def _filled_in(answer: Response) -> tuple[str, dict[str, str]]:
    action = re.search(r'action="([^"]+)"', answer.text)
    prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
    assert action is not None, answer.text
    assert prompt is not None, answer.text
    form = {"prompt": prompt[1], "login": "subject-of-ada", "password": "any will do"}
    return str(answer.url.join(action[1])), form


CLIENTS = {
    "public": {"OIDC_CLIENT_ID": BROWSER},
    "with a secret": {"OIDC_CLIENT_ID": PORTAL, "OIDC_CLIENT_SECRET": PORTAL_SECRET},
}


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS.keys())
async def test_a_log_in_there_ends_in_our_own_tokens(empty_database_url: str, client: dict[str, str]) -> None:
    async with a_world(empty_database_url, **client) as world:
        jar = CookieJar(world.service.client, origin=world.app)
        arrived = await go(world, jar, mode="tokens", challenge=CHALLENGE)
        code = dict(parse_qsl(urlsplit(arrived.headers["location"]).fragment))["code"]
        pair = await world.service.post("/v1/auth/exchange", {"code": code, "verifier": VERIFIER})
        assert pair.status_code == 200, pair.text
        shown = await world.service.get("/v1/me", pair.json()["access_token"])
        assert (shown.status_code, shown.json()["display_name"]) == (200, "Ada"), world.service.log()


async def test_a_log_in_there_ends_in_our_own_cookie(empty_database_url: str) -> None:
    async with a_world(empty_database_url, **CLIENTS["public"]) as world:
        jar = CookieJar(world.service.client, origin=world.app)
        arrived = await go(world, jar, mode="cookie")
        assert arrived.headers["location"] == f"{world.app}/welcome"
        assert list(jar.cookies) == ["__Host-session"]
        assert (await jar.get("/v1/me")).json()["display_name"] == "Ada"
        token = {"x-csrf-token": await jar.csrf_token()}
        changed = await jar.send("PATCH", "/v1/me", json={"display_name": "Countess"}, headers=token)
        assert changed.status_code == 200, changed.text


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    if chromium() is None:
        missing = "There is no Chromium here: apt install chromium."
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    async with a_browser() as browser:
        yield browser


def fetch(world: World, path: str, **options: Any) -> str:
    """An expression: the status of an answer and what it says, to a page that sends its cookies along."""
    more = ", ".join(f"{name}: {value}" for name, value in options.items())
    return (
        f"fetch('{world.service.url}{path}', {{credentials: 'include', {more}}})"
        ".then(async r => [r.status, await r.text()])"
    )


async def test_a_page_of_another_origin_works_with_the_cookie_in_a_real_browser(
    empty_database_url: str, browser: Browser
) -> None:
    async with a_world(empty_database_url, **CLIENTS["public"]) as world:
        page = await browser.open(
            f"{world.service.url}/v1/auth/providers/oidc/authorize?mode=cookie&return_to={world.app}/welcome"
        )
        await page.type("document.querySelector('input[name=login]')", "subject-of-ada")
        await page.type("document.querySelector('input[name=password]')", "any will do")
        await page.click("document.querySelector('button[type=submit]')")
        await page.until("document.querySelector('input[name=prompt][value=consent]')")
        await page.click("document.querySelector('button[type=submit]')")
        await page.until("document.title === 'Welcome'")
        assert await page.value("location.href") == f"{world.app}/welcome"
        assert await page.value("document.cookie") == "", "no script reads it"

        status, text = await page.value(fetch(world, "/v1/me"))
        assert (status, '"display_name":"Ada"' in text) == (200, True), text
        body = '\'{"display_name": "Countess"}\''
        change = {"method": "'PATCH'", "body": body}
        kind = "'content-type': 'application/json'"
        status, text = await page.value(fetch(world, "/v1/me", headers=f"{{{kind}}}", **change))
        assert (status, "csrf-token-missing" in text) == (403, True), text

        token = f"(await {fetch(world, '/v1/auth/cookie')}.then(([, text]) => JSON.parse(text))).csrf_token"
        await page.value(f"(async () => {{ window.token = {token} }})()")
        headers = f"{{{kind}, 'x-csrf-token': window.token}}"
        status, text = await page.value(fetch(world, "/v1/me", headers=headers, **change))
        assert (status, "Countess" in text) == (200, True), text

        status, _ = await page.value(
            fetch(world, "/v1/auth/cookie", method="'DELETE'", headers="{'x-csrf-token': window.token}")
        )
        assert status == 204
        status, _ = await page.value(fetch(world, "/v1/me"))
        assert status == 401, "the browser has forgotten the cookie"
