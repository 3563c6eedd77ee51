"""What classes share that answer questions: what they read from, and how one row is found."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol, override

import asyncpg

from adapters.postgres.kernel.connection.database import Statement
from domain.kernel.errors import NotFound


class Source(Protocol):
    """What statements that read run on: a Database, or a Transaction, whose changes they then see."""

    async def fetch(self, statement: Statement, values: Mapping[str, Any]) -> list[asyncpg.Record]:
        """All rows."""

    async def fetchrow(self, statement: Statement, values: Mapping[str, Any]) -> asyncpg.Record | None:
        """The first row, or none."""


class PostgresQueries:
    """Answers the questions of the protocol that a subclass also names as its base."""

    registry: ClassVar[list[type["PostgresQueries"]]] = []
    """Every subclass."""

    @override
    def __init_subclass__(cls) -> None:
        PostgresQueries.registry.append(cls)

    def __init__(self, source: Source) -> None:
        self._source = source

    async def _one[V](
        self,
        statement: Statement,
        values: Mapping[str, Any],
        load: Callable[[asyncpg.Record], V],
        missing: type[NotFound],
    ) -> V:
        """What `load` makes of the first row; raises `missing` where there is none."""
        row = await self._source.fetchrow(statement, values)
        if row is None:
            raise missing
        return load(row)
