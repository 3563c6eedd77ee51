"""The guides show code that works: it is put on top of what `make resource` writes, and its fast tests run.

That the rest of it passes too, on PostgreSQL and over HTTP, and under mypy, is seen by `make test-fork`.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from builder import suites
from builder.__main__ import TIDY, sources
from builder.guides import MAY_BE_GONE, ORDER, RESOURCE, blocks, changed, put
from builder.lists import add_to_lists
from builder.spec import read

from entrypoints.kernel.service import ROOT, SERVICE_TITLE

IT = read(**RESOURCE)
FACTS = f"tests/resources/{IT.plural}.py"
FAST = (
    f"tests/domain/test_{IT.plural}.py",
    f"tests/application/test_{IT.plural}.py",
    MAY_BE_GONE,
    "tests/contracts/test_payments.py",
)

UPSTREAM = pytest.mark.skipif(
    f"The {SERVICE_TITLE} authors" not in (ROOT / "LICENSE").read_text("utf-8") or (ROOT / FACTS).exists(),
    reason="The guides are written for upstream's tree, and tried there.",
)


def generated(root: Path) -> None:
    """The tree with what `make resource` writes, but for the migration and the document."""
    for name in ("src", "tests", "docs", "pyproject.toml"):
        copied = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copied(ROOT / name, root / name)
    (root / ".venv").symlink_to(ROOT / ".venv")
    for name, text in (sources(IT) | {FACTS: suites.facts(IT, "0" * 12)}).items():
        (root / name).write_text(text, "utf-8")
    add_to_lists(IT, root)
    files = [*sources(IT), FACTS, "src/application", "tests/application"]
    for command in TIDY:
        subprocess.run([".venv/bin/ruff", *command, *files], cwd=root, check=True)


@UPSTREAM
def test_the_code_of_the_guides_works(tmp_path: Path) -> None:
    generated(tmp_path)
    put(tmp_path)
    fast = [name for name in FAST if (tmp_path / name).exists()]
    paths = [str(tmp_path / "src"), str(tmp_path / "tests"), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TEST_POSTGRES": "embedded"}
    for command in (["ruff", "check", "--quiet", "src"], ["pytest", "-q", "-p", "no:cacheprovider", *fast]):
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=tmp_path,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@UPSTREAM
@pytest.mark.parametrize("guide", ORDER)
def test_what_a_guide_names_is_there_or_is_made(guide: str) -> None:
    shown = [block for each in ORDER for block in blocks((ROOT / "docs/guides" / each).read_text("utf-8"))]
    made = {FACTS, MAY_BE_GONE, *sources(IT), *(name for name, kind, _ in shown if kind == "python")}
    text = (ROOT / "docs/guides" / guide).read_text("utf-8")
    paths = {*re.findall(r"`((?:src|tests|docs|scripts)/[\w./-]+)`", text)}
    assert paths
    assert {path for path in paths - made if not (ROOT / path).exists()} == set()
    targets = {*re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)}
    named = {
        word for words in re.findall(r"(?:`|^)make ([a-z -]+)", text, re.MULTILINE) for word in words.split()
    }
    assert named - targets - {"name"} == set()


def test_a_block_is_put_where_its_lines_are() -> None:
    text = '"""Looms."""\n\nONE = 1\nTWO = 2\n'
    diff = "+from mills import MILL\n@@\n ONE = 1\n-TWO = 2\n+TWO = MILL\n@@\n+THREE = 3\n"
    assert (
        changed(text, diff)
        == '"""Looms."""\n\nfrom mills import MILL\n\nONE = 1\nTWO = MILL\n\n\nTHREE = 3\n'
    )


@pytest.mark.parametrize(("diff", "times"), [("-FOUR = 4\n", 0), (" = 1\n+FIVE = 5\n", 2)])
def test_a_block_without_one_place_is_refused(diff: str, times: int) -> None:
    with pytest.raises(ValueError, match=rf"^This is there {times} times, and not once:"):
        changed("ONE = 1\nSIX = 1\n", diff)
