"""What can be asked about comments: what the answers say, and whom they are given."""

from datetime import timedelta
from typing import Any

from application.kernel.paging import Page, PageRequest
from application.kernel.unit_of_work import Begin
from application.queries import Queries
from application.queries.comments import CommentView
from application.unit_of_work import UnitOfWork
from domain.comments import Comment, CommentNotFound
from domain.kernel.memberships import Role
from domain.tasks import Task
from kernel.world.builders import NOW, Team, a_team, store
from kernel.world.refusals import refused
from resources.comments import a_comment
from resources.tasks import a_task

FIRST_PAGE = PageRequest()
LATER = NOW + timedelta(hours=5)


def a_task_of(team: Team, **values: Any) -> Task:
    return a_task(**{"workspace_id": team.workspace.id, "created_by": team.owner.user_id, **values})


def a_comment_on(task: Task, **values: Any) -> Comment:
    return a_comment(
        **{"task_id": task.id, "workspace_id": task.workspace_id, "author_id": task.created_by, **values}
    )


async def remove_from(team: Team, role: Role, begin: Begin[UnitOfWork]) -> None:
    async with begin() as uow:
        await uow.memberships.remove(team.memberships[role])


async def test_a_comment_is_shown_with_its_author_s_present_name(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    task, another = a_task_of(team), a_task_of(team)
    comment = a_comment_on(task, author_id=team.member.user_id, edited_at=LATER)
    await store(begin, task, another, comment, a_comment_on(another))
    async with begin() as uow:
        await uow.users.save(team.users[Role.MEMBER].edit(at=NOW, display_name="Augusta"))

    assert await queries.comments.page(team.viewer.user_id, task.id, FIRST_PAGE) == Page(
        items=[
            CommentView(
                id=comment.id,
                task_id=task.id,
                author_id=team.member.user_id,
                author_name="Augusta",
                body=comment.body,
                created_at=comment.created_at,
                edited_at=LATER,
                version=1,
            )
        ],
        next=None,
        total=None,
    )


async def test_a_comment_is_found_by_members_alone(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    task, elsewhere = a_task_of(team), a_team()
    comment = a_comment_on(task)
    await store(begin, *elsewhere.aggregates, task, comment)
    [shown] = (await queries.comments.page(team.viewer.user_id, task.id, FIRST_PAGE)).items

    for role in Role:
        assert await queries.comments.get(team[role].user_id, comment.id) == shown
    for nobody in (team.stranger, elsewhere.owner):
        with refused(CommentNotFound):
            await queries.comments.get(nobody.user_id, comment.id)
    with refused(CommentNotFound):
        await queries.comments.get(team.owner.user_id, a_comment().id)


async def test_a_comment_stays_when_its_author_has_left(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    task = a_task_of(team)
    await store(begin, task, a_comment_on(task, author_id=team.member.user_id))
    await remove_from(team, Role.MEMBER, begin)

    [view] = (await queries.comments.page(team.viewer.user_id, task.id, FIRST_PAGE)).items

    assert view.author_name == "Member"
