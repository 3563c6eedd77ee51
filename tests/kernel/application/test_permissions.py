"""Who may do what: the table, and the check that use cases make."""

import pytest

from application.kernel.admission import NotPermitted, admit, require, stand
from application.kernel.permissions import GLOBAL_GRANTS, GRANTS, Permission
from application.kernel.ports import Standing
from domain.kernel.memberships import Role
from domain.kernel.users import GlobalRole
from domain.kernel.workspaces import WorkspaceArchived, WorkspaceNotFound
from domain.tasks import TaskNotFound
from kernel.world.builders import Team, a_workspace_id, an_identity
from kernel.world.fakes import MemoryTransactions
from kernel.world.refusals import refused

# The policy once more, the other way round: from the least role that may.
LEAST: dict[Permission, Role] = {
    Permission.WRITE_TASKS: Role.MEMBER,
    Permission.WRITE_COMMENTS: Role.MEMBER,
    Permission.EDIT_WORKSPACE: Role.ADMIN,
    Permission.MANAGE_MEMBERS: Role.ADMIN,
    Permission.MODERATE_COMMENTS: Role.ADMIN,
    Permission.DELETE_WORKSPACE: Role.OWNER,
}


LEAST_GLOBAL: dict[Permission, GlobalRole] = {
    Permission.READ_USERS: GlobalRole.SUPPORT,
    Permission.MANAGE_USERS: GlobalRole.ADMIN,
}


def test_a_permission_is_for_a_workspace_or_for_the_whole_service() -> None:
    assert LEAST.keys() | LEAST_GLOBAL.keys() == set(Permission)
    assert not LEAST.keys() & LEAST_GLOBAL.keys()


@pytest.mark.parametrize("permission", LEAST_GLOBAL)
def test_a_global_permission_is_granted_from_one_role_upwards_and_by_no_other(permission: Permission) -> None:
    roles = list(GlobalRole)
    granting = [role for role in roles if permission in GLOBAL_GRANTS[role]]
    assert granting == roles[roles.index(LEAST_GLOBAL[permission]) :]
    assert not any(permission in granted for granted in GRANTS.values())


@pytest.mark.parametrize("permission", LEAST)
def test_a_global_role_grants_nothing_in_a_workspace(permission: Permission) -> None:
    assert not any(permission in granted for granted in GLOBAL_GRANTS.values())


def test_a_global_permission_is_required_of_the_identity() -> None:
    nobody, somebody = an_identity(), an_identity(permissions=frozenset({Permission.READ_USERS}))
    require(somebody, Permission.READ_USERS)
    with refused(NotPermitted, "You lack users:read."):
        require(nobody, Permission.READ_USERS)
    with refused(NotPermitted, "You lack users:manage."):
        require(somebody, Permission.MANAGE_USERS)


@pytest.mark.parametrize("permission", LEAST)
def test_a_permission_is_granted_from_one_role_upwards(permission: Permission) -> None:
    roles = list(Role)
    granting = [role for role in roles if permission in GRANTS[role]]
    assert granting == roles[roles.index(LEAST[permission]) :]


def test_viewers_may_change_nothing() -> None:
    assert GRANTS[Role.VIEWER] == frozenset()


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("permission", Permission)
async def test_a_member_is_admitted_to_what_their_role_grants(
    role: Role, permission: Permission, team: Team, transactions: MemoryTransactions
) -> None:
    async with transactions() as uow:
        if permission in GRANTS[role]:
            assert await admit(uow, team[role], team.workspace.id, permission) is role
        else:
            with refused(NotPermitted, f"As {role} you lack {permission}."):
                await admit(uow, team[role], team.workspace.id, permission)


async def test_nobody_is_admitted_to_change_an_archived_workspace(
    archived_team: Team, transactions: MemoryTransactions
) -> None:
    async with transactions() as uow:
        with refused(WorkspaceArchived, "Owners and admins can restore it."):
            await admit(uow, archived_team.owner, archived_team.workspace.id, Permission.WRITE_TASKS)


async def test_what_can_be_done_to_an_archived_workspace_says_so(
    archived_team: Team, transactions: MemoryTransactions
) -> None:
    team = archived_team
    async with transactions() as uow:
        role = await admit(uow, team.owner, team.workspace.id, Permission.DELETE_WORKSPACE, archived_too=True)
    assert role is Role.OWNER


async def test_a_lacking_permission_is_told_before_the_archive_is(
    archived_team: Team, transactions: MemoryTransactions
) -> None:
    async with transactions() as uow:
        with refused(NotPermitted, "As viewer you lack tasks:write."):
            await admit(uow, archived_team.viewer, archived_team.workspace.id, Permission.WRITE_TASKS)


async def test_to_a_stranger_the_workspace_does_not_exist(
    team: Team, transactions: MemoryTransactions
) -> None:
    async with transactions() as uow:
        with refused(WorkspaceNotFound):
            await admit(uow, team.stranger, team.workspace.id, Permission.WRITE_TASKS)
        with refused(WorkspaceNotFound):
            await stand(uow, team.stranger, team.workspace.id)
        with refused(WorkspaceNotFound):
            await stand(uow, team.owner, a_workspace_id())


async def test_to_a_stranger_what_is_in_the_workspace_does_not_exist(
    team: Team, transactions: MemoryTransactions
) -> None:
    async with transactions() as uow:
        with refused(TaskNotFound):
            await admit(uow, team.stranger, team.workspace.id, Permission.WRITE_TASKS, otherwise=TaskNotFound)
        with refused(TaskNotFound):
            await stand(uow, team.stranger, team.workspace.id, otherwise=TaskNotFound)


@pytest.mark.parametrize("role", Role)
async def test_everybody_can_learn_where_they_stand(
    role: Role, team: Team, archived_team: Team, transactions: MemoryTransactions
) -> None:
    async with transactions() as uow:
        assert await stand(uow, team[role], team.workspace.id) == Standing(role=role, archived=False)
        there = await stand(uow, archived_team[role], archived_team.workspace.id)
        assert there == Standing(role=role, archived=True)
