"""`make init`, on copies of this repository."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from entrypoints.kernel.service import ROOT

type Init = Callable[..., subprocess.CompletedProcess[str]]

GIT = ("git", "-c", "user.name=test", "-c", "user.email=test@example.com")
KEPT = (
    ".env.example",
    ".gitignore",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "src",
    "openapi",
    "scripts",
    "docs",
    "clients",
    "tests",
    "Makefile",
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What Git knows of this repository, as one commit."""
    listed = subprocess.check_output(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *KEPT],
        cwd=ROOT,
        text=True,
    )
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    for command in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "-m", "All")):
        subprocess.run([*GIT, *command], cwd=tmp_path, check=True)
    return tmp_path


@pytest.fixture
def init(copy: Path) -> Init:
    def run(**options: str) -> subprocess.CompletedProcess[str]:
        given = [part for name, value in options.items() for part in (f"--{name}", value)]
        return subprocess.run(
            [sys.executable, "scripts/init.py", *given],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy / "src")},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def files_with(text: str, folder: Path) -> list[str]:
    """All but this one."""
    found = subprocess.run(
        ["git", "grep", "--ignore-case", "--name-only", text, "--", f":!*{Path(__file__).name}"],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
    )
    return found.stdout.splitlines()


def test_nothing_but_the_head_of_the_readme_and_the_notice_holds_the_name(init: Init, copy: Path) -> None:
    assert {*files_with("portico", copy)} <= {"LICENSE", "README.md", "pyproject.toml", "openapi/v1.json"}
    assert init(name="quillon-desk").returncode == 0
    subprocess.run([*GIT, "commit", "--quiet", "--all", "-m", "Quillon"], cwd=copy, check=True)
    assert {*files_with("quillon", copy)} == {"README.md", "pyproject.toml", "openapi/v1.json"}
    done = init(name="purchase-desk", description='Buys "all" that a shop\\sells', owner="Example Ltd")
    assert done.returncode == 0, done.stderr
    assert files_with("quillon", copy) == []
    assert "Example Ltd" in (copy / "LICENSE").read_text()
    project = tomllib.loads((copy / "pyproject.toml").read_text())["project"]
    assert (project["name"], project["description"]) == ("purchase-desk", 'Buys "all" that a shop\\sells')
    assert (
        (copy / "README.md").read_text().startswith('# Purchase Desk\n\nBuys "all" that a shop\\sells.\n\n')
    )
    assert '"title": "Purchase Desk"' in (copy / "openapi/v1.json").read_text()


def test_a_title_of_its_own_and_another_licence(init: Init, copy: Path) -> None:
    notice = (copy / "LICENSE").read_text()
    assert init(name="crm", title="CRM", licence="proprietary", owner="Example Ltd").returncode == 0
    assert '"title": "CRM"' in (copy / "openapi/v1.json").read_text()
    assert (copy / "NOTICE").read_text().endswith(notice)
    assert notice not in (copy / "LICENSE").read_text()
    subprocess.run([*GIT, "commit", "--quiet", "--all", "-m", "CRM"], cwd=copy, check=True)
    assert init(name="crm").returncode == 2  # NOTICE is not committed
    (copy / "NOTICE").unlink()
    assert init(name="crm").returncode == 0
    assert "[tool.service]" not in (copy / "pyproject.toml").read_text()


def test_a_port_of_its_own_is_the_default_wherever_one_is_told(init: Init, copy: Path) -> None:
    def told() -> list[str]:
        files = ("pyproject.toml", "README.md", ".env.example", "openapi/v1.json")
        pattern = r"(?m)^port = (\d+)$|^#PORT=(\d+)$|localhost:(\d+)"
        return [
            "".join(found)
            for file in files
            for found in re.findall(pattern, (copy / file).read_text("utf-8"))
        ]

    def commit() -> None:
        subprocess.run([*GIT, "commit", "--quiet", "--all", "-m", "More"], cwd=copy, check=True)

    assert init(name="billing", title="The Bills", port="8100").returncode == 0
    assert {*told()} == {"8100"}
    shown = [sys.executable, "-m", "entrypoints.cli", "settings"]
    environment = {**os.environ, "PYTHONPATH": str(copy / "src")}
    assert (
        subprocess.check_output(shown, cwd=copy, env=environment, text=True)
        == (copy / ".env.example").read_text()
    )
    commit()
    assert init(name="crm").returncode == 0  # what is not named stays
    assert {*told()} == {"8100"}
    commit()
    assert init(name="crm", port="8000").returncode == 0
    assert {*told()} == {"8000"}
    assert "[tool.service]" not in (copy / "pyproject.toml").read_text()


REFUSED = [
    ({}, "make init name="),
    ({"name": "Billing"}, "is no name for a service"),
    ({"name": "café"}, "is no name for a service"),
    ({"name": "a--b"}, "is no name for a service"),
    ({"name": "2nd"}, "is no name for a service"),
    ({"name": "a" * 41}, "at most 40"),
    ({"name": "billing", "title": "two\nlines"}, "title is one line"),
    ({"name": "billing", "port": "http"}, "is no port for it: a number from 1024 to 63535"),
    ({"name": "billing", "port": "80"}, "is no port for it"),
    ({"name": "billing", "port": "64000"}, "is no port for it"),
]


def test_what_it_refuses_changes_nothing(init: Init, copy: Path) -> None:
    for options, said in REFUSED:
        done = init(**options)
        assert (done.returncode, said in done.stdout) == (2, True), done.stdout
    assert subprocess.check_output(["git", "status", "--porcelain"], cwd=copy) == b""


def test_changes_that_are_not_committed_are_not_risked(init: Init, copy: Path) -> None:
    (copy / "README.md").write_text("Mine")
    done = init(name="billing")
    assert (done.returncode, "not committed" in done.stdout) == (2, True)
    assert (copy / "README.md").read_text() == "Mine"
