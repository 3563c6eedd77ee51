"""Answers under idempotency keys where several have the same one at the same instant, and what it costs."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime

import asyncpg
import pytest

from adapters.postgres.kernel.connection.database import Database
from adapters.postgres.kernel.connection.transactions import PostgresTransactions
from adapters.postgres.kernel.discovery import repositories_of
from application.kernel.idempotency import IdempotencyKeyInUse
from application.kernel.ports.storing import KeptAnswer
from application.kernel.run import Runner
from application.kernel.unit_of_work import Begin
from kernel.servers.backends import ByHand, eventually
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import a_user, store
from kernel.world.refusals import refused

type NewDatabase = Callable[..., Awaitable[str]]
type Recorded = Callable[[], AbstractAsyncContextManager[list[str]]]

KEY = bytes(range(32))
KEPT = KeptAnswer(fingerprint=bytes(32), answer="sealed")


async def register_once(uow: UnitOfWork, ran: list[KeptAnswer | None]) -> KeptAnswer:
    """Adds a user, unless that was done under the key; `ran` gets what each run has found."""
    found = await uow.kept_answers.claim(KEY)
    ran.append(found)
    if found is not None:
        return found
    await uow.users.add(a_user())
    await uow.kept_answers.keep(KEY, KEPT)
    return KEPT


# ── at the same instant ──────────────────────────────────────────────────────────────────────────


async def test_whoever_comes_second_is_refused_at_once_and_not_kept_waiting(begin: Begin[UnitOfWork]) -> None:
    async with begin() as first, begin() as second:
        assert await first.kept_answers.claim(KEY) is None
        async with asyncio.timeout(4):  # seconds; a lock that is waited for is given up after five
            with refused(IdempotencyKeyInUse):
                await second.kept_answers.claim(KEY)


async def test_whoever_was_refused_can_go_on_with_what_they_did(
    begin: Begin[UnitOfWork], by_hand: ByHand
) -> None:
    async with begin() as first:
        await first.kept_answers.claim(KEY)
        async with begin() as second:
            await second.users.add(a_user())
            with refused(IdempotencyKeyInUse):
                await second.kept_answers.claim(KEY)
    assert await by_hand.fetchval("SELECT count(*) FROM users") == 1


async def test_of_twenty_at_the_same_instant_one_works_and_the_others_are_refused_or_find_its_answer(
    run: Runner[UnitOfWork], by_hand: ByHand
) -> None:
    async def work() -> KeptAnswer | IdempotencyKeyInUse:
        try:
            return await run(register_once, [])
        except IdempotencyKeyInUse as in_use:
            return in_use

    outcomes = await asyncio.gather(*(work() for _ in range(20)))
    assert KEPT in outcomes
    assert all(outcome == KEPT or isinstance(outcome, IdempotencyKeyInUse) for outcome in outcomes)
    for table in ("users", "idempotency_keys"):
        assert await by_hand.fetchval(f"SELECT count(*) FROM {table}") == 1  # noqa: S608


async def test_a_connection_that_is_lost_frees_its_key(
    begin: Begin[UnitOfWork], run: Runner[UnitOfWork], by_hand: ByHand
) -> None:
    holder = asyncio.Event()

    async def claim_and_hang(uow: UnitOfWork) -> None:
        await uow.kept_answers.claim(KEY)
        await uow.users.add(a_user())
        holder.set()
        await asyncio.sleep(60)

    hanging = asyncio.create_task(run(claim_and_hang))
    await holder.wait()
    with refused(IdempotencyKeyInUse):
        await run(register_once, [])
    hanging.cancel()  # as when the client hangs up: the connection is ended, and with it the transaction
    await asyncio.wait([hanging])

    async def free() -> bool:
        return not await by_hand.fetchval(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2"
        )

    await eventually(free)
    assert await run(register_once, []) == KEPT
    assert await by_hand.fetchval("SELECT count(*) FROM users") == 1


SLOW_LOCK = """
    CREATE SCHEMA slow;
    CREATE FUNCTION slow.pg_try_advisory_xact_lock(high int, low int) RETURNS bool LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_lock_shared(1);
        PERFORM pg_advisory_unlock_shared(1);
        RETURN pg_catalog.pg_try_advisory_xact_lock(high, low);
    END $$
"""


async def test_a_lock_that_is_newer_than_what_its_statement_sees_hides_no_answer(
    new_database: NewDatabase, template_database: str
) -> None:
    """Between what a claim sees and its lock, another commits: the claim is held back."""
    url = await new_database(template_database)
    gate = await asyncpg.connect(url)
    await gate.execute(SLOW_LOCK)
    await gate.execute("SELECT pg_advisory_lock(1)")
    first, second = Database(url), Database(url, pool_size=1)
    async with second.connection() as connection:  # the only one that it has
        await connection.execute("SET search_path = slow, pg_catalog, public")

    async def waits_at_the_gate() -> bool:
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND NOT granted"
        return bool(await gate.fetchval(waiting))

    ran: list[KeptAnswer | None] = []
    async with PostgresTransactions(first, _now, UnitOfWork, repositories_of(UnitOfWork))() as uow:
        await register_once(uow, [])
        late = asyncio.create_task(
            Runner(PostgresTransactions(second, _now, UnitOfWork, repositories_of(UnitOfWork)))(
                register_once, ran
            )
        )
        await eventually(waits_at_the_gate)
    await gate.execute("SELECT pg_advisory_unlock(1)")

    assert await late == KEPT
    assert ran == [KEPT]
    assert await gate.fetchval("SELECT count(*) FROM users") == 1
    for each in (first, second, gate):
        await each.close()


def _now() -> datetime:
    return datetime.now(UTC)


@pytest.mark.parametrize("number", [7_001_993, 0, -1])
async def test_no_key_meets_a_lock_of_one_number(
    begin: Begin[UnitOfWork], by_hand: ByHand, number: int
) -> None:
    """Such as the migrations take: those locks are of another kind, whatever the number."""
    await by_hand.execute("SELECT pg_advisory_lock($1)", number)
    async with begin() as uow:
        assert await uow.kept_answers.claim(number.to_bytes(8, signed=True) + bytes(24)) is None


@pytest.mark.parametrize(
    "key", [bytes(32), b"\xff" * 32, b"\x80" + bytes(31), bytes(4) + b"\x80" + bytes(27)]
)
async def test_every_key_has_a_lock(begin: Begin[UnitOfWork], key: bytes) -> None:
    async with begin() as first, begin() as second:
        assert await first.kept_answers.claim(key) is None
        with refused(IdempotencyKeyInUse):
            await second.kept_answers.claim(key)


@pytest.mark.parametrize("place", [0, 3, 4, 7])
async def test_a_lock_tells_2_to_the_64_keys_apart(begin: Begin[UnitOfWork], place: int) -> None:
    """Of two that share it, one would be refused while the other is worked on; more is not at stake."""
    nearly = bytes(byte ^ (position == place) for position, byte in enumerate(KEY))
    async with begin() as first, begin() as second:
        assert await first.kept_answers.claim(KEY) is None
        assert await second.kept_answers.claim(nearly) is None


# ── what it costs ────────────────────────────────────────────────────────────────────────────────


def beginning(sql: str) -> str:
    return re.split(r"\(|\nFROM", sql)[0].strip()


FIND = "SELECT idempotency_keys.fingerprint, idempotency_keys.answer"


async def test_a_key_costs_three_statements_and_that_there_is_a_transaction(
    begin: Begin[UnitOfWork], run: Runner[UnitOfWork], recorded: Recorded
) -> None:
    await store(begin, a_user())  # the driver asks once what the types are
    async with recorded() as sent:
        await run(register_once, [])
    assert [beginning(sql) for sql in sent] == [
        "BEGIN",
        "SELECT pg_try_advisory_xact_lock",
        FIND,
        "WITH changed AS",
        "INSERT INTO idempotency_keys",
        "COMMIT",
    ]


async def test_an_answer_that_is_given_again_costs_two(run: Runner[UnitOfWork], recorded: Recorded) -> None:
    await run(register_once, [])
    async with recorded() as sent:
        await run(register_once, [])
    assert [beginning(sql) for sql in sent] == [
        "BEGIN",
        "SELECT pg_try_advisory_xact_lock",
        FIND,
        "COMMIT",
    ]
