"""What changes among the signing keys of the built-in provider."""

from datetime import timedelta

from application.kernel.identity.signing_keys import add_signing_key, remove_signing_key
from application.kernel.run import Runner
from domain.kernel.errors import Stale
from domain.kernel.identity.signing_keys import KeyInUse, KeysRotated, SigningKey
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import NOW, a_signing_key, store
from kernel.world.fakes import FakeAuthQueries, FakeClock, MemoryTransactions
from kernel.world.refusals import refused

AHEAD = timedelta(minutes=15)


async def stored(transactions: MemoryTransactions[UnitOfWork]) -> list[SigningKey]:
    return await FakeAuthQueries(transactions).signing_keys()


async def test_a_key_follows_those_that_there_are(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    first = await run(add_signing_key, [], kid="first", sealed="1", ahead=timedelta(0))
    second = await run(add_signing_key, [first], kid="second", sealed="2", ahead=AHEAD)
    assert await stored(transactions) == [first, second]
    assert (first.number, first.kid, first.sealed) == (1, "first", "1")
    assert (second.number, second.kid, second.sealed) == (2, "second", "2")
    assert (first.created_at, first.signs_from) == (NOW, NOW)
    assert (second.created_at, second.signs_from) == (NOW, NOW + AHEAD)


async def test_of_two_processes_that_add_the_next_key_one_is_refused(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    first = await run(add_signing_key, [], kid="first", sealed="1", ahead=AHEAD)
    with refused(KeysRotated):
        await run(add_signing_key, [], kid="other", sealed="2", ahead=AHEAD)
    assert await stored(transactions) == [first]


async def test_a_key_may_take_the_place_of_others(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    old, kept = a_signing_key(number=1), a_signing_key(number=2)
    await store(transactions, old, kept)
    added = await run(
        add_signing_key, [old, kept], kid="third", sealed="3", ahead=timedelta(0), in_place_of=[old]
    )
    assert await stored(transactions) == [kept, added]
    assert added.number == 3


async def test_a_key_that_does_not_sign_can_be_removed_once(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    keys = [a_signing_key(number=number) for number in (1, 2)] + [
        a_signing_key(number=3, signs_from=NOW + AHEAD)
    ]
    await store(transactions, *keys)
    for key in (keys[0], keys[2]):
        await run(remove_signing_key, key, keys=keys)
    assert await stored(transactions) == [keys[1]]
    with refused(Stale):
        await run(remove_signing_key, keys[0], keys=keys)


async def test_the_key_that_signs_stays(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], clock: FakeClock
) -> None:
    keys = [a_signing_key(number=1), a_signing_key(number=2, signs_from=NOW + AHEAD)]
    await store(transactions, *keys)
    with refused(KeyInUse):
        await run(remove_signing_key, keys[0], keys=keys)
    clock.advance(AHEAD)
    with refused(KeyInUse):
        await run(remove_signing_key, keys[1], keys=keys)
    assert await stored(transactions) == keys
