"""What all tables share: the MetaData with its naming convention, and the columns that recur.

A column that was added to a table in use has a `server_default`, unless it is nullable: the release before
does not write it (docs/migrations.md).
"""

from datetime import date
from decimal import Decimal
from enum import StrEnum

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Integer,
    MetaData,
    Numeric,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

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


def text(name: str, *, nullable: bool = False, server_default: str | None = None) -> Column[object]:
    return Column(name, Text, nullable=nullable, server_default=server_default)


def decimal(
    name: str, precision: int, scale: int, *, nullable: bool = False, server_default: str | None = None
) -> Column[object]:
    """An exact number of `precision` digits, `scale` of them behind the point.

    Raises ValueError for a scale above 6: Python writes smaller numbers with an exponent, `1E-7`, which is
    not what a `decimal_text` looks like.
    """
    if not 0 <= scale <= min(precision, 6):
        raise ValueError(f"{name}: a scale of {scale} is not within 0 to 6, and to the precision.")
    return Column(name, Numeric(precision, scale), nullable=nullable, server_default=server_default)


def money(name: str, *, nullable: bool = False, server_default: str | None = None) -> Column[object]:
    """An amount of a currency with two decimal places, such as an input of the type `Money`."""
    return decimal(name, 14, 2, nullable=nullable, server_default=server_default)


def day(name: str, *, nullable: bool = False) -> Column[object]:
    """A calendar day, without a time and a zone."""
    return Column(name, Date, nullable=nullable)


def flag(name: str, *, nullable: bool = False, server_default: str | None = None) -> Column[object]:
    return Column(name, Boolean, nullable=nullable, server_default=server_default)


def number(name: str, *, nullable: bool = False, server_default: str | None = None) -> Column[object]:
    """A whole number of 32 bits."""
    return Column(name, Integer, nullable=nullable, server_default=server_default)


def document(name: str, *, nullable: bool = False) -> Column[object]:
    """A JSON object or list. None is SQL's NULL, and not JSON's."""
    return Column(name, JSONB, nullable=nullable)


def within(
    name: str, least: Decimal | date | int | None = None, most: Decimal | date | int | None = None
) -> CheckConstraint:
    """The number or the day in the column is at least `least` and at most `most`."""
    bounds = ((">=", least), ("<=", most))
    said = [f"{name} {sign} {_literal(bound)}" for sign, bound in bounds if bound is not None]
    return CheckConstraint(" AND ".join(said), name=f"{name}_range")


def _literal(bound: Decimal | date | int) -> str:
    return f"'{bound}'::date" if isinstance(bound, date) else f"{Decimal(bound):f}"


def one_of(name: str, values: type[StrEnum]) -> CheckConstraint:
    """The column holds one of an enumeration's values. Text and a CHECK change more easily than a type."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{name} IN ({listed})", name=name)


def between(name: str, least: int, most: int) -> CheckConstraint:
    """The text in the column has `least` to `most` characters."""
    return CheckConstraint(f"char_length({name}) BETWEEN {least} AND {most}", name=f"{name}_length")
