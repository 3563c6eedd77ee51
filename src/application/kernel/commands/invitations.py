"""What people do with invitations."""

from dataclasses import dataclass

from application.kernel.admission import admit
from application.kernel.identity.secret_tokens import fingerprint, new_secret
from application.kernel.permissions import MANAGE_MEMBERS
from application.kernel.ports.callers import Caller
from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.aggregate import new_id
from domain.kernel.invitations import Invitation, InvitationId, InvitationNotFound
from domain.kernel.memberships import AlreadyMember, Membership, MembershipId, Role, ensure_may_grant
from domain.kernel.users import email_address
from domain.kernel.workspaces import WorkspaceId


@dataclass(frozen=True, slots=True)
class IssuedInvitation:
    """An invitation with the secret that accepts it, shown this once for the inviter to pass on."""

    invitation: Invitation
    token: str


async def invite(
    uow: KernelUnitOfWork, actor: Caller, workspace_id: WorkspaceId, *, email: str, role: Role
) -> IssuedInvitation:
    """Owners and admins may invite an address, but only owners an owner.

    Refused when the address is a member's or has an open invitation; an expired one is replaced.
    """
    granter = await admit(uow, actor, workspace_id, MANAGE_MEMBERS)
    ensure_may_grant(granter, role)
    address = email_address(email)
    user = await uow.users.by_email(address)
    if user is not None and await uow.memberships.standing(workspace_id, user.id) is not None:
        raise AlreadyMember
    earlier = await uow.invitations.for_address(workspace_id, address)
    if earlier is not None and earlier.has_expired(uow.now):
        await uow.invitations.remove(earlier)
    token = new_secret()
    invitation = await uow.invitations.add(
        Invitation.invite(
            id=InvitationId(new_id(uow.now)),
            workspace_id=workspace_id,
            email=address,
            role=role,
            token_hash=fingerprint(token),
            by=actor.user_id,
            at=uow.now,
        )
    )
    return IssuedInvitation(invitation, token)


async def withdraw_invitation(uow: KernelUnitOfWork, actor: Caller, invitation_id: InvitationId) -> None:
    """Owners and admins may withdraw an invitation that has not been accepted."""
    invitation = await uow.invitations.get(invitation_id)
    await admit(uow, actor, invitation.workspace_id, MANAGE_MEMBERS, otherwise=InvitationNotFound)
    await uow.invitations.remove(invitation.withdraw(by=actor.user_id, at=uow.now))


async def accept_invitation(uow: KernelUnitOfWork, actor: Caller, *, token: str) -> Membership:
    """The owner of the invited address may accept with the invitation's secret, once.

    Refused when the invitation has expired, when its workspace is archived, and for a member.
    """
    invitation = await uow.invitations.with_token(fingerprint(token))
    user = await uow.users.get(actor.user_id)
    accepted = invitation.accept(email=user.email, by=user.id, at=uow.now)
    workspace = await uow.workspaces.get(invitation.workspace_id)
    workspace.ensure_writable()
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
