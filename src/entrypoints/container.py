"""Which adapter plays which port in this service: what the kernel wires, and what is its own."""

from dependency_injector import providers

from application.audit import WRITTEN
from application.exports import EXPORTS
from application.queries import Queries
from application.unit_of_work import UnitOfWork
from entrypoints.kernel.container import KernelContainer, extending


@extending(KernelContainer)
class Container(KernelContainer):
    """One of each for the process, made when first asked for."""

    unit_of_work = providers.Object(UnitOfWork)
    all_queries = providers.Object(Queries)
    written = providers.Object(WRITTEN)
    export_parts = providers.Object(EXPORTS)
