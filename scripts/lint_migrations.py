"""Holds migrations against the rule of docs/migrations.md: expand, migrate, contract; and hold no lock for long.

It reads the SQL that each `upgrade` runs, as `alembic upgrade --sql` writes it. What SQL means for those who
use a table is judged by squawk, the linter for PostgreSQL's migrations (https://squawkhq.com/docs/rules); here
stand the rules that it has not, which of its rules count, and the remedies. Tables that a migration makes
itself are free. Two variables of a migration's module allow what it means to do:

    contracts = "0.3.0: the column is not read since 0.2.0"   what clients of the table may rely on goes
    blocks = "signing_keys has a handful of rows"             a lock is held, and why not for long
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, override

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import Script

from adapters.postgres.kernel.migrating.applied import with_ancestors
from adapters.postgres.kernel.migrating.migrations import Migrations
from adapters.postgres.kernel.tables.schema import metadata

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "src/adapters/postgres/migrations"

# Older than the rule, and applied everywhere; a service's own stand in `before_the_rule.txt` of its line.
KERNEL_BEFORE: Final = frozenset(
    ("0001", "0002", "0003", "0004", "0008", "0009", "0010", "0011", "0012", "0013", "0014", "0015")
)

CONTRACTS, BLOCKS = "contracts", "blocks"
_CONTRACT = (
    "Stop using it in a release first; then say so in the migration of a later one: "
    f'{CONTRACTS} = "<release>: why nothing uses it".'
)
_INDEX = "with op.get_context().autocommit_block(): op.create_index(…, postgresql_concurrently=True)."
_VALIDATE = "Add it NOT VALID (postgresql_not_valid=True), and VALIDATE CONSTRAINT in a migration of its own."


@dataclass(frozen=True)
class Rule:
    """What may be allowed by which variable, what is wrong, and what to do instead."""

    allowed_by: str
    fault: str
    remedy: str


# By squawk's names; its other rules are matters of taste here, or hold by the migrator's session.
SQUAWK: Final = {
    "ban-drop-column": Rule(CONTRACTS, "drops a column that the running release may use", _CONTRACT),
    "ban-drop-table": Rule(CONTRACTS, "drops a table that the running release may use", _CONTRACT),
    "ban-drop-view": Rule(CONTRACTS, "drops a view that the running release may use", _CONTRACT),
    "ban-drop-schema": Rule(CONTRACTS, "drops a schema that the running release may use", _CONTRACT),
    "ban-drop-type": Rule(CONTRACTS, "drops a type that the running release may use", _CONTRACT),
    "ban-drop-default": Rule(CONTRACTS, "drops a default that the running release may rely on", _CONTRACT),
    "ban-set-schema": Rule(CONTRACTS, "moves what the running release may use", _CONTRACT),
    "renaming-column": Rule(
        CONTRACTS, "renames a column", "Add the new column, write both, fill it, read the new one, drop the old."
    ),
    "renaming-table": Rule(
        CONTRACTS, "renames a table", "Make the new table, write both, fill it, read the new one, drop the old."
    ),
    "adding-not-nullable-field": Rule(
        CONTRACTS, "sets NOT NULL, which the running release may not keep",
        "Write it always, fill what is NULL, add CHECK (… IS NOT NULL) NOT VALID and validate it; in the next "
        f'release SET NOT NULL, which then reads no row, with {CONTRACTS} = "<release>: since when it is written".',
    ),
    "adding-required-field": Rule(
        CONTRACTS, "adds a column NOT NULL without a default, which the running release does not write",
        "Give it a server_default, or add it nullable.",
    ),
    "adding-field-with-default": Rule(
        BLOCKS, "adds a column with a value for each row, so the whole table is written anew",
        "Add it nullable, set the default by a second statement, and fill the rows with `in_batches`.",
    ),
    "adding-foreign-key-constraint": Rule(BLOCKS, "adds a foreign key and reads the whole table", _VALIDATE),
    "constraint-missing-not-valid": Rule(BLOCKS, "adds or validates a constraint under a lock", _VALIDATE),
    "disallowed-unique-constraint": Rule(
        BLOCKS, "adds a unique constraint and builds its index under a lock",
        f"Build a unique index {_INDEX[:-1]}, then ADD CONSTRAINT … UNIQUE USING INDEX.",
    ),
    "adding-serial-primary-key-field": Rule(
        BLOCKS, "adds a primary key and builds its index under a lock",
        "Build a unique index CONCURRENTLY, then ADD CONSTRAINT … PRIMARY KEY USING INDEX.",
    ),
    "changing-column-type": Rule(
        BLOCKS, "changes the type of a column, so the whole table is written anew, and clients read another type",
        "Add a column of the new type, write both, fill it, read the new one, drop the old.",
    ),
    "require-concurrent-index-creation": Rule(BLOCKS, "builds an index while nobody can write", _INDEX),
    "require-concurrent-index-deletion": Rule(
        BLOCKS, "drops an index under a lock on its table",
        "with op.get_context().autocommit_block(): op.drop_index(…, postgresql_concurrently=True).",
    ),
    "require-concurrent-reindex": Rule(BLOCKS, "rebuilds an index under a lock", "REINDEX … CONCURRENTLY."),
    "require-concurrent-partition-detach": Rule(BLOCKS, "detaches a partition under a lock", "DETACH … CONCURRENTLY."),
}  # fmt: skip

_REWRITE = "Nothing that writes a whole table anew belongs in a migration; use pg_repack, or a new table."
OWN: Final = (
    (r"UPDATE |DELETE FROM ", r" LIMIT ", "batch", Rule(
        BLOCKS, "changes rows of an existing table at once, and locks them until it ends",
        "Use `in_batches` of adapters.postgres.kernel.migrating.backfill, with a LIMIT.",
    )),
    (r"TRUNCATE ", None, "truncate", Rule(CONTRACTS, "empties a table that the running release uses", _CONTRACT)),
    (r"LOCK ", None, "lock-table", Rule(BLOCKS, "locks a table", "Leave it to the statement that needs it.")),
    (r"VACUUM .*\bFULL\b|CLUSTER |ALTER TABLE .* SET (UN)?LOGGED|ALTER TABLE .* SET (TABLESPACE|ACCESS METHOD)",
     None, "rewrite", Rule(BLOCKS, "writes a whole table anew under a lock", _REWRITE)),
    (r"ALTER TABLE .* ADD (COLUMN )?(IF NOT EXISTS )?\S+ (BIG|SMALL)?SERIAL\b", None, "add-serial",
     Rule(BLOCKS, "adds a column with a value for each row, so the whole table is written anew", _REWRITE)),
    (r"REFRESH MATERIALIZED VIEW (?!CONCURRENTLY)", None, "refresh",
     Rule(BLOCKS, "refreshes a view under a lock", "REFRESH MATERIALIZED VIEW CONCURRENTLY.")),
    (r"ALTER TABLE .* (DISABLE|ENABLE) (TRIGGER|RULE|ROW LEVEL)", None, "disable",
     Rule(CONTRACTS, "changes what holds for the running release", _CONTRACT)),
    (r"ALTER TYPE .* RENAME (VALUE|ATTRIBUTE|TO)|ALTER (MATERIALIZED )?VIEW .* RENAME|ALTER SEQUENCE .* RENAME",
     None, "rename", Rule(CONTRACTS, "renames what the running release may use", _CONTRACT)),
)  # fmt: skip

_NAME = r'((?:"[^"]+"|\w+)(?:\.(?:"[^"]+"|\w+))?)'
_MADE = re.compile(rf"CREATE (?:UNLOGGED |TEMP |TEMPORARY )?TABLE (?:IF NOT EXISTS )?{_NAME}", re.IGNORECASE)
_INDEX_MADE = re.compile(
    rf"CREATE (?:UNIQUE )?INDEX (?:IF NOT EXISTS )?{_NAME} ON (?:ONLY )?{_NAME}", re.IGNORECASE
)
_ON = re.compile(
    r"(?:ALTER TABLE (?:IF EXISTS )?(?:ONLY )?|UPDATE (?:ONLY )?|DELETE FROM (?:ONLY )?|TRUNCATE (?:TABLE )?(?:ONLY )?"
    r"|LOCK (?:TABLE )?(?:ONLY )?|DROP TABLE (?:IF EXISTS )?|DROP INDEX (?:CONCURRENTLY )?(?:IF EXISTS )?|CLUSTER "
    rf"|CREATE (?:UNIQUE )?INDEX (?:IF NOT EXISTS )?(?:{_NAME[1:-1]} )?ON (?:ONLY )?)({_NAME}(?:, ?{_NAME})*)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Finding:
    """What a migration does that it should not, or should say."""

    path: Path
    statement: str
    rule: str
    fault: str
    remedy: str

    @override
    def __str__(self) -> str:
        short = self.statement if len(self.statement) <= 120 else f"{self.statement[:120]} …"
        place = self.path.relative_to(ROOT) if self.path.is_relative_to(ROOT) else self.path
        return f"{place}: {self.fault} [{self.rule}]\n    {short}\n    {self.remedy}"


class Statements:
    """Takes what Alembic writes in its offline mode, a statement at a time."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def write(self, text: str) -> None:
        self.found += [sql for sql in (one.strip() for one in _split(text)) if sql]

    def flush(self) -> None:
        """Nothing is held back."""


_TOKEN = re.compile(
    r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|(\$\w*\$).*?\1|;|[^-/'\"$;]+|.", re.DOTALL
)


def _split(text: str) -> Iterator[str]:
    """The statements of a text, without comments."""
    current = ""
    for match in _TOKEN.finditer(text):
        if match[0] == ";":
            yield current
            current = ""
        elif not match[0].startswith(("--", "/*")):
            current += match[0]
    yield current


def _inside(statement: str) -> Iterator[str]:
    """A statement; and those in a DO block, also what it has EXECUTEd from a text."""
    yield statement
    if re.match(r"DO\b", statement, re.IGNORECASE):
        body = re.search(r"(\$\w*\$)(.*)\1", statement, re.DOTALL)
        for part in _split(body[2]) if body else ():
            plain = re.split(r"\b(?:BEGIN|THEN|ELSE|LOOP|EXECUTE)\b", part, flags=re.IGNORECASE)[-1].strip()
            if re.fullmatch(r"'.*'", plain, re.DOTALL):
                yield plain[1:-1].replace("''", "'")
            elif not re.match(r"END\b|$", plain, re.IGNORECASE):
                yield plain


def _plain(statement: str) -> str:
    """A statement in one line, with its texts left out."""
    kept = (match[0] if match[0][0] not in "'$" else "''" for match in _TOKEN.finditer(statement))
    return " ".join("".join(kept).split())


def statements_of(script: Script) -> list[str]:
    """The SQL of `upgrade`; COMMIT and BEGIN are the ends of an autocommit block."""
    written = Statements()
    context = MigrationContext.configure(
        dialect_name="postgresql+asyncpg",
        opts={"as_sql": True, "output_buffer": written, "target_metadata": metadata},
    )
    with Operations.context(context):
        script.module.upgrade()
    return [inner for statement in written.found for inner in _inside(statement)]


def _names(listed: str) -> set[str]:
    return {name.strip().rpartition(".")[2].strip('"').lower() for name in listed.split(",")}


def _on_existing(statements: Iterable[str]) -> list[str]:
    """Those that are not about what they have made themselves."""
    made, left = set[str](), list[str]()
    for statement in statements:
        plain = _plain(statement)
        if table := _MADE.match(plain):
            made |= _names(table[1])
        on = _ON.match(plain)
        if on and _names(on[1]) <= made:
            if index := _INDEX_MADE.match(plain):
                made |= _names(index[1])
        elif not table:
            left.append(statement)
    return left


def _squawk(files: dict[Path, list[str]]) -> Iterator[tuple[Path, str, str]]:
    """Which statement of which migration breaks which of squawk's rules."""
    program = Path(sys.executable).with_name("squawk")
    with tempfile.TemporaryDirectory() as folder:
        lines: dict[str, list[tuple[Path, str]]] = {}
        for number, (path, statements) in enumerate(files.items()):
            file = Path(folder) / f"{number}.sql"
            one_each = [" ".join(statement.split()) for statement in statements]
            file.write_text("".join(f"{statement};\n" for statement in one_each))
            lines[str(file)] = [(path, statement) for statement in one_each]
        done = subprocess.run(
            [program, "--reporter=json", "--assume-in-transaction", "--pg-version=14", "--config=/dev/null", *lines],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
    if done.returncode not in {0, 1} or not done.stdout.strip().startswith("["):
        sys.exit(f"squawk does not run: {done.stderr.strip() or done.stdout.strip()}")
    for each in json.loads(done.stdout):
        path, statement = lines[each["file"]][each["line"]]
        yield path, statement, each["rule_name"]


_IN_TRANSACTION = Rule(BLOCKS, "works CONCURRENTLY, which no transaction can", _INDEX)


def _broken(statements: list[str], squawked: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str, Rule]]:
    for statement, name in squawked:
        if squawks := SQUAWK.get(name):
            yield statement, name, squawks
    transaction = True
    for statement in statements:
        plain = _plain(statement)
        transaction = plain == "BEGIN" or (transaction and plain != "COMMIT")
        if transaction and re.match(r"(CREATE|DROP|REINDEX)\b.* CONCURRENTLY ", plain, re.IGNORECASE):
            yield plain, "concurrently-in-transaction", _IN_TRANSACTION
        for pattern, unless, name, rule in OWN:
            bounded = unless is not None and re.search(unless, plain, re.IGNORECASE)
            if re.match(pattern, plain, re.IGNORECASE) and not bounded:
                yield plain, name, rule


def _said(script: Script, variable: str) -> str:
    return str(getattr(script.module, variable, "") or "").strip()


def _wrong_marker(script: Script, released: frozenset[str]) -> str | None:
    """What is wrong with what a migration says of itself."""
    for variable in (CONTRACTS, BLOCKS):
        if hasattr(script.module, variable) and len(_said(script, variable).split()) < 2:
            return f"`{variable}` is empty: say why."
    if said := _said(script, CONTRACTS):
        named = re.findall(r"\d+(?:\.\d+)+", said)
        if not named:
            return f'`{CONTRACTS}` names no release: "0.3.0: the column is not read since 0.2.0".'
        if released and released.isdisjoint(named):
            return f"`{CONTRACTS}` names {' and '.join(named)}, and none of them has been released (no such tag)."
    return None


def _released() -> frozenset[str]:
    """The releases by their tags; empty where none is known, as in a shallow clone."""
    tags = subprocess.run(["git", "tag", "--list"], cwd=ROOT, check=False, capture_output=True, text=True)
    return frozenset(tag.removeprefix("v") for tag in tags.stdout.split())


def _had_check(statement: str, before: str) -> bool:
    """Whether a CHECK has been validated that says what a SET NOT NULL says, which then reads no row."""
    found = re.search(r'ALTER COLUMN "?(\w+)"? SET NOT NULL', statement, re.IGNORECASE)
    check = rf'CHECK \(+"?{found[1]}"? IS NOT NULL\)' if found else r"(?!)"
    return bool(
        re.search(check, before, re.IGNORECASE) and re.search("VALIDATE CONSTRAINT", before, re.IGNORECASE)
    )


def lint(
    migrations: Migrations, *, before_the_rule: frozenset[str], released: frozenset[str]
) -> list[Finding]:
    """What the migrations do against the rule, but for those of before."""
    scripts = {script.revision: script for script in migrations.scripts()}
    found, sql, left = list[Finding](), dict[str, list[str]](), dict[Path, list[str]]()
    for revision, script in scripts.items():
        try:
            sql[revision] = statements_of(script)
        except Exception as error:  # noqa: BLE001 (whatever a migration does that needs a database)
            sql[revision] = []
            if revision not in before_the_rule and not _said(script, BLOCKS):
                found.append(
                    Finding(
                        Path(script.path), f"{type(error).__name__}: {error}", "offline",
                        "cannot be read without a database",
                        "Use op.execute and `in_batches` instead of op.get_bind(), or say "
                        f'{BLOCKS} = "why it is short".',
                    )
                )  # fmt: skip
    looked_at = {Path(scripts[each].path): scripts[each] for each in scripts if each not in before_the_rule}
    left = {path: _on_existing(sql[script.revision]) for path, script in looked_at.items()}
    squawked: dict[Path, list[tuple[str, str]]] = {path: [] for path in left}
    for path, statement, name in _squawk(left) if left else ():
        squawked[path].append((statement, name))
    for path, script in looked_at.items():
        if wrong := _wrong_marker(script, released):
            found.append(Finding(path, "", "marker", wrong, "See docs/migrations.md."))
        ancestors = with_ancestors([script.revision], scripts) - {script.revision}
        before = "\n".join(_plain(statement) for each in ancestors for statement in sql[each])
        for statement, name, rule in dict.fromkeys(_broken(left[path], squawked[path])):
            if not _said(script, rule.allowed_by):
                found.append(Finding(path, statement, name, rule.fault, rule.remedy))
            elif name == "adding-not-nullable-field" and not (
                _had_check(statement, before) or _said(script, BLOCKS)
            ):
                found.append(
                    Finding(
                        path,
                        statement,
                        name,
                        "sets NOT NULL and reads the whole table under a lock",
                        rule.remedy,
                    )
                )
    return found


def main() -> None:
    files = FOLDER.glob("*/before_the_rule.txt")
    own = (line.partition("#")[0].strip() for file in files for line in file.read_text().splitlines())
    before = KERNEL_BEFORE | {revision for revision in own if revision}
    found = lint(Migrations(""), before_the_rule=before, released=_released())
    if found:
        sys.exit(
            "\n".join(map(str, found))
            + f"\n{len(found)} found. The rule and its examples: docs/migrations.md"
        )
    print("The migrations keep to expand, migrate, contract.")


if __name__ == "__main__":
    main()
