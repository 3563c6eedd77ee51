"""What every hasher of passwords promises: the one that takes no time, and argon2."""

from collections.abc import Callable

import pytest

from adapters.passwords.argon2 import Argon2Passwords
from application.kernel.ports.sessions import PasswordHasher
from kernel.world.fakes import FakePasswordHasher

HASHERS: dict[str, Callable[[], PasswordHasher]] = {
    "fake": FakePasswordHasher,
    "argon2": lambda: Argon2Passwords(hashers=1, queue=1),
}


@pytest.fixture(params=HASHERS)
def passwords(request: pytest.FixtureRequest) -> PasswordHasher:
    return HASHERS[request.param]()


@pytest.mark.parametrize(
    "password", ["violet kettle hums at dawn", "пароль из трёх слов", "with $ and $ in it"]
)
async def test_a_password_matches_its_own_hash_alone(passwords: PasswordHasher, password: str) -> None:
    hashed = await passwords.hash(password)
    assert await passwords.verify(password, hashed)
    assert not await passwords.verify(password[:-1], hashed)


@pytest.mark.parametrize("password", ["", "violet kettle hums at dawn", "half a pair: \ud800"])
async def test_nothing_matches_an_unknown_account(passwords: PasswordHasher, password: str) -> None:
    assert not await passwords.verify(password, None)


async def test_a_new_hash_is_not_outdated(passwords: PasswordHasher) -> None:
    assert not passwords.is_outdated(await passwords.hash("violet kettle hums at dawn"))
