"""References from one resource to another: what can be referred to, and what that changes there.

A reference is a foreign key on the workspace and the id, so that no tenant can point at another's row. The
table that is referred to needs a unique index on both, and whoever deletes there may meet a row in use.
"""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from builder.lists import (
    Change,
    NoPlace,
    all_of,
    class_after,
    entry_of_attribute,
    imported,
    inserted,
    parsed,
)
from builder.spec import Resource, Target, camel, reference


def index_of(table: str) -> str:
    """What foreign keys need there."""
    return f'Index("uq_{table}_workspace_id_id", "workspace_id", "id", unique=True)'


def looked_at() -> list[dict[str, Any]]:
    """Every table with a repository: the adapters are imported for it."""
    # Not at the top: the builder itself runs without the service.
    from adapters.postgres.kernel.discovery import import_tables  # noqa: PLC0415
    from adapters.postgres.kernel.tables.repository import PostgresRepository  # noqa: PLC0415

    import_tables()
    return [
        {
            "module": known.__module__,
            "entity": known.entity.__name__,
            "table": known.table.name,
            "columns": {column.name: column.nullable for column in known.table.c},
            "keys": [
                [key.referred_table.name, list(key.column_keys)]
                for key in known.table.foreign_key_constraints
            ],
        }
        for known in PostgresRepository.registry
    ]


def targets(tables: Sequence[Mapping[str, Any]], root: Path) -> tuple[dict[str, Target], dict[str, str]]:
    """What can be referred to, by its name; and why other resources of the service cannot."""
    own = {each["table"]: each for each in tables if re.fullmatch(r"adapters\.postgres\.\w+", each["module"])}
    found: dict[str, Target] = {}
    unfit: dict[str, str] = {}

    def look(table: Mapping[str, Any]) -> Target | None:
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", table["entity"]).lower()
        if name not in found and name not in unfit:
            unfit[name] = "refers to itself, or to what refers to it"  # whoever comes here again meanwhile
            needs = []
            for referred, columns in table["keys"]:
                *workspace, column = columns
                if columns == ["workspace_id"] or referred == "users" or table["columns"][column]:
                    continue
                if (
                    workspace != ["workspace_id"]
                    or referred not in own
                    or (it := look(own[referred])) is None
                ):
                    unfit[name] = f"belongs to a row of {referred}"
                    return None
                needs.append((column, it))
            if why := _unfit(name, table, root):
                unfit[name] = why
            else:
                del unfit[name]
                commands = root / f"src/application/commands/{table['table']}.py"
                found[name] = Target(
                    name=name,
                    plural=table["table"],
                    entity=table["entity"],
                    needs=tuple(needs),
                    deleted=commands.exists() and f"def delete_{name}(" in commands.read_text("utf-8"),
                )
        return found.get(name)

    for each in own.values():
        look(each)
    return found, unfit


def _unfit(name: str, table: Mapping[str, Any], root: Path) -> str:
    plural = table["table"]
    if not {"workspace_id", "created_by"} <= table["columns"].keys():
        return "is not of a workspace, or of nobody there"
    facts = root / f"tests/resources/{plural}.py"
    text = facts.read_text("utf-8") if facts.exists() else ""
    for part in (f"def a_{name}(", f'    "{plural}": """'):
        if part not in text:
            return f"has no {part.strip()} … in tests/resources/{plural}.py, which tests need"
    return ""


def refer(it: Resource, root: Path) -> None:
    """Has what the resource refers to know it; raises `NoPlace` before it has written anything."""
    texts: dict[Path, str] = {}
    for target in it.targets:
        for name, change in _changes(it, target).items():
            path = root / name
            if not path.exists():
                raise NoPlace(f"There is no {name}, in which something is to be added for {it.labels}.")
            texts[path] = change(path.read_text("utf-8"), name)
    for path, text in texts.items():
        path.write_text(text, "utf-8")


def _changes(it: Resource, target: Target) -> dict[str, Change]:
    t, error = target.plural, target.in_use
    table = all_of(imported("from sqlalchemy import Index"), _index(t))
    if not target.deleted:
        return {f"src/adapters/postgres/{t}.py": table}
    entries = [
        entry_of_attribute(f"Postgres{camel(t)}", "conflicts", f'"{reference(it, field)}": {error}')
        for field, each in it.references
        if each.name == target.name
    ]
    return {
        f"src/domain/{t}.py": all_of(
            imported("from domain.kernel.errors import Conflict"),
            class_after(
                f"{target.entity}NotFound",
                f'class {error}(Conflict):\n    """Something refers to the {target.label}."""',
            ),
        ),
        f"src/adapters/postgres/{t}.py": all_of(imported(f"from domain.{t} import {error}"), *entries, table),
        f"src/entrypoints/http/v1/{t}.py": all_of(
            imported(f"from domain.{t} import {error}"), _refuses(f"delete_{target.name}", error)
        ),
    }


def _index(table: str) -> Change:
    """The unique index at the end of the table, unless it has it."""

    def change(text: str, name: str) -> str:
        for each in ast.walk(parsed(text, name)):
            match each:
                case ast.Call(func=ast.Name(id="Table"), args=[ast.Constant(value=called), *_, last]) if (
                    called == table
                ):
                    if any(ast.unparse(part) == index_of(table).replace('"', "'") for part in each.args):
                        return text
                    return _after(text, last, index_of(table))
        raise NoPlace(f"{name} has no Table {table} with columns. Add this to it:\n    {index_of(table)},")

    return change


def _refuses(use_case: str, error: str) -> Change:
    """The error among those that the route of the use case says it may refuse for."""

    def change(text: str, name: str) -> str:
        for each in ast.walk(parsed(text, name)):
            if not isinstance(each, ast.Call):
                continue
            words = {keyword.arg: keyword.value for keyword in each.keywords}
            called, refuses = words.get("use_case"), words.get("refuses")
            if isinstance(called, ast.Attribute) and called.attr == use_case and refuses is not None:
                if error in (source := ast.unparse(refuses)):
                    return text
                inner = source.strip("()").rstrip(",") if isinstance(refuses, ast.Tuple) else f"*{source}"
                return _replaced(text, refuses, f"({inner}, {error})")
        raise NoPlace(
            f"{name} has no route with use_case=commands.{use_case} and refuses=. "
            f"Have that route say: refuses=(*NOT_ADMITTED, {error})"
        )

    return change


def _after(text: str, element: ast.expr, source: str) -> str:
    """The source as the element behind the last one, on a line of its own where the last one has that."""
    at, end = element.end_lineno or 0, element.end_col_offset or 0
    lines = text.splitlines(keepends=True)
    line = lines[at - 1].encode()
    if line[end:].lstrip().startswith(b","):
        return inserted(text, at, f"    {source},")
    lines[at - 1] = (line[:end] + f", {source}".encode() + line[end:]).decode()
    return "".join(lines)


def _replaced(text: str, node: ast.expr, source: str) -> str:
    lines = text.encode().splitlines(keepends=True)
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    before, after = lines[first][: node.col_offset], lines[last][node.end_col_offset or 0 :]
    lines[first : last + 1] = [before + source.encode() + after]
    return b"".join(lines).decode()


# ── when the resource goes ───────────────────────────────────────────────────────────────────────


def forget(plural: str, root: Path) -> None:
    """Takes out what `refer` had added for a resource, unless something else still needs it."""
    for path in sorted((root / "src/adapters/postgres").glob("*.py")):
        t, text = path.stem, path.read_text("utf-8")
        without = re.sub(rf'(?m)^ *"fk_{plural}_\w+_{t}": \w+,\n', "", text)
        still = re.search(
            rf"\[{t}\.c\.workspace_id, {t}\.c\.id\]",
            "".join(
                other.read_text("utf-8")
                for other in (root / "src/adapters/postgres").glob("*.py")
                if other.stem != plural
            ),
        )
        if not still:
            without = re.sub(rf"(?m)^ *{re.escape(index_of(t))},\n", "", without)
        if without == text:
            continue
        gone = {name for name in re.findall(r"\b\w+InUse\b", text) if f": {name}," not in without}
        path.write_text(without, "utf-8")
        for error in gone:
            _without_error(error, root / f"src/domain/{t}.py", root / f"src/entrypoints/http/v1/{t}.py")


def _without_error(error: str, domain: Path, routes: Path) -> None:
    text = domain.read_text("utf-8")
    domain.write_text(re.sub(rf'(?m)^class {error}\(Conflict\):\n    """.*?"""\n+', "", text), "utf-8")
    text = routes.read_text("utf-8")
    text = re.sub(rf"\(\*(\w+), {error}\)", r"\1", text)
    routes.write_text(re.sub(rf", {error}(?=[,)])", "", text), "utf-8")


if __name__ == "__main__":
    print(json.dumps(looked_at()))
