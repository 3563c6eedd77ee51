"""What people do with invitations."""

from application.kernel.admission import admit, grantable
from application.kernel.identity.secret_tokens import fingerprint
from application.kernel.permissions import MANAGE_MEMBERS
from application.kernel.ports.callers import Caller
from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.aggregate import new_id
from domain.kernel.invitations import Invitation, InvitationId, InvitationNotFound
from domain.kernel.memberships import AlreadyMember, Membership, MembershipId, Role, ensure_may_grant
from domain.kernel.users import email_address
from domain.kernel.workspaces import WorkspaceId


async def invite(
    uow: KernelUnitOfWork, actor: Caller, workspace_id: WorkspaceId, *, email: str, role: Role
) -> Invitation:
    """Owners and admins may invite an address, but only owners an owner; a mail there has the secret.

    Refused when a member has verified the address, and when it has an open invitation; an expired one is
    replaced.
    """
    # Locked: the invitation ends with the right to give it, so that right must not end unseen meanwhile.
    granter = await admit(uow, actor, workspace_id, MANAGE_MEMBERS, locked=True)
    ensure_may_grant(granter, role)
    address = email_address(email)
    user = await uow.users.holder(address)
    if user is not None and await uow.memberships.standing(workspace_id, user.id) is not None:
        raise AlreadyMember
    earlier = await uow.invitations.for_address(workspace_id, address)
    if earlier is not None and earlier.has_expired(uow.now):
        await uow.invitations.remove(earlier)
    return await uow.invitations.add(
        Invitation.invite(
            id=InvitationId(new_id(uow.now)),
            workspace_id=workspace_id,
            email=address,
            role=role,
            by=actor.user_id,
            at=uow.now,
        )
    )


async def withdraw_invitation(uow: KernelUnitOfWork, actor: Caller, invitation_id: InvitationId) -> None:
    """Owners and admins may withdraw an invitation that has not been accepted."""
    invitation = await uow.invitations.get(invitation_id)
    await admit(uow, actor, invitation.workspace_id, MANAGE_MEMBERS, otherwise=InvitationNotFound)
    await uow.invitations.remove(invitation.withdraw(by=actor.user_id, at=uow.now))


async def accept_invitation(uow: KernelUnitOfWork, actor: Caller, *, token: str) -> Membership:
    """A user who has verified the invited address may accept with the secret that was mailed there, once.

    Refused before that, when the invitation has expired, when its workspace is archived, and for a member.
    """
    invitation = await uow.invitations.with_token(fingerprint(token))
    user = await uow.users.get(actor.user_id)
    accepted = invitation.accept(email=user.email, email_verified=user.email_verified, by=user.id, at=uow.now)
    workspace = await uow.workspaces.get(invitation.workspace_id)
    workspace.ensure_writable()
    # Locked: a change that takes the inviter's right at this moment either is seen here, or waits.
    inviter = await uow.memberships.lock_standing(invitation.workspace_id, invitation.invited_by)
    if invitation.role not in grantable(inviter.role if inviter else None):
        raise InvitationNotFound
    membership = await uow.memberships.add(
        Membership.join(
            id=MembershipId(new_id(uow.now)),
            workspace_id=invitation.workspace_id,
            user_id=user.id,
            role=invitation.role,
            at=uow.now,
        )
    )
    await uow.invitations.remove(accepted)
    return membership
