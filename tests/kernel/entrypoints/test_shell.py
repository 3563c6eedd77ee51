"""The console, as a process that is typed to."""

import asyncio
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import asyncpg

from kernel.servers.serving import environment_of

TYPED = b"""
from kernel.world.builders import a_user
async with trying() as uow:
    await uow.users.add(a_user(display_name="Tried"))


print("asked", await ask.auth.signing_keys())
exit
"""


async def test_what_a_unit_of_work_does_in_the_console_is_rolled_back(
    empty_database_url: str, tmp_path: Path
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "entrypoints.shell"),
        env=environment_of(empty_database_url, IPYTHONDIR=str(tmp_path)),
        stdin=PIPE,
        stdout=PIPE,
        stderr=STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(TYPED), 60)
    assert b"asked []" in said, said.decode()
    assert b"Error" not in said, said.decode()
    assert process.returncode == 0
    by_hand = await asyncpg.connect(empty_database_url)
    assert await by_hand.fetchval("SELECT count(*) FROM users") == 0
    await by_hand.close()
