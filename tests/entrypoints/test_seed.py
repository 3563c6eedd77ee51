"""This service's part of the demo data."""

from application.kernel.paging import PageRequest, Sort
from application.kernel.run import Runner
from application.queries import Queries
from application.queries.tasks import TaskFilter
from application.unit_of_work import UnitOfWork
from domain.kernel.users import Email, UserId
from entrypoints.kernel.seed import DEMO_EMAIL, seed
from entrypoints.seed import fill
from kernel.world.fakes import FakePasswordHasher


async def test_the_demo_has_tasks_of_every_status(run: Runner[UnitOfWork], queries: Queries) -> None:
    assert await seed(run, FakePasswordHasher(), fill)

    demo = await run(_demo)
    (workspace,) = (await queries.workspaces.page(demo, PageRequest())).items
    tasks = (await queries.tasks.page(demo, workspace.id, TaskFilter(), [Sort("title")], PageRequest())).items
    assert len({task.status for task in tasks}) == 4
    assert demo in {task.assignee_id for task in tasks}


async def _demo(uow: UnitOfWork) -> UserId:
    user = await uow.users.holder(Email(DEMO_EMAIL))
    assert user is not None
    return user.id
