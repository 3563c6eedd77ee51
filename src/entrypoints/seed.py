"""This service's part of the demo data: tasks and comments."""

from datetime import timedelta

from application.commands.comments import add_comment
from application.commands.tasks import cancel_task, complete_task, create_task, start_task
from application.unit_of_work import UnitOfWork
from domain.tasks import Priority
from entrypoints.kernel.seed import Demo


async def fill(uow: UnitOfWork, demo: Demo) -> None:
    """A few tasks of different kinds, with comments, in the demo workspace."""
    read = await create_task(
        uow, demo.owner, demo.workspace_id, title="Read the README", priority=Priority.HIGH
    )
    await complete_task(uow, demo.owner, read.id)
    rename = await create_task(
        uow,
        demo.colleague,
        demo.workspace_id,
        title="Give the service its own name",
        description="It stands in pyproject.toml and nowhere else.",
        due_at=uow.now + timedelta(days=1),
        assignee_id=demo.owner.user_id,
        labels=("fork",),
    )
    await add_comment(uow, demo.colleague, rename.id, body="One line, or so they say.")
    await start_task(uow, demo.owner, rename.id)
    replace = await create_task(
        uow,
        demo.owner,
        demo.workspace_id,
        title="Replace tasks and comments by what the service is about",
        priority=Priority.URGENT,
        due_at=uow.now + timedelta(days=7),
        assignee_id=demo.colleague.user_id,
        labels=("fork", "design"),
    )
    await add_comment(uow, demo.owner, replace.id, body="The kernel knows nothing of them, so they can go.")
    await add_comment(
        uow, demo.colleague, replace.id, body="I will keep them until ours pass the same tests."
    )
    rewrite = await create_task(uow, demo.owner, demo.workspace_id, title="Rewrite it in another framework")
    await cancel_task(uow, demo.colleague, rewrite.id)
