"""Which role may do what in this service, the other way round: from the least role that may."""

import pytest

import application.permissions
from application.kernel.permissions import Permission
from application.permissions import MODERATE_COMMENTS, WRITE_COMMENTS, WRITE_NOTES, WRITE_TASKS
from domain.kernel.memberships import Role

LEAST = {
    WRITE_TASKS: Role.MEMBER,
    WRITE_COMMENTS: Role.MEMBER,
    MODERATE_COMMENTS: Role.ADMIN,
    WRITE_NOTES: Role.MEMBER,
}


def test_every_permission_has_its_least_role() -> None:
    known = [each for each in vars(application.permissions).values() if isinstance(each, Permission)]
    assert {*known} == LEAST.keys()


@pytest.mark.parametrize("permission", LEAST, ids=lambda permission: permission.name)
def test_a_permission_is_granted_from_one_role_upwards(permission: Permission) -> None:
    roles = list(Role)
    assert permission.roles == {*roles[roles.index(LEAST[permission]) :]}
