"""Why a token is refused: docs/auth.md has a remedy for each reason, and no reason that there is not."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.tokens.compact import BadTokenError

ROOT = Path(__file__).parents[4]
CALLS = {"BadTokenError", "_refused", "_refuse"}
MODULES = [
    *sorted((ROOT / "src/adapters/tokens").glob("*.py")),
    ROOT / "src/application/kernel/identity/accounts.py",
]


def reasons_in(source: str) -> Iterator[str]:
    """What the log can say; a dash stands for what is only known when it happens."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and _name(node.func) in CALLS and node.args:
            said = _text(node.args[0])
            if said is not None:
                yield said


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _text(node: ast.expr) -> str | None:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(str(part.value) if isinstance(part, ast.Constant) else "—" for part in parts)
        case ast.Call(func=ast.Name(id=name), args=arguments) if name not in CALLS:
            return ": ".join([name, *(_text(argument) or "—" for argument in arguments)])
        case ast.Name(id="reason" | "kind"):
            return None  # said elsewhere
        case ast.Call():
            return None  # found by itself
        case _:
            raise AssertionError(f"a reason that cannot be read: {ast.unparse(node)}")


def documented() -> list[str]:
    text = (ROOT / "docs/auth.md").read_text("utf-8")
    table = text.partition("## Why a token is refused")[2].partition("\n## ")[0]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    assert all(len(row) == 4 and row[2].strip() for row in rows)
    return [reason for row in rows for reason in re.findall("`([^`]+)`", row[1])]


def test_the_documentation_has_a_remedy_for_each_reason_and_no_other() -> None:
    said = {reason for module in MODULES for reason in reasons_in(module.read_text("utf-8"))}
    said.add("another kind of token")  # which one function says of five things
    assert len(said) > 50
    assert sorted(documented()) == sorted(said)


def test_a_reason_that_nobody_wrote_down_is_found() -> None:
    source = "raise BadTokenError(f'of {animal} kind')\nraise _refused('late')\n_refuse(Suspended('x'))"
    assert [*reasons_in(source)] == ["of — kind", "late", "Suspended: x"]


@pytest.mark.parametrize(
    ("came", "shown"),
    [
        (None, None),
        ("JWT", "'JWT'"),
        (["web", "api"], "'api' or 'web'"),
        ([], "nothing"),
        ([None, 1, {"a": 1}], "1 or None or {'a': 1}"),
        ("line\nbreak \x1b[31m \u202e \ud800", r"'line\nbreak \x1b[31m \u202e \ud800'"),
    ],
)
def test_what_came_is_told_in_quotation_marks(came: object, shown: str | None) -> None:
    assert BadTokenError("x", came=came).came == shown


def test_what_came_is_cut_short() -> None:
    error = BadTokenError("x", came="x" * 5000, wanted=["y" * 5000, "z"])
    assert (len(error.came or ""), len(error.wanted or "")) == (200, 200)
    assert error.log_fields.keys() == {"reason", "came", "wanted"}
    assert BadTokenError("x").log_fields == {"reason": "x"}
