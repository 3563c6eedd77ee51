"""Pages about problems, for people: where `type` in a problem leads to. Made of the error classes alone."""

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import sha256
from html import escape
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from entrypoints.http.kernel.document.documentation import PUBLIC
from entrypoints.http.kernel.routing.dependencies import settings_of
from entrypoints.http.kernel.routing.problems import MEDIA_TYPE, PAGES, Kind, PathNotFound, kinds

router = APIRouter(include_in_schema=False)

_STYLE = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
body { max-width: 52rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
td, th { padding: .3rem 1rem .3rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid #8884 }
pre { padding: 1rem; overflow: auto; border: 1px solid #8884; border-radius: .3rem }
"""
_HASH = b64encode(sha256(_STYLE.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)

_REMEDIES: Mapping[int, str] = MappingProxyType(
    {
        400: "Correct what the detail names, and send it again. To repeat it as it is does not help.",
        401: "Log in, or get the next access token, and send it again.",
        403: "Repeating it does not help: another user may be allowed to, or the request lacks something.",
        404: "Check the path. It may also exist and not be visible to you: the answer is the same.",
        405: "Use one of the methods that `Allow` names.",
        408: "Send it again, and at once.",
        409: "Read the thing again and decide whether your change still makes sense. If it is about an "
        "`Idempotency-Key` that is in use, wait for the seconds that `Retry-After` names, and send it again.",
        412: "Read the thing again, make your change to what it is now, and send the new `ETag`.",
        413: "Send less at once.",
        414: "Ask for less in the query.",
        415: "Send JSON, and `Content-Type: application/json`.",
        421: "Send it to the address that the service is published under. A proxy on the way has to pass "
        "`Host` on.",
        422: "Correct what `errors` points to, or what the detail names, and send it again.",
        428: "Read the thing, and send its `ETag` as `If-Match`.",
        429: "Wait for the seconds that `Retry-After` names.",
        431: "Send fewer or shorter headers; it may be cookies.",
        500: "It is our fault, and in our logs under the `trace_id`: quote it when you tell us.",
        503: "Wait for the seconds that `Retry-After` names, and try again.",
        504: "Wait for the seconds that `Retry-After` names, and try again. Whether a change was made is not "
        "known: send it with an `Idempotency-Key`.",
    }
)


@router.get(PAGES, openapi_extra=PUBLIC)
async def list_problems() -> HTMLResponse:
    """Every kind of problem. The links are relative: they hold behind any prefix."""
    folder = PAGES.removeprefix("/")
    rows = (
        f'<tr><td>{kind.status}<td><a href="{folder}/{kind.code}">{kind.code}</a><td>{_shown(kind.title)}'
        for kind in kinds()
    )
    return _page(
        "Problems",
        f"<p>What is refused, or fails, is answered with a problem (RFC 9457), <code>{MEDIA_TYPE}</code>. "
        "Its <code>type</code> is one of these, and stays what it is; there may be new ones at any time."
        f"<table><tr><th>Status<th>Type<th>Meaning{''.join(rows)}</table>",
    )


@router.get(PAGES + "/{code}", openapi_extra=PUBLIC)
async def get_problem(code: str, request: Request) -> HTMLResponse:
    """One kind of problem, and which operations answer with it."""
    kind = next((kind for kind in kinds() if kind.code == code), None)
    if kind is None:
        raise PathNotFound
    phrase = HTTPStatus(kind.status).phrase
    operations = "".join(_operations(kind, request.app.openapi(), linked=settings_of(request).docs_served))
    # The title stands above, where code in it is code.
    said = {"type": kind.type, "title": "…", "status": kind.status, "detail": "…", "trace_id": "…"}
    example = msgspec.json.format(msgspec.json.encode(said)).decode()
    return _page(
        kind.code,
        f"<p><strong>{_shown(kind.title)}</strong>"
        f"<p>HTTP status {kind.status} {escape(phrase)}. {_shown(_REMEDIES[kind.status])}"
        f"<pre>{escape(example)}</pre>"
        + (f"<h2>Where</h2><ul>{operations}</ul>" if operations else "")
        + f'<p><a href="../{PAGES.removeprefix("/")}">All problems</a>',
    )


def _operations(kind: Kind, document: Mapping[str, Any], *, linked: bool) -> Iterator[str]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            refusal = operation["responses"].get(str(kind.status), {}).get("content", {}).get(MEDIA_TYPE, {})
            if kind.code in refusal.get("examples", ()):
                version = path.split("/")[1]
                place = f"../{version}/docs#/{operation['tags'][0]}/{operation['operationId']}"
                name = escape(operation["summary"])
                yield (
                    f"<li>{f'<a href="{place}">{name}</a>' if linked else name} "
                    f"<code>{method.upper()} {escape(path)}</code>"
                )


def _shown(text: str) -> str:
    """Text as HTML, where what stands between backticks is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _page(title: str, body: str) -> HTMLResponse:
    return HTMLResponse(
        f'<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style><h1>{title}</h1>{body}",
        headers={"content-security-policy": _POLICY},
    )
