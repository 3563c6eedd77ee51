"""Which role may do what, as one table, and the check that use cases make."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from application.ports import Identity, Standing, UnitOfWork
from domain.errors import Forbidden, NotFound
from domain.memberships import Role
from domain.workspaces import WorkspaceArchived, WorkspaceId, WorkspaceNotFound


class Permission(StrEnum):
    EDIT_WORKSPACE = "workspace:edit"
    DELETE_WORKSPACE = "workspace:delete"
    MANAGE_MEMBERS = "members:manage"
    WRITE_TASKS = "tasks:write"
    WRITE_COMMENTS = "comments:write"
    MODERATE_COMMENTS = "comments:moderate"


class NotPermitted(Forbidden):
    """Your role in this workspace does not permit it."""


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


async def stand(
    uow: UnitOfWork,
    actor: Identity,
    workspace_id: WorkspaceId,
    *,
    otherwise: type[NotFound] = WorkspaceNotFound,
) -> Standing:
    """The actor's standing; to others the workspace, and what is in it, is `otherwise`: not found."""
    standing = await uow.memberships.standing(workspace_id, actor.user_id)
    if standing is None:
        raise otherwise
    return standing


async def admit(
    uow: UnitOfWork,
    actor: Identity,
    workspace_id: WorkspaceId,
    permission: Permission,
    *,
    archived_too: bool = False,
    otherwise: type[NotFound] = WorkspaceNotFound,
) -> Role:
    """The actor's role, if it grants `permission`; an archived workspace admits nobody to change it."""
    standing = await stand(uow, actor, workspace_id, otherwise=otherwise)
    if permission not in GRANTS[standing.role]:
        raise NotPermitted(f"As {standing.role} you lack {permission}.")
    if standing.archived and not archived_too:
        raise WorkspaceArchived("Owners and admins can restore it.")
    return standing.role
