"""What can be asked about tasks: what the answers say, and which tasks a filter lets through."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from application.kernel.paging import Page, PageRequest, Sort
from application.kernel.unit_of_work import Begin
from application.queries import Queries
from application.queries.tasks import TaskFilter, TaskSortKey, TaskView
from application.unit_of_work import UnitOfWork
from domain.kernel.errors import Invalid, Stale
from domain.kernel.memberships import Role
from domain.kernel.workspaces import WorkspaceNotFound
from domain.tasks import Priority, Status, Task
from kernel.servers.backends import ByHand
from kernel.world.builders import NOW, Team, a_membership, a_team, a_workspace, an_invitation, store
from kernel.world.refusals import refused
from resources.comments import a_comment
from resources.notifications import a_notification
from resources.tasks import a_task

EVERYTHING = TaskFilter()
OLDEST_FIRST: list[Sort[TaskSortKey]] = [Sort("created_at")]
FIRST_PAGE = PageRequest()
LATER = NOW + timedelta(hours=5)


def a_task_of(team: Team, **values: Any) -> Task:
    return a_task(**{"workspace_id": team.workspace.id, "created_by": team.owner.user_id, **values})


# ── what the answers say ─────────────────────────────────────────────────────────────────────────


async def test_a_task_is_shown_with_every_field(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    task = a_task_of(
        team,
        title="Card the wool",
        description="Both\nsides",
        status=Status.DONE,
        priority=Priority.URGENT,
        due_at=NOW + timedelta(days=1),
        assignee_id=team.member.user_id,
        labels=("deep", "wool"),
        created_at=NOW - timedelta(days=2),
        updated_at=NOW - timedelta(days=1),
        finished_at=NOW,
    )
    await store(begin, task)
    view = TaskView(
        id=task.id,
        workspace_id=team.workspace.id,
        title="Card the wool",
        description="Both\nsides",
        status=Status.DONE,
        priority=Priority.URGENT,
        due_at=NOW + timedelta(days=1),
        assignee_id=team.member.user_id,
        labels=["deep", "wool"],
        created_by=team.owner.user_id,
        created_at=NOW - timedelta(days=2),
        updated_at=NOW - timedelta(days=1),
        finished_at=NOW,
        version=1,
    )

    assert await queries.tasks.get(team.viewer.user_id, task.id) == view
    assert await queries.tasks.page(
        team.viewer.user_id, team.workspace.id, EVERYTHING, OLDEST_FIRST, FIRST_PAGE
    ) == Page(items=[view], next=None, total=None)


async def test_a_task_without_due_date_assignee_and_labels_is_shown_without(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    task = a_task_of(team)
    await store(begin, task)

    view = await queries.tasks.get(team.viewer.user_id, task.id)

    assert (view.due_at, view.assignee_id, view.labels, view.finished_at) == (None, None, [], None)


async def test_a_filter_that_nothing_meets_gives_a_member_an_empty_list_and_a_stranger_none(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    await store(begin, a_task_of(team))
    nothing = TaskFilter(label="no-such-label")

    page = await queries.tasks.page(team.viewer.user_id, team.workspace.id, nothing, OLDEST_FIRST, FIRST_PAGE)

    assert page == Page(items=[], next=None, total=None)
    with refused(WorkspaceNotFound):
        await queries.tasks.page(team.stranger.user_id, team.workspace.id, nothing, OLDEST_FIRST, FIRST_PAGE)


async def test_tasks_of_another_workspace_are_in_no_list(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    elsewhere = a_team()
    here = a_task_of(team)
    joined = a_membership(workspace_id=elsewhere.workspace.id, user_id=team.owner.user_id)
    await store(begin, *elsewhere.aggregates, joined, here, a_task_of(elsewhere))

    page = await queries.tasks.page(
        team.owner.user_id, team.workspace.id, EVERYTHING, OLDEST_FIRST, FIRST_PAGE
    )

    assert [view.id for view in page.items] == [here.id]


# ── which tasks ──────────────────────────────────────────────────────────────────────────────────


async def titles(queries: Queries, team: Team, where: TaskFilter) -> set[str]:
    viewer, workspace_id = team.viewer.user_id, team.workspace.id
    page = await queries.tasks.page(
        viewer, workspace_id, where, [Sort("title", descending=True)], PageRequest(limit=100)
    )
    assert page.next is None
    return {view.title for view in page.items}


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (TaskFilter(status=[Status.OPEN]), "plain due"),
        (TaskFilter(status=[Status.DONE, Status.CANCELLED]), "done cancelled"),
        (TaskFilter(status=list(Status)), "plain due done cancelled"),
        (TaskFilter(priority=[Priority.URGENT]), "due"),
        (TaskFilter(priority=[Priority.LOW, Priority.URGENT]), "due done"),
        (TaskFilter(label="deep"), "due done"),
        (TaskFilter(label="wool"), "due"),
        (TaskFilter(label="dee"), ""),
        (TaskFilter(due_after=NOW), "due cancelled"),
        (TaskFilter(due_after=NOW + timedelta(microseconds=1)), "cancelled"),
        (TaskFilter(due_before=LATER), "due"),
        (TaskFilter(due_before=LATER + timedelta(microseconds=1)), "due cancelled"),
        (TaskFilter(due_after=NOW, due_before=LATER), "due"),
        (TaskFilter(due_after=LATER, due_before=NOW), ""),
        (TaskFilter(q="due"), "due"),
        (TaskFilter(q="DUE"), "due"),
        (TaskFilter(q="loom"), "plain done"),
        (TaskFilter(q="old loom"), "plain done"),
        (TaskFilter(q='"old loom"'), "plain"),
        (TaskFilter(q="loom -plain"), "done"),
        (TaskFilter(q="due or plain"), "due plain"),
        (TaskFilter(q="loo"), ""),
        (TaskFilter(q="loom", label="deep", status=[Status.DONE], priority=[Priority.LOW]), "done"),
        (TaskFilter(q="loom", label="wool"), ""),
        (TaskFilter(status=[Status.OPEN], due_after=NOW, label="wool", q="due"), "due"),
    ],
)
async def test_a_filter_lets_through_what_meets_every_condition(
    begin: Begin[UnitOfWork], queries: Queries, team: Team, where: TaskFilter, found: str
) -> None:
    await store(
        begin,
        a_task_of(team, title="plain", description="the old loom"),
        a_task_of(team, title="due", due_at=NOW, labels=("deep", "wool"), priority=Priority.URGENT),
        a_task_of(
            team,
            title="done",
            description="a loom so old",
            status=Status.DONE,
            labels=("deep",),
            priority=Priority.LOW,
        ),
        a_task_of(team, title="cancelled", status=Status.CANCELLED, due_at=LATER),
    )

    assert await titles(queries, team, where) == set(found.split())


async def test_tasks_are_filtered_by_assignee(begin: Begin[UnitOfWork], queries: Queries, team: Team) -> None:
    await store(
        begin,
        a_task_of(team, title="mine", assignee_id=team.member.user_id),
        a_task_of(team, title="yours", assignee_id=team.admin.user_id),
        a_task_of(team, title="nobody's"),
    )

    assert await titles(queries, team, TaskFilter(assignee_id=team.member.user_id)) == {"mine"}
    assert await titles(queries, team, TaskFilter(assignee_id=team.stranger.user_id)) == set()
    both = TaskFilter(assignee_id=team.admin.user_id, status=[Status.OPEN])
    assert await titles(queries, team, both) == {"yours"}


filters = st.builds(
    TaskFilter,
    status=st.lists(st.sampled_from(Status), max_size=2),
    priority=st.lists(st.sampled_from(Priority), max_size=2),
    label=st.none() | st.sampled_from(["deep", "wool"]),
    due_after=st.none() | st.sampled_from([NOW, LATER]),
    due_before=st.none() | st.sampled_from([NOW, LATER]),
    q=st.none() | st.sampled_from(["loom", "wheel", "-loom"]),
)
tasks_with_anything = st.lists(
    st.fixed_dictionaries(
        {
            "status": st.sampled_from(Status),
            "priority": st.sampled_from(Priority),
            "labels": st.sampled_from([(), ("deep",), ("deep", "wool")]),
            "due_at": st.sampled_from([None, NOW, LATER]),
            "description": st.sampled_from(["", "loom", "loom wheel"]),
        }
    ),
    max_size=12,
)


def lets_through(where: TaskFilter, task: Task) -> bool:
    """What the filter says, once more and in Python."""
    words = task.description.split()
    return all(
        [
            not where.status or task.status in where.status,
            not where.priority or task.priority in where.priority,
            where.label is None or where.label in task.labels,
            where.due_after is None or (task.due_at is not None and task.due_at >= where.due_after),
            where.due_before is None or (task.due_at is not None and task.due_at < where.due_before),
            where.q is None or (where.q in words) or (where.q == "-loom" and "loom" not in words),
        ]
    )


@given(where=filters, specified=tasks_with_anything)
async def test_conditions_hold_in_every_combination(
    begin: Begin[UnitOfWork], queries: Queries, where: TaskFilter, specified: list[dict[str, Any]]
) -> None:
    team = a_team()
    tasks = [a_task_of(team, title=str(number), **values) for number, values in enumerate(specified)]
    await store(begin, *team.aggregates, *tasks)

    assert await titles(queries, team, where) == {task.title for task in tasks if lets_through(where, task)}


@given(text=st.text() | st.text("\"'-|&!()<>:*\\%_ aor", max_size=12))
@example(text="")
@example(text=" ")
@example(text='"')
@example(text='""')
@example(text="-")
@example(text="--")
@example(text="|")
@example(text="or")
@example(text="or or")
@example(text="-or-")
@example(text="'")
@example(text="\\")
@example(text=":*")
@example(text="<->")
@example(text="(")
@example(text="&&!!")
@example(text="'; DROP TABLE tasks; --")
@example(text="%s $1 :text")
@example(text="\U0001f9f6")
@example(text="\u0301")
@example(text="a" * 5_000)
@example(text="a " * 5_000)
@example(text='"' * 2_001)
async def test_whatever_is_searched_for_is_answered(queries: Queries, team: Team, text: str) -> None:
    try:
        await titles(queries, team, TaskFilter(q=text))
    except Invalid:
        assert "\0" in text


@pytest.mark.parametrize("text", ["\0", "loom\0", "\ud800", "loom \udfff"])
async def test_a_text_that_cannot_be_stored_cannot_be_searched_for(
    queries: Queries, team: Team, text: str
) -> None:
    for where in (TaskFilter(q=text), TaskFilter(label=text)):
        with pytest.raises(Invalid):
            await titles(queries, team, where)


@pytest.mark.parametrize(
    "instant",
    [
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
    ],
)
async def test_an_instant_outside_of_the_calendar_is_invalid(
    queries: Queries, team: Team, instant: datetime
) -> None:
    for where in (TaskFilter(due_after=instant), TaskFilter(due_before=instant)):
        with pytest.raises(Invalid):
            await titles(queries, team, where)


async def test_the_first_and_the_last_instant_can_be_asked_for(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    await store(
        begin, a_task_of(team, title="first", due_at=first), a_task_of(team, title="last", due_at=last)
    )

    assert await titles(queries, team, TaskFilter(due_after=first, due_before=last)) == {"first"}
    assert await titles(queries, team, TaskFilter(due_after=last)) == {"last"}


# ── what the foreign keys and the trigger do ─────────────────────────────────────────────────────


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
