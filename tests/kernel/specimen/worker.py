"""The worker with the specimen's own table: `python -m kernel.specimen.worker` runs it."""

import asyncio
from collections.abc import Sequence

import entrypoints.worker
from entrypoints.kernel.logging import configure_logging
from entrypoints.kernel.settings import load_settings
from entrypoints.kernel.worker import Row, run, when
from entrypoints.settings import Settings
from kernel.specimen.domain.specimen_orders import SpecimenOrderAssigned
from kernel.specimen.reactions import note_assignment
from kernel.specimen.service import Container

REACTIONS: Sequence[Row] = [
    *entrypoints.worker.REACTIONS,
    when(SpecimenOrderAssigned, note_assignment),
]


def main() -> None:
    settings = load_settings(Settings)
    configure_logging(settings)
    asyncio.run(run(Container(settings=settings), REACTIONS, entrypoints.worker.JOBS))


if __name__ == "__main__":
    main()
