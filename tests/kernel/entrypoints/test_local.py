"""`make run`, as processes: what it prints, how it ends, and what it says is in the way."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import pytest

from entrypoints.kernel.tools import local
from entrypoints.settings import Settings

# Runs the supervisor with `WORKER` replaced: a module that ends at once, or none of ours at all.
WITH_ANOTHER_WORKER = (
    "import sys; from entrypoints.kernel.tools import local; from entrypoints.settings import Settings; "
    "local.WORKER = {!r}; sys.exit(local.main(Settings, []))"
)


@dataclass
class Run:
    """A supervisor in a process group of its own, as a terminal would start it."""

    process: subprocess.Popen[str]
    port: int
    lines: list[str] = field(default_factory=list)

    def read_until(self, text: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if text in line:
                return
        pytest.fail(f"{text!r} was not printed:\n{''.join(self.lines)}")

    def end(self) -> int:
        output, _ = self.process.communicate(timeout=60)
        self.lines.append(output)
        return self.process.returncode

    @property
    def output(self) -> str:
        return "".join(self.lines)


type Start = Callable[..., Run]


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def environment(port: int, empty_database_url: str) -> dict[str, str]:
    given = {
        "DATABASE_URL": empty_database_url,
        "PORT": str(port),
        "LOG_LEVEL": "warning",
    }
    return {**os.environ, **given}


@pytest.fixture
def start(environment: dict[str, str], port: int) -> Iterator[Start]:
    runs = []

    def start(*command: str) -> Run:
        process = subprocess.Popen(
            [sys.executable, *(command or ("-m", "entrypoints.local"))],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        runs.append(process)
        return Run(process, port)

    yield start
    for process in runs:
        process.kill()
        process.communicate()


def test_it_serves_says_how_to_log_in_and_ends_with_ctrl_c(start: Start, port: int) -> None:
    run = start()
    run.read_until("Ctrl-C")
    assert f"http://localhost:{port}/v1/docs" in run.output
    assert "demo@example.com" in run.output
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/live") as answer:
        assert answer.status == 200
    os.killpg(run.process.pid, signal.SIGINT)
    assert run.end() == 0
    assert "Traceback" not in run.output


def test_a_killed_supervisor_leaves_nothing_running(start: Start, port: int) -> None:
    run = start()
    run.read_until("Ctrl-C")
    run.process.kill()
    run.process.wait()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.1)
    pytest.fail("The API still serves.")


def test_a_part_that_ends_by_itself_ends_the_others(start: Start) -> None:
    run = start("-c", WITH_ANOTHER_WORKER.format(("this",)))
    assert run.end() == 1
    assert "The worker ended by itself, with exit code 0." in run.output
    assert "Traceback" not in run.output


def test_a_step_that_fails_gives_its_exit_code(start: Start, environment: dict[str, str]) -> None:
    environment["LOG_FORMAT"] = "nonsense"
    run = start()
    assert run.end() == 2
    assert "LOG_FORMAT" in run.output
    assert "Traceback" not in run.output


def test_a_second_one_says_what_is_wrong_with_the_port(
    start: Start, environment: dict[str, str], port: int
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        run = start()
        assert run.end() == 1
    remedy = f"Port {port} is in use by another program. End that program, or use another port: PORT="
    assert run.output.startswith(remedy)
    assert run.output.count("\n") == 1


def test_an_address_of_another_machine_is_refused(start: Start, environment: dict[str, str]) -> None:
    environment["HOST"] = "192.0.2.1"
    run = start()
    assert run.end() == 1
    assert run.output == "HOST is '192.0.2.1', which is no address of this machine: HOST=127.0.0.1 make run\n"


def test_a_command_runs_on_the_same_database(start: Start, environment: dict[str, str]) -> None:
    run = start("-m", "entrypoints.local", "--", "sh", "-c", "echo $DATABASE_URL; exit 7")
    assert run.end() == 7
    assert run.output.strip() == environment["DATABASE_URL"]


def test_anything_else_is_answered_with_the_usage(start: Start) -> None:
    run = start("-m", "entrypoints.local", "--nonsense")
    assert run.end() == 2
    assert run.output.startswith("Usage:")


def test_without_a_database_the_embedded_one_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "DATA", tmp_path / "postgres")
    with local._environment(local._settings(Settings)) as environment:
        _, _, sockets = environment["DATABASE_URL"].partition("?host=")
        # Where the folder's path is too long for a socket, it listens elsewhere.
        assert unquote(sockets) in (tmp_path / "postgres/data/postmaster.pid").read_text()


# Runs the supervisor on an embedded database in the folder that it is given.
EMBEDDED = (
    "import sys; from pathlib import Path; from entrypoints.kernel.tools import local; "
    "from entrypoints.settings import Settings; "
    "local.DATA = Path({!r}); local.SEEDED = local.DATA / 'seeded'; "
    "sys.exit(local.main(Settings, []))"
)
BEFORE = "Stopped before it was serving."


def test_ctrl_c_before_the_first_line_is_answered_in_one_sentence(start: Start) -> None:
    for seconds in (0.2, 0.5, 1.0):
        run = start()
        # Python itself starts for some milliseconds, and what it is imports after that for a second.
        wait_until_handled(run.process.pid)
        time.sleep(seconds / 10)
        os.killpg(run.process.pid, signal.SIGINT)
        assert (run.end(), run.output) == (130, f"{BEFORE}\n")


def wait_until_handled(pid: int) -> None:
    """Waits until the process has a handler for SIGINT other than Python's own, which is set at its start."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        loaded = Path(f"/proc/{pid}/maps").read_text()
        if "_pydantic_core" in loaded:  # among the first that is imported
            return
        time.sleep(0.005)
    pytest.fail("It imports nothing.")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("moment", ["data.new*", "data/postmaster.pid", "holders"])
def test_an_early_end_says_so_and_the_next_start_works(
    moment: str, number: signal.Signals, start: Start, environment: dict[str, str], tmp_path: Path
) -> None:
    del environment["DATABASE_URL"]
    folder = tmp_path / "postgres"
    run = start("-c", EMBEDDED.format(str(folder)))
    deadline = time.monotonic() + 60
    while not any(folder.glob(moment)):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    os.killpg(run.process.pid, number)
    assert run.end() == (130 if number == signal.SIGINT else 0)
    assert run.output.count("\n") <= 3  # as root it lets the server pass, and it may have begun to migrate
    assert run.output.splitlines()[-1] in {BEFORE, "Stopping"}
    run = start("-c", EMBEDDED.format(str(folder)))
    run.read_until("Migrating the database")
    os.killpg(run.process.pid, signal.SIGINT)
    run.end()
    assert "Traceback" not in run.output


# The same, where the signal comes while C calls Python and takes any exception for one that it knows.
SWALLOWED = (
    "import os, signal; from entrypoints.kernel.tools import embedded\n"
    "account = embedded._account\n"
    "def swallow():\n"
    "    try: os.kill(os.getpid(), {:d}); signal.sigtimedwait((), 60)\n"
    "    except BaseException: return account()\n"
    "embedded._account = swallow\n"
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_heard_where_its_exception_is_lost(
    number: signal.Signals, start: Start, environment: dict[str, str], tmp_path: Path
) -> None:
    del environment["DATABASE_URL"]
    run = start("-c", SWALLOWED.format(number) + EMBEDDED.format(str(tmp_path / "postgres")))
    assert run.end() == (130 if number == signal.SIGINT else 0)
    assert run.output.splitlines()[-1] == BEFORE
    assert "Migrating the database" not in run.output


def test_a_second_run_keeps_the_database_when_the_first_ends(
    start: Start, environment: dict[str, str], tmp_path: Path
) -> None:
    del environment["DATABASE_URL"]
    command = ("-c", EMBEDDED.format(str(tmp_path / "postgres")))
    first = start(*command)
    first.read_until("Ctrl-C")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        environment["PORT"] = str(probe.getsockname()[1])
    second = start(*command)
    second.read_until("Ctrl-C")
    os.killpg(first.process.pid, signal.SIGINT)
    assert first.end() == 0
    with urllib.request.urlopen(f"http://127.0.0.1:{environment['PORT']}/health/ready") as answer:
        assert answer.status == 200
    os.killpg(second.process.pid, signal.SIGINT)
    assert second.end() == 0
    assert not (tmp_path / "postgres/data/postmaster.pid").exists()
