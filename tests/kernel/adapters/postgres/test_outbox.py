"""The outbox: what was committed is delivered, in order for each aggregate, at least once, whatever fails."""

import asyncio
import gc
import importlib
import inspect
import pkgutil
import random
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import domain
import kernel.specimen.domain
from adapters.postgres.kernel.connection.database import Database
from adapters.postgres.kernel.connection.transactions import PostgresTransactions
from adapters.postgres.kernel.discovery import repositories_of
from adapters.postgres.kernel.outbox.delivery import PostgresOutbox
from adapters.postgres.kernel.outbox.events import decode, event_types, event_values
from adapters.postgres.kernel.outbox.lanes import BACK_OFF_MOST_SECONDS
from application.kernel.ports.events import Delivery, OutboxEntry
from application.kernel.ports.world import Contention, TimedOut, Unavailable, WorldError
from application.kernel.run import Runner
from application.kernel.unit_of_work import Begin
from domain.kernel.aggregate import Event
from domain.kernel.errors import Stale
from domain.kernel.users import User, UserEdited
from domain.kernel.workspaces import SlugTaken, Workspace, WorkspaceDeleted, WorkspaceId, WorkspaceRenamed
from kernel.servers.backends import PATIENCE, ByHand, backends, eventually, terminate
from kernel.specimen.commands.specimen_orders import create_specimen_order
from kernel.specimen.domain.specimen_orders import SpecimenOrderAssigned, SpecimenOrderCreated
from kernel.specimen.reactions import note_assignment
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import NOW, Team, a_slug, a_user, a_user_id, a_workspace, a_workspace_id, store

type React = Callable[[UnitOfWork, Delivery[Event]], Awaitable[None]]
type MakeOutbox = Callable[..., PostgresOutbox[UnitOfWork]]

NAME = "relay"
BY = a_user_id()


def present() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
async def make_outbox(empty_database_url: str) -> AsyncIterator[MakeOutbox]:
    """Makes relays, each with a pool of its own as another process has."""
    made: list[Database] = []

    def make(*, attempts: int = 10) -> PostgresOutbox[UnitOfWork]:
        database = Database(
            empty_database_url, pool_size=2, wait_seconds=PATIENCE, lock_seconds=0.5, application_name=NAME
        )
        made.append(database)
        return PostgresOutbox(
            database,
            PostgresTransactions(database, present, UnitOfWork, repositories_of(UnitOfWork)),
            attempts=attempts,
        )

    yield make
    for database in made:
        await database.close()


@pytest.fixture
def outbox(make_outbox: MakeOutbox) -> PostgresOutbox[UnitOfWork]:
    return make_outbox()


@pytest.fixture
async def renamed(begin: Begin[UnitOfWork]) -> Callable[..., Awaitable[Workspace]]:
    """Stores a workspace on which these names were bestowed, one event each."""

    async def rename(*names: str) -> Workspace:
        workspace = a_workspace()
        for name in names:
            workspace = workspace.edit(by=BY, at=NOW, name=name)
        await store(begin, workspace)
        return workspace

    return rename


type Renamed = Callable[..., Awaitable[Workspace]]


class Reactions:
    """Remembers what it was given, and fails while it is told to."""

    def __init__(self) -> None:
        self.seen: list[Delivery[Event]] = []
        self.failing: Callable[[Event], bool] = lambda _: False

    async def __call__(self, uow: UnitOfWork, delivery: Delivery[Event], /) -> None:
        if self.failing(delivery.event):
            raise ZeroDivisionError("as told")
        self.seen.append(delivery)

    @property
    def names(self) -> list[str]:
        return [each.event.name for each in self.seen if isinstance(each.event, WorkspaceRenamed)]


@pytest.fixture
def react() -> Reactions:
    return Reactions()


async def fail(uow: UnitOfWork, delivery: Delivery[Event]) -> None:
    raise ZeroDivisionError("as told")


async def drain(outbox: PostgresOutbox[UnitOfWork], react: React) -> None:
    while await outbox.deliver_next(react):
        pass


async def make_due(by_hand: ByHand) -> None:
    """The pauses of the back-off are over."""
    await by_hand.execute("UPDATE outbox SET available_at = now()")


async def waiting(outbox: PostgresOutbox[UnitOfWork], *, parked_only: bool = False) -> list[OutboxEntry]:
    return list(await outbox.entries(parked_only=parked_only, limit=1000))


# ── how events get in ────────────────────────────────────────────────────────────────────────────


async def test_an_event_is_stored_with_the_change_it_tells_of(
    begin: Begin[UnitOfWork], outbox: PostgresOutbox[UnitOfWork]
) -> None:
    before = present()
    user = User.register(id=a_user_id(), email="ada@example.com", display_name="Ada", at=NOW)
    await store(begin, user)

    [entry] = await waiting(outbox)

    assert (entry.type, entry.aggregate_id, entry.attempts) == ("UserRegistered", user.id, 0)
    assert (entry.parked_at, entry.last_error) == (None, None)
    assert before - timedelta(minutes=1) < entry.recorded_at <= entry.available_at


async def test_the_events_of_one_change_keep_their_order(
    begin: Begin[UnitOfWork], team: Team, outbox: PostgresOutbox[UnitOfWork], react: Reactions
) -> None:
    await Runner(begin)(
        create_specimen_order, team.owner, team.workspace.id, title="Spin", assignee_id=team.member.user_id
    )

    await drain(outbox, react)

    assert [type(delivery.event) for delivery in react.seen] == [SpecimenOrderCreated, SpecimenOrderAssigned]
    assert len({delivery.id for delivery in react.seen}) == 2


async def test_saving_and_removing_store_their_events_too(
    begin: Begin[UnitOfWork], outbox: PostgresOutbox[UnitOfWork], react: Reactions
) -> None:
    workspace = a_workspace()
    await store(begin, workspace)
    async with begin() as uow:
        workspace = await uow.workspaces.save(workspace.edit(by=BY, at=NOW, name="Looms"))
    async with begin() as uow:
        await uow.workspaces.remove(workspace.delete(by=BY, at=NOW))

    await drain(outbox, react)

    assert [type(delivery.event) for delivery in react.seen] == [WorkspaceRenamed, WorkspaceDeleted]


async def test_a_change_without_an_event_stores_none(begin: Begin[UnitOfWork], by_hand: ByHand) -> None:
    user = a_user()
    await store(begin, user)
    async with begin() as uow:
        await uow.users.remove(await uow.users.save(user))

    assert await by_hand.fetchval("SELECT count(*) FROM outbox") == 0


async def test_a_change_that_is_refused_tells_nobody(begin: Begin[UnitOfWork], by_hand: ByHand) -> None:
    workspace, another = a_workspace(), a_workspace()
    await store(begin, workspace, another)
    async with begin() as uow:
        await uow.workspaces.save(workspace)

    async def save_late(uow: UnitOfWork) -> None:
        await uow.workspaces.save(workspace.edit(by=BY, at=NOW, name="Late"))

    async def remove_late(uow: UnitOfWork) -> None:
        await uow.workspaces.remove(workspace.delete(by=BY, at=NOW))

    for too_late in (save_late, remove_late):
        with pytest.raises(Stale):
            await Runner(begin)(too_late)
    with pytest.raises(SlugTaken):
        await store(begin, Workspace.create(id=a_workspace_id(), name="x", slug=another.slug, by=BY, at=NOW))

    assert await by_hand.fetchval("SELECT count(*) FROM outbox") == 0


async def test_a_change_whose_events_cannot_be_stored_is_not_stored(
    new_database: Callable[..., Awaitable[str]], template_database: str
) -> None:
    url = await new_database(template_database)
    database = Database(url)
    by_hand = await asyncpg.connect(url)
    await by_hand.execute("ALTER TABLE outbox ADD CONSTRAINT ck_outbox_never CHECK (type = '')")
    user = User.register(id=a_user_id(), email="ada@example.com", display_name="Ada", at=NOW)

    with pytest.raises(asyncpg.CheckViolationError):
        await store(PostgresTransactions(database, present, UnitOfWork, repositories_of(UnitOfWork)), user)

    assert await by_hand.fetchval("SELECT count(*) FROM users") == 0
    await by_hand.close()
    await database.close()


async def test_the_positions_of_rivals_on_one_aggregate_are_in_the_order_of_their_commits(
    begin: Begin[UnitOfWork], by_hand: ByHand, outbox: PostgresOutbox[UnitOfWork], react: Reactions
) -> None:
    workspace = a_workspace()
    await store(begin, workspace)

    async def rename_once() -> None:
        while True:
            try:
                async with begin() as uow:
                    current = await uow.workspaces.get(workspace.id)
                    await uow.workspaces.save(current.edit(by=BY, at=NOW, name=str(current.version + 1)))
            except Stale:
                continue
            return

    await asyncio.gather(*(rename_once() for _ in range(12)))
    await drain(outbox, react)

    assert react.names == [str(version) for version in range(2, 14)]


# ── how they are delivered ───────────────────────────────────────────────────────────────────────


async def test_events_are_delivered_once_in_the_order_they_were_recorded(
    renamed: Renamed, outbox: PostgresOutbox[UnitOfWork], react: Reactions
) -> None:
    await renamed("a", "b", "c")
    await renamed("d", "e")

    for _ in range(5):
        assert await outbox.deliver_next(react)
    assert not await outbox.deliver_next(react)

    assert react.names == ["a", "b", "c", "d", "e"]
    assert await waiting(outbox) == []


async def test_nothing_is_due_in_an_empty_outbox(
    outbox: PostgresOutbox[UnitOfWork], react: Reactions
) -> None:
    assert not await outbox.deliver_next(react)


async def test_an_event_is_not_delivered_before_it_is_committed(
    begin: Begin[UnitOfWork], outbox: PostgresOutbox[UnitOfWork], react: Reactions
) -> None:
    async with begin() as uow:
        await uow.workspaces.add(a_workspace().edit(by=BY, at=NOW, name="Looms"))
        assert not await outbox.deliver_next(react)
    assert await outbox.deliver_next(react)


async def test_relays_pass_each_other_but_never_within_an_aggregate(
    make_outbox: MakeOutbox, renamed: Renamed, react: Reactions
) -> None:
    await renamed("first of one", "second of one")
    await renamed("first of another")
    at_it, may_go_on = asyncio.Event(), asyncio.Event()

    async def slowly(uow: UnitOfWork, delivery: Delivery[Event]) -> None:
        at_it.set()
        await may_go_on.wait()
        await react(uow, delivery)

    slow, quick = make_outbox(), make_outbox()
    busy = asyncio.create_task(slow.deliver_next(slowly))
    await at_it.wait()

    assert await quick.deliver_next(react)
    assert not await quick.deliver_next(react)
    assert react.names == ["first of another"]
    may_go_on.set()
    assert await busy
    assert await quick.deliver_next(react)
    assert react.names == ["first of another", "first of one", "second of one"]


async def test_many_relays_keep_the_order_of_each_aggregate_and_deliver_all(
    make_outbox: MakeOutbox, renamed: Renamed, by_hand: ByHand
) -> None:
    names = [str(number) for number in range(8)]
    workspaces = [await renamed(*names) for _ in range(6)]
    delivered: defaultdict[WorkspaceId, list[str]] = defaultdict(list)
    at_it: set[WorkspaceId] = set()
    most_at_once = 0
    luck = random.Random(7)
    turn = asyncio.Lock()

    async def carefully(uow: UnitOfWork, delivery: Delivery[Event]) -> None:
        nonlocal most_at_once
        assert isinstance(delivery.event, WorkspaceRenamed)
        id = delivery.event.workspace_id
        assert id not in at_it
        at_it.add(id)
        most_at_once = max(most_at_once, len(at_it))
        try:
            await asyncio.sleep(luck.random() * 0.004)
            if luck.random() < 0.2:
                raise ZeroDivisionError
            delivered[id].append(delivery.event.name)
        finally:
            at_it.remove(id)

    async def work(outbox: PostgresOutbox[UnitOfWork]) -> None:
        while await waiting(outbox):
            if not await outbox.deliver_next(carefully):
                async with turn:
                    await make_due(by_hand)

    async with asyncio.timeout(3 * PATIENCE):
        await asyncio.gather(*(work(make_outbox(attempts=1000)) for _ in range(4)))

    assert dict(delivered) == {workspace.id: names for workspace in workspaces}
    assert most_at_once > 1


async def test_what_a_reaction_writes_is_committed_with_the_delivery(
    begin: Begin[UnitOfWork], team: Team, outbox: PostgresOutbox[UnitOfWork], by_hand: ByHand
) -> None:
    specimen_order = await Runner(begin)(
        create_specimen_order, team.owner, team.workspace.id, title="Spin", assignee_id=team.member.user_id
    )
    ids = []

    async def notify(uow: UnitOfWork, delivery: Delivery[Event]) -> None:
        if isinstance(delivery.event, SpecimenOrderAssigned):
            ids.append(delivery.id)
            await note_assignment(uow, Delivery(id=delivery.id, event=delivery.event))
            assert await by_hand.fetchval("SELECT count(*) FROM specimen_notes") == 0

    await drain(outbox, notify)

    [row] = await by_hand.fetch("SELECT id, specimen_order_id, author_id FROM specimen_notes")
    assert tuple(row) == (ids[0], specimen_order.id, team.owner.user_id)


async def test_the_events_that_a_reaction_causes_are_delivered_too(
    renamed: Renamed, outbox: PostgresOutbox[UnitOfWork], react: Reactions
) -> None:
    await renamed("cause")

    async def cause(uow: UnitOfWork, delivery: Delivery[Event]) -> None:
        if isinstance(delivery.event, WorkspaceRenamed) and delivery.event.name == "cause":
            await uow.workspaces.add(a_workspace().edit(by=BY, at=NOW, name="effect"))
        await react(uow, delivery)

    await drain(outbox, cause)

    assert react.names == ["cause", "effect"]


# ── what fails ───────────────────────────────────────────────────────────────────────────────────


async def test_a_failure_is_recorded_and_tried_again_later_with_the_same_id(
    renamed: Renamed, outbox: PostgresOutbox[UnitOfWork], react: Reactions, by_hand: ByHand
) -> None:
    await renamed("a")
    [before] = await waiting(outbox)

    assert await outbox.deliver_next(fail)

    [after] = await waiting(outbox)
    assert (after.attempts, after.last_error) == (1, "ZeroDivisionError: as told")
    assert (after.id, after.recorded_at, after.parked_at) == (before.id, before.recorded_at, None)
    assert not await outbox.deliver_next(react)
    await make_due(by_hand)
    assert await outbox.deliver_next(react)
    assert [delivery.id for delivery in react.seen] == [before.id]


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 1), (1, 2), (5, 32), (9, 512), (10, 600), (1_000, BACK_OFF_MOST_SECONDS)]
)
async def test_the_pause_after_a_failure_doubles_up_to_a_limit_and_is_multiplied_by_chance(
    make_outbox: MakeOutbox, renamed: Renamed, by_hand: ByHand, failures: int, seconds: int
) -> None:
    outbox = make_outbox(attempts=10_000)
    await renamed("a")
    pauses = set()
    for _ in range(3):
        await by_hand.execute("UPDATE outbox SET attempts = $1, available_at = now()", failures)
        before = await by_hand.fetchval("SELECT clock_timestamp()")
        await outbox.deliver_next(fail)
        after = await by_hand.fetchval("SELECT clock_timestamp()")
        [entry] = await waiting(outbox)
        assert timedelta(seconds=seconds / 2) <= entry.available_at - before
        assert entry.available_at - after <= timedelta(seconds=seconds)
        pauses.add(entry.available_at - before)
    assert len(pauses) == 3


async def test_an_event_is_parked_when_it_has_failed_too_often(
    make_outbox: MakeOutbox, renamed: Renamed, by_hand: ByHand, react: Reactions
) -> None:
    outbox = make_outbox(attempts=3)
    await renamed("a")
    for failures in (1, 2, 3):
        assert await waiting(outbox, parked_only=True) == []
        await make_due(by_hand)
        await outbox.deliver_next(fail)
        [entry] = await waiting(outbox)
        assert entry.attempts == failures

    [parked] = await waiting(outbox, parked_only=True)
    assert parked.parked_at is not None
    await make_due(by_hand)
    assert not await outbox.deliver_next(react)


async def test_a_failing_event_holds_up_its_aggregate_and_no_other(
    renamed: Renamed, outbox: PostgresOutbox[UnitOfWork], react: Reactions
) -> None:
    await renamed("bad", "after bad")
    await renamed("good", "after good")
    react.failing = lambda event: isinstance(event, WorkspaceRenamed) and event.name == "bad"

    await drain(outbox, react)

    assert react.names == ["good", "after good"]


async def test_a_parked_event_holds_up_its_aggregate_and_no_other_until_it_is_replayed(
    make_outbox: MakeOutbox, renamed: Renamed, react: Reactions
) -> None:
    outbox = make_outbox(attempts=1)
    await renamed("bad", "after bad")
    await renamed("good")
    react.failing = lambda event: isinstance(event, WorkspaceRenamed) and event.name == "bad"
    await drain(outbox, react)
    assert react.names == ["good"]
    [parked] = await waiting(outbox, parked_only=True)

    react.failing = lambda _: False
    assert await outbox.replay(parked.id) == 1
    await drain(outbox, react)

    assert react.names == ["good", "bad", "after bad"]


async def test_an_exception_in_a_reaction_takes_back_what_it_wrote(
    renamed: Renamed, outbox: PostgresOutbox[UnitOfWork], by_hand: ByHand
) -> None:
    await renamed("a")

    async def write_and_fail(uow: UnitOfWork, delivery: Delivery[Event]) -> None:
        await uow.users.add(a_user().recording(UserEdited(at=NOW, user_id=BY)))
        raise ZeroDivisionError

    await outbox.deliver_next(write_and_fail)

    assert await by_hand.fetchval("SELECT count(*) FROM users") == 0
    assert [entry.attempts for entry in await waiting(outbox)] == [1]


async def test_a_reaction_that_swallows_an_error_of_the_database_has_failed(
    begin: Begin[UnitOfWork], outbox: PostgresOutbox[UnitOfWork], by_hand: ByHand
) -> None:
    workspace = a_workspace(slug=a_slug()).edit(by=BY, at=NOW, name="a")
    await store(begin, workspace)

    async def swallow(uow: UnitOfWork, delivery: Delivery[Event]) -> None:
        await uow.users.add(a_user())
        with pytest.raises(SlugTaken):
            await uow.workspaces.add(a_workspace(slug=workspace.slug))

    await outbox.deliver_next(swallow)

    assert await by_hand.fetchval("SELECT count(*) FROM users") == 0
    [entry] = await waiting(outbox)
    assert (entry.attempts, (entry.last_error or "").split(":")[0]) == (1, "InFailedSQLTransactionError")


@pytest.mark.parametrize("error", [Unavailable, Contention])
async def test_the_world_s_failures_are_not_the_event_s(
    renamed: Renamed, outbox: PostgresOutbox[UnitOfWork], react: Reactions, error: type[WorldError]
) -> None:
    await renamed("a")

    async def stumble(uow: UnitOfWork, delivery: Delivery[Event]) -> None:
        raise error

    with pytest.raises(error):
        await outbox.deliver_next(stumble)

    assert [(entry.attempts, entry.last_error) for entry in await waiting(outbox)] == [(0, None)]
    assert await outbox.deliver_next(react)


async def test_a_reaction_that_takes_too_long_counts_so_that_others_get_their_turn(
    renamed: Renamed, outbox: PostgresOutbox[UnitOfWork]
) -> None:
    await renamed("a")

    async def dawdle(uow: UnitOfWork, delivery: Delivery[Event]) -> None:
        raise TimedOut("A statement took too long.")

    assert await outbox.deliver_next(dawdle)

    [entry] = await waiting(outbox)
    assert (entry.attempts, entry.last_error) == (1, "TimedOut: A statement took too long.")


async def test_a_defect_that_no_event_is_to_blame_for_is_raised_and_counts_against_none(
    new_database: Callable[..., Awaitable[str]], template_database: str, react: Reactions
) -> None:
    url = await new_database(template_database)
    database = Database(url)
    transactions = PostgresTransactions(database, present, UnitOfWork, repositories_of(UnitOfWork))
    outbox = PostgresOutbox(database, transactions)
    await store(transactions, a_workspace().edit(by=BY, at=NOW, name="a"))
    by_hand = await asyncpg.connect(url)
    await by_hand.execute("ALTER TABLE outbox ALTER available_at TYPE text")

    with pytest.raises(asyncpg.UndefinedFunctionError):
        await outbox.deliver_next(react)

    await by_hand.execute("ALTER TABLE outbox ALTER available_at TYPE timestamptz USING now()")
    assert await by_hand.fetchval("SELECT attempts FROM outbox") == 0
    await by_hand.close()
    await database.close()


async def test_an_error_that_cannot_be_stored_as_it_is_is_recorded_in_part(
    renamed: Renamed, outbox: PostgresOutbox[UnitOfWork]
) -> None:
    await renamed("a")

    async def rave(uow: UnitOfWork, delivery: Delivery[Event]) -> None:
        raise ValueError("a\0b\ud800" + "c" * 10_000)

    assert await outbox.deliver_next(rave)

    [entry] = await waiting(outbox)
    assert entry.attempts == 1
    assert (entry.last_error or "").startswith("ValueError: ab")
    assert len(entry.last_error or "") <= 500


async def test_an_event_that_this_version_does_not_know_is_kept_for_one_that_does(
    make_outbox: MakeOutbox, renamed: Renamed, react: Reactions, by_hand: ByHand
) -> None:
    outbox = make_outbox(attempts=1)
    await renamed("from the future")
    await renamed("from today")
    await by_hand.execute(
        "UPDATE outbox SET type = 'WorkspaceSold' WHERE payload ->> 'name' = 'from the future'"
    )

    await drain(outbox, react)

    assert react.names == ["from today"]
    [parked] = await waiting(outbox, parked_only=True)
    assert parked.type == "WorkspaceSold"
    assert "WorkspaceSold" in (parked.last_error or "")
    await by_hand.execute("UPDATE outbox SET type = 'WorkspaceRenamed'")
    await outbox.replay(parked.id)
    await drain(outbox, react)
    assert react.names == ["from today", "from the future"]


@pytest.mark.parametrize("payload", ["{}", "[]", "null", '{"at": "yesterday"}'])
async def test_a_payload_that_does_not_fit_is_a_failure_of_its_event(
    renamed: Renamed, outbox: PostgresOutbox[UnitOfWork], react: Reactions, by_hand: ByHand, payload: str
) -> None:
    await renamed("a")
    await by_hand.execute("UPDATE outbox SET payload = $1", payload)

    assert await outbox.deliver_next(react)

    assert react.seen == []
    assert [entry.attempts for entry in await waiting(outbox)] == [1]


async def test_one_failure_counts_once_although_another_relay_has_tried_since(
    make_outbox: MakeOutbox, renamed: Renamed, by_hand: ByHand
) -> None:
    await renamed("a")

    async def stumble(uow: UnitOfWork, delivery: Delivery[Event]) -> None:
        raise RuntimeError

    late, quick = make_outbox(), make_outbox()
    record = late._failed

    async def slowly(claimed: asyncpg.Record, error: Exception) -> None:
        await quick.deliver_next(fail)  # between the failure of `late` and the moment it writes it down
        await record(claimed, error)

    late._failed = slowly  # type: ignore[method-assign]
    await late.deliver_next(stumble)

    assert [(entry.attempts, entry.last_error) for entry in await waiting(late)] == [
        (1, "ZeroDivisionError: as told")
    ]


# ── relays that die ──────────────────────────────────────────────────────────────────────────────


async def test_a_relay_that_is_killed_after_the_reaction_loses_nothing(
    make_outbox: MakeOutbox, renamed: Renamed, react: Reactions, by_hand: ByHand
) -> None:
    await renamed("a", "b")
    seen: list[UUID] = []

    async def react_and_die(uow: UnitOfWork, delivery: Delivery[Event]) -> None:
        seen.append(delivery.id)
        await uow.users.add(a_user())
        await terminate(by_hand, NAME, state="idle in transaction")

    with pytest.raises(Unavailable):
        await make_outbox().deliver_next(react_and_die)

    assert await by_hand.fetchval("SELECT count(*) FROM users") == 0
    another = make_outbox()
    assert [entry.attempts for entry in await waiting(another)] == [0, 0]
    await drain(another, react)
    assert react.names == ["a", "b"]
    assert react.seen[0].id == seen[0]


async def test_a_relay_that_is_cancelled_in_a_reaction_lets_go_of_the_event(
    make_outbox: MakeOutbox, renamed: Renamed, react: Reactions
) -> None:
    await renamed("a")
    at_it = asyncio.Event()

    async def linger(uow: UnitOfWork, delivery: Delivery[Event]) -> None:
        at_it.set()
        await asyncio.sleep(PATIENCE)

    task = asyncio.create_task(make_outbox().deliver_next(linger))
    await at_it.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    another = make_outbox()
    assert await another.deliver_next(react)
    assert await waiting(another) == []


async def test_relays_whose_connections_keep_ending_deliver_everything_in_order(
    make_outbox: MakeOutbox, renamed: Renamed, by_hand: ByHand
) -> None:
    names = [str(number) for number in range(10)]
    workspaces = [await renamed(*names) for _ in range(3)]
    delivered: defaultdict[WorkspaceId, list[str]] = defaultdict(list)
    luck = random.Random(11)

    async def attended(uow: UnitOfWork, delivery: Delivery[Event]) -> None:
        assert isinstance(delivery.event, WorkspaceRenamed)
        await asyncio.sleep(0)
        if luck.random() < 0.3:
            await terminate(by_hand, NAME, state="idle in transaction")
        delivered[delivery.event.workspace_id].append(delivery.event.name)

    async def work(outbox: PostgresOutbox[UnitOfWork]) -> None:
        while True:
            try:
                if not await outbox.deliver_next(attended):
                    if not await by_hand.fetchval("SELECT count(*) FROM outbox"):
                        return
                    await asyncio.sleep(0.001)
            except Unavailable:
                continue

    async with asyncio.timeout(3 * PATIENCE):
        await work(make_outbox())

    for workspace in workspaces:
        seen = delivered[workspace.id]
        assert list(dict.fromkeys(seen)) == names  # once or more often, but in order
        assert seen == sorted(seen, key=int)


# ── waking up ────────────────────────────────────────────────────────────────────────────────────


async def within_patience(waiting: Awaitable[Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        await waiting


async def test_waiting_begins_by_looking_once_more(outbox: PostgresOutbox[UnitOfWork]) -> None:
    """Whatever was committed before the first LISTEN made no sound."""
    await within_patience(outbox.wait(1000))


async def test_a_commit_wakes_whoever_waits_and_nothing_before_it_does(
    begin: Begin[UnitOfWork], outbox: PostgresOutbox[UnitOfWork]
) -> None:
    await outbox.wait(1000)
    task = asyncio.create_task(outbox.wait(1000))
    async with begin() as uow:
        await uow.workspaces.add(a_workspace().edit(by=BY, at=NOW, name="a"))
        await asyncio.sleep(0.05)
        assert not task.done()
    await within_patience(task)


async def test_who_has_been_woken_once_sleeps_again(
    renamed: Renamed, outbox: PostgresOutbox[UnitOfWork]
) -> None:
    await outbox.wait(1000)
    await renamed("a")
    await within_patience(outbox.wait(1000))
    task = asyncio.create_task(outbox.wait(1000))
    await asyncio.sleep(0.05)
    assert not task.done()
    await renamed("b")
    await within_patience(task)


async def test_a_commit_while_nobody_waited_is_not_missed(
    renamed: Renamed, outbox: PostgresOutbox[UnitOfWork]
) -> None:
    await outbox.wait(1000)
    await renamed("a")
    await within_patience(outbox.wait(1000))


async def test_every_relay_wakes(renamed: Renamed, make_outbox: MakeOutbox, database: Database) -> None:
    begin = PostgresTransactions(database, present, UnitOfWork, repositories_of(UnitOfWork))
    on_one_pool = [PostgresOutbox(database, begin), PostgresOutbox(database, begin)]
    outboxes = [make_outbox(), make_outbox(), *on_one_pool]
    for outbox in outboxes:
        await outbox.wait(1000)
    tasks = [asyncio.create_task(outbox.wait(1000)) for outbox in outboxes]
    await asyncio.sleep(0)
    await renamed("a")
    await within_patience(asyncio.gather(*tasks))


async def test_waiting_ends_when_the_time_is_over(outbox: PostgresOutbox[UnitOfWork]) -> None:
    await outbox.wait(1000)
    await within_patience(outbox.wait(0.01))
    await within_patience(outbox.wait(0))


async def test_one_connection_listens_however_often_one_waits(
    outbox: PostgresOutbox[UnitOfWork], by_hand: ByHand
) -> None:
    for _ in range(4):
        await outbox.wait(0)
    assert len(await backends(by_hand, NAME)) == 1


async def test_a_lost_connection_wakes_whoever_waits_and_is_made_anew(
    renamed: Renamed, outbox: PostgresOutbox[UnitOfWork], by_hand: ByHand
) -> None:
    await outbox.wait(1000)
    for name in ("a", "b"):
        task = asyncio.create_task(outbox.wait(1000))
        await asyncio.sleep(0)
        await terminate(by_hand, NAME)
        await within_patience(task)
        await within_patience(outbox.wait(1000))  # listens anew, and looks once more

        task = asyncio.create_task(outbox.wait(1000))
        await asyncio.sleep(0)
        assert len(await backends(by_hand, NAME)) == 1
        await renamed(name)
        await within_patience(task)


async def test_a_connection_that_cannot_listen_is_not_kept(database: Database, by_hand: ByHand) -> None:
    listening = """
        SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'
    """
    before = await by_hand.fetchval(listening)

    with pytest.raises((asyncpg.PostgresError, WorldError, ValueError)):
        await database.listen("", lambda: None)

    async def gone() -> bool:
        return bool(await by_hand.fetchval(listening) == before)

    await eventually(gone)


# ── what an operator sees and does ───────────────────────────────────────────────────────────────


async def test_entries_are_the_oldest_first_and_no_more_than_asked_for(
    make_outbox: MakeOutbox, renamed: Renamed, react: Reactions
) -> None:
    outbox = make_outbox(attempts=1)
    one, another, third = await renamed("a", "b"), await renamed("c"), await renamed("d")
    react.failing = lambda event: isinstance(event, WorkspaceRenamed) and event.name in {"a", "c"}
    await drain(outbox, react)

    assert [entry.aggregate_id for entry in await waiting(outbox)] == [one.id, one.id, another.id]
    assert [entry.aggregate_id for entry in await waiting(outbox, parked_only=True)] == [one.id, another.id]
    for parked_only in (False, True):
        first = list(await outbox.entries(parked_only=parked_only, limit=1))
        assert first == (await waiting(outbox, parked_only=parked_only))[:1]
    assert react.names == ["d"]
    assert third.id not in {entry.aggregate_id for entry in await waiting(outbox)}


async def test_replaying_makes_parked_events_due_as_if_they_were_new(
    make_outbox: MakeOutbox, renamed: Renamed, react: Reactions
) -> None:
    outbox = make_outbox(attempts=1)
    for name in ("a", "b", "c"):
        await renamed(name)
    await drain(outbox, fail)
    first, second, third = await waiting(outbox, parked_only=True)

    assert await outbox.replay(second.id) == 1
    assert await waiting(outbox, parked_only=True) == [first, third]
    [replayed] = [entry for entry in await waiting(outbox) if entry.id == second.id]
    assert (replayed.attempts, replayed.parked_at) == (0, None)
    assert await outbox.replay(None) == 2
    await drain(outbox, react)
    assert react.names == ["a", "b", "c"]


async def test_only_what_is_parked_can_be_replayed(
    renamed: Renamed, outbox: PostgresOutbox[UnitOfWork], react: Reactions
) -> None:
    await renamed("a")
    await outbox.deliver_next(fail)
    [entry] = await waiting(outbox)

    assert await outbox.replay(entry.id) == 0
    assert await outbox.replay(a_user_id()) == 0
    assert await outbox.replay(None) == 0
    assert await waiting(outbox) == [entry]
    assert not await outbox.deliver_next(react)


# ── every event there is ─────────────────────────────────────────────────────────────────────────

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


def every_event() -> dict[str, type[Event]]:
    """What the modules of the domain define, and the specimen's."""
    packages = (domain, kernel.specimen.domain)
    names = [
        each.name
        for package in packages
        for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ]
    modules = [importlib.import_module(name) for name in names]
    found = [kind for module in modules for _, kind in inspect.getmembers(module, inspect.isclass)]
    return {kind.__name__: kind for kind in found if issubclass(kind, Event) and kind is not Event}


def test_every_event_of_the_domain_is_known() -> None:
    assert event_types() == every_event()
    assert len(event_types()) > 20


@pytest.mark.parametrize("name", sorted(every_event()))
@settings(max_examples=10)
@given(data=st.data())
async def test_every_event_comes_out_as_it_went_in(
    begin: Begin[UnitOfWork], outbox: PostgresOutbox[UnitOfWork], name: str, data: st.DataObject
) -> None:
    kind = every_event()[name]
    at = data.draw(st.datetimes(datetime(1971, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
    strings = {hint: texts for hint, shape in inspect.get_annotations(kind).items() if shape is str}
    event = data.draw(st.builds(kind, at=st.just(at), **strings))
    delivered = []

    async def take(uow: UnitOfWork, delivery: Delivery[Event]) -> None:
        delivered.append(delivery.event)

    await store(begin, a_user().recording(event))
    await drain(outbox, take)

    assert delivered == [event]
    assert type(delivered[0]) is kind


async def test_ids_that_came_from_the_database_go_into_events_as_well(begin: Begin[UnitOfWork]) -> None:
    workspace = a_workspace()
    await store(begin, workspace)
    async with begin() as uow:
        loaded = await uow.workspaces.get(workspace.id)
    changed = loaded.edit(by=BY, at=NOW, name="Looms")

    [payload] = event_values(changed.events)["event_payloads"]

    assert decode("WorkspaceRenamed", payload) == changed.events[0]


def test_two_events_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    event_types()
    elsewhere = ModuleType("elsewhere")
    monkeypatch.setitem(sys.modules, "elsewhere", elsewhere)
    another = type("SpecimenOrderCreated", (Event,), {"__module__": "elsewhere"})
    elsewhere.SpecimenOrderCreated = another  # type: ignore[attr-defined]
    try:
        with pytest.raises(TypeError, match="Two events are called SpecimenOrderCreated"):
            event_types.__wrapped__()
    finally:
        del elsewhere.SpecimenOrderCreated, another
        gc.collect()
    assert event_types.__wrapped__() == event_types()
