"""What people do with the members of a workspace."""

from collections.abc import Collection

from application.kernel.admission import admit, grantable, permit, stand
from application.kernel.permissions import MANAGE_MEMBERS
from application.kernel.ports.callers import Caller
from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.memberships import MemberNotFound, Membership, Role
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId, WorkspaceNotFound


async def change_role(
    uow: KernelUnitOfWork, actor: Caller, workspace_id: WorkspaceId, user_id: UserId, *, role: Role
) -> Membership:
    """Owners and admins may change a member's role, but only owners that of an owner or to owner.

    Open invitations that the member could not give any more end with it. Refused when it would leave the
    workspace without an owner.
    """
    await admit(uow, actor, workspace_id, MANAGE_MEMBERS)
    granter, membership, owners = await _locked(uow, actor, workspace_id, user_id)
    permit(granter, MANAGE_MEMBERS)
    changed = membership.change_role(role, owners=owners, by=actor.user_id, granter=granter, at=uow.now)
    if changed is membership:
        return membership
    saved = await uow.memberships.save(changed)
    # After the change, which waits for invitations at the same time: what they gave is seen by now.
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
        await stand(uow, actor, workspace_id)
    else:
        await admit(uow, actor, workspace_id, MANAGE_MEMBERS)
    remover, membership, owners = await _locked(uow, actor, workspace_id, user_id)
    if user_id != actor.user_id:
        permit(remover, MANAGE_MEMBERS)
    left = membership.leave(owners=owners, by=actor.user_id, remover=remover, at=uow.now)
    await uow.memberships.remove(left)
    await uow.invitations.lapse(user_id, at=uow.now, workspace_id=workspace_id)


async def _locked(
    uow: KernelUnitOfWork, actor: Caller, workspace_id: WorkspaceId, user_id: UserId
) -> tuple[Role, Membership, Collection[Membership]]:
    """The actor's role, the member, and the owners, as they stay until the transaction ends.

    What the actor was before the lock is not enough: of two who take each other's role at the same instant,
    the second has none any more by which to do it.
    """
    locked = await uow.memberships.lock_owners(workspace_id, actor.user_id, user_id)
    members = {member.user_id: member for member in locked}
    if actor.user_id not in members:
        raise WorkspaceNotFound
    if user_id not in members:
        raise MemberNotFound
    owners = [member for member in locked if member.role is Role.OWNER]
    return members[actor.user_id].role, members[user_id], owners
