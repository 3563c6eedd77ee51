"""The code of the guides, which is put on top of what `make resource` writes, so that it can be tried.

A block of code belongs to the file whose name stands on the line before it. A `python` block is a new file.
A `diff` has parts between `@@`: lines that stay (' ') and go ('-') are found once in the file, and give way
to those that stay and come ('+'). A part in which lines come only is imports, or the end of the file.
"""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from builder.__main__ import TIDY

RESOURCE = {
    "name": "invoice",
    "fields": "number:str(40)!unique status:enum(draft,sent,paid)=draft total:money",
}
"""What the guides begin with."""

ORDER = ("use-case.md", "adapter.md", "orm.md")
"""Each is written for what the ones before it have made."""

MAY_BE_GONE = "tests/application/test_permissions.py"
"""`make example-remove` deletes it, where it leaves no permission."""

_BLOCK = re.compile(r"^`([\w./-]+)`\n\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(guide: str) -> Iterator[tuple[str, str, str]]:
    """The name of a file, how it is shown, and what is shown of it."""
    for found in _BLOCK.finditer(guide):
        yield found[1], found[2], found[3]


def changed(text: str, diff: str) -> str:
    """The text with the parts of a diff; raises ValueError for one that has no place, or two."""
    for part in re.split(r"(?m)^@@\n", diff):
        lines = part.splitlines(keepends=True)
        before = "".join(line[1:] or "\n" for line in lines if not line.startswith("+"))
        after = "".join(line[1:] or "\n" for line in lines if not line.startswith("-"))
        if before:
            if text.count(before) != 1:
                raise ValueError(f"This is there {text.count(before)} times, and not once:\n{before}")
            text = text.replace(before, after)
        elif after.startswith(("from ", "import ")):
            end = ast.parse(text).body[0].end_lineno or 0  # of the docstring
            kept = text.splitlines(keepends=True)
            text = "".join([*kept[:end], "\n", after, *kept[end:]])
        elif after:
            text = f"{text}\n\n{after}"
    return text


def put(root: Path) -> None:
    """Writes the code of all guides into the tree, in which the resource is already.

    Raises ValueError where a block has no place there.
    """
    names = set[str]()
    for guide in ORDER:
        for name, kind, shown in blocks((root / "docs/guides" / guide).read_text("utf-8")):
            path = root / name
            if name == MAY_BE_GONE and not path.exists():
                continue
            try:
                if kind == "python" and path.exists():
                    raise ValueError("It is there already.")
                text = shown if kind == "python" else changed(path.read_text("utf-8"), shown)
            except ValueError as wrong:
                raise ValueError(f"docs/guides/{guide}, {name}: {wrong}") from None
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            names.add(name)
    for command in TIDY:
        subprocess.run([".venv/bin/ruff", *command, *sorted(names)], cwd=root, check=True)


if __name__ == "__main__":
    put(Path.cwd())
