"""The embedded PostgreSQL, with real servers in temporary folders."""

import asyncio
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import asyncpg
import pytest

from entrypoints.kernel.tools import embedded
from entrypoints.kernel.tools.embedded import EmbeddedPostgresError, embedded_postgres

HOLD = """
import sys
from pathlib import Path
from entrypoints.kernel.tools.embedded import embedded_postgres
with embedded_postgres(Path(sys.argv[1]), database="shop") as dsn:
    print(dsn, flush=True)
    sys.stdin.readline()
"""
COME_AND_GO = """
import asyncio, sys
from pathlib import Path
import asyncpg
from entrypoints.kernel.tools.embedded import embedded_postgres
async def count(dsn):
    connection = await asyncpg.connect(dsn)
    return await connection.fetchval("select 6")
for _ in range(4):
    with embedded_postgres(Path(sys.argv[1]), database="shop") as dsn:
        found = asyncio.run(count(dsn))
print(found)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "postgres"


@pytest.fixture
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that runs the server of `folder`."""
    with a_holder(folder) as (process, dsn):
        assert dsn.startswith("postgresql://")
        yield process


async def _count(dsn: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("create table if not exists visits (at timestamptz default now())")
        await connection.execute("insert into visits default values")
        return int(await connection.fetchval("select count(*) from visits"))
    finally:
        await connection.close()


async def test_what_was_stored_is_there_after_a_restart(folder: Path) -> None:
    for visit in (1, 2):
        with embedded_postgres(folder, database="shop") as dsn:
            assert await _count(dsn) == visit


async def test_a_database_is_made_where_it_is_missing(folder: Path) -> None:
    with embedded_postgres(folder, database="shop") as dsn:
        assert await _count(dsn) == 1
    with embedded_postgres(folder, database="an-other shop") as dsn:
        assert await _count(dsn) == 1


def test_without_a_folder_nothing_is_left_of_it() -> None:
    with embedded_postgres(database="shop") as dsn:
        data = Path(dsn.partition("?host=")[2])
        assert data.exists()
    assert not data.parent.exists()


async def test_texts_sort_and_fold_alike_on_every_machine() -> None:
    with embedded_postgres(database="shop") as dsn:
        connection = await asyncpg.connect(dsn)
        assert await connection.fetchval("select lower('ÄÉ')") == "äé"
        assert await connection.fetchval("select 'Z' < 'a'")
        await connection.close()


async def test_a_second_process_shares_the_server(folder: Path, holder: subprocess.Popen[str]) -> None:
    with embedded_postgres(folder, database="shop") as dsn:
        assert await _count(dsn) == 1
    assert holder.poll() is None
    with embedded_postgres(folder, database="shop") as dsn:
        assert await _count(dsn) == 2


async def test_a_killed_owner_leaves_no_server_and_loses_nothing(
    folder: Path, holder: subprocess.Popen[str]
) -> None:
    with embedded_postgres(folder, database="shop") as dsn:
        assert await _count(dsn) == 1
    holder.kill()
    holder.wait()
    with embedded_postgres(folder, database="shop") as dsn:
        assert await _count(dsn) == 2


async def test_a_server_without_owner_and_watchdog_is_succeeded(
    folder: Path, holder: subprocess.Popen[str]
) -> None:
    server = int((folder / "data" / "postmaster.pid").read_text().split()[0])
    watchdog = os.getpgid(server)
    holder.kill()
    os.kill(watchdog, signal.SIGKILL)
    holder.wait()
    with embedded_postgres(folder, database="shop") as dsn:
        assert await _count(dsn) == 1


async def test_a_number_that_a_killed_server_left_may_be_anybodys(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with embedded_postgres(folder, database="shop") as dsn:
        assert await _count(dsn) == 1
    left = f"{os.getpid()}\n{folder}/data\n0\n5432\n{folder}/data\n\n0 0\nready\n"
    (folder / "data" / "postmaster.pid").write_text(left)
    monkeypatch.setattr(embedded, "_alive", lambda pid: False)  # it waits ten seconds for a living one
    with embedded_postgres(folder, database="shop") as dsn:
        assert await _count(dsn) == 2


def test_a_path_may_be_longer_than_a_sockets(tmp_path: Path) -> None:
    folder = tmp_path / "a-long-name" / ("x" * 100) / "it's, here"
    for _ in ("first", "again"):
        with embedded_postgres(folder, database="shop") as dsn:
            sockets = Path(dsn.partition("?host=")[2])
            assert sockets.exists()
            assert folder not in sockets.parents
        assert not sockets.exists()


def test_data_of_another_version_is_refused_with_the_remedy(folder: Path) -> None:
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "PG_VERSION").write_text("9\n")
    with (
        pytest.raises(EmbeddedPostgresError, match=r"was written by PostgreSQL 9.*Remove the folder"),
        embedded_postgres(folder, database="shop"),
    ):
        pytest.fail("it started")


def test_data_that_cannot_be_made_is_told_in_the_words_of_initdb(folder: Path) -> None:
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "a-file-of-somebody").touch()
    with (
        pytest.raises(OSError, match="not empty"),
        embedded_postgres(folder, database="shop"),
    ):
        pytest.fail("it started")


def test_a_server_that_cannot_start_is_told_in_its_own_words(folder: Path) -> None:
    with embedded_postgres(folder, database="shop"):
        pass
    (folder / "data" / "postgresql.conf").write_text("no_such_setting = 1\n")
    with (
        pytest.raises(EmbeddedPostgresError, match=r"did not start[\s\S]*no_such_setting"),
        embedded_postgres(folder, database="shop"),
    ):
        pytest.fail("it started")


def test_without_the_wheel_the_message_names_the_remedy(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EmbeddedPostgresError, match="Set DATABASE_URL"), embedded_postgres(database="shop"):
        pytest.fail("it started")


def test_a_command_gets_a_database_and_gives_its_exit_code(capfd: pytest.CaptureFixture[str]) -> None:
    assert embedded.main(["--", "sh", "-c", "echo $DATABASE_URL; exit 7"]) == 7
    assert capfd.readouterr().out.startswith("postgresql://postgres@/scratch?host=")


def test_a_command_is_needed(capfd: pytest.CaptureFixture[str]) -> None:
    assert embedded.main([]) == 2
    assert "Usage" in capfd.readouterr().err


# ── who uses the folder ──────────────────────────────────────────────────────────────────────────


def start_holder(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@contextmanager
def a_holder(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process that uses the server of the folder until a line comes in, and its address."""
    process = start_holder(folder)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def end(process: subprocess.Popen[str], *, kill: bool) -> None:
    if kill:
        process.kill()
        process.communicate()
    else:
        assert process.communicate("\n", timeout=60)[0] == ""


def wait_until(holds: Callable[[], bool], *, pause: float = 0.02) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(pause)


def wait_for_its_end(folder: Path) -> None:
    wait_until(lambda: not (folder / "data" / "postmaster.pid").exists())


@pytest.mark.parametrize("first", [True, False], ids=["first killed", "first ended"])
@pytest.mark.parametrize("last", [True, False], ids=["last killed", "last ended"])
async def test_the_server_ends_with_the_last_that_uses_it(folder: Path, *, first: bool, last: bool) -> None:
    with a_holder(folder) as (one, dsn), a_holder(folder) as (two, same), a_holder(folder) as (three, _):
        assert dsn == same
        connection = await asyncpg.connect(dsn)
        end(one, kill=first)
        end(three, kill=first)
        assert await connection.fetchval("select 1") == 1
        assert await _count(dsn) == 1
        with a_holder(folder) as (four, again):  # who comes later shares it, too
            assert again == dsn
            assert await _count(dsn) == 2
            end(four, kill=last)
        assert await connection.fetchval("select 1") == 1
        end(two, kill=last)
    wait_for_its_end(folder)
    with embedded_postgres(folder, database="shop") as dsn:
        assert await _count(dsn) == 3


async def test_of_many_that_come_and_go_at_once_none_loses_the_server(folder: Path) -> None:
    async def come_and_go() -> int:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", COME_AND_GO, str(folder)), stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        return int(output)

    assert await asyncio.gather(*(come_and_go() for _ in range(6))) == [6] * 6
    wait_for_its_end(folder)


async def test_a_copy_of_the_folder_of_a_server_that_runs_is_another(
    folder: Path, holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    with embedded_postgres(folder, database="shop") as dsn:
        assert await _count(dsn) == 1
        copy = tmp_path / "copy" / "data"
        shutil.copytree(folder / "data", copy, ignore=shutil.ignore_patterns(".s.PGSQL.*"))
        for path in (copy, *copy.rglob("*")):
            os.chown(path, (folder / "data").stat().st_uid, -1)
        with embedded_postgres(tmp_path / "copy", database="shop") as copied:
            assert copied != dsn
            assert await _count(copied) == 2
        assert holder.poll() is None
        assert await _count(dsn) == 2


RUBBISH: dict[str, bytes] = {
    "nothing": b"",
    "words": b"rubbish\n",
    "no text": b"\xff\xfe\x00\x80" * 100,
    "empty lines": b"\n" * 20,
    "a number alone": b"1",
    "zero": b"0\n{data}\n0\n5432\n{data}\n\n0 0\nready\n",
    "a negative number": b"-1\n{data}\n0\n5432\n{data}\n\n0 0\nready\n",
    "a number that no process can have": b"99999999999999999999\n{data}\n0\n5432\n{data}\n\n0 0\nready\n",
    "half a file": b"{other}\n{data}\n0",
    "this process": b"{self}\n{data}\n0\n5432\n{data}\n\n0 0\nready\n",
    "its parent": b"{parent}\n{data}\n0\n5432\n{data}\n\n0 0\nready\n",
    "another program": b"{other}\n{data}\n0\n5432\n{data}\n\n0 0\nready   \n",
    "another program that is starting": b"{other}\n{data}\n0\n5432\n{data}\n\n0 0\nstarting\n",
    "a socket with a NUL": b"{other}\n{data}\n0\n5432\n/tmp/\0\n\n0 0\nready\n",
    "a socket with a path that is too long": b"{other}\n{data}\n0\n5432\n/"
    + b"x" * 500
    + b"\n\n0 0\nready\n",
}


@pytest.mark.parametrize("case", RUBBISH)
def test_rubbish_in_postmaster_pid_is_removed(case: str, folder: Path) -> None:
    with embedded_postgres(folder, database="shop"):
        pass
    with subprocess.Popen(["sleep", "60"]) as other:
        numbers = {"self": os.getpid(), "parent": os.getppid(), "other": other.pid, "data": folder / "data"}
        content = RUBBISH[case]
        for name, value in numbers.items():
            content = content.replace(f"{{{name}}}".encode(), str(value).encode())
        (folder / "data" / "postmaster.pid").write_bytes(content)
        started = time.monotonic()
        with embedded_postgres(folder, database="shop") as dsn:
            assert asyncio.run(_count(dsn)) == 1
        assert time.monotonic() - started < 9  # it waits ten seconds for what may be a PostgreSQL
        assert other.poll() is None
        other.kill()


async def test_a_folder_in_the_place_of_postmaster_pid_is_removed(folder: Path) -> None:
    with embedded_postgres(folder, database="shop"):
        pass
    (folder / "data" / "postmaster.pid").mkdir()
    with embedded_postgres(folder, database="shop") as dsn:
        assert await _count(dsn) == 1


# ── where the folder is ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "name",
    [
        *(
            "it's",
            'a "quote"',
            "$HOME",
            "a b",
            "back\\slash",
            "bücher",
            "a,b",
            "a%20b",
            "a&b?c=d#e",
            "a:b",
            "@x",
        ),
        *("`id`", "$(id)", "a;b", "*", "~", "-D", "日本", "a'\"$ \\b", "x" * 120),
    ],
)
def test_a_folder_may_have_any_name(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name / ".postgres"
    for visit in (1, 2):
        with embedded_postgres(folder, database="shop") as dsn, a_holder(folder) as (_, same):
            assert dsn == same
            assert asyncio.run(_count(dsn)) == visit
            sockets = Path(unquote(dsn.partition("?host=")[2]))
        assert sockets == folder / "data" or not sockets.exists()


# ── an early Ctrl-C ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("moment", ["data.new", "data/PG_VERSION", "data/postmaster.pid", "holders"])
def test_whoever_ends_in_the_middle_leaves_what_the_next_starts_on(
    number: signal.Signals, moment: str, folder: Path
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until(lambda: any(folder.glob(f"{moment}*")), pause=0.001)
    os.killpg(process.pid, number)
    process.communicate(timeout=60)
    with embedded_postgres(folder, database="shop") as dsn:
        assert asyncio.run(_count(dsn)) == 1
    wait_for_its_end(folder)
    assert [*folder.glob("data.new*")] == []
