"""The members of a workspace."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, TypedDict

from fastapi import Body

from application.commands import memberships as commands
from application.paging import Page
from application.queries.memberships import MemberView
from domain.memberships import Membership, Role
from domain.users import UserId
from domain.workspaces import WorkspaceId
from entrypoints.http.dependencies import Actor, Ask, Run
from entrypoints.http.inputs import Paging, strict
from entrypoints.http.routing import Router

router = Router(tag="memberships")


@strict
class RoleChange(TypedDict):
    """What a member is to become."""

    role: Role


@dataclass(slots=True)
class MembershipAfter:
    """A membership as a change has left it."""

    workspace_id: WorkspaceId
    user_id: UserId
    role: Role
    joined_at: datetime
    version: int


@router.get("/workspaces/{workspace_id}/members")
async def list_members(workspace_id: WorkspaceId, actor: Actor, ask: Ask, query: Paging) -> Page[MemberView]:
    """Any member may list the members, in the order in which they joined."""
    return await ask.memberships.page(actor.user_id, workspace_id, query.page)


@router.patch(
    "/workspaces/{workspace_id}/members/{user_id}",
    use_case=commands.change_role,
    response_model=MembershipAfter,
)
async def change_role(
    workspace_id: WorkspaceId, user_id: UserId, actor: Actor, run: Run, body: Annotated[RoleChange, Body()]
) -> Membership:
    return await run(commands.change_role, actor, workspace_id, user_id, **body)


@router.delete("/workspaces/{workspace_id}/members/{user_id}", use_case=commands.remove_member)
async def remove_member(workspace_id: WorkspaceId, user_id: UserId, actor: Actor, run: Run) -> None:
    await run(commands.remove_member, actor, workspace_id, user_id)
