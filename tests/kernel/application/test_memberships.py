"""What people do with the members of a workspace."""

import asyncio

import pytest

from application.kernel.admission import NotPermitted
from application.kernel.commands.memberships import change_role, remove_member
from application.kernel.ports.callers import Caller
from application.kernel.run import Runner
from domain.kernel.memberships import (
    LastOwner,
    MemberLeft,
    MemberNotFound,
    MemberRoleChanged,
    OwnersOnly,
    Role,
)
from domain.kernel.workspaces import WorkspaceArchived, WorkspaceNotFound
from kernel.specimen.builders import a_specimen_order
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import Team, a_caller, a_membership, a_team, a_user, store
from kernel.world.fakes import FakeClock, MemoryTransactions
from kernel.world.refusals import refused

LAST_OWNER = "Make another member an owner first, or delete the workspace."
OWNERS_ONLY = "Ask an owner of this workspace."


@pytest.fixture
async def second_owner(transactions: MemoryTransactions[UnitOfWork], team: Team) -> Caller:
    user = a_user()
    membership = a_membership(workspace_id=team.workspace.id, user_id=user.id, role=Role.OWNER)
    await store(transactions, user, membership)
    return a_caller(user.id)


# ── changing roles ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("by", [Role.ADMIN, Role.OWNER])
async def test_owners_and_admins_may_change_the_role_of_a_member(
    by: Role,
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    clock: FakeClock,
    team: Team,
) -> None:
    viewer = team.viewer.user_id
    changed = await run(change_role, team[by], team.workspace.id, viewer, role=Role.ADMIN)
    assert (changed.user_id, changed.role, changed.version) == (viewer, Role.ADMIN, 2)
    async with transactions() as uow:
        assert await uow.memberships.of(team.workspace.id, viewer) == changed
    assert transactions.events == [
        MemberRoleChanged(
            at=clock.now,
            workspace_id=team.workspace.id,
            user_id=viewer,
            role=Role.ADMIN,
            by=team[by].user_id,
        )
    ]


@pytest.mark.parametrize("by", [Role.VIEWER, Role.MEMBER])
async def test_lesser_members_may_not_change_roles(by: Role, run: Runner[UnitOfWork], team: Team) -> None:
    with refused(NotPermitted, f"The role {by} lacks the permission members:manage."):
        await run(change_role, team[by], team.workspace.id, team[by].user_id, role=Role.ADMIN)


async def test_only_an_owner_makes_an_owner(run: Runner[UnitOfWork], team: Team) -> None:
    member = team.member.user_id
    with refused(OwnersOnly, OWNERS_ONLY):
        await run(change_role, team.admin, team.workspace.id, member, role=Role.OWNER)
    with refused(OwnersOnly, OWNERS_ONLY):
        await run(change_role, team.admin, team.workspace.id, team.admin.user_id, role=Role.OWNER)
    changed = await run(change_role, team.owner, team.workspace.id, member, role=Role.OWNER)
    assert changed.role is Role.OWNER


async def test_only_an_owner_demotes_an_owner(
    run: Runner[UnitOfWork], team: Team, second_owner: Caller
) -> None:
    with refused(OwnersOnly, OWNERS_ONLY):
        await run(change_role, team.admin, team.workspace.id, second_owner.user_id, role=Role.MEMBER)
    changed = await run(change_role, team.owner, team.workspace.id, second_owner.user_id, role=Role.MEMBER)
    assert changed.role is Role.MEMBER


async def test_the_last_owner_cannot_be_demoted(run: Runner[UnitOfWork], team: Team) -> None:
    with refused(LastOwner, LAST_OWNER):
        await run(change_role, team.owner, team.workspace.id, team.owner.user_id, role=Role.ADMIN)


async def test_the_owners_of_other_workspaces_do_not_count(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team
) -> None:
    await store(transactions, *a_team().aggregates)
    with refused(LastOwner, LAST_OWNER):
        await run(change_role, team.owner, team.workspace.id, team.owner.user_id, role=Role.ADMIN)
    with refused(LastOwner, LAST_OWNER):
        await run(remove_member, team.owner, team.workspace.id, team.owner.user_id)


async def test_the_same_role_again_saves_nothing(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team
) -> None:
    same = await run(change_role, team.owner, team.workspace.id, team.member.user_id, role=Role.MEMBER)
    assert same == team.memberships[Role.MEMBER]
    assert transactions.events == []


async def test_only_a_member_has_a_role_to_change(run: Runner[UnitOfWork], team: Team) -> None:
    with refused(MemberNotFound):
        await run(change_role, team.owner, team.workspace.id, team.stranger.user_id, role=Role.ADMIN)


async def test_roles_in_an_archived_workspace_stay(run: Runner[UnitOfWork], archived_team: Team) -> None:
    team = archived_team
    with refused(WorkspaceArchived, "Owners and admins can restore it."):
        await run(change_role, team.owner, team.workspace.id, team.member.user_id, role=Role.ADMIN)


# ── leaving ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MEMBER, Role.ADMIN])
@pytest.mark.parametrize("archived", [False, True])
async def test_everybody_may_leave_even_an_archived_workspace(
    archived: bool,
    role: Role,
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    clock: FakeClock,
) -> None:
    team = a_team(archived=archived)
    await store(transactions, *team.aggregates)
    workspace_id, user_id = team.workspace.id, team[role].user_id
    await run(remove_member, team[role], workspace_id, user_id)
    async with transactions() as uow:
        assert await uow.memberships.standing(workspace_id, user_id) is None
    assert transactions.events == [
        MemberLeft(at=clock.now, workspace_id=workspace_id, user_id=user_id, by=user_id)
    ]


async def test_the_last_owner_cannot_leave(run: Runner[UnitOfWork], team: Team) -> None:
    with refused(LastOwner, LAST_OWNER):
        await run(remove_member, team.owner, team.workspace.id, team.owner.user_id)


async def test_one_of_two_owners_can_leave(run: Runner[UnitOfWork], team: Team, second_owner: Caller) -> None:
    await run(remove_member, team.owner, team.workspace.id, team.owner.user_id)
    with refused(LastOwner, LAST_OWNER):
        await run(remove_member, second_owner, team.workspace.id, second_owner.user_id)


async def test_of_two_owners_who_leave_at_the_same_instant_one_stays(
    run: Runner[UnitOfWork], team: Team, second_owner: Caller
) -> None:
    outcomes = await asyncio.gather(
        run(remove_member, team.owner, team.workspace.id, team.owner.user_id),
        run(remove_member, second_owner, team.workspace.id, second_owner.user_id),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [type(None), LastOwner]


# ── removing others ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("by", [Role.ADMIN, Role.OWNER])
async def test_owners_and_admins_may_remove_a_member(
    by: Role,
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    clock: FakeClock,
    team: Team,
) -> None:
    member = team.member.user_id
    await run(remove_member, team[by], team.workspace.id, member)
    async with transactions() as uow:
        assert await uow.memberships.standing(team.workspace.id, member) is None
    assert transactions.events == [
        MemberLeft(at=clock.now, workspace_id=team.workspace.id, user_id=member, by=team[by].user_id)
    ]


@pytest.mark.parametrize("by", [Role.VIEWER, Role.MEMBER])
async def test_lesser_members_may_remove_nobody(by: Role, run: Runner[UnitOfWork], team: Team) -> None:
    with refused(NotPermitted, f"The role {by} lacks the permission members:manage."):
        await run(remove_member, team[by], team.workspace.id, team.admin.user_id)


async def test_only_an_owner_removes_an_owner(
    run: Runner[UnitOfWork], team: Team, second_owner: Caller
) -> None:
    with refused(OwnersOnly, OWNERS_ONLY):
        await run(remove_member, team.admin, team.workspace.id, team.owner.user_id)
    await run(remove_member, second_owner, team.workspace.id, team.owner.user_id)


async def test_nobody_is_removed_from_an_archived_workspace(
    run: Runner[UnitOfWork], archived_team: Team
) -> None:
    team = archived_team
    with refused(WorkspaceArchived, "Owners and admins can restore it."):
        await run(remove_member, team.owner, team.workspace.id, team.member.user_id)


async def test_only_a_member_can_be_removed(run: Runner[UnitOfWork], team: Team) -> None:
    with refused(MemberNotFound):
        await run(remove_member, team.owner, team.workspace.id, team.stranger.user_id)


async def test_to_strangers_the_workspace_does_not_exist(run: Runner[UnitOfWork], team: Team) -> None:
    stranger, workspace_id, member = team.stranger, team.workspace.id, team.member.user_id
    with refused(WorkspaceNotFound):
        await run(change_role, stranger, workspace_id, member, role=Role.ADMIN)
    with refused(WorkspaceNotFound):
        await run(remove_member, stranger, workspace_id, member)
    with refused(WorkspaceNotFound):
        await run(remove_member, stranger, workspace_id, stranger.user_id)


async def test_a_member_who_leaves_is_taken_off_what_is_assigned_to_them_there(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team
) -> None:
    theirs = a_specimen_order(workspace_id=team.workspace.id, assignee_id=team.member.user_id)
    anothers = a_specimen_order(workspace_id=team.workspace.id, assignee_id=team.admin.user_id)
    await store(transactions, theirs, anothers)
    await run(remove_member, team.member, team.workspace.id, team.member.user_id)
    async with transactions() as uow:
        assert (await uow.specimen_orders.get(theirs.id)).assignee_id is None
        assert (await uow.specimen_orders.get(anothers.id)).assignee_id == team.admin.user_id
