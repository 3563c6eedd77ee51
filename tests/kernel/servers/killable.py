"""A PostgreSQL of one test's own, which can be killed and started again on the data that it left."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path

from entrypoints.kernel.tools.embedded import embedded_postgres
from kernel.servers.postgres import add_specimen, migrate


class KillablePostgres:
    """An embedded server that syncs what it commits. `url` stays the same."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: AbstractContextManager[str] | None = None
        self.url = ""

    async def start(self) -> None:
        """Returns when it takes connections."""
        self._running = embedded_postgres(self._folder, database="killable")
        self.url = await asyncio.to_thread(self._running.__enter__)

    def kill(self) -> None:
        """As a machine without power does: SIGKILL, and nothing is said to anybody."""
        pid = int((self._folder / "data" / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGKILL)

    async def stop(self) -> None:
        """Ends it, or clears up after one that was killed."""
        if self._running is not None:
            running, self._running = self._running, None
            await asyncio.to_thread(running.__exit__, None, None, None)


@asynccontextmanager
async def killable_postgres(folder: Path) -> AsyncIterator[KillablePostgres]:
    """A server whose database is at head, with the specimen's tables."""
    server = KillablePostgres(folder)
    await server.start()
    try:
        await migrate(server.url)
        await add_specimen(server.url)
        yield server
    finally:
        await server.stop()
