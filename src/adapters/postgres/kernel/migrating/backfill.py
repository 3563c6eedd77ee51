"""Filling a column of an existing table from a migration, some rows at a time."""

import re
from typing import cast

from alembic import op
from sqlalchemy import CursorResult, text


def in_batches(statement: str) -> None:
    """Runs an UPDATE or DELETE of a migration until it changes no row, each time in a transaction of its own.

    The statement takes a bounded part of what remains, so that no request waits for its locks for long:

        UPDATE users SET x = … WHERE id IN (SELECT id FROM users WHERE x IS NULL LIMIT 1000)

    It has to be one that changes nothing when it is run once more: a migration that was cut off is run again.
    Raises ValueError where it has no LIMIT. What the migration did before is committed.
    """
    if not re.search(r"\bLIMIT\b", statement, re.IGNORECASE):
        raise ValueError("A batch has a LIMIT: … WHERE id IN (SELECT id FROM … WHERE … LIMIT 1000)")
    context = op.get_context()
    with context.autocommit_block():
        if context.as_sql:
            op.execute(statement)
        else:
            while cast("CursorResult[object]", op.get_bind().execute(text(statement))).rowcount > 0:
                pass
