"""What members do with tasks."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from application.commands.tasks import (
    cancel_task,
    complete_task,
    create_task,
    delete_task,
    edit_task,
    reopen_task,
    start_task,
)
from application.kernel.admission import NotPermitted
from application.kernel.commands.memberships import remove_member
from application.kernel.commands.workspaces import delete_workspace
from application.kernel.ports.callers import Caller
from application.kernel.run import Runner
from application.unit_of_work import UnitOfWork
from domain.comments import CommentNotFound
from domain.kernel.errors import Invalid
from domain.kernel.memberships import Role
from domain.kernel.workspaces import WorkspaceArchived, WorkspaceNotFound
from domain.notifications import NotificationNotFound
from domain.tasks import (
    AssigneeNotMember,
    MoveNotAllowed,
    Priority,
    Status,
    Task,
    TaskAssigned,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
    TaskMoved,
    TaskNotFound,
)
from kernel.world.builders import NOW, Team, a_team, store
from kernel.world.fakes import FakeClock, MemoryTransactions
from kernel.world.refusals import refused
from resources.comments import a_comment
from resources.notifications import a_notification
from resources.tasks import a_task

DUE = NOW + timedelta(days=3)

type Attempt = Callable[[Runner[UnitOfWork], Caller, Task], Awaitable[object]]

ON_A_TASK: Mapping[str, Attempt] = {
    "edit": lambda run, actor, task: run(edit_task, actor, task.id, title="Another"),
    "start": lambda run, actor, task: run(start_task, actor, task.id),
    "complete": lambda run, actor, task: run(complete_task, actor, task.id),
    "cancel": lambda run, actor, task: run(cancel_task, actor, task.id),
    "reopen": lambda run, actor, task: run(reopen_task, actor, task.id),
    "delete": lambda run, actor, task: run(delete_task, actor, task.id),
}
EVERYTHING: Mapping[str, Attempt] = {
    **ON_A_TASK,
    "create": lambda run, actor, task: run(create_task, actor, task.workspace_id, title="Another"),
}


@pytest.fixture
async def task(transactions: MemoryTransactions[UnitOfWork], team: Team) -> Task:
    """In progress, from where all moves but one are allowed."""
    task = a_task(workspace_id=team.workspace.id, status=Status.IN_PROGRESS)
    await store(transactions, task)
    return task


async def stored(transactions: MemoryTransactions[UnitOfWork], task: Task) -> Task:
    async with transactions() as uow:
        return await uow.tasks.get(task.id)


# ── who may ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("role", [Role.MEMBER, Role.ADMIN, Role.OWNER])
@pytest.mark.parametrize("attempt", EVERYTHING)
async def test_any_member_but_a_viewer_may_work_on_tasks(
    attempt: str,
    role: Role,
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    team: Team,
) -> None:
    task = a_task(
        workspace_id=team.workspace.id, status=Status.OPEN if attempt == "start" else Status.IN_PROGRESS
    )
    await store(transactions, task)
    await EVERYTHING[attempt](run, team[role], task)
    assert len(transactions.events) == 1


@pytest.mark.parametrize("attempt", EVERYTHING)
async def test_viewers_may_only_look(
    attempt: str,
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    team: Team,
    task: Task,
) -> None:
    with refused(NotPermitted, "The role viewer lacks the permission tasks:write."):
        await EVERYTHING[attempt](run, team.viewer, task)
    assert await stored(transactions, task) == task


@pytest.mark.parametrize("attempt", EVERYTHING)
async def test_the_tasks_of_an_archived_workspace_stay_as_they_are(
    attempt: str, run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    team = a_team(archived=True)
    task = a_task(workspace_id=team.workspace.id, status=Status.IN_PROGRESS)
    await store(transactions, *team.aggregates, task)
    with refused(WorkspaceArchived, "Owners and admins can restore it."):
        await EVERYTHING[attempt](run, team.owner, task)
    assert await stored(transactions, task) == task


@pytest.mark.parametrize("attempt", ON_A_TASK)
async def test_to_strangers_a_task_does_not_exist(
    attempt: str,
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    team: Team,
    task: Task,
) -> None:
    with refused(TaskNotFound):
        await ON_A_TASK[attempt](run, team.stranger, task)
    assert await stored(transactions, task) == task


@pytest.mark.parametrize("attempt", ON_A_TASK)
async def test_a_task_that_never_was_is_not_found_either(
    attempt: str, run: Runner[UnitOfWork], team: Team
) -> None:
    with refused(TaskNotFound):
        await ON_A_TASK[attempt](run, team.owner, a_task(workspace_id=team.workspace.id))


async def test_to_strangers_there_is_no_workspace_to_create_a_task_in(
    run: Runner[UnitOfWork], team: Team
) -> None:
    with refused(WorkspaceNotFound):
        await run(create_task, team.stranger, team.workspace.id, title="Weave")


# ── creating ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_created_task_is_saved_with_all_that_was_said(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], clock: FakeClock, team: Team
) -> None:
    workspace_id, member, viewer = team.workspace.id, team.member.user_id, team.viewer.user_id
    task = await run(
        create_task,
        team.member,
        workspace_id,
        title="Weave",
        description="Flowers",
        priority=Priority.HIGH,
        due_at=DUE,
        assignee_id=viewer,
        labels=("loom", "card"),
    )
    assert task == a_task(
        id=task.id,
        workspace_id=workspace_id,
        title="Weave",
        description="Flowers",
        priority=Priority.HIGH,
        due_at=DUE,
        assignee_id=viewer,
        labels=("card", "loom"),
        created_by=member,
        created_at=clock.now,
    )
    assert await stored(transactions, task) == task
    assert transactions.events == [
        TaskCreated(at=clock.now, task_id=task.id, workspace_id=workspace_id, by=member),
        TaskAssigned(at=clock.now, task_id=task.id, workspace_id=workspace_id, assignee_id=viewer, by=member),
    ]


async def test_a_task_needs_no_more_than_a_title(
    run: Runner[UnitOfWork], clock: FakeClock, team: Team
) -> None:
    task = await run(create_task, team.member, team.workspace.id, title="Weave")
    assert task == a_task(
        id=task.id,
        workspace_id=team.workspace.id,
        title="Weave",
        created_by=team.member.user_id,
        created_at=clock.now,
    )
    assert task.id.version == 7


async def test_a_task_without_a_title_is_not_created(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team
) -> None:
    with refused(Invalid, "It must not be empty.", field="title"):
        await run(create_task, team.member, team.workspace.id, title="")
    assert transactions.events == []


async def test_a_task_is_created_for_a_member_only(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team
) -> None:
    elsewhere = a_team()
    await store(transactions, *elsewhere.aggregates)
    for nobody in (team.stranger.user_id, elsewhere.member.user_id):
        with refused(AssigneeNotMember, "Invite them first.", field="assignee_id"):
            await run(create_task, team.member, team.workspace.id, title="Weave", assignee_id=nobody)


# ── editing ──────────────────────────────────────────────────────────────────────────────────────


async def test_an_edited_task_is_saved(
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    clock: FakeClock,
    team: Team,
    task: Task,
) -> None:
    clock.advance(timedelta(hours=1))
    edited = await run(
        edit_task, team.member, task.id, title="New", labels=("loom",), assignee_id=team.admin.user_id
    )
    assert edited == replace(
        task,
        title="New",
        labels=("loom",),
        assignee_id=team.admin.user_id,
        updated_at=clock.now,
        version=2,
    )
    assert await stored(transactions, task) == edited
    assert transactions.events == [
        TaskEdited(at=clock.now, task_id=task.id, workspace_id=task.workspace_id, by=team.member.user_id),
        TaskAssigned(
            at=clock.now,
            task_id=task.id,
            workspace_id=task.workspace_id,
            assignee_id=team.admin.user_id,
            by=team.member.user_id,
        ),
    ]


async def test_an_edit_that_changes_nothing_saves_nothing(
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    clock: FakeClock,
    team: Team,
    task: Task,
) -> None:
    clock.advance(timedelta(hours=1))
    assert await run(edit_task, team.member, task.id, title=task.title) == task
    assert await run(edit_task, team.member, task.id) == task
    assert transactions.events == []


async def test_a_task_is_given_to_a_member_only(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team, task: Task
) -> None:
    with refused(AssigneeNotMember, "Invite them first.", field="assignee_id"):
        await run(edit_task, team.member, task.id, assignee_id=team.stranger.user_id)
    assert await stored(transactions, task) == task


async def test_an_assignee_can_be_taken_off_and_others_fields_edited_meanwhile(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team
) -> None:
    assigned = a_task(workspace_id=team.workspace.id, assignee_id=team.admin.user_id)
    await store(transactions, assigned)
    edited = await run(edit_task, team.member, assigned.id, title="New")
    assert edited.assignee_id == team.admin.user_id
    edited = await run(edit_task, team.member, assigned.id, assignee_id=None)
    assert edited.assignee_id is None


# ── moving ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "way",
    [
        ("start", Status.OPEN, Status.IN_PROGRESS),
        ("complete", Status.OPEN, Status.DONE),
        ("complete", Status.IN_PROGRESS, Status.DONE),
        ("cancel", Status.OPEN, Status.CANCELLED),
        ("cancel", Status.IN_PROGRESS, Status.CANCELLED),
        ("reopen", Status.IN_PROGRESS, Status.OPEN),
        ("reopen", Status.DONE, Status.OPEN),
        ("reopen", Status.CANCELLED, Status.OPEN),
    ],
    ids="-".join,
)
async def test_a_move_is_saved(
    way: tuple[str, Status, Status],
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    clock: FakeClock,
    team: Team,
) -> None:
    attempt, origin, destination = way
    task = a_task(workspace_id=team.workspace.id, status=origin)
    await store(transactions, task)
    clock.advance(timedelta(hours=1))
    moved = await ON_A_TASK[attempt](run, team.member, task)
    assert moved == replace(
        task,
        status=destination,
        updated_at=clock.now,
        finished_at=clock.now if destination is Status.DONE else None,
        version=2,
    )
    assert await stored(transactions, task) == moved
    assert transactions.events == [
        TaskMoved(
            at=clock.now,
            task_id=task.id,
            workspace_id=task.workspace_id,
            origin=origin,
            destination=destination,
            by=team.member.user_id,
        )
    ]


@pytest.mark.parametrize(
    ("attempt", "origin"),
    [("start", Status.DONE), ("complete", Status.DONE), ("cancel", Status.DONE), ("reopen", Status.OPEN)],
)
async def test_a_move_that_is_not_allowed_saves_nothing(
    attempt: str,
    origin: Status,
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    team: Team,
) -> None:
    task = a_task(workspace_id=team.workspace.id, status=origin)
    await store(transactions, task)
    with pytest.raises(MoveNotAllowed):
        await ON_A_TASK[attempt](run, team.member, task)
    assert await stored(transactions, task) == task
    assert transactions.events == []


# ── deleting ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_task_goes_with_its_comments_and_notifications(
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    clock: FakeClock,
    team: Team,
    task: Task,
) -> None:
    comment = a_comment(workspace_id=task.workspace_id, task_id=task.id)
    notification = a_notification(workspace_id=task.workspace_id, task_id=task.id)
    await store(transactions, comment, notification)
    await run(delete_task, team.member, task.id)
    async with transactions() as uow:
        with refused(TaskNotFound):
            await uow.tasks.get(task.id)
        with refused(CommentNotFound):
            await uow.comments.get(comment.id)
        with refused(NotificationNotFound):
            await uow.notifications.get(notification.id)
    assert transactions.events == [
        TaskDeleted(at=clock.now, task_id=task.id, workspace_id=task.workspace_id, by=team.member.user_id)
    ]


async def test_a_workspace_goes_with_its_tasks_their_comments_and_notifications(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team, task: Task
) -> None:
    comment = a_comment(workspace_id=task.workspace_id, task_id=task.id)
    notification = a_notification(workspace_id=task.workspace_id, task_id=task.id)
    await store(transactions, comment, notification)
    await run(delete_workspace, team.owner, team.workspace.id)
    async with transactions() as uow:
        with refused(TaskNotFound):
            await uow.tasks.get(task.id)
        with refused(CommentNotFound):
            await uow.comments.get(comment.id)
        with refused(NotificationNotFound):
            await uow.notifications.get(notification.id)


# ── leaving ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_member_who_leaves_is_taken_off_their_tasks_there(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team
) -> None:
    theirs = a_task(workspace_id=team.workspace.id, assignee_id=team.member.user_id)
    anothers = a_task(workspace_id=team.workspace.id, assignee_id=team.admin.user_id)
    await store(transactions, theirs, anothers)
    await run(remove_member, team.member, team.workspace.id, team.member.user_id)
    async with transactions() as uow:
        assert (await uow.tasks.get(theirs.id)).assignee_id is None
        assert (await uow.tasks.get(anothers.id)).assignee_id == team.admin.user_id
