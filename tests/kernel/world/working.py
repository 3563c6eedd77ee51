"""A worker in the test's own process: everything that it would do now, one after the other."""

from collections.abc import Iterable

from application.kernel.ports.events import Outcome
from entrypoints.kernel import worker
from entrypoints.kernel.container import KernelContainer
from entrypoints.kernel.lanes import names_by_event
from entrypoints.kernel.worker import Row


async def work_off(container: KernelContainer, rows: Iterable[Row] = ()) -> list[Outcome]:
    """Delivers what is due, and says how what was to leave has ended."""
    table = worker.table([*worker.kernel_reactions(container.mail_reactions()), *rows])
    react, outside, ended = worker.reacting(table), names_by_event(table), []
    while True:
        while await container.outbox().deliver_next(react, outside):
            pass
        found = False
        for lane, reactions in worker.outside_of(table).items():
            while leased := await container.lanes().lease(reactions, passes_parked=lane.passes_parked):
                found = True
                react_outside = reactions[leased.reaction]
                ended.append(
                    await container.lanes().deliver(leased, react_outside, others_served=lambda: False)
                )
        if not found:
            return ended
