"""A repository written with SQLAlchemy's ORM promises what the one written in Core does (decision 0023)."""

import inspect
from pathlib import Path

import pytest

from adapters.postgres.kernel.connection.database import Database
from adapters.postgres.kernel.connection.transactions import PostgresTransactions
from adapters.postgres.kernel.discovery import repositories_of
from adapters.postgres.kernel.outbox.delivery import PostgresOutbox
from adapters.postgres.kernel.tables.repository import PostgresRepository
from application.kernel.ports.events import Delivery
from domain.kernel.aggregate import Event
from domain.kernel.workspaces import Workspace
from kernel.contracts import test_repositories as suite
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import NOW
from kernel.world.orm_workspaces import AllOfWorkspaces
from kernel.world.resources import Example

begin = suite.begin


@pytest.fixture
def example() -> Example:
    return suite.workspace_example()


@pytest.fixture
def world(database: Database) -> suite.World:
    repositories = {**repositories_of(UnitOfWork), "workspaces": AllOfWorkspaces}
    begin = PostgresTransactions(database, lambda: NOW, UnitOfWork, repositories)
    outbox = PostgresOutbox(database, begin)
    events: list[Event] = []

    async def take(uow: UnitOfWork, delivery: Delivery[Event]) -> None:
        events.append(delivery.event)

    async def delivered() -> list[Event]:
        while await outbox.deliver_next(take):
            pass
        return events

    return suite.World(begin, delivered)


globals().update(
    {
        name: promise
        for name, promise in inspect.getmembers(suite, inspect.isfunction)
        if name.startswith("test_") and "example" in inspect.signature(promise).parameters
    }
)

# And what is said of workspaces alone.
test_a_slug_belongs_to_one_workspace = suite.test_a_slug_belongs_to_one_workspace
test_a_made_slug_that_another_workspace_has_is_no_conflict_of_the_callers = (
    suite.test_a_made_slug_that_another_workspace_has_is_no_conflict_of_the_callers
)
test_the_slug_of_a_deleted_workspace_is_free = suite.test_the_slug_of_a_deleted_workspace_is_free
test_all_that_is_in_a_workspace_goes_with_it_and_nothing_else = (
    suite.test_all_that_is_in_a_workspace_goes_with_it_and_nothing_else
)


def test_the_suite_of_every_aggregate_runs() -> None:
    assert "test_what_was_saved_comes_back_whole_as_the_next_version" in globals()


def test_a_repository_written_with_the_orm_is_discovered(monkeypatch: pytest.MonkeyPatch) -> None:
    others = [known for known in PostgresRepository.registry if known.entity is not Workspace]
    monkeypatch.setattr(PostgresRepository, "registry", [*others, AllOfWorkspaces])
    assert repositories_of(UnitOfWork)["workspaces"] is AllOfWorkspaces


def test_the_recipe_of_the_decision_is_the_code_that_passes() -> None:
    decision = Path("docs/decisions/0023-orm-in-the-same-transaction.md").read_text()
    _, recipe, _ = decision.replace("```python", "```").split("```")
    assert recipe.strip() in Path("tests/kernel/world/orm_workspaces.py").read_text()
    assert "class OrmWorkspaces" in recipe
