"""What the whole suite shares: a database that each test finds empty, and the service on top of it."""

import os
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from dependency_injector import providers
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient
from pydantic import SecretStr

from adapters.postgres.kernel.connection.database import Database
from adapters.postgres.kernel.connection.transactions import PostgresTransactions
from adapters.postgres.kernel.discovery import import_tables, queries_of, repositories_of
from adapters.postgres.kernel.tables.schema import metadata
from application.kernel.run import Runner
from application.kernel.unit_of_work import Begin
from entrypoints.settings import Settings
from kernel.servers.backends import ByHand, Proxy
from kernel.servers.pgbouncer import is_pooled, through_pooler
from kernel.specimen.service import Container, Queries, UnitOfWork, create_app

pytest_plugins = ["kernel.servers.postgres", "kernel.servers.pooler"]

BASE_URL = "http://localhost:8000"

# What tests send is counted, and not refused for its number: those of limits say which they want.
os.environ["RATE_LIMITS"] = ",".join(
    f"{name}=1000000/60" for name in ("default", "expensive", "login", "mail", "workspace")
)


@pytest.fixture
def statements() -> list[str]:
    """Every SQL statement that `database` has run, in order. Await something before you look."""
    return []


@pytest.fixture
async def empty_database_url(database_url: str) -> str:
    """The address of this worker's database, at head and without a row."""
    # For the few rows of a test DELETE is many times faster than TRUNCATE, which makes new files.
    connection = await asyncpg.connect(database_url)
    import_tables()  # whatever the tests so far have needed of them
    for table in reversed(metadata.sorted_tables):
        await connection.execute(str(table.delete()))
    await connection.close()
    return database_url


@pytest.fixture
async def by_hand(empty_database_url: str) -> AsyncIterator[ByHand]:
    """A connection of the test's own: what the service did is seen from outside of it."""
    connection = await asyncpg.connect(empty_database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def proxy(empty_database_url: str) -> AsyncIterator[Proxy]:
    """A network between a service and its database, which fails when the test says so."""
    proxy = Proxy(empty_database_url)
    await proxy.start()
    yield proxy
    await proxy.stop()


@pytest.fixture
async def database(empty_database_url: str, statements: list[str]) -> AsyncIterator[Database]:
    def record(connection: Any) -> None:
        connection.add_query_logger(lambda query: statements.append(query.query))

    database = Database(
        through_pooler(empty_database_url),
        direct_url=empty_database_url,
        pooled=is_pooled(),
        pool_size=5,
        wait_seconds=5,
        on_connect=record,
    )
    yield database
    await database.close()


@pytest.fixture
def clock() -> Callable[[], datetime]:
    """The time as it is; a test that needs another overrides this."""
    return lambda: datetime.now(UTC)


@pytest.fixture
def begin(database: Database, clock: Callable[[], datetime]) -> Begin[UnitOfWork]:
    return PostgresTransactions(database, clock, UnitOfWork, repositories_of(UnitOfWork))


@pytest.fixture
def run(begin: Begin[UnitOfWork]) -> Runner[UnitOfWork]:
    return Runner(begin)


@pytest.fixture
def queries(database: Database) -> Queries:
    return queries_of(Queries, database)


@pytest.fixture
def settings(empty_database_url: str) -> Settings:
    return Settings(
        _env_file=None,
        database_url=SecretStr(through_pooler(empty_database_url)),
        database_direct_url=SecretStr(empty_database_url),
        database_pooler="transaction" if is_pooled() else "none",
        environment="development",
        public_url=BASE_URL,
    )


@pytest.fixture
async def container(settings: Settings, database: Database) -> AsyncIterator[Container]:
    """The real container, on the database whose statements are recorded."""
    container = Container(settings=settings)
    container.database.override(providers.Object(database))
    yield container
    await container.health_database().close()


@pytest.fixture
async def app(container: Container) -> FastAPI:
    return create_app(container)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """A client that nobody has logged in, in process."""
    transport = ASGITransport(app=app, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url=BASE_URL) as client:
        yield client
