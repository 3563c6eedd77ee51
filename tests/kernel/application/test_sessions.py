"""Sessions: opened, refreshed, listed, ended."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from application.kernel.identity.password_login import PasswordLogin
from application.kernel.identity.secret_tokens import fingerprint
from application.kernel.identity.sessions import (
    TokenPair,
    TokenSessions,
    end_session,
    log_out,
    log_out_everywhere,
    open_session,
)
from application.kernel.ports.callers import Caller
from application.kernel.run import Runner
from domain.kernel.aggregate import new_id
from domain.kernel.identity.auth import (
    NoSession,
    RefreshTokenReused,
    Session,
    SessionClosed,
    SessionEnded,
    SessionId,
    SessionKind,
    SessionNotFound,
    WrongCredentials,
)
from domain.kernel.users import User
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import NOW, a_caller, a_session, a_user, store
from kernel.world.fakes import FakeClock, FakeTokenVerifier, MemoryTransactions
from kernel.world.people import CLIENT, EMAIL, PASSWORD
from kernel.world.refusals import refused

LIFETIME = timedelta(days=30)
UNKNOWN = "019a4d3e0c4c7e1f9a5b3c2d1e0f9a8b"


async def session_of(pair: TokenPair, transactions: MemoryTransactions[UnitOfWork]) -> Session:
    return transactions.committed.of(Session)[UUID(hex=pair.refresh_token.split(".")[0])]


# ── refreshing ───────────────────────────────────────────────────────────────────────────────────


async def test_a_refresh_token_gives_the_next_pair_in_the_same_session(
    sessions: TokenSessions,
    ada: User,
    pair: TokenPair,
    transactions: MemoryTransactions[UnitOfWork],
    clock: FakeClock,
) -> None:
    opened = await session_of(pair, transactions)
    clock.advance(LIFETIME - timedelta(microseconds=1))
    successor = await sessions.refresh(refresh_token=pair.refresh_token)
    assert successor.refresh_token != pair.refresh_token
    assert (successor.token_type, successor.expires_in) == ("Bearer", 600)
    assert (await FakeTokenVerifier().verify(successor.access_token)).user_id == ada.id
    session = await session_of(successor, transactions)
    assert (session.id, session.expires_at) == (opened.id, opened.expires_at)
    assert session.token_hash == fingerprint(successor.refresh_token.split(".")[1])


async def test_successors_can_be_refreshed_in_turn(sessions: TokenSessions, pair: TokenPair) -> None:
    seen = {pair.refresh_token}
    for _ in range(5):
        pair = await sessions.refresh(refresh_token=pair.refresh_token)
        seen.add(pair.refresh_token)
    assert len(seen) == 6


async def test_a_second_use_ends_the_session_for_everybody(
    sessions: TokenSessions,
    ada: User,
    pair: TokenPair,
    transactions: MemoryTransactions[UnitOfWork],
    clock: FakeClock,
) -> None:
    successor = await sessions.refresh(refresh_token=pair.refresh_token)
    clock.advance(timedelta(hours=1))
    with refused(SessionEnded):
        await sessions.refresh(refresh_token=pair.refresh_token)
    with refused(SessionEnded):
        await sessions.refresh(refresh_token=successor.refresh_token)
    session = await session_of(pair, transactions)
    assert session.ended_at == clock.now
    assert transactions.events[2:] == [
        RefreshTokenReused(at=clock.now, session_id=session.id, user_id=ada.id)
    ]


async def test_the_other_sessions_of_the_user_go_on(
    login: PasswordLogin, sessions: TokenSessions, pair: TokenPair
) -> None:
    elsewhere = await login.log_in(CLIENT, email=EMAIL, password=PASSWORD)
    await sessions.refresh(refresh_token=pair.refresh_token)
    with refused(SessionEnded):
        await sessions.refresh(refresh_token=pair.refresh_token)
    await sessions.refresh(refresh_token=elsewhere.refresh_token)


async def test_of_twenty_uses_at_the_same_instant_one_succeeds(
    sessions: TokenSessions, pair: TokenPair
) -> None:
    outcomes = await asyncio.gather(
        *(sessions.refresh(refresh_token=pair.refresh_token) for _ in range(20)), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["SessionEnded"] * 19 + ["TokenPair"]


async def test_an_expired_session_has_ended(
    sessions: TokenSessions, pair: TokenPair, clock: FakeClock
) -> None:
    clock.advance(LIFETIME)
    with refused(SessionEnded):
        await sessions.refresh(refresh_token=pair.refresh_token)


@pytest.mark.parametrize(
    "forged",
    ["", ".", "secret", "not-a-uuid.secret", f"{UNKNOWN}.secret", UNKNOWN, "\0.\ud800"],
)
async def test_what_is_no_refresh_token_is_refused_as_if_the_session_had_ended(
    forged: str, sessions: TokenSessions
) -> None:
    with refused(SessionEnded):
        await sessions.refresh(refresh_token=forged)


async def test_a_guessed_secret_ends_the_session(
    sessions: TokenSessions, pair: TokenPair, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    session_id, _, _ = pair.refresh_token.partition(".")
    with refused(SessionEnded):
        await sessions.refresh(refresh_token=f"{session_id}.guess")
    assert (await session_of(pair, transactions)).ended_at is not None


async def test_a_suspended_user_cannot_refresh(
    sessions: TokenSessions, ada: User, pair: TokenPair, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    async with transactions() as uow:
        await uow.users.save(ada.suspend(by=None, at=uow.now))
    with refused(SessionEnded):
        await sessions.refresh(refresh_token=pair.refresh_token)
    assert (await session_of(pair, transactions)).ended_at is None


async def test_a_cookie_cannot_be_refreshed(
    sessions: TokenSessions, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    user = a_user()
    cookie = a_session(user_id=user.id, kind=SessionKind.COOKIE, token_hash=fingerprint("secret"))
    await store(transactions, user, cookie)
    with refused(SessionEnded):
        await sessions.refresh(refresh_token=f"{cookie.id.hex}.secret")
    assert transactions.committed.of(Session)[cookie.id] == cookie


async def test_a_refresh_says_when_the_session_was_used(
    sessions: TokenSessions, pair: TokenPair, transactions: MemoryTransactions[UnitOfWork], clock: FakeClock
) -> None:
    clock.advance(timedelta(hours=1))
    await sessions.refresh(refresh_token=pair.refresh_token)
    session = await session_of(pair, transactions)
    assert (session.created_at, session.used_at) == (NOW, clock.now)


# ── opening ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_password_that_was_changed_in_the_meantime_opens_nothing(
    sessions: TokenSessions, ada: User, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    with refused(WrongCredentials):
        await sessions.open(ada.id, password_hash="$fake$1$what it was")
    assert transactions.committed.of(Session) == {}


async def test_a_session_of_another_kind_is_opened_without_tokens(
    run: Runner[UnitOfWork], ada: User, clock: FakeClock
) -> None:
    session = await run(
        open_session, ada.id, token_hash="hash", lifetime=LIFETIME, kind=SessionKind.COOKIE, agent="x" * 999
    )
    assert (session.kind, session.token_hash, session.agent) == (SessionKind.COOKIE, "hash", "x" * 200)


# ── ending ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def actor(ada: User, pair: TokenPair, transactions: MemoryTransactions[UnitOfWork]) -> Caller:
    """Her, by the access token of that pair."""
    return a_caller(ada.id, session_id=(await session_of(pair, transactions)).id)


async def test_whoever_logs_out_ends_this_session(
    run: Runner[UnitOfWork],
    login: PasswordLogin,
    sessions: TokenSessions,
    actor: Caller,
    pair: TokenPair,
    *,
    transactions: MemoryTransactions[UnitOfWork],
    clock: FakeClock,
) -> None:
    elsewhere = await login.log_in(CLIENT, email=EMAIL, password=PASSWORD)
    await run(log_out, actor)
    session = await session_of(pair, transactions)
    assert session.ended_at == clock.now
    closed = SessionClosed(at=clock.now, session_id=session.id, user_id=actor.user_id)
    assert transactions.events[-1] == closed
    with refused(SessionEnded):
        await sessions.refresh(refresh_token=pair.refresh_token)
    await sessions.refresh(refresh_token=elsewhere.refresh_token)


async def test_logging_out_twice_is_no_error_and_one_fact(
    run: Runner[UnitOfWork], actor: Caller, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    await run(log_out, actor)
    facts = list(transactions.events)
    await run(log_out, actor)
    assert transactions.events == facts


async def test_there_is_nothing_to_log_out_of_with_another_providers_token(
    run: Runner[UnitOfWork], ada: User
) -> None:
    with refused(NoSession, "Another provider issued this token: log out there."):
        await run(log_out, a_caller(ada.id))


async def test_whoever_logs_out_everywhere_ends_all_of_their_sessions_and_nobody_elses(
    run: Runner[UnitOfWork],
    login: PasswordLogin,
    sessions: TokenSessions,
    actor: Caller,
    pair: TokenPair,
    *,
    transactions: MemoryTransactions[UnitOfWork],
) -> None:
    elsewhere, anothers = await login.log_in(CLIENT, email=EMAIL, password=PASSWORD), a_session()
    await store(transactions, anothers)
    await run(log_out_everywhere, actor)
    for each in (pair, elsewhere):
        with refused(SessionEnded):
            await sessions.refresh(refresh_token=each.refresh_token)
    assert transactions.committed.of(Session)[anothers.id] == anothers


async def test_a_user_may_end_one_of_their_sessions(
    run: Runner[UnitOfWork],
    login: PasswordLogin,
    actor: Caller,
    transactions: MemoryTransactions[UnitOfWork],
    clock: FakeClock,
) -> None:
    elsewhere = await session_of(await login.log_in(CLIENT, email=EMAIL, password=PASSWORD), transactions)
    await run(end_session, actor, elsewhere.id)
    assert transactions.committed.of(Session)[elsewhere.id].ended_at == clock.now
    with refused(SessionNotFound):
        await run(end_session, actor, elsewhere.id)


async def test_anothers_session_is_not_to_be_found(
    run: Runner[UnitOfWork], actor: Caller, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    anothers = a_session()
    await store(transactions, anothers)
    for session_id in (anothers.id, SessionId(new_id(NOW))):
        with refused(SessionNotFound):
            await run(end_session, actor, session_id)
    assert transactions.committed.of(Session)[anothers.id] == anothers


async def test_an_expired_session_is_not_to_be_found(
    run: Runner[UnitOfWork], actor: Caller, clock: FakeClock
) -> None:
    assert actor.session_id is not None
    clock.advance(LIFETIME)
    with refused(SessionNotFound):
        await run(end_session, actor, actor.session_id)


async def test_a_refresh_token_may_be_revoked(
    sessions: TokenSessions, pair: TokenPair, transactions: MemoryTransactions[UnitOfWork], clock: FakeClock
) -> None:
    await sessions.revoke(refresh_token=pair.refresh_token)
    assert (await session_of(pair, transactions)).ended_at == clock.now
    facts = list(transactions.events)
    await sessions.revoke(refresh_token=pair.refresh_token)
    assert transactions.events == facts


async def test_what_is_no_refresh_token_of_today_revokes_nothing(
    sessions: TokenSessions, pair: TokenPair, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    session_id, _, _ = pair.refresh_token.partition(".")
    for token in (f"{session_id}.guess", session_id, f"{UNKNOWN}.x", "nonsense", ""):
        await sessions.revoke(refresh_token=token)
    assert (await session_of(pair, transactions)).ended_at is None
