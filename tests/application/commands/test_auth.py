"""The built-in provider: registering, logging in, refreshing."""

import asyncio
import re
from datetime import timedelta
from typing import override
from uuid import UUID

import pytest

from application.commands.auth import PasswordLogin, TokenPair, replace_hash
from application.run import Runner
from application.secret_tokens import fingerprint
from builders import a_user, store
from domain.auth import (
    Credential,
    RefreshTokenReused,
    Session,
    SessionEnded,
    SessionId,
    SessionOpened,
    WrongCredentials,
)
from domain.errors import Invalid
from domain.users import EmailTaken, User, UserRegistered
from fakes import (
    FakeAuthQueries,
    FakeClock,
    FakePasswordHasher,
    FakeTokenIssuer,
    FakeTokenVerifier,
    MemoryTransactions,
)
from refusals import refused

LIFETIME = timedelta(days=30)
EMAIL = "ada@example.com"
UNKNOWN = "019a4d3e0c4c7e1f9a5b3c2d1e0f9a8b"
PASSWORD = "correct horse battery staple"


@pytest.fixture
def passwords() -> FakePasswordHasher:
    return FakePasswordHasher()


@pytest.fixture
def login(run: Runner, transactions: MemoryTransactions, passwords: FakePasswordHasher) -> PasswordLogin:
    queries = FakeAuthQueries(transactions)
    return PasswordLogin(run, queries, passwords, FakeTokenIssuer(), LIFETIME)


@pytest.fixture
async def ada(login: PasswordLogin) -> User:
    return await login.register(email=EMAIL, password=PASSWORD, display_name="Ada")


async def session_of(pair: TokenPair, transactions: MemoryTransactions) -> Session:
    async with transactions() as uow:
        return await uow.sessions.get(SessionId(UUID(hex=pair.refresh_token.split(".")[0])))


async def credential_of(user: User, transactions: MemoryTransactions) -> Credential:
    async with transactions() as uow:
        return await uow.credentials.get(user.id)


# ── registering ──────────────────────────────────────────────────────────────────────────────────


async def test_whoever_registers_is_saved_with_a_hash_of_the_password(
    login: PasswordLogin, transactions: MemoryTransactions, clock: FakeClock
) -> None:
    user = await login.register(email=" Ada@Example.com", password=PASSWORD, display_name=" Ada ")
    assert (user.email, user.display_name, user.created_at) == (EMAIL, "Ada", clock.now)
    assert user.id.version == 7
    async with transactions() as uow:
        assert await uow.users.get(user.id) == user
        assert await uow.users.by_email(user.email) == user
    credential = await credential_of(user, transactions)
    assert credential == Credential(id=user.id, password_hash=f"$fake$1${PASSWORD}")
    assert transactions.events == [UserRegistered(at=clock.now, user_id=user.id)]


async def test_an_address_registers_once(
    login: PasswordLogin, ada: User, transactions: MemoryTransactions
) -> None:
    with refused(EmailTaken):
        await login.register(email=EMAIL.upper(), password="another password", display_name="Eve")
    assert len(transactions.events) == 1


@pytest.mark.parametrize("password", ["too short", "x" * 129])
async def test_nobody_registers_with_a_password_that_is_not_acceptable(
    password: str, login: PasswordLogin, transactions: MemoryTransactions
) -> None:
    with pytest.raises(Invalid) as raised:
        await login.register(email=EMAIL, password=password, display_name="Ada")
    assert raised.value.field == "password"
    assert transactions.events == []


async def test_nobody_registers_without_an_address(
    login: PasswordLogin, transactions: MemoryTransactions
) -> None:
    with refused(Invalid, "It must not be empty.", field="email"):
        await login.register(email="", password=PASSWORD, display_name="Ada")


# ── logging in ───────────────────────────────────────────────────────────────────────────────────


async def test_whoever_logs_in_gets_a_pair_of_tokens(login: PasswordLogin, ada: User) -> None:
    pair = await login.log_in(email=EMAIL, password=PASSWORD)
    assert (pair.token_type, pair.expires_in) == ("Bearer", 600)
    assert re.fullmatch(r"[0-9a-f]{32}\.[A-Za-z0-9_-]{43}", pair.refresh_token)
    identity = await FakeTokenVerifier().verify(pair.access_token)
    assert identity.user_id == ada.id


async def test_a_log_in_opens_a_session_that_keeps_a_fingerprint_only(
    login: PasswordLogin, ada: User, transactions: MemoryTransactions, clock: FakeClock
) -> None:
    clock.advance(timedelta(hours=1))
    pair = await login.log_in(email=EMAIL, password=PASSWORD)
    session = await session_of(pair, transactions)
    assert session == Session(
        id=session.id,
        user_id=ada.id,
        token_hash=fingerprint(pair.refresh_token.split(".")[1]),
        created_at=clock.now,
        expires_at=clock.now + LIFETIME,
        ended_at=None,
    )
    assert session.id.version == 7
    assert transactions.events[1:] == [SessionOpened(at=clock.now, session_id=session.id, user_id=ada.id)]


async def test_each_log_in_has_a_session_of_its_own(
    login: PasswordLogin, ada: User, transactions: MemoryTransactions
) -> None:
    first = await session_of(await login.log_in(email=EMAIL, password=PASSWORD), transactions)
    second = await session_of(await login.log_in(email=EMAIL, password=PASSWORD), transactions)
    assert first.id != second.id
    assert first.token_hash != second.token_hash


async def test_the_address_may_be_typed_in_capitals(login: PasswordLogin, ada: User) -> None:
    await login.log_in(email=" ADA@example.com ", password=PASSWORD)


@pytest.mark.parametrize("password", ["", "correct horse battery stapler", PASSWORD.upper(), f" {PASSWORD}"])
async def test_a_wrong_password_is_refused(
    password: str, login: PasswordLogin, ada: User, transactions: MemoryTransactions
) -> None:
    with refused(WrongCredentials):
        await login.log_in(email=EMAIL, password=password)
    assert len(transactions.events) == 1


@pytest.mark.parametrize("email", ["charles@example.com", "no address", "", "\0"])
async def test_an_unknown_address_is_refused_by_the_same_words_after_the_same_work(
    email: str, login: PasswordLogin, ada: User, passwords: FakePasswordHasher
) -> None:
    with refused(WrongCredentials):
        await login.log_in(email=email, password=PASSWORD)
    assert passwords.compared == [None]


async def test_an_account_without_a_password_is_refused_in_the_same_way(
    login: PasswordLogin, transactions: MemoryTransactions, passwords: FakePasswordHasher
) -> None:
    somebody = a_user()
    await store(transactions, somebody)
    with refused(WrongCredentials):
        await login.log_in(email=somebody.email, password=PASSWORD)
    assert passwords.compared == [None]


@pytest.mark.parametrize("email", [EMAIL, "no address"])
async def test_nobody_gets_in_even_where_the_work_for_an_unknown_account_ends_well(
    email: str, run: Runner, transactions: MemoryTransactions
) -> None:
    class Gullible(FakePasswordHasher):
        @override
        async def verify(self, password: str, hash: str | None, /) -> bool:
            return True

    queries = FakeAuthQueries(transactions)
    login = PasswordLogin(run, queries, Gullible(), FakeTokenIssuer(), LIFETIME)
    with refused(WrongCredentials):
        await login.log_in(email=email, password=PASSWORD)


async def test_an_overlong_password_is_refused_without_being_hashed(
    login: PasswordLogin, transactions: MemoryTransactions, passwords: FakePasswordHasher
) -> None:
    longest, overlong = "ab" * 64, "ab" * 64 + "a"
    user = a_user()
    await store(transactions, user, Credential(id=user.id, password_hash=await passwords.hash(overlong)))
    with refused(WrongCredentials):
        await login.log_in(email=user.email, password=overlong)
    assert passwords.compared == [None]
    await login.register(email=EMAIL, password=longest, display_name="Ada")
    await login.log_in(email=EMAIL, password=longest)


# ── yesterday's parameters ───────────────────────────────────────────────────────────────────────


async def test_an_outdated_hash_is_replaced_by_the_next_log_in(
    login: PasswordLogin, ada: User, transactions: MemoryTransactions, passwords: FakePasswordHasher
) -> None:
    passwords.parameters = 2
    await login.log_in(email=EMAIL, password=PASSWORD)
    credential = await credential_of(ada, transactions)
    assert credential == Credential(id=ada.id, password_hash=f"$fake$2${PASSWORD}", version=2)
    await login.log_in(email=EMAIL, password=PASSWORD)


async def test_a_hash_of_today_stays(
    login: PasswordLogin, ada: User, transactions: MemoryTransactions
) -> None:
    await login.log_in(email=EMAIL, password=PASSWORD)
    assert (await credential_of(ada, transactions)).version == 1


async def test_a_wrong_password_replaces_nothing(
    login: PasswordLogin, ada: User, transactions: MemoryTransactions, passwords: FakePasswordHasher
) -> None:
    passwords.parameters = 2
    with refused(WrongCredentials):
        await login.log_in(email=EMAIL, password="another password")
    assert (await credential_of(ada, transactions)).version == 1


async def test_a_password_that_was_changed_in_the_meantime_is_not_changed_back(
    run: Runner, ada: User, transactions: MemoryTransactions
) -> None:
    before = await credential_of(ada, transactions)
    await run(replace_hash, ada.id, outdated="$fake$0$forgotten", password_hash="$fake$1$forgotten")
    assert await credential_of(ada, transactions) == before


# ── refreshing ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def pair(login: PasswordLogin, ada: User) -> TokenPair:
    return await login.log_in(email=EMAIL, password=PASSWORD)


async def test_a_refresh_token_gives_the_next_pair_in_the_same_session(
    login: PasswordLogin, ada: User, pair: TokenPair, transactions: MemoryTransactions, clock: FakeClock
) -> None:
    opened = await session_of(pair, transactions)
    clock.advance(LIFETIME - timedelta(microseconds=1))
    successor = await login.refresh(refresh_token=pair.refresh_token)
    assert successor.refresh_token != pair.refresh_token
    assert (successor.token_type, successor.expires_in) == ("Bearer", 600)
    assert (await FakeTokenVerifier().verify(successor.access_token)).user_id == ada.id
    session = await session_of(successor, transactions)
    assert (session.id, session.expires_at) == (opened.id, opened.expires_at)
    assert session.token_hash == fingerprint(successor.refresh_token.split(".")[1])


async def test_successors_can_be_refreshed_in_turn(login: PasswordLogin, pair: TokenPair) -> None:
    seen = {pair.refresh_token}
    for _ in range(5):
        pair = await login.refresh(refresh_token=pair.refresh_token)
        seen.add(pair.refresh_token)
    assert len(seen) == 6


async def test_a_second_use_ends_the_session_for_everybody(
    login: PasswordLogin, ada: User, pair: TokenPair, transactions: MemoryTransactions, clock: FakeClock
) -> None:
    successor = await login.refresh(refresh_token=pair.refresh_token)
    clock.advance(timedelta(hours=1))
    with refused(SessionEnded):
        await login.refresh(refresh_token=pair.refresh_token)
    with refused(SessionEnded):
        await login.refresh(refresh_token=successor.refresh_token)
    session = await session_of(pair, transactions)
    assert session.ended_at == clock.now
    assert transactions.events[2:] == [
        RefreshTokenReused(at=clock.now, session_id=session.id, user_id=ada.id)
    ]


async def test_the_other_sessions_of_the_user_go_on(login: PasswordLogin, pair: TokenPair) -> None:
    elsewhere = await login.log_in(email=EMAIL, password=PASSWORD)
    await login.refresh(refresh_token=pair.refresh_token)
    with refused(SessionEnded):
        await login.refresh(refresh_token=pair.refresh_token)
    await login.refresh(refresh_token=elsewhere.refresh_token)


async def test_of_twenty_uses_at_the_same_instant_one_succeeds(login: PasswordLogin, pair: TokenPair) -> None:
    outcomes = await asyncio.gather(
        *(login.refresh(refresh_token=pair.refresh_token) for _ in range(20)), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["SessionEnded"] * 19 + ["TokenPair"]


async def test_an_expired_session_has_ended(login: PasswordLogin, pair: TokenPair, clock: FakeClock) -> None:
    clock.advance(LIFETIME)
    with refused(SessionEnded):
        await login.refresh(refresh_token=pair.refresh_token)


@pytest.mark.parametrize(
    "forged",
    ["", ".", "secret", "not-a-uuid.secret", f"{UNKNOWN}.secret", UNKNOWN, "\0.\ud800"],
)
async def test_what_is_no_refresh_token_is_refused_as_if_the_session_had_ended(
    forged: str, login: PasswordLogin
) -> None:
    with refused(SessionEnded):
        await login.refresh(refresh_token=forged)


async def test_a_guessed_secret_ends_the_session(
    login: PasswordLogin, pair: TokenPair, transactions: MemoryTransactions
) -> None:
    session_id, _, _ = pair.refresh_token.partition(".")
    with refused(SessionEnded):
        await login.refresh(refresh_token=f"{session_id}.guess")
    assert (await session_of(pair, transactions)).ended_at is not None
