"""Deleting what nobody can use any more: nothing else, not too much at once, and any number side by side."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from adapters.postgres.kernel.connection.database import Database
from adapters.postgres.kernel.connection.transactions import PostgresTransactions
from adapters.postgres.kernel.discovery import repositories_of
from adapters.postgres.kernel.expiry import SESSIONS_KEPT, PostgresExpiry
from application.kernel.ports.storing import KeptAnswer
from application.kernel.unit_of_work import Begin
from domain.kernel.identity.one_time_tokens import Purpose
from kernel.servers.backends import ByHand
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import NOW, a_one_time_token, a_session, a_user, store
from kernel.world.fakes import FakeClock

KEPT_FOR = timedelta(hours=3)
INSTANT = timedelta(microseconds=1)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def begin(database: Database, clock: FakeClock) -> Begin[UnitOfWork]:
    return PostgresTransactions(
        database, clock, UnitOfWork, repositories_of(UnitOfWork), answers_kept=KEPT_FOR
    )


@pytest.fixture
def expiry(database: Database, clock: FakeClock) -> PostgresExpiry:
    return PostgresExpiry(database, clock, answers_kept=KEPT_FOR)


def key(number: int) -> bytes:
    return number.to_bytes(32)


async def keep(begin: Begin[UnitOfWork], *numbers: int) -> None:
    for number in numbers:
        async with begin() as uow:
            await uow.kept_answers.claim(key(number))
            await uow.kept_answers.keep(key(number), KeptAnswer(bytes(32), "sealed"))


async def left(by_hand: ByHand, table: str, column: str = "id") -> set[Any]:
    return {row[0] for row in await by_hand.fetch(f"SELECT {column} FROM {table}")}  # noqa: S608


async def test_there_is_nothing_to_delete_where_there_is_nothing(expiry: PostgresExpiry) -> None:
    assert await expiry.delete_kept_answers(1) == 0
    assert await expiry.delete_one_time_tokens(1) == 0
    assert await expiry.delete_sessions(1) == 0


async def test_an_answer_is_deleted_when_its_time_is_over_and_not_before(
    expiry: PostgresExpiry, begin: Begin[UnitOfWork], clock: FakeClock, by_hand: ByHand
) -> None:
    await keep(begin, 1)
    clock.advance(INSTANT)
    await keep(begin, 2)
    clock.advance(KEPT_FOR - 2 * INSTANT)
    assert await expiry.delete_kept_answers(10) == 0
    clock.advance(INSTANT)
    assert await expiry.delete_kept_answers(10) == 1
    assert await left(by_hand, "idempotency_keys", "key") == {key(2)}


async def test_a_one_time_token_is_deleted_when_it_has_expired(
    expiry: PostgresExpiry, begin: Begin[UnitOfWork], by_hand: ByHand
) -> None:
    user = a_user()
    good = [a_one_time_token(user_id=user.id, expires_at=NOW + INSTANT, purpose=each) for each in Purpose]
    over = [a_one_time_token(user_id=user.id, expires_at=NOW, purpose=each) for each in Purpose]
    await store(begin, user, *good, *over)
    assert await expiry.delete_one_time_tokens(10) == len(over)
    assert await left(by_hand, "one_time_tokens") == {token.id for token in good}


def ago(by: timedelta) -> datetime:
    return NOW - by


async def test_a_session_is_deleted_thirty_days_after_it_ended_or_expired(
    expiry: PostgresExpiry, begin: Begin[UnitOfWork], by_hand: ByHand
) -> None:
    user = a_user()
    long_ago, in_a_while = ago(timedelta(days=400)), NOW + timedelta(days=1)
    over, just, not_yet = timedelta(days=31), SESSIONS_KEPT, SESSIONS_KEPT - INSTANT
    cases: list[tuple[bool, datetime, datetime | None]] = [
        (True, ago(over), None),
        (True, ago(just), None),
        (True, in_a_while, ago(just)),
        (True, ago(not_yet), ago(over)),
        (False, in_a_while, None),
        (False, ago(not_yet), None),
        (False, in_a_while, ago(not_yet)),
        (False, ago(not_yet), ago(not_yet)),
        (False, NOW, NOW),
    ]
    sessions = [
        (deleted, a_session(user_id=user.id, created_at=long_ago, expires_at=expires_at, ended_at=ended_at))
        for deleted, expires_at, ended_at in cases
    ]
    await store(begin, user, *(session for _, session in sessions))
    assert await expiry.delete_sessions(10) == 4
    assert await left(by_hand, "sessions") == {session.id for deleted, session in sessions if not deleted}
    assert await left(by_hand, "users") == {user.id}


async def test_no_more_are_deleted_than_were_asked_for(
    expiry: PostgresExpiry, begin: Begin[UnitOfWork], clock: FakeClock, by_hand: ByHand
) -> None:
    await keep(begin, *range(5))
    clock.advance(KEPT_FOR)
    assert [await expiry.delete_kept_answers(2) for _ in range(4)] == [2, 2, 1, 0]
    assert await left(by_hand, "idempotency_keys", "key") == set()


async def test_those_who_delete_side_by_side_share_what_there_is(
    expiry: PostgresExpiry, begin: Begin[UnitOfWork], clock: FakeClock, by_hand: ByHand
) -> None:
    await keep(begin, *range(60))
    clock.advance(KEPT_FOR)
    counts = await asyncio.gather(*(expiry.delete_kept_answers(10) for _ in range(20)))
    while last := await expiry.delete_kept_answers(10):
        counts.append(last)
    assert sum(counts) == 60
    assert max(counts) == 10
    assert await left(by_hand, "idempotency_keys", "key") == set()


async def test_nobody_waits_for_a_row_that_another_has_locked(
    expiry: PostgresExpiry, begin: Begin[UnitOfWork], clock: FakeClock, by_hand: ByHand
) -> None:
    await keep(begin, 1, 2)
    clock.advance(KEPT_FOR)
    async with by_hand.transaction():
        await by_hand.execute("SELECT FROM idempotency_keys WHERE key = $1 FOR UPDATE", key(1))
        async with asyncio.timeout(4):
            assert await expiry.delete_kept_answers(10) == 1
    assert await left(by_hand, "idempotency_keys", "key") == {key(1)}


async def test_a_key_that_is_used_anew_at_that_moment_keeps_its_answer(
    expiry: PostgresExpiry, begin: Begin[UnitOfWork], clock: FakeClock, by_hand: ByHand
) -> None:
    await keep(begin, 1)
    clock.advance(KEPT_FOR)
    async with begin() as uow:
        assert await uow.kept_answers.claim(key(1)) is None
        await uow.kept_answers.keep(key(1), KeptAnswer(bytes(32), "anew"))
        assert await expiry.delete_kept_answers(10) == 0
    assert await expiry.delete_kept_answers(10) == 0
    assert await left(by_hand, "idempotency_keys", "answer") == {"anew"}


@pytest.mark.parametrize(
    ("table", "over", "index"),
    [
        ("idempotency_keys", "created_at", "ix_idempotency_keys_created_at"),
        ("one_time_tokens", "expires_at", "ix_one_time_tokens_expires_at"),
        ("sessions", "LEAST(expires_at, ended_at)", "ix_sessions_over"),
    ],
)
async def test_what_is_over_is_found_by_an_index(by_hand: ByHand, table: str, over: str, index: str) -> None:
    await by_hand.execute("SET enable_seqscan = off")  # of so few rows it would read all
    plan = await by_hand.fetch(f"EXPLAIN SELECT FROM {table} WHERE {over} <= now()")
    assert index in "\n".join(row[0] for row in plan)
