"""What the rounds run on: an embedded PostgreSQL with the rows in it, the service and the yardstick."""

import asyncio
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import asyncpg
import msgspec

from bench.load import Job, Measured
from bench.machine import Cores, on
from bench.operations import Operation, World, operations_of, walk_down
from bench.servers import BenchError, Server, running
from bench.subjects import Subject
from entrypoints.kernel.tools.embedded import embedded_postgres

_OWNER = {"email": "owner@example.com", "password": "violet kettle hums at dawn"}


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything is there and answers. `url` is the database's, its signing keys are sealed with `secret`."""

    url: str
    secret: str
    service: Server
    yardstick: Server | None
    """None where there is none for what is measured."""
    world: World

    @property
    def operations(self) -> Mapping[str, Operation]:
        return operations_of(self.world.subject)

    @contextmanager
    def under_load(self, name: str, *, seconds: float) -> Iterator[None]:
        """The service is asked for the operation while the block runs; raises BenchError."""
        operation = self.operations[name]
        requests = operation.requests(self.world)
        with loading(self.service, operation, requests, seconds=seconds) as load:
            yield
            load.measured()
        self.clear()

    def clear(self) -> None:
        """Removes what was created since, so that every round meets the same rows."""
        asyncio.run(self._clear())

    async def _clear(self) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            table = self.world.subject.plural
            await connection.execute(f"DELETE FROM {table} WHERE created_at > $1", self.world.begun)  # noqa: S608
            await connection.execute("DELETE FROM outbox")
            await connection.execute("DELETE FROM idempotency_keys")
            await connection.execute(f"VACUUM {table}")
            await connection.execute("VACUUM outbox")
            await connection.execute("VACUUM idempotency_keys")
        finally:
            await connection.close()


@dataclass(frozen=True, slots=True)
class Load:
    """A process that asks a server for one operation."""

    process: "subprocess.Popen[bytes]"
    title: str
    seconds: float

    def measured(self) -> Measured:
        """What it measured, once it is over; raises BenchError."""
        measured, said = self.process.communicate(timeout=self.seconds + 60)
        if self.process.returncode:
            last_words = said.decode(errors="replace").strip()[-2000:]
            raise BenchError(f"The load on {self.title!r} ended early: {last_words}")
        return msgspec.json.decode(measured, type=Measured)


@contextmanager
def loading(server: Server, operation: Operation, requests: list[bytes], *, seconds: float) -> Iterator[Load]:
    """Sends a server these requests of the operation, for so long; ends with the block."""
    job = Job(
        port=server.port,
        pid=server.pid,
        seconds=seconds,
        connections=operation.connections,
        status=operation.status,
        requests=requests,
        once=operation.once,
    )
    with tempfile.TemporaryFile() as file:
        file.write(msgspec.json.encode(job))
        file.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.load"],
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for this process, which ends the load
        )
    try:
        yield Load(process, operation.title, seconds)
    finally:
        process.kill()
        process.communicate()


@contextmanager
def set_up(
    folder: Path, subject: Subject, *, core: Cores, other_cores: Cores, under: tuple[str, ...] = ()
) -> Iterator[Stage]:
    """The servers get a core, PostgreSQL and whatever else is started in the block the others.

    `under` is what Python is given to run the service under.
    """
    with on(other_cores), embedded_postgres(None, database="bench") as url:
        secret = secrets.token_urlsafe(32)
        settings = as_in_production(url, secret)
        migrated = subprocess.run(
            [sys.executable, "-m", "entrypoints.cli", "migrate"],
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            check=False,
        )
        if migrated.returncode:
            raise BenchError(f"The database could not be migrated: {migrated.stderr}")
        with running(
            *under, *subject.command, cores=core, log=folder / "service", environment=settings
        ) as service:
            world = _fill(service, url, subject)
            if subject.shape is None:
                yield Stage(url, secret, service, None, world)
                return
            caller = {"DATABASE_URL": url, "TOKEN": world.token, "USER_ID": str(world.owner)}
            caller |= {"PLURAL": subject.shape.plural, "SINGULAR": subject.shape.singular}
            with running(
                *("-m", "bench.yardstick"), cores=core, log=folder / "yardstick", environment=caller
            ) as yardstick:
                yield Stage(url, secret, service, yardstick, world)


def as_in_production(url: str, secret: str) -> dict[str, str]:
    """One worker that writes its access log as JSON; tokens that last as long as the measurement."""
    return {
        "DATABASE_URL": url,
        "ENVIRONMENT": "production",
        "PUBLIC_URL": "http://localhost",
        "ALLOWED_HOSTS": "127.0.0.1",  # by which the seed asks
        "AUTH_SECRET": secret,
        "TRUSTED_PROXIES": "none",
        "AUTH_ACCESS_TOKEN_SECONDS": "7200",
        "MAILER": "smtp",  # nothing is sent: no worker runs
        "SMTP_HOST": "localhost",
        "MAIL_FROM": "bench@example.com",
        "LOG_LEVEL": "info",
        "LOG_FORMAT": "json",
        "RATE_LIMITS": "default=1000000000/60,workspace=1000000000/60",  # counted, and never too many
        "WORKERS": "1",
    }


def _fill(service: Server, url: str, subject: Subject) -> World:
    """The owner and the workspace as any client would make them, the rest by COPY."""
    registered = service.read("POST", "/v1/auth/register", body={**_OWNER, "display_name": "Owner"})
    token = service.read("POST", "/v1/auth/login", body=_OWNER)["access_token"]
    made = service.read("POST", "/v1/workspaces", token=token, body={"name": "Bench"})
    owner, workspace = UUID(registered["id"]), UUID(made["id"])

    async def copy() -> list[UUID]:
        connection = await asyncpg.connect(url)
        try:
            for sql in subject.tables():
                await connection.execute(sql)
            return await subject.seed(connection, owner, workspace)
        finally:
            await connection.close()

    rows = asyncio.run(copy())
    world = World(
        token=token, owner=owner, workspace=workspace, subject=subject, rows=rows, begun=datetime.now(UTC)
    )
    return walk_down(service, world) if "deep" in subject.operations else world
