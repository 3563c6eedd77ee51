"""How Alembic connects, and what it compares: called by the `Migrations` whose url it takes."""

import asyncio
from collections.abc import Iterator

from alembic import context
from alembic.operations.ops import (
    DowngradeOps,
    DropTableOp,
    MigrateOperation,
    MigrationScript,
    ModifyTableOps,
    UpgradeOps,
)
from alembic.runtime.migration import MigrationContext, MigrationInfo
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from adapters.postgres.kernel.connection.connecting import Connector
from adapters.postgres.kernel.connection.pooling import shares_sessions
from adapters.postgres.kernel.discovery import import_tables
from adapters.postgres.kernel.migrating.applied import keep_record, record_step, standing_on
from adapters.postgres.kernel.migrating.migrations import PAST_POOLER, MigrationError, split_line
from adapters.postgres.kernel.migrating.migrator import (
    LOCK_NOT_AVAILABLE,
    LockNotHad,
    oldest_transaction,
    prepare,
    wait_for_turn,
)
from adapters.postgres.kernel.migrating.stages import in_stages
from adapters.postgres.kernel.tables.schema import metadata

CONNECT_SECONDS = 10.0


def migrate(connection: Connection) -> None:
    prepare(connection)
    wait_for_turn(connection, context.config.attributes["patience"])
    split_line(connection, context.script)
    there = standing_on(connection, context.script)
    keep_record(connection, there.applied)
    connection.commit()
    if not context.config.attributes["begins"](there):
        return
    context.configure(
        connection=connection,
        target_metadata=metadata,
        transaction_per_migration=True,
        compare_server_default=True,
        autogenerate_plugins=["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"],
        include_object=is_migrated,
        process_revision_directives=tidy,
        on_version_apply=record,
    )
    try:
        with context.begin_transaction():
            context.run_migrations()
    except DBAPIError as error:
        if getattr(error.driver_exception, "sqlstate", None) != LOCK_NOT_AVAILABLE:
            raise
        connection.rollback()
        raise LockNotHad(error.statement or "", oldest_transaction(connection)) from error.driver_exception
    context.config.attributes["ends"](standing_on(connection, context.script))


def record(ctx: MigrationContext, step: MigrationInfo, heads: object, run_args: object) -> None:  # noqa: ARG001
    if ctx.connection is not None:
        record_step(ctx.connection, step)


def is_migrated(_: object, name: str | None, kind: str, *__: object) -> bool:
    """Whether migrations make it: a table with `info={"migrated": False}` is made by its own code."""
    table = metadata.tables.get(name or "") if kind == "table" else None
    return table is None or table.info.get("migrated", True)


def tidy(_: object, __: object, scripts: list[MigrationScript]) -> None:
    """Writes nothing where nothing differs, drops a table before those that it refers to, and writes further
    migrations for what would hold up those who use a table."""
    for script in list(scripts):
        ups, ids = script.upgrade_ops, context.config.attributes.get("autogenerate")
        if ups is None or ids is None:
            continue
        if ups.is_empty():
            scripts.remove(script)
            continue
        message, drops = script.message, [*_in_order(ups.ops)]
        (label, ups.ops), *later = in_stages(_without_drops(ups.ops), drops)
        script.message = f"{message}{label}"
        for more, operations in later:
            scripts.append(
                MigrationScript(
                    rev_id=next(ids),
                    message=f"{message}{more}",
                    upgrade_ops=UpgradeOps(operations),
                    downgrade_ops=DowngradeOps([]),
                    head=scripts[-1].rev_id,
                    version_path=script.version_path,
                    depends_on=script.depends_on,
                )
            )
    for script in scripts:
        if script.upgrade_ops is not None and script.downgrade_ops is not None:
            script.upgrade_ops.reverse_into(script.downgrade_ops)


def _is_dropped(operation: MigrateOperation, tables: set[str]) -> bool:
    if isinstance(operation, ModifyTableOps):  # the indexes of a table that is dropped
        return operation.table_name in tables
    return isinstance(operation, DropTableOp)


def _without_drops(operations: list[MigrateOperation]) -> Iterator[MigrateOperation]:
    tables = {each.table_name for each in operations if isinstance(each, DropTableOp)}
    return (each for each in operations if not _is_dropped(each, tables))


def _in_order(operations: list[MigrateOperation]) -> Iterator[MigrateOperation]:
    """What drops tables, each with its indexes, such that none is dropped that another still refers to."""
    drops = {each.table_name: each for each in operations if isinstance(each, DropTableOp)}
    indexes = {
        each.table_name: each
        for each in operations
        if isinstance(each, ModifyTableOps) and each.table_name in drops
    }
    refers = {
        name: {
            element.target_fullname.rpartition(".")[0]
            for key in drop.to_table().foreign_key_constraints
            for element in key.elements
        }
        - {name}
        for name, drop in drops.items()
    }
    while drops:
        free = [name for name in drops if not any(name in refers[other] for other in drops if other != name)]
        for name in sorted(free or drops):  # where tables refer to each other, any order is as wrong
            if name in indexes:
                yield indexes[name]
            yield drops.pop(name)


async def run() -> None:
    url = context.config.attributes["url"]
    if await shares_sessions(url):  # whatever the settings say of it
        raise MigrationError(PAST_POOLER)
    # What the service's role has for its sessions is not for one that builds an index.
    unhurried = {"statement_timeout": "0", "idle_in_transaction_session_timeout": "0"}
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=Connector(url, seconds=CONNECT_SECONDS, settings=unhurried),
        poolclass=NullPool,
    )
    async with engine.connect() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()


import_tables()
asyncio.run(run())
