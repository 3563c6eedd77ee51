"""An OpenID provider on loopback, over a real socket: as honest, quick and small as a test wants."""

import asyncio
import json
import re
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from joserfc.jwk import Key

from kernel.world.builders import NOW
from kernel.world.forging import Forger

type Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


def public(key: Key, kid: str | None, **more: Any) -> dict[str, Any]:
    """The key as a key set has it."""
    return {**key.as_dict(private=False), **({} if kid is None else {"kid": kid}), **more}


def answer(body: bytes | object, *, status: int = 200, **headers: str) -> Answer:
    """What the server sends: JSON, unless the body is bytes. `cache_control` stands for Cache-Control."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(content)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]

    async def send(writer: asyncio.StreamWriter) -> None:
        writer.write("\r\n".join([*lines, "", ""]).encode() + content)

    return send


async def endless(writer: asyncio.StreamWriter) -> None:
    """A document that never ends, sent as fast as it is read."""
    writer.write(b'HTTP/1.1 200 OK\r\n\r\n{"keys": [')
    while True:
        writer.write(b" " * 65536)
        await writer.drain()


async def silence(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()


@dataclass
class ProviderServer:
    """`paths` has the answers, `asked` the paths in the order they were asked for, `sent` the whole requests.

    While `gate` is clear, nothing is answered. With `tls` it is https.
    """

    path: str = ""
    paths: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    tls: ssl.SSLContext | None = None
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def root(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def issuer(self) -> str:
        return self.root + self.path

    @property
    def discovery(self) -> str:
        return f"{self.path.rstrip('/')}/.well-known/openid-configuration"

    def document(self, **changes: Any) -> dict[str, Any]:
        return {"issuer": self.issuer, "jwks_uri": f"{self.root}/keys"} | changes

    def publish(self, *keys: dict[str, Any], cache_control: str = "no-cache") -> None:
        self.paths[self.discovery] = answer(self.document())
        self.paths["/keys"] = answer({"keys": list(keys)}, cache_control=cache_control)

    def times(self, path: str = "/keys") -> int:
        return self.asked.count(path)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        self.gate.set()

    async def stop(self) -> None:
        """Closes the door; the port stays its own, so that it can start again."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            request = await reader.readuntil(b"\r\n\r\n")
            path = request.split(b" ", 2)[1].decode()
            length = re.search(rb"\r\ncontent-length: (\d+)", request, re.IGNORECASE)
            self.asked.append(path)
            self.sent.append(request + (await reader.readexactly(int(length[1])) if length else b""))
            await self.gate.wait()
            await self.paths.get(path, answer(b"", status=404))(writer)
            await writer.drain()
        self._open.discard(writer)
        writer.close()


def a_forger(
    issuer: str, key: Key, *, stranger: Key, algorithm: str, kid: str, typ: Any = "at+jwt", **claims: Any
) -> Forger:
    """Tokens as RFC 9068 has them, issued now."""
    time = int(NOW.timestamp())
    valid = {
        "iss": issuer,
        "sub": "ada",
        "aud": "shop",
        "exp": time + 600,
        "iat": time,
        "client_id": "till",
        "jti": "token-7",
    }
    return Forger(
        key=key, stranger=stranger, algorithm=algorithm, kid=kid, typ=typ, claims={**valid, **claims}
    )
