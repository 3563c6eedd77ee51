"""Pages for people: the API to try out, and what each kind of problem means. They need no network."""

import re
from base64 import b64encode
from hashlib import sha256
from html import escape
from pathlib import Path

import fastapi_offline
from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse

from entrypoints.http.documentation import PUBLIC
from entrypoints.http.problems import PAGES, PathNotFound, kinds

# The package brings Swagger UI's files along; its own page is not used.
ASSETS = Path(fastapi_offline.__file__).parent / "static"
_NAMES = frozenset({"swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"})

router = APIRouter(include_in_schema=False)


@router.get("/v1/docs", openapi_extra=PUBLIC)
async def get_documentation(request: Request) -> HTMLResponse:
    """Swagger UI. All addresses are relative, so that the page works behind any prefix."""
    page = get_swagger_ui_html(
        title=request.app.title,
        openapi_url="openapi.json",
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="docs/favicon.png",
        # Otherwise it shows the document to a validator on the Internet.
        swagger_ui_parameters={"validatorUrl": None},
    )
    page.headers["content-security-policy"] = _policy(bytes(page.body).decode())
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


def _policy(page: str) -> str:
    """Nothing but this service, and of the scripts within the page only its own one."""
    script = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)[0]
    digest = b64encode(sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
