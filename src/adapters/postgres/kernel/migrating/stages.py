"""What `make migration` writes for tables that exist already: migrations that follow one another.

In one migration constraints would read the table, and build their index, while nobody can write to it.
"""

from collections.abc import Iterable
from typing import override

from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import render_op
from alembic.operations.ops import (
    AddColumnOp,
    CreateCheckConstraintOp,
    CreateForeignKeyOp,
    CreateIndexOp,
    CreateTableOp,
    CreateUniqueConstraintOp,
    DropConstraintOp,
    MigrateOperation,
    ModifyTableOps,
)

from adapters.postgres.kernel.migrating.concurrently import ConcurrentIndexOp, made_concurrently


class ValidateOp(MigrateOperation):
    """Reads the rows that are there against a constraint that was added NOT VALID, beside the traffic."""

    def __init__(self, inner: CreateCheckConstraintOp | CreateForeignKeyOp, *, back: bool = False) -> None:
        self.inner, self.back = inner, back

    @override
    def reverse(self) -> "ValidateOp":
        return ValidateOp(self.inner, back=not self.back)


class UniqueByIndexOp(MigrateOperation):
    """Makes a unique constraint of an index that is there; the way back leaves the index."""

    def __init__(self, inner: CreateUniqueConstraintOp, *, back: bool = False) -> None:
        self.inner, self.back = inner, back

    @override
    def reverse(self) -> "UniqueByIndexOp":
        return UniqueByIndexOp(self.inner, back=not self.back)


@renderers.dispatch_for(ValidateOp)
def _render_validation(context: AutogenContext, operation: ValidateOp) -> list[str]:
    inner = operation.inner
    if operation.back:
        return [*render_op(context, inner.reverse()), *render_op(context, inner)]
    table = inner.source_table if isinstance(inner, CreateForeignKeyOp) else inner.table_name
    return [f'op.execute("ALTER TABLE {table} VALIDATE CONSTRAINT {inner.constraint_name}")']


@renderers.dispatch_for(UniqueByIndexOp)
def _render_unique(context: AutogenContext, operation: UniqueByIndexOp) -> list[str]:
    name, table = operation.inner.constraint_name, operation.inner.table_name
    if operation.back:
        gone = operation.inner.reverse()
        if isinstance(gone, DropConstraintOp):
            gone.if_exists = True  # what comes next commits it, and may fail
        return [*render_op(context, gone), *render_op(context, _index_of(operation.inner))]
    return [f'op.execute("ALTER TABLE {table} ADD CONSTRAINT {name} UNIQUE USING INDEX {name}")']


def _index_of(unique: CreateUniqueConstraintOp) -> ConcurrentIndexOp:
    return ConcurrentIndexOp(
        CreateIndexOp(str(unique.constraint_name), unique.table_name, unique.columns, unique=True)
    )


def in_stages(
    operations: Iterable[MigrateOperation], drops: Iterable[MigrateOperation] = ()
) -> list[tuple[str, list[MigrateOperation]]]:
    """The operations, and what `drops` tables, of up to four migrations, each with what it says after the
    message.

    Before all, indexes of what becomes unique, which others may refer to then. Then what holds for new rows
    at once. Then the rows that are there are read and indexes are built, which commits what stands before it.
    At last columns that were new become unique.
    """
    whole = list(operations)
    new = {each.table_name for each in whole if isinstance(each, CreateTableOp)}
    validated: list[MigrateOperation] = []
    old_unique: list[CreateUniqueConstraintOp] = []
    new_unique: list[CreateUniqueConstraintOp] = []
    for each in whole:
        if not isinstance(each, ModifyTableOps) or each.table_name in new:
            continue
        columns = {part.column.name for part in each.ops if isinstance(part, AddColumnOp)}
        for part in each.ops:
            if isinstance(part, CreateCheckConstraintOp | CreateForeignKeyOp):
                part.kw["postgresql_not_valid"] = True
                validated.append(ValidateOp(part))
            elif isinstance(part, CreateUniqueConstraintOp):
                (old_unique if columns.isdisjoint(part.columns) else new_unique).append(part)
        each.ops = [part for part in each.ops if not isinstance(part, CreateUniqueConstraintOp)]
    ordered = made_concurrently(whole, drops)
    indexes = [each for each in ordered if isinstance(each, ConcurrentIndexOp) and not each.needed]
    built = {each.inner.index_name for each in indexes if isinstance(each.inner, CreateIndexOp)}
    later = [
        each for each in indexes if each.inner.index_name in built
    ]  # a drop, where it is another index now
    at_once = [*map(UniqueByIndexOp, old_unique), *(each for each in ordered if each not in later)]
    beside = [*validated, *later, *map(_index_of, new_unique)]
    if all(isinstance(each, ConcurrentIndexOp) for each in at_once):
        at_once, beside = [*at_once, *beside], []
    stages: list[tuple[str, list[MigrateOperation]]] = [
        (", index first", [*map(_index_of, old_unique)]),
        ("", at_once),
        (", for what is there", beside),
        (", as unique constraints", [*map(UniqueByIndexOp, new_unique)]),
    ]
    return [(label, each) for label, each in stages if each]
