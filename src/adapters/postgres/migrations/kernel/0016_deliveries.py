"""What leaves the database is delivered apart from its event, each reaction by itself."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0016"
down_revision: str | None = "0015"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    # Whether what the event causes outside is written down already, though the event itself still waits.
    op.add_column("outbox", sa.Column("dispatched_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "deliveries",
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("reaction", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("aggregate_id", sa.Uuid(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("refusals", sa.Integer(), server_default="0", nullable=False),
        sa.Column("first_refused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "available_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("lease", sa.Uuid(), nullable=True),
        sa.Column("parked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("event_id", "reaction", name=op.f("uq_deliveries_event_id_reaction")),
    )
    op.create_index(
        op.f("ix_deliveries_aggregate_id_reaction_position"),
        "deliveries",
        ["aggregate_id", "reaction", "position"],
    )
    op.create_index(
        op.f("ix_deliveries_available_at"),
        "deliveries",
        ["available_at"],
        postgresql_where=sa.column("parked_at").is_(None),
    )
    op.execute(
        """
        CREATE TRIGGER deliveries_notify AFTER INSERT ON deliveries
        FOR EACH STATEMENT EXECUTE FUNCTION outbox_notify()
        """
    )


def downgrade() -> None:
    # A version that lacks the table delivers an event as a whole: so nothing is lost, and what had been
    # delivered of the event is delivered again.
    op.execute(
        """
        INSERT INTO outbox (id, type, aggregate_id, payload, recorded_at)
        SELECT event_id, type, aggregate_id, payload, recorded_at
        FROM (SELECT DISTINCT ON (event_id) * FROM deliveries ORDER BY event_id, position) AS one
        ORDER BY position
        ON CONFLICT (id) DO NOTHING
        """
    )
    op.drop_table("deliveries")
    op.drop_column("outbox", "dispatched_at")
