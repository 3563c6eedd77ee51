"""What every counter of attempts promises: the one in memory, and PostgreSQL's."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from adapters.postgres.kernel.identity.attempts import PostgresAttempts
from application.kernel.ports.attempts import Attempts, Limit
from domain.kernel.identity.credentials import TooManyAttempts
from kernel.world.builders import NOW
from kernel.world.fakes import FakeClock, MemoryAttempts

MINUTE = timedelta(minutes=1)
TWICE = Limit("b", 2, MINUTE)
THRICE = Limit("a", 3, 10 * MINUTE)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture(params=["memory", "postgres"])
def attempts(request: pytest.FixtureRequest, clock: FakeClock) -> Attempts:
    makers: dict[str, Callable[[], Attempts]] = {
        "memory": lambda: MemoryAttempts(clock),
        "postgres": lambda: PostgresAttempts(request.getfixturevalue("database"), clock),
    }
    return makers[request.param]()


async def test_what_was_never_counted_may_be_tried(attempts: Attempts) -> None:
    assert await attempts.check([TWICE, THRICE]) == []


async def test_what_was_counted_less_often_may_be_tried_again(attempts: Attempts) -> None:
    await attempts.count([TWICE, THRICE])
    assert await attempts.check([TWICE, THRICE]) == [TWICE, THRICE]
    assert await attempts.check([THRICE]) == [THRICE]
    assert await attempts.check([Limit("c", 1, MINUTE), THRICE]) == [THRICE]


async def test_what_is_used_up_may_not_be_tried_until_its_window_is_over(
    attempts: Attempts, clock: FakeClock
) -> None:
    await attempts.count([TWICE, THRICE])
    clock.advance(timedelta(seconds=10))
    await attempts.count([TWICE, THRICE])
    clock.advance(timedelta(milliseconds=20_500))
    with pytest.raises(TooManyAttempts) as raised:
        await attempts.check([TWICE, THRICE])
    assert raised.value.retry_after == 30  # from the first one; never too early
    assert await attempts.check([THRICE])
    clock.advance(timedelta(milliseconds=29_500))
    assert await attempts.check([TWICE, THRICE])
    assert not await attempts.check([TWICE])


async def test_the_longest_wait_is_told(attempts: Attempts) -> None:
    for _ in range(2):
        await attempts.count([TWICE, THRICE])
    with pytest.raises(TooManyAttempts) as raised:
        await attempts.count([TWICE, THRICE])
    assert raised.value.retry_after == 60
    with pytest.raises(TooManyAttempts) as raised:
        await attempts.count([TWICE, THRICE])
    assert raised.value.retry_after == 600


async def test_a_new_window_begins_at_one(attempts: Attempts, clock: FakeClock) -> None:
    for _ in range(2):
        await attempts.count([TWICE])
    clock.advance(MINUTE)
    await attempts.count([TWICE])
    clock.advance(MINUTE - timedelta(seconds=1))
    await attempts.check([TWICE])
    await attempts.count([TWICE])
    with pytest.raises(TooManyAttempts) as raised:
        await attempts.check([TWICE])
    assert raised.value.retry_after == 1


async def test_what_is_forgotten_begins_anew_and_nothing_else_does(attempts: Attempts) -> None:
    for _ in range(2):
        await attempts.count([TWICE, THRICE])
    await attempts.forget([TWICE])
    assert not await attempts.check([TWICE])
    await attempts.count([THRICE])
    with pytest.raises(TooManyAttempts):
        await attempts.check([THRICE])


async def test_what_is_taken_back_leaves_room_for_another(attempts: Attempts, clock: FakeClock) -> None:
    for _ in range(2):
        await attempts.count([TWICE, THRICE])
    await attempts.take_back([TWICE, THRICE])
    assert await attempts.check([TWICE, THRICE]) == [TWICE, THRICE]
    await attempts.count([TWICE])
    with pytest.raises(TooManyAttempts) as raised:
        await attempts.check([TWICE])
    assert raised.value.retry_after == 60  # the window is the one of the first
    clock.advance(MINUTE)
    await attempts.take_back([TWICE, Limit("never counted", 1, MINUTE)])
    await attempts.count([TWICE, Limit("never counted", 1, MINUTE)])


async def test_no_more_is_taken_back_than_was_counted(attempts: Attempts) -> None:
    await attempts.count([TWICE])
    for _ in range(3):
        await attempts.take_back([TWICE])
    for _ in range(2):
        await attempts.count([TWICE])
    with pytest.raises(TooManyAttempts):
        await attempts.check([TWICE])


async def test_of_many_at_the_same_instant_no_more_are_allowed_than_the_limit(attempts: Attempts) -> None:
    both = [THRICE, Limit("z", 99, MINUTE)]  # in both orders: two could wait for one another
    outcomes = await asyncio.gather(
        *(attempts.count(both if number % 2 else both[::-1]) for number in range(20)), return_exceptions=True
    )
    counted = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert len(counted) == THRICE.most
    assert sum(THRICE in used_up for used_up in counted) == 1  # whoever was the last
    assert all(isinstance(outcome, TooManyAttempts) for outcome in outcomes if outcome not in counted)


async def test_a_limit_is_told_once_when_it_is_used_up(attempts: Attempts, clock: FakeClock) -> None:
    assert list(await attempts.count([TWICE, THRICE])) == []
    assert list(await attempts.count([TWICE, THRICE])) == [TWICE]
    with pytest.raises(TooManyAttempts):
        await attempts.count([TWICE, THRICE])
    clock.advance(TWICE.window)
    assert list(await attempts.count([TWICE])) == []
    assert list(await attempts.count([TWICE])) == [TWICE]
