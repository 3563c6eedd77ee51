"""The members of a workspace."""

from typing import Annotated, TypedDict

from fastapi import Body

from application.kernel.admission import NOT_ADMITTED
from application.kernel.commands import memberships as commands
from application.kernel.paging import Page
from application.kernel.ports.callers import Caller
from application.kernel.queries import KernelQueries
from application.kernel.queries.memberships import MemberView
from domain.kernel.memberships import LastOwner, MemberNotFound, Membership, OwnersOnly, Role
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId, WorkspaceNotFound
from entrypoints.http.kernel.routing.dependencies import Actor, Ask, Run
from entrypoints.http.kernel.routing.inputs import Paging, strict
from entrypoints.http.kernel.routing.routes import Router

router = Router(tag="memberships")


@strict
class RoleChange(TypedDict):
    """What a member is to become."""

    role: Role


async def view(ask: KernelQueries, actor: Caller, membership: Membership) -> MemberView:
    """What a member sees of a membership."""
    return await ask.memberships.get(actor.user_id, membership.workspace_id, membership.user_id)


@router.get("/workspaces/{workspace_id}/members")
async def list_members(workspace_id: WorkspaceId, actor: Actor, ask: Ask, query: Paging) -> Page[MemberView]:
    """Any member may list the members, in the order in which they joined."""
    return await ask.memberships.page(actor.user_id, workspace_id, query.page)


@router.get(
    "/workspaces/{workspace_id}/members/{user_id}", missing=MemberNotFound, refuses=(WorkspaceNotFound,)
)
async def get_member(workspace_id: WorkspaceId, user_id: UserId, actor: Actor, ask: Ask) -> MemberView:
    """Any member may see a member."""
    return await ask.memberships.get(actor.user_id, workspace_id, user_id)


@router.patch(
    "/workspaces/{workspace_id}/members/{user_id}",
    missing=MemberNotFound,
    use_case=commands.change_role,
    changes=Membership,
    refuses=(*NOT_ADMITTED, WorkspaceNotFound, OwnersOnly, LastOwner),
)
async def change_role(
    workspace_id: WorkspaceId, user_id: UserId, actor: Actor, run: Run, body: Annotated[RoleChange, Body()]
) -> MemberView:
    return await run.showing(view, commands.change_role, actor, workspace_id, user_id, **body)


@router.delete(
    "/workspaces/{workspace_id}/members/{user_id}",
    missing=MemberNotFound,
    use_case=commands.remove_member,
    changes=Membership,
    refuses=(*NOT_ADMITTED, WorkspaceNotFound, OwnersOnly, LastOwner),
)
async def remove_member(workspace_id: WorkspaceId, user_id: UserId, actor: Actor, run: Run) -> None:
    await run(commands.remove_member, actor, workspace_id, user_id)
