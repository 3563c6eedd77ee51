"""Which migrations a database has, of those that this code knows and of others.

`alembic_version` names the newest revisions alone. What an unknown one of them implies only the code that has
it can say, so each release keeps the names of all that it applies, as a comment on that table's column
(docs/decisions/0036). A database of before says what its known revisions imply, and gets the comment at its
next `migrate`.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from alembic.runtime.migration import MigrationInfo
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, text

HEADS_AND_RECORD = (
    "SELECT version_num, col_description('alembic_version'::regclass, 1) AS record FROM alembic_version"
)
"""One row for each revision that the database names, each with the names of all that were applied."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a database is, as the code sees it that asks."""

    heads: frozenset[str]
    """What `alembic_version` names."""
    own: frozenset[str]
    """The revisions that this code has."""
    applied: frozenset[str]
    """The revisions that the database has; among them others than the code's own."""

    @property
    def missing(self) -> frozenset[str]:
        """What this code has and the database has not."""
        return self.own - self.applied

    @property
    def ahead(self) -> frozenset[str]:
        """What the database names and this code has not: a later release's, or another branch's."""
        return self.heads - self.own


def standing(heads: Iterable[str], record: str | None, scripts: Iterable[Script]) -> Standing:
    """What a database has that names these heads and has this record; without a record it may be None.

    Where the code knows all heads they say all, and the record counts for nothing: a release that keeps no
    record may have gone up or down since it was written.
    """
    named, known = frozenset(heads), {script.revision: script for script in scripts}
    recorded = frozenset() if named <= known.keys() else frozenset((record or "").split())
    return Standing(named, frozenset(known), frozenset(with_ancestors(named | recorded, known)))


def standing_on(connection: Connection, scripts: ScriptDirectory) -> Standing:
    """The same, asked of a database that has the version table."""
    rows = connection.execute(text(HEADS_AND_RECORD)).all()
    record = rows[0].record if rows else None
    return standing((row.version_num for row in rows), record, scripts.walk_revisions())


def with_ancestors(revisions: Iterable[str], known: Mapping[str, Script]) -> set[str]:
    """These revisions, and what they follow or depend on; one that is not known stands alone."""
    found, remaining = set[str](), list(revisions)
    while remaining:
        revision = remaining.pop()
        if revision not in found:
            found.add(revision)
            if revision in known:
                remaining += [*names(known[revision].down_revision), *names(known[revision].dependencies)]
    return found


def names(revisions: str | Iterable[str] | None) -> list[str]:
    """What Alembic gives as one name, as several or as none."""
    return [] if revisions is None else [revisions] if isinstance(revisions, str) else list(revisions)


def keep_record(connection: Connection, revisions: Collection[str]) -> None:
    """Writes what the database has, unless it says so already."""
    before = connection.execute(text("SELECT col_description('alembic_version'::regclass, 1)")).scalar_one()
    record = " ".join(sorted(revisions))
    if record != (before or ""):
        quoted = record.replace("'", "''")  # a comment takes no parameter
        connection.exec_driver_sql(f"COMMENT ON COLUMN alembic_version.version_num IS '{quoted}'")


def record_step(connection: Connection, step: MigrationInfo) -> None:
    """Keeps that a revision was applied or taken back, in the transaction in which it was."""
    before = connection.execute(text("SELECT col_description('alembic_version'::regclass, 1)")).scalar_one()
    recorded, changed = set((before or "").split()), set(step.up_revision_ids)
    keep_record(connection, recorded | changed if step.is_upgrade else recorded - changed)
