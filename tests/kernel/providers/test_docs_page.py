"""The documentation page's "Authorize", in a real browser: every click is one that a person would make."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kernel.providers.chromium import Browser, Page, a_browser, chromium
from kernel.providers.openid_provider import BROWSER, OpenIdProvider, an_openid_provider, free_port
from kernel.providers.services import PASSWORD, Service, a_service, register, trusting

SCREENSHOTS = os.environ.get("SCREENSHOTS", "")


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    if chromium() is None:
        missing = "There is no Chromium here: apt install chromium."
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    async with a_browser() as browser:
        yield browser


def labelled(title: str) -> str:
    """The part of the dialog under this heading."""
    return f"[...document.querySelectorAll('.auth-container')].find(e => e.innerText.includes({title!r}))"


async def open_dialog(browser: Browser, service: Service, *, flow: str) -> Page:
    """Once the page has read what there is to log in with; the dialog shows what is known when it opens."""
    page = await browser.open(f"{service.url}/v1/docs")
    await page.until("document.querySelector('.btn.authorize')")
    await page.until(f"JSON.stringify(ui.authSelectors.definitionsToAuthorize()).includes('{flow}')")
    await page.click("document.querySelector('.btn.authorize')")
    await page.until("document.querySelector('.modal-ux')")
    return page


async def try_out(page: Page, operation: str) -> str:
    """Sends what the page suggests, and returns what it shows of the answer: `tag-operation_id`."""
    shown = f"document.querySelector('#operations-{operation}')"
    await page.click(f"{shown}.querySelector('.opblock-summary-control')")
    await page.click(f"{shown}.querySelector('.try-out__btn')")
    await page.click(f"{shown}.querySelector('.execute')")
    answer = f"{shown}.querySelector('.live-responses-table .response')"
    await page.until(f"{answer}?.innerText")
    return str(await page.value(f"{answer}.innerText"))


async def keep(page: Page, name: str) -> None:
    """A picture for whoever wants to see it: SCREENSHOTS=folder."""
    if SCREENSHOTS:
        Path(SCREENSHOTS, f"{name}.png").write_bytes(await page.screenshot())  # noqa: ASYNC240


async def test_it_logs_in_with_the_built_in_provider(empty_database_url: str, browser: Browser) -> None:
    async with a_service(empty_database_url) as service:
        await register(service, "ada@example.com", "Ada")
        page = await open_dialog(browser, service, flow="password")
        password = labelled("password (OAuth2, password)")
        await page.type(f"{password}.querySelector('#oauth_username')", "ada@example.com")
        await page.type(f"{password}.querySelector('#oauth_password')", PASSWORD)
        await keep(page, "password")
        await page.click(f"{password}.querySelector('button.authorize')")
        await page.until(f"{password}.innerText.includes('Logout')")
        await page.click("document.querySelector('.btn-done')")
        shown = await try_out(page, "users-get_profile")
        await keep(page, "password-done")
        assert shown.startswith("200"), shown
        assert '"email": "ada@example.com"' in shown
        created = await try_out(page, "workspaces-create_workspace")
        await keep(page, "example-done")
        assert created.startswith("201"), created
        assert '"slug": "analytical-engines"' in created
        assert page.complaints == []


async def test_pages_about_problems_are_as_they_are_meant_to_be(
    empty_database_url: str, browser: Browser
) -> None:
    async with a_service(empty_database_url) as service:
        page = await browser.open(f"{service.url}/problems")
        await page.until("document.querySelector('h1')?.innerText == 'Problems'")
        await keep(page, "problems")
        await page.click("[...document.querySelectorAll('a')].find(e => e.innerText == 'workspace-archived')")
        await page.until("document.querySelector('h1')?.innerText == 'workspace-archived'")
        await keep(page, "problem")
        assert await page.value("getComputedStyle(document.querySelector('pre')).overflow") == "auto"
        await page.click("[...document.querySelectorAll('a')].find(e => e.innerText == 'Archive workspace')")
        await page.until("document.querySelector('#operations-workspaces-archive_workspace.is-open')")
        await keep(page, "operation")
        assert page.complaints == []


async def test_it_logs_in_at_an_external_provider(empty_database_url: str, browser: Browser) -> None:
    port = free_port()
    returns = f"http://localhost:{port}/v1/docs/oauth2-redirect.html"
    async with an_openid_provider(redirects=[returns]) as provider:
        settings = trusting(provider, OIDC_DOCS_CLIENT_ID=BROWSER)
        async with a_service(empty_database_url, settings, port=port) as service:
            page = await open_dialog(browser, service, flow="authorization_code")
            code = labelled("oidc (OAuth2, authorization_code with PKCE)")
            await page.until(code)
            await keep(page, "oidc")
            await page.click(f"{code}.querySelector('button.authorize')")
            await log_in_there(browser, provider)
            await page.until(f"{code}.innerText.includes('Logout')")
            await page.click("document.querySelector('.btn-done')")
            shown = await try_out(page, "users-get_profile")
            await keep(page, "oidc-done")
            assert shown.startswith("200"), shown
            assert '"display_name": "Ada"' in shown
            assert page.complaints == []


async def log_in_there(browser: Browser, provider: OpenIdProvider) -> None:
    """In the window that has opened; it closes by itself when the code has been handed over."""
    window = await browser.window_at(provider.url)
    await window.type("document.querySelector('input[name=login]')", "subject-of-ada")
    await window.type("document.querySelector('input[name=password]')", "any will do")
    await keep(window, "provider")
    await window.click("document.querySelector('button[type=submit]')")
    await window.until("document.querySelector('input[name=prompt][value=consent]')")
    await window.click("document.querySelector('button[type=submit]')")
