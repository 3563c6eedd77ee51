"""All of a resource on one screen: `make where r=invoices`."""

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from builder.removal import LISTS, OF_A_RESOURCE, plural
from builder.spec import Refused

MIGRATIONS = "src/adapters/postgres/migrations/app"


def main(arguments: Sequence[str]) -> int:
    root = Path.cwd()
    try:
        name = plural(arguments[0] if arguments else "", root, how="make where r=invoices")
    except Refused as refused:
        print(refused)
        return 2
    for heading, lines in sections(name, root):
        print(heading, *(f"  {line}" for line in lines or ["none"]), sep="\n")
    return 0


def sections(name: str, root: Path) -> Iterator[tuple[str, list[str]]]:
    """A heading, and its lines."""
    files = [root / form.format(name) for form in OF_A_RESOURCE]
    migrations = [
        path
        for path in sorted((root / MIGRATIONS).glob("*.py"))
        if re.search(rf"[\"']{name}[\"']", path.read_text("utf-8"))
    ]
    shown = [*(path for path in files if path.exists()), *migrations]
    yield (
        "files",
        [str(path.relative_to(root)) for path in shown if "tests" not in path.relative_to(root).parts],
    )
    yield "tests", [str(path.relative_to(root)) for path in shown if "tests" in path.relative_to(root).parts]
    yield "lines in", [*_lines_in_lists(name, root)]
    yield "routes", [*_routes(root / f"src/entrypoints/http/v1/{name}.py")]
    yield "use cases", [*_functions(root / f"src/application/commands/{name}.py")]
    yield "events", [*_classes(root / f"src/domain/{name}.py", "Event")]
    yield (
        "problems",
        [*_classes(root / f"src/domain/{name}.py", "NotFound|Conflict|Invalid|Forbidden|Limited")],
    )
    yield "table", [*_table(root / f"src/adapters/postgres/{name}.py")]


def _body(path: Path) -> list[ast.stmt]:
    return ast.parse(path.read_text("utf-8")).body if path.exists() else []


def _lines_in_lists(name: str, root: Path) -> Iterator[str]:
    word = re.compile(rf"(?<![a-z]){name}(?![a-z])|_{name.upper()}\b")
    for file in LISTS:
        path = root / file
        for number, line in enumerate(path.read_text("utf-8").splitlines() if path.exists() else [], 1):
            if word.search(line) and not line.startswith(("from ", "import ", '"""')):
                yield f"{file}:{number}: {line.strip()}"


def _routes(path: Path) -> Iterator[str]:
    for each in _body(path):
        for decorator in getattr(each, "decorator_list", []):
            match decorator:
                case ast.Call(func=ast.Attribute(attr=method), args=[ast.Constant(value=str(route)), *_]):
                    yield f"{method.upper():6} /v1{route}  {getattr(each, 'name', '')}"


def _functions(path: Path) -> Iterator[str]:
    for each in _body(path):
        if isinstance(each, ast.AsyncFunctionDef) and not each.name.startswith("_"):
            yield f"{each.name}: {(ast.get_docstring(each) or '').partition(chr(10))[0]}"


def _classes(path: Path, bases: str) -> Iterator[str]:
    for each in _body(path):
        if isinstance(each, ast.ClassDef) and any(
            re.fullmatch(bases, ast.unparse(base)) for base in each.bases
        ):
            yield each.name


def _table(path: Path) -> Iterator[str]:
    for each in _body(path):
        match each:
            case ast.Assign(value=ast.Call(func=ast.Name(id="Table"), args=[ast.Constant(), _, *parts])):
                yield from (ast.unparse(part) for part in parts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
