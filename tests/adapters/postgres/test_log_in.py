"""Many log-ins at the same instant, where two transactions really meet."""

import asyncio
from datetime import timedelta

import pytest

from application.commands.auth import PasswordLogin, TokenPair
from application.ports import Queries
from application.run import Runner
from domain.auth import SessionEnded
from fakes import FakePasswordHasher, FakeTokenIssuer

EMAIL, PASSWORD = "ada@example.com", "correct horse battery staple"


@pytest.fixture
def passwords() -> FakePasswordHasher:
    return FakePasswordHasher()


@pytest.fixture
async def login(run: Runner, queries: Queries, passwords: FakePasswordHasher) -> PasswordLogin:
    login = PasswordLogin(run, queries.auth, passwords, FakeTokenIssuer(), timedelta(days=30))
    await login.register(email=EMAIL, password=PASSWORD, display_name="Ada")
    return login


async def test_all_of_many_log_ins_on_an_outdated_hash_succeed(
    login: PasswordLogin, passwords: FakePasswordHasher
) -> None:
    passwords.parameters += 1
    pairs = await asyncio.gather(*(login.log_in(email=EMAIL, password=PASSWORD) for _ in range(5)))
    assert len({pair.refresh_token for pair in pairs}) == 5


async def test_of_twenty_uses_of_one_refresh_token_one_succeeds_and_no_other_learns_why(
    login: PasswordLogin,
) -> None:
    pair = await login.log_in(email=EMAIL, password=PASSWORD)
    outcomes = await asyncio.gather(
        *(login.refresh(refresh_token=pair.refresh_token) for _ in range(20)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes if not isinstance(outcome, TokenPair)] == [
        SessionEnded
    ] * 19
    assert sum(isinstance(outcome, TokenPair) for outcome in outcomes) == 1
