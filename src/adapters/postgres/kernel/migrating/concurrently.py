"""Indexes of tables that exist already, as `make migration` writes them: built beside the traffic.

Alembic's own operation would keep everybody from writing to the table until the index is there.
"""

from collections.abc import Iterable
from textwrap import indent
from typing import override

from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import render_op
from alembic.operations.ops import CreateIndexOp, CreateTableOp, DropIndexOp, MigrateOperation, ModifyTableOps


class ConcurrentIndexOp(MigrateOperation):
    """Makes or drops an index CONCURRENTLY, outside of a transaction, unless an attempt before has."""

    def __init__(self, inner: CreateIndexOp | DropIndexOp) -> None:
        inner.kw["postgresql_concurrently"] = True
        if isinstance(inner, CreateIndexOp):
            inner.if_not_exists = True
        else:
            inner.if_exists = True
        self.inner = inner

    @override
    def reverse(self) -> "ConcurrentIndexOp":
        return ConcurrentIndexOp(self.inner.reverse())


@renderers.dispatch_for(ConcurrentIndexOp)
def _render(context: AutogenContext, operation: ConcurrentIndexOp) -> list[str]:
    # In one piece: Alembic's printer would indent whatever follows a line with a colon.
    lines = indent("\n".join(render_op(context, operation.inner)), "    ")
    return [f"with op.get_context().autocommit_block():\n{lines}"]


def made_concurrently(operations: Iterable[MigrateOperation]) -> list[MigrateOperation]:
    """The same operations, but CONCURRENTLY where an index is of a table that these do not make.

    Those indexes are dropped first, since a column that goes takes its index along, and made last, since
    what stands before them in the migration is committed when they begin.
    """
    whole = list(operations)
    new = {each.table_name for each in whole if isinstance(each, CreateTableOp)}
    drops: list[MigrateOperation] = []
    creates: list[MigrateOperation] = []
    for each in whole:
        if isinstance(each, ModifyTableOps) and each.table_name not in new:
            drops += [ConcurrentIndexOp(part) for part in each.ops if isinstance(part, DropIndexOp)]
            creates += [ConcurrentIndexOp(part) for part in each.ops if isinstance(part, CreateIndexOp)]
            each.ops = [part for part in each.ops if not isinstance(part, CreateIndexOp | DropIndexOp)]
    rest = [each for each in whole if not (isinstance(each, ModifyTableOps) and not each.ops)]
    return [*drops, *rest, *creates]
