"""The linter over migrations: what holds up or breaks the running release is named, what does not passes."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from adapters.postgres.kernel.migrating.migrations import Migrations

SCRIPT = Path(__file__).parents[4] / "scripts" / "lint_migrations.py"


@pytest.fixture(scope="session")
def linter() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lint_migrations", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


MODULE = """
import sqlalchemy as sa
from alembic import op
from adapters.postgres.kernel.migrating.backfill import in_batches

revision, down_revision, branch_labels, depends_on = {revision!r}, {before!r}, {labels!r}, None
{said}

def upgrade():
{body}
"""


class Lines:
    """Two empty lines to write migrations into."""

    def __init__(self, folder: Path) -> None:
        self.folders = {line: folder / line for line in ("kernel", "app")}
        for each in self.folders.values():
            each.mkdir()
        self._last: str | None = None

    def add(self, body: str, said: str = "") -> str:
        revision = f"{1 if self._last is None else int(self._last) + 1:04}"
        lines = "\n".join(f"    {line}" for line in body.strip("\n").splitlines())
        text = MODULE.format(
            revision=revision,
            before=self._last,
            labels=None if self._last else ("kernel",),
            said=said,
            body=lines,
        )
        (self.folders["kernel"] / f"{revision}_by_hand.py").write_text(text)
        self._last = revision
        return revision


@pytest.fixture
def lines(tmp_path: Path) -> Lines:
    return Lines(tmp_path)


def found(
    linter: ModuleType,
    lines: Lines,
    *,
    released: frozenset[str] = frozenset(),
    before: frozenset[str] = frozenset(),
) -> set[str]:
    findings = linter.lint(Migrations("", lines=lines.folders), before_the_rule=before, released=released)
    assert all(finding.remedy for finding in findings)
    return {finding.rule for finding in findings}


CONTRACTS = {
    'op.drop_column("users", "x")': "ban-drop-column",
    'op.execute("alter table only users drop column if exists x")': "ban-drop-column",
    'op.execute("ALTER /* all of it */ TABLE users\\n  DROP x")': "ban-drop-column",
    'op.execute("DO $$ BEGIN IF true THEN ALTER TABLE users DROP COLUMN x; END IF; END $$")': "ban-drop-column",
    "op.execute(\"DO $$ BEGIN EXECUTE 'ALTER TABLE users DROP COLUMN x'; END $$\")": "ban-drop-column",
    'op.drop_table("users")': "ban-drop-table",
    'op.rename_table("users", "people")': "renaming-table",
    'op.alter_column("users", "x", new_column_name="y")': "renaming-column",
    'op.alter_column("users", "x", nullable=False)': "adding-not-nullable-field",
    'op.execute("ALTER TABLE users ALTER x SET NOT NULL")': "adding-not-nullable-field",
    'op.add_column("users", sa.Column("x", sa.Text(), nullable=False))': "adding-required-field",
    'op.alter_column("users", "x", server_default=None)': "ban-drop-default",
    'op.execute("TRUNCATE TABLE users")': "truncate",
    'op.execute("DROP VIEW people")': "ban-drop-view",
    'op.execute("ALTER TABLE users SET SCHEMA old")': "ban-set-schema",
    "op.execute(\"ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'\")": "rename",
}

BLOCKS = {
    'op.create_index("ix_users_x", "users", ["x"])': "require-concurrent-index-creation",
    'op.execute("CREATE UNIQUE INDEX ON public.users (x)")': "require-concurrent-index-creation",
    'op.create_index("ix_users_x", "users", ["x"], postgresql_concurrently=True)': (
        "concurrently-in-transaction"
    ),
    'op.drop_index("ix_users_x", "users")': "require-concurrent-index-deletion",
    'op.execute("REINDEX TABLE users")': "require-concurrent-reindex",
    'op.create_check_constraint("ck_users_x", "users", "x > 0")': "constraint-missing-not-valid",
    'op.create_foreign_key("fk_x", "users", "workspaces", ["x"], ["id"])': "adding-foreign-key-constraint",
    'op.add_column("users", sa.Column("x", sa.Uuid(), sa.ForeignKey("workspaces.id")))': (
        "adding-foreign-key-constraint"
    ),
    'op.create_unique_constraint("uq_users_x", "users", ["x"])': "disallowed-unique-constraint",
    'op.create_primary_key("pk_users", "users", ["x"])': "adding-serial-primary-key-field",
    'op.alter_column("users", "x", type_=sa.BigInteger())': "changing-column-type",
    'op.add_column("users", sa.Column("x", sa.Uuid(), server_default=sa.text("gen_random_uuid()")))': (
        "adding-field-with-default"
    ),
    'op.add_column("users", sa.Column("x", sa.Text(), sa.Computed("a || b")))': "adding-field-with-default",
    'op.execute("ALTER TABLE users ADD COLUMN x bigserial")': "add-serial",
    "op.execute(\"UPDATE users SET x = 'LIMIT 5'\")": "batch",
    'op.execute(sa.table("users").delete())': "batch",
    'op.execute("LOCK TABLE users IN EXCLUSIVE MODE")': "lock-table",
    'op.execute("VACUUM (FULL) users")': "rewrite",
    'op.execute("CLUSTER users USING ix")': "rewrite",
    'op.execute("ALTER TABLE users SET UNLOGGED")': "rewrite",
    'op.execute("REFRESH MATERIALIZED VIEW people")': "refresh",
    'op.get_bind().execute(sa.text("SELECT 1")).scalar_one()': "offline",
}


@pytest.mark.parametrize(("body", "rule"), CONTRACTS.items(), ids=CONTRACTS)
def test_what_breaks_the_running_release_is_named_and_allowed_once_nothing_uses_it(
    linter: ModuleType, lines: Lines, body: str, rule: str
) -> None:
    lines.add(body)
    lines.add(body, 'blocks = "the table has ten rows"')
    assert found(linter, lines) == {rule}
    assert found(linter, lines, before=frozenset({"0001", "0002"})) == set()
    lines.add(body, 'contracts = "0.3.0: not used since 0.2.0"; blocks = "the table has ten rows"')
    assert found(linter, lines, before=frozenset({"0001", "0002"})) == set()


@pytest.mark.parametrize(("body", "rule"), BLOCKS.items(), ids=BLOCKS)
def test_what_holds_a_lock_for_long_is_named_and_allowed_with_a_reason(
    linter: ModuleType, lines: Lines, body: str, rule: str
) -> None:
    lines.add(body)
    lines.add(body, 'contracts = "0.3.0: not used since 0.2.0"')
    assert rule in found(linter, lines)
    lines.add(body, 'blocks = "the table has ten rows"')
    assert found(linter, lines, before=frozenset({"0001", "0002"})) == set()


FREE = {
    "a table with all that belongs to it": """
op.create_table(
    "looms",
    sa.Column("id", sa.Uuid(), primary_key=True),
    sa.Column("user_id", sa.Uuid(), sa.ForeignKey("users.id"), nullable=False),
    sa.Column("made", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
)
op.create_index("ix_looms_user_id", "looms", ["user_id"])
op.create_index("ix_looms_search", "looms", [sa.text("to_tsvector('simple', 'a')")], postgresql_using="gin")
op.create_unique_constraint("uq_looms_made", "looms", ["made"])
op.create_foreign_key("fk_looms_made", "looms", "looms", ["id"], ["id"])
op.execute("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM users; END $$")
op.execute("CREATE TRIGGER t BEFORE UPDATE ON looms FOR EACH ROW EXECUTE FUNCTION f()")
op.execute("INSERT INTO looms (id, user_id) SELECT id, id FROM users")
op.execute("UPDATE looms SET made = now()")
op.drop_index("ix_looms_user_id", "looms")
""",
    "a column that may be null, and one with a constant": """
op.add_column("users", sa.Column("x", sa.Text(), nullable=True))
op.add_column("users", sa.Column("y", sa.Text(), server_default="DROP TABLE users; --", nullable=False))
op.add_column("users", sa.Column("z", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False))
""",
    "an index built beside the traffic, and one dropped so": """
with op.get_context().autocommit_block():
    op.create_index("ix_users_x", "users", ["x"], postgresql_concurrently=True, unique=True)
    op.drop_index("ix_users_y", "users", postgresql_concurrently=True)
op.execute("ALTER TABLE users ADD CONSTRAINT uq_users_x UNIQUE USING INDEX ix_users_x")
""",
    "a constraint for what comes": """
op.create_check_constraint("ck_users_x", "users", "x > 0", postgresql_not_valid=True)
op.create_foreign_key("fk_x", "users", "workspaces", ["x"], ["id"], postgresql_not_valid=True)
""",
    "a constraint that is validated": 'op.execute("ALTER TABLE users VALIDATE CONSTRAINT ck_users_x")',
    "rows in batches": """
in_batches("UPDATE users SET x = '' WHERE id IN (SELECT id FROM users WHERE x IS NULL LIMIT 1000)")
""",
    "less than before": """
op.drop_constraint("ck_users_x", "users", type_="check")
op.alter_column("users", "x", nullable=True)
""",
}


@pytest.mark.parametrize("body", FREE.values(), ids=FREE)
def test_what_nobody_notices_needs_no_word(linter: ModuleType, lines: Lines, body: str) -> None:
    lines.add(body)
    assert found(linter, lines) == set()


def test_not_null_is_set_once_a_validated_check_says_the_same(linter: ModuleType, lines: Lines) -> None:
    said = 'contracts = "0.3.0: always written since 0.2.0"'
    lines.add('op.alter_column("users", "x", nullable=False)', said)
    assert found(linter, lines) == {"adding-not-nullable-field"}
    lines.add('op.create_check_constraint("ck_x", "users", "x IS NOT NULL", postgresql_not_valid=True)')
    lines.add('op.execute("ALTER TABLE users VALIDATE CONSTRAINT ck_x")')
    lines.add('op.alter_column("users", "x", nullable=False)', said)
    assert found(linter, lines, before=frozenset({"0001"})) == set()


@pytest.mark.parametrize(
    "said", ['""', '"   "', "None", '"because we want it"', '"0.9.0: not used any more"']
)
def test_a_marker_says_why_and_names_a_release_that_there_was(
    linter: ModuleType, lines: Lines, said: str
) -> None:
    lines.add('op.drop_column("users", "x")', f"contracts = {said}")
    assert "marker" in found(linter, lines, released=frozenset({"0.2.0", "0.3.0"}))


def test_those_that_there_are_keep_to_the_rule_or_are_older(linter: ModuleType) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(SCRIPT)])
        linter.main()
