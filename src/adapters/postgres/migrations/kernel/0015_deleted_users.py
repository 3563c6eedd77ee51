"""When an account was deleted, and which providers' accounts belonged to one."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0015"
down_revision: str | None = "0014"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_PURPOSES = "'verify_email', 'reset_password', 'exchange', 'log_in', 'undo_email_change'"


def upgrade() -> None:
    op.add_column("users", sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint(
        op.f("ck_users_deleted_is_suspended"), "users", "deleted_at IS NULL OR suspended_at IS NOT NULL"
    )
    _allow(f"{_PURPOSES}, 'deleted'")


def downgrade() -> None:
    # They stay suspended, without an address and a name: for the version before, nobody's.
    # What marks a provider's account is good for nothing without its hash, and is deleted in its time.
    op.execute(
        "UPDATE one_time_tokens SET purpose = 'verify_email', token_hash = NULL WHERE purpose = 'deleted'"
    )
    _allow(_PURPOSES)
    op.drop_constraint(op.f("ck_users_deleted_is_suspended"), "users", type_="check")
    op.drop_column("users", "deleted_at")


def _allow(purposes: str) -> None:
    op.drop_constraint(op.f("ck_one_time_tokens_purpose"), "one_time_tokens", type_="check")
    op.create_check_constraint(
        op.f("ck_one_time_tokens_purpose"), "one_time_tokens", f"purpose IN ({purposes})"
    )
