"""Find words where people see them."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "2aacecac2d80"
down_revision: str | None = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = "0010"

_BETWEEN_WORDS = (
    r"[\x01-\x2f\x3a-\x40\x5b-\x60\x7b-\xa9\xab\xac\xae-\xb1\xb4\xb6-\xb8\xbb\xbf\xd7\xf7"
    r"\u037e\u0387\u055a-\u055f\u0589\u058a\u05be\u05c0\u05c3\u05c6\u060c\u060d\u061b\u061d-\u061f\u066a-\u066d"
    r"\u06d4\u0964\u0965\u1360-\u1368\u2000-\u200b\u200e-\u205f\u20a0-\u20c0\u2190-\u2317\u231c-\u23e8"
    r"\u2400-\u244a\u2500-\u25f6\u2768-\u2775\u27c0-\u27ff\u2900-\u2933\u2936-\u2b04\u2e00-\u2e5d"
    r"\u3000-\u3003\u3008-\u3011\u3014-\u301f\u30a0\u30fb\ufe10-\ufe19\ufe30-\ufe6b"
    r"\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\uffe0-\uffe6]"
)


def upgrade() -> None:
    op.drop_index(op.f("ix_tasks_words"), table_name="tasks")
    text = (
        f"regexp_replace((title || ' '::text) || description, '{_BETWEEN_WORDS}'::text, ' '::text, 'g'::text)"
    )
    op.create_index(
        op.f("ix_tasks_words"),
        "tasks",
        [sa.literal_column(f"to_tsvector('simple'::regconfig, {text})")],
        postgresql_using="gin",
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_tasks_words"), table_name="tasks")
    op.create_index(
        op.f("ix_tasks_words"),
        "tasks",
        [sa.literal_column("to_tsvector('simple'::regconfig, (title || ' '::text) || description)")],
        postgresql_using="gin",
    )
