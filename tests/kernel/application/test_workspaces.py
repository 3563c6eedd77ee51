"""What people do with workspaces."""

import re
from collections.abc import Awaitable, Callable, Mapping

import pytest

from application.kernel.admission import NotPermitted
from application.kernel.commands.workspaces import (
    archive_workspace,
    create_workspace,
    delete_workspace,
    edit_workspace,
    restore_workspace,
)
from application.kernel.ports.callers import Caller
from application.kernel.ports.tenancy import Standing
from application.kernel.ports.world import Contention
from application.kernel.run import Runner
from domain.kernel.errors import Invalid
from domain.kernel.memberships import MemberJoined, Role
from domain.kernel.workspaces import (
    SlugTaken,
    Workspace,
    WorkspaceArchived,
    WorkspaceCreated,
    WorkspaceDeleted,
    WorkspaceId,
    WorkspaceNotArchived,
    WorkspaceNotFound,
    WorkspaceRenamed,
    WorkspaceRestored,
    WorkspaceWasArchived,
)
from kernel.specimen.builders import a_specimen_note, a_specimen_order
from kernel.specimen.domain.specimen_notes import SpecimenNoteNotFound
from kernel.specimen.domain.specimen_orders import SpecimenOrderNotFound
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import Team, a_caller, a_team, a_user, a_workspace, store
from kernel.world.fakes import FakeClock, MemoryTransactions
from kernel.world.refusals import refused

type Attempt = Callable[[Runner[UnitOfWork], Caller, WorkspaceId], Awaitable[object]]

ON_ONE_IN_USE: Mapping[str, Attempt] = {
    "edit": lambda run, actor, workspace_id: run(edit_workspace, actor, workspace_id, name="Looms"),
    "archive": lambda run, actor, workspace_id: run(archive_workspace, actor, workspace_id),
}
EVERYTHING: Mapping[str, Attempt] = {
    **ON_ONE_IN_USE,
    "restore": lambda run, actor, workspace_id: run(restore_workspace, actor, workspace_id),
    "delete": lambda run, actor, workspace_id: run(delete_workspace, actor, workspace_id),
}


# ── who may ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("role", [Role.ADMIN, Role.OWNER])
@pytest.mark.parametrize("attempt", ON_ONE_IN_USE)
async def test_owners_and_admins_may_rename_and_archive(
    attempt: str, role: Role, run: Runner[UnitOfWork], team: Team
) -> None:
    await ON_ONE_IN_USE[attempt](run, team[role], team.workspace.id)


@pytest.mark.parametrize("role", [Role.ADMIN, Role.OWNER])
async def test_owners_and_admins_may_restore(
    role: Role, run: Runner[UnitOfWork], archived_team: Team
) -> None:
    await run(restore_workspace, archived_team[role], archived_team.workspace.id)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MEMBER])
@pytest.mark.parametrize("attempt", EVERYTHING)
async def test_lesser_members_may_do_nothing_to_a_workspace(
    attempt: str,
    role: Role,
    run: Runner[UnitOfWork],
    team: Team,
    transactions: MemoryTransactions[UnitOfWork],
) -> None:
    with pytest.raises(NotPermitted):
        await EVERYTHING[attempt](run, team[role], team.workspace.id)
    assert transactions.events == []


async def test_an_admin_may_not_delete(run: Runner[UnitOfWork], team: Team) -> None:
    with refused(NotPermitted, "The role admin lacks the permission workspace:delete."):
        await run(delete_workspace, team.admin, team.workspace.id)


@pytest.mark.parametrize("attempt", EVERYTHING)
async def test_to_strangers_the_workspace_does_not_exist(
    attempt: str, run: Runner[UnitOfWork], team: Team
) -> None:
    with refused(WorkspaceNotFound):
        await EVERYTHING[attempt](run, team.stranger, team.workspace.id)


@pytest.mark.parametrize("attempt", ON_ONE_IN_USE)
async def test_an_archived_workspace_can_neither_be_renamed_nor_archived_again(
    attempt: str, run: Runner[UnitOfWork], archived_team: Team
) -> None:
    with pytest.raises(WorkspaceArchived):
        await ON_ONE_IN_USE[attempt](run, archived_team.owner, archived_team.workspace.id)


# ── what happens ─────────────────────────────────────────────────────────────────────────────────


async def test_whoever_creates_a_workspace_owns_it(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], clock: FakeClock
) -> None:
    user = a_user()
    await store(transactions, user)
    workspace = await run(create_workspace, a_caller(user.id), name="Café Zürich")
    assert workspace == Workspace(
        id=workspace.id, name="Café Zürich", slug="cafe-zurich", created_at=clock.now
    )
    async with transactions() as uow:
        assert await uow.workspaces.get(workspace.id) == workspace
        assert await uow.memberships.standing(workspace.id, user.id) == Standing(Role.OWNER, archived=False)
        assert (await uow.memberships.of(workspace.id, user.id)).joined_at == clock.now
    assert transactions.events == [
        WorkspaceCreated(at=clock.now, workspace_id=workspace.id, by=user.id),
        MemberJoined(at=clock.now, workspace_id=workspace.id, user_id=user.id, role=Role.OWNER),
    ]


async def test_a_new_workspace_has_the_slug_that_was_chosen(run: Runner[UnitOfWork], team: Team) -> None:
    workspace = await run(create_workspace, team.stranger, name="Engines", slug="looms")
    assert (workspace.name, workspace.slug) == ("Engines", "looms")


async def test_ids_are_made_at_the_instant_of_the_transaction(
    run: Runner[UnitOfWork], clock: FakeClock, team: Team
) -> None:
    first = await run(create_workspace, team.stranger, name="First")
    clock.now = clock.now.replace(year=2031)
    second = await run(create_workspace, team.stranger, name="Second")
    assert (first.id < second.id, second.id.version) == (True, 7)


async def test_a_workspace_whose_slug_is_taken_is_not_created_at_all(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    await store(transactions, a_workspace(slug="looms"))
    with refused(SlugTaken):
        await run(create_workspace, a_caller(), name="Looms", slug="looms")
    assert transactions.events == []


async def test_a_slug_that_nobody_chose_gives_way_to_the_one_that_is_there(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team
) -> None:
    await store(transactions, a_workspace(slug="looms"))
    slugs = [(await run(create_workspace, team.stranger, name="Looms")).slug for _ in range(3)]
    assert len({*slugs}) == 3
    for slug in slugs:
        assert re.fullmatch(r"looms-[a-z0-9]{6}", slug)


async def test_a_made_slug_that_was_taken_meanwhile_is_made_anew(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team
) -> None:
    transactions.failures.append(Contention("Another workspace has just taken the slug."))
    assert (await run(create_workspace, team.stranger, name="Looms")).slug == "looms"


async def test_a_workspace_without_a_name_is_not_created(run: Runner[UnitOfWork]) -> None:
    with refused(Invalid, "It must not be empty.", field="name"):
        await run(create_workspace, a_caller(), name=" ")


async def test_renaming_is_saved(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], clock: FakeClock, team: Team
) -> None:
    renamed = await run(edit_workspace, team.admin, team.workspace.id, name="Looms", slug="looms")
    assert (renamed.name, renamed.slug, renamed.version) == ("Looms", "looms", 2)
    assert transactions.events == [
        WorkspaceRenamed(
            at=clock.now, workspace_id=renamed.id, name="Looms", slug="looms", by=team.admin.user_id
        )
    ]
    async with transactions() as uow:
        assert await uow.workspaces.get(renamed.id) == renamed


async def test_renaming_to_the_same_name_saves_nothing(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team
) -> None:
    same = await run(edit_workspace, team.admin, team.workspace.id, name=team.workspace.name)
    assert same == team.workspace
    assert transactions.events == []


async def test_a_slug_cannot_be_taken_from_another_workspace(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team
) -> None:
    await store(transactions, a_workspace(slug="looms"))
    with refused(SlugTaken):
        await run(edit_workspace, team.owner, team.workspace.id, slug="looms")


async def test_archiving_and_restoring_are_saved(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], clock: FakeClock, team: Team
) -> None:
    archived = await run(archive_workspace, team.owner, team.workspace.id)
    assert (archived.archived_at, archived.version) == (clock.now, 2)
    restored = await run(restore_workspace, team.admin, team.workspace.id)
    assert (restored.archived_at, restored.version) == (None, 3)
    assert transactions.events == [
        WorkspaceWasArchived(at=clock.now, workspace_id=archived.id, by=team.owner.user_id),
        WorkspaceRestored(at=clock.now, workspace_id=archived.id, by=team.admin.user_id),
    ]


async def test_a_workspace_in_use_cannot_be_restored(run: Runner[UnitOfWork], team: Team) -> None:
    with refused(WorkspaceNotArchived, "'Analytical Engines' is in use."):
        await run(restore_workspace, team.owner, team.workspace.id)


@pytest.mark.parametrize("archived", [False, True])
async def test_an_owner_can_delete_a_workspace_with_all_that_is_in_it(
    archived: bool, run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], clock: FakeClock
) -> None:
    team = a_team(archived=archived)
    workspace_id = team.workspace.id
    specimen_order = a_specimen_order(workspace_id=workspace_id)
    note = a_specimen_note(workspace_id=workspace_id, specimen_order_id=specimen_order.id)
    await store(transactions, *team.aggregates, specimen_order, note)
    await run(delete_workspace, team.owner, workspace_id)
    async with transactions() as uow:
        with refused(WorkspaceNotFound):
            await uow.workspaces.get(workspace_id)
        assert await uow.memberships.standing(workspace_id, team.owner.user_id) is None
        with refused(SpecimenOrderNotFound):
            await uow.specimen_orders.get(specimen_order.id)
        with refused(SpecimenNoteNotFound):
            await uow.specimen_notes.get(note.id)
    assert transactions.events == [
        WorkspaceDeleted(at=clock.now, workspace_id=workspace_id, by=team.owner.user_id)
    ]
