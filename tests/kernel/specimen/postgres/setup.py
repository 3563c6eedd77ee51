"""The specimen's tables in a database that has the kernel's: what a migration would do."""

from collections.abc import Iterator

from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.schema import CreateIndex, CreateTable

from kernel.specimen.postgres.specimen_notes import specimen_notes
from kernel.specimen.postgres.specimen_orders import specimen_orders

RAISE_VERSION = """
    CREATE FUNCTION specimen_orders_raise_version() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.version := OLD.version + 1;
        RETURN NEW;
    END $$
"""
ON_UPDATE = """
    CREATE TRIGGER specimen_orders_raise_version BEFORE UPDATE ON specimen_orders
    FOR EACH ROW WHEN (NEW.version = OLD.version) EXECUTE FUNCTION specimen_orders_raise_version()
"""


def statements() -> Iterator[str]:
    """SQL that makes the tables, their indexes and the trigger."""
    dialect = PGDialect_asyncpg()  # type: ignore[no-untyped-call]
    for table in (specimen_orders, specimen_notes):
        yield str(CreateTable(table).compile(dialect=dialect))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            yield str(CreateIndex(index).compile(dialect=dialect))
    yield RAISE_VERSION
    yield ON_UPDATE
