"""What the tests over HTTP share."""

import pytest

from application.kernel.unit_of_work import Begin
from application.unit_of_work import UnitOfWork
from domain.tasks import Task
from kernel.world.builders import Team, store
from kernel.world.http import *  # noqa: F403 (fixtures, which pytest finds here)
from resources.tasks import a_task


@pytest.fixture
async def task(begin: Begin[UnitOfWork], team: Team) -> Task:
    """An open task of the team."""
    task = a_task(workspace_id=team.workspace.id, created_by=team.member.user_id)
    await store(begin, task)
    return task
