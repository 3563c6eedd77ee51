"""What the dashboard of a workspace counts, and what it costs."""

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.kernel.unit_of_work import Begin
from application.queries import Queries
from application.queries.dashboard import DAYS, LOAD_MOST, FinishedOn, Load
from application.unit_of_work import UnitOfWork
from domain.kernel.memberships import Role
from domain.kernel.workspaces import WorkspaceNotFound
from domain.tasks import Priority, Status, Task
from kernel.world.builders import NOW, Team, a_membership, a_team, a_user, store
from kernel.world.refusals import refused
from resources.tasks import a_task

type Recorded = Callable[[], AbstractAsyncContextManager[list[str]]]

LATER = NOW + timedelta(hours=5)


def a_task_of(team: Team, **values: Any) -> Task:
    return a_task(**{"workspace_id": team.workspace.id, "created_by": team.owner.user_id, **values})


# ── what it counts ───────────────────────────────────────────────────────────────────────────────

ACTIVE = {Status.OPEN, Status.IN_PROGRESS}
countable = st.lists(
    st.fixed_dictionaries(
        {
            "status": st.sampled_from(Status),
            "priority": st.sampled_from(Priority),
            "assignee": st.sampled_from([None, *Role]),
            "due_at": st.sampled_from(
                [None, NOW - timedelta(days=1), NOW, NOW + timedelta(microseconds=1), LATER]
            ),
            "finished": st.timedeltas(timedelta(days=-DAYS - 2), timedelta(0)),
        }
    ),
    max_size=25,
)


@given(specified=countable, hour=st.integers(-12, 14))
async def test_the_dashboard_counts_as_somebody_would_by_hand(
    begin: Begin[UnitOfWork], queries: Queries, specified: list[dict[str, Any]], hour: int
) -> None:
    team, elsewhere = a_team(), a_team()
    tasks = [
        a_task_of(
            team,
            status=values["status"],
            priority=values["priority"],
            assignee_id=values["assignee"] and team[values["assignee"]].user_id,
            due_at=values["due_at"],
            finished_at=NOW + values["finished"] if values["status"] is Status.DONE else None,
        )
        for values in specified
    ]
    await store(
        begin, *team.aggregates, *elsewhere.aggregates, *tasks, a_task_of(elsewhere, status=Status.DONE)
    )

    now = NOW.astimezone(timezone(timedelta(hours=hour)))
    dashboard = await queries.dashboard.of(team.viewer.user_id, team.workspace.id, now)

    active = [task for task in tasks if task.status in ACTIVE]
    late = [task for task in active if task.due_at is not None and task.due_at < NOW]
    assert dashboard.by_status == {each: [task.status for task in tasks].count(each) for each in Status}
    assert dashboard.by_priority == {
        each: [task.priority for task in active].count(each) for each in Priority
    }
    assert dashboard.overdue == len(late)
    finished = Counter(task.finished_at.date() for task in tasks if task.finished_at is not None)
    days = [NOW.date() - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    assert dashboard.finished == [FinishedOn(day, finished[day]) for day in days]
    names = {user.id: user.display_name for user in team.users.values()}
    loads = {task.assignee_id: 0 for task in active}
    for assignee_id in loads:
        loads[assignee_id] = sum(task.assignee_id == assignee_id for task in active)
    assert {load.assignee_id: load for load in dashboard.load} == {
        assignee_id: Load(
            assignee_id=assignee_id,
            display_name=None if assignee_id is None else names[assignee_id],
            active=load,
            overdue=sum(task.assignee_id == assignee_id for task in late),
        )
        for assignee_id, load in loads.items()
    }
    assert [load.active for load in dashboard.load] == sorted(loads.values(), reverse=True)


async def test_a_day_of_the_dashboard_begins_and_ends_at_midnight_utc(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    midnight = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
    first = midnight - timedelta(days=DAYS - 1)
    instants = [first - timedelta(microseconds=1), first, midnight - timedelta(microseconds=1), midnight]
    await store(begin, *(a_task_of(team, status=Status.DONE, finished_at=instant) for instant in instants))

    dashboard = await queries.dashboard.of(team.viewer.user_id, team.workspace.id, NOW)

    assert [each.count for each in dashboard.finished] == [1, *[0] * (DAYS - 3), 1, 1]
    assert [each.day for each in dashboard.finished] == [
        (first + timedelta(days=number)).date() for number in range(DAYS)
    ]


async def test_the_dashboard_shows_the_busiest_assignees_only(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    users = [a_user(display_name=f"Weaver {number}") for number in range(LOAD_MOST + 1)]
    await store(
        begin,
        *users,
        *(a_membership(workspace_id=team.workspace.id, user_id=user.id) for user in users),
        *(a_task_of(team, assignee_id=user.id) for user in users),
        *(a_task_of(team, assignee_id=user.id) for user in users[1:]),
    )

    dashboard = await queries.dashboard.of(team.viewer.user_id, team.workspace.id, NOW)

    assert {load.assignee_id for load in dashboard.load} == {user.id for user in users[1:]}
    assert {load.active for load in dashboard.load} == {2}


@pytest.mark.parametrize("many", [0, 1, 40])
async def test_the_dashboard_is_two_statements_whatever_it_counts(
    begin: Begin[UnitOfWork], queries: Queries, team: Team, recorded: Recorded, many: int
) -> None:
    await store(begin, *(a_task_of(team, assignee_id=team.member.user_id) for _ in range(many)))

    async with recorded() as sent:
        await queries.dashboard.of(team.viewer.user_id, team.workspace.id, NOW)

    assert len(sent) == 2


async def test_the_dashboard_of_a_stranger_stops_after_one_statement(
    queries: Queries, team: Team, recorded: Recorded
) -> None:
    async with recorded() as sent:
        with refused(WorkspaceNotFound):
            await queries.dashboard.of(team.stranger.user_id, team.workspace.id, NOW)

    assert len(sent) == 1
