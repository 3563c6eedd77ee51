"""The command line: what each command does, says, and ends with."""

import asyncio
import base64
import io
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import override
from uuid import UUID, uuid4

import asyncpg
import pytest
from structlog.testing import capture_logs

from application.kernel.commands.workspaces import create_workspace
from application.kernel.identity.addresses import prove_email
from application.kernel.origin import Channel
from application.kernel.paging import PageRequest
from application.kernel.ports.attempts import Peer
from application.kernel.ports.events import Delivery
from application.kernel.queries.audit import AuditFilter
from application.kernel.run import Runner
from application.kernel.unit_of_work import Begin
from domain.kernel.aggregate import Event
from domain.kernel.identity.signing_keys import PUBLISHED_AHEAD
from domain.kernel.users import Email, GlobalRole, UserId
from entrypoints.cli import main
from entrypoints.kernel.heartbeat import this_host
from entrypoints.kernel.seed import COLLEAGUE_EMAIL, DEMO_EMAIL, DEMO_PASSWORD
from entrypoints.kernel.service import ROOT, SERVICE_PORT
from entrypoints.settings import Settings
from kernel.specimen.service import Container, Queries, UnitOfWork
from kernel.world.builders import NOW, a_caller, a_session, a_signing_key, a_user, store

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"
PASSWORD = "nine words are more than enough, are they not"
CLIENT = Peer(address="192.0.2.1")


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
    """Runs a command in this process, and keeps its logs out of what it printed."""
    monkeypatch.setitem(Settings.model_config, "env_file", None)
    monkeypatch.setattr("entrypoints.kernel.cli.configure_logging", lambda *_, **__: None)

    async def run(*arguments: str, on: str = NOWHERE, typed: str | io.StringIO = "") -> Outcome:
        monkeypatch.setenv("DATABASE_URL", on)
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed) if isinstance(typed, str) else typed)
        capsys.readouterr()
        status: object = 0
        try:
            with capture_logs():
                await asyncio.to_thread(main, list(arguments))
        except SystemExit as ended:
            status = ended.code
        output, errors = capsys.readouterr()
        if isinstance(status, str):  # `sys.exit` would print it and end with 1
            status, errors = 1, f"{errors}{status}\n"
        assert isinstance(status, int)
        return Outcome(status, output, errors)

    return run


def said(*lines: str) -> Outcome:
    return Outcome(0, "".join(f"{line}\n" for line in lines), "")


def refused(said: str, *, status: int = 1) -> Outcome:
    return Outcome(status, "", f"{said}\n")


# ── the database's tables ────────────────────────────────────────────────────────────────────────


async def test_migrate_makes_the_tables_and_may_be_repeated(
    cli: Run, new_database: Callable[[], Awaitable[str]]
) -> None:
    url = await new_database()
    assert await cli("outbox", "list", on=url) == refused(
        "The database lacks a table: run the migrations."
        ' (42P01 UndefinedTableError: relation "outbox" does not exist)'
    )
    for _ in range(2):
        migrated = await cli("migrate", on=url)
        assert migrated.status == 0
        assert migrated.output.startswith("The database is at migration ")
    assert (await cli("outbox", "list", on=url)).lines == ["No event waits."]


async def test_migrate_goes_to_a_revision_and_back_only_when_it_is_told(
    cli: Run, new_database: Callable[..., Awaitable[str]]
) -> None:
    url = await new_database()
    assert await cli("migrate", "--to", "0009", on=url) == said("The database is at migration kernel 0009.")
    assert (await cli("current", on=url)).lines[0] == "The database has  kernel 0009"
    up = await cli("migrate", "--to", "kernel@head", on=url)
    assert up.lines[0].startswith("The database is at migration kernel 00")
    assert (await cli("migrate", "--to", "0009", on=url)).lines[-1] == (
        "To take it back to 0009, with the loss of what has no place there: migrate --to 0009 --down"
    )
    assert await cli("migrate", "--to", "0009", "--down", on=url) == said(
        "The database is at migration kernel 0009."
    )
    refused_ = await cli("migrate", "--to", "9999", on=url)
    assert refused_ == refused(
        "This code has no migration '9999'. It takes a revision such as 0001, kernel@head or heads."
    )
    assert (await cli("migrate", "--to", "9999", "--down", on=url)) == refused_
    assert (await cli("migrate", "--down", on=url)).status == 2


async def test_a_rolled_back_image_has_nothing_to_migrate_and_says_so(
    cli: Run, new_database: Callable[[str], Awaitable[str]], template_database: str
) -> None:
    url = await new_database(template_database)
    assert (await cli("current", on=url)).lines[-1] == "The database has all that this code needs."
    await execute(url, "INSERT INTO alembic_version VALUES ('9990')")
    assert await cli("migrate", on=url) == said(
        "The database is ahead of this code, at migration 9990, and has all that this code needs: "
        "there is nothing to do."
    )
    assert (await cli("current", on=url)).lines[2:] == [
        "Ahead of the code 9990",
        "The database has all that this code needs.",
    ]


async def test_a_database_that_is_ahead_and_lacks_something_is_refused_in_a_sentence(
    cli: Run, new_database: Callable[[], Awaitable[str]]
) -> None:
    url = await new_database()
    assert (await cli("migrate", "--to", "0014", on=url)).status == 0
    await execute(url, "UPDATE alembic_version SET version_num = '9990'")
    migrated = await cli("migrate", on=url)
    assert (migrated.status, migrated.output) == (1, "")
    assert migrated.errors.startswith(
        "The database is at migration 9990, which this code does not have and lacks "
    )
    there = await cli("current", on=url)
    assert there.lines[2].startswith("Missing there ")
    assert "0015" in there.lines[2]
    assert there.lines[-1].startswith("It is at another branch's or a later release's migrations")


async def test_current_says_what_is_missing(cli: Run, new_database: Callable[[], Awaitable[str]]) -> None:
    url = await new_database()
    there = await cli("current", on=url)
    assert there.lines[0] == "The database has  none"
    assert there.lines[2].startswith("Missing there     0001, 0002, 0003")
    assert there.lines[3] == "Bring it up to date: migrate"


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


async def test_migration_says_that_nothing_differs(cli: Run, empty_database_url: str) -> None:
    found = await cli("migration", "add labels", on=empty_database_url)
    assert (found.status, found.output) == (0, "Nothing differs: there is nothing to migrate.\n")


async def test_migration_says_what_it_wants_to_know(cli: Run) -> None:
    assert (await cli("migration")).status == 2
    refused = await cli("migration", "add labels", "--line", "mine")
    assert (refused.status, refused.errors) == (1, "There is no line 'mine': use kernel or app.\n")
    refused = await cli("migration", "--join", "app")
    assert (refused.status, refused.errors) == (1, "The line app has one head; there is nothing to join.\n")


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

    pair = await container.password_login().log_in(CLIENT, email=DEMO_EMAIL, password=DEMO_PASSWORD)
    demo = (await container.tokens().verify(pair.access_token)).user_id
    assert (await queries.users.profile(demo)).display_name == "Demo User"
    (workspace,) = (await queries.workspaces.page(demo, PageRequest())).items
    assert workspace.slug == "demo"
    assert (await queries.users.profile(demo)).roles == (GlobalRole.ADMIN,)
    members = (await queries.memberships.page(demo, workspace.id, PageRequest())).items
    assert {member.email for member in members} == {DEMO_EMAIL, COLLEAGUE_EMAIL}


async def test_seed_stores_all_or_nothing(
    cli: Run, empty_database_url: str, run: Runner[UnitOfWork], begin: Begin[UnitOfWork], queries: Queries
) -> None:
    user = a_user()
    await store(begin, user)
    await run(create_workspace, a_caller(user.id), name="Mine", slug="demo")
    assert (await cli("seed", on=empty_database_url)).lines == ["The demo data is there already."]
    assert await queries.auth.credentials(Email(DEMO_EMAIL)) == []


async def test_a_login_that_everybody_knows_is_not_for_production(
    cli: Run, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    production = {"ENVIRONMENT": "production", "AUTH_SECRET": secrets.token_urlsafe(32)}
    production |= {"PUBLIC_URL": "https://api.example.com", "TRUSTED_PROXIES": "none"}
    mail = {"MAILER": "smtp", "SMTP_HOST": "mail.example.com", "MAIL_FROM": "shop@example.com"}
    for name, value in (production | mail).items():
        monkeypatch.setenv(name, value)
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
    pair = await container.password_login().log_in(CLIENT, email="ada@example.com", password=PASSWORD)
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


async def test_an_address_is_given_away_until_somebody_has_verified_it(
    cli: Run, empty_database_url: str, begin: Begin[UnitOfWork]
) -> None:
    asked = ("user", "create", "ada@example.com", "--display-name", "Ada")
    first, second = [await cli(*asked, on=empty_database_url, typed=PASSWORD) for _ in range(2)]
    assert (first.status, second.status) == (0, 0)
    async with begin() as uow:
        await prove_email(uow, await uow.users.get(UserId(UUID(first.lines[0]))))
    again = await cli(*asked, on=empty_database_url, typed=PASSWORD)
    assert again == refused("The e-mail address belongs to another account.")


async def test_who_was_created_is_made_an_administrator_by_their_id(
    cli: Run, empty_database_url: str, begin: Begin[UnitOfWork]
) -> None:
    asked = ("user", "create", "ada@example.com", "--display-name", "Ada")
    (created,) = (await cli(*asked, on=empty_database_url, typed=PASSWORD)).lines
    await store(begin, a_user(id=UserId(UUID(int=0)), email=Email("ada@example.com")))
    claimed = await cli("user", "grant", "ada@example.com", "admin", on=empty_database_url)
    detail = f"No user has verified this address. If you mean the newest to claim it: {created}."
    assert claimed == refused(detail)
    granted = await cli("user", "grant", created, "admin", on=empty_database_url)
    assert granted.lines == ["ada@example.com: active, roles: admin"]


async def test_roles_in_the_whole_service_are_given_and_taken_by_address(
    cli: Run, empty_database_url: str, begin: Begin[UnitOfWork]
) -> None:
    ada = a_user(email=Email("ada@example.com"), email_verified_at=NOW)
    await store(begin, ada)
    for command, said in [
        (("grant", "Ada@Example.com", "admin"), "ada@example.com: active, roles: admin"),
        (("grant", "ada@example.com", "support"), "ada@example.com: active, roles: support, admin"),
        (("revoke", "ada@example.com", "admin"), "ada@example.com: active, roles: support"),
        (("revoke", "ada@example.com", "support"), "ada@example.com: active, roles: none"),
    ]:
        changed = await cli("user", *command, on=empty_database_url)
        assert (changed.status, changed.lines) == (0, [said])
    async with begin() as uow:
        assert (await uow.users.get(ada.id)).roles == ()


async def test_a_suspended_user_is_in_no_session_until_restored_and_logged_in_anew(
    cli: Run, empty_database_url: str, begin: Begin[UnitOfWork]
) -> None:
    ada = a_user(email=Email("ada@example.com"), email_verified_at=NOW)
    session = a_session(user_id=ada.id)
    await store(begin, ada, session)
    suspended = await cli("user", "suspend", "ada@example.com", on=empty_database_url)
    assert suspended.lines == ["ada@example.com: suspended, roles: none"]
    async with begin() as uow:
        assert (await uow.users.get(ada.id)).suspended_at is not None
        assert (await uow.sessions.get(session.id)).ended_at is not None
    restored = await cli("user", "restore", "ada@example.com", on=empty_database_url)
    assert restored.lines == ["ada@example.com: active, roles: none"]
    async with begin() as uow:
        assert (await uow.users.get(ada.id)).suspended_at is None
        assert (await uow.sessions.get(session.id)).ended_at is not None


async def test_what_an_operator_does_is_written_down_as_theirs(
    cli: Run, empty_database_url: str, begin: Begin[UnitOfWork], queries: Queries
) -> None:
    ada = a_user(email=Email("ada@example.com"), email_verified_at=NOW)
    await store(begin, ada)
    await cli("user", "grant", "ada@example.com", "support", on=empty_database_url)
    await cli("keys", "rotate", on=empty_database_url)
    root = a_caller(roles=frozenset({GlobalRole.ADMIN}))
    added, granted = (await queries.audit.page(root, AuditFilter(), PageRequest())).items
    assert (granted.kind, granted.user_id, granted.by, granted.channel) == (
        "roles_changed",
        ada.id,
        None,
        Channel.CLI,
    )
    assert (granted.details, granted.address) == ({"roles": "support"}, "")
    assert (added.kind, added.by, added.channel) == ("key_added", None, Channel.CLI)


async def test_a_user_is_deleted_for_good_and_only_when_that_is_said(
    cli: Run, empty_database_url: str, begin: Begin[UnitOfWork]
) -> None:
    ada = a_user(email=Email("ada@example.com"), email_verified_at=NOW)
    await store(begin, ada)
    asked = await cli("user", "delete", "ada@example.com", on=empty_database_url)
    assert asked.status == 1
    async with begin() as uow:
        assert (await uow.users.get(ada.id)).deleted_at is None
    deleted = await cli("user", "delete", "ada@example.com", "--yes", on=empty_database_url)
    assert deleted.lines == [f"{ada.id}: deleted, roles: none"]
    again = await cli("user", "restore", str(ada.id), on=empty_database_url)
    assert again == refused("The account has been deleted; that cannot be undone.")


@pytest.mark.parametrize(
    "command", ["grant {} admin", "revoke {} admin", "suspend {}", "restore {}", "delete {} --yes"]
)
async def test_who_has_no_account_is_one_sentence(cli: Run, empty_database_url: str, command: str) -> None:
    answer = await cli("user", *command.format("nobody@example.com").split(), on=empty_database_url)
    assert answer == refused("There is no such user.")


async def test_a_role_that_is_none_is_refused(cli: Run) -> None:
    assert (await cli("user", "grant", "ada@example.com", "owner")).status == 2


# ── signing keys ─────────────────────────────────────────────────────────────────────────────────


async def listed(cli: Run, url: str) -> list[tuple[str, str]]:
    """What each key is called, and its state."""
    keys = await cli("keys", "list", on=url)
    assert keys.status == 0
    words = [line.split() for line in keys.lines]
    assert [int(line[0]) for line in words] == [*range(1, len(words) + 1)]
    return [(line[1], line[2]) for line in words]


async def test_the_keys_are_listed_with_what_each_is_good_for(
    cli: Run, empty_database_url: str, container: Container
) -> None:
    none = await cli("keys", "list", on=empty_database_url)
    assert none == Outcome(0, "There is no signing key; the service makes one when it needs it.\n", "")
    kid, _ = await container.key_ring().signing()
    (line,) = (await cli("keys", "list", on=empty_database_url)).lines
    (key,) = await container.queries().auth.signing_keys()
    instant = f"{key.created_at:%F %T}"
    assert line == f"   1  {kid}  signing    created {instant}  signs from {instant}"


async def test_the_next_key_is_published_before_it_signs(
    cli: Run, empty_database_url: str, container: Container
) -> None:
    first, _ = await container.key_ring().signing()
    rotated = await cli("keys", "rotate", on=empty_database_url)
    _, second = await container.queries().auth.signing_keys()
    assert second.signs_from - second.created_at == PUBLISHED_AHEAD
    assert rotated == Outcome(0, f"{second.kid} signs from {second.signs_from:%F %T} UTC on.\n", "")
    assert await listed(cli, empty_database_url) == [(first, "signing"), (second.kid, "next")]


async def test_a_key_that_may_be_known_is_followed_at_once_and_removed(
    cli: Run, empty_database_url: str, container: Container
) -> None:
    first, _ = await container.key_ring().signing()
    rotated = await cli("keys", "rotate", "--now", on=empty_database_url)
    _, second = await container.queries().auth.signing_keys()
    assert rotated.lines == [
        f"{second.kid} signs from {second.created_at:%F %T} UTC on.",
        "Running processes follow within 60 seconds.",
        "After that, `keys remove` ends the tokens of the former key.",
    ]
    assert await listed(cli, empty_database_url) == [(first, "verifying"), (second.kid, "signing")]
    removed = await cli("keys", "remove", first, on=empty_database_url)
    assert removed == Outcome(
        0, f"{first} is gone. In running processes its tokens fail within 65 seconds.\n", ""
    )
    keys = await container.queries().auth.signing_keys()
    assert [key.kid for key in keys] == [second.kid]


@pytest.mark.parametrize("kid", ["-nothing-but-a-name", "--help-is-no-key"])
async def test_a_key_whose_name_begins_like_an_option_can_be_removed(
    cli: Run, empty_database_url: str, begin: Begin[UnitOfWork], queries: Queries, kid: str
) -> None:
    await store(begin, a_signing_key(number=1, kid=kid), a_signing_key(number=2))
    assert (await cli("keys", "remove", kid, on=empty_database_url)).status == 0
    assert [key.number for key in await queries.auth.signing_keys()] == [2]


async def test_the_key_that_signs_and_one_that_never_was_cannot_be_removed(
    cli: Run, empty_database_url: str, container: Container
) -> None:
    kid, _ = await container.key_ring().signing()
    signing = await cli("keys", "remove", kid, on=empty_database_url)
    assert signing == refused("This key is in use for signing; add its successor first.")
    unknown = await cli("keys", "remove", "x", on=empty_database_url)
    assert unknown == refused("There is no such signing key.")


async def test_another_secret_is_named_and_a_lost_one_can_be_given_up(
    cli: Run, empty_database_url: str, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    kid, _ = await container.key_ring().signing()
    monkeypatch.setenv("AUTH_SECRET", secrets.token_urlsafe(32))
    for command in ("list", "rotate"):
        refusal = await cli("keys", command, on=empty_database_url)
        assert (refusal.status, refusal.output) == (1, "")
        sentence = f"AUTH_SECRET is not the one that these signing keys were sealed with: 1 ({kid}). "
        assert refusal.errors.startswith(sentence)
        assert "`keys rotate --lost-secret`" in refusal.errors
    assert (await cli("keys", "rotate", "--lost-secret", on=empty_database_url)).status == 0
    (key,) = await container.queries().auth.signing_keys()
    assert key.kid != kid
    instant = f"{key.created_at:%F %T}"
    assert (await cli("keys", "list", on=empty_database_url)).lines == [
        f"   2  {key.kid}  signing    created {instant}  signs from {instant}"
    ]


# ── events ───────────────────────────────────────────────────────────────────────────────────────


async def fail(_: UnitOfWork, __: Delivery[Event]) -> None:
    raise LookupError("not today")


@pytest.fixture
async def parked(container: Container, begin: Begin[UnitOfWork]) -> UUID:
    """An event that failed as often as it may, with another one waiting beside it."""
    container.settings.override(container.settings().model_copy(update={"outbox_attempts": 1}))
    user = a_user()
    await store(begin, user)
    await container.run()(create_workspace, a_caller(user.id), name="Engines")
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


async def test_a_worker_is_checked_by_the_heartbeat_of_this_host(cli: Run, empty_database_url: str) -> None:
    assert await cli("worker", "check", on=empty_database_url) == refused(
        "No worker of this host is at work."
    )
    connection = await asyncpg.connect(empty_database_url)
    beat = "INSERT INTO worker_heartbeats VALUES (gen_random_uuid(), $1, now(), now() - $2 * interval '1 s')"
    await connection.execute(beat, "elsewhere", 0)
    await connection.execute(beat, this_host(), 40)
    missing = await cli("worker", "check", on=empty_database_url)
    assert (missing.status, missing.output) == (1, "")
    assert missing.errors.startswith("The last heartbeat of a worker of this host was 4")
    await connection.execute(beat, this_host(), 20)
    await connection.close()
    there = await cli("worker", "check", on=empty_database_url)
    assert (there.status, there.lines) == (0, ["A worker of this host is at work."])


async def test_a_worker_is_not_to_be_started_anew_because_its_database_is_away(cli: Run) -> None:
    outcome = await cli("worker", "check")
    assert (outcome.status, outcome.output) == (0, "")
    assert outcome.errors == (
        "It cannot be told whether a worker is at work. The database does not answer.\n"
    )


async def test_openapi_prints_the_description_and_needs_no_database(cli: Run) -> None:
    described = await cli("openapi")
    assert described.status == 0
    assert "/v1/workspaces/{workspace_id}" in json.loads(described.output)["paths"]


async def test_settings_prints_the_example_file(cli: Run) -> None:
    assert (await cli("settings")).output == (ROOT / ".env.example").read_text("utf-8")


async def test_a_secret_is_one_line_of_32_random_bytes_that_the_settings_accept(cli: Run) -> None:
    first, second = [(await cli("secret")).lines for _ in range(2)]
    assert len(first) == 1
    assert first != second
    assert len(base64.urlsafe_b64decode(f"{first[0]}=")) == 32
    settings = Settings(_env_file=None, database_url=NOWHERE, auth_secret=first[0])
    assert settings.auth_secret.get_secret_value() == first[0]


# ── what all of them do ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", ["migrate", "check-migrations", "seed", "keys list", "outbox list"])
async def test_a_database_that_is_away_is_one_sentence(cli: Run, command: str) -> None:
    refusal = await cli(*command.split())
    assert (refusal.status, refusal.output, len(refusal.errors.splitlines())) == (1, "", 1)
    assert refusal.errors.startswith("The database does not answer. (ConnectionError: ")


async def test_wrong_settings_end_with_2_and_name_the_variable(
    cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT", "none")
    refusal = await cli("migrate")
    assert (refusal.status, refusal.output) == (2, "")
    assert refusal.errors.splitlines()[1:] == [
        f"  PORT is 'none'. It takes a whole number from 1 to 65535, such as {SERVICE_PORT}."
    ]


async def test_without_a_command_the_commands_are_listed(cli: Run) -> None:
    listed = await cli()
    for name in ("migrate", "seed", "user", "keys", "outbox", "worker", "openapi"):
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
    ended = python("-m", "entrypoints.cli", "migrate")
    assert (ended.status, ended.output, len(ended.errors.splitlines())) == (1, "", 1)
    assert ended.errors.startswith("The database does not answer. (")


def test_a_command_that_needs_no_database_does_not_load_one() -> None:
    heavy = "{'fastapi', 'sqlalchemy', 'asyncpg', 'alembic'}"
    assert (
        python("-c", f"import sys, entrypoints.kernel.cli; print({heavy} & sys.modules.keys())").output
        == "set()\n"
    )
