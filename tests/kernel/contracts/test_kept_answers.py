"""What everything that keeps answers under idempotency keys promises: the fake, and PostgreSQL's."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b

import pytest

from adapters.postgres.kernel.connection.transactions import PostgresTransactions
from adapters.postgres.kernel.discovery import repositories_of
from application.kernel.idempotency import IdempotencyKeyInUse
from application.kernel.ports.storing import KeptAnswer
from application.kernel.ports.world import Contention
from application.kernel.run import Runner
from application.kernel.unit_of_work import Begin
from domain.kernel.users import UserNotFound
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import NOW, a_user
from kernel.world.fakes import FakeClock, MemoryTransactions
from kernel.world.refusals import refused

LIFETIME = timedelta(hours=3)


def digest(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=32).digest()


KEY, ANOTHER_KEY = digest("a key"), digest("another key")
KEPT = KeptAnswer(fingerprint=digest("a request"), answer="sealed: 201 Created")
ANOTHER = KeptAnswer(fingerprint=digest("another request"), answer="sealed: 204 No Content")


@dataclass(frozen=True)
class World:
    """What keeps answers; and a transaction elsewhere that has claimed a key until the block ends."""

    begin: Begin[UnitOfWork]
    claimed_elsewhere: Callable[[bytes], AbstractAsyncContextManager[None]]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest, clock: FakeClock) -> World:
    if request.param == "memory":
        transactions = MemoryTransactions(clock, UnitOfWork, answers_kept=LIFETIME)

        @asynccontextmanager
        async def pretend(key: bytes) -> AsyncIterator[None]:
            transactions.claimed.add(key)
            yield
            transactions.claimed.remove(key)

        return World(transactions, pretend)

    begin = PostgresTransactions(
        request.getfixturevalue("database"),
        clock,
        UnitOfWork,
        repositories_of(UnitOfWork),
        answers_kept=LIFETIME,
    )

    @asynccontextmanager
    async def really(key: bytes) -> AsyncIterator[None]:
        async with begin() as uow:
            assert await uow.kept_answers.claim(key) is None
            yield

    return World(begin, really)


@pytest.fixture
def begin(world: World) -> Begin[UnitOfWork]:
    return world.begin


async def claimed(begin: Begin[UnitOfWork], key: bytes = KEY) -> KeptAnswer | None:
    async with begin() as uow:
        return await uow.kept_answers.claim(key)


async def keep(begin: Begin[UnitOfWork], key: bytes = KEY, kept: KeptAnswer = KEPT) -> None:
    async with begin() as uow:
        assert await uow.kept_answers.claim(key) is None
        await uow.kept_answers.keep(key, kept)


async def test_nothing_is_kept_under_a_key_that_is_new(begin: Begin[UnitOfWork]) -> None:
    assert await claimed(begin) is None
    assert await claimed(begin) is None  # that somebody asked is not remembered


async def test_what_was_kept_comes_back_as_often_as_it_is_asked_for(begin: Begin[UnitOfWork]) -> None:
    await keep(begin)
    assert [await claimed(begin), await claimed(begin)] == [KEPT, KEPT]


async def test_each_key_has_an_answer_of_its_own(begin: Begin[UnitOfWork]) -> None:
    await keep(begin)
    assert await claimed(begin, ANOTHER_KEY) is None
    await keep(begin, ANOTHER_KEY, ANOTHER)
    assert [await claimed(begin), await claimed(begin, ANOTHER_KEY)] == [KEPT, ANOTHER]


@pytest.mark.parametrize("place", [0, 15, 31])
async def test_keys_that_differ_in_one_byte_are_two_keys(begin: Begin[UnitOfWork], place: int) -> None:
    nearly = bytes(byte ^ (position == place) for position, byte in enumerate(KEY))
    await keep(begin)
    assert await claimed(begin, nearly) is None


@pytest.mark.parametrize(
    "answer", ["", "x" * 1_000_000, "Überraschung — ✓ \U0001f9f5"], ids=["", "1 MB", "✓"]
)
async def test_an_answer_comes_back_whatever_is_in_it(begin: Begin[UnitOfWork], answer: str) -> None:
    kept = KeptAnswer(fingerprint=digest("a request"), answer=answer)
    await keep(begin, kept=kept)
    assert await claimed(begin) == kept


async def test_an_answer_is_kept_with_the_work_of_its_transaction_or_not_at_all(
    begin: Begin[UnitOfWork],
) -> None:
    user = a_user()

    async def register(uow: UnitOfWork, *, fail: bool) -> None:
        assert await uow.kept_answers.claim(KEY) is None
        with refused(UserNotFound):
            await uow.users.get(user.id)
        await uow.users.add(user)
        await uow.kept_answers.keep(KEY, KEPT)
        if fail:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Runner(begin)(register, fail=True)
    assert await claimed(begin) is None
    await Runner(begin)(register, fail=False)
    assert await claimed(begin) == KEPT
    async with begin() as uow:
        assert await uow.users.get(user.id) == user


async def test_a_transaction_claims_again_what_it_has_claimed_and_sees_what_it_keeps(
    begin: Begin[UnitOfWork],
) -> None:
    async with begin() as uow:
        assert await uow.kept_answers.claim(KEY) is None
        assert await uow.kept_answers.claim(KEY) is None
        await uow.kept_answers.keep(KEY, KEPT)
        assert await uow.kept_answers.claim(KEY) == KEPT


# ── rivals ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_key_that_another_transaction_has_is_refused_and_free_when_that_has_ended(
    world: World,
) -> None:
    async with world.claimed_elsewhere(KEY):
        with refused(IdempotencyKeyInUse):
            await claimed(world.begin)
        with refused(IdempotencyKeyInUse):
            await claimed(world.begin)
    assert await claimed(world.begin) is None


async def test_other_keys_are_free_meanwhile(world: World) -> None:
    async with world.claimed_elsewhere(KEY):
        await keep(world.begin, ANOTHER_KEY)
        assert await claimed(world.begin, ANOTHER_KEY) == KEPT


async def test_what_another_has_kept_is_not_overwritten(begin: Begin[UnitOfWork]) -> None:
    """Nor does the work of whoever tries stay: their transaction is not to be committed."""
    await keep(begin)
    user = a_user()

    async def register(uow: UnitOfWork) -> None:
        await uow.users.add(user)
        await uow.kept_answers.keep(KEY, ANOTHER)

    with pytest.raises(Contention):
        await Runner(begin, tries=1)(register)
    assert await claimed(begin) == KEPT
    async with begin() as uow:
        with refused(UserNotFound):
            await uow.users.get(user.id)


async def test_whoever_was_second_after_all_is_run_again_and_finds_the_answer(
    begin: Begin[UnitOfWork],
) -> None:
    await keep(begin)
    found: list[KeptAnswer | None] = []

    async def keep_unless_kept(uow: UnitOfWork) -> None:
        # The first time as if the answer had come between the claim and now.
        found.append(await uow.kept_answers.claim(KEY) if found else None)
        if found[-1] is None:
            await uow.kept_answers.keep(KEY, ANOTHER)

    await Runner(begin)(keep_unless_kept)
    assert found == [None, KEPT]


# ── time ─────────────────────────────────────────────────────────────────────────────────────────


async def test_an_answer_is_kept_for_its_lifetime_and_no_longer(
    begin: Begin[UnitOfWork], clock: FakeClock
) -> None:
    await keep(begin)
    clock.advance(LIFETIME - timedelta(microseconds=1))
    assert await claimed(begin) == KEPT
    clock.advance(timedelta(microseconds=1))
    assert await claimed(begin) is None
    clock.advance(LIFETIME)
    assert await claimed(begin) is None


@pytest.mark.parametrize("lifetimes", [1, 3])
async def test_the_key_of_an_expired_answer_is_as_good_as_new(
    begin: Begin[UnitOfWork], clock: FakeClock, lifetimes: int
) -> None:
    await keep(begin)
    clock.advance(LIFETIME * lifetimes)
    await keep(begin, kept=ANOTHER)
    assert await claimed(begin) == ANOTHER
    clock.advance(LIFETIME - timedelta(microseconds=1))
    assert await claimed(begin) == ANOTHER
