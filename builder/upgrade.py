"""Takes a release of upstream over: `make upgrade`, `make upgrade TO=v1.4.0`, `make upgrade DRY=1`.

On a branch of its own, by `git merge`. A file that the fork owns stays as it is, or deleted; what upstream
did to it is told, and what the release adds to UPGRADING.md. What is generated is written anew, and then
everything is checked. Upstream's tags are fetched to refs/upstream: a fork counts its own releases.
"""

import argparse
import fnmatch
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from builder.__main__ import ensure_clean, git
from builder.spec import Refused

REMOTE = "upstream"
RELEASES = f"refs/{REMOTE}"
FETCHED = (f"+refs/heads/*:refs/remotes/{REMOTE}/*", f"+refs/tags/*:{RELEASES}/*")
"""Its branches, and its tags where those of the fork are not: both may have a v1.0.0."""

SECONDS = 120
"""How long upstream is waited for."""

OWNED = (
    "src/domain/*",
    "src/application/*",
    "src/adapters/*",
    "src/entrypoints/*",
    "tests/domain/*",
    "tests/application/*",
    "tests/adapters/*",
    "tests/contracts/*",
    "tests/entrypoints/*",
    "tests/resources/*",
    "tests/test_*.py",
    "CHANGELOG.md",
    "openapi/v*.json",
    "clients/typescript/src/schema.ts",
    "clients/typescript/src/contract.ts",
)
NOT_OWNED = ("*/__init__.py", "*/migrations/env.py", "*/migrations/script.py.mako", "*/migrations/kernel/*")

_RELEASE = re.compile(r"v\d+\.\d+\.\d+")


@dataclass(slots=True)
class Report:
    """What a release is, by kinds of files."""

    target: str
    base: str
    by_hand: list[str] = field(default_factory=list)
    """What has come to UPGRADING.md since, line by line."""
    taken: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        of_migrations = [name for name in self.taken if "/migrations/kernel/" in name]
        lines = [
            f"{self.target}: {len(self.taken)} files of upstream, {len(of_migrations)} of them migrations"
        ]
        lines += [f"  {name}" for name in of_migrations]
        if self.kept:
            lines += ["Upstream changed what is yours; it stays as you have it. What it did there:"]
            lines += [f"  git diff {self.base[:10]} {self.target} -- {name}" for name in self.kept]
        if self.deleted:
            lines += [f"Deleted here, and it stays so: {len(self.deleted)} files"]
        if self.by_hand:
            lines += [f"UPGRADING.md says of what has come since {self.base[:10]}:"]
            lines += [f"  {line}".rstrip() for line in self.by_hand]
        return lines


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make upgrade")
    parser.add_argument("--to", default="")
    parser.add_argument("--dry", action="store_true")
    options = parser.parse_args(arguments)
    root = Path.cwd()
    try:
        ensure_clean(root)
        target = find(root, options.to)
        report = looked_at(root, target)
        if options.dry:
            print(*report.lines(), "Nothing was changed: leave DRY=1 out to do it.", sep="\n")
            return 0
        before = git("rev-parse", "--abbrev-ref", "HEAD", cwd=root).strip()
        branch = f"upgrade-{target.rpartition('/')[2]}"
        git("switch", "--quiet", "--create", branch, cwd=root)
        undo = f"Undo: git merge --abort; git switch {before} && git branch -D {branch}"
        try:
            merge(root, report)
            regenerate(root)
        except Refused as refused:
            print(*report.lines(), refused, undo, sep="\n")
            return 1
    except Refused as refused:
        print(refused)
        return 2
    print(
        *report.lines(), f"It is on the branch {branch}: merge it when you have looked at it.", undo, sep="\n"
    )
    return 0


def find(root: Path, wanted: str) -> str:
    """What is merged: the release that is named, or the newest, or the main branch where there is none."""
    if REMOTE not in git("remote", cwd=root).split():
        raise Refused(f"Say once where upstream is: git remote add {REMOTE} <its address>")
    try:
        subprocess.run(
            ["git", "fetch", "--quiet", "--no-tags", REMOTE, *FETCHED], cwd=root, check=True, timeout=SECONDS,
            capture_output=True, text=True, env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Refused(f"{REMOTE} has said nothing for {SECONDS} seconds.") from None
    except subprocess.CalledProcessError as failed:
        raise Refused(f"{REMOTE} cannot be fetched: {failed.stderr.strip()}") from None
    heads = git("for-each-ref", "--format=%(refname:short)", f"refs/remotes/{REMOTE}", cwd=root).split()
    tags = git("for-each-ref", "--sort=-version:refname", "--format=%(refname:lstrip=2)", RELEASES, cwd=root)
    releases = [tag for tag in tags.split() if _RELEASE.fullmatch(tag)]
    if wanted:
        for name in (f"{REMOTE}/{wanted}", wanted):
            known = subprocess.run(
                ["git", "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"], cwd=root,
                check=False, capture_output=True,
            )  # fmt: skip
            if not known.returncode and not wanted.startswith("-"):
                return name
        raise Refused(f"There is no {wanted}. There is: {', '.join(releases[:10]) or 'no release yet'}.")
    if releases:
        return f"{REMOTE}/{releases[0]}"
    if f"{REMOTE}/main" in heads:
        return f"{REMOTE}/main"
    raise Refused(f"{REMOTE} has neither a release nor a branch main: say which, TO=…")


def looked_at(root: Path, target: str) -> Report:
    """What merging it would do; raises `Refused` where it is here already, or has nothing in common."""
    done = subprocess.run(
        ["git", "merge-base", "HEAD", target], cwd=root, check=False, capture_output=True, text=True
    )
    base = done.stdout.strip()
    if not base:
        raise Refused(
            f"{target} and this repository have no commit in common: a fork keeps upstream's history."
        )
    report, is_owned = Report(target, base), owner(root)
    changed = git("diff", "--name-only", "--no-renames", base, target, cwd=root).splitlines()
    if not changed:
        raise Refused(f"{target} is here already.")
    added = git("diff", "--unified=0", base, target, "--", "UPGRADING.md", cwd=root).splitlines()
    report.by_hand = [line[1:] for line in added if line.startswith("+") and not line.startswith("+++")]
    here = set(git("ls-files", cwd=root).splitlines())
    before = set(git("ls-tree", "-r", "--name-only", base, cwd=root).splitlines())
    for name in changed:
        if name in before and name not in here:
            report.deleted.append(name)
        elif is_owned(name):
            report.kept.append(name)
        else:
            report.taken.append(name)
    return report


def owner(root: Path) -> Callable[[str], bool]:
    """Whether a file is the fork's own."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    rules = project.get("tool", {}).get("importlinter", {}).get("contracts", [])
    packages = [name for rule in rules for name in rule.get("kernel_packages", ())]
    kernels = tuple(f"src/{name.replace('.', '/')}/" for name in packages)

    def is_owned(name: str) -> bool:
        if "kernel" in Path(name).parts or name.startswith(kernels):
            return False
        return any(fnmatch.fnmatch(name, form) for form in OWNED) and not any(
            fnmatch.fnmatch(name, form) for form in NOT_OWNED
        )

    return is_owned


def merge(root: Path, report: Report) -> None:
    """Merges and commits; raises `Refused` with the files in which both sides changed the same lines."""
    subprocess.run(
        ["git", "merge", "--no-commit", "--no-ff", "--quiet", "-X", "no-renames", report.target], cwd=root,
        check=False, capture_output=True,
    )  # fmt: skip
    here = set(git("ls-tree", "-r", "--name-only", "HEAD", cwd=root).splitlines())
    for name in (*report.kept, *report.deleted):
        if name in here:
            git("checkout", "HEAD", "--", name, cwd=root)
        else:
            git("rm", "-f", "--quiet", "--ignore-unmatch", "--", name, cwd=root)
    report.conflicts = sorted(set(git("diff", "--name-only", "--diff-filter=U", cwd=root).splitlines()))
    if report.conflicts:
        listed = "".join(f"\n  {name}" for name in report.conflicts)
        raise Refused(
            f"Both sides changed the same lines of these; mend them, git commit, and make check:{listed}"
        )
    git("commit", "--quiet", "-m", f"Merge {report.target.removeprefix(f'{REMOTE}/')} of upstream", cwd=root)


def regenerate(root: Path) -> None:
    """The environment, the stored documents and the client, and then all checks, each told as it is done."""
    for step in (["openapi"], ["client"], ["check"], ["test-app"]):
        if step == ["client"] and not (root / "clients/typescript/node_modules").exists():
            print("The TypeScript client is written by make client (it needs Node 20).")
            continue
        print(f"make {' '.join(step)}", flush=True)
        if subprocess.run(["make", "--no-print-directory", *step], cwd=root, check=False).returncode:
            raise Refused(f"make {' '.join(step)} failed: mend it on this branch, and git commit.")
    if git("status", "--porcelain", cwd=root):
        git("commit", "--quiet", "--all", "-m", "Write what is generated anew", cwd=root)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
