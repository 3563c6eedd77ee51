"""The yardstick: getting, listing and creating orders as a raw ASGI handler over asyncpg and msgspec.

It asks the same tables and answers the same JSON as the service, and does nothing else: no framework, no
validation beyond the shape of a body, no access log, no security headers. `python -m bench.yardstick`.
"""

import asyncio
import base64
import gc
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import asyncpg
import msgspec
import uvicorn

from bench.seed import Shape
from bench.yardstick_shapes import NewOrder, Order, Page, Statements, created
from domain.kernel.aggregate import new_id

type Receive = Callable[[], Awaitable[dict[str, Any]]]
type Send = Callable[[dict[str, Any]], Awaitable[None]]
type Connection = asyncpg.Connection[asyncpg.Record]

CONNECTIONS = 10

_encode = msgspec.json.Encoder().encode
_read_new = msgspec.json.Decoder(NewOrder).decode
_read_cursor = msgspec.json.Decoder(tuple[datetime, UUID]).decode


class Yardstick:
    """The ASGI application. `tokens` is the cache of bearer tokens that were verified before."""

    def __init__(self, url: str, tokens: dict[bytes, UUID], shape: Shape) -> None:
        self._plural = shape.plural
        self._sql = Statements(shape.plural, shape.entity)
        self._created = created(shape.entity, f"{shape.singular}_id")
        self._url = url
        self._tokens = tokens
        self._idle: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        method: str = scope["method"]
        path: list[str] = scope["path"].split("/")
        match path:
            case ["", "health", "live"]:
                await _answer(send, 200, b'{"status":"alive"}')
                return
        user = self._user(scope)
        if user is None:
            await _answer(send, 401, b"{}")
            return
        match path:
            case ["", "v1", self._plural, id] if method == "GET":
                await self._get(send, user, id)
            case ["", "v1", "workspaces", workspace_id, self._plural] if method == "GET":
                await self._list(send, user, workspace_id, scope["query_string"])
            case ["", "v1", "workspaces", workspace_id, self._plural] if method == "POST":
                await self._create(send, user, workspace_id, await _body(receive))
            case _:
                await _answer(send, 404, b"{}")

    def _user(self, scope: dict[str, Any]) -> UUID | None:
        for name, value in scope["headers"]:
            if name == b"authorization":
                return self._tokens.get(value)
        return None

    async def _get(self, send: Send, user: UUID, id: str) -> None:
        connection = await self._idle.get()
        try:
            row = await connection.fetchrow(self._sql.get, id, user)
        finally:
            self._idle.put_nowait(connection)
        if row is None:
            await _answer(send, 404, b"{}")
        else:
            await _answer(send, 200, _encode(Order(*row)))

    async def _list(self, send: Send, user: UUID, workspace_id: str, query: bytes) -> None:
        asked = dict(parse_qsl(query.decode()))
        limit, cursor = min(int(asked.get("limit", 50)), 100), asked.get("cursor")
        after = _read_cursor(base64.urlsafe_b64decode(cursor)) if cursor else ()
        connection = await self._idle.get()
        try:
            rows = await connection.fetch(
                self._sql.list_after if after else self._sql.list, workspace_id, user, limit + 1, *after
            )
        finally:
            self._idle.put_nowait(connection)
        items = [Order(*row) for row in rows[:limit]]
        more = None
        if len(rows) > limit:
            more = base64.urlsafe_b64encode(_encode((items[-1].created_at, items[-1].id))).decode()
        await _answer(send, 200, _encode(Page(items, more)))

    async def _create(self, send: Send, user: UUID, workspace_id: str, body: bytes) -> None:
        new = _read_new(body)
        now = datetime.now(UTC)
        id = new_id(now)
        event = _encode(self._created(now, id, workspace_id, user)).decode()
        connection = await self._idle.get()
        try:
            made = await connection.fetchval(
                self._sql.create,
                *(id, workspace_id, new.title, new.description, new.priority, new.due_at, new.labels),
                *(user, now, new_id(now), event),
            )
        finally:
            self._idle.put_nowait(connection)
        if not made:
            await _answer(send, 403, b"{}")
            return
        order = Order(
            *(id, workspace_id, new.title, new.description, "open", new.priority, new.due_at, None),
            *(new.labels, user, now, now, None, 1),
        )
        await _answer(send, 201, _encode(order), (b"location", f"/v1/{self._plural}/{id}".encode()))

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        for _ in range(CONNECTIONS):
            connection = await asyncpg.connect(self._url, server_settings={"jit": "off", "timezone": "UTC"})
            self._idle.put_nowait(connection)
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, *gc.get_threshold()[1:])  # as in the service
        await send({"type": "lifespan.startup.complete"})
        await receive()
        while not self._idle.empty():
            await self._idle.get_nowait().close()
        await send({"type": "lifespan.shutdown.complete"})


async def _body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message["body"]
    while message["more_body"]:
        message = await receive()
        body += message["body"]
    return body


async def _answer(send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    described = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": described})
    await send({"type": "http.response.body", "body": body})


def main() -> None:
    """Serves on PORT the database at DATABASE_URL, for the bearer of TOKEN, who is USER_ID."""
    token, user = os.environ["TOKEN"], UUID(os.environ["USER_ID"])
    shape = Shape(plural=os.environ["PLURAL"], singular=os.environ["SINGULAR"], below="")
    app = Yardstick(os.environ["DATABASE_URL"], {b"Bearer " + token.encode(): user}, shape)
    uvicorn.run(
        app,
        port=int(os.environ["PORT"]),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
    )


if __name__ == "__main__":
    main()
