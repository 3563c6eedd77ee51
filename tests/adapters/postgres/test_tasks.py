"""Tasks in PostgreSQL: what the foreign keys and the trigger do."""

from typing import Any

import pytest

from application.kernel.unit_of_work import Begin
from application.unit_of_work import UnitOfWork
from domain.kernel.errors import Stale
from domain.kernel.memberships import Role
from domain.tasks import Status
from kernel.servers.backends import ByHand
from kernel.world.builders import NOW, Team, a_membership, a_team, a_workspace, an_invitation, store
from resources.comments import a_comment
from resources.notifications import a_notification
from resources.tasks import a_task


async def test_whoever_leaves_is_taken_off_their_tasks_and_nobody_saves_over_it(
    begin: Begin[UnitOfWork], team: Team
) -> None:
    common: dict[str, Any] = {"workspace_id": team.workspace.id, "created_by": team.owner.user_id}
    theirs = a_task(**common, assignee_id=team.member.user_id, title="theirs")
    another_s = a_task(**common, assignee_id=team.admin.user_id, title="another's")
    nobody_s = a_task(**common, title="nobody's")
    await store(begin, theirs, another_s, nobody_s)

    async with begin() as uow:
        await uow.memberships.remove(team.memberships[Role.MEMBER])

    async with begin() as uow:
        left = await uow.tasks.get(theirs.id)
        assert (left.assignee_id, left.version) == (None, theirs.version + 1)
        assert await uow.tasks.get(another_s.id) == another_s
        assert await uow.tasks.get(nobody_s.id) == nobody_s
    with pytest.raises(Stale):
        async with begin() as uow:
            await uow.tasks.save(theirs.move(Status.DONE, by=team.owner.user_id, at=NOW))
    async with begin() as uow:
        saved = await uow.tasks.save(left.move(Status.DONE, by=team.owner.user_id, at=NOW))
    async with begin() as uow:
        assert await uow.tasks.get(theirs.id) == saved
    assert saved.version == left.version + 1


async def test_whoever_leaves_one_workspace_keeps_their_tasks_in_another(
    begin: Begin[UnitOfWork], team: Team
) -> None:
    elsewhere = a_workspace()
    task = a_task(workspace_id=elsewhere.id, created_by=team.owner.user_id, assignee_id=team.member.user_id)
    joined = a_membership(workspace_id=elsewhere.id, user_id=team.member.user_id)
    await store(begin, elsewhere, joined, task)

    async with begin() as uow:
        await uow.memberships.remove(team.memberships[Role.MEMBER])

    async with begin() as uow:
        assert await uow.tasks.get(task.id) == task


async def test_a_user_who_is_deleted_is_taken_off_their_tasks(begin: Begin[UnitOfWork], team: Team) -> None:
    task = a_task(
        workspace_id=team.workspace.id, created_by=team.owner.user_id, assignee_id=team.member.user_id
    )
    await store(begin, task)

    async with begin() as uow:
        await uow.users.remove(team.users[Role.MEMBER])

    async with begin() as uow:
        left = await uow.tasks.get(task.id)
    assert (left.assignee_id, left.version) == (None, task.version + 1)


async def test_a_workspace_goes_with_everything_in_it(
    begin: Begin[UnitOfWork], by_hand: ByHand, team: Team
) -> None:
    elsewhere = a_team()
    kept = a_task(workspace_id=elsewhere.workspace.id, created_by=elsewhere.owner.user_id)
    tasks = [
        a_task(workspace_id=team.workspace.id, created_by=team.owner.user_id, assignee_id=assignee)
        for assignee in (None, team.member.user_id, team.admin.user_id)
    ]
    common: dict[str, Any] = {"task_id": tasks[1].id, "workspace_id": team.workspace.id}
    await store(
        begin,
        *elsewhere.aggregates,
        kept,
        *tasks,
        a_comment(**common, author_id=team.member.user_id),
        a_notification(**common, user_id=team.member.user_id, caused_by=team.owner.user_id),
        an_invitation(workspace_id=team.workspace.id, invited_by=team.owner.user_id),
    )

    async with begin() as uow:
        await uow.workspaces.remove(team.workspace.delete(by=team.owner.user_id, at=NOW))

    for table in ("memberships", "invitations", "tasks", "comments", "notifications"):
        left = f"SELECT count(*) FROM {table} WHERE workspace_id = $1"  # noqa: S608
        assert await by_hand.fetchval(left, team.workspace.id) == 0
    async with begin() as uow:
        assert await uow.tasks.get(kept.id) == kept
