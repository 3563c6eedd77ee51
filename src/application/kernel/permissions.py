"""What may be done, and which role may do it: the kernel's table.

A service's own is `application/permissions.py`. A permission names the roles that have it, so there is one
row for each and no second list to keep.
"""

from dataclasses import dataclass
from typing import Final

from domain.kernel.memberships import Role
from domain.kernel.users import GlobalRole

MEMBERS: Final = frozenset({Role.MEMBER, Role.ADMIN, Role.OWNER})
ADMINS: Final = frozenset({Role.ADMIN, Role.OWNER})
OWNERS: Final = frozenset({Role.OWNER})


@dataclass(frozen=True, slots=True)
class Permission:
    """What may be done in a workspace, and the roles there that may do it.

    Every member may read everything in the workspace: that is in the queries' SQL.
    """

    name: str
    roles: frozenset[Role]


@dataclass(frozen=True, slots=True)
class ServicePermission:
    """What may be done in the whole service, and the global roles that may do it."""

    name: str
    roles: frozenset[GlobalRole]


EDIT_WORKSPACE = Permission("workspace:edit", ADMINS)
DELETE_WORKSPACE = Permission("workspace:delete", OWNERS)
MANAGE_MEMBERS = Permission("members:manage", ADMINS)

READ_USERS = ServicePermission("users:read", frozenset({GlobalRole.SUPPORT, GlobalRole.ADMIN}))
READ_AUDIT = ServicePermission("audit:read", frozenset({GlobalRole.ADMIN}))
MANAGE_USERS = ServicePermission("users:manage", frozenset({GlobalRole.ADMIN}))
