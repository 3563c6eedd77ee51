"""What a repository written with SQLAlchemy's ORM costs beside the one in Core (docs/decisions/0023).

    PYTHONPATH=tests .venv/bin/python -m bench.orm

Each operation is a unit of work of its own, on one connection to an embedded PostgreSQL. The processor
time is this process's, with the driver's and without PostgreSQL's, in the best of the rounds. Round trips
are counted on the socket.
"""

import asyncio
import os
import subprocess
import sys
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import uvloop

from adapters.postgres.kernel.connection.database import Database
from adapters.postgres.kernel.connection.transactions import PostgresTransactions
from adapters.postgres.kernel.discovery import repositories_of
from application.unit_of_work import UnitOfWork
from domain.kernel.users import UserEdited
from domain.kernel.workspaces import Workspace
from entrypoints.kernel.tools.embedded import embedded_postgres
from kernel.world.builders import a_user_id, a_workspace
from kernel.world.orm_workspaces import OrmWorkspaces

ROUNDS = 15
TIMES = 300

type Operation = Callable[[], Awaitable[object]]


class Trips:
    """A proxy on the way to the server, which counts how often the direction turns."""

    def __init__(self) -> None:
        self.count = 0
        self._asked = False

    @asynccontextmanager
    async def to(self, url: str) -> AsyncIterator[str]:
        """The address of the proxy, as long as the block lasts."""
        address = urlsplit(url)
        [folder] = parse_qs(address.query)["host"]

        async def accepted(reader: StreamReader, writer: StreamWriter) -> None:
            there, here = await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.5432")
            await asyncio.gather(self._pass(reader, here, asks=True), self._pass(there, writer, asks=False))

        server = await asyncio.start_server(accepted, "127.0.0.1", 0)
        user, port = address.netloc.rpartition("@")[0], server.sockets[0].getsockname()[1]
        yield f"postgresql://{user}@127.0.0.1:{port}{address.path}?sslmode=disable"
        server.close()

    async def _pass(self, source: StreamReader, sink: StreamWriter, *, asks: bool) -> None:
        while data := await source.read(65_536):
            self.count += asks and not self._asked
            self._asked = asks
            sink.write(data)
        sink.close()


def operations(transactions: PostgresTransactions[UnitOfWork]) -> dict[str, Operation]:
    """By what they are called in the decision."""
    known: list[Workspace] = []

    def told(workspace: Workspace) -> Workspace:
        return workspace.recording(UserEdited(at=datetime.now(UTC), user_id=a_user_id()))

    async def add() -> None:
        workspace = a_workspace()
        async with transactions() as uow:
            await uow.workspaces.add(told(workspace))
        known[:] = [workspace]

    async def get() -> None:
        async with transactions() as uow:
            await uow.workspaces.get(known[0].id)

    async def get_and_save() -> None:
        async with transactions() as uow:
            workspace = await uow.workspaces.get(known[0].id)
            await uow.workspaces.save(told(replace(workspace, name=workspace.name[::-1])))

    return {"add": add, "get": get, "get and save": get_and_save}


async def micros(operation: Operation) -> float:
    """Processor time of one, in the best round."""
    taken = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        for _ in range(TIMES):
            await operation()
        taken.append((time.process_time() - begun) / TIMES)
    return min(taken) * 1e6


async def trips(operation: Operation, counted: Trips) -> int:
    """Of one, once everything is warm."""
    for _ in range(3):
        await operation()
    before = counted.count
    await operation()
    return counted.count - before


async def measure(url: str) -> None:
    made = repositories_of(UnitOfWork)
    print(f"{'':14}{'Core':>20}{'ORM':>20}")
    rows: dict[str, list[str]] = {}
    for repositories in (made, {**made, "workspaces": OrmWorkspaces}):
        counted = Trips()
        async with counted.to(url) as proxied:
            for where in (proxied, url):
                database = Database(where, pool_size=1)
                transactions = PostgresTransactions(
                    database, lambda: datetime.now(UTC), UnitOfWork, repositories
                )
                for name, operation in operations(transactions).items():
                    if where == proxied:
                        rows.setdefault(name, []).append(f"{await trips(operation, counted)} trips")
                    else:
                        rows[name][-1] += f" {await micros(operation):5.0f} µs"
                await database.close()
    for name, cells in rows.items():
        print(f"{name:14}" + "".join(f"{cell:>20}" for cell in cells))


def main() -> None:
    with embedded_postgres(None, database="orm") as url:
        settings = {**os.environ, "DATABASE_URL": url, "ENVIRONMENT": "development"}
        subprocess.run([sys.executable, "-m", "entrypoints.cli", "migrate"], env=settings, check=True)
        uvloop.run(measure(url))


if __name__ == "__main__":
    main()
