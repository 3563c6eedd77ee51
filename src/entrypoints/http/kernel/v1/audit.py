"""The audit log: a workspace's part of it for its managers, and all of it for administrators."""

from typing import Annotated, Never

from fastapi import Query

from application.kernel.admission import NotPermitted
from application.kernel.paging import Page
from application.kernel.queries.audit import (
    AuditEntry,
    AuditFilter,
    WorkspaceAuditEntry,
    WorkspaceAuditFilter,
)
from domain.kernel.workspaces import WorkspaceId
from entrypoints.http.kernel.routing.dependencies import Actor, Ask
from entrypoints.http.kernel.routing.lists import ListQuery
from entrypoints.http.kernel.routing.routes import Router

router = Router(tag="audit")


@router.get("/workspaces/{workspace_id}/audit", refuses=(NotPermitted,), limit="expensive")
async def list_workspace_audit(
    workspace_id: WorkspaceId,
    actor: Actor,
    ask: Ask,
    query: Annotated[ListQuery[WorkspaceAuditFilter, Never], Query()],
) -> Page[WorkspaceAuditEntry]:
    """Owners and admins may list what happened to the workspace and its members, the newest first."""
    return await ask.audit.of_workspace(actor.user_id, workspace_id, query.where, query.page)


@router.get("/admin/audit", refuses=(NotPermitted,), limit="expensive")
async def list_audit(
    actor: Actor, ask: Ask, query: Annotated[ListQuery[AuditFilter, Never], Query()]
) -> Page[AuditEntry]:
    """Administrators may list all that is security relevant, the newest first."""
    return await ask.audit.page(actor, query.where, query.page)
