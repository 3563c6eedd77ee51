"""The service that the kernel's tests run: this repository's own, with the specimen in it.

Everything here is what a fork writes for a resource of its own, but that it adds to the fork's classes.
"""

from dataclasses import dataclass
from typing import Annotated

from dependency_injector import providers
from fastapi import Depends

import application.queries
import application.unit_of_work
import entrypoints.container
import entrypoints.http.app
from application.kernel.ports.storing import Repository
from application.kernel.run import Runner
from entrypoints.http.kernel.routing.dependencies import given
from entrypoints.http.kernel.server.app import Service, Versions
from entrypoints.kernel.container import extending
from kernel.specimen.domain.specimen_notes import SpecimenNote, SpecimenNoteId
from kernel.specimen.domain.specimen_orders import SpecimenOrder, SpecimenOrderId
from kernel.specimen.postgres import specimen_notes, specimen_orders  # noqa: F401 (so that their repositories are found)
from kernel.specimen.queries.specimen_notes import SpecimenNoteQueries
from kernel.specimen.queries.specimen_orders import SpecimenOrderQueries


@dataclass(frozen=True, slots=True, kw_only=True)
class Queries(application.queries.Queries):
    specimen_orders: SpecimenOrderQueries
    specimen_notes: SpecimenNoteQueries


class UnitOfWork(application.unit_of_work.UnitOfWork):
    ask: Queries
    specimen_orders: Repository[SpecimenOrder, SpecimenOrderId]
    specimen_notes: Repository[SpecimenNote, SpecimenNoteId]


@extending(entrypoints.container.Container)
class Container(entrypoints.container.Container):
    unit_of_work = providers.Object(UnitOfWork)
    all_queries = providers.Object(Queries)


Run = Annotated[Runner[UnitOfWork], Depends(given("run"))]
Ask = Annotated[Queries, Depends(given("queries"))]


def versions() -> Versions:
    """The service's own, with the specimen's routes in the first version."""
    from kernel.specimen import v1

    own = entrypoints.http.app.VERSIONS
    return {**own, "v1": (*own.get("v1", ()), v1)}


def create_app(container: Container) -> Service:
    """The application with the specimen in it."""
    return Service(container, versions())
