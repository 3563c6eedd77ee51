"""Transactions: what is committed together, what is seen of it meanwhile, and what is sent for it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from datetime import datetime

import pytest

from adapters.postgres.kernel.connection.database import Database
from adapters.postgres.kernel.connection.transactions import PostgresTransactions
from adapters.postgres.kernel.discovery import repositories_of
from application.kernel.run import Runner
from application.kernel.unit_of_work import Begin
from domain.kernel.errors import Stale
from domain.kernel.users import EmailTaken, UserEdited, UserId
from domain.kernel.workspaces import SlugTaken, Workspace
from kernel.servers.backends import ByHand
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import NOW, a_membership, a_user, a_workspace, address_of, store

type Recorded = Callable[[], AbstractAsyncContextManager[list[str]]]

BY = a_user().id


def renamed(workspace: Workspace, name: str, *, slug: str | None = None) -> Workspace:
    return workspace.edit(by=BY, at=NOW, name=name, slug=slug or workspace.slug)


def verbs(sent: list[str]) -> list[str]:
    """What kind of statement each was."""
    changes = {"INSERT INTO w": "add", "INSERT INTO u": "add", "UPDATE": "save", "DELETE": "remove"}
    return [
        next((verb for start, verb in changes.items() if sql.startswith(f"WITH changed AS \n({start}")), sql)
        if sql.startswith("WITH")
        else "lock"
        if sql.endswith("FOR UPDATE")
        else sql.split()[0]
        for sql in sent
    ]


@pytest.fixture
async def workspace(begin: Begin[UnitOfWork]) -> Workspace:
    workspace = a_workspace()
    await store(begin, workspace)
    return workspace


# ── what is sent ─────────────────────────────────────────────────────────────────────────────────


async def test_a_use_case_that_does_nothing_sends_nothing(
    begin: Begin[UnitOfWork], recorded: Recorded
) -> None:
    async with recorded() as sent, begin():
        pass
    assert verbs(sent) == []


async def test_reading_takes_no_transaction(
    begin: Begin[UnitOfWork], workspace: Workspace, recorded: Recorded
) -> None:
    async with recorded() as sent, begin() as uow:
        await uow.workspaces.get(workspace.id)
        await uow.memberships.standing(workspace.id, BY)
    assert verbs(sent) == ["SELECT", "SELECT"]


async def test_a_single_change_that_nothing_follows_is_a_transaction_by_itself(
    begin: Begin[UnitOfWork], workspace: Workspace, recorded: Recorded
) -> None:
    async with recorded() as sent, begin() as uow:
        current = await uow.workspaces.get(workspace.id)
        await uow.workspaces.save(renamed(current, "Looms"))
    assert verbs(sent) == ["SELECT", "save"]


async def test_a_transaction_begins_before_whatever_follows_the_first_change(
    begin: Begin[UnitOfWork], workspace: Workspace, recorded: Recorded
) -> None:
    async with recorded() as sent, begin() as uow:
        saved = await uow.workspaces.save(renamed(workspace, "Looms"))
        await uow.workspaces.remove(saved)
    assert verbs(sent) == ["BEGIN", "save", "remove", "COMMIT"]

    async with recorded() as sent, begin() as uow:
        await uow.workspaces.add(workspace)
        await uow.workspaces.get(workspace.id)
        await uow.memberships.standing(workspace.id, BY)
        await uow.users.add(a_user())
    assert verbs(sent) == ["BEGIN", "add", "SELECT", "SELECT", "add", "COMMIT"]


async def test_a_lock_begins_a_transaction_that_ends_with_the_block(
    begin: Begin[UnitOfWork], workspace: Workspace, recorded: Recorded
) -> None:
    async with recorded() as sent, begin() as uow:
        await uow.memberships.lock_owners(workspace.id)
        await uow.workspaces.save(renamed(workspace, "Looms"))
    assert verbs(sent) == ["BEGIN", "lock", "save", "COMMIT"]

    async with recorded() as sent, begin() as uow:
        current = await uow.workspaces.get(workspace.id)
        await uow.workspaces.save(renamed(current, "Wheels"))
        await uow.memberships.lock_owners(workspace.id)
    assert verbs(sent) == ["SELECT", "BEGIN", "save", "lock", "COMMIT"]


async def test_a_second_lock_takes_no_second_transaction(
    begin: Begin[UnitOfWork], workspace: Workspace, recorded: Recorded
) -> None:
    async with recorded() as sent, begin() as uow:
        await uow.memberships.lock_owners(workspace.id)
        await uow.memberships.lock_owners(workspace.id)
    assert verbs(sent) == ["BEGIN", "lock", "lock", "COMMIT"]


async def test_a_use_case_that_is_refused_before_it_locks_sends_nothing_to_undo(
    run: Runner[UnitOfWork], workspace: Workspace, recorded: Recorded
) -> None:
    async def fail(uow: UnitOfWork) -> None:
        await uow.workspaces.get(workspace.id)
        await uow.workspaces.save(renamed(workspace, "Looms"))
        raise ZeroDivisionError

    async with recorded() as sent:
        with pytest.raises(ZeroDivisionError):
            await run(fail)
    assert verbs(sent) == ["SELECT"]


async def test_a_use_case_that_fails_later_is_rolled_back(
    run: Runner[UnitOfWork], workspace: Workspace, recorded: Recorded
) -> None:
    async def fail(uow: UnitOfWork) -> None:
        await uow.memberships.lock_owners(workspace.id)
        raise ZeroDivisionError

    async with recorded() as sent:
        with pytest.raises(ZeroDivisionError):
            await run(fail)
    assert verbs(sent) == ["BEGIN", "lock", "ROLLBACK"]


# ── what is stored ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("changes", [1, 2, 3])
async def test_nothing_of_a_use_case_that_raises_is_stored(
    run: Runner[UnitOfWork], by_hand: ByHand, changes: int
) -> None:
    async def fail(uow: UnitOfWork) -> None:
        for _ in range(changes):
            user = a_user()
            await uow.users.add(user.recording(UserEdited(at=NOW, user_id=user.id)))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run(fail)
    for table in ("users", "outbox"):
        assert await by_hand.fetchval(f"SELECT count(*) FROM {table}") == 0  # noqa: S608


@pytest.mark.parametrize("changes", [1, 2, 3])
async def test_nothing_is_seen_from_outside_before_the_end(
    begin: Begin[UnitOfWork], by_hand: ByHand, changes: int
) -> None:
    async with begin() as uow:
        for _ in range(changes):
            await uow.users.add(a_user())
            assert await by_hand.fetchval("SELECT count(*) FROM users") == 0
    assert await by_hand.fetchval("SELECT count(*) FROM users") == changes


async def test_a_use_case_sees_what_it_has_changed(begin: Begin[UnitOfWork], workspace: Workspace) -> None:
    user = a_user()
    async with begin() as uow:
        await uow.users.add(user)
        assert await uow.users.get(user.id) == user
        saved = await uow.workspaces.save(renamed(workspace, "Looms"))
        assert await uow.workspaces.get(workspace.id) == saved
        joined = await uow.memberships.add(a_membership(workspace_id=workspace.id, user_id=user.id))
        assert await uow.memberships.of(workspace.id, user.id) == joined
        await uow.memberships.remove(joined)
        assert await uow.memberships.standing(workspace.id, UserId(user.id)) is None
        another = await uow.users.save(user.edit(at=NOW, display_name="Augusta"))
        assert await uow.users.recipient(address_of(user)) == another


async def test_a_lock_is_taken_after_the_change_before_it(
    begin: Begin[UnitOfWork], workspace: Workspace
) -> None:
    user = a_user()
    await store(begin, user)
    async with begin() as uow:
        await uow.memberships.add(a_membership(workspace_id=workspace.id, user_id=user.id))
        assert list(await uow.memberships.lock_owners(workspace.id)) == []


async def test_a_conflict_of_a_single_change_is_raised_when_the_block_ends(
    begin: Begin[UnitOfWork], workspace: Workspace, by_hand: ByHand
) -> None:
    with pytest.raises(SlugTaken):
        async with begin() as uow:
            await uow.workspaces.add(a_workspace(slug=workspace.slug))
    assert await by_hand.fetchval("SELECT count(*) FROM workspaces") == 1


async def test_a_stale_single_change_is_refused_when_the_block_ends(
    begin: Begin[UnitOfWork], workspace: Workspace
) -> None:
    async with begin() as uow:
        saved = await uow.workspaces.save(renamed(workspace, "Looms"))
    with pytest.raises(Stale):
        async with begin() as uow:
            await uow.workspaces.save(renamed(workspace, "Late"))
    with pytest.raises(Stale):
        async with begin() as uow:
            await uow.workspaces.remove(workspace)
    async with begin() as uow:
        assert await uow.workspaces.get(workspace.id) == saved


@pytest.mark.parametrize("position", [0, 1, 2])
async def test_a_conflict_of_one_change_takes_back_the_others(
    run: Runner[UnitOfWork], workspace: Workspace, by_hand: ByHand, position: int
) -> None:
    changes = [a_workspace(), a_workspace()]
    changes.insert(position, a_workspace(slug=workspace.slug))

    async def add_all(uow: UnitOfWork) -> None:
        for change in changes:
            await uow.workspaces.add(renamed(change, "Looms"))

    with pytest.raises(SlugTaken):
        await run(add_all)
    assert await by_hand.fetchval("SELECT count(*) FROM workspaces") == 1
    assert await by_hand.fetchval("SELECT count(*) FROM outbox") == 0


@pytest.mark.parametrize("first", [True, False])
async def test_a_stale_change_takes_back_the_others(
    run: Runner[UnitOfWork], workspace: Workspace, by_hand: ByHand, first: bool
) -> None:
    async def change(uow: UnitOfWork) -> None:
        await uow.workspaces.save(renamed(workspace, "Looms"))

    async def change_late(uow: UnitOfWork) -> None:
        if first:
            await uow.workspaces.save(renamed(workspace, "Late"))
        await uow.users.add(a_user())
        await uow.users.add(a_user())
        if not first:
            await uow.workspaces.remove(workspace)

    await run(change)
    with pytest.raises(Stale):
        await run(change_late)
    assert await by_hand.fetchval("SELECT count(*) FROM users") == 0


@pytest.mark.parametrize("before", [0, 1])
async def test_an_error_of_the_database_that_a_use_case_swallows_cannot_pass_for_success(
    run: Runner[UnitOfWork], by_hand: ByHand, workspace: Workspace, before: int
) -> None:
    """PostgreSQL answers the COMMIT of a failed transaction with a ROLLBACK, and calls that no error."""

    async def swallowing(uow: UnitOfWork) -> None:
        for _ in range(before):
            await uow.users.add(a_user())
        with suppress(SlugTaken):
            await uow.workspaces.add(a_workspace(slug=workspace.slug))
            await uow.workspaces.get(workspace.id)

    with pytest.raises(RuntimeError, match="Nothing was committed"):
        await run(swallowing)
    assert await by_hand.fetchval("SELECT count(*) FROM users") == 0
    await run(_register)


async def _register(uow: UnitOfWork) -> None:
    await uow.users.add(a_user())


async def test_each_conflict_means_what_its_own_table_says(
    begin: Begin[UnitOfWork], workspace: Workspace
) -> None:
    user = a_user(email_verified_at=NOW)
    await store(begin, user)
    taken = [a_user(email=user.email, email_verified_at=NOW), a_workspace(slug=workspace.slug)]

    with pytest.raises(EmailTaken):
        await store(begin, *taken)
    with pytest.raises(SlugTaken):
        await store(begin, *reversed(taken))


# ── the instant ──────────────────────────────────────────────────────────────────────────────────


async def test_the_instant_of_a_transaction_is_the_clock_s(database: Database) -> None:
    async with PostgresTransactions(database, lambda: NOW, UnitOfWork, repositories_of(UnitOfWork))() as uow:
        assert uow.now == NOW


async def test_a_clock_that_fails_leaves_the_pool_in_order(database: Database, recorded: Recorded) -> None:
    def broken() -> datetime:
        raise ZeroDivisionError

    for _ in range(10):  # more often than the pool has places
        with pytest.raises(ZeroDivisionError):
            async with PostgresTransactions(database, broken, UnitOfWork, repositories_of(UnitOfWork))():
                pytest.fail("There was no time to begin at.")
    await database.ping()
