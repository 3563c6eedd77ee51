"""What is said when a collection or a question has no class that is made for it, or too many."""

from dataclasses import dataclass
from typing import Any, Protocol, override

import pytest

from adapters.postgres.kernel.discovery import answers_to, import_tables, repositories_of
from adapters.postgres.kernel.tables.queries import PostgresQueries
from adapters.postgres.kernel.tables.repository import PostgresRepository
from adapters.postgres.kernel.users import PostgresUsers
from application.kernel.ports.storing import Repository
from application.kernel.queries import KernelQueries
from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.aggregate import Aggregate


class LoomQueries(Protocol):
    async def count(self) -> int: ...

    async def names(self) -> list[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Queries(KernelQueries):
    looms: LoomQueries


class Loom(Aggregate):
    pass


@pytest.fixture(autouse=True)
def own_registries(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what a test makes is found by it alone."""
    import_tables()  # first, because what is imported later would be lost with the test
    monkeypatch.setattr(PostgresQueries, "registry", [*PostgresQueries.registry])
    monkeypatch.setattr(PostgresRepository, "registry", [*PostgresRepository.registry])


def test_a_question_without_an_answer_is_named_with_what_to_write() -> None:
    with pytest.raises(TypeError, match=r"Queries\.looms: write class …\(PostgresQueries, LoomQueries\)"):
        answers_to(Queries)


def test_a_question_that_is_only_inherited_has_no_answer() -> None:
    class HalfLoomQueries(PostgresQueries, LoomQueries):
        @override
        async def count(self) -> int:
            return 1

    with pytest.raises(TypeError, match=r"^HalfLoomQueries does not answer names of LoomQueries\.$"):
        answers_to(Queries)


def test_two_answers_to_a_question_are_named_both() -> None:
    class WholeLoomQueries(PostgresQueries, LoomQueries):
        @override
        async def count(self) -> int:
            return 1

        @override
        async def names(self) -> list[str]:
            return []

    source: Any = object()
    assert isinstance(answers_to(Queries)(source).looms, WholeLoomQueries)

    class OtherLoomQueries(WholeLoomQueries):
        pass

    with pytest.raises(TypeError, match=r"WholeLoomQueries and .*OtherLoomQueries\. Keep one\."):
        answers_to(Queries)


def test_a_collection_without_a_repository_is_named_with_what_to_write() -> None:
    class UnitOfWork(KernelUnitOfWork):
        looms: Repository[Loom, Any]

    with pytest.raises(TypeError, match=r"UnitOfWork\.looms: write class …\(PostgresRepository\[Loom, …\]\)"):
        repositories_of(UnitOfWork)


def test_a_port_without_a_repository_is_named_with_what_to_write() -> None:
    class UnitOfWork(KernelUnitOfWork):
        looms: LoomQueries

    with pytest.raises(TypeError, match=r"UnitOfWork\.looms: write class …\(PostgresRepository\[…\], LoomQu"):
        repositories_of(UnitOfWork)


def test_two_repositories_of_a_collection_are_named_both() -> None:
    PostgresRepository.registry.append(PostgresUsers)
    with pytest.raises(
        TypeError, match=r"KernelUnitOfWork\.users: .*PostgresUsers and .*PostgresUsers\. Keep"
    ):
        repositories_of(KernelUnitOfWork)
