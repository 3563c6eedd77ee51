"""What people do with the members of a workspace."""

from application.kernel.admission import admit, stand
from application.kernel.permissions import MANAGE_MEMBERS
from application.kernel.ports.callers import Caller
from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.memberships import Membership, Role
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId


async def change_role(
    uow: KernelUnitOfWork, actor: Caller, workspace_id: WorkspaceId, user_id: UserId, *, role: Role
) -> Membership:
    """Owners and admins may change a member's role, but only owners that of an owner or to owner.

    Refused when it would leave the workspace without an owner.
    """
    granter = await admit(uow, actor, workspace_id, MANAGE_MEMBERS)
    owners = await uow.memberships.lock_owners(workspace_id)
    membership = await uow.memberships.of(workspace_id, user_id)
    changed = membership.change_role(role, owners=owners, by=actor.user_id, granter=granter, at=uow.now)
    return membership if changed is membership else await uow.memberships.save(changed)


async def remove_member(
    uow: KernelUnitOfWork, actor: Caller, workspace_id: WorkspaceId, user_id: UserId
) -> None:
    """Everybody may leave; owners and admins may remove others, but only owners an owner.

    Refused when it would leave the workspace without an owner, and for others while it is archived.
    """
    if user_id == actor.user_id:
        remover = (await stand(uow, actor, workspace_id)).role
    else:
        remover = await admit(uow, actor, workspace_id, MANAGE_MEMBERS)
    owners = await uow.memberships.lock_owners(workspace_id)
    membership = await uow.memberships.of(workspace_id, user_id)
    left = membership.leave(owners=owners, by=actor.user_id, remover=remover, at=uow.now)
    await uow.memberships.remove(left)
