"""The page for people on which to read about the API and to try it out. It needs no network."""

import re
from asyncio import timeout
from base64 import b64encode
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import fastapi_offline
import msgspec
from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html, get_swagger_ui_oauth2_redirect_html
from fastapi.responses import FileResponse, HTMLResponse, Response

from application.kernel.ports.world import Unavailable
from entrypoints.http.kernel.document.authorize import authorization, docs_provider, origins_of
from entrypoints.http.kernel.document.documentation import PUBLIC
from entrypoints.http.kernel.routing.answers import Answer, NotModified
from entrypoints.http.kernel.routing.conditions import is_known
from entrypoints.http.kernel.routing.dependencies import ProviderMetadata, settings_of
from entrypoints.http.kernel.routing.problems import PathNotFound
from entrypoints.kernel.service import V1

# The package brings Swagger UI's files along; its own page is not used.
ASSETS = Path(fastapi_offline.__file__).parent / "static"
_NAMES = frozenset({"swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"})

_RETURN = f"{V1}/docs/oauth2-redirect.html"
_METADATA_SECONDS = 1.0  # the page is there without a provider, too

router = APIRouter(include_in_schema=False)
"""The pages that all versions share."""


def pages(prefix: str) -> APIRouter:
    """A version's document, and its page."""
    version = APIRouter(prefix=prefix, include_in_schema=False)

    @cache
    def document(app: FastAPI) -> bytes:
        return msgspec.json.encode(app.openapi(prefix.removeprefix("/")))  # type: ignore[call-arg] # ours takes it

    async def get_document(request: Request) -> Answer:
        """The OpenAPI document."""
        return Answer(200, document(request.app))

    version.add_api_route("/openapi.json", get_document, openapi_extra=PUBLIC, response_model=None)
    version.add_api_route("/docs", get_documentation, openapi_extra=PUBLIC)
    version.add_api_route("/docs/{name}", get_asset, openapi_extra=PUBLIC)
    return version


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
    # The window of the log-in hands the code to this one.
    page.headers["cross-origin-opener-policy"] = "same-origin-allow-popups"
    return page


@router.get(_RETURN, openapi_extra=PUBLIC)
async def get_return_page() -> HTMLResponse:
    """Where a provider redirects the window of the log-in to."""
    page = get_swagger_ui_oauth2_redirect_html()
    page.headers["content-security-policy"] = _policy(bytes(page.body).decode())
    page.headers["cross-origin-opener-policy"] = "unsafe-none"
    return page


async def get_asset(name: str, request: Request) -> Response:
    """A file that the documentation needs, unless the browser has it already."""
    if name not in _NAMES:
        raise PathNotFound
    kept = {"cache-control": "public, max-age=86400"}
    file = FileResponse(ASSETS / name, headers=kept, stat_result=(ASSETS / name).stat())
    tag = file.headers["etag"].encode()
    if is_known(request.scope["headers"], tag):
        return NotModified([(b"etag", tag), (b"cache-control", kept["cache-control"].encode())])
    return file


def _policy(page: str, *, talks_to: Iterable[str] = ()) -> str:
    """Nothing but this service and `talks_to`, and of the scripts within the page only its own one."""
    script = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)[0]
    digest = b64encode(sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self'; img-src 'self' data:; "
        f"connect-src {' '.join(["'self'", *talks_to])}; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
