"""What all tables share: the MetaData with its naming convention, and the columns that recur."""

from enum import StrEnum

from sqlalchemy import CheckConstraint, Column, DateTime, Integer, MetaData, Text, Uuid

# Every constraint has a name that can be predicted, so that an error can be translated by it
# and a migration can drop it.
metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def key() -> Column[object]:
    """The UUIDv7 that the application made."""
    return Column("id", Uuid, primary_key=True)


def instant(name: str, *, nullable: bool = False) -> Column[object]:
    """A point in time, with a zone."""
    return Column(name, DateTime(timezone=True), nullable=nullable)


def version() -> Column[object]:
    """Counts the saves of a row; the guard of every update."""
    return Column("version", Integer, nullable=False)


def text(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, Text, nullable=nullable)


def one_of(name: str, values: type[StrEnum]) -> CheckConstraint:
    """The column holds one of an enumeration's values. Text and a CHECK change more easily than a type."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{name} IN ({listed})", name=name)


def between(name: str, least: int, most: int) -> CheckConstraint:
    """The text in the column has `least` to `most` characters."""
    return CheckConstraint(f"char_length({name}) BETWEEN {least} AND {most}", name=f"{name}_length")
