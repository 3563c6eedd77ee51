"""What may stand between a service and its provider, or be wrong with it: in front of a real one."""

import asyncio
import json
from asyncio import Server, StreamReader, StreamWriter
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import StrEnum
from typing import Final

from httpx2 import AsyncClient, Response

from kernel.providers.openid_provider import OpenIdProvider, an_openid_provider, free_port

MIB: Final = 1024 * 1024
MOST_DRIPS: Final = 60
_HOP: Final = {"connection", "content-length", "keep-alive", "transfer-encoding"}


class Wrong(StrEnum):
    """What is done to every document that the provider publishes."""

    NOTHING = "nothing"
    SLOW = "slow"
    """The answer begins at once and comes byte by byte."""
    OVERSIZED = "oversized"
    REDIRECTING = "redirecting"
    LYING = "lying"
    """It says that it is another issuer."""
    HTML = "html"
    MANY_KEYS = "many-keys"
    """Its key set has 10,000 keys."""


class Tampering:
    """A proxy on a port of its own. `asked` counts the requests by path."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.wrong = Wrong.NOTHING
        self.asked: Counter[str] = Counter()
        self.behind = ""
        self._port = port
        self._server: Server | None = None

    async def come_up(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)

    async def go_down(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server.close_clients()
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            async with asyncio.timeout(60):
                head = await reader.readuntil(b"\r\n\r\n")
                request, *lines = head.decode("latin-1").strip().split("\r\n")
                method, target, _ = request.split(" ")
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.asked[target.partition("?")[0]] += 1
                await self._answer(writer, method, target, headers, body)
        writer.close()

    async def _answer(
        self, writer: StreamWriter, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> None:
        async with AsyncClient(timeout=60) as http:
            kept = {name: value for name, value in headers.items() if name not in _HOP}
            answer = await http.request(method, self.behind + target, headers=kept, content=body)
        if not target.startswith(("/.well-known/", "/jwks")):
            await _write(writer, answer, answer.content)
        elif self.wrong is Wrong.SLOW:
            await _drip(writer, answer.content)
        elif self.wrong is Wrong.REDIRECTING:
            location = f"location: {self.behind}{target}\r\n".encode()
            writer.write(b"HTTP/1.1 302 Found\r\nconnection: close\r\n" + location + b"\r\n")
        else:
            await _write(writer, answer, _tampered(answer, self.wrong))


def _tampered(answer: Response, wrong: Wrong) -> bytes:
    document = answer.json()
    match wrong:
        case Wrong.OVERSIZED:
            return answer.content + b" " * MIB
        case Wrong.LYING if "issuer" in document:
            document["issuer"] += "/"
        case Wrong.MANY_KEYS if "keys" in document:
            document["keys"] += [{"kty": "unknown"}] * 9_998
        case Wrong.HTML:
            return b"<!doctype html><title>Please wait</title>"
    return json.dumps(document).encode()


async def _write(writer: StreamWriter, answer: Response, body: bytes) -> None:
    lines = [f"HTTP/1.1 {answer.status_code} {answer.reason_phrase}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.multi_items() if name not in _HOP]
    lines += [f"content-length: {len(body)}", "connection: close", "", ""]
    writer.write("\r\n".join(lines).encode("latin-1") + body)
    await writer.drain()


async def _drip(writer: StreamWriter, body: bytes) -> None:
    length = f"content-length: {len(body)}\r\n".encode()
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + length + b"\r\n")
    for position in range(MOST_DRIPS):
        writer.write(body[position : position + 1])
        await writer.drain()
        await asyncio.sleep(0.25)


@asynccontextmanager
async def a_provider_behind_a_proxy() -> AsyncIterator[tuple[OpenIdProvider, Tampering]]:
    """A provider whose issuer is the proxy's address."""
    proxy = Tampering(free_port())
    async with an_openid_provider(issuer=proxy.url) as provider:
        proxy.behind = provider.url
        await proxy.come_up()
        try:
            yield provider, proxy
        finally:
            await proxy.go_down()
