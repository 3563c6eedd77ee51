"""A client that has one connection, and says what becomes of it: httpx would open another in silence."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def ends(self) -> bool:
        """Whether it says that the connection ends with it."""
        return self.headers.get("connection") == "close"


class Cut(Exception):
    """The connection ended before an answer, or in the middle of one."""


class Connection:
    """Sends requests and reads answers, one after the other or as they come."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, port: int) -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    def send(self, path: str, body: bytes | None = None, *, length: int | None = None) -> None:
        """A GET, or a POST where there is a body; with another `length` it does not arrive as a whole."""
        head = f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nHost: x\r\n"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {length or len(body)}\r\n"
        self.writer.write(head.encode() + b"\r\n" + (body or b""))

    def send_at_once(self, *paths: str) -> None:
        """GETs that arrive together: of those sent one by one, the first may be answered before the next."""
        self.writer.write(b"".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for path in paths))

    async def read(self) -> Answer:
        """Raises Cut."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise Cut(repr(error)) from error
        return Answer(int(first.split(" ")[1]), headers, body)

    async def ask(self, path: str, body: bytes | None = None) -> Answer:
        self.send(path, body)
        return await self.read()

    async def rest(self) -> bytes:
        """What comes until the other side ends the connection, which it does cleanly."""
        return await self.reader.read()

    def close(self) -> None:
        with suppress(ConnectionError):
            self.writer.close()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Connection]:
    connection = await Connection.to(port)
    try:
        yield connection
    finally:
        connection.close()


async def ask(port: int, path: str, body: bytes | None = None) -> Answer:
    """On a connection of its own."""
    async with connected(port) as connection:
        return await connection.ask(path, body)
