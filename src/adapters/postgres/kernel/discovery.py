"""Which repository and which queries fulfil which annotation, found by what they are made for.

A resource's module in `adapters/postgres` is all that there is to write: it is imported when the service
starts, and a unit of work that names a collection finds the repository of that aggregate here.
"""

import pkgutil
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from adapters.postgres.kernel.connection.transaction import Transaction
from adapters.postgres.kernel.tables.queries import PostgresQueries, Source
from adapters.postgres.kernel.tables.repository import PostgresRepository
from application.kernel.ports.storing import Repository
from application.kernel.queries import KernelQueries
from application.kernel.unit_of_work import KernelUnitOfWork

type Repositories = Mapping[str, Callable[[Transaction], Any]]
"""What makes the repositories of a unit of work, by their names there."""

_OTHERWISE_MADE = frozenset({"now", "ask", "kept_answers"})


@cache
def import_tables() -> None:
    """Imports every module of this adapter, so that each table, repository and query is known."""
    folder = str(Path(__file__).parents[1])
    for module in pkgutil.walk_packages([folder], "adapters.postgres."):
        if ".migrations" not in module.name:
            import_module(module.name)


def repositories_of(unit_of_work: type[KernelUnitOfWork]) -> Repositories:
    """The repository for each collection that the class names.

    Raises TypeError, which names the collection, where there is none, or more than one.
    """
    import_tables()
    return {
        name: _repository(f"{unit_of_work.__name__}.{name}", hint)
        for name, hint in get_type_hints(unit_of_work).items()
        if name not in _OTHERWISE_MADE
    }


def _repository(name: str, hint: type) -> type[PostgresRepository[Any, Any]]:
    if get_origin(hint) is Repository:
        entity = get_args(hint)[0]
        found = [known for known in PostgresRepository.registry if known.entity is entity]
        remedy = f"class …(PostgresRepository[{entity.__name__}, …]) in a module of adapters/postgres"
    else:
        found = [known for known in PostgresRepository.registry if hint in known.__mro__]
        remedy = f"class …(PostgresRepository[…], {hint.__name__}) in a module of adapters/postgres"
    return _the_one(name, found, remedy)


def queries_of[Q: KernelQueries](queries: type[Q], source: Source) -> Q:
    """All questions that the class names, answered by PostgreSQL.

    Raises TypeError, which names the question, where there is no answer, or more than one.
    """
    return answers_to(queries)(source)


def answers_to[Q: KernelQueries](queries: type[Q]) -> Callable[[Source], Q]:
    """What answers all questions that the class names from one source, which can be a transaction.

    Raises TypeError, which names the question, where there is no answer, or more than one.
    """
    import_tables()
    found = {
        name: _answering(f"{queries.__name__}.{name}", hint) for name, hint in get_type_hints(queries).items()
    }

    def answering(source: Source) -> Q:
        answers: dict[str, Any] = {name: answer(source) for name, answer in found.items()}
        return queries(**answers)

    return answering


def _answering(name: str, protocol: type) -> type[PostgresQueries]:
    found = [known for known in PostgresQueries.registry if protocol in known.__mro__]
    remedy = f"class …(PostgresQueries, {protocol.__name__}) in a module of adapters/postgres"
    answering = _the_one(name, found, remedy)
    inherited = [
        question
        for question, declared in vars(protocol).items()
        if not question.startswith("_") and getattr(answering, question) is declared
    ]
    if inherited:
        raise TypeError(
            f"{answering.__name__} does not answer {', '.join(inherited)} of {protocol.__name__}."
        )
    return answering


def _the_one[T](name: str, found: list[type[T]], remedy: str) -> type[T]:
    if not found:
        raise TypeError(f"Nothing in adapters/postgres is made for {name}: write {remedy}.")
    if len(found) > 1:
        places = " and ".join(f"{each.__module__}.{each.__name__}" for each in found)
        raise TypeError(f"More than one class is made for {name}: {places}. Keep one.")
    return found[0]
