"""Takes resources out again: `make resource-remove name=invoice`, and the example, `make example-remove`.

The files go, and in the files that stay whatever uses them goes: a field of a class, an entry of a list or a
dictionary, a function. What else uses them is somebody's own work, and is told instead of guessed at.
"""

import argparse
import ast
import re
import sys
import tempfile
import tomllib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from builder.__main__ import Copy, ensure_clean, git
from builder.references import forget
from builder.spec import Refused

EXAMPLE = ("tasks", "comments", "notifications", "dashboard", "notes")

OF_A_RESOURCE = (
    "src/domain/{}.py",
    "src/application/commands/{}.py",
    "src/application/queries/{}.py",
    "src/adapters/postgres/{}.py",
    "src/entrypoints/http/v1/{}.py",
    "tests/resources/{}.py",
    "tests/domain/test_{}.py",
    "tests/application/test_{}.py",
    "tests/adapters/postgres/test_{}.py",
    "tests/contracts/test_{}.py",
    "tests/entrypoints/http/v1/test_{}.py",
)
LISTS = (
    "src/application/permissions.py",
    "src/application/queries/__init__.py",
    "src/application/unit_of_work.py",
    "src/application/exports.py",
    "src/application/reactions.py",
    "src/application/audit.py",
    "src/entrypoints/worker.py",
    "tests/application/test_permissions.py",
)

# What the example has beside the modules of its resources.
ALSO_THE_EXAMPLE_S = (
    "bench/example.py",
    "clients/typescript/test/example.test.ts",
    "clients/typescript/test/example.types.ts",
    "tests/adapters/postgres/test_admission.py",
    "tests/adapters/postgres/test_exports.py",
    "tests/application/test_reactions.py",
    "tests/entrypoints/test_seed.py",
    "tests/entrypoints/test_worker.py",
    "tests/test_generated.py",
)
WITHOUT_THE_EXAMPLE = {
    "src/entrypoints/seed.py": '''\
"""This service's part of the demo data."""

from application.unit_of_work import UnitOfWork
from entrypoints.kernel.seed import Demo


async def fill(uow: UnitOfWork, demo: Demo) -> None:
    """Nothing yet."""
''',
    "tests/entrypoints/http/conftest.py": '''\
"""What the tests over HTTP share."""

from kernel.world.http import *  # noqa: F403 (fixtures, which pytest finds here)
''',
}


INTRODUCED = re.compile(r"(?m)^The example inside is .*\n")
"""The sentence of the README that lists what the example has."""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make resource-remove, make example-remove")
    parser.add_argument("--name", default="")
    parser.add_argument("--since", default="")
    parser.add_argument("--example", action="store_true")
    parser.add_argument("--dry", action="store_true")
    options = parser.parse_args(arguments)
    root = Path.cwd()
    try:
        plurals = EXAMPLE if options.example else (plural(options.name, root),)
        ensure_clean(root)
        why = "" if options.example else reason(plurals[0], options.since, root)
        with tempfile.TemporaryDirectory(prefix="removal-") as folder:
            copy = Copy(root, Path(folder) / "copy")
            remove(plurals, copy, example=options.example, why=why)
            patch, files = copy.patch(), copy.changed()
        print(*(f"  {file}" for file in files), sep="\n")
        if options.dry:
            print("Nothing was changed: leave DRY=1 out to do it.")
            return 0
        git("apply", "--whitespace=nowarn", "-", cwd=root, text=patch)
    except Refused as refused:
        print(refused)
        return 2
    print("They are gone. Look at the migration, then: make check test-app client")
    print("Undo: git restore . && git clean -fdq src tests openapi clients")
    return 0


def plural(name: str, root: Path, *, how: str = "make resource-remove name=invoice") -> str:
    """How the resource's modules are called; raises `Refused`, which shows `how` to name one."""
    if not name:
        raise Refused(f"Say which: {how}")
    for path in sorted((root / "src/domain").glob("*.py")):
        entity = "".join(word.capitalize() for word in name.split("_"))
        if path.stem == name or re.search(rf"(?m)^class {entity}\(Aggregate\)", path.read_text("utf-8")):
            return path.stem
    there = sorted(path.stem for path in (root / "src/entrypoints/http/v1").glob("[!_]*.py"))
    raise Refused(f"There is no resource {name}. There is: {', '.join(there) or 'none'}.")


def reason(plural: str, since: str, root: Path) -> str:
    """Why its table may go (docs/migrations.md); empty where no release has had it. Raises `Refused`."""
    if since:
        return f"{since}: nothing uses it since then"
    if not (tags := git("tag", "--list", "--sort=-version:refname", cwd=root).split()):
        release = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["version"]
        return f"{release}: it does not use what is dropped"
    module = f"src/adapters/postgres/{plural}.py"
    for tag in tags:
        if git("ls-tree", "--name-only", tag, "--", module, cwd=root):
            raise Refused(
                f"{tag} has {plural}, and while the next release is rolled out its servers would ask for a "
                "table that is gone. Take the routes out in one release, and the rest in the one after, with "
                f"the first one's number: make resource-remove name={plural} SINCE=1.3.0"
            )
    return ""


def remove(plurals: Collection[str], copy: Copy, *, example: bool, why: str = "") -> None:
    """Takes them out of the copy; raises `Refused`."""
    gone = {name.format(plural) for plural in plurals for name in OF_A_RESOURCE}
    gone |= set(ALSO_THE_EXAMPLE_S) if example else set()
    changed = dict(WITHOUT_THE_EXAMPLE) if example else {}
    readme = copy.folder / "README.md"
    if example and readme.exists():
        changed["README.md"] = INTRODUCED.sub("", readme.read_text("utf-8"))
    dead = Dead(modules=modules_of(plurals), collections={*plurals}, permissions={*plurals})
    for name in LISTS:
        path = copy.folder / name
        if path.exists():
            before = path.read_text("utf-8")
            changed[name] = without(before, name, dead)
            if name.endswith("/reactions.py"):
                dead.reactions.update(_functions(before) - _functions(changed[name]))
    suite = "tests/application/test_permissions.py"
    if re.search(r"LEAST = \{\s*\}", changed.get(suite, "")):  # there is nothing left to test
        del changed[suite]
        gone.add(suite)
    for name in sorted(gone):
        if (copy.folder / name).exists():
            git("rm", "-r", "--quiet", name, cwd=copy.folder)
    for name, text in changed.items():
        copy.write(name, text)
    for each in plurals:
        forget(each, copy.folder)
    ensure_nothing_uses(dead.modules, copy.folder)
    copy.tidy()
    for name in git("diff", "--name-only", "--diff-filter=M", "HEAD", "--", "*.py", cwd=copy.folder).split():
        before = git("show", f"HEAD:{name}", cwd=copy.folder)
        copy.write(name, joined((copy.folder / name).read_text("utf-8"), before))
    write_migration(plurals, copy, example=example, why=why)
    copy.tidy()
    copy.run(".venv/bin/python", "scripts/lint_migrations.py")
    copy.make("openapi", "BREAKING=allowed")


def modules_of(plurals: Collection[str]) -> set[str]:
    rings = ("domain", "application.commands", "application.queries", "adapters.postgres", "resources")
    return {f"{ring}.{plural}" for ring in (*rings, "entrypoints.http.v1") for plural in plurals}


def ensure_nothing_uses(modules: Collection[str], root: Path) -> None:
    for path in sorted([*(root / "src").rglob("*.py"), *(root / "tests").rglob("*.py")]):
        for each in ast.walk(ast.parse(path.read_text("utf-8"))):
            match each:
                case ast.ImportFrom():
                    named = [each.module or "", *(f"{each.module}.{alias.name}" for alias in each.names)]
                case ast.Import():
                    named = [alias.name for alias in each.names]
                case _:
                    continue
            if used := sorted({*named} & {*modules}):
                place = f"{path.relative_to(root)}:{each.lineno}"
                raise Refused(f"{place} uses {used[0]}, and only you know what for: take that out first.")


# ── what uses what is gone ───────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Dead:
    """What is no longer there: modules, collections of the unit of work, prefixes of permissions, and the
    reactions that were found to use one of them."""

    modules: set[str]
    collections: set[str]
    permissions: set[str]
    reactions: set[str] = field(default_factory=set)


def without(text: str, name: str, dead: Dead) -> str:
    """The text of a module without what uses what is dead, as often as something new dies of it."""
    names: set[str] = set()
    while True:
        try:
            module = ast.parse(text)
        except SyntaxError as error:
            raise Refused(f"{name} cannot be read: {error.msg} in line {error.lineno}.") from None
        for each in module.body:
            if isinstance(each, ast.ImportFrom) and each.module in dead.modules:
                names |= {alias.asname or alias.name for alias in each.names}
            if isinstance(each, ast.ImportFrom) and each.module == "application.permissions":
                words = "|".join(re.escape(word.upper()) for word in sorted(dead.permissions))
                names |= {alias.name for alias in each.names if re.search(rf"_({words})$", alias.name)}
            if isinstance(each, ast.ImportFrom) and each.module == "application.reactions":
                names |= {alias.name for alias in each.names} & dead.reactions
        found = next(_spans(module, names, dead), None)
        if found is None:
            return text
        text = _cut(text, *found)


def joined(text: str, before: str) -> str:
    """The text, in which imports and decorators that are shorter than before may stand on one line again.

    A comma at their end has the formatter break them, and it had put one there when they were too long.
    """
    known = {ast.unparse(each) for each in _breakable(before)}
    for each in reversed([each for each in _breakable(text) if ast.unparse(each) not in known]):
        lines = text.encode().splitlines(keepends=True)
        at, end = each.end_lineno or 0, each.end_col_offset or 0
        whole, rest = b"".join([*lines[: at - 1], lines[at - 1][:end]]), lines[at - 1][end:]
        text = b"".join([re.sub(rb",\s*\)$", b")", whole), rest, *lines[at:]]).decode()
    return text


def _breakable(text: str) -> list[ast.ImportFrom | ast.expr]:
    found: list[ast.ImportFrom | ast.expr] = []
    for each in ast.parse(text).body:
        if isinstance(each, ast.ImportFrom):
            found.append(each)
        elif isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found += each.decorator_list
    return found


def _functions(text: str) -> set[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {each.name for each in ast.parse(text).body if isinstance(each, kinds)}


def _is_dead(node: ast.AST, names: set[str], dead: Dead) -> bool:
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and each.id in names:
            return True
        if (
            isinstance(each, ast.Attribute)
            and each.attr in dead.collections
            and isinstance(each.value, ast.Name)
            and each.value.id in {"uow", "ask"}
        ):
            return True
    return False


type Span = tuple[tuple[int, int], tuple[int, int], bool]
"""From (line, byte) to (line, byte), and whether it is an element, behind which a comma stands."""


def _span(
    first: ast.stmt | ast.expr, last: ast.stmt | ast.expr | None = None, *, element: bool = False
) -> Span:
    last = last or first
    decorators = getattr(first, "decorator_list", [])
    start = min((each.lineno, each.col_offset - 1) for each in decorators) if decorators else None
    end = (last.end_lineno or last.lineno, last.end_col_offset or 0)
    return start or (first.lineno, first.col_offset), end, element


def _spans(module: ast.Module, names: set[str], dead: Dead) -> Iterator[Span]:
    """What to cut out; names that die with it are added to `names`."""
    for each in module.body:
        match each:
            case ast.ImportFrom() if each.module in dead.modules:
                yield _span(each)
            case ast.ClassDef():
                if any(_is_dead(base, names, dead) for base in each.bases):
                    names.add(each.name)
                    yield _span(each)
                dying = [part for part in each.body if _is_dead(part, names, dead)]
                if dying == each.body:  # a class without a body is none
                    names.add(each.name)
                    yield _span(each)
                yield from map(_span, dying)
            case ast.FunctionDef() | ast.AsyncFunctionDef() if _is_dead(each, names, dead):
                names.add(each.name)
                yield _span(each)
            case ast.Assign() | ast.AnnAssign() if each.value is not None:
                yield from _of_assignment(each, each.value, names, dead)
            case _:
                pass


def _of_assignment(
    each: ast.Assign | ast.AnnAssign, value: ast.expr, names: set[str], dead: Dead
) -> Iterator[Span]:
    if isinstance(value, ast.List):
        yield from (_span(part, element=True) for part in value.elts if _is_dead(part, names, dead))
    elif isinstance(value, ast.Dict):
        for key, part in zip(value.keys, value.values, strict=True):
            if key is not None and (_is_dead(key, names, dead) or _is_dead(part, names, dead)):
                yield _span(key, part, element=True)
    elif _is_permission(value, dead) or _is_dead(value, names, dead):
        target = each.targets[0] if isinstance(each, ast.Assign) else each.target
        if isinstance(target, ast.Name):
            names.add(target.id)
        yield _span(each)


def _is_permission(value: ast.expr, dead: Dead) -> bool:
    """`Permission("invoices:write", MEMBERS)`."""
    match value:
        case ast.Call(args=[ast.Constant(value=str(word)), *_]):
            return word.partition(":")[0] in dead.permissions
    return False


def _cut(text: str, start: tuple[int, int], end: tuple[int, int], element: bool) -> str:
    """The text without the span; of an element without the comma behind it, too."""
    lines = text.encode().splitlines(keepends=True)
    before = b"".join([*lines[: start[0] - 1], lines[start[0] - 1][: start[1]]])
    after = b"".join([lines[end[0] - 1][end[1] :], *lines[end[0] :]])
    if element:
        after = re.sub(rb"^\s*,[ \t]*", b"", after, count=1)
        if after.lstrip().startswith((b"]", b"}")):
            before = re.sub(rb",[ \t]*$", b"", before)
    after = (
        re.sub(rb"^[ \t]*(#[^\n]*)?\n", b"", after, count=1) if before.strip(b" ")[-1:] == b"\n" else after
    )
    return (before.rstrip(b" ") + after).decode()


# ── the migration ────────────────────────────────────────────────────────────────────────────────

_UNDONE = '''\
"""Drop what the example had."""

from collections.abc import Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

from alembic import op

revision: str = "{revision}"
down_revision: str | None = "{before}"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = "{kernel}"

_MADE = (
{made})


def _migration(name: str) -> ModuleType:
    loader = SourceFileLoader(name, str(Path(__file__).with_name(f"{{name}}.py")))
    module = ModuleType(name)
    loader.exec_module(module)
    return module


def upgrade() -> None:
    for table in ("notes", "notifications", "comments", "tasks"):
        op.drop_table(table)
    op.execute("DROP FUNCTION tasks_raise_version")


def downgrade() -> None:
    for name in _MADE:
        _migration(name).upgrade()
'''


def write_migration(plurals: Collection[str], copy: Copy, *, example: bool, why: str) -> None:
    """Drops the tables. The example's way back is its own migrations; others', what Alembic finds."""
    folder = copy.folder / "src/adapters/postgres/migrations/app"
    label = "remove the example" if example else f"remove {' '.join(plurals).replace('_', ' ')}"
    known = {path.name for path in folder.glob("*.py")}
    cli = ".venv/bin/python -m entrypoints.cli"
    # Not by make: it holds what is not finished yet against the rules, which `make check` does when it is.
    copy.run(
        ".venv/bin/python", "-m", "entrypoints.embedded", "--", "sh", "-c",
        f"{cli} migrate && {cli} migration '{label}'",
    )  # fmt: skip
    (written,) = [path for path in folder.glob("*.py") if path.name not in known]
    text = re.sub(r"(?m)^ *# ###.*\n", "", written.read_text("utf-8"))
    found = dict(re.findall(r'(?m)^(revision|down_revision|depends_on): .* = "(\w+)"', text))
    if not why:
        with (folder / "before_the_rule.txt").open("a", encoding="utf-8") as before_the_rule:
            before_the_rule.write(
                f"{found['revision']}  # no release of this service has had what it drops\n"
            )
    if example:
        made = example_s_migrations(folder, known)
        text = _UNDONE.format(
            revision=found["revision"],
            before=found["down_revision"],
            kernel=found["depends_on"],
            made="".join(f'    "{name}",\n' for name in made),
        )
    else:
        before, _, after = text.partition("\n\n\ndef downgrade")
        before = re.sub(
            r"(?m)^    op\.drop_index\((?:[^()]|\([^()]*\))*\)\n", "", before
        )  # they go with their table
        if why:
            before = before.replace("\n\n\ndef upgrade", f'\ncontracts = "{why}"\n\n\ndef upgrade', 1)
        text = f"{before}\n\n\ndef downgrade{after}"
    written.write_text(text, "utf-8")


def example_s_migrations(folder: Path, known: Collection[str]) -> list[str]:
    """In the order in which they are applied; raises `Refused` where a service's own came before."""
    after: dict[str | None, tuple[str, str]] = {}
    for name in known:
        text = (folder / name).read_text("utf-8")
        found = dict(re.findall(r'(?m)^(revision|down_revision): .* = "?(\w+)"?$', text))
        after[None if found["down_revision"] == "None" else found["down_revision"]] = (
            found["revision"],
            name,
        )
    ordered, at = [], None
    while at in after:
        at, name = after[at]
        ordered.append(name.removesuffix(".py"))
    marks = re.compile(r"tasks|comments|notifications|find_words|add_notes")
    if own := [name for name in ordered if not marks.search(name)]:
        raise Refused(f"The migration {own[0]} is your own: remove the example before you add resources.")
    return ordered


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
