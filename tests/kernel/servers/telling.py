"""The real server, with one more route: `/told` says which client and which scheme a request has."""

from fastapi import Request

from entrypoints.http.kernel.server.app import Service
from entrypoints.http.kernel.server.process import serve
from entrypoints.settings import Settings
from kernel.servers import specimen


async def tell(request: Request) -> dict[str, str]:
    assert request.client is not None
    return {"client": request.client.host, "scheme": request.url.scheme}


def create_app() -> Service:
    app = specimen.create_app()
    app.add_api_route("/told", tell, include_in_schema=False)
    return app


if __name__ == "__main__":
    serve("kernel.servers.telling:create_app", Settings, [])
