"""One valid example of each thing of the specimen."""

from datetime import datetime

from domain.kernel.aggregate import new_id
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId
from kernel.specimen.domain.specimen_notes import SpecimenNote, SpecimenNoteId
from kernel.specimen.domain.specimen_orders import (
    SpecimenOrder,
    SpecimenOrderId,
    SpecimenOrderPriority,
    SpecimenOrderStatus,
)
from kernel.world.builders import NOW, a_user_id, a_workspace_id


def a_specimen_order_id() -> SpecimenOrderId:
    return SpecimenOrderId(new_id(NOW))


def a_specimen_order(
    *,
    id: SpecimenOrderId | None = None,
    workspace_id: WorkspaceId | None = None,
    title: str = "Weave algebraic patterns",
    description: str = "",
    status: SpecimenOrderStatus = SpecimenOrderStatus.OPEN,
    priority: SpecimenOrderPriority = SpecimenOrderPriority.NORMAL,
    due_at: datetime | None = None,
    assignee_id: UserId | None = None,
    labels: tuple[str, ...] = (),
    created_by: UserId | None = None,
    created_at: datetime = NOW,
    updated_at: datetime | None = None,
    finished_at: datetime | None = None,
) -> SpecimenOrder:
    """Finished when it was updated, where it is done and nothing else is said."""
    updated_at = updated_at or created_at
    return SpecimenOrder(
        id=id or a_specimen_order_id(),
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
        finished_at=finished_at or (updated_at if status is SpecimenOrderStatus.DONE else None),
    )


def a_specimen_note(
    *,
    id: SpecimenNoteId | None = None,
    specimen_order_id: SpecimenOrderId | None = None,
    workspace_id: WorkspaceId | None = None,
    author_id: UserId | None = None,
    body: str = "The engine weaves just as the Jacquard loom weaves.",
    created_at: datetime = NOW,
    edited_at: datetime | None = None,
) -> SpecimenNote:
    return SpecimenNote(
        id=id or SpecimenNoteId(new_id(created_at)),
        specimen_order_id=specimen_order_id or a_specimen_order_id(),
        workspace_id=workspace_id or a_workspace_id(),
        author_id=author_id or a_user_id(),
        body=body,
        created_at=created_at,
        edited_at=edited_at,
    )
