"""The real server, with more routes.

`/told` says which client and which scheme a request has, and `/echo` how large its body is; `/slow` is
answered after some seconds, and `/held` once somebody has asked for `/release`. The others are not
answered in time: `/endless` never, `/thread` waits in a thread, `/stubborn` goes on when it is cancelled, and
`/stream` has begun. `/waiting` says how many have come to these. `/busy` keeps the processor, and lets no
other thread of its process run.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import suppress

from fastapi import Request
from fastapi.responses import StreamingResponse

from entrypoints.http.kernel.server.app import Service
from entrypoints.http.kernel.server.process import serve
from entrypoints.settings import Settings
from kernel.servers import specimen

SECONDS = 60  # until the ends of the tests


async def tell(request: Request) -> dict[str, str]:
    assert request.client is not None
    return {"client": request.client.host, "scheme": request.url.scheme}


async def echo(request: Request) -> int:
    return len(await request.body())


async def answer_slowly(seconds: float) -> float:
    waiting.append("slow")
    await asyncio.sleep(seconds)
    return seconds


waiting: list[str] = []


released = asyncio.Event()


async def wait_for_release() -> None:
    waiting.append("held")
    await released.wait()


async def release() -> None:
    released.set()


async def wait() -> None:
    waiting.append("endless")
    await asyncio.Event().wait()


def wait_in_a_thread() -> None:
    waiting.append("thread")
    time.sleep(SECONDS)


async def wait_whatever_comes() -> None:
    waiting.append("stubborn")
    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(1)


async def stream() -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        yield b"begun"
        waiting.append("stream")
        await asyncio.Event().wait()

    return StreamingResponse(parts())


async def count() -> int:
    return len(waiting)


async def keep_busy(seconds: float) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        re.match(r"(a+)+$", "a" * 27 + "b")  # some seconds without another thread


def create_app() -> Service:
    app = specimen.create_app()
    for path, route in (
        ("/told", tell),
        ("/slow", answer_slowly),
        ("/held", wait_for_release),
        ("/release", release),
        ("/endless", wait),
        ("/thread", wait_in_a_thread),
        ("/stubborn", wait_whatever_comes),
        ("/stream", stream),
        ("/waiting", count),
        ("/busy", keep_busy),
    ):
        app.add_api_route(path, route, include_in_schema=False, response_model=None)
    app.add_api_route("/echo", echo, methods=["POST"], include_in_schema=False)
    return app


if __name__ == "__main__":
    serve("kernel.servers.telling:create_app", Settings, [])
