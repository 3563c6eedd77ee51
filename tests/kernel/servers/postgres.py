"""The suite's PostgreSQL: a pytest plugin that starts one server a run and gives out databases on it.

TEST_POSTGRES         auto (the default): a container where a Docker engine answers and the image can be
                      had, else embedded; container, embedded, url: that one, or an error
TEST_POSTGRES_IMAGE   the image of the container; default postgres:18-alpine
TEST_POSTGRES_URL     for url, the address of a database whose user may create others

The process that pytest was started in runs the server; pytest-xdist's workers are told where it is.
"""

import asyncio
import gc
import os
import sys
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from entrypoints.kernel.tools.embedded import THROW_AWAY, EmbeddedPostgresError, embedded_postgres
from kernel.servers.pgbouncer import defaults_of_sessions

TESTS = Path(__file__).parents[2]
ROOT = TESTS.parent

# These are tested without a database, in an instant.
WITHOUT_SERVER = tuple(
    TESTS / folder for folder in ("domain", "application", "kernel/domain", "kernel/application")
)

# Nobody minds if a crash loses the data, and each of pytest-xdist's workers has several pools of connections.
SETTINGS = (*THROW_AWAY, "timezone=UTC")

# No test reaches the database that a person's shell names, nor the one in their .env: what the environment
# names wins over that file, and there it is an address where nothing listens.
os.environ.pop("DATABASE_URL", None)
if (ROOT / ".env").exists():
    os.environ["DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/hidden-from-tests"


@dataclass(frozen=True, slots=True)
class Server:
    """The server of this run: `dsn` can create databases, and their names begin with `run`."""

    dsn: str
    run: str
    description: str


class NoContainerError(Exception):
    """A container is not to be had here. The message says why."""


SERVER = pytest.StashKey[Server]()


# --- the server -----------------------------------------------------------------------------------


def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    if not hasattr(config, "workerinput") and _needs_server(config):
        stack = ExitStack()
        config.add_cleanup(stack.close)  # however the run ends
        config.stash[SERVER] = _start(stack)


def pytest_report_header(config: pytest.Config) -> str:
    server = config.stash.get(SERVER, None)
    return f"postgres: {server.description if server else 'not needed'}"


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # for each of pytest-xdist's workers, before it starts
    if server := node.config.stash.get(SERVER, None):
        node.workerinput["postgres"] = (server.dsn, server.run, server.description)


def _needs_server(config: pytest.Config) -> bool:
    if config.option.collectonly or config.option.showfixtures:
        return False
    paths = [(config.invocation_params.dir / each.split("::")[0]).resolve() for each in config.args]
    return not all(any(path.is_relative_to(folder) for folder in WITHOUT_SERVER) for path in paths)


def _start(stack: ExitStack) -> Server:
    match os.environ.get("TEST_POSTGRES") or "auto":
        case "auto":
            try:
                dsn, origin = _container(stack), f"container of {_image()}: a Docker engine answers"
            except NoContainerError as reason:
                dsn, origin = _embedded(stack), f"embedded: {reason}"
        case "container":
            try:
                dsn, origin = _container(stack), f"container of {_image()}: TEST_POSTGRES asks for it"
            except NoContainerError as reason:
                message = f"TEST_POSTGRES=container, but {reason}. Mend that, or use TEST_POSTGRES=embedded."
                raise pytest.UsageError(message) from reason
        case "embedded":
            dsn, origin = _embedded(stack), "embedded: TEST_POSTGRES asks for it"
        case "url":
            dsn, origin = os.environ.get("TEST_POSTGRES_URL", ""), "TEST_POSTGRES_URL"
            if not dsn:
                raise pytest.UsageError("TEST_POSTGRES=url needs TEST_POSTGRES_URL, a postgresql:// address")
        case other:
            raise pytest.UsageError(f"TEST_POSTGRES is {other!r}: use auto, container, embedded or url.")
    run = f"test_{uuid4().hex[:8]}"
    version = stack.enter_context(_present(dsn, run))
    return Server(dsn, run, f"PostgreSQL {version}, {origin}")


def _image() -> str:
    return os.environ.get("TEST_POSTGRES_IMAGE") or "postgres:18-alpine"


def _container(stack: ExitStack) -> str:
    from docker.errors import DockerException, ImageNotFound
    from testcontainers.community.postgres import PostgresContainer
    from testcontainers.core.docker_client import DockerClient
    from testcontainers.core.exceptions import ContainerStartException

    unavailable = (DockerException, ContainerStartException, OSError)  # TimeoutError is an OSError
    engine, why = None, ""
    try:
        engine = DockerClient().client
        engine.ping()
    except unavailable as error:
        why = _first_line(error)
    if engine is None or why:
        with warnings.catch_warnings(action="ignore", category=ResourceWarning):
            gc.collect()  # the client leaves its socket open, which some test would be blamed for
        raise NoContainerError(f"no Docker engine answers ({why})")
    try:
        engine.images.get(_image())
    except ImageNotFound:
        sys.stderr.write(f"Pulling {_image()}\n")
        try:
            engine.images.pull(_image())
        except unavailable as error:
            raise NoContainerError(f"{_image()} cannot be pulled ({_first_line(error)})") from error
    finally:
        engine.close()

    container = PostgresContainer(_image(), driver=None, username="postgres", dbname="postgres")
    container.with_env("PGDATA", "/test/data").with_tmpfs_mount("/test")  # in memory
    container.with_command(["postgres", *(word for setting in SETTINGS for word in ("-c", setting))])
    try:
        return stack.enter_context(container).get_connection_url()
    except unavailable as error:
        raise NoContainerError(f"the container does not start ({_first_line(error)})") from error


def _embedded(stack: ExitStack) -> str:
    try:
        return stack.enter_context(embedded_postgres(database="postgres"))
    except EmbeddedPostgresError as error:
        raise pytest.UsageError(str(error)) from error


@contextmanager
def _present(dsn: str, run: str) -> Iterator[str]:
    """Shows on the server that this run is under way, and drops the databases of runs that no longer are."""
    loop = asyncio.new_event_loop()
    try:
        connection = loop.run_until_complete(asyncpg.connect(dsn, server_settings={"application_name": run}))
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        loop.close()
        message = f"The PostgreSQL for the tests does not answer: {_first_line(error)}"
        raise pytest.UsageError(message) from error

    def drop(query: str, *arguments: object) -> None:
        for (name,) in loop.run_until_complete(connection.fetch(query, *arguments)):
            loop.run_until_complete(connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))

    try:
        drop(LEFT_BEHIND)
        yield connection.get_settings().server_version.split()[0]
    finally:
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):  # it may have ended by now
            drop(OURS, f"{run}_%")
            loop.run_until_complete(connection.close(timeout=5))
        loop.close()


LEFT_BEHIND = """
    select datname from pg_database where datname ~ '^test_[0-9a-f]{8}_'
    and substring(datname for 13) not in (select application_name from pg_stat_activity)
"""
OURS = "select datname from pg_database where datname like $1"


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:120]


# --- what tests ask for ---------------------------------------------------------------------------

type NewDatabase = Callable[..., Awaitable[str]]


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config) -> Server:
    if told := getattr(pytestconfig, "workerinput", {}).get("postgres"):
        return Server(*told)
    if server := pytestconfig.stash.get(SERVER, None):
        return server
    folders = " and ".join(str(folder.relative_to(TESTS.parent)) for folder in WITHOUT_SERVER)
    pytest.fail(f"There is no PostgreSQL for {folders}: put the test elsewhere.", pytrace=False)


@pytest.fixture(scope="session")
def postgres_server(postgres: Server) -> str:
    """The address of a database that is nobody's; its user may create others, and end connections."""
    return postgres.dsn


@pytest.fixture(scope="session")
async def migrated_database(postgres: Server) -> str:
    """The address of a database at head, made once a run; to be copied, never connected to."""
    return await _made_once(postgres, "migrated", migrate)


@pytest.fixture(scope="session")
async def template_database(postgres: Server, migrated_database: str) -> str:
    """The same with the specimen's tables."""
    return await _made_once(postgres, "template", add_specimen, migrated_database)


async def _made_once(
    postgres: Server, what: str, fill: Callable[[str], Awaitable[None]], template: str | None = None
) -> str:
    name, draft = f"{postgres.run}_{what}", f"{postgres.run}_{what}_draft"
    async with _connected(postgres) as server:
        # The first worker makes it while the others wait. It gets its name once it is whole.
        await server.execute("select pg_advisory_lock(hashtext($1))", name)
        if not await server.fetchval("select exists (select from pg_database where datname = $1)", name):
            async with _database(postgres, draft, template) as dsn:
                await fill(dsn)
                await server.execute(f'ALTER DATABASE "{draft}" RENAME TO "{name}"')
    return _address(postgres, name)


@pytest.fixture(scope="session")
async def database_url(postgres: Server, template_database: str, worker_id: str) -> AsyncIterator[str]:
    """The address of this worker's database, at head. Its tests share it and mind what the others left."""
    async with _database(postgres, f"{postgres.run}_{worker_id}", template_database) as dsn:
        yield dsn


@pytest.fixture
async def new_database(postgres: Server) -> AsyncIterator[NewDatabase]:
    """Makes databases for one test: `await new_database()` or `await new_database(template_database)`."""
    async with AsyncExitStack() as stack:

        async def make(template: str | None = None) -> str:
            name = f"{postgres.run}_{uuid4().hex[:12]}"
            return await stack.enter_async_context(_database(postgres, name, template))

        yield make


@asynccontextmanager
async def _database(postgres: Server, name: str, template: str | None = None) -> AsyncIterator[str]:
    copied = urlsplit(template).path.removeprefix("/") if template else "template0"
    async with _connected(postgres) as server:
        await server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{copied}"')
        for statement in defaults_of_sessions(name):
            await server.execute(statement)
    try:
        yield _address(postgres, name)
    finally:
        async with _connected(postgres) as server:
            await server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@asynccontextmanager
async def _connected(postgres: Server) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(postgres.dsn)
    try:
        yield connection
    finally:
        await connection.close()


def _address(postgres: Server, name: str) -> str:
    return urlsplit(postgres.dsn)._replace(path=f"/{name}").geturl()


async def add_specimen(dsn: str) -> None:
    """Makes the specimen's tables in a database that is at head."""
    from kernel.specimen.postgres.setup import statements  # when a database is needed, not before

    connection = await asyncpg.connect(dsn)
    for statement in statements():
        await connection.execute(statement)
    await connection.close()


async def migrate(dsn: str) -> None:
    """Brings a database to head, by the command that operators use."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "entrypoints.cli", "migrate"),
        env={**os.environ, "DATABASE_URL": dsn, "PYTHONPATH": str(ROOT / "src")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode:
        pytest.fail(f"The migrations failed:\n{output.decode(errors='replace')}", pytrace=False)
