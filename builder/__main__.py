"""`make resource`: a whole resource in one command.

Everything is written into a copy first, formatted, migrated and checked there, and comes here at the end, as
one patch. Until then nothing here is touched.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from builder import rings, suites
from builder.lists import add_to_lists
from builder.references import refer, targets
from builder.spec import (
    MODIFIERS,
    ROLES,
    TYPES,
    VERBS,
    Refused,
    Resource,
    ensure_free,
    plural_of,
    read,
    resolved,
)

ROOT = Path.cwd()
MIGRATIONS = "src/adapters/postgres/migrations/app"
OPTIONS = ("name", "fields", "plural", "can", "role", "sort", "filter", "search")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make resource")
    for option in OPTIONS:
        parser.add_argument(f"--{option}", default="")
    parser.add_argument("--dry", action="store_true")
    options = vars(parser.parse_args(arguments))
    dry = options.pop("dry")
    try:
        if not options["fields"] and sys.stdin.isatty():
            options = asked(options)
        it = read(**options)
        ensure_clean(ROOT)
        ensure_free(it, ROOT)
        with tempfile.TemporaryDirectory(prefix="resource-") as folder:
            copy = Copy(ROOT, Path(folder) / "copy")
            it = with_targets(it, copy)
            write(it, copy)
            bring(copy, ROOT, f"There are {it.labels} now.", dry=dry)
    except Refused as refused:
        print(refused)
        return 2
    return 0


def bring(copy: "Copy", root: Path, done: str, *, dry: bool) -> None:
    """Takes over what was written in the copy, and says `done`; or only shows it. Raises `Refused`."""
    patch, files = copy.patch(), copy.changed()
    if dry:
        print(git("diff", "--cached", "--", "src", "tests", cwd=copy.folder))
    else:
        git("apply", "--whitespace=nowarn", "-", cwd=root, text=patch)
    print(*(f"  {file}" for file in files), sep="\n")
    if dry:
        print("Nothing was written: leave DRY=1 out to write it.")
        return
    print(f"{done} Try: make check test-app")
    if not any(file.startswith("clients/") for file in files):
        print("The TypeScript client does not know it yet (it needs Node 20): make client")
    print("Undo: git restore . && git clean -fdq src tests openapi clients")


def asked(given: Mapping[str, str]) -> dict[str, str]:
    """The options, those that are not given one question at a time, with what they are by default."""
    options = dict(given)
    options["name"] = given["name"] or _answer("What is it, in the singular", "")
    options["plural"] = given["plural"] or _answer("And in the plural", plural_of(options["name"]))
    print("Its fields, one at a time, as title:str(80) or due_on:date?!filter; an empty one ends them.")
    print(f"There is: {', '.join(TYPES)}; ? where it may be left out, =value, !{', !'.join(MODIFIERS)}.")
    fields = []
    while field := _answer("  field", ""):
        fields.append(field)
    options["fields"] = " ".join(fields)
    options["can"] = given["can"] or _answer("What can be done with it", ",".join(VERBS))
    options["role"] = given["role"] or _answer("Who may write, from which role on", ROLES[0])
    return options


def _answer(question: str, otherwise: str) -> str:
    try:
        return input(f"{question}{f' [{otherwise}]' if otherwise else ''}: ").strip() or otherwise
    except EOFError:
        return otherwise


class Copy:
    """A clone with this repository's environment."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder = folder
        git("clone", "--quiet", "--shared", str(root), str(folder), cwd=root)
        for name in (".venv", "clients/typescript/node_modules"):
            if (root / name).exists():
                (folder / name).symlink_to((root / name).resolve())
        with (folder / ".git/info/exclude").open("a") as exclude:
            exclude.write(".venv\nnode_modules\n")

    def run(self, *command: str) -> str:
        """What the command prints; raises `Refused` with it where it fails."""
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(self.folder / "src"), str(self.folder)]),
        }
        done = subprocess.run(
            command, cwd=self.folder, env=environment, check=False, capture_output=True, text=True
        )
        if done.returncode:
            raise Refused(f"{' '.join(command)} failed, and nothing was written:\n{done.stdout}{done.stderr}")
        return done.stdout

    def make(self, *arguments: str) -> str:
        # The environment is that of the repository: it is neither out of date nor to be made here.
        return self.run("make", "--no-print-directory", "-o", ".venv/.complete", *arguments)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def tidy(self) -> None:
        """Takes imports that are not needed out of what has changed, sorts the others, and formats."""
        files = git(
            "ls-files", "--modified", "--others", "--exclude-standard", "*.py", cwd=self.folder
        ).split()
        for command in TIDY:
            self.run(".venv/bin/ruff", *command, *files)

    def patch(self) -> str:
        git("add", "--all", cwd=self.folder)
        return git("diff", "--cached", "--binary", cwd=self.folder)

    def changed(self) -> list[str]:
        return git("diff", "--cached", "--name-only", cwd=self.folder).splitlines()


TIDY = (("check", "--quiet", "--select", "F401,I,SIM", "--fix-only"), ("format",))
"""What `ruff` does to the source of a template."""


def with_targets(it: Resource, copy: Copy) -> Resource:
    """The resource that knows what it refers to; raises `Refused`."""
    if all(field.target or field.type != "ref" for field in it.fields):
        return it  # to look takes seconds
    tables = json.loads(copy.run(".venv/bin/python", "-m", "builder.references"))
    return resolved(it, *targets(tables, copy.folder))


def sources(it: Resource) -> dict[str, str]:
    """The new files, before they are tidied, by their names; the facts come when the migration is there."""
    plural = it.plural
    return {
        f"src/domain/{plural}.py": rings.domain(it),
        f"src/application/commands/{plural}.py": rings.commands(it),
        f"src/application/queries/{plural}.py": rings.queries(it),
        f"src/adapters/postgres/{plural}.py": rings.postgres(it),
        f"src/entrypoints/http/v1/{plural}.py": rings.routes(it),
        f"tests/domain/test_{plural}.py": suites.of_domain(it),
        f"tests/application/test_{plural}.py": suites.of_application(it),
        f"tests/entrypoints/http/v1/test_{plural}.py": suites.of_http(it),
    }


def write(it: Resource, copy: Copy) -> None:
    """Writes the resource into the copy; raises `Refused`."""
    for name, text in sources(it).items():
        copy.write(name, text)
    add_to_lists(it, copy.folder)
    refer(it, copy.folder)
    copy.tidy()
    migrate(copy, f"add {it.labels}")
    facts = suites.facts(it, revision(migration(copy.folder, it)))
    copy.write(f"tests/resources/{it.plural}.py", facts)
    finish(copy)


def migrate(copy: Copy, message: str) -> None:
    """Writes the migrations, tried up and down."""
    folder = copy.folder / MIGRATIONS
    known = {*folder.glob("*.py")}
    copy.make("migration", f"m={message}")
    for path in {*folder.glob("*.py")} - known:
        # Alembic's remarks are for somebody who has yet to read it.
        path.write_text(re.sub(r"(?m)^ *# ###.*\n", "", path.read_text("utf-8")), "utf-8")


def finish(copy: Copy) -> None:
    """Tidies what was written, and stores the documents and the client."""
    copy.tidy()
    copy.make("openapi")
    if (copy.folder / "clients/typescript/node_modules").exists() and shutil.which("npm"):
        copy.make("-o", "clients/typescript/node_modules/.complete", "client")


def migration(root: Path, it: Resource) -> Path:
    """The one that makes the table."""
    folder = root / MIGRATIONS
    made = re.compile(rf'op\.create_table\(\s*"{it.plural}"')
    found = [
        path
        for path in sorted(folder.glob(f"*_add_{it.plural}_*.py"))
        if made.search(path.read_text("utf-8"))
    ]
    if len(found) != 1:
        raise Refused(f"{len(found)} migrations are called 'add {it.labels}': rename the older ones.")
    return found[0]


def revision(path: Path) -> str:
    (named,) = re.findall(r'^revision: str = "(\w+)"', path.read_text("utf-8"), flags=re.MULTILINE)
    return str(named)


def ensure_clean(root: Path) -> None:
    if git("status", "--porcelain", cwd=root):
        raise Refused(
            "There are changes that are not committed, and the undo would take them away: commit them."
        )


def git(*arguments: str, cwd: Path, text: str | None = None) -> str:
    done = subprocess.run(
        ["git", "-c", "core.quotePath=off", *arguments],
        cwd=cwd,
        check=False,
        capture_output=True,
        text=True,
        input=text,
    )
    if done.returncode:
        raise Refused(f"git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
