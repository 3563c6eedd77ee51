"""Runs tests of the previous release on the schema of this one (`make test-previous`).

While a release is rolled out, and after it was rolled back, the code of before works on the tables of after.
PREVIOUS names the commit to compare with; by default it is the newest tag before this commit, else the commit
where this branch left `main`, else the one before this one.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# What reads and writes tables; not what compares them with the code that describes them.
TESTS = (
    "tests/kernel/contracts/test_repositories.py", "tests/kernel/contracts/test_kept_answers.py",
    "tests/kernel/contracts/test_attempts.py", "tests/kernel/adapters/postgres/test_lists.py",
    "tests/kernel/entrypoints/http", "tests/entrypoints/http",
)  # fmt: skip
# Of the API's description, of sockets and proxies: no schema changes what they see.
LEFT_OUT = (
    "test_document.py", "test_docs.py", "test_examples.py", "test_raw_sockets.py", "test_behind_proxies.py",
    "test_proxies.py", "test_edge.py", "test_well_known.py", "test_column_types.py", "test_cookies.py",
    "test_bad_input.py", "test_main.py", "test_idempotency_crash.py", "test_stopping.py",
    "test_connections.py", "test_hosts.py", "test_ends_early.py", "test_app.py",
)  # fmt: skip


def git(*arguments: str) -> str | None:
    """What git says, or nothing where it refuses."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, check=False, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def previous() -> str | None:
    """The commit of the previous release."""
    if named := os.environ.get("PREVIOUS"):
        if commit := git("rev-parse", "--verify", "--quiet", f"{named}^{{commit}}"):
            return commit
        sys.exit(f"PREVIOUS={named} is no commit of this clone: git fetch --tags, or name another one.")
    if tag := git("describe", "--tags", "--abbrev=0", "HEAD^"):
        return git("rev-parse", f"{tag}^{{commit}}")
    head = git("rev-parse", "HEAD")
    for main in ("origin/main", "main"):
        if (base := git("merge-base", "HEAD", main)) and base != head:
            return base
    return git("rev-parse", "--verify", "--quiet", "HEAD^")


def main(arguments: list[str]) -> int:
    commit = previous()
    if commit is None:
        if git("rev-parse", "--is-shallow-repository") == "true":
            print("This clone is shallow and has no previous release: git fetch --unshallow --tags")
            return 1 if os.environ.get("CI") else 0
        print("There is no previous release: this is the first commit.")
        return 0
    with tempfile.TemporaryDirectory(prefix="previous-") as folder:
        tree = Path(folder) / "release"
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", tree, commit], cwd=ROOT, check=True)
        try:
            print(f"The tests of {git('describe', '--tags', '--always', commit)} on this schema", flush=True)
            return run(tree, arguments)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=ROOT, check=False)


def run(tree: Path, arguments: list[str]) -> int:
    paths = [str(tree / each) for each in TESTS if (tree / each).exists()]
    left_out = [f"--ignore-glob=*/{name}" for name in LEFT_OUT]
    if not (tree / "src/adapters/postgres/kernel/migrating/applied.py").exists():
        # A release of before decision 0036 is not ready where the schema is ahead of it.
        left_out += ["-k", "not ready and not readiness"]
    (tree / ".venv").symlink_to(ROOT / ".venv")
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "previous_schema", "-p", "no:cacheprovider"),
            *("-n", "logical", "--maxprocesses=4", *left_out, *paths, *arguments),
        ],
        cwd=tree,
        env={
            **os.environ,
            "NEW_RELEASE": str(ROOT),
            "PYTHONPATH": os.pathsep.join(map(str, (tree / "src", tree, ROOT / "scripts"))),
        },
        check=False,
    ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
