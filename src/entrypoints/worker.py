"""The worker, and this service's tables: "when this happens, do that" and "every so often, do that".

`python -m entrypoints.worker` delivers the events and does the jobs of these tables and of the kernel's.
"""

import asyncio
from collections.abc import Sequence

from application.reactions import forget_user, notify_assignee
from domain.kernel.users import UserDeleted
from domain.tasks import TaskAssigned
from entrypoints.container import Container
from entrypoints.kernel.logging import configure_logging
from entrypoints.kernel.settings import load_settings
from entrypoints.kernel.worker import Periodic, Row, run, when
from entrypoints.settings import Settings

REACTIONS: Sequence[Row] = [
    when(TaskAssigned, notify_assignee),
    when(UserDeleted, forget_user),
]

JOBS: Sequence[Periodic] = []


def main() -> None:
    settings = load_settings(Settings)
    configure_logging(settings)
    asyncio.run(run(Container(settings=settings), REACTIONS, JOBS))


if __name__ == "__main__":
    main()
