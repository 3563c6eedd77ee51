"""A pytest plugin for a previous release's suite: its databases are migrated by the code at NEW_RELEASE.

It is put into an unmodified tree (`-p previous_schema`), whose fixture `migrated_database` calls `_migrate`
of its module `kernel.servers.postgres`.
"""

import asyncio
import os
import sys
from pathlib import Path

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart() -> None:
    module = sys.modules.get("kernel.servers.postgres")
    name = next((each for each in ("migrate", "_migrate") if hasattr(module, each)), None)
    if name is None:
        raise pytest.UsageError("The previous release makes its databases in a way that is not known here.")
    setattr(module, name, _migrate)


async def _migrate(dsn: str) -> None:
    folder = Path(os.environ["NEW_RELEASE"])
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "entrypoints.cli", "migrate"),
        cwd=folder,
        env={**os.environ, "DATABASE_URL": dsn, "PYTHONPATH": str(folder / "src")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode:
        pytest.fail(f"The migrations failed:\n{output.decode(errors='replace')}", pytrace=False)
