"""`make upgrade`, on small repositories: what is taken over, what stays, and what is told.

That the checks and tests pass after it is seen by `make test-fork`.
"""

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from builder import upgrade
from builder.spec import Refused
from builder.upgrade import find, looked_at, main, merge, owner

PROJECT = '[tool.importlinter]\ncontracts = [{ kernel_packages = ["adapters.tokens"] }]\n'
BEFORE = {
    "pyproject.toml": PROJECT,
    "Makefile": "one\ntwo\nthree\nfour\nfive\n",
    "src/domain/looms.py": "looms = 1\n",
    "src/domain/mills.py": "mills = 1\n",
    "src/domain/kernel/users.py": "users = 1\n",
    "src/application/unit_of_work.py": "looms\nmills\n",
    "tests/conftest.py": "fixtures = 1\n",
}


def repository(folder: Path, files: Mapping[str, str | None], message: str) -> None:
    """The files with these texts, and committed; None deletes one."""
    if not (folder / ".git").exists():
        folder.mkdir(exist_ok=True)
        run(folder, "init", "--quiet", "--initial-branch=main")
        run(folder, "config", "user.name", "test")
        run(folder, "config", "user.email", "test@example.com")
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True) if text is None else path.write_text(text)
    run(folder, "add", "--all")
    run(folder, "commit", "--quiet", "--allow-empty", "-m", message)


def run(folder: Path, *arguments: str) -> str:
    return subprocess.check_output(["git", *arguments], cwd=folder, text=True)


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    repository(tmp_path / "upstream", dict(BEFORE), "One")
    return tmp_path / "upstream"


@pytest.fixture
def fork(tmp_path: Path, upstream: Path) -> Path:
    """Has taken one resource of the example out, changed the list, and added its own."""
    run(tmp_path, "clone", "--quiet", "--origin", "upstream", str(upstream), "fork")
    mine = {
        "src/domain/looms.py": None,
        "src/application/unit_of_work.py": "invoices\n",
        "src/domain/invoices.py": "invoices = 1\n",
        "Makefile": "one\ntwo\nthree\nfour\nfive\nmine\n",
    }
    run(tmp_path / "fork", "config", "user.name", "test")
    run(tmp_path / "fork", "config", "user.email", "test@example.com")
    repository(tmp_path / "fork", mine, "Mine")
    return tmp_path / "fork"


RELEASE = {
    "src/domain/looms.py": "looms = 2\n",
    "src/domain/mills.py": "mills = 2\n",
    "src/domain/loans.py": "loans = 1\n",
    "src/domain/kernel/users.py": "users = 2\n",
    "src/domain/kernel/keys.py": "keys = 1\n",
    "src/adapters/tokens/keys.py": "keys = 1\n",
    "src/adapters/postgres/migrations/kernel/0019_keys.py": "keys\n",
    "src/application/unit_of_work.py": "looms\nmills\nloans\n",
    "tests/conftest.py": "fixtures = 2\n",
    "tests/domain/test_loans.py": "",
    "Makefile": "zero\none\ntwo\nthree\nfour\nfive\n",
}


def test_what_is_upstreams_is_taken_and_what_is_the_forks_stays(upstream: Path, fork: Path) -> None:
    repository(upstream, dict(RELEASE), "Two")
    run(upstream, "tag", "v0.9.0")
    run(upstream, "tag", "v0.10.0")
    target = find(fork, "")
    assert target == "upstream/v0.10.0"
    report = looked_at(fork, target)
    assert report.deleted == ["src/domain/looms.py"]
    assert report.kept == [
        "src/application/unit_of_work.py",
        "src/domain/loans.py",
        "src/domain/mills.py",
        "tests/domain/test_loans.py",
    ]
    before = {name: (fork / name).read_text() for name in ("src/domain/mills.py", "src/domain/invoices.py")}
    merge(fork, report)
    assert run(fork, "status", "--porcelain") == ""
    assert {name: (fork / name).read_text() for name in before} == before
    for name in ("src/domain/kernel/users.py", "src/domain/kernel/keys.py", "src/adapters/tokens/keys.py"):
        assert (fork / name).read_text() == RELEASE[name]
    assert (fork / "tests/conftest.py").read_text() == "fixtures = 2\n"
    assert (fork / "src/application/unit_of_work.py").read_text() == "invoices\n"
    assert (fork / "Makefile").read_text() == "zero\none\ntwo\nthree\nfour\nfive\nmine\n"
    for name in ("src/domain/looms.py", "src/domain/loans.py", "tests/domain/test_loans.py"):
        assert not (fork / name).exists()
    with pytest.raises(Refused, match=r"^upstream/v0\.10\.0 is here already\.$"):
        looked_at(fork, target)
    said = "\n".join(report.lines())
    assert "src/adapters/postgres/migrations/kernel/0019_keys.py" in said
    assert f"git diff {report.base[:10]} upstream/v0.10.0 -- src/domain/mills.py" in said


def test_a_second_release_is_taken_over_as_the_first(upstream: Path, fork: Path) -> None:
    repository(upstream, dict(RELEASE), "Two")
    merge(fork, looked_at(fork, find(fork, "")))
    repository(
        upstream, {"src/domain/kernel/users.py": "users = 3\n", "src/domain/loans.py": "loans = 2\n"}, "3"
    )
    report = looked_at(fork, find(fork, ""))
    merge(fork, report)
    assert (fork / "src/domain/kernel/users.py").read_text() == "users = 3\n"
    assert not (fork / "src/domain/loans.py").exists()


def test_the_same_lines_are_told_and_nothing_is_committed(
    upstream: Path, fork: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    repository(upstream, RELEASE | {"Makefile": "one\ntwo\nthree\nfour\nfive\nyours\n"}, "Two")
    before = run(fork, "rev-parse", "HEAD")
    monkeypatch.chdir(fork)
    assert main([]) == 1
    said = capsys.readouterr().out
    assert "Both sides changed the same lines of these" in said
    assert "\n  Makefile\n" in said
    assert run(fork, "rev-parse", "HEAD") == before
    (undo,) = (line for line in said.splitlines() if line.startswith("Undo: "))
    subprocess.run(undo.removeprefix("Undo: "), shell=True, cwd=fork, check=True, capture_output=True)  # noqa: S602 (as it is told)
    assert (run(fork, "status", "--porcelain"), run(fork, "branch", "--format=%(refname:short)")) == (
        "",
        "main\n",
    )


def test_both_count_their_own_releases(upstream: Path, fork: Path) -> None:
    """Upstream's number is a tag and stands in its two files; a fork's version and changelog are its own."""
    project = 'name = "template"\nversion = "0.1.0"\n' + PROJECT
    log = {"pyproject.toml": project, "CHANGELOG.md": "## Unreleased\n", "UPGRADING.md": "# Upgrading\n"}
    repository(upstream, log, "The first files")
    merge(fork, looked_at(fork, find(fork, "")))
    mine = {
        "pyproject.toml": project.replace("template", "billing").replace("0.1.0", "3.2.0"),
        "CHANGELOG.md": "# Billing\n\n## 3.2.0\n",
    }
    repository(fork, dict(mine), "Release 3.2.0")
    run(fork, "tag", "v1.0.0")
    released = {
        "CHANGELOG.md": "## Unreleased\n\n## 1.0.0\n\nKeys.\n",
        "UPGRADING.md": "# Upgrading\n\n## 1.0.0\n\nSet KEYS.\n",
        "src/domain/kernel/keys.py": "keys = 1\n",
    }
    repository(upstream, dict(released), "Release")
    run(upstream, "tag", "v1.0.0")
    target = find(fork, "v1.0.0")
    assert target == find(fork, "") == "upstream/v1.0.0"
    report = looked_at(fork, target)
    merge(fork, report)
    assert {name: (fork / name).read_text() for name in mine} == mine
    assert (fork / "UPGRADING.md").read_text() == released["UPGRADING.md"]
    assert (fork / "src/domain/kernel/keys.py").exists()
    said = report.lines()
    at = said.index(f"UPGRADING.md says of what has come since {report.base[:10]}:")
    assert said[at + 1 :] == ["", "  ## 1.0.0", "", "  Set KEYS."]
    assert f"  git diff {report.base[:10]} upstream/v1.0.0 -- CHANGELOG.md" in said
    assert run(fork, "log", "-1", "--format=%s") == "Merge v1.0.0 of upstream\n"


def test_a_dry_run_changes_nothing(
    upstream: Path, fork: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    repository(upstream, dict(RELEASE), "Two")
    before = run(fork, "rev-parse", "HEAD")
    monkeypatch.chdir(fork)
    assert main(["--dry"]) == 0
    assert "upstream/main: 6 files of upstream, 1 of them migrations" in capsys.readouterr().out
    assert (run(fork, "rev-parse", "HEAD"), run(fork, "status", "--porcelain")) == (before, "")


def test_what_cannot_be_done_is_refused_with_its_remedy(
    upstream: Path, fork: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Refused, match=r"^There is no v9\.9\.9\. There is: no release yet\.$"):
        find(fork, "v9.9.9")
    with pytest.raises(Refused, match=r"^There is no --help"):
        find(fork, "--help")
    with pytest.raises(Refused, match=r"is here already"):
        looked_at(fork, find(fork, ""))
    run(fork, "remote", "set-url", "upstream", str(tmp_path / "nowhere"))
    with pytest.raises(Refused, match=r"^upstream cannot be fetched: "):
        find(fork, "")
    monkeypatch.setattr(upgrade, "SECONDS", 0)
    with pytest.raises(Refused, match=r"^upstream has said nothing for 0 seconds"):
        find(fork, "")
    run(fork, "remote", "remove", "upstream")
    with pytest.raises(Refused, match=r"^Say once where upstream is: git remote add upstream <its address>$"):
        find(fork, "")
    repository(tmp_path / "another", dict(BEFORE), "Another")
    run(fork, "fetch", "--quiet", str(tmp_path / "another"), "main:another")
    with pytest.raises(Refused, match=r"have no commit in common"):
        looked_at(fork, "another")


@pytest.mark.parametrize(
    ("name", "owned"),
    [
        ("src/domain/invoices.py", True),
        ("src/adapters/postgres/migrations/app/1_add.py", True),
        ("src/adapters/stripe/client.py", True),
        ("src/entrypoints/settings.py", True),
        ("tests/resources/invoices.py", True),
        ("openapi/v1.json", True),
        ("CHANGELOG.md", True),
        ("UPGRADING.md", False),
        ("src/domain/kernel/users.py", False),
        ("src/adapters/tokens/oidc.py", False),
        ("src/adapters/postgres/migrations/env.py", False),
        ("src/adapters/postgres/migrations/kernel/0019.py", False),
        ("src/domain/__init__.py", False),
        ("tests/conftest.py", False),
        ("tests/kernel/domain/test_users.py", False),
        ("Makefile", False),
        ("docs/auth.md", False),
    ],
)
def test_whose_a_file_is(name: str, owned: bool, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    assert owner(tmp_path)(name) is owned
