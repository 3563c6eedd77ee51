"""The command line: what each command does, says, and ends with."""

import asyncio
import io
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import override
from uuid import UUID, uuid4

import pytest
from joserfc.jwk import ECKey

from application.commands.workspaces import create_workspace
from application.paging import PageRequest, Sort
from application.ports import Begin, Delivery, Queries, UnitOfWork
from application.queries.tasks import TaskFilter
from application.run import Runner
from builders import a_user, an_identity, store
from domain.aggregate import Event
from domain.users import UserId
from entrypoints.cli import main
from entrypoints.container import Container
from entrypoints.seed import COLLEAGUE_EMAIL, DEMO_EMAIL, DEMO_PASSWORD
from entrypoints.settings import ROOT, Settings

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"
PASSWORD = "nine words are more than enough, are they not"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command printed, complained and ended with."""

    status: int
    output: str
    errors: str

    @property
    def lines(self) -> list[str]:
        return self.output.splitlines()


type Run = Callable[..., Awaitable[Outcome]]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process; its logs are left as pytest has them."""
    monkeypatch.setitem(Settings.model_config, "env_file", None)
    monkeypatch.setattr("entrypoints.cli.configure_logging", lambda *_, **__: None)
    monkeypatch.setenv("AUTH_SIGNING_KEY", ECKey.generate_key("P-256").as_pem(private=True).decode())

    async def run(*arguments: str, on: str = NOWHERE, typed: str | io.StringIO = "") -> Outcome:
        monkeypatch.setenv("DATABASE_URL", on)
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed) if isinstance(typed, str) else typed)
        capsys.readouterr()
        status: object = 0
        try:
            await asyncio.to_thread(main, list(arguments))
        except SystemExit as ended:
            status = ended.code
        output, errors = capsys.readouterr()
        if isinstance(status, str):  # `sys.exit` would print it and end with 1
            status, errors = 1, f"{errors}{status}\n"
        assert isinstance(status, int)
        return Outcome(status, output, errors)

    return run


def refused(said: str, *, status: int = 1) -> Outcome:
    return Outcome(status, "", f"{said}\n")


# ── the database's tables ────────────────────────────────────────────────────────────────────────


async def test_migrate_makes_the_tables_and_may_be_repeated(
    cli: Run, new_database: Callable[[], Awaitable[str]]
) -> None:
    url = await new_database()
    assert await cli("outbox", "list", on=url) == refused("The database lacks a table: run the migrations.")
    for _ in range(2):
        migrated = await cli("migrate", on=url)
        assert migrated.status == 0
        assert migrated.output.startswith("The database is at migration ")
    assert (await cli("outbox", "list", on=url)).lines == ["No event waits."]


async def test_check_migrations_finds_nothing_to_do(cli: Run, empty_database_url: str) -> None:
    checked = await cli("check-migrations", on=empty_database_url)
    assert checked.status == 0
    assert checked.lines[-1] == "The migrations make what the code needs."


async def test_check_migrations_says_what_no_migration_made(
    cli: Run, new_database: Callable[[str], Awaitable[str]], template_database: str
) -> None:
    url = await new_database(template_database)
    await execute(url, "ALTER TABLE users DROP COLUMN display_name")
    checked = await cli("check-migrations", on=url)
    assert checked.status == 1
    assert "display_name" in checked.errors
    assert "make migration" in checked.errors


async def test_migration_writes_the_difference(
    cli: Run,
    new_database: Callable[[str], Awaitable[str]],
    template_database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[str] = []
    monkeypatch.setattr(
        "adapters.postgres.migrating.Migrations.make", lambda _, message: made.append(message)
    )
    assert (await cli("migration", "add labels", on=await new_database(template_database))).status == 0
    assert made == ["add labels"]


async def execute(url: str, statement: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


# ── the demo ─────────────────────────────────────────────────────────────────────────────────────


async def test_seed_stores_the_demo_once_and_says_how_to_log_in(
    cli: Run, empty_database_url: str, queries: Queries, container: Container
) -> None:
    first = await cli("seed", on=empty_database_url)
    assert (first.status, first.lines) == (0, [f"A demo user: {DEMO_EMAIL}, password: {DEMO_PASSWORD}"])
    again = await cli("seed", on=empty_database_url)
    assert (again.status, again.lines) == (0, ["The demo data is there already."])

    pair = await container.password_login().log_in(email=DEMO_EMAIL, password=DEMO_PASSWORD)
    demo = (await container.tokens().verify(pair.access_token)).user_id
    assert (await queries.users.profile(demo)).display_name == "Demo User"
    (workspace,) = (await queries.workspaces.page(demo, PageRequest())).items
    assert workspace.slug == "demo"
    members = (await queries.memberships.page(demo, workspace.id, PageRequest())).items
    assert {member.email for member in members} == {DEMO_EMAIL, COLLEAGUE_EMAIL}
    tasks = (await queries.tasks.page(demo, workspace.id, TaskFilter(), [Sort("title")], PageRequest())).items
    assert len({task.status for task in tasks}) == 4
    assert demo in {task.assignee_id for task in tasks}


async def test_seed_stores_all_or_nothing(
    cli: Run, empty_database_url: str, run: Runner, begin: Begin, queries: Queries
) -> None:
    user = a_user()
    await store(begin, user)
    await run(create_workspace, an_identity(user.id), name="Mine", slug="demo")
    assert (await cli("seed", on=empty_database_url)).lines == ["The demo data is there already."]
    assert await queries.auth.credential(DEMO_EMAIL) is None  # type: ignore[arg-type]


async def test_a_login_that_everybody_knows_is_not_for_production(
    cli: Run, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    seeded = await cli("seed", on=empty_database_url)
    assert seeded == refused("The demo user's password is known to everybody: not in production.")


# ── people ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_user_who_was_created_can_log_in(
    cli: Run, empty_database_url: str, container: Container, queries: Queries
) -> None:
    created = await cli(
        *("user", "create", "Ada@Example.com", "--display-name", "Ada"),
        on=empty_database_url,
        typed=f"{PASSWORD}\n",
    )
    assert created.status == 0
    assert (await queries.users.profile(UserId(UUID(created.lines[0])))).email == "ada@example.com"
    pair = await container.password_login().log_in(email="ada@example.com", password=PASSWORD)
    assert pair.token_type == "Bearer"


class Terminal(io.StringIO):
    """Standard input with a person in front of it."""

    @override
    def isatty(self) -> bool:
        return True


async def test_a_person_is_asked_for_the_password_twice_and_not_shown_it(
    cli: Run, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, dict[str, bool]]] = []

    def prompt(text: str, **how: bool) -> str:
        asked.append((text, how))
        return PASSWORD

    monkeypatch.setattr("typer.prompt", prompt)
    command = ("user", "create", "ada@example.com", "--display-name", "Ada")
    assert (await cli(*command, on=empty_database_url, typed=Terminal())).status == 0
    assert asked == [("Password", {"hide_input": True, "confirmation_prompt": True})]


@pytest.mark.parametrize(
    ("email", "password", "said"),
    [
        ("ada", PASSWORD, "email: It must be an e-mail address such as ada@example.com."),
        (
            "ada@example.com",
            "short",
            "password: It must have 15 to 128 characters; several words make a good one.",
        ),
    ],
)
async def test_a_user_who_cannot_be_is_refused_in_one_sentence(
    cli: Run, empty_database_url: str, email: str, password: str, said: str
) -> None:
    asked = ("user", "create", email, "--display-name", "Ada")
    assert await cli(*asked, on=empty_database_url, typed=password) == refused(said)


async def test_an_address_is_given_away_once(cli: Run, empty_database_url: str) -> None:
    asked = ("user", "create", "ada@example.com", "--display-name", "Ada")
    assert (await cli(*asked, on=empty_database_url, typed=PASSWORD)).status == 0
    again = await cli(*asked, on=empty_database_url, typed=PASSWORD)
    assert again == refused("The e-mail address belongs to another account.")


# ── events ───────────────────────────────────────────────────────────────────────────────────────


async def fail(_: UnitOfWork, __: Delivery[Event]) -> None:
    raise LookupError("not today")


@pytest.fixture
async def parked(container: Container, begin: Begin) -> UUID:
    """An event that failed as often as it may, with another one waiting beside it."""
    container.settings.override(container.settings().model_copy(update={"outbox_attempts": 1}))
    user = a_user()
    await store(begin, user)
    await container.run()(create_workspace, an_identity(user.id), name="Engines")
    assert await container.outbox().deliver_next(fail)
    (entry,) = await container.outbox().entries(parked_only=True, limit=10)
    return entry.id


async def test_the_outbox_lists_what_waits_and_why(cli: Run, empty_database_url: str, parked: UUID) -> None:
    listed = await cli("outbox", "list", on=empty_database_url)
    assert listed.status == 0
    events = [line for line in listed.lines if not line.startswith(" ")]
    assert [line.split()[1] for line in events] == ["WorkspaceCreated", "MemberJoined"]
    (line,) = (line for line in events if line.startswith(str(parked)))
    assert "parked 20" in line
    assert line.endswith("after 1 failures")
    assert "    LookupError: not today" in listed.lines


async def test_the_outbox_lists_the_parked_ones_alone_and_not_too_many(
    cli: Run, empty_database_url: str, parked: UUID
) -> None:
    listed = await cli("outbox", "list", "--parked", on=empty_database_url)
    assert [line.split()[0] for line in listed.lines if not line.startswith(" ")] == [str(parked)]
    assert len((await cli("outbox", "list", "--limit", "1", on=empty_database_url)).lines) == 2


@pytest.mark.parametrize("which", ["id", "--all"])
async def test_a_parked_event_can_be_made_due_again(
    cli: Run, empty_database_url: str, parked: UUID, which: str
) -> None:
    replayed = await cli("outbox", "replay", str(parked) if which == "id" else which, on=empty_database_url)
    assert (replayed.status, replayed.lines) == (0, ["1 event is due again."])
    assert (await cli("outbox", "list", "--parked", on=empty_database_url)).lines == ["No event is parked."]
    again = await cli("outbox", "replay", "--all", on=empty_database_url)
    assert (again.status, again.lines) == (0, ["0 events are due again."])


async def test_an_event_that_is_not_parked_cannot_be_replayed(cli: Run, empty_database_url: str) -> None:
    unknown = uuid4()
    replayed = await cli("outbox", "replay", str(unknown), on=empty_database_url)
    assert replayed == refused(f"No parked event has the id {unknown}.")


@pytest.mark.parametrize("which", [(), (str(uuid4()), "--all"), ("no-id",)], ids=["none", "both", "no id"])
async def test_replay_wants_one_event_or_all(cli: Run, which: tuple[str, ...]) -> None:
    replayed = await cli("outbox", "replay", *which)
    assert (replayed.status, replayed.output) == (2, "")


# ── texts ────────────────────────────────────────────────────────────────────────────────────────


async def test_openapi_prints_the_description_and_needs_no_database(cli: Run) -> None:
    described = await cli("openapi")
    assert described.status == 0
    assert "/v1/tasks/{task_id}" in json.loads(described.output)["paths"]


async def test_settings_prints_the_example_file(cli: Run) -> None:
    assert (await cli("settings")).output == (ROOT / ".env.example").read_text("utf-8")


async def test_a_signing_key_is_one_line_that_the_settings_accept(cli: Run) -> None:
    first, second = [(await cli("signing-key")).lines for _ in range(2)]
    assert len(first) == 1
    assert first != second
    settings = Settings(_env_file=None, database_url=NOWHERE, auth_signing_key=first[0])
    assert settings.signing_key_pem is not None


# ── what all of them do ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", ["migrate", "check-migrations", "seed", "outbox list"])
async def test_a_database_that_is_away_is_one_sentence(cli: Run, command: str) -> None:
    assert await cli(*command.split()) == refused("The database does not answer.")


async def test_wrong_settings_end_with_2_and_name_the_variable(
    cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT", "none")
    refusal = await cli("migrate")
    assert (refusal.status, refusal.output) == (2, "")
    assert refusal.errors.splitlines()[1:] == [
        "  PORT is 'none'. It takes a whole number from 1 to 65535, such as 8000."
    ]


async def test_without_a_command_the_commands_are_listed(cli: Run) -> None:
    listed = await cli()
    for name in ("migrate", "seed", "user", "outbox", "openapi"):
        assert f"│ {name} " in listed.output


def python(*arguments: str) -> Outcome:
    """A process of its own, as a shell starts it."""
    finished = subprocess.run(
        (sys.executable, *arguments),
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "DATABASE_URL": NOWHERE},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Outcome(finished.returncode, finished.stdout, finished.stderr)


def test_as_a_process_it_ends_with_the_status_and_without_a_stack_trace() -> None:
    assert python("-m", "entrypoints.cli", "migrate") == refused("The database does not answer.")


def test_a_command_that_needs_no_database_does_not_load_one() -> None:
    heavy = "{'fastapi', 'sqlalchemy', 'asyncpg', 'alembic'}"
    assert (
        python("-c", f"import sys, entrypoints.cli; print({heavy} & sys.modules.keys())").output == "set()\n"
    )
