"""The real server, with three more routes.

`/told` says which client and which scheme a request has; `/endless` is never answered, and `/waiting` says
how many wait there.
"""

import asyncio

from fastapi import Request

from entrypoints.http.kernel.server.app import Service
from entrypoints.http.kernel.server.process import serve
from entrypoints.settings import Settings
from kernel.servers import specimen


async def tell(request: Request) -> dict[str, str]:
    assert request.client is not None
    return {"client": request.client.host, "scheme": request.url.scheme}


waiting: list[Request] = []


async def wait(request: Request) -> None:
    waiting.append(request)
    await asyncio.Event().wait()


async def count() -> int:
    return len(waiting)


def create_app() -> Service:
    app = specimen.create_app()
    app.add_api_route("/told", tell, include_in_schema=False)
    app.add_api_route("/endless", wait, include_in_schema=False)
    app.add_api_route("/waiting", count, include_in_schema=False)
    return app


if __name__ == "__main__":
    serve("kernel.servers.telling:create_app", Settings, [])
