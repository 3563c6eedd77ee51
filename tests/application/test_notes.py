"""What members do with notes."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from uuid import UUID

import pytest

from application.commands.notes import create_note, delete_note, edit_note
from application.kernel.admission import NotPermitted
from application.kernel.ports.callers import Caller
from application.kernel.run import Runner
from application.unit_of_work import UnitOfWork
from domain.kernel.memberships import Role
from domain.kernel.workspaces import WorkspaceArchived, WorkspaceNotFound
from domain.notes import Note, NoteCreated, NoteDeleted, NoteEdited, NoteNotFound
from kernel.world.builders import NOW, Team, a_team, store
from kernel.world.fakes import MemoryTransactions
from kernel.world.refusals import refused
from resources.notes import a_note

type Attempt = Callable[[Runner[UnitOfWork], Caller, Note], Awaitable[object]]

ON_ONE: Mapping[str, Attempt] = {
    "edit": lambda run, actor, note: run(edit_note, actor, note.id, title="Other title"),
    "delete": lambda run, actor, note: run(delete_note, actor, note.id),
}
EVERYTHING: Mapping[str, Attempt] = {
    **ON_ONE,
    "create": lambda run, actor, note: run(create_note, actor, note.workspace_id, title="First title"),
}
EVENTS = {"create": NoteCreated, "edit": NoteEdited, "delete": NoteDeleted}


async def a_stored_note(transactions: MemoryTransactions[UnitOfWork], team: Team) -> Note:
    made = a_note(workspace_id=team.workspace.id, created_by=team.owner.user_id)
    await store(transactions, made)
    async with transactions() as uow:
        return await uow.notes.get(made.id)


@pytest.mark.parametrize("role", [Role.MEMBER, Role.ADMIN, Role.OWNER])
@pytest.mark.parametrize("attempt", EVERYTHING)
async def test_who_may_write_may_do_everything(
    attempt: str,
    role: Role,
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    team: Team,
) -> None:
    made = await a_stored_note(transactions, team)
    await EVERYTHING[attempt](run, team[role], made)
    (event,) = transactions.events
    assert isinstance(event, NoteCreated | NoteEdited | NoteDeleted)
    assert (type(event), event.by, event.at) == (EVENTS[attempt], team[role].user_id, NOW)


@pytest.mark.parametrize("role", [Role.VIEWER])
@pytest.mark.parametrize("attempt", EVERYTHING)
async def test_the_others_may_only_look(
    attempt: str,
    role: Role,
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    team: Team,
) -> None:
    made = await a_stored_note(transactions, team)
    with refused(NotPermitted, f"The role {role} lacks the permission notes:write."):
        await EVERYTHING[attempt](run, team[role], made)
    assert transactions.events == []


async def test_it_is_made_of_what_was_given(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team
) -> None:
    made = await run(
        create_note,
        team.member,
        team.workspace.id,
        title="First title",
        body="The first body.\nOn two lines.",
    )
    assert isinstance(made.id, UUID)
    async with transactions() as uow:
        assert await uow.notes.get(made.id) == made
    assert replace(made, version=0) == Note(
        id=made.id,
        workspace_id=team.workspace.id,
        title="First title",
        body="The first body.\nOn two lines.",
        created_by=team.member.user_id,
        created_at=NOW,
        updated_at=NOW,
        version=0,
    )


async def test_what_is_not_said_has_its_default(run: Runner[UnitOfWork], team: Team) -> None:
    made = await run(create_note, team.member, team.workspace.id, title="First title")
    assert made.body == ""


@pytest.mark.parametrize("attempt", ON_ONE)
async def test_to_a_stranger_it_does_not_exist(
    attempt: str, run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team
) -> None:
    made, elsewhere = await a_stored_note(transactions, team), a_team()
    await store(transactions, *elsewhere.aggregates)
    with refused(NoteNotFound):
        await ON_ONE[attempt](run, elsewhere.owner, made)


async def test_a_stranger_creates_none(run: Runner[UnitOfWork], team: Team) -> None:
    with refused(WorkspaceNotFound):
        await run(create_note, team.stranger, team.workspace.id, title="First title")


@pytest.mark.parametrize("attempt", EVERYTHING)
async def test_in_an_archived_workspace_nothing_changes(
    attempt: str, run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], archived_team: Team
) -> None:
    made = await a_stored_note(transactions, archived_team)
    with refused(WorkspaceArchived, "Owners and admins can restore it."):
        await EVERYTHING[attempt](run, archived_team.member, made)


async def test_an_edit_that_changes_nothing_writes_nothing(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team
) -> None:
    made = await a_stored_note(transactions, team)
    same = await run(edit_note, team.member, made.id, title=made.title)
    assert (same.version, transactions.events) == (made.version, [])
