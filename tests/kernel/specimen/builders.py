"""One valid example of each thing of the specimen."""

from datetime import datetime

from domain.kernel.aggregate import new_id
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId
from kernel.specimen.domain.notes import Note, NoteId
from kernel.specimen.domain.work_orders import WorkOrder, WorkOrderId, WorkOrderPriority, WorkOrderStatus
from kernel.world.builders import NOW, a_user_id, a_workspace_id


def a_work_order_id() -> WorkOrderId:
    return WorkOrderId(new_id(NOW))


def a_work_order(
    *,
    id: WorkOrderId | None = None,
    workspace_id: WorkspaceId | None = None,
    title: str = "Weave algebraic patterns",
    description: str = "",
    status: WorkOrderStatus = WorkOrderStatus.OPEN,
    priority: WorkOrderPriority = WorkOrderPriority.NORMAL,
    due_at: datetime | None = None,
    assignee_id: UserId | None = None,
    labels: tuple[str, ...] = (),
    created_by: UserId | None = None,
    created_at: datetime = NOW,
    updated_at: datetime | None = None,
    finished_at: datetime | None = None,
) -> WorkOrder:
    """Finished when it was updated, where it is done and nothing else is said."""
    updated_at = updated_at or created_at
    return WorkOrder(
        id=id or a_work_order_id(),
        workspace_id=workspace_id or a_workspace_id(),
        title=title,
        description=description,
        status=status,
        priority=priority,
        due_at=due_at,
        assignee_id=assignee_id,
        labels=labels,
        created_by=created_by or a_user_id(),
        created_at=created_at,
        updated_at=updated_at,
        finished_at=finished_at or (updated_at if status is WorkOrderStatus.DONE else None),
    )


def a_note(
    *,
    id: NoteId | None = None,
    work_order_id: WorkOrderId | None = None,
    workspace_id: WorkspaceId | None = None,
    author_id: UserId | None = None,
    body: str = "The engine weaves just as the Jacquard loom weaves.",
    created_at: datetime = NOW,
    edited_at: datetime | None = None,
) -> Note:
    return Note(
        id=id or NoteId(new_id(created_at)),
        work_order_id=work_order_id or a_work_order_id(),
        workspace_id=workspace_id or a_workspace_id(),
        author_id=author_id or a_user_id(),
        body=body,
        created_at=created_at,
        edited_at=edited_at,
    )
