"""The real server as a process of its own, on a port of its own."""

import asyncio
import json
import os
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from httpx2 import AsyncClient, ConnectError

from kernel.servers.pgbouncer import variables

TESTS = Path(__file__).parents[2]
SERVER = "kernel.servers.specimen"

READ_AHEAD = 1 << 30
"""Bytes of a process's output that are taken from it, whether a test reads them or not."""


def environment_of(database_url: str, **settings: str) -> dict[str, str]:
    """What a server's process is given, with a port that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return {
        **os.environ,
        **variables(database_url),
        "PORT": str(port),
        "PYTHONPATH": os.pathsep.join([str(TESTS.parent / "src"), str(TESTS)]),
        "LOG_FORMAT": "json",
        **settings,
    }


async def start(
    environment: Mapping[str, str], *arguments: str, module: str = SERVER, read_ahead: int = READ_AHEAD
) -> Process:
    command = (sys.executable, "-m", module, *arguments)
    return await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=PIPE, stderr=PIPE, limit=read_ahead
    )


@asynccontextmanager
async def serving(
    environment: Mapping[str, str], *arguments: str, module: str = SERVER, read_ahead: int = READ_AHEAD
) -> AsyncIterator[tuple[AsyncClient, Process]]:
    """A server that takes requests, a client of it, and the process, which ends with the block."""
    process = await start(environment, *arguments, module=module, read_ahead=read_ahead)
    try:
        # Of a busy machine: nothing here is about how long it takes.
        async with AsyncClient(base_url=f"http://127.0.0.1:{environment['PORT']}", timeout=60) as client:
            async with asyncio.timeout(120):
                while True:
                    with suppress(ConnectError):
                        await client.get("/health/live")
                        break
                    await asyncio.sleep(0.05)
            yield client, process
    finally:
        if process.returncode is None:
            process.terminate()
        # pytest shows it where the test fails.
        for said in await process.communicate():
            sys.stdout.write(said.decode(errors="replace"))


@asynccontextmanager
async def logged(process: Process) -> AsyncIterator[list[dict[str, object]]]:
    """What the server logs, line by line; all of it once the block has ended, and with it the server."""
    lines: list[dict[str, object]] = []

    async def read() -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            lines.append(json.loads(line))

    reading = asyncio.create_task(read())
    try:
        yield lines
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.gather(reading, process.wait())
