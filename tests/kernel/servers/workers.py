"""The worker as a process: what it is told by its environment, and what it says in its log."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from entrypoints.kernel.service import ROOT
from kernel.servers.serving import READ_AHEAD

PATIENCE_SECONDS = 60


@asynccontextmanager
async def a_worker(
    url: str, *, module: str = "entrypoints.worker", **settings: str
) -> AsyncIterator[Process]:
    """A worker on the database at that address, killed at the end if it still runs."""
    paths = os.pathsep.join(str(ROOT / folder) for folder in ("src", "tests"))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module),
        env={**os.environ, "DATABASE_URL": url, "PYTHONPATH": paths, "LOG_FORMAT": "json", **settings},
        stdout=PIPE,
        stderr=PIPE,
        limit=READ_AHEAD,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def logged(process: Process, event: str, **details: object) -> dict[str, Any]:
    """The next line of the log with that event and those details."""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for line in process.stdout:
            entry: dict[str, Any] = json.loads(line)
            if entry["event"] == event and details.items() <= entry.items():
                return entry
    pytest.fail(f"The worker ended before it logged {event!r}.")
