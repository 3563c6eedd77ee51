"""The service by hand: migrations, users, keys, the outbox; the same use cases as over HTTP.

`python -m entrypoints.cli COMMAND`. An error of the domain or of the world is one sentence on standard error
and exit status 1; wrong settings end with 2.
"""

import asyncio
import secrets
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, Protocol
from uuid import UUID

import typer
from pydantic import SecretStr

from application.kernel.commands import users as commands
from application.kernel.origin import Channel, Origin, come_from
from application.kernel.ports.world import Unavailable, WorldError
from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.errors import DomainError, Invalid
from domain.kernel.users import GlobalRole, User
from entrypoints.kernel.configuration.text import env_example
from entrypoints.kernel.heartbeat import this_host
from entrypoints.kernel.logging import configure_logging
from entrypoints.kernel.seed import DEMO_EMAIL, DEMO_PASSWORD, Demo, seed
from entrypoints.kernel.service import ROOT, SERVICE_NAME
from entrypoints.kernel.settings import KernelSettings, defaults_of, load_settings
from entrypoints.kernel.tools import stored

if TYPE_CHECKING:
    from entrypoints.kernel.container import KernelContainer

DOCUMENTS = ROOT / "openapi"


class Parts(Protocol):
    """What the commands need of a service. Importing all of it takes a second, so each says when."""

    settings: type[KernelSettings]

    def container(self, settings: KernelSettings) -> "KernelContainer": ...

    def documents(self, container: "KernelContainer") -> Mapping[str, Mapping[str, Any]]:
        """The OpenAPI documents by the names of their versions, the oldest first."""

    async def fill(self, uow: Any, demo: Demo, /) -> None:  # noqa: ANN401 (the service's own)
        """The service's own demo data."""


_parts: ContextVar[Parts] = ContextVar("parts")

app = typer.Typer(
    name=SERVICE_NAME,
    help="The service by hand.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
user = typer.Typer(no_args_is_help=True, help="People with an account.")
keys = typer.Typer(no_args_is_help=True, help="What the built-in provider signs its tokens with.")
outbox = typer.Typer(no_args_is_help=True, help="Events that were committed and not yet delivered.")
worker = typer.Typer(no_args_is_help=True, help="The processes that deliver events.")
app.add_typer(user, name="user")
app.add_typer(keys, name="keys")
app.add_typer(outbox, name="outbox")
app.add_typer(worker, name="worker")


def main(parts: Parts, arguments: list[str] | None = None) -> None:
    """Runs the command that the arguments, by default those of the process, name; and ends the process."""
    _parts.set(parts)
    try:
        app(arguments)
    except (DomainError, WorldError) as error:
        sys.exit(_sentence(error))


# ── the database's tables ────────────────────────────────────────────────────────────────────────


@app.command()
def migrate(
    *,
    to: Annotated[str, typer.Option(help="A revision, such as 0014, kernel@head or heads.")] = "heads",
    down: Annotated[
        bool, typer.Option("--down", help="Go back to it, with the loss of what has no place there.")
    ] = False,
    wait: Annotated[
        float, typer.Option(min=0, help="How many seconds to wait for another migrator.")
    ] = 300.0,
) -> None:
    """Bring the database's tables up to date, or to a revision."""
    migrations = _container().migrations()
    if not down:
        there = migrations.upgrade(to, wait_seconds=wait, attempts=5, tell=_tell)
    elif to == "heads":
        raise typer.BadParameter("Say how far down: --to REVISION --down.")
    else:
        there = migrations.downgrade(to, wait_seconds=wait, attempts=5, tell=_tell)
    if there.ahead:
        print(
            f"The database is ahead of this code, at migration {' and '.join(sorted(there.ahead))}, "
            "and has all that this code needs: there is nothing to do."
        )
    else:
        print(f"The database is at migration {_by_line(migrations.newest(there))}.")
    if not down and migrations.is_past(to, there):
        print(f"To take it back to {to}, with the loss of what has no place there: migrate --to {to} --down")


@app.command()
def current() -> None:
    """Say which migrations the database has and which this code has; needs no lock and changes nothing."""
    container = _container()
    migrations = container.migrations()
    there = _finish(container, lambda: migrations.standing(container.database()))
    print(f"The database has  {_by_line(migrations.newest(there))}")
    print(f"This code has     {_by_line(migrations.heads())}")
    if there.missing:
        missing = [revision for revision in migrations.revisions() if revision in there.missing]
        print(f"Missing there     {', '.join(missing)}")
    if there.ahead:
        print(f"Ahead of the code {', '.join(sorted(there.ahead))}")
    if not there.missing:
        print("The database has all that this code needs.")
    elif there.ahead:
        print("It is at another branch's or a later release's migrations: use code that has all of them.")
    else:
        print("Bring it up to date: migrate")


def _by_line(revisions: Mapping[str, Collection[str]]) -> str:
    """The newest revisions of each line, such as `kernel 0015, app 2aacecac2d80`."""
    return ", ".join(f"{line} {' and '.join(each)}" for line, each in revisions.items() if each) or "none"


def _tell(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


@app.command("check-migrations")
def check_migrations() -> None:
    """Fail where the code has tables or columns that no migration made."""
    _container().migrations().check()
    print("The migrations make what the code needs.")


@app.command()
def migration(
    message: Annotated[str, typer.Argument()] = "",
    *,
    line: Annotated[str, typer.Option(help="Whose it is: app, or kernel for upstream.")] = "app",
    join: Annotated[str, typer.Option(help="The line whose two heads to join.")] = "",
) -> None:
    """Write the next migration, from the difference between the code and a scratch database, and try it."""
    migrations = _container().migrations()
    if join:
        print(f"Wrote {migrations.join(join).name}.")
    elif not message:
        raise typer.BadParameter('Say what changes: make migration m="add labels to invoices"')
    elif written := migrations.make(message, line=line):
        for path in written:
            print(f"Wrote {path.name}. It was applied, taken back and applied again.")
    else:
        print("Nothing differs: there is nothing to migrate.")


@app.command()
def pooler(
    *, apply: Annotated[bool, typer.Option("--apply", help="Run it, over DATABASE_DIRECT_URL.")] = False
) -> None:
    """Print the SQL by which the service's user has its timeouts behind a pooler in transaction mode."""
    container = _container()
    found = container.pooler()
    for statement in _finish(container, found.apply_role_settings if apply else found.role_settings):
        print(statement)
    if apply:
        print("Done. It counts for new sessions: have the pooler connect anew (PgBouncer: RECONNECT).")


@app.command("seed")
def seed_() -> None:
    """Store a demo user, a workspace and the service's own demo data, once."""
    container = _container()
    if container.settings().environment == "production":
        sys.exit("The demo user's password is known to everybody: not in production.")

    async def store() -> bool:
        return await seed(container.run(), container.passwords(), _parts.get().fill)

    if _finish(container, store):
        print(f"A demo user: {DEMO_EMAIL}, password: {DEMO_PASSWORD}")
    else:
        print("The demo data is there already.")


# ── people ───────────────────────────────────────────────────────────────────────────────────────


type Account = Annotated[str, typer.Argument(help="The user's id, or the address that they have verified.")]


@user.command("create")
def create_user(email: str, display_name: Annotated[str, typer.Option()]) -> None:
    """Register a user and print their id; the password is asked for, or read from standard input."""
    if sys.stdin.isatty():
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    container = _container()

    async def register() -> UUID:
        login = container.password_login()
        return (await login.register(email=email, password=password, display_name=display_name)).id

    print(_finish(container, register))


@user.command("grant")
def grant_role(account: Account, role: GlobalRole) -> None:
    """Give a user a role in the whole service, in addition to those that they have."""
    _operate(commands.grant_role, account=account, role=role)


@user.command("revoke")
def revoke_role(account: Account, role: GlobalRole) -> None:
    """Take a role in the whole service from a user."""
    _operate(commands.revoke_role, account=account, role=role)


@user.command("suspend")
def suspend_user(account: Account) -> None:
    """Suspend a user: their sessions end, and their tokens are refused within seconds."""
    _operate(commands.suspend_account, account=account)


@user.command("restore")
def restore_user(account: Account) -> None:
    """End the suspension of a user."""
    _operate(commands.restore_account, account=account)


@user.command("delete")
def delete_user(
    account: Account, *, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False
) -> None:
    """Delete a user's account for good: name and address are gone, what others need stays."""
    if not yes:
        typer.confirm(f"Delete the account {account}? This cannot be undone.", abort=True)
    _operate(commands.delete_account, account=account)


def _operate[**P](
    use_case: Callable[Concatenate[KernelUnitOfWork, P], Awaitable[User]], *args: P.args, **kwargs: P.kwargs
) -> None:
    container = _container()
    changed = _finish(container, lambda: container.run()(use_case, *args, **kwargs))
    state = "deleted" if changed.deleted_at else "suspended" if changed.suspended_at else "active"
    print(f"{changed.email or changed.id}: {state}, roles: {', '.join(changed.roles) or 'none'}")


# ── signing keys ─────────────────────────────────────────────────────────────────────────────────


@keys.command("list")
def list_keys() -> None:
    """List the signing keys, the oldest first, with what each is good for."""
    container = _container()
    listed = _finish(container, container.key_ring().overview)
    if not listed:
        print("There is no signing key; the service makes one when it needs it.")
    for key, state in listed:
        print(
            f"{key.number:>4}  {key.kid}  {state:<9}  "
            f"created {key.created_at:%F %T}  signs from {key.signs_from:%F %T}"
        )


@keys.command("rotate")
def rotate_keys(
    *,
    at_once: Annotated[
        bool, typer.Option("--now", help="It signs at once: for when the present one may have leaked.")
    ] = False,
    lost_secret: Annotated[
        bool, typer.Option("--lost-secret", help="It replaces those that AUTH_SECRET no longer opens.")
    ] = False,
) -> None:
    """Add the next signing key; tokens of the present one stay good until they expire."""
    container = _container()
    ring = container.key_ring()
    key = _finish(container, lambda: ring.rotate(at_once=at_once, lost_secret=lost_secret))
    print(f"{key.kid} signs from {key.signs_from:%F %T} UTC on.")
    if at_once:
        print(f"Running processes follow within {ring.reload_seconds:g} seconds.")
        print("After that, `keys remove` ends the tokens of the former key.")


@keys.command("remove", context_settings={"ignore_unknown_options": True})  # a name may begin with a hyphen
def remove_key(kid: str) -> None:
    """Take away a signing key that does not sign, before its time, and with it the tokens that it signed."""
    container = _container()
    ring = container.key_ring()
    _finish(container, lambda: ring.remove(kid))
    seconds = ring.reload_seconds + container.settings().auth_recheck_seconds
    print(f"{kid} is gone. In running processes its tokens fail within {seconds:g} seconds.")


# ── events ───────────────────────────────────────────────────────────────────────────────────────


@outbox.command("list")
def list_outbox(
    *,
    parked: Annotated[bool, typer.Option("--parked", help="Only those that failed too often.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
) -> None:
    """List the events that wait, the oldest first."""
    container = _container()
    entries = _finish(container, lambda: container.outbox().entries(parked_only=parked, limit=limit))
    if not entries:
        print("No event is parked." if parked else "No event waits.")
    for entry in entries:
        state = f"parked {entry.parked_at:%F %T}" if entry.parked_at else f"due {entry.available_at:%F %T}"
        refusals = f" and {entry.refusals} refusals" if entry.refusals else ""
        failures = f"after {entry.attempts} failures{refusals}"
        reaction = f"  to {entry.reaction}" if entry.reaction else ""
        print(f"{entry.id}  {entry.type}{reaction}  of {entry.aggregate_id}  {state}  {failures}")
        if entry.last_error:
            print(f"    {entry.last_error}")


@outbox.command("replay")
def replay_outbox(
    event_id: Annotated[UUID | None, typer.Argument(metavar="[ID]", help="A parked event.")] = None,
    *,
    all_: Annotated[bool, typer.Option("--all", help="Every parked event.")] = False,
    reaction: Annotated[
        str | None, typer.Option(help="Only what is to leave by this reaction, as `outbox list` names it.")
    ] = None,
) -> None:
    """Make parked events due again, and what is parked of them for the outside."""
    if (event_id is None) != all_:
        raise typer.BadParameter("Name one event, or say --all.")
    container = _container()
    count = _finish(container, lambda: container.outbox().replay(event_id, reaction=reaction))
    if event_id is not None and not count:
        sys.exit(f"No parked event has the id {event_id}.")
    print("1 event is due again." if count == 1 else f"{count} events are due again.")


# ── workers ──────────────────────────────────────────────────────────────────────────────────────


@worker.command("check")
def check_worker() -> None:
    """Fail where no worker of this host is at work: for a container's liveness probe.

    Where the database does not answer it does not fail: to start the worker anew would mend nothing.
    """
    container = _container()
    missing = container.settings().worker_missing_seconds
    try:
        age = _finish(container, lambda: container.heartbeats().age(this_host()))
    except Unavailable as error:
        print(f"It cannot be told whether a worker is at work. {error}", file=sys.stderr)
        return
    if age is None:
        sys.exit("No worker of this host is at work.")
    if age.total_seconds() > missing:
        sys.exit(f"The last heartbeat of a worker of this host was {age.total_seconds():.0f} seconds ago.")
    print("A worker of this host is at work.")


# ── texts ────────────────────────────────────────────────────────────────────────────────────────


@app.command()
def openapi(
    *,
    write: Annotated[bool, typer.Option("--write", help="Store it, if it breaks no client.")] = False,
    breaking: Annotated[bool, typer.Option("--breaking", help="Store it whatever it breaks.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Fail where it is not as it is stored.")] = False,
) -> None:
    """Print the API's description as JSON, as it is with no settings; needs no database."""
    parts = _parts.get()
    nowhere = SecretStr("postgresql://nobody@localhost/nothing")
    documents = parts.documents(parts.container(defaults_of(parts.settings)(database_url=nowhere)))
    try:
        if check:
            stored.check(documents, DOCUMENTS)
            print("The stored OpenAPI documents are up to date.")
        elif write or breaking:
            for path in stored.write(documents, DOCUMENTS, breaking=breaking):
                print(f"Wrote {path.parent.name}/{path.name}.")
        else:
            sys.stdout.write(stored.text_of([*documents.values()][-1]))
    except stored.Ambiguous as ambiguous:
        sys.exit(f"Classes of one name have none in the API's description:\n\n{ambiguous}")
    except stored.Broken as broken:
        sys.exit(
            f"Clients would break:\n\n{broken}\n\nMake it a new version's, or an addition; "
            "where no client relies on it: make openapi BREAKING=allowed"
        )
    except stored.Outdated as outdated:
        sys.exit(f"Not as it is served: {outdated}. Nothing breaks: run make openapi.")


@app.command()
def settings() -> None:
    """Print .env.example: every setting, its default and what it is for."""
    sys.stdout.write(env_example(_parts.get().settings.model_fields, kernel=KernelSettings.model_fields))


@app.command()
def secret() -> None:
    """Print a new AUTH_SECRET."""
    print(secrets.token_urlsafe(32))


# ── what the commands share ──────────────────────────────────────────────────────────────────────


def _container() -> "KernelContainer":
    parts = _parts.get()
    settings = load_settings(parts.settings)
    # What a command has to say it prints; its logs are for what it did not foresee.
    configure_logging(settings.model_copy(update={"log_level": "error"}), stream=sys.stderr)
    come_from(lambda: Origin(Channel.CLI))
    return parts.container(settings)


def _finish[T](container: "KernelContainer", work: Callable[[], Awaitable[T]]) -> T:
    """Does the work in an event loop of its own, and closes what it opened."""

    async def and_close() -> T:
        try:
            return await work()
        finally:
            await container.database().close()
            await container.health_database().close()

    return asyncio.run(and_close())


def _sentence(error: DomainError | WorldError) -> str:
    detail = str(error) or type(error).__doc__ or type(error).__name__
    field = error.field if isinstance(error, Invalid) else None
    cause = error.cause if isinstance(error, WorldError) else ""
    return f"{field}: {detail}" if field else f"{detail} ({cause})" if cause else detail
