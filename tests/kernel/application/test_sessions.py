"""Sessions: opened, refreshed, listed, ended."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from adapters.tokens.cookies import StoredCookieVerifier
from application.kernel.admission import NotPermitted
from application.kernel.commands.users import end_sessions_of
from application.kernel.identity.cookie_sessions import CookieSessions
from application.kernel.identity.password_login import PasswordLogin
from application.kernel.identity.secret_tokens import fingerprint, marked_secret
from application.kernel.identity.sessions import (
    TokenPair,
    TokenSessions,
    end_session,
    log_out,
    log_out_everywhere,
    open_session,
)
from application.kernel.ports.callers import Caller, Reauthenticated
from application.kernel.ports.world import Contention
from application.kernel.run import Runner
from domain.kernel.aggregate import new_id
from domain.kernel.errors import Stale, Unauthenticated
from domain.kernel.identity.credentials import ReauthenticationRequired, WrongCredentials
from domain.kernel.identity.sessions import (
    NoSession,
    OtherSessionsEnded,
    RefreshedElsewhere,
    RefreshTokenReused,
    Session,
    SessionClosed,
    SessionEnded,
    SessionId,
    SessionKind,
    SessionNotFound,
    SessionsEnded,
)
from domain.kernel.users import GlobalRole, User, UserNotFound
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import NOW, a_caller, a_session, a_user, a_user_id, reauthenticated, store
from kernel.world.fakes import (
    FakeAuthQueries,
    FakeClock,
    FakeTokenIssuer,
    FakeTokenVerifier,
    MemoryTransactions,
)
from kernel.world.people import CLIENT, EMAIL, PASSWORD
from kernel.world.refusals import refused

LIFETIME = timedelta(days=30)
GRACE = timedelta(seconds=10)
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


def forgeries(refresh_token: str) -> dict[str, str]:
    """What somebody can write who knows a session's id, or has seen a part of its token."""
    session_id, _, secret = refresh_token.partition(".")
    first, last = ("B" if letter == "A" else "A" for letter in (secret[0], secret[-1]))
    return {
        "a guess": f"{session_id}.garbage",
        "nothing": f"{session_id}.",
        "the id alone": session_id,
        "the id as access tokens write it": f"{UUID(hex=session_id)}.garbage",
        "the last character altered": f"{session_id}.{secret[:-1]}{last}",
        "the first character altered": f"{session_id}.{first}{secret[1:]}",
        "a part": f"{session_id}.{secret[:-1]}",
        "more than it": f"{session_id}.{secret}x",
        "another's mark": f"{session_id}.{marked_secret('another key')}",
        "no text": f"{session_id}.\ud800",
    }


@pytest.mark.parametrize("forgery", forgeries(f"{UNKNOWN}.x"))
async def test_a_token_that_never_was_good_ends_nothing_and_nobody_is_told_of_a_theft(
    forgery: str,
    sessions: TokenSessions,
    pair: TokenPair,
    transactions: MemoryTransactions[UnitOfWork],
) -> None:
    before, told = await session_of(pair, transactions), list(transactions.events)
    forged = forgeries(pair.refresh_token)[forgery]
    with refused(SessionEnded):
        await sessions.refresh(refresh_token=forged)
    await sessions.revoke(refresh_token=forged)
    assert (await session_of(pair, transactions), transactions.events) == (before, told)
    successor = await sessions.refresh(refresh_token=pair.refresh_token)
    with refused(SessionEnded):  # and not after a refresh either
        await sessions.refresh(refresh_token=forgeries(pair.refresh_token)[forgery])
    await sessions.refresh(refresh_token=successor.refresh_token)


async def test_a_token_of_long_ago_ends_the_session(
    sessions: TokenSessions, pair: TokenPair, transactions: MemoryTransactions[UnitOfWork], clock: FakeClock
) -> None:
    newest = pair
    for _ in range(20):
        clock.advance(timedelta(minutes=10))
        newest = await sessions.refresh(refresh_token=newest.refresh_token)
    with refused(SessionEnded):
        await sessions.refresh(refresh_token=pair.refresh_token)
    assert (await session_of(pair, transactions)).ended_at == clock.now


# ── the grace ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def patient(run: Runner[UnitOfWork]) -> TokenSessions:
    return TokenSessions(run, FakeTokenIssuer(), lifetime=LIFETIME, grace=GRACE)


async def test_a_refresh_whose_answer_was_lost_has_the_same_answer_again(
    patient: TokenSessions, pair: TokenPair, transactions: MemoryTransactions[UnitOfWork], clock: FakeClock
) -> None:
    lost = await patient.refresh(refresh_token=pair.refresh_token)
    stored, told = await session_of(pair, transactions), list(transactions.events)
    clock.advance(GRACE - timedelta(microseconds=1))
    again = await patient.refresh(refresh_token=pair.refresh_token)
    assert again == lost
    assert (await session_of(pair, transactions), transactions.events) == (stored, told)
    successor = await patient.refresh(refresh_token=again.refresh_token)
    assert successor.refresh_token != again.refresh_token
    assert await patient.refresh(refresh_token=again.refresh_token) == successor


async def test_after_the_grace_a_second_use_ends_the_session(
    patient: TokenSessions, pair: TokenPair, transactions: MemoryTransactions[UnitOfWork], clock: FakeClock
) -> None:
    successor = await patient.refresh(refresh_token=pair.refresh_token)
    clock.advance(GRACE)
    for token in (pair.refresh_token, successor.refresh_token):
        with refused(SessionEnded):
            await patient.refresh(refresh_token=token)
    session = await session_of(pair, transactions)
    assert transactions.events[-1] == RefreshTokenReused(
        at=clock.now, session_id=session.id, user_id=session.user_id
    )


async def test_whoever_was_overtaken_is_told_so_and_the_session_goes_on(
    patient: TokenSessions, pair: TokenPair, clock: FakeClock
) -> None:
    second = await patient.refresh(refresh_token=pair.refresh_token)
    third = await patient.refresh(refresh_token=second.refresh_token)
    with refused(RefreshedElsewhere):
        await patient.refresh(refresh_token=pair.refresh_token)
    clock.advance(GRACE)
    await patient.refresh(refresh_token=third.refresh_token)


async def test_whoever_was_slower_at_the_same_instant_is_told_so_without_a_grace(
    sessions: TokenSessions, pair: TokenPair, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    transactions.failures.append(Stale())
    with refused(RefreshedElsewhere):
        await sessions.refresh(refresh_token=pair.refresh_token)
    assert (await session_of(pair, transactions)).ended_at is None


async def test_whoever_was_slower_twice_is_told_so(
    patient: TokenSessions, pair: TokenPair, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    transactions.failures += [Stale(), Stale()]
    with refused(RefreshedElsewhere):
        await patient.refresh(refresh_token=pair.refresh_token)
    await patient.refresh(refresh_token=pair.refresh_token)


async def test_within_the_grace_a_suspended_user_gets_nothing(
    patient: TokenSessions, ada: User, pair: TokenPair, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    await patient.refresh(refresh_token=pair.refresh_token)
    async with transactions() as uow:
        await uow.users.save(ada.suspend(by=None, at=uow.now))
    with refused(SessionEnded):
        await patient.refresh(refresh_token=pair.refresh_token)


async def test_what_is_stored_does_not_tell_the_tokens(
    patient: TokenSessions, pair: TokenPair, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    pairs = [pair]
    for _ in range(3):
        pairs.append(await patient.refresh(refresh_token=pairs[-1].refresh_token))
    stored = repr(await session_of(pair, transactions))
    assert not any(each.refresh_token.partition(".")[2][:20] in stored for each in pairs)


async def test_a_session_of_an_earlier_version_goes_on(
    patient: TokenSessions, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    old = a_session(token_hash=fingerprint("unmarked"))
    await store(transactions, old)
    with refused(SessionEnded):
        await patient.refresh(refresh_token=f"{old.id.hex}.guess")
    pair = await patient.refresh(refresh_token=f"{old.id.hex}.unmarked")
    assert await patient.refresh(refresh_token=f"{old.id.hex}.unmarked") == pair
    await patient.refresh(refresh_token=pair.refresh_token)


# ── idle, and too many ───────────────────────────────────────────────────────────────────────────


async def test_a_session_that_nobody_uses_ends(run: Runner[UnitOfWork], ada: User, clock: FakeClock) -> None:
    idle = timedelta(days=2)
    sessions = TokenSessions(run, FakeTokenIssuer(), lifetime=LIFETIME, idle=idle)
    pair = await sessions.open(ada.id)
    for _ in range(3):
        clock.advance(idle - timedelta(microseconds=1))
        pair = await sessions.refresh(refresh_token=pair.refresh_token)
    clock.advance(idle)
    with refused(SessionEnded):
        await sessions.refresh(refresh_token=pair.refresh_token)


async def test_a_cookie_that_nobody_shows_ends_its_session(
    run: Runner[UnitOfWork],
    login: PasswordLogin,
    ada: User,
    transactions: MemoryTransactions[UnitOfWork],
    clock: FakeClock,
) -> None:
    idle = timedelta(days=2)
    sessions = CookieSessions(run, login, lifetime=LIFETIME, idle=idle)
    verifier = StoredCookieVerifier(
        run,
        FakeAuthQueries(transactions),
        lifetime=LIFETIME,
        idle=idle,
        issuer="https://issuer.example",
        cached=10,
        recheck_seconds=0,
        clock=clock,
    )
    cookie = (await sessions.open(CLIENT, ada.id)).value
    (session_id,) = transactions.committed.of(Session)
    clock.advance(idle / 21)
    await verifier.verify(cookie)
    assert transactions.committed.of(Session)[session_id].version == 1  # not every use is worth a statement
    for _ in range(3):
        clock.advance(idle * 0.9)
        await verifier.verify(cookie)
    clock.advance(idle)
    with pytest.raises(Unauthenticated):
        await verifier.verify(cookie)


@pytest.mark.parametrize("failure", [Stale(), Contention(""), SessionNotFound()])
async def test_a_use_that_cannot_be_recorded_refuses_nobody(
    failure: Exception,
    run: Runner[UnitOfWork],
    login: PasswordLogin,
    ada: User,
    transactions: MemoryTransactions[UnitOfWork],
    *,
    clock: FakeClock,
) -> None:
    sessions = CookieSessions(run, login, lifetime=LIFETIME, idle=timedelta(days=2))
    verifier = StoredCookieVerifier(
        run,
        FakeAuthQueries(transactions),
        lifetime=LIFETIME,
        idle=timedelta(days=2),
        issuer="https://issuer.example",
        cached=10,
        recheck_seconds=0,
        clock=clock,
    )
    cookie = (await sessions.open(CLIENT, ada.id)).value
    clock.advance(timedelta(days=1))
    transactions.failures += [failure] * 4
    assert (await verifier.verify(cookie)).user_id == ada.id


async def test_a_log_in_beyond_the_bound_ends_the_oldest_session(
    run: Runner[UnitOfWork], login: PasswordLogin, ada: User, clock: FakeClock
) -> None:
    sessions = TokenSessions(run, FakeTokenIssuer(), lifetime=LIFETIME, most=2)
    cookies = CookieSessions(run, login, lifetime=LIFETIME, most=2)
    pairs = []
    for _ in range(2):
        pairs.append(await sessions.open(ada.id))
        clock.advance(timedelta(hours=1))
    await cookies.open(CLIENT, ada.id)
    with refused(SessionEnded):
        await sessions.refresh(refresh_token=pairs[0].refresh_token)
    await sessions.refresh(refresh_token=pairs[1].refresh_token)


# ── who else ─────────────────────────────────────────────────────────────────────────────────────


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
async def actor(ada: User, pair: TokenPair, transactions: MemoryTransactions[UnitOfWork]) -> Reauthenticated:
    """Her, by the access token of that pair, and with her password given once more."""
    return reauthenticated(ada.id, session_id=(await session_of(pair, transactions)).id)


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
    actor: Reauthenticated,
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
    assert transactions.events[-1] == OtherSessionsEnded(at=NOW, user_id=actor.user_id)


async def test_a_session_of_a_log_in_at_a_provider_says_when_that_was(
    run: Runner[UnitOfWork], sessions: TokenSessions, ada: User, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    at = NOW - timedelta(minutes=1)
    pair = await sessions.open(ada.id, authenticated_at=at)
    assert (await session_of(pair, transactions)).authenticated_at == at
    again = await sessions.refresh(refresh_token=pair.refresh_token)
    assert (await session_of(again, transactions)).authenticated_at == at


async def test_a_log_in_with_a_password_is_no_fresh_proof_for_each_token_of_its_session(
    pair: TokenPair, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    assert (await session_of(pair, transactions)).authenticated_at is None


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
    assert transactions.events[-2:] == [
        SessionClosed(at=clock.now, session_id=elsewhere.id, user_id=actor.user_id),
        OtherSessionsEnded(at=clock.now, user_id=actor.user_id),
    ]
    with refused(SessionNotFound):
        await run(end_session, actor, elsewhere.id)


async def test_without_a_fresh_proof_only_the_session_that_asks_ends(
    run: Runner[UnitOfWork],
    login: PasswordLogin,
    actor: Caller,
    transactions: MemoryTransactions[UnitOfWork],
    clock: FakeClock,
) -> None:
    assert actor.session_id is not None
    thief = a_caller(actor.user_id, session_id=actor.session_id)
    elsewhere = await session_of(await login.log_in(CLIENT, email=EMAIL, password=PASSWORD), transactions)
    for anybody in (thief, a_caller(actor.user_id)):  # the second has a token of a provider
        with pytest.raises(ReauthenticationRequired) as raised:
            await run(end_session, anybody, elsewhere.id)
        assert "POST /v1/auth/reauthentication" in raised.value.detail
    assert transactions.committed.of(Session)[elsewhere.id] == elsewhere
    await run(end_session, thief, actor.session_id)
    assert transactions.committed.of(Session)[actor.session_id].ended_at == clock.now
    assert not any(isinstance(event, OtherSessionsEnded) for event in transactions.events)


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


async def test_whoever_manages_users_ends_all_sessions_of_one(
    run: Runner[UnitOfWork],
    sessions: TokenSessions,
    ada: User,
    pair: TokenPair,
    transactions: MemoryTransactions[UnitOfWork],
    *,
    clock: FakeClock,
) -> None:
    cookie, anothers = a_session(user_id=ada.id, kind=SessionKind.COOKIE), a_session()
    await store(transactions, cookie, anothers)
    admin, support = (a_caller(roles=frozenset({role})) for role in (GlobalRole.ADMIN, GlobalRole.SUPPORT))
    for caller in (support, a_caller(ada.id)):
        with pytest.raises(NotPermitted):
            await run(end_sessions_of, caller, ada.id)
    await run(end_sessions_of, admin, ada.id)
    with refused(SessionEnded):
        await sessions.refresh(refresh_token=pair.refresh_token)
    stored = transactions.committed.of(Session)
    assert stored[cookie.id].ended_at == clock.now
    assert stored[anothers.id] == anothers
    assert transactions.events[-1] == SessionsEnded(at=clock.now, user_id=ada.id, by=admin.user_id)
    with pytest.raises(UserNotFound):
        await run(end_sessions_of, admin, a_user_id())


async def test_a_refresh_token_may_be_revoked(
    sessions: TokenSessions, pair: TokenPair, transactions: MemoryTransactions[UnitOfWork], clock: FakeClock
) -> None:
    await sessions.revoke(refresh_token=pair.refresh_token)
    assert (await session_of(pair, transactions)).ended_at == clock.now
    facts = list(transactions.events)
    await sessions.revoke(refresh_token=pair.refresh_token)
    assert transactions.events == facts


async def test_an_earlier_refresh_token_may_be_revoked(
    sessions: TokenSessions, pair: TokenPair, transactions: MemoryTransactions[UnitOfWork], clock: FakeClock
) -> None:
    newest = pair
    for _ in range(3):
        newest = await sessions.refresh(refresh_token=newest.refresh_token)
    await sessions.revoke(refresh_token=pair.refresh_token)
    assert (await session_of(pair, transactions)).ended_at == clock.now


async def test_what_never_was_a_refresh_token_revokes_nothing(
    sessions: TokenSessions, pair: TokenPair, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    session_id, _, _ = pair.refresh_token.partition(".")
    for token in (f"{session_id}.guess", session_id, f"{UNKNOWN}.x", "nonsense", ""):
        await sessions.revoke(refresh_token=token)
    assert (await session_of(pair, transactions)).ended_at is None
