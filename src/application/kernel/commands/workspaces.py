"""What people do with workspaces."""

from typing import Unpack

from application.kernel.admission import admit
from application.kernel.permissions import DELETE_WORKSPACE, EDIT_WORKSPACE
from application.kernel.ports.callers import Caller
from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.aggregate import new_id
from domain.kernel.memberships import Membership, MembershipId, Role
from domain.kernel.workspaces import Workspace, WorkspaceChanges, WorkspaceId


async def create_workspace(
    uow: KernelUnitOfWork, actor: Caller, *, name: str, slug: str | None = None
) -> Workspace:
    """Everybody may create a workspace, and becomes its owner; refused when the slug is taken.

    Without a slug, one is made from the name that no other workspace has.
    """
    workspace_id = WorkspaceId(new_id(uow.now))
    workspace = Workspace.create(id=workspace_id, name=name, slug=slug, by=actor.user_id, at=uow.now)
    if slug is not None:
        workspace = await uow.workspaces.add(workspace)
    else:
        if await uow.workspaces.has_slug(workspace.slug):
            workspace = workspace.with_marked_slug()
        workspace = await uow.workspaces.add_with_made_slug(workspace)
    await uow.memberships.add(
        Membership.join(
            id=MembershipId(new_id(uow.now)),
            workspace_id=workspace_id,
            user_id=actor.user_id,
            role=Role.OWNER,
            at=uow.now,
        )
    )
    return workspace


async def edit_workspace(
    uow: KernelUnitOfWork, actor: Caller, workspace_id: WorkspaceId, **changes: Unpack[WorkspaceChanges]
) -> Workspace:
    """Owners and admins may rename a workspace; refused when the slug is taken or it is archived."""
    await admit(uow, actor, workspace_id, EDIT_WORKSPACE)
    workspace = await uow.workspaces.get(workspace_id)
    edited = workspace.edit(by=actor.user_id, at=uow.now, **changes)
    return workspace if edited is workspace else await uow.workspaces.save(edited)


async def archive_workspace(uow: KernelUnitOfWork, actor: Caller, workspace_id: WorkspaceId) -> Workspace:
    """Owners and admins may archive a workspace, which makes it read-only; refused when it is archived."""
    await admit(uow, actor, workspace_id, EDIT_WORKSPACE)
    workspace = await uow.workspaces.get(workspace_id)
    return await uow.workspaces.save(workspace.archive(by=actor.user_id, at=uow.now))


async def restore_workspace(uow: KernelUnitOfWork, actor: Caller, workspace_id: WorkspaceId) -> Workspace:
    """Owners and admins may restore an archived workspace; refused when it is not archived."""
    await admit(uow, actor, workspace_id, EDIT_WORKSPACE, archived_too=True)
    workspace = await uow.workspaces.get(workspace_id)
    return await uow.workspaces.save(workspace.restore(by=actor.user_id, at=uow.now))


async def delete_workspace(uow: KernelUnitOfWork, actor: Caller, workspace_id: WorkspaceId) -> None:
    """Owners may delete a workspace with all that is in it, archived or not. There is no way back."""
    await admit(uow, actor, workspace_id, DELETE_WORKSPACE, archived_too=True)
    workspace = await uow.workspaces.get(workspace_id)
    await uow.workspaces.remove(workspace.delete(by=actor.user_id, at=uow.now))
