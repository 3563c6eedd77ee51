"""Proves the seam on a copy (`make test-fork`): the kernel without the example, and a merge without a conflict.

(a) The example is deleted as a fork would: its files, and its lines in the lists that a fork owns. `make check`
    and all that is left of the tests pass.
(b) Upstream adds a resource to the kernel, the fork adds another one, under a name of two words, each with a
    migration of the same day. `git merge` has no conflict, both migrations are applied to the fork's filled
    database, and the checks and tests of the result pass.

Both new resources are written from the specimen of the tests, which a fork's look like. `ARGS=strip` does (a) alone.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SPECIMEN = "tests/kernel/specimen"

# What a fork owns and keeps when it deletes the example; every other file outside of a kernel is the example's.
OWN = {
    "src/application/permissions.py": '"""What may be done in a workspace beside the kernel\'s permissions, and which role may do it."""\n',
    "src/application/reactions.py": '"""What this service\'s events cause; `entrypoints/worker.py` has the table that says which."""\n',
    "src/application/unit_of_work.py": '''\
"""One transaction of this service: the kernel's collections, and its own."""

from application.kernel.unit_of_work import KernelUnitOfWork
from application.queries import Queries


class UnitOfWork(KernelUnitOfWork):
    ask: Queries
''',
    "src/application/queries/__init__.py": '''\
"""What people can ask of this service: for each resource its views and the protocol that answers them."""

from dataclasses import dataclass

from application.kernel.queries import KernelQueries


@dataclass(frozen=True, slots=True, kw_only=True)
class Queries(KernelQueries):
    """Everything that can be asked: the kernel's questions, and this service's own."""
''',
    "src/entrypoints/seed.py": '''\
"""This service's part of the demo data."""

from application.unit_of_work import UnitOfWork
from entrypoints.kernel.seed import Demo


async def fill(uow: UnitOfWork, demo: Demo) -> None:
    """Nothing yet."""
''',
    "src/entrypoints/worker.py": None,  # edited below
}
KEPT = (
    "src/*/__init__.py", "src/adapters/postgres/__init__.py", "src/adapters/postgres/migrations/env.py",
    "src/adapters/tokens/*", "src/adapters/passwords/*", "src/adapters/mail/*", "src/application/commands/__init__.py",
    "src/entrypoints/*.py", "src/entrypoints/http/*.py", "src/entrypoints/http/v1/__init__.py",
    "tests/conftest.py", "tests/*/conftest.py", "tests/*/*/conftest.py", "tests/resources/__init__.py",
)  # fmt: skip


class Copy:
    """A clone of this repository, in which commands run with this one's environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
        changed = subprocess.run(
            ["git", "ls-files", "--modified", "--others", "--exclude-standard"],
            cwd=ROOT, check=True, capture_output=True, text=True,
        ).stdout.split()  # fmt: skip
        for name in changed:
            if (ROOT / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)
        (folder / ".venv").symlink_to(ROOT / ".venv")
        with (folder / ".git/info/exclude").open("a") as exclude:
            exclude.write(".venv\n")
        self.git("config", "user.name", "fork")
        self.git("config", "user.email", "fork@example.com")
        self.commit("What is being tried")

    def run(self, *command: str) -> None:
        began = time.monotonic()
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(self.folder / "src"), str(self.folder)]),
        }
        done = subprocess.run(
            command, cwd=self.folder, env=environment, check=False, capture_output=True, text=True
        )
        seconds = time.monotonic() - began
        last = [line for line in done.stdout.splitlines() if line.strip()][-1:]
        print(f"  {' '.join(command)}: {' '.join(last)} ({seconds:.0f} s)", flush=True)
        if done.returncode:
            sys.exit(f"{done.stdout[-8000:]}\n{done.stderr[-4000:]}\nFailed: {' '.join(command)}")

    def make(self, *arguments: str) -> None:
        # The environment is this repository's own: it is neither out of date nor to be made here.
        self.run("make", "--no-print-directory", "-o", ".venv/.complete", *arguments)

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, check=False, capture_output=True, text=True
        )
        if done.returncode:
            sys.exit(f"git {' '.join(arguments)}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def edit(self, name: str, *changes: tuple[str, str]) -> None:
        text = (self.folder / name).read_text()
        for before, after in changes:
            if before not in text:
                sys.exit(f"{name} has no {before!r} to edit.")
            text = text.replace(before, after, 1)
        self.write(name, text)

    def tidy(self) -> None:
        """As a developer would before a commit."""
        self.make("fmt")

    def check_and_test(self) -> None:
        self.make("openapi", "BREAKING=allowed")
        self.make("check")
        self.make("test", "ARGS=-q")


def strip(copy: Copy) -> None:
    """Deletes the example."""
    for path in sorted([*copy.folder.glob("src/**/*.py"), *copy.folder.glob("tests/**/*.py")]):
        name = path.relative_to(copy.folder)
        if "kernel" not in name.parts and str(name) not in OWN and not any(name.match(kept) for kept in KEPT):
            path.unlink()
    for name, text in OWN.items():
        if text is not None:
            copy.write(name, text)
    worker = (copy.folder / "src/entrypoints/worker.py").read_text()
    worker = re.sub(r"^from (application\.reactions|domain\.\w+) import .*\n", "", worker, flags=re.MULTILINE)
    worker = re.sub(
        r"REACTIONS: Sequence\[Row\] = \[.*?\]\n", "REACTIONS: Sequence[Row] = []\n", worker, flags=re.DOTALL
    )
    copy.write("src/entrypoints/worker.py", worker)
    copy.write(
        "tests/entrypoints/http/conftest.py", (ROOT / "tests/kernel/entrypoints/http/conftest.py").read_text()
    )
    for name in (
        "src/adapters/postgres/migrations/app",
        "src/entrypoints/http/v1",
        "src/application/commands",
    ):
        folder = copy.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        if not any(folder.iterdir()):
            (folder / ".gitkeep").touch()
    shutil.rmtree(copy.folder / "bench")  # it measures the example
    copy.tidy()
    copy.commit("Delete the example")


def add_resource(copy: Copy, *, singular: str, plural: str, kernel: bool) -> None:
    """The specimen's aggregate under another name, in the kernel or loose in the rings."""
    names = "".join(word.title() for word in singular.split("_"))

    def renamed(text: str) -> str:
        below = "kernel." if kernel else ""
        for before, after in (
            ("kernel.specimen.domain.work_orders", f"domain.{below}{plural}"),
            ("kernel.specimen.commands.work_orders", f"application.{below}commands.{plural}"),
            ("kernel.specimen.commands import", f"application.{below}commands import"),
            ("kernel.specimen.queries.work_orders", f"application.{below}queries.{plural}"),
            ("kernel.specimen.postgres.work_orders", f"adapters.postgres.{below}{plural}"),
            ("kernel.specimen.permissions", f"application.{below}permissions"),
            ("kernel.specimen.builders import", f"{'kernel.' if kernel else ''}resources.{plural} import"),
            ('    info={"migrated": False},  # made for the tests by `statements`, not by a migration\n', ""),
            ("TransitionNotAllowed", f"{names}TransitionNotAllowed"),
        ):
            text = text.replace(before, after)
        if kernel:
            text = text.replace(
                "from kernel.specimen.service import UnitOfWork",
                "from application.kernel.unit_of_work import KernelUnitOfWork",
            )
            text = text.replace(
                "from kernel.specimen.service import Ask, Run",
                "from entrypoints.http.kernel.routing.dependencies import Ask, Run",
            )
            text = re.sub(r"(?<!\w)UnitOfWork\b", "KernelUnitOfWork", text)
        else:
            text = text.replace(
                "from kernel.specimen.service import UnitOfWork",
                "from application.unit_of_work import UnitOfWork",
            )
            text = text.replace(
                "from kernel.specimen.service import Ask, Run",
                "from entrypoints.http.dependencies import Ask, Run",
            )
        words = (
            ("WorkOrder", names),
            ("WORK_ORDER", singular.upper()),
            ("work_orders", plural),
            ("work_order", singular),
        )
        for before, after in (
            *words,
            ("work orders", plural.replace("_", " ")),
            ("work order", singular.replace("_", " ")),
        ):
            text = text.replace(before, after)
        return text

    ring = "kernel/" if kernel else ""
    facts = f"tests/{'kernel/' if kernel else ''}resources"
    for source, target in (
        ("domain", f"src/domain/{ring}{plural}.py"),
        ("commands", f"src/application/{ring}commands/{plural}.py"),
        ("queries", f"src/application/{ring}queries/{plural}.py"),
        ("postgres", f"src/adapters/postgres/{ring}{plural}.py"),
        ("v1", f"src/entrypoints/http/{ring}v1/{plural}.py"),
    ):
        copy.write(target, renamed((copy.folder / SPECIMEN / source / "work_orders.py").read_text()))
    builders = (copy.folder / SPECIMEN / "builders.py").read_text()
    resource = (copy.folder / SPECIMEN / "resources/work_orders.py").read_text()
    header, _, body = builders.partition("def a_note(")
    imports = [line for line in header.splitlines() if line.startswith("from ") and "notes" not in line]
    functions = header[header.index("def a_work_order_id") :]
    docstring, _, rest = resource.partition("\n\n")
    rest = re.sub(r"^from kernel\.specimen\.builders import .*\n", "", rest, flags=re.MULTILINE)
    first = re.search(r"^(?!from |import |    |\)|$)", rest, flags=re.MULTILINE)
    assert first is not None
    text = "\n".join([docstring, "", *imports, rest[: first.start()], functions, rest[first.start() :]])
    copy.write(f"{facts}/{plural}.py", renamed(text))
    if not (copy.folder / facts / "__init__.py").exists():
        copy.write(f"{facts}/__init__.py", '"""The facts of these resources, for all suites."""\n')

    prefix = "Kernel" if kernel else ""
    below = "kernel." if kernel else ""
    unit_of_work = f"src/application/{ring}unit_of_work.py"
    imports = f"from domain.{below}{plural} import {names}, {names}Id\n"
    if kernel:
        copy.edit(
            unit_of_work,
            (
                "from domain.kernel.users import UserId\n",
                f"{imports}from domain.kernel.users import UserId\n",
            ),
            (
                "    kept_answers: KeptAnswers\n",
                f"    {plural}: Repository[{names}, {names}Id]\n    kept_answers: KeptAnswers\n",
            ),
        )
    else:
        copy.edit(
            unit_of_work,
            (
                "from application.queries import Queries\n",
                f"from application.kernel.ports.storing import Repository\nfrom application.queries import Queries\n{imports}",
            ),
            ("    ask: Queries\n", f"    ask: Queries\n    {plural}: Repository[{names}, {names}Id]\n"),
        )
    queries = f"src/application/{ring}queries/__init__.py"
    text = (copy.folder / queries).read_text().rstrip()
    text = text.replace(
        "\n\n\n@dataclass",
        f"\nfrom application.{below}queries.{plural} import {names}Queries\n\n\n@dataclass",
        1,
    )
    copy.write(queries, f"{text}\n    {plural}: {names}Queries\n")
    permissions = f"src/application/{ring}permissions.py"
    text = (copy.folder / permissions).read_text()
    if not kernel:
        text += "\nfrom application.kernel.permissions import MEMBERS, Permission\n"
    copy.write(permissions, f'{text}\nWRITE_{plural.upper()} = Permission("{plural}:write", MEMBERS)\n')
    del prefix
    copy.tidy()
    line = ["LINE=kernel"] if kernel else []
    copy.make("migration", f"m=add {plural.replace('_', ' ')}", *line)
    copy.make("openapi")
    copy.commit(f"Add {plural}")


def main(arguments: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="fork-") as folder:
        print("(a) the kernel without the example", flush=True)
        fork = Copy(Path(folder) / "fork")
        strip(fork)
        fork.check_and_test()
        fork.commit("Store the document without the example")
        if arguments == ["strip"]:
            return
        print("(b) upstream and the fork add a resource each", flush=True)
        upstream = Copy(Path(folder) / "upstream")
        add_resource(upstream, singular="shipment", plural="shipments", kernel=True)
        add_resource(fork, singular="purchase_order", plural="purchase_orders", kernel=False)
        fork.git("fetch", "--quiet", str(upstream.folder), "HEAD")
        print(fork.git("merge", "--no-edit", "FETCH_HEAD").splitlines()[-1])
        fork.check_and_test()


if __name__ == "__main__":
    main(sys.argv[1:])
