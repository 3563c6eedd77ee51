"""A Redis of a test's own: an image named by TEST_REDIS_IMAGE, or a redis-server or valkey-server on PATH."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from time import monotonic, sleep
from uuid import uuid4

import pytest

MISSING = (
    "There is no Redis here: name an image by TEST_REDIS_IMAGE, or put redis-server or valkey-server on PATH."
)


@cache
def program() -> Sequence[str] | None:
    """The command that a Redis is, without its arguments; `None` where there is none."""
    if image := os.environ.get("TEST_REDIS_IMAGE"):
        return ("docker", "run", "--rm", "--network", "host", "--name", "{name}", image)  # it takes options
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    return (found,) if found else None


def needed_program() -> Sequence[str]:
    """The same, or the end of the test: a skip, and in CI a failure."""
    if (found := program()) is not None:
        return found
    if os.environ.get("CI"):
        pytest.fail(MISSING)
    pytest.skip(MISSING)


class RedisServer:
    """A Redis on a port of its own, with nothing on disk; it can be frozen, killed and started again."""

    def __init__(self, *options: str) -> None:
        """`options` are Redis' own, such as --requirepass secret."""
        self._command = [*needed_program()]
        self._name = f"redis-{uuid4().hex[:8]}"
        self._folder = tempfile.TemporaryDirectory(prefix="redis-")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def _in_container(self) -> bool:
        return self._command[0] == "docker"

    def start(self) -> None:
        """Returns when it listens."""
        command = [part.replace("{name}", self._name) for part in self._command]
        command += ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            [*command, *self._options],
            cwd=self._folder.name,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        ends = monotonic() + 60
        while not self._listens():
            assert self._process.poll() is None, f"Redis has ended: {command}"
            assert monotonic() < ends, "Redis does not listen."
            sleep(0.02)

    def freeze(self) -> None:
        """It takes connections and answers nothing, until `thaw`."""
        self._signal(signal.SIGSTOP, "pause")

    def thaw(self) -> None:
        self._signal(signal.SIGCONT, "unpause")

    def kill(self) -> None:
        """Ends it at once, frozen or not, and with it all that it has counted."""
        if self._process is None:
            return
        if self._in_container:
            self._docker("kill")
        else:
            self._process.kill()
        self._process.wait(60)
        self._process = None

    def close(self) -> None:
        self.kill()
        self._folder.cleanup()

    def _signal(self, number: signal.Signals, in_container: str) -> None:
        assert self._process is not None
        if self._in_container:
            self._docker(in_container)
        else:
            self._process.send_signal(number)

    def _docker(self, command: str) -> None:
        subprocess.run(("docker", command, self._name), capture_output=True, check=False, timeout=60)

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False


@contextmanager
def a_redis(*options: str) -> Iterator[RedisServer]:
    """A running one, ended with the block."""
    server = RedisServer(*options)
    try:
        server.start()
        yield server
    finally:
        server.close()
