"""The real server, with routes that take as long as a test wants.

`/sleeping/{seconds}` sleeps in a statement, for a read and for a command; `/stuck` is FastAPI's own and never
answers; `/drip/{seconds}` begins its answer at once and ends it so much later.
"""

import asyncio
import sys
from collections.abc import AsyncIterator

from fastapi.responses import StreamingResponse
from sqlalchemy import Text, cast, func, select

from adapters.postgres.kernel.connection.database import Statement
from entrypoints.http.kernel.server.app import Service
from entrypoints.http.kernel.server.process import serve
from entrypoints.kernel.logging import configure_logging
from entrypoints.kernel.settings import load_settings
from entrypoints.settings import Settings
from kernel.specimen import service


def create_app() -> Service:
    settings = load_settings(Settings)
    configure_logging(settings)
    container = service.Container(settings=settings)
    app = service.create_app(container)
    database = container.database()

    async def sleep(seconds: float) -> dict[str, float]:
        await database.fetchrow(Statement(select(cast(func.pg_sleep(seconds), Text)), name="slow.sleep"), {})
        return {"slept": seconds}

    async def stuck() -> None:
        await asyncio.Event().wait()

    async def drip(seconds: float) -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"first "
            await asyncio.sleep(seconds)
            yield b"last"

        return StreamingResponse(parts(), media_type="text/plain")

    app.add_api_route("/sleeping/{seconds}", sleep, methods=["GET", "POST"], include_in_schema=False)
    app.add_api_route("/stuck", stuck, include_in_schema=False)
    app.add_api_route("/drip/{seconds}", drip, include_in_schema=False)
    return app


if __name__ == "__main__":
    serve("kernel.servers.slow:create_app", Settings, sys.argv[1:])
