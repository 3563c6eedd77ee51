"""Which adapter plays which port in this service: what the kernel wires, and what is its own."""

from dependency_injector import containers, providers

from application.queries import Queries
from application.unit_of_work import UnitOfWork
from entrypoints.kernel.container import KernelContainer


@containers.copy(KernelContainer)  # so that what the kernel wires is made of what is named here
class Container(KernelContainer):
    """One of each for the process, made when first asked for."""

    unit_of_work = providers.Object(UnitOfWork)
    all_queries = providers.Object(Queries)
