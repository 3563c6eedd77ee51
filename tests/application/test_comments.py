"""What members do with comments."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from application.commands.comments import add_comment, delete_comment, edit_comment
from application.kernel.admission import NotPermitted
from application.kernel.ports.callers import Caller
from application.kernel.run import Runner
from application.unit_of_work import UnitOfWork
from domain.comments import (
    Comment,
    CommentAdded,
    CommentDeleted,
    CommentEdited,
    CommentNotFound,
    EditWindowClosed,
    NotTheAuthor,
)
from domain.kernel.errors import Invalid
from domain.kernel.memberships import Role
from domain.kernel.workspaces import WorkspaceArchived
from domain.tasks import TaskNotFound
from kernel.world.builders import NOW, Team, a_team, store
from kernel.world.fakes import FakeClock, MemoryTransactions
from kernel.world.refusals import refused
from resources.comments import a_comment
from resources.tasks import a_task, a_task_id

type Attempt = Callable[[Runner[UnitOfWork], Caller, Comment], Awaitable[object]]

ON_A_COMMENT: Mapping[str, Attempt] = {
    "edit": lambda run, actor, comment: run(edit_comment, actor, comment.id, body="Better."),
    "delete": lambda run, actor, comment: run(delete_comment, actor, comment.id),
}
EVERYTHING: Mapping[str, Attempt] = {
    **ON_A_COMMENT,
    "add": lambda run, actor, comment: run(add_comment, actor, comment.task_id, body="Another."),
}


async def a_stored_comment(transactions: MemoryTransactions[UnitOfWork], team: Team, author: Role) -> Comment:
    task = a_task(workspace_id=team.workspace.id)
    comment = a_comment(task_id=task.id, workspace_id=team.workspace.id, author_id=team.users[author].id)
    await store(transactions, task, comment)
    return comment


async def stored(transactions: MemoryTransactions[UnitOfWork], comment: Comment) -> Comment:
    async with transactions() as uow:
        return await uow.comments.get(comment.id)


# ── who may ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("role", [Role.MEMBER, Role.ADMIN, Role.OWNER])
@pytest.mark.parametrize("attempt", EVERYTHING)
async def test_any_member_but_a_viewer_may_add_comments_and_change_their_own(
    attempt: str,
    role: Role,
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    team: Team,
) -> None:
    own = await a_stored_comment(transactions, team, role)
    await EVERYTHING[attempt](run, team[role], own)
    assert len(transactions.events) == 1


@pytest.mark.parametrize("attempt", EVERYTHING)
async def test_viewers_may_only_look_even_at_what_they_wrote_before(
    attempt: str, run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team
) -> None:
    own = await a_stored_comment(transactions, team, Role.VIEWER)
    with refused(NotPermitted, "The role viewer lacks the permission comments:write."):
        await EVERYTHING[attempt](run, team.viewer, own)
    assert await stored(transactions, own) == own


@pytest.mark.parametrize("attempt", EVERYTHING)
async def test_the_comments_of_an_archived_workspace_stay_as_they_are(
    attempt: str, run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    team = a_team(archived=True)
    await store(transactions, *team.aggregates)
    own = await a_stored_comment(transactions, team, Role.OWNER)
    with refused(WorkspaceArchived, "Owners and admins can restore it."):
        await EVERYTHING[attempt](run, team.owner, own)
    assert await stored(transactions, own) == own


@pytest.mark.parametrize("attempt", ON_A_COMMENT)
async def test_to_strangers_a_comment_does_not_exist(
    attempt: str, run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team
) -> None:
    comment = await a_stored_comment(transactions, team, Role.MEMBER)
    with refused(CommentNotFound):
        await ON_A_COMMENT[attempt](run, team.stranger, comment)
    assert await stored(transactions, comment) == comment


@pytest.mark.parametrize("attempt", ON_A_COMMENT)
async def test_a_comment_that_never_was_is_not_found_either(
    attempt: str, run: Runner[UnitOfWork], team: Team
) -> None:
    with refused(CommentNotFound):
        await ON_A_COMMENT[attempt](run, team.owner, a_comment())


async def test_to_strangers_there_is_no_task_to_comment_on(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team
) -> None:
    task = a_task(workspace_id=team.workspace.id)
    await store(transactions, task)
    with refused(TaskNotFound):
        await run(add_comment, team.stranger, task.id, body="Well woven.")
    with refused(TaskNotFound):
        await run(add_comment, team.owner, a_task_id(), body="Well woven.")


@pytest.mark.parametrize("role", [Role.MEMBER, Role.ADMIN, Role.OWNER])
async def test_nobody_edits_anothers_comment(
    role: Role, run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team
) -> None:
    comment = await a_stored_comment(transactions, team, Role.VIEWER)
    with refused(NotTheAuthor, "Write a comment of your own."):
        await run(edit_comment, team[role], comment.id, body="Nonsense.")


@pytest.mark.parametrize("role", [Role.ADMIN, Role.OWNER])
async def test_owners_and_admins_may_delete_anothers_comment(
    role: Role, run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team
) -> None:
    comment = await a_stored_comment(transactions, team, Role.MEMBER)
    await run(delete_comment, team[role], comment.id)
    with refused(CommentNotFound):
        await stored(transactions, comment)


async def test_a_member_may_not_delete_anothers_comment(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team
) -> None:
    comment = await a_stored_comment(transactions, team, Role.VIEWER)
    with refused(NotTheAuthor, "An admin of the workspace can delete it too."):
        await run(delete_comment, team.member, comment.id)


# ── what happens ─────────────────────────────────────────────────────────────────────────────────


async def test_an_added_comment_is_saved(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], clock: FakeClock, team: Team
) -> None:
    task = a_task(workspace_id=team.workspace.id)
    await store(transactions, task)
    comment = await run(add_comment, team.member, task.id, body=" Well woven. ")
    assert comment == Comment(
        id=comment.id,
        task_id=task.id,
        workspace_id=team.workspace.id,
        author_id=team.member.user_id,
        body="Well woven.",
        created_at=clock.now,
        edited_at=None,
    )
    assert comment.id.version == 7
    assert await stored(transactions, comment) == comment
    assert transactions.events == [
        CommentAdded(
            at=clock.now,
            comment_id=comment.id,
            task_id=task.id,
            workspace_id=team.workspace.id,
            by=team.member.user_id,
        )
    ]


async def test_an_empty_comment_is_not_added(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team
) -> None:
    task = a_task(workspace_id=team.workspace.id)
    await store(transactions, task)
    with refused(Invalid, "It must not be empty.", field="body"):
        await run(add_comment, team.member, task.id, body=" ")


async def test_an_edited_comment_is_saved(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], clock: FakeClock, team: Team
) -> None:
    comment = await a_stored_comment(transactions, team, Role.MEMBER)
    clock.advance(timedelta(minutes=15))
    edited = await run(edit_comment, team.member, comment.id, body="Better.")
    assert edited == replace(comment, body="Better.", edited_at=clock.now, version=2)
    assert await stored(transactions, comment) == edited
    assert transactions.events == [
        CommentEdited(
            at=clock.now,
            comment_id=comment.id,
            task_id=comment.task_id,
            workspace_id=comment.workspace_id,
            by=team.member.user_id,
        )
    ]


async def test_after_15_minutes_a_comment_stays_as_it_is(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], clock: FakeClock, team: Team
) -> None:
    comment = await a_stored_comment(transactions, team, Role.MEMBER)
    clock.now = NOW + timedelta(minutes=15, microseconds=1)
    with refused(EditWindowClosed, "Write another one."):
        await run(edit_comment, team.member, comment.id, body="Better.")


async def test_its_author_may_delete_a_comment_later_too(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], clock: FakeClock, team: Team
) -> None:
    comment = await a_stored_comment(transactions, team, Role.MEMBER)
    clock.advance(timedelta(days=365))
    await run(delete_comment, team.member, comment.id)
    with refused(CommentNotFound):
        await stored(transactions, comment)
    assert transactions.events == [
        CommentDeleted(
            at=clock.now,
            comment_id=comment.id,
            task_id=comment.task_id,
            workspace_id=comment.workspace_id,
            by=team.member.user_id,
        )
    ]
