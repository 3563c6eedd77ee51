"""What every keeper of tasks and comments promises beside what all keepers do, in memory and in Postgres."""

from dataclasses import replace

import pytest

from application.kernel.unit_of_work import Begin
from application.unit_of_work import UnitOfWork
from domain.kernel.errors import Stale
from domain.kernel.memberships import Role
from domain.tasks import AssigneeNotMember, TaskNotFound
from kernel.contracts.test_repositories import stored
from kernel.world.builders import Team, a_membership, a_team, a_workspace, store
from resources.comments import a_comment
from resources.tasks import a_task, a_task_id


async def test_whoever_leaves_is_taken_off_their_tasks_there_and_whoever_read_them_notices(
    begin: Begin[UnitOfWork], team: Team
) -> None:
    leaver, elsewhere = team.member.user_id, a_workspace()
    theirs, anothers, nobodys = (
        a_task(workspace_id=team.workspace.id, assignee_id=assignee, created_by=team.owner.user_id)
        for assignee in (leaver, team.admin.user_id, None)
    )
    membership_elsewhere = a_membership(workspace_id=elsewhere.id, user_id=leaver)
    task_elsewhere = a_task(workspace_id=elsewhere.id, assignee_id=leaver, created_by=leaver)
    await store(begin, elsewhere, membership_elsewhere, theirs, anothers, nobodys, task_elsewhere)
    async with begin() as uow:
        await uow.memberships.remove(team.memberships[Role.MEMBER])
    assert await stored(begin, theirs) == replace(theirs, assignee_id=None, version=2)
    for task in (anothers, nobodys, task_elsewhere):
        assert await stored(begin, task) == task
    with pytest.raises(Stale):
        async with begin() as uow:
            await uow.tasks.save(replace(theirs, title="Unweave"))


async def test_only_a_member_can_be_assigned(begin: Begin[UnitOfWork], team: Team) -> None:
    elsewhere = a_team()
    await store(begin, *elsewhere.aggregates)
    task = a_task(workspace_id=team.workspace.id, created_by=team.owner.user_id)
    await store(begin, task)
    for nobody in (team.stranger.user_id, elsewhere.member.user_id):
        with pytest.raises(AssigneeNotMember):
            await store(begin, replace(task, id=a_task_id(), assignee_id=nobody))
        with pytest.raises(AssigneeNotMember):
            async with begin() as uow:
                await uow.tasks.save(replace(task, assignee_id=nobody))


async def test_a_comment_on_a_task_that_has_gone_is_refused(begin: Begin[UnitOfWork], team: Team) -> None:
    comment = a_comment(task_id=a_task_id(), workspace_id=team.workspace.id, author_id=team.owner.user_id)
    with pytest.raises(TaskNotFound):
        await store(begin, comment)
