"""Indexes that have the order of the members and the invitations of a workspace."""

from collections.abc import Sequence

from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_index(
        op.f("ix_memberships_workspace_id_joined_at_id"), "memberships", ["workspace_id", "joined_at", "id"]
    )
    op.create_index(
        op.f("ix_invitations_workspace_id_created_at_id"), "invitations", ["workspace_id", "created_at", "id"]
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_invitations_workspace_id_created_at_id"), table_name="invitations")
    op.drop_index(op.f("ix_memberships_workspace_id_joined_at_id"), table_name="memberships")
