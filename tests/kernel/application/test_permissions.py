"""Who may do what: the table, and the check that use cases make."""

from typing import Any

import pytest

import application.permissions as service_permissions
from application.kernel import permissions
from application.kernel.admission import NotPermitted, admit, require, stand
from application.kernel.permissions import (
    DELETE_WORKSPACE,
    EDIT_WORKSPACE,
    MANAGE_MEMBERS,
    MANAGE_USERS,
    READ_AUDIT,
    READ_USERS,
    Permission,
    ServicePermission,
)
from application.kernel.ports.tenancy import Standing
from domain.kernel.memberships import Role
from domain.kernel.users import GlobalRole, UserNotFound
from domain.kernel.workspaces import WorkspaceArchived, WorkspaceNotFound
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import Team, a_caller, a_workspace_id
from kernel.world.fakes import MemoryTransactions
from kernel.world.refusals import refused

KERNEL = [known for known in vars(permissions).values() if isinstance(known, Permission)]
OWN = [known for known in vars(service_permissions).values() if isinstance(known, Permission)]
GLOBAL = [known for known in vars(permissions).values() if isinstance(known, ServicePermission)]

# The kernel's policy once more, the other way round: from the least role that may.
LEAST = {EDIT_WORKSPACE: Role.ADMIN, MANAGE_MEMBERS: Role.ADMIN, DELETE_WORKSPACE: Role.OWNER}
LEAST_GLOBAL = {
    READ_USERS: GlobalRole.SUPPORT,
    READ_AUDIT: GlobalRole.ADMIN,
    MANAGE_USERS: GlobalRole.ADMIN,
}


def name_of(permission: Any) -> str:
    """For the names of the tests."""
    return str(permission.name)


def test_every_permission_of_the_kernel_has_its_least_role() -> None:
    assert {*KERNEL} == LEAST.keys()
    assert {*GLOBAL} == LEAST_GLOBAL.keys()


def test_no_two_permissions_have_one_name() -> None:
    names = [name_of(permission) for permission in (*KERNEL, *GLOBAL, *{*OWN} - {*KERNEL})]
    assert sorted({*names}) == sorted(names)


@pytest.mark.parametrize("permission", LEAST_GLOBAL, ids=name_of)
def test_a_global_permission_is_granted_from_one_role_upwards(permission: ServicePermission) -> None:
    roles = list(GlobalRole)
    assert permission.roles == {*roles[roles.index(LEAST_GLOBAL[permission]) :]}


def test_a_global_permission_is_required_of_the_caller() -> None:
    user, support = a_caller(), a_caller(roles=frozenset({GlobalRole.SUPPORT}))
    require(support, READ_USERS)
    with refused(NotPermitted, "You lack the permission users:read."):
        require(user, READ_USERS)
    with refused(NotPermitted, "You lack the permission users:manage."):
        require(support, MANAGE_USERS)


@pytest.mark.parametrize("permission", LEAST, ids=name_of)
def test_a_permission_is_granted_from_one_role_upwards(permission: Permission) -> None:
    roles = list(Role)
    assert permission.roles == {*roles[roles.index(LEAST[permission]) :]}


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("permission", [*KERNEL, *OWN], ids=name_of)
async def test_a_member_is_admitted_to_what_their_role_may(
    role: Role, permission: Permission, team: Team, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    async with transactions() as uow:
        if role in permission.roles:
            assert await admit(uow, team[role], team.workspace.id, permission) is role
        else:
            with refused(NotPermitted, f"The role {role} lacks the permission {permission.name}."):
                await admit(uow, team[role], team.workspace.id, permission)


async def test_nobody_is_admitted_to_change_an_archived_workspace(
    archived_team: Team, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    async with transactions() as uow:
        with refused(WorkspaceArchived, "Owners and admins can restore it."):
            await admit(uow, archived_team.owner, archived_team.workspace.id, EDIT_WORKSPACE)


async def test_what_can_be_done_to_an_archived_workspace_says_so(
    archived_team: Team, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    team = archived_team
    async with transactions() as uow:
        role = await admit(uow, team.owner, team.workspace.id, DELETE_WORKSPACE, archived_too=True)
    assert role is Role.OWNER


async def test_a_lacking_permission_is_told_before_the_archive_is(
    archived_team: Team, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    async with transactions() as uow:
        with refused(NotPermitted, "The role viewer lacks the permission workspace:edit."):
            await admit(uow, archived_team.viewer, archived_team.workspace.id, EDIT_WORKSPACE)


async def test_to_a_stranger_the_workspace_does_not_exist(
    team: Team, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    async with transactions() as uow:
        with refused(WorkspaceNotFound):
            await admit(uow, team.stranger, team.workspace.id, EDIT_WORKSPACE)
        with refused(WorkspaceNotFound):
            await stand(uow, team.stranger, team.workspace.id)
        with refused(WorkspaceNotFound):
            await stand(uow, team.owner, a_workspace_id())


async def test_to_a_stranger_what_is_in_the_workspace_does_not_exist(
    team: Team, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    async with transactions() as uow:
        with refused(UserNotFound):
            await admit(uow, team.stranger, team.workspace.id, EDIT_WORKSPACE, otherwise=UserNotFound)
        with refused(UserNotFound):
            await stand(uow, team.stranger, team.workspace.id, otherwise=UserNotFound)


@pytest.mark.parametrize("role", Role)
async def test_everybody_can_learn_where_they_stand(
    role: Role, team: Team, archived_team: Team, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    async with transactions() as uow:
        assert await stand(uow, team[role], team.workspace.id) == Standing(role=role, archived=False)
        there = await stand(uow, archived_team[role], archived_team.workspace.id)
        assert there == Standing(role=role, archived=True)
