"""Whom this service answers about a workspace: its members, and no one else."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from application.kernel.paging import Page, PageRequest, Sort
from application.kernel.ports.callers import Caller
from application.kernel.unit_of_work import Begin
from application.queries import Queries
from application.queries.tasks import TaskFilter, TaskSortKey
from application.unit_of_work import UnitOfWork
from domain.comments import Comment
from domain.kernel.errors import NotFound
from domain.kernel.memberships import Role
from domain.kernel.workspaces import WorkspaceId, WorkspaceNotFound
from domain.tasks import Task, TaskId, TaskNotFound
from kernel.world.builders import NOW, Team, a_caller, a_team, a_workspace_id, store
from kernel.world.refusals import refused
from resources.comments import a_comment
from resources.tasks import a_task, a_task_id

EVERYTHING = TaskFilter()
OLDEST_FIRST: list[Sort[TaskSortKey]] = [Sort("created_at")]
FIRST_PAGE = PageRequest()


def a_task_of(team: Team, **values: Any) -> Task:
    return a_task(**{"workspace_id": team.workspace.id, "created_by": team.owner.user_id, **values})


def a_comment_on(task: Task, **values: Any) -> Comment:
    return a_comment(
        **{"task_id": task.id, "workspace_id": task.workspace_id, "author_id": task.created_by, **values}
    )


async def remove_from(team: Team, role: Role, begin: Begin[UnitOfWork]) -> None:
    async with begin() as uow:
        await uow.memberships.remove(team.memberships[role])


type Ask = Callable[[Queries, Caller, WorkspaceId, TaskId], Awaitable[Any]]
"""A query about a workspace, or about a task in it, as somebody."""


async def its_tasks(queries: Queries, who: Caller, workspace_id: WorkspaceId, task_id: TaskId) -> Any:
    return await queries.tasks.page(who.user_id, workspace_id, EVERYTHING, OLDEST_FIRST, FIRST_PAGE)


async def its_dashboard(queries: Queries, who: Caller, workspace_id: WorkspaceId, task_id: TaskId) -> Any:
    return await queries.dashboard.of(who.user_id, workspace_id, NOW)


async def the_task(queries: Queries, who: Caller, workspace_id: WorkspaceId, task_id: TaskId) -> Any:
    return await queries.tasks.get(who.user_id, task_id)


async def its_comments(queries: Queries, who: Caller, workspace_id: WorkspaceId, task_id: TaskId) -> Any:
    return await queries.comments.page(who.user_id, task_id, FIRST_PAGE)


ABOUT_WORKSPACES: list[Ask] = [its_tasks, its_dashboard]
ABOUT_TASKS: list[Ask] = [the_task, its_comments]
MISSING: dict[Ask, type[NotFound]] = {
    **dict.fromkeys(ABOUT_WORKSPACES, WorkspaceNotFound),
    **dict.fromkeys(ABOUT_TASKS, TaskNotFound),
}


@pytest.fixture(params=[False, True], ids=["empty", "filled"])
async def task(request: pytest.FixtureRequest, begin: Begin[UnitOfWork], team: Team) -> Task:
    """A task; and in a filled workspace there are more things to be seen."""
    task = a_task_of(team)
    await store(begin, task)
    if request.param:
        await store(
            begin,
            a_task_of(team),
            a_comment_on(task),
        )
    return task


@pytest.mark.parametrize("ask", [*ABOUT_WORKSPACES, *ABOUT_TASKS])
async def test_members_are_answered(queries: Queries, team: Team, task: Task, ask: Ask) -> None:
    for role in Role:
        assert await ask(queries, team[role], team.workspace.id, task.id)


@pytest.mark.parametrize("ask", [*ABOUT_WORKSPACES, *ABOUT_TASKS])
async def test_a_stranger_finds_nothing_not_even_an_owner_of_another_workspace(
    begin: Begin[UnitOfWork], queries: Queries, team: Team, task: Task, ask: Ask
) -> None:
    elsewhere = a_team()
    await store(begin, *elsewhere.aggregates, a_task_of(elsewhere))
    for stranger in (team.stranger, elsewhere.owner, a_caller()):
        with refused(MISSING[ask]):
            await ask(queries, stranger, team.workspace.id, task.id)


@pytest.mark.parametrize("ask", [*ABOUT_WORKSPACES, *ABOUT_TASKS])
async def test_a_removed_member_finds_nothing_from_then_on(
    begin: Begin[UnitOfWork], queries: Queries, team: Team, task: Task, ask: Ask
) -> None:
    assert await ask(queries, team.admin, team.workspace.id, task.id)
    await remove_from(team, Role.ADMIN, begin)

    with refused(MISSING[ask]):
        await ask(queries, team.admin, team.workspace.id, task.id)


@pytest.mark.parametrize("ask", [*ABOUT_WORKSPACES, *ABOUT_TASKS])
async def test_what_does_not_exist_is_not_found_by_an_owner_either(
    queries: Queries, team: Team, ask: Ask
) -> None:
    with refused(MISSING[ask]):
        await ask(queries, team.owner, a_workspace_id(), a_task_id())


@pytest.mark.parametrize("ask", [*ABOUT_WORKSPACES, *ABOUT_TASKS])
async def test_an_archived_workspace_can_be_read(
    begin: Begin[UnitOfWork], queries: Queries, ask: Ask
) -> None:
    team = a_team(archived=True)
    task = a_task_of(team)
    await store(begin, *team.aggregates, task)

    assert await ask(queries, team.owner, team.workspace.id, task.id)


async def test_an_empty_workspace_is_empty_to_its_members(queries: Queries, team: Team) -> None:
    empty = Page[Any](items=[], next=None, total=None)
    viewer, workspace_id = team.viewer.user_id, team.workspace.id

    assert await queries.tasks.page(viewer, workspace_id, EVERYTHING, OLDEST_FIRST, FIRST_PAGE) == empty
    dashboard = await queries.dashboard.of(viewer, workspace_id, NOW)
    assert (dashboard.overdue, dashboard.load) == (0, [])
    assert set(dashboard.by_status.values()) == set(dashboard.by_priority.values()) == {0}
