"""The embedded PostgreSQL, with real servers in temporary folders."""

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from entrypoints.kernel.tools import embedded
from entrypoints.kernel.tools.embedded import EmbeddedPostgresError, embedded_postgres

HOLD = """
import sys, time
from pathlib import Path
from entrypoints.kernel.tools.embedded import embedded_postgres
with embedded_postgres(Path(sys.argv[1]), database="shop") as dsn:
    print(dsn, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "postgres"


@pytest.fixture
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that runs the server of `folder`."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("postgresql://")
    yield process
    process.kill()
    process.communicate()


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
