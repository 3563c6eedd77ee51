"""The whole service in one terminal: database, migrations, API and worker, started and ended together.

`python -m entrypoints.local`, with `--reload` or without, serves until Ctrl-C (`make run`, `make dev`).
`python -m entrypoints.local -- COMMAND` runs a command on the same database instead (`make cli`).
"""

import asyncio
import os
import shlex
import signal
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress

from pydantic import SecretStr, create_model

from entrypoints.kernel.service import ROOT, SERVICE_NAME, SERVICE_PORT, V1
from entrypoints.kernel.settings import KernelSettings, read_settings
from entrypoints.kernel.tools.address import obstacle
from entrypoints.kernel.tools.embedded import WATCHDOG, EmbeddedPostgresError, embedded_postgres

DATA = ROOT / ".postgres"
SEEDED = DATA / "seeded"

API = ("entrypoints.http",)
API_WITH_RELOAD = (*API, "--reload")
WORKER = ("entrypoints.worker",)
WORKER_WITH_RELOAD = (
    *("watchfiles", "--filter", "python", "--sigint-timeout", "10"),
    *(shlex.join((sys.executable, "-m", *WORKER)), str(ROOT / "src")),
)

# Seconds that a process has to finish what it does. A second Ctrl-C ends the wait.
STOP_TIMEOUT = 30.0

_EARLY = "Stopped before it was serving."

DEMO_LOGIN = '{"email": "demo@example.com", "password": "look around as long as you like"}'


class CannotServeError(Exception):
    """Something is in the way. The message says what, and the remedy; `status` is for the shell."""

    def __init__(self, message: str, *, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


class StopRequested(BaseException):
    """Ctrl-C, or a signal from the parent process.

    As KeyboardInterrupt it is no Exception: a handler raises it wherever the process happens to be, and
    code that catches all exceptions there would lose the signal.
    """


class Signals:
    """Raises what a signal means where the process happens to be, and keeps it for `check`.

    What is raised can get lost: where C calls Python and takes any exception for one that it knows, as
    coverage's tracer does, or in a finaliser.
    """

    def __init__(self) -> None:
        self._stop: BaseException | None = None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._receive)

    def _receive(self, number: int, _: object) -> None:
        self._stop = KeyboardInterrupt() if number == signal.SIGINT else StopRequested(_EARLY)
        raise self._stop

    def check(self) -> None:
        """Raises what was raised before, if anything was."""
        if self._stop is not None:
            raise self._stop


async def serve(
    settings: KernelSettings, environment: Mapping[str, str], signals: Signals, *, reload: bool
) -> None:
    """Serves until it is stopped, or a part ends by itself.

    Raises `CannotServeError`, `StopRequested`, KeyboardInterrupt.
    """
    embedded = _is_embedded(settings)
    processes = Processes()
    signals.check()
    _say("Migrating the database")
    await processes.finish("entrypoints.cli", "migrate", environment=environment)
    _say("Starting the API and the worker")
    environment, of_worker = _with_metrics(settings, environment)
    async with (
        processes.child(*(WORKER_WITH_RELOAD if reload else WORKER), environment=of_worker) as worker,
        processes.child(*(API_WITH_RELOAD if reload else API), environment=environment) as api,
    ):
        if settings.environment == "development" and not (embedded and SEEDED.exists()):
            await processes.finish("entrypoints.cli", "seed", environment=environment)
            if embedded:
                SEEDED.touch()  # the command does no harm twice, but takes a second to find out
        welcome = asyncio.create_task(
            _welcome(settings, metrics=[each.get("METRICS_PORT", "") for each in (environment, of_worker)])
        )
        await _first_of(api.wait(), worker.wait(), processes.stop.wait())
        welcome.cancel()
        _say("Stopping")
        if processes.stop.is_set():
            raise StopRequested
        name, ended = ("API", api) if api.returncode is not None else ("worker", worker)
        raise CannotServeError(f"The {name} ended by itself, with exit code {ended.returncode}.")


# --- what they need -------------------------------------------------------------------------------


def _settings(kind: type[KernelSettings]) -> KernelSettings:
    """The settings of the service, which need not name a database: then there is the embedded one."""
    local: type[KernelSettings] = create_model(
        "LocalSettings", __base__=kind, database_url=(SecretStr, SecretStr("postgresql://embedded/embedded"))
    )
    settings, lines = read_settings(local)
    if settings is None:
        raise CannotServeError("\n  ".join(["The settings are not right:", *lines]), status=2)
    return settings


def _is_embedded(settings: KernelSettings) -> bool:
    return "database_url" not in settings.model_fields_set


def _check_address(host: str, port: int) -> None:
    if (found := obstacle(host, port)) is None:
        return
    if found.startswith("HOST"):
        raise CannotServeError(f"{found}: HOST=127.0.0.1 make run")
    another = port + 1 if 1024 <= port < 2**16 - 1 else SERVICE_PORT
    raise CannotServeError(f"{found}. End that program, or use another port: PORT={another} make run")


@contextmanager
def _environment(settings: KernelSettings) -> Iterator[Mapping[str, str]]:
    """The environment for the service's processes: this one's, with a database where it names none."""
    if _is_embedded(settings):
        with embedded_postgres(DATA, database=SERVICE_NAME) as dsn:
            yield {**os.environ, "DATABASE_URL": dsn}
    else:
        yield os.environ


def _with_metrics(
    settings: KernelSettings, environment: Mapping[str, str]
) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """The environments of the API and of the worker, which cannot show their metrics at the same port.

    In development they do so where the ports are free: 1000 and 2000 above PORT, or at METRICS_PORT and the
    next one.
    """
    first = settings.metrics_port
    if not first and settings.environment == "development":
        first, second = settings.port + 1000, settings.port + 2000
    else:
        second = first + 1
    host = settings.metrics_host
    if not first or second >= 2**16 or any(obstacle(host, port) for port in (first, second)):
        return environment, {**environment, "METRICS_PORT": "0"}
    return {**environment, "METRICS_PORT": str(first)}, {**environment, "METRICS_PORT": str(second)}


# --- processes ------------------------------------------------------------------------------------


class Processes:
    """Starts processes and sees to their end, however this process ends itself."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self._hurry = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._receive)

    def _receive(self) -> None:
        (self._hurry if self.stop.is_set() else self.stop).set()

    @asynccontextmanager
    async def child(self, *module: str, environment: Mapping[str, str]) -> AsyncIterator[Process]:
        """A Python module as a process that is stopped at the end of the block."""
        process = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", WATCHDOG, "watchdog", "TERM", ""),
            *(sys.executable, "-m", *module),
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C in the terminal is for this process, which stops them in turn
            env=environment,
        )
        try:
            yield process
        finally:
            ending = asyncio.create_task(process.communicate())  # closes the watchdog's standard input
            with suppress(TimeoutError):
                await asyncio.wait_for(_first_of(process.wait(), self._hurry.wait()), STOP_TIMEOUT)
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
            await ending

    async def finish(self, *module: str, environment: Mapping[str, str]) -> None:
        """Runs a Python module to its end."""
        async with self.child(*module, environment=environment) as process:
            await _first_of(process.wait(), self.stop.wait())
            if self.stop.is_set():
                _say("Stopping")
                raise StopRequested
        if process.returncode:
            message = f"`python -m {' '.join(module)}` failed with exit code {process.returncode}."
            raise CannotServeError(message, status=process.returncode)


async def _first_of(*awaitables: Awaitable[object]) -> None:
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


# --- what a person reads --------------------------------------------------------------------------


async def _welcome(settings: KernelSettings, *, metrics: Sequence[str] = ()) -> None:
    """`metrics` are the ports of the API's and the worker's, empty for none."""
    host, port = settings.host, settings.port
    if host in {"127.0.0.1", "0.0.0.0", "::", "::1"}:  # noqa: S104 (it is asked there, not served)
        host = "localhost"
    while not await _answers(host, port):  # noqa: ASYNC110 (another process has no Event for us)
        await asyncio.sleep(0.1)
    service = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    _say(f"Serving on {service}")
    if settings.docs_served:
        _say(f"  documentation  {service}{V1}/docs")
    if any(metrics):
        at = " and ".join(f"http://localhost:{each}/metrics" for each in metrics if each)
        _say(f"  metrics        {at} (the worker's)")
    if settings.environment == "development":
        _say(f"  log in         curl {service}{V1}/auth/login -H 'content-type: application/json' \\")
        _say(f"                   -d '{DEMO_LOGIN}'")
    _say("  stop           Ctrl-C")


async def _answers(host: str, port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    try:
        writer.write(f"GET /health/live HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return (await reader.readline()).split()[1:2] == [b"200"]
    except OSError:
        return False
    finally:
        writer.close()


def _say(line: str) -> None:
    print(line, flush=True)


def _run(command: list[str], environment: Mapping[str, str]) -> int:
    """Runs a command to its end. Ctrl-C is for the command, which may go on, as a console does."""
    with subprocess.Popen(command, env=environment) as process:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            return process.wait()
        finally:
            signal.signal(signal.SIGINT, before)


def main(kind: type[KernelSettings], arguments: list[str]) -> int:
    status = 0
    signals = Signals()  # until there is a loop that takes them
    try:
        match arguments:
            case ["--", *command] if command:
                with _environment(_settings(kind)) as environment:
                    signals.check()
                    status = _run(command, environment)
            case [] | ["--reload"]:
                settings = _settings(kind)
                _check_address(settings.host, settings.port)
                # Outside of the loop, in which nothing interrupts what blocks.
                with _environment(settings) as environment:
                    asyncio.run(serve(settings, environment, signals, reload=bool(arguments)))
            case _:
                raise CannotServeError("Usage: python -m entrypoints.local [--reload | -- COMMAND]", status=2)
    except (CannotServeError, EmbeddedPostgresError) as error:
        print(error, file=sys.stderr)
        status = error.status if isinstance(error, CannotServeError) else 1
    except StopRequested as stopped:
        if stopped.args:
            print(*stopped.args, file=sys.stderr)
        status = 0
    except KeyboardInterrupt:
        print(_EARLY, file=sys.stderr)
        status = 130
    return status
