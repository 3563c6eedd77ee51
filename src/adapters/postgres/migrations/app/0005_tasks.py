"""Tasks."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0005"
down_revision: str | None = None
formerly: str | None = "0004"  # when there was one line
branch_labels: str | Sequence[str] | None = ("app",)
depends_on: str | Sequence[str] | None = "0004"


def upgrade() -> None:
    op.create_table(
        "tasks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("priority", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("assignee_id", sa.Uuid(), nullable=True),
        sa.Column("labels", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "(status = 'done') = (finished_at IS NOT NULL)", name=op.f("ck_tasks_finished_when_done")
        ),
        sa.CheckConstraint("priority IN ('low', 'normal', 'high', 'urgent')", name=op.f("ck_tasks_priority")),
        sa.CheckConstraint(
            "status IN ('open', 'in_progress', 'done', 'cancelled')", name=op.f("ck_tasks_status")
        ),
        sa.CheckConstraint("cardinality(labels) <= 10", name=op.f("ck_tasks_labels_count")),
        sa.CheckConstraint(
            "char_length(description) BETWEEN 0 AND 10000", name=op.f("ck_tasks_description_length")
        ),
        sa.CheckConstraint("char_length(title) BETWEEN 1 AND 200", name=op.f("ck_tasks_title_length")),
        sa.ForeignKeyConstraint(["created_by"], ["users.id"], name=op.f("fk_tasks_created_by_users")),
        sa.ForeignKeyConstraint(
            ["workspace_id", "assignee_id"],
            ["memberships.workspace_id", "memberships.user_id"],
            name="fk_tasks_assignee_memberships",
            ondelete="SET NULL (assignee_id)",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["workspaces.id"],
            name=op.f("fk_tasks_workspace_id_workspaces"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
    )
    op.create_index(op.f("ix_tasks_created_by"), "tasks", ["created_by"], unique=False)
    op.create_index("ix_tasks_labels", "tasks", ["labels"], unique=False, postgresql_using="gin")
    op.create_index(
        "ix_tasks_words",
        "tasks",
        [sa.literal_column("to_tsvector('simple'::regconfig, (title || ' '::text) || description)")],
        unique=False,
        postgresql_using="gin",
    )
    op.create_index(
        op.f("ix_tasks_workspace_id_assignee_id"), "tasks", ["workspace_id", "assignee_id"], unique=False
    )
    op.create_index(
        op.f("ix_tasks_workspace_id_created_at_id"),
        "tasks",
        ["workspace_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_tasks_workspace_id_due",
        "tasks",
        ["workspace_id", sa.literal_column("coalesce(due_at, '9999-12-31 00:00:00+00'::timestamptz)"), "id"],
        unique=False,
    )
    op.create_index(
        "ix_tasks_workspace_id_rank",
        "tasks",
        [
            "workspace_id",
            sa.literal_column("array_position(ARRAY['low', 'normal', 'high', 'urgent'], priority)"),
            "id",
        ],
        unique=False,
    )
    op.create_index(
        "ix_tasks_workspace_id_finished_at",
        "tasks",
        ["workspace_id", "finished_at"],
        unique=False,
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_tasks_workspace_id_title_id"), "tasks", ["workspace_id", "title", "id"], unique=False
    )
    # A member who leaves is taken off their tasks by the foreign key. That is a change like any other, so
    # it raises the version: nobody saves over it, and no ETag lies.
    op.execute(
        """
        CREATE FUNCTION tasks_raise_version() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.version := OLD.version + 1;
            RETURN NEW;
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER tasks_raise_version BEFORE UPDATE ON tasks
        FOR EACH ROW WHEN (NEW.version = OLD.version) EXECUTE FUNCTION tasks_raise_version()
        """
    )


def downgrade() -> None:
    op.drop_table("tasks")
    op.execute("DROP FUNCTION tasks_raise_version")
