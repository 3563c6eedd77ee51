"""What a workspace looks like at a glance."""

from application.queries.dashboard import Dashboard
from domain.kernel.workspaces import WorkspaceId
from entrypoints.http.dependencies import Ask
from entrypoints.http.kernel.routing.dependencies import Actor, Now
from entrypoints.http.kernel.routing.routes import Router

router = Router(tag="dashboard")


@router.get("/workspaces/{workspace_id}/dashboard", limit="expensive")
async def get_dashboard(workspace_id: WorkspaceId, actor: Actor, ask: Ask, now: Now) -> Dashboard:
    """Any member may see the counts over all tasks of a workspace."""
    return await ask.dashboard.of(actor.user_id, workspace_id, now)
