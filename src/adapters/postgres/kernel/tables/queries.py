"""What classes share that answer questions: a database, and how one row is found."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, override

import asyncpg

from adapters.postgres.kernel.connection.database import Database, Statement
from domain.kernel.errors import NotFound


class PostgresQueries:
    """Answers the questions of the protocol that a subclass also names as its base."""

    registry: ClassVar[list[type["PostgresQueries"]]] = []
    """Every subclass."""

    @override
    def __init_subclass__(cls) -> None:
        PostgresQueries.registry.append(cls)

    def __init__(self, database: Database) -> None:
        self._database = database

    async def _one[V](
        self,
        statement: Statement,
        values: Mapping[str, Any],
        load: Callable[[asyncpg.Record], V],
        missing: type[NotFound],
    ) -> V:
        """What `load` makes of the first row; raises `missing` where there is none."""
        row = await self._database.fetchrow(statement, values)
        if row is None:
            raise missing
        return load(row)
