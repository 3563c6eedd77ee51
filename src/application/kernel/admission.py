"""The checks that use cases make before anything else; the tables are in `grants.py`."""

from application.kernel.permissions import GRANTS, Permission
from application.kernel.ports import Identity, Standing, UnitOfWork
from domain.kernel.errors import DomainError, Forbidden, NotFound
from domain.kernel.memberships import Role
from domain.kernel.workspaces import WorkspaceArchived, WorkspaceId, WorkspaceNotFound


class NotPermitted(Forbidden):
    """Your role does not permit it."""


NOT_ADMITTED: tuple[type[DomainError], ...] = (NotPermitted, WorkspaceArchived)
"""How `admit` refuses whom it knows."""


def require(actor: Identity, permission: Permission) -> None:
    """For what concerns the whole service: one of the actor's global roles must grant `permission`."""
    if permission not in actor.permissions:
        raise NotPermitted(f"You lack {permission}.")


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
