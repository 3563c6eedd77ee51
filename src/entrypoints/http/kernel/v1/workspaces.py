"""Workspaces: the tenants."""

from typing import Annotated, NotRequired, TypedDict

from fastapi import Body

from application.kernel.admission import NOT_ADMITTED, NotPermitted
from application.kernel.commands import workspaces as commands
from application.kernel.paging import Page
from application.kernel.ports.callers import Caller
from application.kernel.queries import KernelQueries
from application.kernel.queries.workspaces import WorkspaceView
from domain.kernel.workspaces import (
    NAME_MOST,
    SLUG_MOST,
    SLUG_PATTERN,
    SlugTaken,
    Workspace,
    WorkspaceId,
    WorkspaceNotArchived,
)
from entrypoints.http.kernel.document.examples import INSTANT
from entrypoints.http.kernel.routing.dependencies import Actor, Ask, Run
from entrypoints.http.kernel.routing.inputs import Paging, strict, text
from entrypoints.http.kernel.routing.routes import Router

router = Router(tag="workspaces")

Name = Annotated[str, text(least=1, most=NAME_MOST, examples=["Analytical Engines"])]
Slug = Annotated[
    str, text(least=1, most=SLUG_MOST, pattern=f"^{SLUG_PATTERN}$", examples=["analytical-engines"])
]


@strict
class NewWorkspace(TypedDict):
    """A workspace to create."""

    name: Name
    slug: NotRequired[Slug | None]
    """Unique in the whole service. Without one it is made from the name, and gets letters by chance behind it
    where another workspace has that."""


@strict
class WorkspacePatch(TypedDict, total=False):
    """What of a workspace is to change."""

    name: Name
    slug: Slug


async def _view(ask: KernelQueries, actor: Caller, workspace: Workspace) -> WorkspaceView:
    return await ask.workspaces.get(actor.user_id, workspace.id)


@router.post(
    "/workspaces",
    use_case=commands.create_workspace,
    location="/workspaces/{id}",
    refuses=(SlugTaken,),
)
async def create_workspace(actor: Actor, run: Run, body: Annotated[NewWorkspace, Body()]) -> WorkspaceView:
    return await run.showing(_view, commands.create_workspace, actor, **body)


@router.get("/workspaces")
async def list_workspaces(actor: Actor, ask: Ask, query: Paging) -> Page[WorkspaceView]:
    """Everybody may list the workspaces they belong to, archived ones too, the newest first."""
    return await ask.workspaces.page(actor.user_id, query.page)


@router.get("/workspaces/{workspace_id}")
async def get_workspace(workspace_id: WorkspaceId, actor: Actor, ask: Ask) -> WorkspaceView:
    """Any member may see a workspace."""
    return await ask.workspaces.get(actor.user_id, workspace_id)


@router.patch(
    "/workspaces/{workspace_id}",
    use_case=commands.edit_workspace,
    changes=Workspace,
    refuses=(*NOT_ADMITTED, SlugTaken),
)
async def edit_workspace(
    workspace_id: WorkspaceId, actor: Actor, run: Run, body: Annotated[WorkspacePatch, Body()]
) -> WorkspaceView:
    return await run.showing(_view, commands.edit_workspace, actor, workspace_id, **body)


@router.delete(
    "/workspaces/{workspace_id}",
    use_case=commands.delete_workspace,
    changes=Workspace,
    refuses=(NotPermitted,),
)
async def delete_workspace(workspace_id: WorkspaceId, actor: Actor, run: Run) -> None:
    await run(commands.delete_workspace, actor, workspace_id)


@router.post(
    "/workspaces/{workspace_id}/archival",
    use_case=commands.archive_workspace,
    example={"archived_at": INSTANT},
    changes=Workspace,
    refuses=NOT_ADMITTED,
)
async def archive_workspace(workspace_id: WorkspaceId, actor: Actor, run: Run) -> WorkspaceView:
    return await run.showing(_view, commands.archive_workspace, actor, workspace_id)


@router.delete(
    "/workspaces/{workspace_id}/archival",
    use_case=commands.restore_workspace,
    changes=Workspace,
    refuses=(NotPermitted, WorkspaceNotArchived),
)
async def restore_workspace(workspace_id: WorkspaceId, actor: Actor, run: Run) -> None:
    await run(commands.restore_workspace, actor, workspace_id)
