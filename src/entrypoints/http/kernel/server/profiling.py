"""In development, `?profile` behind any address shows where the time of its request goes, as a flame graph.

The request is answered as it would be, changes and all, and the page is in the place of the answer.
"""

import asyncio
import re
from html import escape
from importlib.util import find_spec
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from entrypoints.http.kernel.routing.answers import Answer, Header

if TYPE_CHECKING:
    from pyinstrument import Profiler

INTERVAL_SECONDS = 0.0005
"""How often the stack is looked at, at most: a request of 5 ms gives ten looks.

A look takes 0.1 ms and more. An interval below that makes one of every call, and the first request of a
process, which builds the schemas of its route, then takes 40 s and gigabytes of memory.
"""

_ASKED = re.compile(rb"(^|&)profile(=[^&]*)?(?=&|$)")
_PAGE: list[Header] = [
    # The page has its script and its styles in it, and loads nothing.
    (
        b"content-security-policy",
        (
            b"default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
            b"img-src data:; font-src data:"
        ),
    ),
]


class Profiling:
    """A layer outside of the routes, which are not to see `profile` among their parameters."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._one = asyncio.Lock()  # there is one profiler in a thread at a time

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _ASKED.search(scope["query_string"]):
            await self.app(scope, receive, send)
            return
        # Not at the top: it is a tool of developers, and no part of what is deployed.
        from pyinstrument import Profiler  # noqa: PLC0415

        scope["query_string"] = _ASKED.sub(b"", scope["query_string"]).lstrip(b"&")
        status = 0

        async def take(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)

        async with self._one:
            profiler = Profiler(interval=INTERVAL_SECONDS, async_mode="enabled")
            with profiler:
                await self.app(scope, receive, take)
        title = f"{scope['method']} {scope['path']} was answered {status}"
        page = Answer(200, _page(profiler, title), media_type=b"text/html; charset=utf-8", headers=_PAGE)
        await page(scope, receive, send)


def is_available() -> bool:
    """Whether the profiler is installed, as `make` does."""
    return find_spec("pyinstrument") is not None


def _page(profiler: "Profiler", title: str) -> bytes:
    html = profiler.output_html()
    return html.replace("<head>", f"<head><title>{escape(title)}</title>", 1).encode()
