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
from kernel.specimen.domain.notes import Note, NoteId
from kernel.specimen.domain.work_orders import WorkOrder, WorkOrderId
from kernel.specimen.postgres import notes, work_orders  # noqa: F401 (so that their repositories are found)
from kernel.specimen.queries.notes import NoteQueries
from kernel.specimen.queries.work_orders import WorkOrderQueries


@dataclass(frozen=True, slots=True, kw_only=True)
class Queries(application.queries.Queries):
    work_orders: WorkOrderQueries
    notes: NoteQueries


class UnitOfWork(application.unit_of_work.UnitOfWork):
    ask: Queries
    work_orders: Repository[WorkOrder, WorkOrderId]
    notes: Repository[Note, NoteId]


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
