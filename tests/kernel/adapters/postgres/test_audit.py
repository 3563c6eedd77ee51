"""The audit log: written with what it tells of, counted where strangers write it, and bounded."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from adapters.postgres.kernel.audit import PostgresAudit
from adapters.postgres.kernel.connection.database import Database
from adapters.postgres.kernel.connection.transactions import PostgresTransactions
from adapters.postgres.kernel.discovery import repositories_of
from adapters.postgres.kernel.expiry import PostgresExpiry
from adapters.postgres.kernel.outbox.delivery import PostgresOutbox
from application.kernel.admission import NotPermitted
from application.kernel.audit import Trail
from application.kernel.commands.memberships import change_role
from application.kernel.commands.workspaces import create_workspace, delete_workspace
from application.kernel.identity.failures import ENTRIES_OF_ACCOUNT, ENTRIES_OF_UNKNOWN, Failures
from application.kernel.identity.sessions import log_out_everywhere, open_session
from application.kernel.origin import Channel, Origin, come_from
from application.kernel.paging import PageRequest
from application.kernel.ports.audit import Entry, Kind, Note
from application.kernel.ports.events import Delivery
from application.kernel.queries.audit import AuditFilter, WorkspaceAuditFilter
from application.kernel.queries.auth import KnownCredential
from application.kernel.run import Runner
from application.kernel.unit_of_work import Begin
from domain.kernel.aggregate import Event
from domain.kernel.errors import Conflict
from domain.kernel.identity.identities import LinksRemoved
from domain.kernel.memberships import Role
from domain.kernel.users import Email, EmailTaken, GlobalRole, User
from domain.kernel.workspaces import WorkspaceNotFound
from kernel.servers.backends import ByHand
from kernel.specimen.commands.specimen_orders import create_specimen_order
from kernel.specimen.service import Queries, UnitOfWork
from kernel.world.builders import (
    NOW,
    Team,
    a_caller,
    a_link,
    a_session,
    a_user,
    a_user_id,
    reauthenticated,
    store,
)
from kernel.world.fakes import FakeClock, FakePseudonyms

type Recorded = Callable[[], AbstractAsyncContextManager[list[str]]]

HOUR = timedelta(hours=1)
ADA = a_user_id()
ROOT = a_caller(roles=frozenset({GlobalRole.ADMIN}))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def told() -> list[Note]:
    """What the log was told."""
    return []


@pytest.fixture
def begin(database: Database, clock: FakeClock, told: list[Note]) -> PostgresTransactions[UnitOfWork]:
    return PostgresTransactions(
        database, clock, UnitOfWork, repositories_of(UnitOfWork), trail=Trail(tell=told.append)
    )


@pytest.fixture
def audit(database: Database, clock: FakeClock, told: list[Note]) -> PostgresAudit:
    return PostgresAudit(database, clock, told.append)


@pytest.fixture
def rows(by_hand: ByHand) -> Callable[[], Awaitable[list[dict[str, Any]]]]:
    async def read() -> list[dict[str, Any]]:
        """All there are, what is most often the case last."""
        return [dict(row) for row in await by_hand.fetch("SELECT * FROM audit ORDER BY count, at, kind")]

    return read


@pytest.fixture
async def quiet(team: Team, by_hand: ByHand, told: list[Note]) -> Team:
    """A team, of whose making nothing is in the log."""
    await by_hand.execute("DELETE FROM audit")
    told.clear()
    return team


# ── with what it tells of ────────────────────────────────────────────────────────────────────────


async def test_what_happened_is_in_the_log_with_who_and_from_where(
    run: Runner[UnitOfWork], quiet: Team, rows: Any, told: list[Note]
) -> None:
    come_from(lambda: Origin(Channel.HTTP, "192.0.2.7", "Loom/1.0" + "x" * 500, "r-1"))
    workspace_id, member = quiet.workspace.id, quiet.member.user_id
    await run(change_role, quiet.owner, workspace_id, member, role=Role.ADMIN)
    [row] = await rows()
    assert row == row | {
        "at": NOW,
        "last_at": NOW,
        "count": 1,
        "kind": "member_role_changed",
        "reason": None,
        "user_id": member,
        "account": None,
        "by": quiet.owner.user_id,
        "workspace_id": workspace_id,
        "channel": "http",
        "address": "192.0.2.7",
        "request_id": "r-1",
        "details": '{"role": "admin"}',
        "counted_in": None,
    }
    assert row["agent"].startswith("Loom/1.0x")
    assert len(row["agent"]) == 200
    assert [note.id for note in told] == [row["id"]]


async def test_several_events_of_one_change_are_in_the_log_each(
    begin: Begin[UnitOfWork], rows: Any, by_hand: ByHand
) -> None:
    user = a_user()
    await store(begin, user)
    async with begin() as uow:
        changed = user.edit(email="new@example.com", at=NOW).take_pending_email(at=NOW)
        await uow.users.save(changed.change_roles([GlobalRole.ADMIN], by=None, at=NOW))
    assert [row["kind"] for row in await rows()] == [
        "email_change_requested",
        "email_changed",
        "email_verified",
        "roles_changed",
    ]
    assert len(await by_hand.fetch("SELECT * FROM outbox")) == 5  # that it was edited, as well


async def test_it_is_written_by_the_statement_that_changes_the_row(
    run: Runner[UnitOfWork], quiet: Team, recorded: Recorded, rows: Any
) -> None:
    owner = quiet.owner.user_id
    await run(open_session, owner, token_hash="1", lifetime=HOUR)  # the driver asks once for what a type is
    async with recorded() as sent:
        await run(open_session, owner, token_hash="2", lifetime=HOUR)
    assert len(sent) == 1, sent
    assert "INSERT INTO audit" in sent[0]
    assert [row["kind"] for row in await rows()] == ["log_in"] * 2


async def test_a_change_of_which_nothing_is_written_down_costs_what_it_did(
    run: Runner[UnitOfWork], quiet: Team, recorded: Recorded, rows: Any
) -> None:
    async with recorded() as sent:
        await run(create_specimen_order, quiet.member, quiet.workspace.id, title="Spin")
    assert "audit" not in "".join(sent)
    assert await rows() == []


async def test_what_is_rolled_back_leaves_nothing_in_the_log_and_tells_nobody(
    begin: Begin[UnitOfWork], quiet: Team, rows: Any, told: list[Note]
) -> None:
    async def change_and_fail(uow: UnitOfWork) -> None:
        owner = await uow.users.get(quiet.owner.user_id)
        await uow.users.save(owner.suspend(by=None, at=NOW))
        await uow.users.get(quiet.owner.user_id)  # so that the change is sent
        raise ZeroDivisionError

    with suppress(ZeroDivisionError):
        await Runner(begin)(change_and_fail)
    assert (await rows(), told) == ([], [])


async def test_nor_does_what_was_refused(
    begin: Begin[UnitOfWork], quiet: Team, rows: Any, told: list[Note]
) -> None:
    taken = str(quiet.users[Role.OWNER].email)
    eve = User.admit(id=a_user_id(), email=Email(taken), email_verified=True, name="Eve", at=NOW)
    with pytest.raises(EmailTaken):
        await store(begin, eve)
    assert (await rows(), told) == ([], [])


async def test_nobody_is_told_before_it_is_committed(
    begin: Begin[UnitOfWork], quiet: Team, told: list[Note]
) -> None:
    async with begin() as uow:
        owner = await uow.users.get(quiet.owner.user_id)
        await uow.users.save(owner.suspend(by=None, at=NOW))
        await uow.users.get(quiet.owner.user_id)
        assert told == []
    assert [note.entry.kind for note in told] == ["suspended"]


async def test_what_changes_many_rows_at_once_is_one_entry(
    run: Runner[UnitOfWork], begin: Begin[UnitOfWork], quiet: Team, rows: Any, told: list[Note]
) -> None:
    owner = quiet.owner.user_id
    await store(begin, a_session(user_id=owner), a_link(user_id=owner), a_link(user_id=owner))
    await run(log_out_everywhere, reauthenticated(owner))
    for user_id in (owner, quiet.member.user_id):  # who has no link, so nothing happened
        async with begin() as uow:
            await uow.links.remove_all(user_id, recording=LinksRemoved(at=NOW, user_id=user_id))
    found = [(row["kind"], row["user_id"]) for row in await rows()]
    assert found == [("sessions_ended", owner), ("unlinked", owner)]
    assert [note.entry.kind for note in told] == ["sessions_ended", "unlinked"]


async def test_what_a_delivery_does_is_the_worker_s(
    database: Database,
    begin: PostgresTransactions[UnitOfWork],
    quiet: Team,
    rows: Any,
    run: Runner[UnitOfWork],
) -> None:
    async def react(uow: UnitOfWork, delivery: Delivery[Event]) -> None:
        owner = await uow.users.get(quiet.owner.user_id)
        await uow.users.save(owner.suspend(by=None, at=NOW))

    await run(create_specimen_order, quiet.member, quiet.workspace.id, title="Spin")
    come_from(lambda: Origin(Channel.WORKER))
    await PostgresOutbox(database, begin).deliver_next(react)
    assert [(row["kind"], row["channel"]) for row in await rows()] == [("suspended", "worker")]


async def test_it_stays_when_the_workspace_and_its_people_are_gone(
    run: Runner[UnitOfWork], begin: Begin[UnitOfWork], quiet: Team, rows: Any
) -> None:
    workspace = await run(create_workspace, quiet.stranger, name="Looms")
    await run(delete_workspace, quiet.stranger, workspace.id)
    async with begin() as uow:
        user = await uow.users.get(quiet.outsider.id)
        await uow.users.remove(user.be_absorbed(into=quiet.owner.user_id, at=NOW))
    kinds = ["accounts_merged", "member_joined", "workspace_created", "workspace_deleted"]
    assert [row["kind"] for row in await rows()] == kinds


# ── what failed, and who can write it without end ────────────────────────────────────────────────


def failed(**changes: Any) -> Entry:
    return replace(Entry(kind=Kind.LOG_IN_FAILED, reason="wrong_password", user_id=ADA), **changes)


def from_address(address: str) -> None:
    come_from(lambda: Origin(Channel.HTTP, address, "Loom/1.0", "r-1"))


async def test_the_same_again_within_an_hour_is_one_row_with_a_count(
    audit: PostgresAudit, clock: FakeClock, rows: Any, told: list[Note]
) -> None:
    clock.now = NOW.replace(minute=0, second=0, microsecond=0)
    for minutes in (0, 20, 39):
        clock.advance(timedelta(minutes=minutes))
        from_address(f"2001:db8::{minutes}")  # one customer's /64
        await audit.note(failed(), most=20)
    [row] = await rows()
    began = clock.now - timedelta(minutes=59)
    assert (row["count"], row["at"], row["last_at"]) == (3, began, clock.now)
    assert (row["address"], row["agent"], row["request_id"]) == ("2001:db8::0", "Loom/1.0", "r-1")
    assert len(told) == 3
    clock.advance(timedelta(minutes=1))
    await audit.note(failed(), most=20)
    assert [row["count"] for row in await rows()] == [1, 3]


@pytest.mark.parametrize(
    "other",
    [
        failed(reason="suspended"),
        failed(kind=Kind.PROOF_FAILED),
        failed(user_id=a_user_id()),
        failed(user_id=None, account="1"),
        failed(details={"provider": "google"}),
    ],
)
async def test_what_differs_is_told_apart(audit: PostgresAudit, rows: Any, other: Entry) -> None:
    await audit.note(failed(), most=20)
    await audit.note(other, most=20)
    assert [row["count"] for row in await rows()] == [1, 1]


async def test_a_stranger_with_many_addresses_and_names_does_not_fill_the_log(
    audit: PostgresAudit, rows: Any, clock: FakeClock
) -> None:
    failures = Failures(audit, FakePseudonyms())
    tries = ENTRIES_OF_UNKNOWN + 100
    for number in range(tries):
        from_address(f"192.0.2.{number % 256}")
        await failures.of_password(f"user-{number}@example.com", None, matches=False)
    found = await rows()
    assert len(found) == ENTRIES_OF_UNKNOWN + 1
    assert sum(row["count"] for row in found) == tries
    rest = found[-1]
    assert (rest["count"], rest["account"], rest["address"], rest["agent"]) == (100, None, "", "")
    # Whom it began with is still counted, and what is about a user is told apart.
    from_address("192.0.2.0")
    await failures.of_password("user-0@example.com", None, matches=False)
    await failures.of_password("ada@example.com", KnownCredential(ADA, "", suspended=False), matches=False)
    found = await rows()
    assert [row["count"] for row in found[-2:]] == [2, 100]
    assert [row["count"] for row in found if row["user_id"] == ADA] == [1]
    assert len(found) == ENTRIES_OF_UNKNOWN + 2


async def test_nor_does_one_who_guesses_at_a_user_from_everywhere(audit: PostgresAudit, rows: Any) -> None:
    failures, ada = Failures(audit, FakePseudonyms()), KnownCredential(ADA, "", suspended=False)
    for number in range(2 * ENTRIES_OF_ACCOUNT):
        from_address(f"192.0.2.{number}")
        await failures.of_password("ada@example.com", ada, matches=False)
    found = await rows()
    assert [row["count"] for row in found] == [*[1] * ENTRIES_OF_ACCOUNT, ENTRIES_OF_ACCOUNT]
    assert {row["user_id"] for row in found} == {ADA}


async def test_many_at_the_same_instant_lose_none(audit: PostgresAudit, rows: Any) -> None:
    await asyncio.gather(*(audit.note(failed(), most=20) for _ in range(20)))
    assert [row["count"] for row in await rows()] == [20]


async def test_what_failed_stays_where_what_it_was_for_is_rolled_back(
    audit: PostgresAudit, begin: Begin[UnitOfWork], rows: Any
) -> None:
    async def fail() -> None:
        async with begin():
            await audit.note(failed(), most=20)
            raise Conflict

    with suppress(Conflict):
        await fail()
    assert len(await rows()) == 1


# ── reading ──────────────────────────────────────────────────────────────────────────────────────


async def kinds(queries: Queries, **where: Any) -> list[str]:
    page = await queries.audit.page(ROOT, AuditFilter(**where), PageRequest())
    return [entry.kind for entry in page.items]


async def test_an_administrator_finds_what_is_asked_for_the_newest_first(
    run: Runner[UnitOfWork], audit: PostgresAudit, quiet: Team, queries: Queries, clock: FakeClock
) -> None:
    owner, member, workspace_id = quiet.owner.user_id, quiet.member.user_id, quiet.workspace.id
    await run(change_role, quiet.owner, workspace_id, member, role=Role.ADMIN)
    clock.advance(HOUR)
    await run(open_session, member, token_hash="1", lifetime=HOUR)
    clock.advance(HOUR)
    await audit.note(failed(user_id=None, account="abc"), most=20)
    changed, logged_in, failure = "member_role_changed", "log_in", "log_in_failed"
    assert await kinds(queries) == [failure, logged_in, changed]
    assert await kinds(queries, kind=[changed, failure, "unheard of"]) == [failure, changed]
    assert await kinds(queries, user_id=member) == [logged_in, changed]
    assert await kinds(queries, by=owner) == [changed]
    assert await kinds(queries, workspace_id=workspace_id) == [changed]
    assert await kinds(queries, account="abc") == [failure]
    assert await kinds(queries, since=NOW + HOUR) == [failure, logged_in]
    assert await kinds(queries, until=NOW + HOUR) == [changed]
    assert await kinds(queries, user_id=member, by=owner, kind=[logged_in]) == []


@pytest.mark.parametrize("roles", [frozenset[GlobalRole](), frozenset({GlobalRole.SUPPORT})])
async def test_nobody_else_reads_all_of_it(queries: Queries, roles: frozenset[GlobalRole]) -> None:
    with pytest.raises(NotPermitted):
        await queries.audit.page(a_caller(roles=roles), AuditFilter(), PageRequest())


async def test_managers_read_what_happened_in_their_workspace_and_nothing_else(
    run: Runner[UnitOfWork], quiet: Team, queries: Queries
) -> None:
    workspace_id, member = quiet.workspace.id, quiet.member.user_id
    other = await run(create_workspace, quiet.owner, name="Looms")
    await run(open_session, member, token_hash="1", lifetime=HOUR)
    await run(change_role, quiet.owner, workspace_id, member, role=Role.ADMIN)

    async def seen(viewer: Any, where: WorkspaceAuditFilter, at: Any = workspace_id) -> list[str]:
        page = await queries.audit.of_workspace(viewer.user_id, at, where, PageRequest())
        return [entry.kind for entry in page.items]

    for manager in (quiet.owner, quiet.admin):
        assert await seen(manager, WorkspaceAuditFilter()) == ["member_role_changed"]
    assert await seen(quiet.owner, WorkspaceAuditFilter(kind=["invited"])) == []
    elsewhere = await seen(quiet.owner, WorkspaceAuditFilter(), other.id)
    assert sorted(elsewhere) == ["member_joined", "workspace_created"]
    with pytest.raises(NotPermitted):
        await seen(quiet.viewer, WorkspaceAuditFilter())
    with pytest.raises(WorkspaceNotFound):
        await seen(quiet.stranger, WorkspaceAuditFilter())


# ── for how long ─────────────────────────────────────────────────────────────────────────────────


async def test_it_is_deleted_when_it_has_been_kept_for_long_enough(
    database: Database, audit: PostgresAudit, clock: FakeClock, rows: Any
) -> None:
    expiry = PostgresExpiry(database, clock, answers_kept=HOUR, audit_kept=timedelta(days=30))
    for number in range(3):
        await audit.note(failed(account=str(number)), most=20)
    clock.advance(timedelta(microseconds=1))
    await audit.note(failed(account="newer"), most=20)
    clock.advance(timedelta(days=30, microseconds=-2))
    assert await expiry.delete_audit(10) == 0
    clock.advance(timedelta(microseconds=1))
    assert [await expiry.delete_audit(2) for _ in range(3)] == [2, 1, 0]
    assert [row["account"] for row in await rows()] == ["newer"]
