"""What the tests of the Postgres adapter share: a stored team, and a connection to look and meddle with."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from hypothesis import HealthCheck, settings

from application.kernel.unit_of_work import Begin
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import Team, a_team, store

# Each example makes a workspace of its own, so examples may share the database that the test was given.
settings.register_profile(
    "postgres", deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("postgres")


@pytest.fixture
async def team(begin: Begin[UnitOfWork]) -> Team:
    """A workspace with one person of each role, and a stranger."""
    team = a_team()
    await store(begin, *team.aggregates)
    return team


@pytest.fixture
def recorded(statements: list[str]) -> Callable[[], AbstractAsyncContextManager[list[str]]]:
    """`async with recorded() as sent:` gives, when the block has ended, the SQL that it sent."""

    @asynccontextmanager
    async def record() -> AsyncIterator[list[str]]:
        sent: list[str] = []
        await asyncio.sleep(0)  # the driver tells of a statement a moment after it ended
        before = len(statements)
        yield sent
        await asyncio.sleep(0)
        sent += statements[before:]

    return record
