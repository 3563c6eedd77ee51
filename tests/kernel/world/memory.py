"""The world in memory: a clock that stands still, transactions that take turns, and a team at work."""

import pytest

from application.kernel.run import Runner
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import NOW, Team, a_team, store
from kernel.world.fakes import FakeClock, MemoryTransactions


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def transactions(clock: FakeClock) -> MemoryTransactions[UnitOfWork]:
    return MemoryTransactions(clock, UnitOfWork)


@pytest.fixture
def run(transactions: MemoryTransactions[UnitOfWork]) -> Runner[UnitOfWork]:
    return Runner(transactions)


@pytest.fixture
async def team(transactions: MemoryTransactions[UnitOfWork]) -> Team:
    """A workspace with one person of each role."""
    team = a_team()
    await store(transactions, *team.aggregates)
    return team


@pytest.fixture
async def archived_team(transactions: MemoryTransactions[UnitOfWork]) -> Team:
    """The same, but that their workspace is archived."""
    team = a_team(archived=True)
    await store(transactions, *team.aggregates)
    return team
