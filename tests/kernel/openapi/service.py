"""The service as a process of its own, on a real database, beside a provider that one can log in through."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import requests
from anyio.from_thread import BlockingPortal
from httpx2 import AsyncClient, ConnectError

from entrypoints.container import Container
from entrypoints.kernel.container import close
from entrypoints.settings import Settings
from kernel.openapi.world import AUDIENCE, CLIENT_SECRET, PORTAL, World, a_provider

SRC = Path(__file__).parents[3] / "src"
PATIENCE = 60  # seconds, for what takes two


@dataclass
class Service:
    """Where the process is, whom it knows, and the connection on which it is asked."""

    url: str
    world: World
    session: requests.Session
    portal: BlockingPortal

    def restore(self) -> None:
        """Puts the world back as it was."""
        self.portal.call(self.world.restore)


def environment(database_url: str, *, port: int, issuer: str) -> dict[str, str]:
    """The settings of the process: everything that can be switched on is on."""
    return {
        "DATABASE_URL": database_url,
        "PORT": str(port),
        "PUBLIC_URL": "http://localhost:8000",  # the document names it, and is made before there is a port
        "AUTH_PROVIDER": "oidc",
        "AUTH_TRUST_LOCAL": "true",
        "AUTH_ACCESS_TOKEN_SECONDS": "86400",  # as long as a night
        "AUTH_RECHECK_SECONDS": "0",  # who was logged out is logged in at once when the world is put back
        "AUTH_INTROSPECTION_CLIENTS": f"billing:{CLIENT_SECRET}",
        "OIDC_ISSUER": issuer,
        "OIDC_AUDIENCE": AUDIENCE,
        "OIDC_CLIENT_ID": PORTAL,
        "OIDC_CLIENT_SECRET": "a secret of a test",
        "LOG_LEVEL": "warning",
    }


def settings(variables: dict[str, str]) -> Settings:
    """The same settings, for this process."""
    values: dict[str, Any] = {name.lower(): value for name, value in variables.items()}
    return Settings(_env_file=None, **values)


@asynccontextmanager
async def world_and_address(database_url: str, log: Path) -> AsyncIterator[tuple[World, str]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    provider = await a_provider()
    variables = environment(database_url, port=port, issuer=provider.issuer)
    container = Container(settings=settings(variables))
    connection = await asyncpg.connect(database_url)
    try:
        world = World(connection, container, provider)
        await world.make()
        async with _process(variables, log):
            yield world, f"http://127.0.0.1:{port}"
    finally:
        await connection.close()
        await close(container)
        await provider.stop()


@asynccontextmanager
async def _process(variables: dict[str, str], log: Path) -> AsyncIterator[None]:
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "entrypoints.http"),
            env={**os.environ, **variables, "PYTHONPATH": str(SRC)},
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{variables['PORT']}/health/ready"
    answer = None
    try:
        async with AsyncClient() as client:
            for _ in range(PATIENCE * 10):
                with suppress(ConnectError):
                    answer = await client.get(url)
                if process.returncode is not None or (answer is not None and answer.is_success):
                    break
                await asyncio.sleep(0.1)
        ready = answer is not None and answer.is_success
        assert ready, f"The service is not ready; see {log}, and {answer and answer.text}"
        yield
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


class Answers:
    """How often each caller was answered with each status by one operation."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def add(self, caller: str, status: int) -> None:
        key = f"{caller} {status}"
        self.counts[key] = self.counts.get(key, 0) + 1

    @property
    def done(self) -> int:
        """How often it did what it is for."""
        return sum(count for key, count in self.counts.items() if int(key.split()[1]) < 400)
