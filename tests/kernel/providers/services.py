"""Our whole service, as processes of its own, told by its environment alone whom to trust."""

import asyncio
import os
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Protocol

from httpx2 import AsyncClient, ConnectError, Response

from kernel.providers.openid_provider import AUDIENCE, OpenIdProvider, free_port

SRC: Final = Path(__file__).parents[3] / "src"
SECRET: Final = "one secret for all instances of a test"  # they share a database, and so its keys
PASSWORD: Final = "violet kettle hums at dawn"


@dataclass(frozen=True, slots=True)
class Service:
    """One instance that serves at `url`."""

    url: str
    client: AsyncClient
    process: Process
    output: IO[bytes]

    async def get(self, path: str, token: str | None = None) -> Response:
        return await self.client.get(path, headers=bearer(token))

    async def post(
        self, path: str, body: Any = None, token: str | None = None, *, proof: str | None = None
    ) -> Response:
        return await self.client.post(path, json=body, headers=bearer(token, proof=proof))

    def log(self) -> str:
        """Everything that it has printed."""
        self.output.seek(0)
        return self.output.read().decode()


class Answers(Protocol):
    """A service, or several that stand behind one address."""

    async def post(self, path: str, body: Any = None, token: str | None = None) -> Response: ...


def bearer(token: str | None, *, proof: str | None = None) -> dict[str, str]:
    """With `proof`, that the password was given once more."""
    shown = {} if token is None else {"authorization": f"Bearer {token}"}
    return shown if proof is None else {**shown, "reauthentication-token": proof}


def trusting(provider: OpenIdProvider, **others: str) -> dict[str, str]:
    """The settings that make a provider the service's own; nothing more is needed."""
    return {
        "AUTH_PROVIDER": "oidc",
        "OIDC_ISSUER": provider.issuer,
        "OIDC_AUDIENCE": AUDIENCE,
        "OIDC_PRESET": "rfc9068",
        "OIDC_ADMIT_MACHINES": "true",  # whose tokens need no browser
        **others,
    }


@asynccontextmanager
async def a_service(
    database_url: str, settings: Mapping[str, str] | None = None, *, port: int | None = None
) -> AsyncIterator[Service]:
    """On this database, until the block ends: then as an operator would end it, with a signal."""
    port = port or free_port()
    environment = {
        **os.environ,
        "AUTH_SECRET": SECRET,
        "DATABASE_URL": database_url,
        "LOG_FORMAT": "json",
        "PORT": str(port),
        "PYTHONPATH": str(SRC),
        **(settings or {}),
    }
    with tempfile.TemporaryFile() as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "entrypoints.http", env=environment, stdout=output, stderr=output
        )
        url = f"http://localhost:{port}"
        try:
            async with AsyncClient(base_url=url, timeout=60) as client:
                service = Service(url, client, process, output)
                await _serving(service)
                yield service
        finally:
            if process.returncode is None:
                process.terminate()
            await asyncio.wait_for(process.wait(), 30)


async def _serving(service: Service) -> None:
    async with asyncio.timeout(60):
        while True:
            assert service.process.returncode is None, service.log()
            with suppress(ConnectError):
                await service.client.get("/health/live")
                return
            await asyncio.sleep(0.05)


async def register(service: Answers, email: str, name: str) -> None:
    body = {"email": email, "password": PASSWORD, "display_name": name}
    answer = await service.post("/v1/auth/register", body)
    assert answer.status_code == 201, answer.text


async def log_in(service: Answers, email: str) -> dict[str, Any]:
    """The pair of tokens of the built-in provider."""
    answer = await service.post("/v1/auth/login", {"email": email, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    pair: dict[str, Any] = answer.json()
    return pair
