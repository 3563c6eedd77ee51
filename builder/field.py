"""`make field`: fields more for a resource that is there, however it was changed since.

The templates say what they would have written without the fields, and with them; the difference goes into the
files as they stand. As with `make resource`, all of it happens in a copy, and comes here as one patch.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from builder import suites
from builder.__main__ import TIDY, Copy, bring, ensure_clean, finish, migrate, sources, with_targets
from builder.inferred import inferred
from builder.kinds import kind_of
from builder.merging import Place, merged
from builder.references import refer
from builder.removal import plural
from builder.spec import Field, Refused, Resource, ensure_names_differ, read

ROOT = Path.cwd()
HOW = 'make field resource=invoice add="paid_at:datetime?"'


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make field")
    parser.add_argument("--resource", default="")
    parser.add_argument("--add", default="")
    parser.add_argument("--dry", action="store_true")
    options = parser.parse_args(arguments)
    try:
        name = resource_named(options.resource, ROOT)
        ensure_clean(ROOT)
        with tempfile.TemporaryDirectory(prefix="field-") as folder:
            copy = Copy(ROOT, Path(folder) / "copy")
            change = Change(
                name, options.add, lambda file: text_of(ROOT, file), lambda it: with_targets(it, copy)
            )
            write(change, copy)
            done = f"{change.after.labels.capitalize()} have {change.labels} now."
            bring(copy, ROOT, done, dry=options.dry)
    except Refused as refused:
        print(refused)
        return 2
    return 0


def text_of(root: Path, file: str) -> str | None:
    path = root / file
    return path.read_text("utf-8") if path.exists() else None


class Change:
    """What is asked for: a resource as it is, and as it is to be.

    `read` gives the text of a file, if it is there; `resolve` finds what references are to. Raises `Refused`.
    """

    def __init__(
        self,
        name: str,
        add: str,
        read: Callable[[str], str | None],
        resolve: Callable[[Resource], Resource] = lambda it: it,
    ) -> None:
        def text(file: str) -> str:
            return _there(file, read(file))

        found = inferred(name, text)
        new = _new(add, found.resource)
        for field in new:
            if field.name in found.there:
                raise Refused(f"{name} have a field {field.name} already: choose another name.")
        names = {field.name for field in new}
        self.before = inferred(name, text, besides=names).resource
        self.after = resolve(replace(self.before, fields=(*self.before.fields, *new)))
        self.new = self.after.fields[len(self.before.fields) :]
        ensure_names_differ(self.after)

    @property
    def labels(self) -> str:
        return ", ".join(field.label for field in self.new)

    def texts(self, it: Resource) -> dict[str, str]:
        """What the templates say of it, before it is tidied, by the names of the files."""
        found = sources(it) | {f"tests/resources/{it.plural}.py": suites.facts(it, "0")}
        table = f"src/adapters/postgres/{it.plural}.py"
        new = {field.name for field in self.new if not field.nullable}
        found[table] = with_server_defaults(found[table], it, new)
        return found


def _there(file: str, text: str | None) -> str:
    if text is None:
        raise Refused(f"There is no {file}: a resource has one, as `make resource` writes it.")
    return text


def resource_named(resource: str, root: Path) -> str:
    """The plural of a resource of the service's own; raises `Refused`."""
    names = {path.stem for path in (root / "src/domain/kernel").rglob("*.py")}
    if {resource, f"{resource}s"} & names and not (root / f"src/domain/{resource}.py").exists():
        raise Refused(
            f"{resource} is of the kernel, which upstream changes. Take a resource of your own: {HOW}"
        )
    return plural(resource, root, how=HOW)


_STAND_IN = "stand_in:str(40)"
"""A resource needs a required field; those that are added are none."""


def _new(add: str, it: Resource) -> tuple[Field, ...]:
    """The fields that are asked for; raises `Refused`."""
    if not add.split():
        raise Refused(f"Say which field: {HOW}")
    _, *new = read(
        name=it.name, plural=it.plural, fields=f"{_STAND_IN} {add}", can=",".join(it.verbs), role=it.role
    ).fields
    for field in new:
        if not field.optional and field.default is None:
            raise Refused(
                f"{field.stem}: the rows that are there have none. Say what they get, as in "
                f"{field.stem}:{field.type}…=value, or that it may be left out: {field.stem}:{field.type}…?"
            )
    if "list" not in it.verbs:
        for field in new:
            if marks := sorted(field.modifiers - {"unique"}):
                raise Refused(f"{field.name}: {it.plural} have no list: leave !{', !'.join(marks)} out.")
    return tuple(new)


def with_server_defaults(text: str, it: Resource, names: Collection[str]) -> str:
    """The source of a table whose columns of these names have what the release before does not write."""
    for field in it.fields:
        if field.name in names:
            column = kind_of(field, it).column
            value = json.dumps(field.default or ("{}" if field.type == "list" else ""))
            text = text.replace(f"    {column},\n", f"    {column[:-1]}, server_default={value}),\n", 1)
    return text


def tidied(texts: Mapping[str, str], root: Path) -> dict[str, str]:
    """As the files of the repository are: without imports that are not needed, sorted, formatted."""
    return {name: _tidy(name, text, root) for name, text in texts.items()}


@cache
def _tidy(name: str, text: str, root: Path) -> str:
    for command in TIDY:
        ruff = [Path(sys.executable).with_name("ruff"), *command, "--stdin-filename", name, "-"]
        done = subprocess.run(ruff, cwd=root, input=text, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Refused(f"{name} cannot be formatted, and nothing was written:\n{done.stderr}")
        text = done.stdout
    return text


def changed(change: Change, read: Callable[[str], str | None], root: Path) -> dict[str, str]:
    """The files of the resource with the fields, from what `read` gives by their names.

    Raises `Refused` with all places where they do not fit; tests that were deleted stay deleted.
    """
    before, after = (tidied(change.texts(it), root) for it in (change.before, change.after))
    found, places = dict[str, str](), list[Place]()
    for name, text in after.items():
        ours = read(name)
        if ours is None and name.startswith("tests/") and not name.startswith("tests/resources/"):
            continue
        found[name], left = merged(name, _there(name, ours), before[name], text)
        places += left
    if places:
        listed = "\n".join(map(str, places))
        raise Refused(
            "Nothing was written, since these places were rewritten by hand. Write there what belongs there, "
            f"commit it, and run this again, which does the rest:\n{listed}"
        )
    return tidied(found, root)


def write(change: Change, copy: Copy) -> None:
    """Writes the fields into the copy; raises `Refused`."""
    for name, text in changed(change, lambda file: text_of(copy.folder, file), copy.folder).items():
        copy.write(name, text)
    refer(change.after, copy.folder)
    names = " ".join(field.name for field in change.new)
    migrate(copy, f"add {names} to {change.after.labels}")
    finish(copy)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
