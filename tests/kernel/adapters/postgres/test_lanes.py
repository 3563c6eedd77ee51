"""What leaves the database: each reaction by itself, in order, at least once, with nothing held meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from adapters.postgres.kernel.connection.database import Database
from adapters.postgres.kernel.connection.transactions import PostgresTransactions
from adapters.postgres.kernel.discovery import repositories_of
from adapters.postgres.kernel.outbox.delivery import PostgresOutbox
from adapters.postgres.kernel.outbox.events import CHANNEL
from adapters.postgres.kernel.outbox.lanes import PostgresLanes
from application.kernel.ports.events import Delivery, Leased, OutboxEntry, Outcome, Outgoing
from application.kernel.ports.world import Contention, NotNow, TimedOut, Unavailable, WorldError
from application.kernel.unit_of_work import Begin
from domain.kernel.aggregate import Event
from domain.kernel.workspaces import Workspace, WorkspaceId, WorkspaceRenamed
from kernel.servers.backends import PATIENCE, ByHand, backends
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import NOW, a_user, a_user_id, a_workspace, store

NAME = "lanes"
BY = a_user_id()
OUTSIDE = {"WorkspaceRenamed": ["announce", "tell"]}
REACTIONS = ["announce", "tell"]


async def nothing(uow: UnitOfWork, delivery: Delivery[Event]) -> None: ...


async def fail(uow: UnitOfWork, delivery: Delivery[Event]) -> None:
    raise ZeroDivisionError("as told")


def never() -> bool:
    return False


@dataclass
class Relay:
    """A worker's adapters, on a pool of its own as another process has."""

    outbox: PostgresOutbox[UnitOfWork]
    lanes: PostgresLanes[UnitOfWork]

    async def dispatch(self, react: Any = nothing) -> None:
        while await self.outbox.deliver_next(react, OUTSIDE):
            pass

    async def lease(self, *reactions: str, **how: bool) -> Leased:
        leased = await self.lanes.lease(reactions or REACTIONS, **how)
        assert leased is not None
        return leased


type MakeRelay = Callable[..., Relay]


@pytest.fixture
async def make_relay(empty_database_url: str) -> AsyncIterator[MakeRelay]:
    made: list[Database] = []

    def make(**options: Any) -> Relay:
        database = Database(empty_database_url, pool_size=1, wait_seconds=PATIENCE, application_name=NAME)
        made.append(database)
        begin = PostgresTransactions(
            database, lambda: datetime.now(UTC), UnitOfWork, repositories_of(UnitOfWork)
        )
        attempts = options.get("attempts", 10)
        return Relay(
            PostgresOutbox(database, begin, attempts=attempts), PostgresLanes(database, begin, **options)
        )

    yield make
    for database in made:
        await database.close()


@pytest.fixture
def relay(make_relay: MakeRelay) -> Relay:
    return make_relay()


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


@dataclass
class OtherSide:
    """Takes what leaves, or raises what it is told to."""

    taken: list[tuple[UUID, str]] = field(default_factory=list)
    raises: list[Exception] = field(default_factory=list)

    async def __call__(self, uow: UnitOfWork, delivery: Delivery[Event], /) -> Outgoing[UnitOfWork] | None:
        event = delivery.event
        assert isinstance(event, WorkspaceRenamed)

        async def send() -> bool:
            self.taken.append((delivery.id, event.name))
            if self.raises:
                raise self.raises.pop(0)
            return True

        return Outgoing(send)

    @property
    def names(self) -> list[str]:
        return [name for _, name in self.taken]


async def entries(relay: Relay, *, parked_only: bool = False) -> list[OutboxEntry]:
    return list(await relay.outbox.entries(parked_only=parked_only, limit=1000))


async def make_due(by_hand: ByHand) -> None:
    await by_hand.execute("UPDATE deliveries SET available_at = now()")


# ── how they get there ───────────────────────────────────────────────────────────────────────────


async def test_what_an_event_causes_outside_is_written_down_in_the_transaction_that_ends_it(
    relay: Relay, renamed: Renamed, by_hand: ByHand
) -> None:
    workspace = await renamed("a")
    [event] = await entries(relay)

    async def look(uow: UnitOfWork, delivery: Delivery[Event]) -> None:
        assert await by_hand.fetchval("SELECT count(*) FROM deliveries") == 0

    await relay.dispatch(look)
    waiting = await entries(relay)
    assert [(each.id, each.type, each.aggregate_id, each.reaction) for each in waiting] == [
        (event.id, "WorkspaceRenamed", workspace.id, reaction) for reaction in REACTIONS
    ]
    assert await by_hand.fetchval("SELECT count(*) FROM outbox") == 0


async def test_a_failure_in_the_database_does_not_hold_up_what_leaves_it(
    relay: Relay, renamed: Renamed, by_hand: ByHand
) -> None:
    """Not that of the same event, and not that of later events of the aggregate; each leaves once."""
    await renamed("a", "b")
    await relay.dispatch(fail)
    leaving, reaction = OtherSide(), "announce"
    for _ in range(2):
        outcome = await relay.lanes.deliver(await relay.lease(reaction), leaving, others_served=never)
        assert outcome is Outcome.DELIVERED
    assert leaving.names == ["a", "b"]
    assert [each.type for each in await entries(relay) if each.reaction is None] == ["WorkspaceRenamed"] * 2
    await by_hand.execute("UPDATE outbox SET available_at = now()")
    await relay.dispatch()
    assert await relay.lanes.lease([reaction]) is None
    assert len(await entries(relay)) == 2  # `tell` of both


async def test_what_is_before_it_in_another_worker_s_transaction_leaves_first(
    make_relay: MakeRelay, renamed: Renamed
) -> None:
    await renamed("a", "b")
    at_it, may_go_on = asyncio.Event(), asyncio.Event()

    async def slowly(uow: UnitOfWork, delivery: Delivery[Event]) -> None:
        at_it.set()
        await may_go_on.wait()
        raise ZeroDivisionError

    slow, quick = make_relay(), make_relay()
    busy = asyncio.create_task(slow.outbox.deliver_next(slowly, OUTSIDE))
    await at_it.wait()
    assert not await quick.outbox.deliver_next(nothing, OUTSIDE)
    assert await quick.lanes.lease(REACTIONS) is None
    may_go_on.set()
    await busy
    await quick.dispatch()
    other = OtherSide()
    while leased := await quick.lanes.lease(["tell"]):
        await quick.lanes.deliver(leased, other, others_served=never)
    assert other.names == ["a", "b"]


# ── order, leases ────────────────────────────────────────────────────────────────────────────────


async def test_the_order_holds_for_each_aggregate_and_reaction_and_no_further(
    relay: Relay, renamed: Renamed
) -> None:
    await renamed("a", "b")
    await renamed("c")
    await relay.dispatch()
    leased = [await relay.lease() for _ in range(4)]
    assert sorted((each.reaction, each.payload.split('"name": "')[1][0]) for each in leased) == [
        ("announce", "a"),
        ("announce", "c"),
        ("tell", "a"),
        ("tell", "c"),
    ]
    assert await relay.lanes.lease(REACTIONS) is None


async def test_nothing_of_the_database_is_held_while_something_leaves(
    relay: Relay, renamed: Renamed, by_hand: ByHand
) -> None:
    await renamed("a")
    await relay.dispatch()

    async def react(uow: UnitOfWork, delivery: Delivery[Event]) -> Outgoing[UnitOfWork]:
        async def send() -> bool:
            assert len(await backends(by_hand, NAME, state="idle")) == 1  # and it is the only one
            assert len(await by_hand.fetch("SELECT FROM deliveries FOR UPDATE NOWAIT")) == 2
            await relay.outbox.backlog()  # the pool's one connection is free
            return True

        return Outgoing(send)

    assert await relay.lanes.deliver(await relay.lease(), react, others_served=never) is Outcome.DELIVERED


async def test_many_relays_never_make_one_delivery_at_the_same_time_and_lose_none(
    make_relay: MakeRelay, renamed: Renamed
) -> None:
    names = [str(number) for number in range(5)]
    workspaces = [await renamed(*names) for _ in range(4)]
    await make_relay().dispatch()
    at_it: set[tuple[WorkspaceId, str]] = set()
    taken: dict[tuple[WorkspaceId, str], list[str]] = {}

    def carefully(reaction: str) -> Any:
        async def react(uow: UnitOfWork, delivery: Delivery[Event]) -> Outgoing[UnitOfWork]:
            event = delivery.event
            assert isinstance(event, WorkspaceRenamed)
            key = event.workspace_id, reaction

            async def send() -> bool:
                assert key not in at_it
                at_it.add(key)
                await asyncio.sleep(0.002)
                taken.setdefault(key, []).append(event.name)
                at_it.remove(key)
                return True

            return Outgoing(send)

        return react

    async def work(relay: Relay) -> None:
        while await entries(relay):
            if leased := await relay.lanes.lease(REACTIONS):
                outcome = await relay.lanes.deliver(leased, carefully(leased.reaction), others_served=never)
                assert outcome is Outcome.DELIVERED

    async with asyncio.timeout(3 * PATIENCE):
        await asyncio.gather(*(work(make_relay()) for _ in range(4)))
    assert taken == {(each.id, reaction): names for each in workspaces for reaction in REACTIONS}


async def test_what_a_dead_worker_had_leased_leaves_again_with_the_same_id_when_the_lease_is_over(
    make_relay: MakeRelay, renamed: Renamed, by_hand: ByHand
) -> None:
    dead, other = make_relay(seconds=20), make_relay()
    await renamed("a")
    await dead.dispatch()
    leased = await dead.lease("tell")
    lasts = await by_hand.fetchval("SELECT available_at - now() FROM deliveries WHERE reaction = 'tell'")
    assert timedelta(seconds=29) < lasts <= timedelta(seconds=30)
    assert await other.lanes.lease(["tell"]) is None
    await make_due(by_hand)
    again = await other.lease("tell")
    assert (again.event_id, again.attempts, again.refusals) == (leased.event_id, 0, 0)
    assert again.lease != leased.lease


async def test_who_lost_the_lease_stores_nothing_and_ends_nothing(
    relay: Relay, renamed: Renamed, by_hand: ByHand
) -> None:
    await renamed("a")
    await relay.dispatch()
    leased = await relay.lease("tell")
    taken_over: list[Leased] = []

    async def react(uow: UnitOfWork, delivery: Delivery[Event]) -> Outgoing[UnitOfWork]:
        async def send() -> bool:
            await make_due(by_hand)
            taken_over.append(await relay.lease("tell"))
            return True

        async def stored(uow: UnitOfWork, _: bool) -> None:
            await uow.users.add(a_user())

        return Outgoing(send, stored)

    with capture_logs() as logs:
        await relay.lanes.deliver(leased, react, others_served=never)
    assert [entry["event"] for entry in logs] == ["delivery taken over"]
    assert await by_hand.fetchval("SELECT count(*) FROM users") == 0
    assert await relay.lanes.deliver(taken_over[0], OtherSide(), others_served=never) is Outcome.DELIVERED
    assert [entry.reaction for entry in await entries(relay)] == ["announce"]


# ── what is stored ───────────────────────────────────────────────────────────────────────────────


async def test_what_is_stored_afterwards_is_committed_with_the_end_of_the_delivery_and_after_it_left(
    relay: Relay, renamed: Renamed, by_hand: ByHand
) -> None:
    await renamed("a")
    await relay.dispatch()
    said: list[bool] = []

    async def react(uow: UnitOfWork, delivery: Delivery[Event]) -> Outgoing[UnitOfWork]:
        async def send() -> bool:
            assert await by_hand.fetchval("SELECT count(*) FROM users") == 0
            return False

        async def stored(uow: UnitOfWork, done: bool) -> None:
            said.append(done)
            await uow.users.add(a_user())
            assert await by_hand.fetchval("SELECT count(*) FROM deliveries WHERE reaction = 'tell'") == 1

        return Outgoing(send, stored, then="later")

    assert (
        await relay.lanes.deliver(await relay.lease("tell"), react, others_served=never) is Outcome.DELIVERED
    )
    assert (said, await by_hand.fetchval("SELECT count(*) FROM users")) == ([False], 1)
    assert [entry.reaction for entry in await entries(relay)] == ["announce", "later"]


async def test_who_loses_to_another_transaction_stores_again_and_sends_once(
    relay: Relay, renamed: Renamed
) -> None:
    await renamed("a")
    await relay.dispatch()
    sent, tries = [], [Contention("deadlock"), Contention("deadlock")]

    async def react(uow: UnitOfWork, delivery: Delivery[Event]) -> Outgoing[UnitOfWork]:
        async def send() -> bool:
            sent.append(delivery.id)
            return True

        async def stored(uow: UnitOfWork, _: bool) -> None:
            if tries:
                raise tries.pop()

        return Outgoing(send, stored)

    assert (
        await relay.lanes.deliver(await relay.lease("tell"), react, others_served=never) is Outcome.DELIVERED
    )
    assert len(sent) == 1


async def test_where_nothing_is_to_leave_the_delivery_ends(relay: Relay, renamed: Renamed) -> None:
    await renamed("a")
    await relay.dispatch()

    async def react(uow: UnitOfWork, delivery: Delivery[Event]) -> None: ...

    assert await relay.lanes.deliver(await relay.lease("tell"), react, others_served=never) is Outcome.NOTHING
    assert [entry.reaction for entry in await entries(relay)] == ["announce"]


# ── what fails ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("refusal", "refusals", "others", "outcome", "seconds"),
    [
        (NotNow("451"), 0, False, Outcome.REFUSED, 15),
        (NotNow("451"), 1, False, Outcome.REFUSED, 60),
        (NotNow("451"), 99, False, Outcome.REFUSED, 1800),
        (Unavailable("away"), 0, False, Outcome.SILENT, 1),
        (TimedOut("silent"), 99, False, Outcome.SILENT, 30),
        (TimedOut("silent"), 99, True, Outcome.SILENT, 1800),
    ],
)
async def test_what_is_refused_for_now_is_tried_again_and_is_not_its_fault(
    relay: Relay,
    renamed: Renamed,
    by_hand: ByHand,
    refusal: WorldError,
    refusals: int,
    *,
    others: bool,
    outcome: Outcome,
    seconds: int,
) -> None:
    await renamed("a")
    await relay.dispatch()
    await by_hand.execute("UPDATE deliveries SET refusals = $1", refusals)
    before = await by_hand.fetchval("SELECT clock_timestamp()")
    leased = await relay.lease("tell")
    got = await relay.lanes.deliver(leased, OtherSide(raises=[refusal]), others_served=lambda: others)
    assert got is outcome
    after = await by_hand.fetchval("SELECT clock_timestamp()")
    [entry] = [entry for entry in await entries(relay) if entry.reaction == "tell"]
    assert (entry.attempts, entry.refusals, entry.parked_at) == (0, refusals + 1, None)
    assert timedelta(seconds=seconds / 2) <= entry.available_at - before
    assert entry.available_at - after <= timedelta(seconds=seconds)


async def test_what_takes_longer_than_the_lease_allows_is_ended_before_it_is_over(
    make_relay: MakeRelay, renamed: Renamed
) -> None:
    relay = make_relay(seconds=0.1)
    await renamed("a")
    await relay.dispatch()

    async def react(uow: UnitOfWork, delivery: Delivery[Event]) -> Outgoing[UnitOfWork]:
        async def send() -> bool:
            await asyncio.sleep(PATIENCE)
            return True

        return Outgoing(send)

    assert await relay.lanes.deliver(await relay.lease("tell"), react, others_served=never) is Outcome.SILENT
    [entry] = [entry for entry in await entries(relay) if entry.reaction == "tell"]
    assert (entry.last_error, entry.attempts) == ("TimedOut: It took too long.", 0)


async def test_what_is_refused_for_days_is_parked_and_logged_without_what_was_said(
    relay: Relay, renamed: Renamed, by_hand: ByHand
) -> None:
    await renamed("a")
    await relay.dispatch()
    other = OtherSide(raises=[NotNow("ada@example.com")] * 3)
    said: object = None
    for hours, parked in ((0, False), (95, False), (97, True)):
        await make_due(by_hand)
        await by_hand.execute(
            "UPDATE deliveries SET first_refused_at = first_refused_at - interval '1 hour' * $1", hours
        )
        with capture_logs() as logs:
            await relay.lanes.deliver(await relay.lease("tell"), other, others_served=never)
        said = logs
        assert bool(await entries(relay, parked_only=True)) is parked
        await by_hand.execute(
            "UPDATE deliveries SET first_refused_at = now() WHERE first_refused_at IS NOT NULL"
        )
    [entry] = await entries(relay, parked_only=True)
    assert said == [
        {
            "event": "delivery parked",
            "log_level": "error",
            "event_id": entry.id,
            "event_type": "WorkspaceRenamed",
            "reaction": "tell",
            "reason": "NotNow",
        }
    ]
    assert await relay.outbox.replay(entry.id, reaction="announce") == 0
    assert await relay.outbox.replay(entry.id, reaction="tell") == 1
    again = await relay.lease("tell")
    assert (again.event_id, again.refusals) == (entry.id, 0)
    assert await relay.lanes.deliver(again, other, others_served=never) is Outcome.DELIVERED


async def test_a_defect_counts_and_is_parked_when_it_happens_too_often(
    make_relay: MakeRelay, renamed: Renamed, by_hand: ByHand
) -> None:
    relay = make_relay(attempts=2)
    await renamed("a")
    await relay.dispatch()
    other = OtherSide(raises=[ZeroDivisionError("as told")] * 2)
    for attempts, event in ((1, "delivery failed"), (2, "delivery parked")):
        await make_due(by_hand)
        with capture_logs() as logs:
            got = await relay.lanes.deliver(await relay.lease("tell"), other, others_served=never)
        assert got is Outcome.FAILED
        assert [(each["event"], each["reason"]) for each in logs] == [(event, "ZeroDivisionError")]
        [entry] = [entry for entry in await entries(relay) if entry.reaction == "tell"]
        assert (entry.attempts, entry.refusals) == (attempts, 0)
    assert [entry.reaction for entry in await entries(relay, parked_only=True)] == ["tell"]


@pytest.mark.parametrize("passes", [True, False])
async def test_what_follows_a_parked_delivery_waits_unless_its_lane_passes_it(
    make_relay: MakeRelay, renamed: Renamed, *, passes: bool
) -> None:
    relay = make_relay(attempts=1)
    await renamed("a", "b")
    await relay.dispatch()
    other = OtherSide(raises=[ZeroDivisionError()])
    await relay.lanes.deliver(await relay.lease("tell"), other, others_served=never)
    assert (await relay.lanes.lease(["tell"], passes_parked=passes) is not None) is passes
    assert await relay.lanes.lease(["announce"], passes_parked=passes) is not None


@pytest.mark.parametrize("error", [Unavailable, Contention])
async def test_the_database_s_failures_are_not_the_delivery_s(
    relay: Relay, renamed: Renamed, error: type[WorldError]
) -> None:
    await renamed("a")
    await relay.dispatch()

    async def stumble(uow: UnitOfWork, delivery: Delivery[Event]) -> None:
        raise error

    with pytest.raises(error):
        await relay.lanes.deliver(await relay.lease("tell"), stumble, others_served=never)
    assert {(entry.attempts, entry.refusals) for entry in await entries(relay)} == {(0, 0)}


async def test_what_no_reaction_is_for_is_found_by_the_names_of_those_there_are(
    relay: Relay, renamed: Renamed
) -> None:
    await renamed("a")
    await relay.dispatch()
    assert (await relay.lease("announce", others=True)).reaction == "tell"
    assert await relay.lanes.lease(REACTIONS, others=True) is None
    assert await relay.lanes.lease(["announce"], others=True) is None  # it is leased


async def heard_while(by_hand: ByHand, look: Callable[[], Awaitable[None]]) -> list[str]:
    """What is signalled to workers while this is done."""
    heard, ended = list[str](), asyncio.Event()

    def hear(*said: object) -> None:
        heard.append(str(said[-1]))
        if heard[-1] == "the end":
            ended.set()

    await by_hand.add_listener(CHANNEL, hear)
    await look()
    await by_hand.execute(f"NOTIFY {CHANNEL}, 'the end'")
    async with asyncio.timeout(60):
        await ended.wait()
    return heard[:-1]


async def test_a_look_that_finds_nothing_wakes_nobody(relay: Relay, by_hand: ByHand) -> None:
    async def look() -> None:
        for _ in range(3):
            assert not await relay.outbox.deliver_next(nothing, OUTSIDE)
            assert await relay.lanes.lease(REACTIONS) is None

    assert await heard_while(by_hand, look) == []


async def test_while_another_worker_has_what_is_held_up_a_look_wakes_nobody(
    make_relay: MakeRelay, renamed: Renamed, by_hand: ByHand
) -> None:
    await renamed("One", "Two")
    relay = make_relay()
    assert await relay.outbox.deliver_next(fail, OUTSIDE)  # from now on its aggregate is held up

    async def look() -> None:
        async with by_hand.transaction():
            await by_hand.execute("SELECT FROM outbox FOR UPDATE")
            for _ in range(3):
                assert not await make_relay().outbox.deliver_next(nothing, OUTSIDE)

    assert await heard_while(by_hand, look) == []
    assert await relay.outbox.deliver_next(nothing, OUTSIDE)


async def test_the_backlog_counts_what_is_parked_and_what_is_due_and_not_what_is_held_up(
    make_relay: MakeRelay, renamed: Renamed, by_hand: ByHand
) -> None:
    relay = make_relay(attempts=1)
    empty = await relay.outbox.backlog()
    assert (empty.parked, empty.due, empty.oldest_due_seconds) == (0, 0, 0)
    await renamed("a", "b")
    await relay.dispatch()
    await relay.lanes.deliver(
        await relay.lease("tell"), OtherSide(raises=[ZeroDivisionError()]), others_served=never
    )
    await renamed("c")
    await by_hand.execute("UPDATE outbox SET available_at = now() - interval '90 seconds'")
    backlog = await relay.outbox.backlog()
    assert (backlog.parked, backlog.due) == (1, 2)  # `tell` of a; `announce` of a, and the event of c
    assert 90 <= backlog.oldest_due_seconds < 90 + PATIENCE
