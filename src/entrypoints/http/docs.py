"""Pages for people: the API to try out, and what each kind of problem means. They need no network."""

import re
from asyncio import timeout
from base64 import b64encode
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

import fastapi_offline
from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html, get_swagger_ui_oauth2_redirect_html
from fastapi.responses import FileResponse, HTMLResponse

from application.ports import Unavailable
from entrypoints.http.authorize import authorization, docs_provider, origins_of
from entrypoints.http.dependencies import ProviderMetadata, settings_of
from entrypoints.http.documentation import PUBLIC
from entrypoints.http.problems import PAGES, PathNotFound, kinds

# The package brings Swagger UI's files along; its own page is not used.
ASSETS = Path(fastapi_offline.__file__).parent / "static"
_NAMES = frozenset({"swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"})

_RETURN = "/v1/docs/oauth2-redirect.html"
_METADATA_SECONDS = 1.0  # the page is there without a provider, too

router = APIRouter(include_in_schema=False)


@router.get("/v1/docs", openapi_extra=PUBLIC)
async def get_documentation(request: Request, metadata: ProviderMetadata) -> HTMLResponse:
    """Swagger UI. It works behind any prefix: only the address that a provider is told is not relative."""
    settings = settings_of(request)
    provider = docs_provider(settings)
    page = get_swagger_ui_html(
        title=request.app.title,
        openapi_url="openapi.json",
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="docs/favicon.png",
        oauth2_redirect_url=urlsplit(settings.public_url).path + _RETURN,
        init_oauth=None if provider is None else authorization(provider),
        # Otherwise it shows the document to a validator on the Internet.
        swagger_ui_parameters={"validatorUrl": None},
    )
    origins: set[str] = set()
    if provider is not None:
        origins.update(origins_of(provider))
        with suppress(Unavailable, TimeoutError):
            async with timeout(_METADATA_SECONDS):
                origins.update(origins_of(provider, await metadata(provider.issuer)))
    page.headers["content-security-policy"] = _policy(bytes(page.body).decode(), talks_to=sorted(origins))
    # The window in which somebody logs in hands the code to this one.
    page.headers["cross-origin-opener-policy"] = "same-origin-allow-popups"
    return page


@router.get(_RETURN, openapi_extra=PUBLIC)
async def get_return_page() -> HTMLResponse:
    """Where a provider sends the window back in which somebody has logged in."""
    page = get_swagger_ui_oauth2_redirect_html()
    page.headers["content-security-policy"] = _policy(bytes(page.body).decode())
    page.headers["cross-origin-opener-policy"] = "unsafe-none"
    return page


@router.get("/v1/docs/{name}", openapi_extra=PUBLIC)
async def get_asset(name: str) -> FileResponse:
    """A file that the documentation needs."""
    if name not in _NAMES:
        raise PathNotFound
    return FileResponse(ASSETS / name, headers={"cache-control": "public, max-age=86400"})


@router.get(PAGES, openapi_extra=PUBLIC)
async def list_problems() -> HTMLResponse:
    """Every kind of problem."""
    rows = (
        f'<tr><td>{kind.status}<td><a href="{PAGES}/{kind.code}">{kind.code}</a><td>{escape(kind.title)}'
        for kind in kinds()
    )
    return _page("Problems", f"<table><tr><th>Status<th>Code<th>Meaning{''.join(rows)}</table>")


@router.get(PAGES + "/{code}", openapi_extra=PUBLIC)
async def get_problem(code: str) -> HTMLResponse:
    """One kind of problem: where `type` in a problem points to."""
    kind = next((kind for kind in kinds() if kind.code == code), None)
    if kind is None:
        raise PathNotFound
    return _page(
        kind.code, f'<p>{escape(kind.title)}<p>HTTP status {kind.status}<p><a href="{PAGES}">All</a>'
    )


def _page(title: str, body: str) -> HTMLResponse:
    return HTMLResponse(f'<!doctype html><html lang="en"><title>{title}</title><h1>{title}</h1>{body}')


def _policy(page: str, *, talks_to: Iterable[str] = ()) -> str:
    """Nothing but this service and `talks_to`, and of the scripts within the page only its own one."""
    script = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)[0]
    digest = b64encode(sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self'; img-src 'self' data:; "
        f"connect-src {' '.join(["'self'", *talks_to])}; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
