"""What people do with the members of a workspace."""

from application.kernel.admission import admit, grantable, stand
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

    Open invitations that the member could not give any more end with it. Refused when it would leave the
    workspace without an owner.
    """
    granter = await admit(uow, actor, workspace_id, MANAGE_MEMBERS)
    owners = await uow.memberships.lock_owners(workspace_id)
    membership = await uow.memberships.of(workspace_id, user_id)
    changed = membership.change_role(role, owners=owners, by=actor.user_id, granter=granter, at=uow.now)
    if changed is membership:
        return membership
    saved = await uow.memberships.save(changed)
    # After the change, which waits for whoever invites at the same time: what they gave is seen by now.
    await uow.invitations.lapse(user_id, at=uow.now, workspace_id=workspace_id, but=grantable(role))
    return saved


async def remove_member(
    uow: KernelUnitOfWork, actor: Caller, workspace_id: WorkspaceId, user_id: UserId
) -> None:
    """Everybody may leave; owners and admins may remove others, but only owners an owner.

    Their open invitations end with it. Refused when it would leave the workspace without an owner, and for
    others while it is archived.
    """
    if user_id == actor.user_id:
        remover = (await stand(uow, actor, workspace_id)).role
    else:
        remover = await admit(uow, actor, workspace_id, MANAGE_MEMBERS)
    owners = await uow.memberships.lock_owners(workspace_id)
    membership = await uow.memberships.of(workspace_id, user_id)
    left = membership.leave(owners=owners, by=actor.user_id, remover=remover, at=uow.now)
    await uow.memberships.remove(left)
    await uow.invitations.lapse(user_id, at=uow.now, workspace_id=workspace_id)
