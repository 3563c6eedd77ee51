"""Indexes of tables that exist already, as `make migration` writes them: built beside the traffic.

Alembic's own operation would keep everybody from writing to the table until the index is there.
"""

from collections.abc import Collection, Iterable
from typing import override

from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import render_op
from alembic.operations.ops import (
    AddColumnOp,
    CreateIndexOp,
    CreateTableOp,
    DropColumnOp,
    DropIndexOp,
    MigrateOperation,
    ModifyTableOps,
)


class ConcurrentIndexOp(MigrateOperation):
    """Makes or drops an index CONCURRENTLY, outside of a transaction, unless an attempt before has.

    It is `needed` where a foreign key may refer to it.
    """

    def __init__(self, inner: CreateIndexOp | DropIndexOp, *, needed: bool = False) -> None:
        inner.kw["postgresql_concurrently"] = True
        if isinstance(inner, CreateIndexOp):
            inner.if_not_exists = True
        else:
            inner.if_exists = True
        self.inner, self.needed = inner, needed

    @override
    def reverse(self) -> "ConcurrentIndexOp":
        return ConcurrentIndexOp(self.inner.reverse(), needed=self.needed)


@renderers.dispatch_for(ConcurrentIndexOp)
def _render(context: AutogenContext, operation: ConcurrentIndexOp) -> list[str]:
    # Alembic's printer indents what follows a colon, until an empty line.
    return ["with op.get_context().autocommit_block():", *render_op(context, operation.inner), ""]


def made_concurrently(
    operations: Iterable[MigrateOperation], drops: Iterable[MigrateOperation] = ()
) -> list[MigrateOperation]:
    """The same operations and what `drops` tables, but CONCURRENTLY where an index is of a table that stays.

    Those indexes are dropped first, since a column that goes takes its index along, and made last, since
    what stands before them in the migration is committed when they begin. The other way round with a unique
    one on columns that stay, which a foreign key of the same migration may need.
    """
    whole = list(operations)
    new = {each.table_name for each in whole if isinstance(each, CreateTableOp)}
    first: list[MigrateOperation] = []
    last: list[MigrateOperation] = []
    for each in whole:
        if not isinstance(each, ModifyTableOps) or each.table_name in new:
            continue
        changed = {part.column.name for part in each.ops if isinstance(part, AddColumnOp)}
        changed |= {part.column_name for part in each.ops if isinstance(part, DropColumnOp)}
        for part in list(each.ops):
            if isinstance(part, CreateIndexOp | DropIndexOp):
                each.ops.remove(part)
                index = ConcurrentIndexOp(part, needed=_may_be_needed(part, changed))
                (first if isinstance(part, CreateIndexOp) is index.needed else last).append(index)
    rest = [each for each in whole if not (isinstance(each, ModifyTableOps) and not each.ops)]
    return [*first, *rest, *drops, *last]


def _may_be_needed(index: CreateIndexOp | DropIndexOp, changed: Collection[str]) -> bool:
    """Whether a foreign key may refer to it: it is unique, and none of its columns comes or goes."""
    made = index.to_index()
    return made.unique and not any(column.name in changed for column in made.columns)
