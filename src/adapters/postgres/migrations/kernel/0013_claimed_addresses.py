"""An address is unique among those who proved it, and invitations get their secret with their mail."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_index(op.f("ix_users_email_id"), "users", ["email", "id"], unique=False)
    op.drop_constraint(op.f("uq_users_email"), "users", type_="unique")
    op.create_index(
        "uq_users_email",
        "users",
        ["email"],
        unique=True,
        postgresql_where=sa.text("email_verified_at IS NOT NULL"),
    )
    op.alter_column("invitations", "token_hash", existing_type=sa.TEXT(), nullable=True)


def downgrade() -> None:
    # The version before cannot live with an invitation without a hash. This is no secret's.
    op.execute("UPDATE invitations SET token_hash = id::text WHERE token_hash IS NULL")
    op.alter_column("invitations", "token_hash", existing_type=sa.TEXT(), nullable=False)
    # Nor with two users who have an address: it stays with who proved it, or else with the newest.
    op.execute(
        """
        UPDATE users SET email = NULL, version = version + 1 WHERE email_verified_at IS NULL AND EXISTS (
            SELECT FROM users AS other WHERE other.email = users.email
                AND (other.email_verified_at IS NOT NULL OR other.id > users.id)
        )
        """
    )
    op.drop_index("uq_users_email", table_name="users")
    op.create_unique_constraint(op.f("uq_users_email"), "users", ["email"])
    op.drop_index(op.f("ix_users_email_id"), table_name="users")
