"""When somebody logged in at a provider, addresses that are pending, and what undoes a change of address."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("one_time_tokens", sa.Column("authenticated_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("sessions", sa.Column("authenticated_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("users", sa.Column("pending_email", sa.Text(), nullable=True))
    op.create_check_constraint(
        op.f("ck_users_pending_email_length"), "users", "char_length(pending_email) BETWEEN 3 AND 254"
    )
    op.create_check_constraint(
        op.f("ck_users_pending_email_lower_case"), "users", "pending_email = lower(pending_email)"
    )
    op.drop_constraint(op.f("ck_one_time_tokens_purpose"), "one_time_tokens", type_="check")
    op.create_check_constraint(
        op.f("ck_one_time_tokens_purpose"),
        "one_time_tokens",
        "purpose IN ('verify_email', 'reset_password', 'exchange', 'log_in', 'undo_email_change')",
    )


def downgrade() -> None:
    # The version before does not know what these are for. Without a hash they are good for nothing, and they
    # are deleted when their time is over.
    op.execute(
        "UPDATE one_time_tokens SET purpose = 'verify_email', token_hash = NULL "
        "WHERE purpose = 'undo_email_change'"
    )
    op.drop_constraint(op.f("ck_one_time_tokens_purpose"), "one_time_tokens", type_="check")
    op.create_check_constraint(
        op.f("ck_one_time_tokens_purpose"),
        "one_time_tokens",
        "purpose IN ('verify_email', 'reset_password', 'exchange', 'log_in')",
    )
    op.drop_constraint(op.f("ck_users_pending_email_lower_case"), "users", type_="check")
    op.drop_constraint(op.f("ck_users_pending_email_length"), "users", type_="check")
    op.drop_column("users", "pending_email")
    op.drop_column("sessions", "authenticated_at")
    op.drop_column("one_time_tokens", "authenticated_at")
