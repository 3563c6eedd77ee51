"""The difference between two texts of a template, in a file that somebody has changed since.

Both are taken apart into definitions, and each is compared with the one of the same name in the file,
wherever that stands by now. What was inserted goes where the lines around it are; where they are not, that is
a `Place` for a person, and the file stays as it was there.
"""

import ast
import difflib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import override

from builder.lists import imported
from builder.spec import Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where lines belong that only a person can put there; the line is 0 where the definition is gone."""

    file: str
    line: int
    definition: str
    difference: tuple[str, ...]

    @override
    def __str__(self) -> str:
        lines = "".join(f"\n    {each}" for each in self.difference)
        at = f"{self.file}:{self.line}" if self.line else f"{self.file} (there is none by this name)"
        return f"{at}, {self.definition}:{lines}"


def merged(name: str, ours: str, before: str, after: str) -> tuple[str, list[Place]]:
    """The text `ours` with what `after` has and `before` has not, and the places where it does not fit.

    Raises `Refused` where the file cannot be read.
    """
    mine, here, old, new = (Parts(text, name) for text in (ours, ours, before, after))
    places: list[Place] = []
    for key, wanted in new.parts.items():
        was, there = old.parts.get(key), mine.parts.get(key)
        if key in _LEFT or wanted in (was, there):
            continue
        if was is None:
            if there is None:
                mine.insert(key, wanted, order=[*new.parts])
            elif _bare(there) != _bare(wanted):
                places.append(_place(name, here, key, [], wanted))
        elif there is None:
            is_test = name.startswith("tests/") and not name.startswith("tests/resources/")
            if not is_test and _added(was, wanted) - Counter(_bare(ours.splitlines())):
                places.append(_place(name, here, key, was, wanted))
        else:
            found = _with_changes(*(_unfolded(key, each) for each in (there, was, wanted)))
            mine.parts[key] = there if found is None else _folded(key, found)
            if found is None or not mine.is_python():
                mine.parts[key] = there
                places += [] if key in _ENOUGH else [_place(name, here, key, was, wanted)]
    if mine.head == old.head:
        mine.head = new.head
    text = mine.text()
    for line in sorted(new.imports - old.imports):
        text = imported(line)(text, name)
    return text, places


_LEFT = frozenset({"FILLINGS"})
"""What fills a table as it was before the change."""

_ENOUGH = frozenset({"FILL"})
"""What is good as it is: a column that is added has a default of its own, or is nullable."""


def _bare(lines: Sequence[str]) -> list[str]:
    return [line.strip() for line in lines if line.strip()]


def _added(before: Sequence[str], after: Sequence[str]) -> Counter[str]:
    return Counter(_bare(after)) - Counter(_bare(before))


def _place(name: str, here: "Parts", key: str, before: Sequence[str], after: Sequence[str]) -> Place:
    difference = [*difflib.unified_diff(before, after, n=1, lineterm="")][3:]
    shown = [line.rstrip() for line in difference if not line.startswith("@@") and line.strip("+ \n")]
    return Place(file=name, line=here.line_of(key), definition=key, difference=tuple(shown))


class Parts:
    """A module as its head, with the imports, and its definitions by their names, in their order.

    A class with methods is several: itself with its fields, and each method. Blank lines and comments belong
    to what follows them.
    """

    def __init__(self, text: str, name: str) -> None:
        try:
            body = ast.parse(text).body
        except SyntaxError as error:
            raise Refused(f"{name} cannot be read: {error.msg} in line {error.lineno}.") from None
        lines = text.splitlines(keepends=True)
        self.head: list[str] = []
        self.imports: set[str] = set()
        self.parts: dict[str, list[str]] = {}
        at = 0
        for key, end, node in _statements(body):
            part, at = lines[at:end], end
            if isinstance(node, ast.Import | ast.ImportFrom) and not self.parts:
                self.imports |= _imports(node)
                self.head += part
            elif key == "'docstring'" and not self.parts:
                self.head += part
            else:
                twice = sum(each.rstrip("'") == key.rstrip("'") for each in self.parts)
                self.parts[key + "'" * twice] = part
        self.tail = lines[at:]

    def insert(self, key: str, part: list[str], *, order: list[str]) -> None:
        """Puts a definition before the one that comes next in that order, but behind the one before it."""
        here, at = [*self.parts], order.index(key)
        behind = next((here.index(each) + 1 for each in reversed(order[:at]) if each in here), 0)
        before = next((here.index(each) for each in order[at:] if each in here), len(here))
        items = [*self.parts.items()]
        place = max(behind, before) if before < len(here) else behind
        self.parts = dict([*items[:place], (key, part), *items[place:]])

    def line_of(self, key: str) -> int:
        """Where the definition begins, or for a method its class; 0 where neither is there."""
        at, found = len(self.head) + 1, 0
        for each, lines in self.parts.items():
            begins = at + next((number for number, line in enumerate(lines) if line.strip()), 0)
            if each == key:
                return begins
            found = begins if each == key.partition(".")[0] else found
            at += len(lines)
        return found

    def is_python(self) -> bool:
        try:
            ast.parse(self.text())
        except SyntaxError:
            return False
        return True

    def text(self) -> str:
        return "".join([*self.head, *(line for part in self.parts.values() for line in part), *self.tail])


def _statements(body: Sequence[ast.stmt]) -> Iterator[tuple[str, int, ast.stmt]]:
    """A name for each statement, the line in which it ends, and itself; a class with methods is several."""
    for each in body:
        parts = each.body if isinstance(each, ast.ClassDef) else []
        first = next((n for n, part in enumerate(parts) if _is_function(part)), len(parts))
        if 0 < first < len(parts):
            yield _name(each), parts[first - 1].end_lineno or 0, each
            for part in parts[first:]:
                yield f"{_name(each)}.{_name(part)}", part.end_lineno or 0, part
        else:
            yield _name(each), each.end_lineno or 0, each


def _is_function(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def _name(node: ast.stmt) -> str:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return name
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name
        case ast.TypeAlias(name=ast.Name(id=name)):
            return name
        case ast.Expr(value=ast.Constant(value=str())):
            return "'docstring'"
    return ast.unparse(node).partition("\n")[0]


def _imports(node: ast.Import | ast.ImportFrom) -> set[str]:
    """A line for each name."""
    names = [f"{each.name} as {each.asname}" if each.asname else each.name for each in node.names]
    if isinstance(node, ast.Import):
        return {f"import {name}" for name in names}
    return {f"from {node.module} import {name}" for name in names}


_COLUMNS = re.compile(r"\(id,[\s\w,]*\)")
_WIDTH = 95


def _unfolded(key: str, lines: list[str]) -> list[str]:
    """A list of columns in SQL with a name in each line, so that lines can be compared."""
    if key != "FILL":
        return lines
    text = _COLUMNS.sub(lambda found: re.sub(r"\s*,\s*", ",\n", found[0]), "".join(lines))
    return text.splitlines(keepends=True)


def _folded(key: str, lines: list[str]) -> list[str]:
    if key != "FILL":
        return lines
    text = re.sub(r"(?m)^ *(\(id,[\s\w,]*\))", lambda found: _filled(found[1]), "".join(lines))
    return text.splitlines(keepends=True)


def _filled(columns: str) -> str:
    listed = " ".join(columns.split())
    return fill(listed, _WIDTH, initial_indent=" " * 12, subsequent_indent=" " * 13)


def _with_changes(ours: list[str], before: list[str], after: list[str]) -> list[str] | None:
    """`ours` with the changes from `before` to `after`, or nothing where it has not the lines they need."""
    kept, by_hand = _opcodes(before, ours), _added(before, ours)
    result, moved = [*ours], 0
    for tag, start, end, first, last in _opcodes(before, after):
        wanted, gone = after[first:last], before[start:end]
        if tag == "equal":
            continue
        if _bare(wanted) and Counter(_bare(wanted)) <= by_hand:  # somebody has written them already
            continue
        at = _position(kept, start, end)
        if at is None and _are_docstrings(wanted, gone):  # in words of somebody's own
            continue
        if at is None:
            return None
        result[at + moved : at + moved + len(gone)] = wanted
        moved += len(wanted) - len(gone)
    return result


def _opcodes(one: list[str], other: list[str]) -> Sequence[tuple[str, int, int, int, int]]:
    return difflib.SequenceMatcher(None, one, other, autojunk=False).get_opcodes()


def _are_docstrings(wanted: list[str], gone: list[str]) -> bool:
    return bool(gone) and all(line.lstrip().startswith('"""') for line in [*wanted, *gone])


def _position(kept: Sequence[tuple[str, int, int, int, int]], start: int, end: int) -> int | None:
    """Where the lines from `start` to `end` are, if they were kept.

    Of none, the place between its neighbours, behind what was inserted there by hand.
    """
    for tag, first, last, there, until in reversed(kept):
        if tag == "equal" and first <= start < last and end <= last:
            return there + start - first
        if start == end == last:
            return until
    return None
