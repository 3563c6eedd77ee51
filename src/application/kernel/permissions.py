"""Which role may do what: one table for the roles in a workspace, one for those in the whole service."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from domain.kernel.memberships import Role
from domain.kernel.users import GlobalRole


class Permission(StrEnum):
    EDIT_WORKSPACE = "workspace:edit"
    DELETE_WORKSPACE = "workspace:delete"
    MANAGE_MEMBERS = "members:manage"
    WRITE_TASKS = "tasks:write"
    WRITE_COMMENTS = "comments:write"
    MODERATE_COMMENTS = "comments:moderate"
    READ_USERS = "users:read"
    MANAGE_USERS = "users:manage"


_MEMBER = frozenset({Permission.WRITE_TASKS, Permission.WRITE_COMMENTS})
_ADMIN = _MEMBER | {Permission.EDIT_WORKSPACE, Permission.MANAGE_MEMBERS, Permission.MODERATE_COMMENTS}

# Every member may read everything in the workspace: that is in the queries' SQL.
GRANTS: Mapping[Role, frozenset[Permission]] = MappingProxyType(
    {
        Role.VIEWER: frozenset(),
        Role.MEMBER: _MEMBER,
        Role.ADMIN: _ADMIN,
        Role.OWNER: _ADMIN | {Permission.DELETE_WORKSPACE},
    }
)

GLOBAL_GRANTS: Mapping[GlobalRole, frozenset[Permission]] = MappingProxyType(
    {
        GlobalRole.SUPPORT: frozenset({Permission.READ_USERS}),
        GlobalRole.ADMIN: frozenset({Permission.READ_USERS, Permission.MANAGE_USERS}),
    }
)
