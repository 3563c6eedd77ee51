"""Lines in files that are there already: the lists that a service owns.

A place is found by its structure, as `ast` reads it, and lines are put between the lines that are there, so
that nothing else of the file is touched. Where the structure is not there, `NoPlace` says which line belongs
where.
"""

import ast
from collections.abc import Callable
from pathlib import Path

from builder.rings import ROLES
from builder.spec import Refused, Resource


class NoPlace(Refused):
    """The file has no such place. The message has the line to add, and says where."""


def add_to_lists(it: Resource, root: Path) -> None:
    """Adds the resource to the lists; raises `NoPlace` before it has written any."""
    entity, plural = it.entity, it.plural
    permission = f"WRITE_{plural.upper()}"
    changed = {
        "src/application/unit_of_work.py": all_of(
            imported("from application.kernel.ports.storing import Repository"),
            imported(f"from domain.{plural} import {entity}, {entity}Id"),
            _field("UnitOfWork", f"{plural}: Repository[{entity}, {entity}Id]"),
        ),
        "src/application/queries/__init__.py": all_of(
            imported(f"from application.queries.{plural} import {entity}Queries"),
            _field("Queries", f"{plural}: {entity}Queries"),
        ),
        "src/application/permissions.py": all_of(
            imported(f"from application.kernel.permissions import {ROLES[it.role]}, Permission"),
            _at_the_end(f'{permission} = Permission("{plural}:write", {ROLES[it.role]})'),
        ),
    }
    suite = "tests/application/test_permissions.py"
    if (root / suite).exists():
        changed[suite] = all_of(
            imported(f"from application.permissions import {permission}"),
            _entry("LEAST", f"{permission}: Role.{it.role.upper()}"),
        )
    texts = {}
    for name, change in changed.items():
        path = root / name
        if not path.exists():
            raise NoPlace(f"There is no {name}, in which the resource is to be listed.")
        texts[path] = change(path.read_text("utf-8"), name)
    for path, text in texts.items():
        path.write_text(text, "utf-8")


type Change = Callable[[str, str], str]
"""(text of a file, its name) -> its new text."""


def all_of(*changes: Change) -> Change:
    def change(text: str, name: str) -> str:
        for each in changes:
            text = each(text, name)
        return text

    return change


def parsed(text: str, name: str) -> ast.Module:
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise NoPlace(f"{name} cannot be read: {error.msg} in line {error.lineno}.") from None


def inserted(text: str, after: int, line: str) -> str:
    """The text with a line after that line of it, which is counted from 1."""
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    return "".join([*lines[:after], f"{line}\n", *lines[after:]])


def imported(line: str) -> Change:
    """The names are imported; `ruff` sorts the lines, and puts those of one module together."""
    (wanted,) = ast.parse(line).body

    def change(text: str, name: str) -> str:
        module = parsed(text, name)
        if _names(wanted) <= set().union(*map(_names, module.body)):
            return text
        first = module.body[0] if module.body else None
        has_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
        imports = [each for each in module.body if isinstance(each, ast.ImportFrom)]
        if imports:
            return inserted(text, imports[-1].end_lineno or 0, line)
        after = (first.end_lineno or 0) if first is not None and has_docstring else 0
        return inserted(text, after, f"\n{line}\n" if has_docstring else f"{line}\n")

    return change


def _names(statement: ast.stmt) -> set[tuple[str | None, str]]:
    """What a statement imports, under its own name: of which module, and what."""
    module = statement.module if isinstance(statement, ast.ImportFrom) else None
    imports = statement.names if isinstance(statement, ast.Import | ast.ImportFrom) else []
    return {(module, alias.name) for alias in imports if alias.asname is None}


def _field(of: str, line: str) -> Change:
    """An annotated field after the last one of the class, or below its docstring."""

    def change(text: str, name: str) -> str:
        for each in parsed(text, name).body:
            if isinstance(each, ast.ClassDef) and each.name == of:
                fields = [part for part in each.body if isinstance(part, ast.AnnAssign)]
                empty = len(each.body) == 1 and isinstance(each.body[0], ast.Expr)
                if fields:
                    return inserted(text, fields[-1].end_lineno or 0, " " * fields[-1].col_offset + line)
                if empty:
                    return inserted(text, each.body[0].end_lineno or 0, f"\n    {line}")
        raise NoPlace(
            f"{name} has no class {of} with fields. Add this to what has the collections:\n    {line}"
        )

    return change


def _at_the_end(line: str) -> Change:
    """A statement after the last assignment of the module, or at its end."""

    def change(text: str, name: str) -> str:
        body = parsed(text, name).body
        assigned = [each for each in body if isinstance(each, (ast.Assign, ast.AnnAssign))]
        if assigned:
            return inserted(text, assigned[-1].end_lineno or 0, line)
        return inserted(text, len(text.splitlines()), f"\n{line}")

    return change


def _entry(of: str, entry: str) -> Change:
    """An entry at the end of a dictionary."""

    def change(text: str, name: str) -> str:
        for each in parsed(text, name).body:
            match each:
                case (
                    ast.Assign(targets=[ast.Name(id=target)], value=ast.Dict() as value)
                    | ast.AnnAssign(target=ast.Name(id=target), value=ast.Dict() as value)
                ) if target == of and value.values:
                    return _extended(text, value, entry)
        raise NoPlace(f"{name} has no dictionary {of} with entries. Add this to it:\n    {entry}")

    return change


def entry_of_attribute(of: str, attribute: str, entry: str) -> Change:
    """An entry at the end of a dictionary that a class has."""

    def change(text: str, name: str) -> str:
        for each in parsed(text, name).body:
            for part in each.body if isinstance(each, ast.ClassDef) and each.name == of else ():
                match part:
                    case ast.AnnAssign(target=ast.Name(id=target), value=ast.Dict() as value) if (
                        target == attribute and value.values
                    ):
                        return text if entry in text else _extended(text, value, entry)
        raise NoPlace(f"{name} has no {of}.{attribute} with entries. Add this to it:\n    {entry},")

    return change


def class_after(of: str, source: str) -> Change:
    """A class below another one, unless it is there."""

    def change(text: str, name: str) -> str:
        classes = {each.name: each for each in parsed(text, name).body if isinstance(each, ast.ClassDef)}
        (wanted,) = (each.name for each in ast.parse(source).body if isinstance(each, ast.ClassDef))
        if wanted in classes:
            return text
        if of not in classes:
            raise NoPlace(f"{name} has no class {of}. Add this to it:\n{source}")
        return inserted(text, classes[of].end_lineno or 0, f"\n\n{source}")

    return change


def _extended(text: str, dictionary: ast.Dict, entry: str) -> str:
    key, last = dictionary.keys[-1], dictionary.values[-1]
    lines, at, end = text.splitlines(keepends=True), last.end_lineno or 0, last.end_col_offset or 0
    line = lines[at - 1].encode()
    if line[end:].startswith(b",") and dictionary.end_lineno != at:  # an entry a line
        return inserted(text, at, f"{' ' * (key.col_offset if key else 4)}{entry},")
    lines[at - 1] = (line[:end] + f", {entry}".encode() + line[end:]).decode()
    return "".join(lines)
