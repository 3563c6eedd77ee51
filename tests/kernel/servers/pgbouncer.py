"""PgBouncer in transaction mode: one for the whole run, or one of a test's own."""

import os
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

import pytest

from adapters.postgres.kernel.connection.connecting import session_settings

OLDEST = (1, 21)  # the first that keeps prepared statements in transaction mode
PLACE = "TEST_POOLER_ADDRESS"  # where the run's PgBouncer listens, for every process of the run


def is_pooled() -> bool:
    """Whether the service of this run's tests reaches its database through a pooler."""
    return PLACE in os.environ


def through_pooler(url: str) -> str:
    """The address of the same database by which the service reaches it in this run."""
    return _at(os.environ[PLACE], url) if is_pooled() else url


def variables(url: str) -> dict[str, str]:
    """How a process of the service is told of its database in this run."""
    if not is_pooled():
        return {"DATABASE_URL": url}
    return {"DATABASE_URL": through_pooler(url), "DATABASE_DIRECT_URL": url, "DATABASE_POOLER": "transaction"}


def defaults_of_sessions(name: str) -> Sequence[str]:
    """The SQL that gives the sessions of a database what the service cannot tell them through a pooler."""
    if not os.environ.get("TEST_POOLER"):
        return []
    settings = session_settings(statement_seconds=10, lock_seconds=5)
    return [f"ALTER DATABASE \"{name}\" SET {each} = '{value}'" for each, value in settings.items()]


# --- a PgBouncer ----------------------------------------------------------------------------------

MISSING = "There is no PgBouncer >= 1.21 here: name an image by TEST_PGBOUNCER_IMAGE, or put it on PATH."


@cache
def program() -> Sequence[str] | None:
    """The command that PgBouncer is, without its arguments; None where there is none that will do."""
    if image := os.environ.get("TEST_PGBOUNCER_IMAGE"):
        # On the machine's own network, where the server listens; by no user of the machine's.
        user = "65534:65534" if os.getuid() == 0 else f"{os.getuid()}:{os.getgid()}"
        command = ("docker", "run", "--rm", "--network", "host", "--user", user)
        return (
            (*command, "{options}", image, "pgbouncer") if _is_new((*command, image, "pgbouncer")) else None
        )
    found = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    return (found,) if found and _is_new((found,)) else None


def _is_new(command: Sequence[str]) -> bool:
    with suppress(OSError):
        said = subprocess.run((*command, "--version"), capture_output=True, text=True, check=False).stdout
        if version := re.search(r"PgBouncer (\d+)\.(\d+)", said):
            return (int(version[1]), int(version[2])) >= OLDEST
    return False


def needed_program() -> Sequence[str]:
    """The same, or the end of the test: a skip, and in CI a failure."""
    if (found := program()) is not None:
        return found
    if os.environ.get("CI"):
        pytest.fail(MISSING)
    pytest.skip(MISSING)


class PgBouncer:
    """A PgBouncer in transaction mode in front of a server, on a port of its own; it can be restarted."""

    def __init__(self, dsn: str, **settings: object) -> None:
        """`settings` are PgBouncer's own."""
        self._dsn = dsn
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._name = f"pgbouncer-{uuid4().hex[:8]}"
        self._folder = tempfile.TemporaryDirectory(prefix="pgbouncer-")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.place = f"127.0.0.1:{probe.getsockname()[1]}"

    @property
    def url(self) -> str:
        """The address of the database through it."""
        return _at(self.place, self._dsn)

    @property
    def console(self) -> str:
        """The address of what takes RECONNECT, KILL and SHOW."""
        return f"postgresql://admin@{self.place}/pgbouncer?sslmode=disable"

    def start(self) -> None:
        """Returns when it listens, after half a second."""
        folder = Path(self._folder.name)
        folder.chmod(0o755)
        file = folder / "pgbouncer.ini"
        file.write_text(_configuration(self._dsn, self.place, self._settings))
        mounted = [folder]
        if sockets := parse_qs(urlsplit(self._dsn).query).get("host"):
            mounted.append(Path(sockets[0]))
        options = ["--name", self._name]
        for each in mounted:
            options += ["--volume", f"{each}:{each}"]
        command = [*needed_program(), str(file)]
        if "{options}" in command:
            place = command.index("{options}")
            command[place : place + 1] = options
        elif os.getuid() == 0:
            command += ["--user", "nobody"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ends = monotonic() + 60
        while not self._listens():
            assert self._process.poll() is None, f"PgBouncer has ended: {shlex.join(command)}"
            assert monotonic() < ends, "PgBouncer does not listen."
            sleep(0.05)

    def kill(self) -> None:
        """Ends it at once, with all connections of its clients and to its server."""
        if self._process is None:
            return
        if "docker" in needed_program():
            subprocess.run(("docker", "kill", self._name), capture_output=True, check=False)
        else:
            self._process.kill()
        self._process.wait(30)
        self._process = None

    def close(self) -> None:
        """Ends it for good."""
        self.kill()
        self._folder.cleanup()

    def _listens(self) -> bool:
        host, _, port = self.place.partition(":")
        with suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            return True
        return False


@contextmanager
def a_pgbouncer(dsn: str, **settings: object) -> Iterator[PgBouncer]:
    """A running one, ended with the block."""
    pgbouncer = PgBouncer(dsn, **settings)
    try:
        pgbouncer.start()
        yield pgbouncer
    finally:
        pgbouncer.close()


def _configuration(dsn: str, place: str, settings: dict[str, object]) -> str:
    server = urlsplit(dsn)
    host = parse_qs(server.query).get("host", [server.hostname])[0]
    values = {
        "listen_addr": place.partition(":")[0],
        "listen_port": place.partition(":")[2],
        "unix_socket_dir": "",
        "auth_type": "any",
        "admin_users": "admin",
        "pool_mode": "transaction",
        "default_pool_size": 10,
        "max_client_conn": 1000,
        "max_prepared_statements": 200,
        "server_login_retry": 1,
        **settings,
    }
    database = f"host={host} port={server.port or 5432} user={unquote(server.username or 'postgres')}"
    if server.password:
        database += f" password={unquote(server.password)}"
    return "\n".join(
        [
            "[databases]",
            f"* = {database}",
            "[pgbouncer]",
            *(f"{name} = {v}" for name, v in values.items()),
            "",
        ]
    )


def _at(place: str, dsn: str) -> str:
    """The database of an address at another place, by no password: PgBouncer has the server's."""
    address = urlsplit(dsn)
    user = address.netloc.rpartition("@")[0].partition(":")[0] or "postgres"
    return f"postgresql://{user}@{place}{address.path}?sslmode=disable"
