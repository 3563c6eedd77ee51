"""The built-in provider: registering, logging in, changing and resetting passwords, proving addresses."""

import asyncio
import re
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import override
from uuid import UUID

import pytest

from application.kernel.identity.addresses import prove_email
from application.kernel.identity.attempts import (
    ADDRESSES_ASKED_FROM_ADDRESS,
    AT_ONCE,
    CHANGES_OF_ADDRESS,
    FAILURES_FROM_ADDRESS,
    FAILURES_OF_ACCOUNT,
    FAILURES_OF_ACCOUNT_FROM_ADDRESS,
    FAILURES_OF_CURRENT_PASSWORD,
    FAILURES_OF_DEVICE,
    MAILS_FROM_ADDRESS,
    MAILS_TO_ADDRESS,
)
from application.kernel.identity.failures import Failures
from application.kernel.identity.known_devices import DEVICE_LIFETIME, DEVICE_TOKEN_MOST, KnownDevices
from application.kernel.identity.password_login import PasswordLogin, change_password, replace_hash
from application.kernel.identity.secret_tokens import fingerprint, is_marked
from application.kernel.identity.sessions import TokenPair, TokenSessions
from application.kernel.ports.attempts import Peer
from application.kernel.queries.auth import CLAIMANTS
from application.kernel.run import Runner
from domain.kernel.errors import DomainError, Invalid
from domain.kernel.identity.credentials import (
    Credential,
    PasswordChanged,
    PasswordsDisabled,
    TooManyAttempts,
    WrongCredentials,
    WrongPassword,
)
from domain.kernel.identity.identities import Link
from domain.kernel.identity.one_time_tokens import (
    EmailVerificationRequested,
    NothingToVerify,
    OneTimeToken,
    OneTimeTokenNotFound,
    PasswordResetRequested,
    Purpose,
)
from domain.kernel.identity.sessions import Session, SessionEnded, SessionId, SessionOpened
from domain.kernel.users import Email, EmailLost, EmailTaken, EmailVerified, User, UserRegistered
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import (
    NOW,
    a_caller,
    a_credential,
    a_link,
    a_one_time_token,
    a_session,
    a_user,
    address_of,
    store,
)
from kernel.world.fakes import (
    FakeAuthQueries,
    FakeClock,
    FakePasswordHasher,
    FakeSeal,
    FakeTokenIssuer,
    FakeTokenVerifier,
    MemoryAttempts,
    MemoryTransactions,
)
from kernel.world.people import CLIENT, EMAIL, PASSWORD
from kernel.world.refusals import refused

LIFETIME = timedelta(days=30)


async def session_of(pair: TokenPair, transactions: MemoryTransactions[UnitOfWork]) -> Session:
    async with transactions() as uow:
        return await uow.sessions.get(SessionId(UUID(hex=pair.refresh_token.split(".")[0])))


async def credential_of(user: User, transactions: MemoryTransactions[UnitOfWork]) -> Credential:
    async with transactions() as uow:
        return await uow.credentials.get(user.id)


# ── registering ──────────────────────────────────────────────────────────────────────────────────


async def test_whoever_registers_is_saved_with_a_hash_of_the_password(
    login: PasswordLogin, transactions: MemoryTransactions[UnitOfWork], clock: FakeClock
) -> None:
    user = await login.register(email=" Ada@Example.com", password=PASSWORD, display_name=" Ada ")
    assert (user.email, user.display_name, user.created_at) == (EMAIL, "Ada", clock.now)
    assert user.id.version == 7
    async with transactions() as uow:
        assert await uow.users.get(user.id) == user
        assert await uow.users.recipient(address_of(user)) == user
    credential = await credential_of(user, transactions)
    assert credential == Credential(id=user.id, password_hash=f"$fake$1${PASSWORD}")
    assert transactions.events == [UserRegistered(at=clock.now, user_id=user.id)]


async def verify(user: User, transactions: MemoryTransactions[UnitOfWork]) -> None:
    async with transactions() as uow:
        await prove_email(uow, user)


async def test_an_address_that_somebody_has_verified_does_not_register_again(
    login: PasswordLogin, ada: User, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    await verify(ada, transactions)
    with refused(EmailTaken):
        await login.register(email=EMAIL.upper(), password=NEXT, display_name="Eve")
    assert len(transactions.committed.of(User)) == 1


async def test_an_address_that_somebody_only_claims_can_be_claimed_by_others(
    login: PasswordLogin, ada: User, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    eve = await login.register(email=EMAIL.upper(), password=NEXT, display_name="Eve")
    assert (eve.email, eve.email_verified, eve.id != ada.id) == (EMAIL, False, True)
    assert transactions.committed.of(User)[ada.id] == ada


@pytest.mark.parametrize("password", ["too short", "x" * 129, "Ada, loomworks 1815", "ada@example.com!!"])
async def test_nobody_registers_with_a_password_that_is_not_acceptable(
    password: str, login: PasswordLogin, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    with pytest.raises(Invalid) as raised:
        await login.register(email=EMAIL, password=password, display_name="Ada")
    assert raised.value.field == "password"
    assert transactions.events == []


async def test_nobody_registers_without_an_address(
    login: PasswordLogin, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    with refused(Invalid, "It must not be empty.", field="email"):
        await login.register(email="", password=PASSWORD, display_name="Ada")


async def test_a_network_address_registers_so_many_people_in_an_hour_and_pays_no_hash_beyond(
    login: PasswordLogin, clock: FakeClock, passwords: FakePasswordHasher
) -> None:
    for number in range(ADDRESSES_ASKED_FROM_ADDRESS):
        await login.register(CLIENT, email=f"{number}@example.com", password=PASSWORD, display_name="Ada")
    hashed = len(passwords.hashed)
    for email in ("new@example.com", "0@example.com"):  # whether it is known is not told any more, either
        with refused(TooManyAttempts):
            await login.register(CLIENT, email=email, password=PASSWORD, display_name="Ada")
    assert len(passwords.hashed) == hashed
    elsewhere = Peer(address="192.0.2.8")
    await login.register(elsewhere, email="new@example.com", password=PASSWORD, display_name="Ada")
    await login.register(email="by-hand@example.com", password=PASSWORD, display_name="Ada")
    clock.advance(timedelta(hours=1))
    await login.register(CLIENT, email="later@example.com", password=PASSWORD, display_name="Ada")


@pytest.mark.parametrize("change", [{"email": "nobody"}, {"password": "too short"}])
async def test_a_registration_that_cannot_be_right_is_not_counted_and_pays_no_hash(
    change: dict[str, str], login: PasswordLogin, passwords: FakePasswordHasher
) -> None:
    person = {"email": EMAIL, "password": PASSWORD, "display_name": "Ada"}
    for _ in range(ADDRESSES_ASKED_FROM_ADDRESS + 1):
        with pytest.raises(Invalid):
            await login.register(CLIENT, **{**person, **change})
    assert passwords.hashed == []
    await login.register(CLIENT, **person)


# ── logging in ───────────────────────────────────────────────────────────────────────────────────


async def test_whoever_logs_in_gets_a_pair_of_tokens(login: PasswordLogin, ada: User) -> None:
    pair = await login.log_in(CLIENT, email=EMAIL, password=PASSWORD)
    assert (pair.token_type, pair.expires_in) == ("Bearer", 600)
    assert re.fullmatch(r"[0-9a-f]{32}\.[A-Za-z0-9_-]{65}", pair.refresh_token)
    identity = await FakeTokenVerifier().verify(pair.access_token)
    assert identity.user_id == ada.id


async def test_a_log_in_opens_a_session_that_keeps_a_fingerprint_only(
    login: PasswordLogin, ada: User, transactions: MemoryTransactions[UnitOfWork], clock: FakeClock
) -> None:
    clock.advance(timedelta(hours=1))
    pair = await login.log_in(CLIENT, email=EMAIL, password=PASSWORD)
    session = await session_of(pair, transactions)
    assert session == Session(
        id=session.id,
        user_id=ada.id,
        token_hash=fingerprint(pair.refresh_token.split(".")[1]),
        family_key=session.family_key,
        agent="Loom/1.0",
        created_at=clock.now,
        used_at=clock.now,
        expires_at=clock.now + LIFETIME,
        ended_at=None,
    )
    assert session.id.version == 7
    assert is_marked(pair.refresh_token.split(".")[1], session.family_key)
    assert transactions.events[1:] == [SessionOpened(at=clock.now, session_id=session.id, user_id=ada.id)]


async def test_each_log_in_has_a_session_of_its_own(
    login: PasswordLogin, ada: User, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    first = await session_of(await login.log_in(CLIENT, email=EMAIL, password=PASSWORD), transactions)
    second = await session_of(await login.log_in(CLIENT, email=EMAIL, password=PASSWORD), transactions)
    assert first.id != second.id
    assert first.token_hash != second.token_hash


async def test_the_address_may_be_typed_in_capitals(login: PasswordLogin, ada: User) -> None:
    await login.log_in(CLIENT, email=" ADA@example.com ", password=PASSWORD)


@pytest.mark.parametrize("password", ["", "violet kettle hums at dawnr", PASSWORD.upper(), f" {PASSWORD}"])
async def test_a_wrong_password_is_refused(
    password: str, login: PasswordLogin, ada: User, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    with refused(WrongCredentials):
        await login.log_in(CLIENT, email=EMAIL, password=password)
    assert len(transactions.events) == 1


@pytest.mark.parametrize("email", ["charles@example.com", "no address", "", "\0"])
async def test_an_unknown_address_is_refused_by_the_same_words_after_the_same_work(
    email: str, login: PasswordLogin, ada: User, passwords: FakePasswordHasher
) -> None:
    with refused(WrongCredentials):
        await login.log_in(CLIENT, email=email, password=PASSWORD)
    assert passwords.compared == [None]


async def test_an_account_without_a_password_is_refused_in_the_same_way(
    login: PasswordLogin, transactions: MemoryTransactions[UnitOfWork], passwords: FakePasswordHasher
) -> None:
    somebody = a_user()
    await store(transactions, somebody)
    with refused(WrongCredentials):
        await login.log_in(CLIENT, email=somebody.email or "", password=PASSWORD)
    assert passwords.compared == [None]


@pytest.mark.parametrize("email", [EMAIL, "no address"])
async def test_nobody_gets_in_even_where_the_work_for_an_unknown_account_ends_well(
    email: str,
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    failures: Failures,
    clock: FakeClock,
) -> None:
    class Gullible(FakePasswordHasher):
        @override
        async def verify(self, password: str, hash: str | None, /) -> bool:
            return True

    sessions = TokenSessions(run, FakeTokenIssuer(), lifetime=LIFETIME)
    queries, attempts = FakeAuthQueries(transactions), MemoryAttempts(clock)
    login = PasswordLogin(
        run,
        queries,
        Gullible(),
        sessions,
        attempts,
        devices=KnownDevices(FakeSeal(), clock),
        failures=failures,
        service_name="Loomworks",
    )
    with refused(WrongCredentials):
        await login.log_in(CLIENT, email=email, password=PASSWORD)


async def test_an_overlong_password_is_refused_without_being_hashed(
    login: PasswordLogin, transactions: MemoryTransactions[UnitOfWork], passwords: FakePasswordHasher
) -> None:
    longest = "".join(chr(0x100 + number) for number in range(128))
    overlong = longest + "a"
    user = a_user()
    await store(transactions, user, Credential(id=user.id, password_hash=await passwords.hash(overlong)))
    with refused(WrongCredentials):
        await login.log_in(CLIENT, email=user.email or "", password=overlong)
    assert passwords.compared == [None]
    await login.register(email=EMAIL, password=longest, display_name="Ada")
    await login.log_in(CLIENT, email=EMAIL, password=longest)


# ── yesterday's parameters ───────────────────────────────────────────────────────────────────────


async def test_an_outdated_hash_is_replaced_by_the_next_log_in(
    login: PasswordLogin,
    ada: User,
    transactions: MemoryTransactions[UnitOfWork],
    passwords: FakePasswordHasher,
) -> None:
    passwords.parameters = 2
    await login.log_in(CLIENT, email=EMAIL, password=PASSWORD)
    credential = await credential_of(ada, transactions)
    assert credential == Credential(id=ada.id, password_hash=f"$fake$2${PASSWORD}", version=2)
    await login.log_in(CLIENT, email=EMAIL, password=PASSWORD)


async def test_a_hash_of_today_stays(
    login: PasswordLogin, ada: User, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    await login.log_in(CLIENT, email=EMAIL, password=PASSWORD)
    assert (await credential_of(ada, transactions)).version == 1


async def test_a_wrong_password_replaces_nothing(
    login: PasswordLogin,
    ada: User,
    transactions: MemoryTransactions[UnitOfWork],
    passwords: FakePasswordHasher,
) -> None:
    passwords.parameters = 2
    with refused(WrongCredentials):
        await login.log_in(CLIENT, email=EMAIL, password="quarter past the old well")
    assert (await credential_of(ada, transactions)).version == 1


async def test_a_password_that_was_changed_in_the_meantime_is_not_changed_back(
    run: Runner[UnitOfWork], ada: User, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    before = await credential_of(ada, transactions)
    await run(replace_hash, ada.id, outdated="$fake$0$forgotten", password_hash="$fake$1$forgotten")
    assert await credential_of(ada, transactions) == before


async def test_of_log_ins_that_replace_the_hash_at_the_same_instant_all_succeed(
    login: PasswordLogin, ada: User, passwords: FakePasswordHasher
) -> None:
    passwords.parameters = 2
    pairs = await asyncio.gather(*(login.log_in(CLIENT, email=EMAIL, password=PASSWORD) for _ in range(5)))
    assert len({pair.refresh_token for pair in pairs}) == 5


async def test_a_password_that_changes_while_its_hash_is_replaced_opens_no_session(
    login: PasswordLogin,
    ada: User,
    passwords: FakePasswordHasher,
    transactions: MemoryTransactions[UnitOfWork],
) -> None:
    passwords.parameters = 2
    original = passwords.hash

    async def overtaken(password: str) -> str:
        async with transactions() as uow:
            credential = await uow.credentials.get(ada.id)
            await uow.credentials.save(replace(credential, password_hash="$fake$2$something else"))
        return await original(password)

    passwords.hash = overtaken  # type: ignore[method-assign]
    with refused(WrongCredentials):
        await login.log_in(CLIENT, email=EMAIL, password=PASSWORD)
    assert transactions.committed.of(Session) == {}


# ── suspended ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("verified", [True, False])
@pytest.mark.parametrize("password", [PASSWORD, "quarter past the old well"])
async def test_to_a_stranger_a_suspended_user_looks_like_any_wrong_password(
    *,
    password: str,
    verified: bool,
    login: PasswordLogin,
    transactions: MemoryTransactions[UnitOfWork],
    passwords: FakePasswordHasher,
) -> None:
    user = a_user(email_verified_at=NOW if verified else None, suspended_at=NOW)
    password_hash = await passwords.hash(PASSWORD)
    await store(transactions, user, Credential(id=user.id, password_hash=password_hash))
    assert user.email is not None
    with refused(WrongCredentials):
        await login.log_in(CLIENT, email=user.email, password=password)
    assert passwords.compared == ([password_hash] if verified else [None])
    assert transactions.events == []


# ── too many attempts ────────────────────────────────────────────────────────────────────────────


async def fails(login: PasswordLogin, client: Peer = CLIENT, email: str = EMAIL) -> type[DomainError]:
    try:
        await login.log_in(client, email=email, password="quarter past the old well")
    except DomainError as error:
        return type(error)
    raise AssertionError


async def test_each_who_claims_an_address_logs_in_with_their_own_password(
    login: PasswordLogin, transactions: MemoryTransactions[UnitOfWork], passwords: FakePasswordHasher
) -> None:
    own = ["the first of four who claim it", "the second of them in a row", "and here we have the third one"]
    users = [await login.register(email=EMAIL, password=word, display_name="Ada") for word in own]
    in_order = sorted(zip(users, own, strict=True), key=lambda pair: pair[0].id, reverse=True)
    for place, (user, word) in enumerate(in_order):
        passwords.compared.clear()
        pair = await login.log_in(CLIENT, email=EMAIL, password=word)
        assert (await session_of(pair, transactions)).user_id == user.id
        assert len(passwords.compared) == place + 1


async def test_a_crowd_that_claims_an_address_costs_no_more_than_three_comparisons(
    login: PasswordLogin, transactions: MemoryTransactions[UnitOfWork], passwords: FakePasswordHasher
) -> None:
    users = [
        await login.register(email=EMAIL, password=f"{number} for the crowd of them", display_name="Eve")
        for number in range(5)
    ]
    passwords.compared.clear()
    with refused(WrongCredentials):
        await login.log_in(CLIENT, email=EMAIL, password=NEXT)
    newest = sorted((user.id for user in users), reverse=True)[:CLAIMANTS]
    hashes = transactions.committed.of(Credential)
    assert passwords.compared == [hashes[user_id].password_hash for user_id in newest]


async def test_once_an_address_is_proved_nobody_who_claims_it_is_compared(
    login: PasswordLogin,
    ada: User,
    transactions: MemoryTransactions[UnitOfWork],
    passwords: FakePasswordHasher,
) -> None:
    await verify(ada, transactions)
    eve = a_user(email=Email(EMAIL))
    await store(transactions, eve, a_credential(id=eve.id, password_hash=f"$fake$1${NEXT}"))
    passwords.compared.clear()
    with refused(WrongCredentials):
        await login.log_in(CLIENT, email=EMAIL, password=NEXT)
    assert passwords.compared == [f"$fake$1${PASSWORD}"]


@pytest.mark.parametrize("email", [EMAIL, " ADA@example.com", "charles@example.com", "no address"])
async def test_an_account_has_to_wait_after_ten_failures_from_one_address_whether_it_exists_or_not(
    email: str, login: PasswordLogin, ada: User, passwords: FakePasswordHasher, clock: FakeClock
) -> None:
    outcomes = [await fails(login, email=email) for _ in range(FAILURES_OF_ACCOUNT_FROM_ADDRESS)]
    assert set(outcomes) == {WrongCredentials}
    clock.advance(timedelta(minutes=1))
    with pytest.raises(TooManyAttempts) as raised:
        await login.log_in(CLIENT, email=email, password=PASSWORD)
    assert raised.value.retry_after == 14 * 60
    assert len(passwords.compared) == FAILURES_OF_ACCOUNT_FROM_ADDRESS  # nothing slow is done any more
    elsewhere = Peer(address="192.0.2.8")
    assert await fails(login, elsewhere, email) is WrongCredentials
    clock.advance(timedelta(minutes=14))
    assert await fails(login, email=email) is WrongCredentials


async def test_a_success_forgets_the_failures_of_the_account_from_that_address(
    login: PasswordLogin, ada: User
) -> None:
    for _ in range(3):
        for _ in range(FAILURES_OF_ACCOUNT_FROM_ADDRESS - 1):
            await fails(login)
        await login.log_in(CLIENT, email=EMAIL, password=PASSWORD)


async def test_an_account_has_to_wait_after_a_hundred_failures_from_anywhere(
    login: PasswordLogin, ada: User, clock: FakeClock
) -> None:
    everywhere = [Peer(address=f"192.0.2.{number}") for number in range(FAILURES_OF_ACCOUNT + 1)]
    *others, last = everywhere
    assert {await fails(login, client) for client in others} == {WrongCredentials}
    assert await fails(login, last) is TooManyAttempts
    assert await fails(login, last, "charles@example.com") is WrongCredentials
    clock.advance(timedelta(hours=1))
    await login.log_in(last, email=EMAIL, password=PASSWORD)


@pytest.mark.parametrize(
    "addresses",
    [
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7", "::ffff:192.0.2.7"),
        ("2001:db8::1", "2001:db8::ffff"),
        ("", ""),
    ],
)
async def test_a_network_address_has_to_wait_after_a_hundred_failures_of_any_account(
    addresses: tuple[str, str], login: PasswordLogin, ada: User
) -> None:
    first, second = (Peer(address=address) for address in addresses)
    outcomes = [await fails(login, first, f"{number}@example.com") for number in range(FAILURES_FROM_ADDRESS)]
    assert set(outcomes) == {WrongCredentials}
    with pytest.raises(TooManyAttempts):
        await login.log_in(second, email=EMAIL, password=PASSWORD)
    await login.log_in(Peer(address="2001:db8:0:1::1"), email=EMAIL, password=PASSWORD)


async def test_who_logs_in_again_and_again_never_has_to_wait(login: PasswordLogin, ada: User) -> None:
    for _ in range(2 * FAILURES_FROM_ADDRESS):
        await login.log_in(CLIENT, email=EMAIL, password=PASSWORD)


# ── known devices ────────────────────────────────────────────────────────────────────────────────

EVERYWHERE = [Peer(address=f"192.0.2.{number}") for number in range(FAILURES_OF_ACCOUNT)]


async def lock_out_strangers(login: PasswordLogin, email: str = EMAIL) -> None:
    """Of the account, from everywhere; and from one address, of whatever account."""
    for client in EVERYWHERE:
        await fails(login, client, email)
    for number in range(FAILURES_FROM_ADDRESS):
        await fails(login, CLIENT, f"{number}@example.com")
    with refused(TooManyAttempts):
        await login.log_in(CLIENT, email=email, password=PASSWORD)


async def test_no_stranger_locks_a_known_device_out(
    login: PasswordLogin, ada: User, clock: FakeClock
) -> None:
    token = (await login.log_in(CLIENT, email=EMAIL, password=PASSWORD)).device_token
    for _ in range(2):
        await lock_out_strangers(login)
        known = await login.log_in(CLIENT, email=f" {EMAIL.upper()}", password=PASSWORD, device_token=token)
        token = known.device_token
        clock.advance(timedelta(days=300))  # each log-in begins another year


async def test_who_guesses_on_a_known_device_has_to_wait_there_and_nowhere_else(
    login: PasswordLogin, ada: User, clock: FakeClock, passwords: FakePasswordHasher
) -> None:
    token, other = [
        (await login.log_in(CLIENT, email=EMAIL, password=PASSWORD)).device_token for _ in range(2)
    ]
    for _ in range(FAILURES_OF_DEVICE):
        with refused(WrongCredentials):
            await login.log_in(CLIENT, email=EMAIL, password="guess", device_token=token)
    compared = len(passwords.compared)
    with refused(TooManyAttempts):
        await login.log_in(CLIENT, email=EMAIL, password=PASSWORD, device_token=token)
    assert len(passwords.compared) == compared
    await login.log_in(CLIENT, email=EMAIL, password=PASSWORD, device_token=other)
    await login.log_in(CLIENT, email=EMAIL, password=PASSWORD)
    clock.advance(timedelta(minutes=15))
    await login.log_in(CLIENT, email=EMAIL, password=PASSWORD, device_token=token)


async def test_a_success_forgets_the_failures_of_the_device(login: PasswordLogin, ada: User) -> None:
    token = (await login.log_in(CLIENT, email=EMAIL, password=PASSWORD)).device_token
    for _ in range(3):
        for _ in range(FAILURES_OF_DEVICE - 1):
            with refused(WrongCredentials):
                await login.log_in(CLIENT, email=EMAIL, password="guess", device_token=token)
        await login.log_in(CLIENT, email=EMAIL, password=PASSWORD, device_token=token)


async def test_a_known_device_opens_the_account_that_knows_it_and_no_other_with_the_address(
    login: PasswordLogin,
) -> None:
    """Or whoever claims an address would guess at another claimant, counted as nobody's stranger."""
    address = "both@example.com"
    await login.register(email=address, password=PASSWORD, display_name="Grace")
    await login.register(email=address, password=NEXT, display_name="Eve")
    token = (await login.log_in(CLIENT, email=address, password=NEXT)).device_token
    await login.log_in(CLIENT, email=address, password=NEXT, device_token=token)
    with refused(WrongCredentials):
        await login.log_in(CLIENT, email=address, password=PASSWORD, device_token=token)
    await login.log_in(CLIENT, email=address, password=PASSWORD)


async def test_a_device_token_is_no_way_in(login: PasswordLogin, ada: User) -> None:
    token = (await login.log_in(CLIENT, email=EMAIL, password=PASSWORD)).device_token
    for password in ("", "quarter past the old well"):
        with refused(WrongCredentials):
            await login.log_in(CLIENT, email=EMAIL, password=password, device_token=token)


@pytest.mark.parametrize("kind", ["another's", "too old", "of an earlier password", "made up", "too long"])
async def test_whoever_has_no_good_device_token_is_a_stranger(
    kind: str, login: PasswordLogin, ada: User, clock: FakeClock
) -> None:
    token, password = (await login.log_in(CLIENT, email=EMAIL, password=PASSWORD)).device_token, PASSWORD
    if kind == "another's":
        await login.register(email="eve@example.com", password=PASSWORD, display_name="Eve")
        token = (await login.log_in(CLIENT, email="eve@example.com", password=PASSWORD)).device_token
    elif kind == "too old":
        clock.advance(DEVICE_LIFETIME)
    elif kind == "of an earlier password":
        await login.change_password(a_caller(ada.id), current_password=PASSWORD, new_password=NEXT)
        password = NEXT
    elif kind == "made up":
        token = f"sealed as {ada.id}"
    else:
        token += "." * DEVICE_TOKEN_MOST
    await login.log_in(CLIENT, email=EMAIL, password=password, device_token=token)
    await lock_out_strangers(login)
    with refused(TooManyAttempts):
        await login.log_in(CLIENT, email=EMAIL, password=password, device_token=token)


@pytest.mark.parametrize("email", ["nobody@example.com", "no address", EMAIL])
async def test_what_a_stranger_sends_as_a_device_token_changes_no_count(
    email: str, login: PasswordLogin, ada: User
) -> None:
    for number in range(FAILURES_OF_ACCOUNT_FROM_ADDRESS):
        with refused(WrongCredentials):
            await login.log_in(CLIENT, email=email, password="guess", device_token=f"token {number}")
    with refused(TooManyAttempts):
        await login.log_in(CLIENT, email=email, password="guess", device_token="another")


async def test_who_resets_the_password_is_let_in_whatever_strangers_did(
    login: PasswordLogin, ada: User, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    await lock_out_strangers(login)
    token = await login.reset_password(token=await mailed(transactions, ada), password=NEXT)
    await login.log_in(CLIENT, email=EMAIL, password=NEXT, device_token=token)
    # And without the token, from an address that nobody floods: the account itself is not locked any more.
    await login.log_in(Peer(address="198.51.100.1"), email=EMAIL, password=NEXT)


# ── queues ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Hashers:
    known: FakePasswordHasher
    strangers: FakePasswordHasher
    newcomers: FakePasswordHasher
    login: PasswordLogin

    @property
    def done(self) -> tuple[int, int, int]:
        every = (self.known, self.strangers, self.newcomers)
        known, strangers, newcomers = (len(each.compared) + len(each.hashed) for each in every)
        return known, strangers, newcomers


@pytest.fixture
def hashers(
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    sessions: TokenSessions,
    clock: FakeClock,
    failures: Failures,
) -> Hashers:
    known, strangers, newcomers = (FakePasswordHasher() for _ in range(3))
    login = PasswordLogin(
        run,
        FakeAuthQueries(transactions),
        known,
        sessions,
        MemoryAttempts(clock),
        devices=KnownDevices(FakeSeal(), clock),
        failures=failures,
        service_name="Loomworks",
        of_strangers=strangers,
        of_newcomers=newcomers,
    )
    return Hashers(known, strangers, newcomers, login)


async def test_registrations_log_ins_and_known_devices_wait_in_queues_of_their_own(
    hashers: Hashers, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    login = hashers.login
    user = await login.register(CLIENT, email=EMAIL, password=PASSWORD, display_name="Ada")
    assert hashers.done == (0, 0, 1)
    token = (await login.log_in(CLIENT, email=EMAIL, password=PASSWORD)).device_token
    assert await fails(login) is WrongCredentials
    assert hashers.done == (0, 2, 1)
    await login.log_in(CLIENT, email=EMAIL, password=PASSWORD, device_token=token)
    assert hashers.done == (1, 2, 1)
    await login.change_password(a_caller(user.id), current_password=PASSWORD, new_password=NEXT)
    await login.reset_password(token=await mailed(transactions, user), password=PASSWORD)
    assert hashers.done == (4, 2, 1)


class Held(FakePasswordHasher):
    """Hashes nothing before it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = 0
        self.opened = asyncio.Event()

    async def has_inside(self, number: int) -> None:
        for _ in range(1000):
            if self.inside == number:
                return
            await asyncio.sleep(0)
        pytest.fail(f"{self.inside} wait to be hashed.")

    async def _wait(self) -> None:
        self.inside += 1
        await self.opened.wait()

    @override
    async def hash(self, password: str, /) -> str:
        await self._wait()
        return await super().hash(password)

    @override
    async def verify(self, password: str, hash: str | None, /) -> bool:
        await self._wait()
        return await super().verify(password, hash)


@pytest.mark.parametrize("what", ["register", "log in"])
async def test_one_network_address_takes_no_more_than_its_share_of_the_places(
    what: str,
    *,
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    sessions: TokenSessions,
    clock: FakeClock,
    failures: Failures,
) -> None:
    held = Held()
    login = PasswordLogin(
        run,
        FakeAuthQueries(transactions),
        held,
        sessions,
        MemoryAttempts(clock),
        devices=KnownDevices(FakeSeal(), clock),
        failures=failures,
        service_name="Loomworks",
    )

    async def ask(client: Peer, number: int) -> None:
        email = f"{number}@example.com"
        if what == "register":
            await login.register(client, email=email, password=PASSWORD, display_name="Ada")
        else:
            await login.log_in(client, email=email, password=PASSWORD)

    asked = [asyncio.create_task(ask(CLIENT, number)) for number in range(AT_ONCE)]
    await held.has_inside(AT_ONCE)
    with pytest.raises(TooManyAttempts) as raised:
        await ask(CLIENT, AT_ONCE)
    assert raised.value.retry_after == 1
    asked.append(asyncio.create_task(ask(Peer(address="192.0.2.8"), AT_ONCE + 1)))
    await held.has_inside(AT_ONCE + 1)
    held.opened.set()
    await asyncio.gather(*asked, return_exceptions=True)
    if what == "register":
        await ask(CLIENT, AT_ONCE)  # there is room again
    else:
        with refused(WrongCredentials):
            await ask(CLIENT, AT_ONCE)


# ── changing the password ────────────────────────────────────────────────────────────────────────

NEXT = "a drawer full of seashells"


def purposes_in(transactions: MemoryTransactions[UnitOfWork]) -> list[Purpose]:
    return [token.purpose for token in transactions.committed.of(OneTimeToken).values()]


async def test_another_password_makes_what_was_mailed_before_void(
    login: PasswordLogin, ada: User, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    await store(transactions, *(a_one_time_token(user_id=ada.id, purpose=purpose) for purpose in Purpose))
    await login.change_password(a_caller(ada.id), current_password=PASSWORD, new_password=NEXT)
    # Whoever has stolen the account may have changed its password.
    assert purposes_in(transactions) == [Purpose.UNDO_EMAIL_CHANGE]


async def test_so_does_a_reset_and_no_address_is_pending_any_more(
    login: PasswordLogin, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    user = a_user(email_verified_at=NOW, pending_email=Email("augusta@example.com"))
    await store(transactions, user)
    await store(transactions, *(a_one_time_token(user_id=user.id, purpose=purpose) for purpose in Purpose))
    await login.reset_password(token=await mailed(transactions, user), password=NEXT)
    assert purposes_in(transactions) == [Purpose.UNDO_EMAIL_CHANGE]
    after = transactions.committed.of(User)[user.id]
    assert (after.email, after.email_verified_at, after.pending_email) == (user.email, NOW, None)


async def test_whoever_knows_the_password_changes_it(
    login: PasswordLogin, ada: User, transactions: MemoryTransactions[UnitOfWork], clock: FakeClock
) -> None:
    await login.change_password(a_caller(ada.id), current_password=PASSWORD, new_password=NEXT)
    with refused(WrongCredentials):
        await login.log_in(CLIENT, email=EMAIL, password=PASSWORD)
    await login.log_in(CLIENT, email=EMAIL, password=NEXT)
    assert PasswordChanged(at=clock.now, user_id=ada.id) in transactions.events


async def test_a_changed_password_ends_the_other_sessions_and_not_this_one(
    login: PasswordLogin, sessions: TokenSessions, ada: User, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    this = await login.log_in(CLIENT, email=EMAIL, password=PASSWORD)
    other = await login.log_in(CLIENT, email=EMAIL, password=PASSWORD)
    somebody = a_session(user_id=a_user().id)
    await store(transactions, somebody)
    session = await session_of(this, transactions)
    actor = a_caller(ada.id, session_id=session.id)
    await login.change_password(actor, current_password=PASSWORD, new_password=NEXT)
    await sessions.refresh(refresh_token=this.refresh_token)
    with refused(SessionEnded):
        await sessions.refresh(refresh_token=other.refresh_token)
    assert transactions.committed.of(Session)[somebody.id] == somebody


@pytest.mark.parametrize("current", ["", "quarter past the old well", "x" * 129])
async def test_a_wrong_current_password_changes_nothing(
    current: str, login: PasswordLogin, ada: User, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    before = await credential_of(ada, transactions)
    with refused(WrongPassword):
        await login.change_password(a_caller(ada.id), current_password=current, new_password=NEXT)
    assert await credential_of(ada, transactions) == before


async def test_an_overlong_current_password_is_not_hashed(
    login: PasswordLogin, ada: User, passwords: FakePasswordHasher
) -> None:
    with refused(WrongPassword):
        await login.change_password(a_caller(ada.id), current_password="x" * 129, new_password=NEXT)
    assert passwords.compared == [None]


async def test_whoever_has_no_password_cannot_change_it(
    login: PasswordLogin, transactions: MemoryTransactions[UnitOfWork], passwords: FakePasswordHasher
) -> None:
    somebody = a_user()
    await store(transactions, somebody)
    with refused(WrongPassword):
        await login.change_password(a_caller(somebody.id), current_password="", new_password=NEXT)
    assert passwords.compared == [None]


@pytest.mark.parametrize("new", ["too short", "correct horse battery staple", "Loomworks, 1815 !!"])
async def test_the_next_password_has_to_be_acceptable(new: str, login: PasswordLogin, ada: User) -> None:
    with pytest.raises(Invalid) as raised:
        await login.change_password(a_caller(ada.id), current_password=PASSWORD, new_password=new)
    assert raised.value.field == "new_password"


async def test_whoever_guesses_at_the_current_password_has_to_wait(
    login: PasswordLogin, ada: User, clock: FakeClock
) -> None:
    actor = a_caller(ada.id)
    for _ in range(FAILURES_OF_CURRENT_PASSWORD):
        with refused(WrongPassword):
            await login.change_password(actor, current_password="guess", new_password=NEXT)
    with pytest.raises(TooManyAttempts):
        await login.change_password(actor, current_password=PASSWORD, new_password=NEXT)
    clock.advance(timedelta(minutes=15))
    await login.change_password(actor, current_password=PASSWORD, new_password=NEXT)


async def test_a_right_one_forgets_the_wrong_ones_before_it(login: PasswordLogin, ada: User) -> None:
    actor = a_caller(ada.id)
    for current, new in ((PASSWORD, NEXT), (NEXT, PASSWORD), (PASSWORD, NEXT)):
        for _ in range(FAILURES_OF_CURRENT_PASSWORD - 1):
            with refused(WrongPassword):
                await login.change_password(actor, current_password="guess", new_password=NEXT)
        await login.change_password(actor, current_password=current, new_password=new)


async def test_a_password_that_was_changed_while_it_was_checked_is_not_changed_again(
    run: Runner[UnitOfWork], ada: User, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    before = await credential_of(ada, transactions)
    with refused(WrongPassword):
        await run(change_password, a_caller(ada.id), outdated="$fake$1$before", password_hash="$fake$1$new")
    assert await credential_of(ada, transactions) == before


# ── resetting it ─────────────────────────────────────────────────────────────────────────────────


async def mailed(
    transactions: MemoryTransactions[UnitOfWork],
    user: User,
    *,
    purpose: Purpose = Purpose.RESET_PASSWORD,
    email: Email | None = None,
) -> str:
    """The secret of a token that was mailed to the user."""
    token = a_one_time_token(
        purpose=purpose, user_id=user.id, email=email or user.email, token_hash=fingerprint("secret")
    )
    await store(transactions, token)
    return "secret"


@pytest.mark.parametrize("email", [EMAIL, "charles@example.com"])
async def test_a_reset_is_asked_for_by_the_same_work_whether_anybody_has_the_address_or_not(
    email: str,
    login: PasswordLogin,
    ada: User,
    transactions: MemoryTransactions[UnitOfWork],
    clock: FakeClock,
) -> None:
    await login.request_password_reset(CLIENT, email=email.upper())
    (token,) = transactions.committed.of(OneTimeToken).values()
    assert token == OneTimeToken(
        id=token.id,
        purpose=Purpose.RESET_PASSWORD,
        user_id=None,
        email=Email(email),
        token_hash=None,
        created_at=clock.now,
        expires_at=clock.now + timedelta(hours=1),
    )
    assert transactions.events[1:] == [PasswordResetRequested(at=clock.now, token_id=token.id)]


async def test_who_has_the_secret_sets_a_password_which_proves_the_address_and_ends_all_sessions(
    login: PasswordLogin,
    sessions: TokenSessions,
    ada: User,
    pair: TokenPair,
    transactions: MemoryTransactions[UnitOfWork],
    *,
    clock: FakeClock,
) -> None:
    await login.reset_password(token=await mailed(transactions, ada), password=NEXT)
    await login.log_in(CLIENT, email=EMAIL, password=NEXT)
    with refused(SessionEnded):
        await sessions.refresh(refresh_token=pair.refresh_token)
    assert transactions.committed.of(User)[ada.id].email_verified_at == clock.now
    assert transactions.committed.of(OneTimeToken) == {}
    assert PasswordChanged(at=clock.now, user_id=ada.id, reset=True) in transactions.events
    assert EmailVerified(at=clock.now, user_id=ada.id) in transactions.events


async def test_who_came_through_a_provider_gets_a_first_password_so(
    login: PasswordLogin, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    user = a_user(email=Email(EMAIL), email_verified_at=NOW - timedelta(days=1))
    await store(transactions, user)
    await login.reset_password(token=await mailed(transactions, user), password=NEXT)
    await login.log_in(CLIENT, email=EMAIL, password=NEXT)
    assert transactions.committed.of(User)[user.id] == user


async def test_a_secret_resets_once(
    login: PasswordLogin, ada: User, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    secret = await mailed(transactions, ada)
    await login.reset_password(token=secret, password=NEXT)
    with refused(OneTimeTokenNotFound):
        await login.reset_password(token=secret, password=PASSWORD)
    await login.log_in(CLIENT, email=EMAIL, password=NEXT)


@pytest.mark.parametrize("by", [timedelta(hours=1), timedelta(days=1)])
async def test_an_old_secret_resets_nothing(
    by: timedelta,
    login: PasswordLogin,
    ada: User,
    transactions: MemoryTransactions[UnitOfWork],
    clock: FakeClock,
) -> None:
    secret = await mailed(transactions, ada)
    clock.advance(by)
    with refused(OneTimeTokenNotFound):
        await login.reset_password(token=secret, password=NEXT)


async def test_a_secret_that_went_to_another_address_resets_nothing(
    login: PasswordLogin, ada: User, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    secret = await mailed(transactions, ada, email=Email("before@example.com"))
    with refused(OneTimeTokenNotFound):
        await login.reset_password(token=secret, password=NEXT)


async def test_whoever_proves_an_address_by_a_reset_takes_it_from_those_who_claim_it(
    login: PasswordLogin, ada: User, transactions: MemoryTransactions[UnitOfWork], clock: FakeClock
) -> None:
    eve = await login.register(email=EMAIL, password="quarter past the old well", display_name="Eve")
    secret = await mailed(transactions, ada)
    await login.reset_password(token=secret, password=NEXT)
    users = transactions.committed.of(User)
    assert (users[ada.id].email, users[ada.id].email_verified_at) == (EMAIL, clock.now)
    assert (users[eve.id].email, users[eve.id].version) == (None, 2)
    assert EmailLost(at=clock.now, user_id=eve.id) in transactions.events
    await login.log_in(CLIENT, email=EMAIL, password=NEXT)
    with refused(WrongCredentials):
        await login.log_in(CLIENT, email=EMAIL, password="quarter past the old well")


async def test_a_proof_that_another_one_was_faster_than_is_good_for_nothing(
    login: PasswordLogin, ada: User, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    # The claim of somebody who registered at the very moment of the proof.
    eve = a_user(email=Email(EMAIL))
    await verify(ada, transactions)
    await store(transactions, eve)
    secret = await mailed(transactions, eve)
    with refused(OneTimeTokenNotFound):
        await login.reset_password(token=secret, password=NEXT)
    await store(
        transactions,
        a_one_time_token(
            purpose=Purpose.VERIFY_EMAIL, user_id=eve.id, email=eve.email, token_hash=fingerprint("verify")
        ),
    )
    with refused(OneTimeTokenNotFound):
        await login.confirm_email(a_caller(eve.id), token="verify")
    assert not transactions.committed.of(User)[eve.id].email_verified


async def test_the_secret_of_another_purpose_resets_nothing(
    login: PasswordLogin, ada: User, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    secret = await mailed(transactions, ada, purpose=Purpose.VERIFY_EMAIL)
    with refused(OneTimeTokenNotFound):
        await login.reset_password(token=secret, password=NEXT)


async def test_a_suspended_user_resets_nothing(
    login: PasswordLogin, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    user = a_user(suspended_at=NOW)
    await store(transactions, user)
    with refused(OneTimeTokenNotFound):
        await login.reset_password(token=await mailed(transactions, user), password=NEXT)


async def test_a_guessed_secret_costs_no_hash(login: PasswordLogin, passwords: FakePasswordHasher) -> None:
    hashed: list[str] = []

    async def hash_(password: str) -> str:
        hashed.append(password)
        return password

    passwords.hash = hash_  # type: ignore[method-assign]
    with refused(OneTimeTokenNotFound):
        await login.reset_password(token="guess", password=NEXT)
    assert hashed == []


async def test_the_password_after_a_reset_has_to_be_acceptable(
    login: PasswordLogin, ada: User, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    secret = await mailed(transactions, ada)
    with pytest.raises(Invalid) as raised:
        await login.reset_password(token=secret, password="example-2024-example")
    assert raised.value.field == "password"


async def test_of_twenty_uses_of_one_secret_at_the_same_instant_one_succeeds(
    login: PasswordLogin, ada: User, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    secret = await mailed(transactions, ada)
    outcomes = await asyncio.gather(
        *(login.reset_password(token=secret, password=NEXT) for _ in range(20)), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == [
        *["OneTimeTokenNotFound"] * 19,
        "str",
    ]


async def test_no_mailbox_is_flooded(login: PasswordLogin, clock: FakeClock) -> None:
    for number in range(MAILS_TO_ADDRESS):
        await login.request_password_reset(Peer(address=f"192.0.2.{number}"), email=EMAIL)
    with pytest.raises(TooManyAttempts):
        await login.request_password_reset(CLIENT, email=EMAIL.upper())
    clock.advance(timedelta(hours=1))
    await login.request_password_reset(CLIENT, email=EMAIL)


async def test_nobody_floods_many_mailboxes(login: PasswordLogin) -> None:
    for number in range(MAILS_FROM_ADDRESS):
        await login.request_password_reset(CLIENT, email=f"{number}@example.com")
    with pytest.raises(TooManyAttempts):
        await login.request_password_reset(CLIENT, email=EMAIL)


# ── changing the address ─────────────────────────────────────────────────────────────────────────


async def test_one_user_changes_their_address_so_often_in_an_hour(
    login: PasswordLogin, ada: User, clock: FakeClock
) -> None:
    actor = a_caller(ada.id)
    for number in range(CHANGES_OF_ADDRESS):
        await login.count_change_of_address(
            Peer(address=f"192.0.2.{number}"), actor, email=f"{number}@example.com"
        )
    with refused(TooManyAttempts):
        await login.count_change_of_address(CLIENT, actor, email="another@example.com")
    for number in range(ADDRESSES_ASKED_FROM_ADDRESS):
        with refused(TooManyAttempts):
            await login.count_change_of_address(CLIENT, actor, email=f"{number}@example.com")
    await login.register(CLIENT, email="new@example.com", password=PASSWORD, display_name="New")
    await login.count_change_of_address(CLIENT, actor, email=EMAIL.upper())  # no change
    await login.count_change_of_address(CLIENT, actor, email="no address")  # is refused anyway
    clock.advance(timedelta(hours=1))
    await login.count_change_of_address(CLIENT, actor, email="another@example.com")


async def test_changes_and_registrations_ask_after_addresses_from_one_network_together(
    login: PasswordLogin, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    users = [a_user() for _ in range(ADDRESSES_ASKED_FROM_ADDRESS)]
    await store(transactions, *users)
    for number, user in enumerate(users):
        await login.count_change_of_address(CLIENT, a_caller(user.id), email=f"{number}@example.com")
    with refused(TooManyAttempts):
        await login.register(CLIENT, email=EMAIL, password=PASSWORD, display_name="Ada")
    with refused(TooManyAttempts):
        await login.count_change_of_address(CLIENT, a_caller(users[0].id), email=EMAIL)


# ── proving the address ──────────────────────────────────────────────────────────────────────────


async def test_a_user_may_ask_for_the_mail_again(
    login: PasswordLogin, ada: User, transactions: MemoryTransactions[UnitOfWork], clock: FakeClock
) -> None:
    await login.request_email_verification(a_caller(ada.id))
    (token,) = transactions.committed.of(OneTimeToken).values()
    assert (token.purpose, token.user_id, token.email) == (Purpose.VERIFY_EMAIL, ada.id, ada.email)
    assert (token.token_hash, token.expires_at) == (None, clock.now + timedelta(hours=24))
    assert transactions.events[1:] == [EmailVerificationRequested(at=clock.now, token_id=token.id)]


async def test_not_too_often(login: PasswordLogin, ada: User) -> None:
    for _ in range(MAILS_TO_ADDRESS):
        await login.request_email_verification(a_caller(ada.id))
    with pytest.raises(TooManyAttempts):
        await login.request_email_verification(a_caller(ada.id))


@pytest.mark.parametrize(
    "user", [a_user(email_verified_at=NOW), replace(a_user(), email=None)], ids=["proved", "none"]
)
async def test_there_has_to_be_something_to_prove(
    user: User, login: PasswordLogin, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    await store(transactions, user)
    with refused(NothingToVerify):
        await login.request_email_verification(a_caller(user.id))


async def test_who_has_the_secret_proves_the_address_once(
    login: PasswordLogin, ada: User, transactions: MemoryTransactions[UnitOfWork], clock: FakeClock
) -> None:
    secret = await mailed(transactions, ada, purpose=Purpose.VERIFY_EMAIL)
    eve = a_user(email=ada.email)
    await store(transactions, eve)
    await login.confirm_email(a_caller(ada.id), token=secret)
    assert transactions.committed.of(User)[ada.id].email_verified_at == clock.now
    assert transactions.committed.of(User)[eve.id].email is None
    assert transactions.events[1:] == [
        EmailLost(at=clock.now, user_id=eve.id),
        EmailVerified(at=clock.now, user_id=ada.id),
    ]
    with refused(OneTimeTokenNotFound):
        await login.confirm_email(a_caller(ada.id), token=secret)


async def test_an_address_that_was_changed_in_the_meantime_is_not_proved(
    login: PasswordLogin, ada: User, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    secret = await mailed(transactions, ada, purpose=Purpose.VERIFY_EMAIL, email=Email("before@example.com"))
    with refused(OneTimeTokenNotFound):
        await login.confirm_email(a_caller(ada.id), token=secret)
    assert transactions.committed.of(User)[ada.id].email_verified_at is None


async def test_nobody_proves_the_address_for_another(
    login: PasswordLogin, ada: User, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    """Eve registers with Ada's address; Ada, who gets the mail, is not to make it hers."""
    eve = a_user()
    await store(transactions, eve)
    secret = await mailed(transactions, ada, purpose=Purpose.VERIFY_EMAIL)
    with refused(OneTimeTokenNotFound):
        await login.confirm_email(a_caller(eve.id), token=secret)
    assert transactions.committed.of(User)[ada.id].email_verified_at is None


async def test_a_reset_takes_the_links_that_somebody_made_before_the_address_was_proved(
    login: PasswordLogin, ada: User, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    proved = a_user(email_verified_at=NOW)
    await store(transactions, proved, a_link(user_id=ada.id), kept := a_link(user_id=proved.id))
    await login.reset_password(token=await mailed(transactions, ada), password=NEXT)
    await login.reset_password(token=await mailed(transactions, proved), password=NEXT)
    assert list(transactions.committed.of(Link)) == [kept.id]


@pytest.mark.parametrize("purpose", [Purpose.RESET_PASSWORD, Purpose.EXCHANGE, Purpose.UNDO_EMAIL_CHANGE])
async def test_the_secret_of_another_purpose_proves_nothing(
    purpose: Purpose, login: PasswordLogin, ada: User, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    secret = await mailed(transactions, ada, purpose=purpose)
    with refused(OneTimeTokenNotFound):
        await login.confirm_email(a_caller(ada.id), token=secret)


# ── people log in elsewhere ──────────────────────────────────────────────────────────────────────


async def test_where_people_log_in_at_a_provider_everything_with_a_password_is_refused(
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    passwords: FakePasswordHasher,
    sessions: TokenSessions,
    *,
    failures: Failures,
    clock: FakeClock,
    ada: User,
) -> None:
    login = PasswordLogin(
        run,
        FakeAuthQueries(transactions),
        passwords,
        sessions,
        MemoryAttempts(clock),
        devices=KnownDevices(FakeSeal(), clock),
        failures=failures,
        service_name="Loomworks",
        enabled=False,
    )
    secret = await mailed(transactions, ada)
    actor = a_caller(ada.id)
    for refused_call in (
        lambda: login.register(email="eve@example.com", password=PASSWORD, display_name="Eve"),
        lambda: login.log_in(CLIENT, email=EMAIL, password=PASSWORD),
        lambda: login.change_password(actor, current_password=PASSWORD, new_password=NEXT),
        lambda: login.request_password_reset(CLIENT, email=EMAIL),
        lambda: login.reset_password(token=secret, password=NEXT),
    ):
        with refused(PasswordsDisabled, "Log in at the provider."):
            await refused_call()
    assert len(transactions.events) == 1
