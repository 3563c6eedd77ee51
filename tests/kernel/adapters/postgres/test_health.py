"""The look at the database, and the workers' heartbeats: what is found, what it costs, what stays behind."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from adapters.postgres.kernel.connection.database import Database
from adapters.postgres.kernel.health import _LOOK, STALE, PostgresHeartbeats, PostgresObserver
from application.kernel.ports.health import Vitals
from kernel.servers.backends import ByHand
from kernel.servers.postgres import NewDatabase

SECOND = timedelta(seconds=1)
HERE = "here"


@pytest.fixture
async def own_database(empty_database_url: str, statements: list[str]) -> AsyncIterator[Database]:
    def record(connection: Any) -> None:
        connection.add_query_logger(lambda query: statements.append(query.query))

    database = Database(empty_database_url, pool_size=1, on_connect=record)
    yield database
    await database.close()


@pytest.fixture
def observer(own_database: Database) -> PostgresObserver:
    return PostgresObserver(own_database)


@pytest.fixture
def heartbeats(own_database: Database) -> PostgresHeartbeats:
    return PostgresHeartbeats(own_database)


EVENT = """
    INSERT INTO outbox (id, type, aggregate_id, payload, available_at, parked_at)
    VALUES (gen_random_uuid(), 'None', $1, '{}', now() + $2, CASE WHEN $3 THEN now() END)
"""


DELIVERY = """
    INSERT INTO deliveries
        (event_id, reaction, type, aggregate_id, payload, recorded_at, available_at, parked_at)
    VALUES (gen_random_uuid(), $2, 'None', $1, '{}', now(), now() + $3, CASE WHEN $4 THEN now() END)
"""


async def an_event(
    by_hand: ByHand, *, due: timedelta, parked: bool = False, aggregate: object = None
) -> None:
    await by_hand.execute(EVENT, aggregate or uuid4(), due, parked)


async def a_delivery(
    by_hand: ByHand, aggregate: UUID, reaction: str, *, due: timedelta, parked: bool = False
) -> None:
    await by_hand.execute(DELIVERY, aggregate, reaction, due, parked)


async def rows(by_hand: ByHand) -> int:
    count: int = await by_hand.fetchval("SELECT count(*) FROM worker_heartbeats")
    return count


# ── the look ─────────────────────────────────────────────────────────────────────────────────────


async def test_of_an_empty_database_there_is_nothing_to_tell(observer: PostgresObserver) -> None:
    assert await observer.look() == Vitals(overdue=None, parked=False, beaten=None)


async def test_a_look_is_one_statement_in_a_transaction_that_leaves_nothing(
    observer: PostgresObserver, by_hand: ByHand, statements: list[str]
) -> None:
    await observer.look()
    await observer.look()
    await asyncio.sleep(0)  # the driver tells of a statement a moment after it ended
    kinds = [statement.split()[0] for statement in statements]
    assert kinds == ["BEGIN;", "WITH", "ROLLBACK"] * 2
    assert await rows(by_hand) == 0


async def test_it_tells_for_how_long_the_event_is_due_that_is_next(
    observer: PostgresObserver, by_hand: ByHand
) -> None:
    await an_event(by_hand, due=60 * SECOND)  # in back-off
    assert (await observer.look()).overdue is None
    await an_event(by_hand, due=-5 * SECOND)
    await an_event(by_hand, due=-90 * SECOND)
    vitals = await observer.look()
    assert vitals.overdue is not None
    assert 90 * SECOND <= vitals.overdue < 120 * SECOND
    assert not vitals.parked


async def test_what_waits_behind_a_parked_event_is_not_due_and_the_parked_one_is_told(
    observer: PostgresObserver, by_hand: ByHand
) -> None:
    aggregate = uuid4()
    await an_event(by_hand, due=-90 * SECOND, parked=True, aggregate=aggregate)
    await an_event(by_hand, due=-80 * SECOND, aggregate=aggregate)
    assert await observer.look() == Vitals(overdue=None, parked=True, beaten=None)


async def test_what_waits_behind_one_in_back_off_is_not_due(
    observer: PostgresObserver, by_hand: ByHand
) -> None:
    aggregate = uuid4()
    await an_event(by_hand, due=60 * SECOND, aggregate=aggregate)
    await an_event(by_hand, due=-80 * SECOND, aggregate=aggregate)
    assert (await observer.look()).overdue is None


async def test_what_leaves_the_database_counts_too_each_reaction_by_itself(
    observer: PostgresObserver, by_hand: ByHand
) -> None:
    user = uuid4()
    await a_delivery(by_hand, user, "verify", due=60 * SECOND)  # refused for now
    await a_delivery(by_hand, user, "verify", due=-200 * SECOND)  # which waits for that one
    assert await observer.look() == Vitals(overdue=None, parked=False, beaten=None)
    await an_event(by_hand, due=-5 * SECOND)
    await a_delivery(by_hand, user, "reset", due=-90 * SECOND)
    vitals = await observer.look()
    assert vitals.overdue is not None
    assert 90 * SECOND <= vitals.overdue < 120 * SECOND
    await a_delivery(by_hand, user, "invite", due=-90 * SECOND, parked=True)
    assert (await observer.look()).parked


async def test_a_look_reads_no_more_events_however_many_wait(
    observer: PostgresObserver, by_hand: ByHand
) -> None:
    await by_hand.execute(
        "INSERT INTO outbox (id, type, aggregate_id, payload, available_at) SELECT gen_random_uuid(), 'None',"
        " gen_random_uuid(), '{}', now() - interval '9 s' FROM generate_series(1, 20000)"
    )
    await by_hand.execute("ANALYZE outbox")
    sql = _LOOK.sql.replace("$1", "1").replace("$2", "gen_random_uuid()").replace("$3", "''")
    async with by_hand.transaction():
        plan = await by_hand.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
    read = [node for node in nodes(json.loads(plan)[0]["Plan"]) if node.get("Relation Name") == "outbox"]
    assert [(node["Node Type"], node["Actual Rows"]) for node in read] == [("Index Scan", 1000)]
    assert (await observer.look()).overdue is not None


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


# ── a server that takes no more ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("setting", "error"),
    [
        # As a standby does, or a server after a failover.
        ("default_transaction_read_only = on", asyncpg.ReadOnlySQLTransactionError),
        # As a full disk does: the file that the look writes is not taken.
        ("temp_file_limit = '64kB'", asyncpg.ConfigurationLimitExceededError),
    ],
    ids=["read-only", "full"],
)
async def test_a_server_that_answers_and_takes_no_more_is_no_database(
    new_database: NewDatabase, template_database: str, setting: str, error: type[Exception]
) -> None:
    url = await new_database(template_database)
    by_hand = await asyncpg.connect(url)
    name = await by_hand.fetchval("SELECT current_database()")
    database = Database(url, pool_size=1)
    try:
        observer = PostgresObserver(database)
        await observer.look()
        await by_hand.execute(f'ALTER DATABASE "{name}" SET {setting}')
        await database.close()  # as a failover does with every connection
        again = Database(url, pool_size=1)
        with pytest.raises(Exception) as refused:  # noqa: PT011 (which it is says its cause)
            await PostgresObserver(again).look()
        assert isinstance(refused.value.__cause__ or refused.value, error)
        await by_hand.execute(f'ALTER DATABASE "{name}" RESET ALL')
        # The connection of the failed look was not kept.
        await PostgresObserver(again).look()
        await again.close()
    finally:
        await database.close()
        await by_hand.close()


async def test_no_lock_of_others_stands_before_a_look(observer: PostgresObserver, by_hand: ByHand) -> None:
    """Two services that look at the same time, one of which has stopped in the middle."""
    async with by_hand.transaction():
        await by_hand.execute(
            "INSERT INTO worker_heartbeats VALUES (gen_random_uuid(), '', now(), now()),"
            " (gen_random_uuid(), '', now(), now())"
        )
        await by_hand.execute("UPDATE worker_heartbeats SET beat_at = now()")
        assert (await observer.look()).beaten is None


# ── heartbeats ───────────────────────────────────────────────────────────────────────────────────


async def test_a_worker_has_one_row_however_often_it_beats(
    heartbeats: PostgresHeartbeats, observer: PostgresObserver, by_hand: ByHand
) -> None:
    worker, other = uuid4(), uuid4()
    for beating in (worker, other, worker, worker):
        await heartbeats.beat(beating, HERE)
    assert await rows(by_hand) == 2
    beaten = (await observer.look()).beaten
    assert beaten is not None
    assert beaten < 30 * SECOND


async def test_a_heartbeat_is_one_statement(heartbeats: PostgresHeartbeats, statements: list[str]) -> None:
    await heartbeats.beat(uuid4(), HERE)
    await asyncio.sleep(0)
    assert len(statements) == 1


async def test_the_last_heartbeat_of_any_worker_counts(
    heartbeats: PostgresHeartbeats, observer: PostgresObserver, by_hand: ByHand
) -> None:
    await heartbeats.beat(uuid4(), HERE)
    await by_hand.execute("UPDATE worker_heartbeats SET beat_at = now() - interval '50 s'")
    beaten = (await observer.look()).beaten
    assert beaten is not None
    assert 50 * SECOND <= beaten < 80 * SECOND
    await heartbeats.beat(uuid4(), HERE)
    beaten = (await observer.look()).beaten
    assert beaten is not None
    assert beaten < 30 * SECOND


async def test_a_worker_that_stops_goes_and_one_that_was_killed_is_forgotten_in_time(
    heartbeats: PostgresHeartbeats, by_hand: ByHand
) -> None:
    stopped, killed, beating = uuid4(), uuid4(), uuid4()
    for worker in (stopped, killed, beating):
        await heartbeats.beat(worker, HERE)
    await heartbeats.end(stopped)
    assert await rows(by_hand) == 2
    # Whoever slept for longer than that is no stranger to itself.
    await by_hand.execute("UPDATE worker_heartbeats SET beat_at = now() - $1::interval", STALE + SECOND)
    await heartbeats.beat(beating, HERE)
    assert [row["id"] for row in await by_hand.fetch("SELECT id FROM worker_heartbeats")] == [beating]


async def test_a_worker_learns_what_waits_when_it_beats(
    heartbeats: PostgresHeartbeats, by_hand: ByHand
) -> None:
    await an_event(by_hand, due=-90 * SECOND)
    vitals = await heartbeats.beat(uuid4(), HERE)
    assert vitals.overdue is not None
    assert vitals.overdue >= 90 * SECOND


async def test_the_age_is_that_of_the_hosts_own_workers(
    heartbeats: PostgresHeartbeats, by_hand: ByHand
) -> None:
    assert await heartbeats.age(HERE) is None
    await heartbeats.beat(uuid4(), "elsewhere")
    assert await heartbeats.age(HERE) is None
    await heartbeats.beat(uuid4(), HERE)
    await by_hand.execute(
        "UPDATE worker_heartbeats SET beat_at = now() - interval '50 s' WHERE host = 'here'"
    )
    age = await heartbeats.age(HERE)
    assert age is not None
    assert 50 * SECOND <= age < 80 * SECOND
