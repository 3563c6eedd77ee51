"""Proves the seam on a copy (`make test-fork`): the example can be deleted, and upstream merges.

(a) The example is taken out as a fork would, by `make example-remove`, nothing that stays names it, and
    `make test-app` passes without a resource; with `ARGS=strip`, which does (a) alone, `make check` and all tests
    that are left.
(b) Upstream adds a resource to the kernel, the fork generates four, three of which refer to one another, each
    with migrations of the same day, and adds fields to one, and what docs/guides show to another. `git merge` has
    no conflict, all migrations are applied to the fork's filled database, and the checks pass, and the tests that
    look at resources; with `ARGS=all` every test does.

Upstream's resource is the specimen of the tests under another name, the fork's are what `make resource` writes.
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

NOT_MIGRATED = '    info={"migrated": False},  # made for the tests by `statements`, not by a migration\n'

BESIDES = "tests/kernel/adapters/postgres/test_migrations.py tests/kernel/test_architecture.py"
"""What a merge could break beside the resources. The kernel's other suites see the same code as upstream's."""

# As a developer of a fork writes it.
GENERATED = [
    ["name=reading", "fields=amount:int(-5..5)", "can=create,get"],
    [
        "name=purchase_order",
        "fields="
        "code:slug!unique!sort!filter title:str(40)!unique!sort!filter!search body:text!search mail:email!unique!sort!filter "
        "backup:email? home:url page:url? size:int(1..10)!sort!filter rank:int(0..1000000)!unique "
        "weight:decimal(8,3)!sort!filter share:decimal(3,2)? cost:money!sort!filter fee:money=1.50 "
        "done:bool!sort!filter active:bool=true maybe:bool? day:date!sort!filter due_on:date?!filter "
        "starts_at:datetime!sort!filter ends_at:datetime?!filter state:enum(open,closed)=open!filter "
        "kind:enum(a,b,c)? extra:json more:json? tags:list(str) words:list(str)? note:text? nick:str(12)?!filter first:ref(reading)!filter last:ref(reading)?",
        "role=admin",
    ],
    ["name=visit", "fields=title:str(40) bought:ref(purchase_order) returned:ref(purchase_order)?"],
]
ADDED = [
    "resource=purchase_order",
    "add=seen_on:date?!filter grade:int(1..5)=3!sort stage:enum(new,old)=new!filter remark:text?!search handle:slug?!unique",
]

GUIDED = ["name=invoice", "fields=number:str(40)!unique status:enum(draft,sent,paid)=draft total:money"]
"""The resource that docs/guides begin with (`RESOURCE` of builder/guides.py)."""


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
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)
        (folder / ".venv").symlink_to(ROOT / ".venv")
        with (folder / ".git/info/exclude").open("a") as exclude:
            exclude.write(".venv\n")
        self.git("config", "merge.ours.driver", "true")  # as the environment's rule in the Makefile
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

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    def tried(self, *arguments: str) -> None:
        """As `make`; tests that failed among the others are tried once more, alone."""
        try:
            self.make(*arguments)
        except SystemExit as failed:
            print(failed, flush=True)
            self.make("retest")


# How a page says something else by a word of the example: asyncio's tasks, comments in code and in SQL, Grafana's
# dashboards, what PostgreSQL notifies of, and a field of an invoice.
OTHER_MEANINGS = (
    r"a task to shield|the task of the request|no task waits|a task for the request|asyncio tasks",
    r"a comment says why|keeps comments while|a comment on `alembic_version|A comment that `pg_dump --no-comments",
    r"dashboard\.json|alerts and dashboard|Alerts and dashboard|alerts and the dashboard",
    r"no notification has told",
    r"notes:text\?|search=number,notes",
)
WORDS = r"\b([Tt]asks?|[Cc]omments?|[Nn]otifications?|[Dd]ashboards?|[Nn]otes?)\b"
PAGES = ("*.md", "*.yml", "*.toml", ".env.example", "Makefile", ".ci", "openapi/*.json", ":!*lock.json")
PLACES = (
    r"(domain|commands|queries|postgres|resources|v1)[./](tasks|comments|notifications|dashboard|notes)\b"
)


def strip(copy: Copy) -> None:
    copy.make("example-remove")
    copy.commit("Remove the example")
    if named := names_of_the_example(copy.folder):
        sys.exit(f"This is left of the example:\n{named}")
    copy.git("tag", "--force", "v9.0.0")  # checks know of a release then, and hold migrations to it


def names_of_the_example(folder: Path) -> str:
    """Lines of pages that speak of the example, and of code that name a module or a path of it; none is good."""
    found: list[str] = []
    for pattern, where in (
        (WORDS, PAGES),
        (PLACES, (":!*.md", ":!src/adapters/postgres/migrations/app", ":!clients")),
    ):
        grep = ["git", "grep", "-n", "-P", pattern, "--", *where]
        said = subprocess.run(grep, cwd=folder, check=False, capture_output=True, text=True)
        if said.returncode > 1:  # 1 is: nothing was found
            sys.exit(said.stderr)
        found += said.stdout.splitlines()
    meant = re.compile("|".join(OTHER_MEANINGS))
    return "\n".join(
        line for line in found if re.search(WORDS, meant.sub("", line)) or re.search(PLACES, line)
    )


class Resource:
    """The specimen's aggregate under another name, in the kernel."""

    def __init__(self, *, singular: str, plural: str) -> None:
        self.singular, self.plural = singular, plural
        self.entity = "".join(word.title() for word in singular.split("_"))

    def add_to(self, copy: Copy) -> None:
        for ring, target in (
            ("domain", "src/domain/kernel/"),
            ("commands", "src/application/kernel/commands/"),
            ("queries", "src/application/kernel/queries/"),
            ("postgres", "src/adapters/postgres/kernel/"),
            ("v1", "src/entrypoints/http/kernel/v1/"),
        ):
            source = (copy.folder / SPECIMEN / ring / "specimen_orders.py").read_text()
            copy.write(f"{target}{self.plural}.py", self._renamed(source))
        self._add_facts(copy)
        self._add_to_lists(copy)
        copy.make("fmt")
        copy.make("migration", f"m=add {self.plural}", "LINE=kernel")
        self._finish_migration(copy)
        copy.make("openapi")
        copy.commit(f"Add {self.plural}")

    def _finish_migration(self, copy: Copy) -> None:
        """What Alembic does not see: a reference set to null needs a trigger, and tests need rows."""
        (path,) = (copy.folder / "src/adapters/postgres/migrations").rglob(f"*add_{self.plural}*.py")
        text, end = path.read_text(), "\n\n\ndef downgrade"
        setup = (copy.folder / SPECIMEN / "postgres/setup.py").read_text()
        found = re.findall(r'^[A-Z_]+ = """(.*?)"""', setup, flags=re.DOTALL | re.MULTILINE)
        statements = [self._renamed(sql) for sql in found]
        added = "".join(f'\n    op.execute("""{sql}""")' for sql in statements)
        dropped = f'    op.execute("DROP FUNCTION {self.plural}_raise_version")\n'
        path.write_text(f"{text.replace(end, added + end)}{dropped}")
        (revision,) = re.findall(r'^revision: str = "(\w+)"', text, flags=re.MULTILINE)
        facts = f"tests/kernel/resources/{self.plural}.py"
        rows = f"""
        INSERT INTO {self.plural} (id, workspace_id, title, description, status, priority, labels,
            created_by, created_at, updated_at, version)
        SELECT gen_random_uuid(), workspace_id, 'Spin', '', 'open', 'high', '{{}}', user_id, now(), now(), 1
        FROM memberships
        """  # noqa: S608 (of a name of this script)
        none = "FILLINGS: Mapping[str, str] = {}"
        copy.write(facts, copy.read(facts).replace(none, f'{none[:-1]}"{revision}": """{rows}"""}}'))
        copy.make("fmt")

    def _renamed(self, text: str) -> str:
        for before, after in (
            ("kernel.specimen.domain.specimen_orders", f"domain.kernel.{self.plural}"),
            ("kernel.specimen.commands.specimen_orders", f"application.kernel.commands.{self.plural}"),
            ("kernel.specimen.commands import", "application.kernel.commands import"),
            ("kernel.specimen.queries.specimen_orders", f"application.kernel.queries.{self.plural}"),
            ("kernel.specimen.postgres.specimen_orders", f"adapters.postgres.kernel.{self.plural}"),
            ("kernel.specimen.permissions", "application.kernel.permissions"),
            (
                "kernel.specimen.service import UnitOfWork",
                "application.kernel.unit_of_work import UnitOfWork",
            ),
            ("kernel.specimen.service import", "entrypoints.http.kernel.routing.dependencies import"),
            (NOT_MIGRATED, ""),
            ("SpecimenOrder", self.entity),
            ("SPECIMEN_ORDER", self.singular.upper()),
            ("specimen_orders", self.plural),
            ("specimen_order", self.singular),
            ("specimen orders", self.plural.replace("_", " ")),
            ("specimen order", self.singular.replace("_", " ")),
        ):
            text = text.replace(before, after)
        return re.sub(r"(?<!\w)UnitOfWork\b", "KernelUnitOfWork", text)

    def _add_facts(self, copy: Copy) -> None:
        builders = (copy.folder / SPECIMEN / "builders.py").read_text().partition("def a_specimen_note(")[0]
        facts = (copy.folder / SPECIMEN / "resources/specimen_orders.py").read_text()
        facts = re.sub(r"^from kernel\.specimen\.builders import .*\n", "", facts, flags=re.MULTILINE)
        docstring, _, facts = facts.partition("\n\n")
        imports, functions = builders[builders.index("from ") :].split("def ", 1)
        imports = "".join(line for line in imports.splitlines(True) if ".specimen_notes" not in line)
        end = facts.index("\n\n\n")  # of the imports
        text = f"{docstring}\n\n{imports}{facts[:end]}\n\n\ndef {functions}\n\n{facts[end:]}"
        copy.write(f"tests/kernel/resources/{self.plural}.py", self._renamed(text))

    def _add_to_lists(self, copy: Copy) -> None:
        """The lines that a developer of the kernel writes in its lists."""
        ring, entity, plural = "src/application/kernel/", self.entity, self.plural
        text = copy.read(f"{ring}unit_of_work.py")
        last = "    kept_answers: KeptAnswers\n"
        text = text.replace(last, f"{last}    {plural}: Repository[{entity}, {entity}Id]\n", 1)
        imports = (
            "from application.kernel.ports.storing import Repository\n"
            f"from domain.kernel.{plural} import {entity}, {entity}Id\n"
        )
        copy.write(
            f"{ring}unit_of_work.py", text.replace("from application.", f"{imports}from application.", 1)
        )

        text = copy.read(f"{ring}queries/__init__.py").rstrip()
        imports = f"from application.kernel.queries.{plural} import {entity}Queries\n"
        text = text.replace("\n\n\n@dataclass", f"\n{imports}\n\n@dataclass", 1)
        copy.write(f"{ring}queries/__init__.py", f"{text}\n    {plural}: {entity}Queries\n")

        name, suite = f"WRITE_{plural.upper()}", "tests/kernel/application/test_permissions.py"
        text = copy.read(f"{ring}permissions.py")
        copy.write(f"{ring}permissions.py", f'{text}\n{name} = Permission("{plural}:write", MEMBERS)\n')
        text = copy.read(suite).replace("LEAST = {", f"LEAST = {{permissions.{name}: Role.MEMBER, ", 1)
        copy.write(suite, text)
        self._add_to_audit(copy)

    def _add_to_audit(self, copy: Copy) -> None:
        """Of each event of the kernel it is said why it is not security relevant, if it is not."""
        audit, table = (
            "src/application/kernel/audit.py",
            "KERNEL_UNWRITTEN: Final[Mapping[type[Event], str]] = {\n",
        )
        events = re.findall(
            r"^class (\w+)\(Event\)", copy.read(f"src/domain/kernel/{self.plural}.py"), re.MULTILINE
        )
        rows = "".join(f'    {event}: "It gives nobody a way in.",\n' for event in events)
        text = copy.read(audit).replace(table, f"{table}{rows}", 1)
        imports = f"from domain.kernel.{self.plural} import {', '.join(events)}\n"
        copy.write(audit, text.replace("from domain.kernel.users", f"{imports}from domain.kernel.users", 1))


def add_generated(copy: Copy) -> None:
    """`make resource`, as it is without any other resource, with every type and modifier and two words, and
    references to one another.

    The last one can be taken out again without a trace but migrations, and fields are added to another.
    """
    copy.make("resource", *GENERATED[0], "DRY=1")
    if copy.git("status", "--porcelain"):
        sys.exit("make resource DRY=1 has written something.")
    before = ""
    for words in GENERATED:
        before = copy.git("rev-parse", "HEAD").strip()
        copy.make("resource", *words)
        copy.commit("Add what was generated")
    copy.make("resource-remove", "name=visit")
    copy.git("add", "--all")
    if left := copy.git(
        "diff", "--cached", "--stat", before, "--", ".", ":!src/adapters/postgres/migrations"
    ):
        sys.exit(f"make resource-remove has left this of it:\n{left}")
    copy.git("reset", "--quiet", "--hard")
    copy.make("field", *ADDED)
    copy.commit("Add fields to what was generated")


def follow_the_guides(copy: Copy) -> None:
    """What docs/guides show, on top of a resource; the checks and the tests come with the merge."""
    copy.make("resource", *GUIDED)
    copy.run(".venv/bin/python", "-m", "builder.guides")
    copy.run("sh", "-c", ".venv/bin/python -m entrypoints.cli settings >.env.example")
    copy.make("openapi")
    copy.commit("Follow the guides")


def main(arguments: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="fork-") as folder:
        print("(a) the kernel without the example", flush=True)
        fork = Copy(Path(folder) / "fork")
        strip(fork)
        # (b) has the checks and the migrations of this, too.
        fork.tried(*(["check", "test", "ARGS=-q"] if arguments else ["test-app", "ARGS=-q"]))
        if arguments == ["strip"]:
            return
        print("(b) upstream and the fork add a resource each", flush=True)
        upstream = Copy(Path(folder) / "upstream")
        Resource(singular="shipment", plural="shipments").add_to(upstream)
        add_generated(fork)
        follow_the_guides(fork)
        upstream.git("switch", "--quiet", "--create", "release")
        fork.git("remote", "add", "upstream", str(upstream.folder))
        # `make upgrade` asks make for the rest by itself: this says that the environment is up to date.
        (fork.folder / ".venv/.complete").touch()
        fork.tried("upgrade", "TO=upstream/release")
        fork.tried(*(["test", "ARGS=-q"] if arguments == ["all"] else ["test", f"ARGS=-q {BESIDES}"]))


if __name__ == "__main__":
    main(sys.argv[1:])
