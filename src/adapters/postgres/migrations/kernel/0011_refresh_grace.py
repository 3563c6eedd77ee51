"""What a session knows of the refresh tokens that it replaced, and log-ins whose state is used up."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_PURPOSES = "'verify_email', 'reset_password', 'exchange'"


def upgrade() -> None:
    # Nobody has the token before the current one of a session that is open now: until it is refreshed, a
    # token that is not the current one is refused and ends nothing.
    op.add_column("sessions", sa.Column("family_key", sa.Text(), nullable=True))
    op.add_column("sessions", sa.Column("successor_salt", sa.Text(), nullable=True))
    op.add_column(
        "sessions", sa.Column("replaced", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False)
    )
    op.add_column(
        "sessions",
        sa.Column(
            "replaced_at",
            postgresql.ARRAY(sa.DateTime(timezone=True)),
            server_default="{}",
            nullable=False,
        ),
    )
    _allow(f"{_PURPOSES}, 'log_in'")


def downgrade() -> None:
    op.execute("DELETE FROM one_time_tokens WHERE purpose = 'log_in'")
    _allow(_PURPOSES)
    op.drop_column("sessions", "replaced_at")
    op.drop_column("sessions", "replaced")
    op.drop_column("sessions", "successor_salt")
    op.drop_column("sessions", "family_key")


def _allow(purposes: str) -> None:
    op.drop_constraint(op.f("ck_one_time_tokens_purpose"), "one_time_tokens", type_="check")
    op.create_check_constraint(
        op.f("ck_one_time_tokens_purpose"), "one_time_tokens", f"purpose IN ({purposes})"
    )
