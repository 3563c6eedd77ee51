"""Invitations into a workspace."""

from typing import Annotated, TypedDict

from fastapi import Body

from application.kernel.admission import NOT_ADMITTED, NotPermitted
from application.kernel.commands import invitations as commands
from application.kernel.paging import Page
from application.kernel.ports.callers import Caller
from application.kernel.queries import KernelQueries
from application.kernel.queries.invitations import InvitationView
from application.kernel.queries.memberships import MemberView
from domain.kernel.invitations import (
    AlreadyInvited,
    Invitation,
    InvitationExpired,
    InvitationId,
    InvitationNotFound,
)
from domain.kernel.memberships import AlreadyMember, OwnersOnly, Role
from domain.kernel.users import EMAIL_MOST, EmailNotVerified
from domain.kernel.workspaces import WorkspaceArchived, WorkspaceId
from entrypoints.http.kernel.routing.dependencies import Actor, Ask, Run
from entrypoints.http.kernel.routing.inputs import Paging, strict, text
from entrypoints.http.kernel.routing.routes import Router
from entrypoints.http.kernel.v1 import memberships

router = Router(tag="invitations")


@strict
class NewInvitation(TypedDict):
    """Whom to invite, and as what."""

    email: Annotated[str, text(most=EMAIL_MOST, format="email", examples=["grace@example.com"])]
    role: Role


@strict
class Acceptance(TypedDict):
    """The secret that was mailed to the invited address."""

    token: str


async def _view(ask: KernelQueries, actor: Caller, invitation: Invitation) -> InvitationView:
    return await ask.invitations.get(actor.user_id, invitation.id)


@router.post(
    "/workspaces/{workspace_id}/invitations",
    use_case=commands.invite,
    location="/invitations/{id}",
    refuses=(*NOT_ADMITTED, OwnersOnly, AlreadyMember, AlreadyInvited),
    limit="mail",
)
async def invite_member(
    workspace_id: WorkspaceId, actor: Actor, run: Run, body: Annotated[NewInvitation, Body()]
) -> InvitationView:
    return await run.showing(_view, commands.invite, actor, workspace_id, **body)


@router.get("/workspaces/{workspace_id}/invitations", refuses=(NotPermitted,))
async def list_invitations(
    workspace_id: WorkspaceId, actor: Actor, ask: Ask, query: Paging
) -> Page[InvitationView]:
    """Owners and admins may list the open invitations, expired ones too, the newest first."""
    return await ask.invitations.page(actor.user_id, workspace_id, query.page)


@router.get("/invitations/{invitation_id}", refuses=(NotPermitted,))
async def get_invitation(invitation_id: InvitationId, actor: Actor, ask: Ask) -> InvitationView:
    """Owners and admins may see an open invitation, and so may the user who has verified its address."""
    return await ask.invitations.get(actor.user_id, invitation_id)


@router.delete(
    "/invitations/{invitation_id}",
    use_case=commands.withdraw_invitation,
    changes=Invitation,
    refuses=NOT_ADMITTED,
)
async def withdraw_invitation(invitation_id: InvitationId, actor: Actor, run: Run) -> None:
    await run(commands.withdraw_invitation, actor, invitation_id)


@router.get("/invitations")
async def list_my_invitations(actor: Actor, ask: Ask, query: Paging) -> Page[InvitationView]:
    """Everybody may list the open invitations to their own address if it is verified, the newest first."""
    return await ask.invitations.mine(actor.user_id, query.page)


@router.post(
    "/invitations/acceptance",
    use_case=commands.accept_invitation,
    location="/workspaces/{workspace_id}/members/{user_id}",
    refuses=(InvitationNotFound, EmailNotVerified, InvitationExpired, AlreadyMember, WorkspaceArchived),
)
async def accept_invitation(actor: Actor, run: Run, body: Annotated[Acceptance, Body()]) -> MemberView:
    return await run.showing(memberships.view, commands.accept_invitation, actor, **body)
