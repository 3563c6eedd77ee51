"""Passwords under argon2id: how they are hashed and compared, and what a flood of them costs."""

import asyncio
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from typing import Literal

import argon2
import pytest

from adapters.passwords.argon2 import Argon2Passwords
from application.kernel.ports.world import Unavailable

PASSWORD = "violet kettle hums at dawn"

type Form = Literal["NFC", "NFD", "NFKC", "NFKD"]


@pytest.fixture
def passwords() -> Argon2Passwords:
    return Argon2Passwords(hashers=2, queue=10)


async def test_a_password_matches_its_own_hash_and_no_other(passwords: Argon2Passwords) -> None:
    hashed = await passwords.hash(PASSWORD)
    assert await passwords.verify(PASSWORD, hashed)
    assert not await passwords.verify(PASSWORD + " ", hashed)
    assert not await passwords.verify("", hashed)


async def test_a_hash_is_argon2id_of_at_least_the_agreed_cost_and_salted(passwords: Argon2Passwords) -> None:
    first, second = await passwords.hash(PASSWORD), await passwords.hash(PASSWORD)
    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert first != second


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
async def test_what_looks_the_same_is_the_same_password(passwords: Argon2Passwords, form: Form) -> None:
    hashed = await passwords.hash("cr\u00e8me br\u00fbl\u00e9e f\u00fcr \uff13")
    assert await passwords.verify(unicodedata.normalize(form, "crème brûlée für \uff13"), hashed)


@pytest.mark.parametrize("password", ["", "\0", "\ud800 half a pair", "пароль из трёх слов", "x" * 10_000])
async def test_no_text_breaks_the_comparison(passwords: Argon2Passwords, password: str) -> None:
    assert not await passwords.verify(password, await passwords.hash(PASSWORD))


async def test_an_unknown_account_costs_as_much_as_a_wrong_password(
    passwords: Argon2Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[argon2.Parameters] = []
    verify = argon2.PasswordHasher.verify

    def recorded(self: argon2.PasswordHasher, hash: str, password: bytes) -> bool:
        compared.append(argon2.extract_parameters(hash))
        return verify(self, hash, password)

    hashed = await passwords.hash(PASSWORD)
    monkeypatch.setattr(argon2.PasswordHasher, "verify", recorded)
    assert not await passwords.verify("wrong", hashed)
    assert not await passwords.verify(PASSWORD, None)
    wrong, unknown = compared
    assert wrong == unknown


async def test_an_unknown_account_matches_nothing_whatever_it_is_compared_with(
    passwords: Argon2Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(argon2.PasswordHasher, "verify", lambda *_: True)
    assert not await passwords.verify(PASSWORD, None)


async def test_a_hash_of_other_parameters_is_outdated(passwords: Argon2Passwords) -> None:
    weaker = argon2.PasswordHasher(time_cost=1, memory_cost=19_456, parallelism=1).hash(PASSWORD)
    assert passwords.is_outdated(weaker)
    assert not passwords.is_outdated(await passwords.hash(PASSWORD))
    assert await passwords.verify(PASSWORD, weaker)


class Gate:
    """Stands where argon2 hashes, and lets nobody through before it opens."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.inside = 0
        self.most = 0
        self._lock = threading.Lock()

    def __call__(self, *_: object) -> str:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        self.opened.wait(10)
        with self._lock:
            self.inside -= 1
        return "$hash"


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    monkeypatch.setattr(argon2.PasswordHasher, "hash", gate)
    yield gate
    gate.opened.set()


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("It did not happen within 5 seconds.")


async def test_no_more_are_hashed_at_once_than_there_are_hashers(gate: Gate) -> None:
    passwords = Argon2Passwords(hashers=2, queue=3)
    hashing = [asyncio.create_task(passwords.hash(PASSWORD)) for _ in range(5)]
    await until(lambda: gate.inside == 2)
    gate.opened.set()
    assert await asyncio.gather(*hashing) == ["$hash"] * 5
    assert gate.most == 2


async def test_who_finds_the_queue_full_is_refused_at_once_and_may_come_back(gate: Gate) -> None:
    passwords = Argon2Passwords(hashers=1, queue=1)
    hashing = [asyncio.create_task(passwords.hash(PASSWORD)) for _ in range(2)]
    await until(lambda: gate.inside == 1)
    started = time.monotonic()
    with pytest.raises(Unavailable):
        await passwords.hash(PASSWORD)
    assert time.monotonic() - started < 1
    gate.opened.set()
    await asyncio.gather(*hashing)
    assert await passwords.hash(PASSWORD) == "$hash"


async def test_who_gives_up_while_waiting_makes_room(gate: Gate) -> None:
    passwords = Argon2Passwords(hashers=1, queue=1)
    working = asyncio.create_task(passwords.hash(PASSWORD))
    await until(lambda: gate.inside == 1)
    waiting = asyncio.create_task(passwords.hash(PASSWORD))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    next_one = asyncio.create_task(passwords.hash(PASSWORD))
    await asyncio.sleep(0)
    gate.opened.set()
    assert await working == await next_one == "$hash"


async def test_who_would_wait_for_too_long_is_told_to_come_back_and_makes_room(gate: Gate) -> None:
    passwords = Argon2Passwords(hashers=1, queue=1, wait_seconds=0.05)
    with pytest.raises(Unavailable):  # it is being hashed, by a machine that stands still
        await passwords.hash(PASSWORD)
    for _ in range(3):  # each of them waits, and leaves its place
        with pytest.raises(Unavailable, match="too slowly"):
            await passwords.hash(PASSWORD)
    gate.opened.set()
    await until(lambda: gate.inside == 0)
    assert await passwords.hash(PASSWORD) == "$hash"


async def test_what_waits_for_one_hasher_takes_no_place_of_another(gate: Gate) -> None:
    """Why log-ins are served whatever registers: the container has a hasher for each."""
    newcomers, others = Argon2Passwords(hashers=1, queue=1), Argon2Passwords(hashers=1, queue=0)
    hashing = [asyncio.create_task(newcomers.hash(PASSWORD)) for _ in range(2)]
    await until(lambda: gate.inside == 1)
    with pytest.raises(Unavailable):
        await newcomers.hash(PASSWORD)
    assert not await others.verify(PASSWORD, None)
    gate.opened.set()
    await asyncio.gather(*hashing)


async def test_the_event_loop_goes_on_meanwhile(gate: Gate) -> None:
    hashing = asyncio.create_task(Argon2Passwords(hashers=1, queue=0).hash(PASSWORD))
    await until(lambda: gate.inside == 1)
    assert not hashing.done()
    gate.opened.set()
    assert await hashing == "$hash"
