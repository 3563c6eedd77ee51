"""Add notes."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "c133953bc629"
down_revision: str | None = "2aacecac2d80"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = "0018"


def upgrade() -> None:
    op.create_table(
        "notes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("char_length(body) BETWEEN 0 AND 10000", name=op.f("ck_notes_body_length")),
        sa.CheckConstraint("char_length(title) BETWEEN 1 AND 80", name=op.f("ck_notes_title_length")),
        sa.ForeignKeyConstraint(["created_by"], ["users.id"], name=op.f("fk_notes_created_by_users")),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["workspaces.id"],
            name=op.f("fk_notes_workspace_id_workspaces"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notes")),
    )
    op.create_index(op.f("ix_notes_created_by"), "notes", ["created_by"], unique=False)
    op.create_index(
        "ix_notes_words",
        "notes",
        [
            sa.literal_column(
                "to_tsvector('simple'::regconfig, regexp_replace((title || ' '::text) || body, '[\\x01-\\x2f\\x3a-\\x40\\x5b-\\x60\\x7b-\\xa9\\xab\\xac\\xae-\\xb1\\xb4\\xb6-\\xb8\\xbb\\xbf\\xd7\\xf7\\u037e\\u0387\\u055a-\\u055f\\u0589\\u058a\\u05be\\u05c0\\u05c3\\u05c6\\u060c\\u060d\\u061b\\u061d-\\u061f\\u066a-\\u066d\\u06d4\\u0964\\u0965\\u1360-\\u1368\\u2000-\\u200b\\u200e-\\u205f\\u20a0-\\u20c0\\u2190-\\u2317\\u231c-\\u23e8\\u2400-\\u244a\\u2500-\\u25f6\\u2768-\\u2775\\u27c0-\\u27ff\\u2900-\\u2933\\u2936-\\u2b04\\u2e00-\\u2e5d\\u3000-\\u3003\\u3008-\\u3011\\u3014-\\u301f\\u30a0\\u30fb\\ufe10-\\ufe19\\ufe30-\\ufe6b\\uff01-\\uff0f\\uff1a-\\uff20\\uff3b-\\uff40\\uff5b-\\uff65\\uffe0-\\uffe6]'::text, ' '::text, 'g'::text))"
            )
        ],
        unique=False,
        postgresql_using="gin",
    )
    op.create_index(
        op.f("ix_notes_workspace_id_created_at_id"),
        "notes",
        ["workspace_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_notes_workspace_id_title_id"), "notes", ["workspace_id", "title", "id"], unique=False
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_notes_workspace_id_title_id"), table_name="notes")
    op.drop_index(op.f("ix_notes_workspace_id_created_at_id"), table_name="notes")
    op.drop_index("ix_notes_words", table_name="notes", postgresql_using="gin")
    op.drop_index(op.f("ix_notes_created_by"), table_name="notes")
    op.drop_table("notes")
