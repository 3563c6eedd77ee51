"""How Alembic connects: the url comes from the `Migrations` that called it."""

import asyncio

import asyncpg
from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from adapters.postgres.kernel.discovery import import_tables
from adapters.postgres.kernel.tables.schema import metadata

# Any number that is always the same: two services that start together migrate one after the other.
LOCK = 7_001_993


def migrate(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
    # A migration that cannot have its lock soon must not stop the traffic that queues behind it.
    connection.execute(text("SET lock_timeout = '2s'"))
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=metadata,
        transaction_per_migration=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def run() -> None:
    url = context.config.attributes["url"]
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url), poolclass=NullPool
    )
    async with engine.connect() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()


import_tables()
asyncio.run(run())
