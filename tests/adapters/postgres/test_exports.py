"""What this service adds to the export of an account: tasks and comments."""

from application.exports import EXPORTS
from application.kernel.paging import PageRequest
from application.kernel.unit_of_work import Begin
from application.queries import Queries
from application.unit_of_work import UnitOfWork
from domain.kernel.memberships import Role
from domain.kernel.users import UserId
from kernel.world.builders import Team, a_team, store
from resources.comments import a_comment
from resources.tasks import a_task


async def exported(queries: Queries, user_id: UserId) -> dict[str, set[object]]:
    pages = {name: await part(queries, user_id, PageRequest(limit=1000)) for name, part in EXPORTS.items()}
    return {name: {each.id for each in page.items} for name, page in pages.items()}


async def test_a_user_s_tasks_and_comments_are_theirs_and_nobody_else_s(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    member, owner, place = team.member.user_id, team.owner.user_id, team.workspace.id
    created = a_task(workspace_id=place, created_by=member)
    assigned = a_task(workspace_id=place, created_by=owner, assignee_id=member)
    others = a_task(workspace_id=place, created_by=owner)
    written = a_comment(task_id=others.id, workspace_id=place, author_id=member)
    read = a_comment(task_id=created.id, workspace_id=place, author_id=owner)
    await store(begin, created, assigned, others, written, read)
    assert await exported(queries, member) == {"tasks": {created.id, assigned.id}, "comments": {written.id}}
    assert await exported(queries, owner) == {"tasks": {assigned.id, others.id}, "comments": {read.id}}


async def test_of_a_workspace_that_they_have_left_their_words_are_left(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    member, place = team.member.user_id, team.workspace.id
    task = a_task(workspace_id=place, created_by=member)
    comment = a_comment(task_id=task.id, workspace_id=place, author_id=member)
    await store(begin, task, comment, *a_team().aggregates)
    async with begin() as uow:
        await uow.memberships.remove(team.memberships[Role.MEMBER])
    assert await exported(queries, member) == {"tasks": set(), "comments": {comment.id}}
