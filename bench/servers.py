"""The two servers that are compared, as processes, and a plain client for what is not measured."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from bench.machine import Cores, on

START_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0


class BenchError(Exception):
    """Nothing can be measured. The message says why."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers."""

    port: int
    pid: int

    def ask(self, method: str, path: str, *, token: str = "", body: object = None) -> bytes:
        """The body of the answer; raises BenchError where its status is no success."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, *content(body, token))
            answer = connection.getresponse()
            received = answer.read()
        finally:
            connection.close()
        if answer.status >= 300:
            raise BenchError(f"{method} {path} was answered {answer.status}: {received.decode()}")
        return received

    def read(self, method: str, path: str, *, token: str = "", body: object = None) -> dict[str, Any]:
        """The body of the answer, decoded."""
        decoded: dict[str, Any] = json.loads(self.ask(method, path, token=token, body=body))
        return decoded


def content(body: object, token: str) -> tuple[bytes | None, dict[str, str]]:
    """The bytes of a request's body, and the headers that go with it."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if body is None:
        return None, headers
    return json.dumps(body).encode(), {**headers, "Content-Type": "application/json"}


@contextmanager
def running(*command: str, cores: Cores, log: Path, environment: Mapping[str, str]) -> Iterator[Server]:
    """Runs what Python is given, which serves HTTP at PORT; raises BenchError where it does not start."""
    port = _free_port()
    with log.open("wb") as output, on(cores):
        process = subprocess.Popen(
            [sys.executable, *command],
            env={**os.environ, **environment, "HOST": "127.0.0.1", "PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the measurement, which ends its servers itself
        )
    server = Server(port, process.pid)
    try:
        _await_start(process, server, log)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_start(process: "subprocess.Popen[bytes]", server: Server, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        try:
            server.ask("GET", "/health/live")
        except OSError:
            time.sleep(0.05)
        else:
            return
    last_words = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
    raise BenchError(f"{process.args!r} does not answer. Its last words:\n{last_words}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
