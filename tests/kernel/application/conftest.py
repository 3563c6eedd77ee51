"""The built-in provider on the world in memory."""

from datetime import timedelta

import pytest

from application.kernel.identity.failures import Failures
from application.kernel.identity.known_devices import KnownDevices
from application.kernel.identity.password_login import PasswordLogin
from application.kernel.identity.sessions import TokenPair, TokenSessions
from application.kernel.run import Runner
from domain.kernel.users import User
from kernel.specimen.service import UnitOfWork
from kernel.world.fakes import (
    FakeAuthQueries,
    FakeClock,
    FakePasswordHasher,
    FakePseudonyms,
    FakeSeal,
    FakeTokenIssuer,
    MemoryAttempts,
    MemoryAudit,
    MemoryTransactions,
)
from kernel.world.memory import *  # noqa: F403 (fixtures, which pytest finds here)
from kernel.world.people import CLIENT, EMAIL, PASSWORD

LIFETIME = timedelta(days=30)


@pytest.fixture
def passwords() -> FakePasswordHasher:
    return FakePasswordHasher()


@pytest.fixture
def sessions(run: Runner[UnitOfWork]) -> TokenSessions:
    return TokenSessions(run, FakeTokenIssuer(), lifetime=LIFETIME)


@pytest.fixture
def noted() -> MemoryAudit:
    """What failed."""
    return MemoryAudit()


@pytest.fixture
def failures(noted: MemoryAudit) -> Failures:
    return Failures(noted, FakePseudonyms())


@pytest.fixture
def login(  # noqa: PLR0917 (fixtures come by position)
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    passwords: FakePasswordHasher,
    sessions: TokenSessions,
    failures: Failures,
    clock: FakeClock,
) -> PasswordLogin:
    queries, attempts = FakeAuthQueries(transactions), MemoryAttempts(clock)
    return PasswordLogin(
        run,
        queries,
        passwords,
        sessions,
        attempts,
        devices=KnownDevices(FakeSeal(), clock),
        failures=failures,
        service_name="Loomworks",
    )


@pytest.fixture
async def ada(login: PasswordLogin) -> User:
    """Somebody who has registered."""
    return await login.register(email=EMAIL, password=PASSWORD, display_name="Ada")


@pytest.fixture
async def pair(login: PasswordLogin, ada: User) -> TokenPair:
    """What she got when she logged in."""
    return await login.log_in(CLIENT, email=EMAIL, password=PASSWORD)
