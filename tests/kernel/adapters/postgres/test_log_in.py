"""Log-ins in PostgreSQL: many at the same instant, where two transactions really meet, and what is kept."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from adapters.postgres.kernel.audit import PostgresAudit
from adapters.postgres.kernel.connection.database import Database
from adapters.postgres.kernel.identity.attempts import PostgresAttempts
from application.kernel.identity.failures import Failures
from application.kernel.identity.known_devices import KnownDevices
from application.kernel.identity.password_login import PasswordLogin
from application.kernel.identity.secret_tokens import fingerprint
from application.kernel.identity.sessions import TokenPair, TokenSessions, end_session, log_out_everywhere
from application.kernel.paging import PageRequest
from application.kernel.ports.attempts import Limit
from application.kernel.queries.auth import PasswordOwner, SessionView
from application.kernel.run import Runner
from application.kernel.unit_of_work import Begin
from domain.kernel.identity.credentials import TooManyAttempts, WrongCredentials
from domain.kernel.identity.one_time_tokens import OneTimeToken, OneTimeTokenNotFound, Purpose
from domain.kernel.identity.sessions import RefreshedElsewhere, SessionEnded, SessionNotFound
from domain.kernel.users import User
from kernel.specimen.service import Queries, UnitOfWork
from kernel.world.builders import (
    a_caller,
    a_credential,
    a_one_time_token,
    a_session,
    a_user,
    reauthenticated,
    store,
)
from kernel.world.fakes import FakePasswordHasher, FakePseudonyms, FakeSeal, FakeTokenIssuer
from kernel.world.people import CLIENT, EMAIL, PASSWORD
from kernel.world.refusals import refused

type Recorded = Callable[[], AbstractAsyncContextManager[list[str]]]
type ByHand = asyncpg.Connection[asyncpg.Record]

NEXT = "a drawer full of seashells"


@pytest.fixture
def passwords() -> FakePasswordHasher:
    return FakePasswordHasher()


@pytest.fixture
def sessions(run: Runner[UnitOfWork]) -> TokenSessions:
    return TokenSessions(run, FakeTokenIssuer(), lifetime=timedelta(days=30))


@pytest.fixture
def attempts(database: Database, clock: Callable[[], datetime]) -> PostgresAttempts:
    return PostgresAttempts(database, clock)


@pytest.fixture
def failures(database: Database, clock: Callable[[], datetime]) -> Failures:
    return Failures(PostgresAudit(database, clock), FakePseudonyms())


@pytest.fixture
def login(  # noqa: PLR0917 (fixtures come by position)
    run: Runner[UnitOfWork],
    queries: Queries,
    passwords: FakePasswordHasher,
    sessions: TokenSessions,
    attempts: PostgresAttempts,
    failures: Failures,
) -> PasswordLogin:
    return PasswordLogin(
        run,
        queries.auth,
        passwords,
        sessions,
        attempts,
        devices=KnownDevices(FakeSeal(), lambda: datetime.now(UTC)),
        failures=failures,
        service_name="Loomworks",
    )


@pytest.fixture
async def ada(login: PasswordLogin) -> User:
    return await login.register(email=EMAIL, password=PASSWORD, display_name="Ada")


async def log_in(login: PasswordLogin, *, password: str = PASSWORD) -> TokenPair:
    return await login.log_in(CLIENT, email=EMAIL, password=password)


@pytest.mark.usefixtures("ada")
async def test_all_of_many_log_ins_on_an_outdated_hash_succeed(
    login: PasswordLogin, passwords: FakePasswordHasher
) -> None:
    passwords.parameters += 1
    pairs = await asyncio.gather(*(log_in(login) for _ in range(5)))
    assert len({pair.refresh_token for pair in pairs}) == 5


@pytest.mark.usefixtures("ada")
async def test_without_grace_one_of_twenty_uses_of_one_refresh_token_succeeds(
    login: PasswordLogin, sessions: TokenSessions
) -> None:
    """Those that begin before the first has committed are told that it was faster; the later ones end all."""
    pair = await log_in(login)
    outcomes = await asyncio.gather(
        *(sessions.refresh(refresh_token=pair.refresh_token) for _ in range(20)), return_exceptions=True
    )
    refusals = [type(outcome) for outcome in outcomes if not isinstance(outcome, TokenPair)]
    assert len(refusals) == 19
    assert set(refusals) <= {SessionEnded, RefreshedElsewhere}


async def test_of_twenty_uses_of_one_mailed_secret_one_succeeds(
    login: PasswordLogin, ada: User, begin: Begin[UnitOfWork]
) -> None:
    await store(begin, mailed(ada))
    outcomes = await asyncio.gather(
        *(login.reset_password(token="secret", password=NEXT) for _ in range(20)), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["OneTimeTokenNotFound"] * 19 + ["str"]
    await log_in(login, password=NEXT)


async def test_of_twenty_confirmations_with_one_mailed_secret_one_succeeds(
    login: PasswordLogin, ada: User, begin: Begin[UnitOfWork]
) -> None:
    await store(begin, mailed(ada, purpose=Purpose.VERIFY_EMAIL))
    outcomes = await asyncio.gather(
        *(login.confirm_email(a_caller(ada.id), token="secret") for _ in range(20)),
        return_exceptions=True,
    )
    assert outcomes.count(None) == 1
    assert {type(outcome) for outcome in outcomes if outcome is not None} == {OneTimeTokenNotFound}


def mailed(user: User, *, purpose: Purpose = Purpose.RESET_PASSWORD, secret: str = "secret") -> OneTimeToken:
    """A token whose secret went by mail."""
    return a_one_time_token(
        purpose=purpose,
        user_id=user.id,
        email=user.email,
        token_hash=fingerprint(secret),
        created_at=datetime.now(UTC),
    )


async def test_no_session_of_the_old_password_outlives_a_change_at_the_same_instant(
    login: PasswordLogin, ada: User, queries: Queries, sessions: TokenSessions
) -> None:
    passwords = [PASSWORD, NEXT]
    for number in range(5):
        old, new = passwords[number % 2], passwords[1 - number % 2]

        async def try_to_log_in(old: str = old) -> TokenPair | None:
            with suppress(WrongCredentials, TooManyAttempts):
                return await log_in(login, password=old)
            return None

        change = login.change_password(a_caller(ada.id), current_password=old, new_password=new)
        *pairs, _ = await asyncio.gather(*(try_to_log_in() for _ in range(4)), change)
        for pair in filter(None, pairs):
            with pytest.raises(SessionEnded):
                await sessions.refresh(refresh_token=pair.refresh_token)
        page = await queries.auth.sessions(ada.id, PageRequest(), current=None)
        assert page.items == []


async def test_logging_out_everywhere_beats_a_refresh_at_the_same_instant(
    login: PasswordLogin, ada: User, run: Runner[UnitOfWork], sessions: TokenSessions, queries: Queries
) -> None:
    for _ in range(5):
        pair = await log_in(login)
        await asyncio.gather(
            sessions.refresh(refresh_token=pair.refresh_token),
            run(log_out_everywhere, reauthenticated(ada.id)),
            return_exceptions=True,
        )
        assert (await queries.auth.sessions(ada.id, PageRequest(), current=None)).items == []


# ── what it costs ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("ada")
async def test_a_log_in_takes_three_statements_and_a_failed_one_the_audit_log_s_as_well(
    login: PasswordLogin, recorded: Recorded
) -> None:
    with suppress(WrongCredentials):
        await log_in(login, password="guess")  # the driver asks the server once for what a type is
    await log_in(login)
    async with recorded() as sent:
        await log_in(login)
    assert len(sent) == 3, sent  # attempts, credential, session
    async with recorded() as sent:
        with suppress(WrongCredentials):
            await log_in(login, password="guess")
    assert len(sent) == 4, sent  # attempts, credential, audit, attempts


# ── what is kept ─────────────────────────────────────────────────────────────────────────────────


async def test_no_address_is_kept_of_those_who_failed(login: PasswordLogin, by_hand: ByHand) -> None:
    with suppress(WrongCredentials):
        await log_in(login)
    rows = await by_hand.fetch("SELECT * FROM attempts")
    assert len(rows) == 3
    assert not any(EMAIL in str(row) or CLIENT.address in str(row) for row in rows)


async def test_what_is_over_is_swept_away_little_by_little(
    attempts: PostgresAttempts, by_hand: ByHand
) -> None:
    over = datetime.now(UTC) - timedelta(seconds=1)
    await by_hand.executemany(
        "INSERT INTO attempts VALUES ($1, 1, $2)", [(f"old {number}", over) for number in range(25)]
    )
    counts = []
    for _ in range(4):
        await attempts.count([Limit("new", 99, timedelta(minutes=1)), Limit("old 7", 99, timedelta(1))])
        counts.append(await by_hand.fetchval("SELECT count(*) FROM attempts"))
    assert counts == [16, 6, 2, 2]


# ── questions ────────────────────────────────────────────────────────────────────────────────────


async def test_a_user_sees_their_open_sessions_the_newest_first(
    begin: Begin[UnitOfWork], queries: Queries, run: Runner[UnitOfWork]
) -> None:
    now = datetime.now(UTC)
    user, other = a_user(), a_user()
    old, new = (
        a_session(user_id=user.id, agent=agent, created_at=now - timedelta(hours=hours))
        for hours, agent in ((2, "old"), (1, "new"))
    )
    closed = a_session(user_id=user.id, created_at=now)
    expired = a_session(user_id=user.id, created_at=now - timedelta(days=2), expires_at=now)
    await store(begin, user, other, old, new, closed, expired, a_session(user_id=other.id, created_at=now))
    await run(end_session, a_caller(user.id, session_id=closed.id), closed.id)
    page = await queries.auth.sessions(user.id, PageRequest(), current=old.id)
    assert page.items == [
        SessionView(
            id=each.id,
            kind=each.kind,
            agent=each.agent,
            created_at=each.created_at,
            used_at=each.used_at,
            expires_at=each.expires_at,
            current=each is old,
            version=1,
        )
        for each in (new, old)
    ]
    for shown in page.items:
        assert await queries.auth.session(user.id, shown.id, current=old.id) == shown
    for nobody, hidden in ((user, closed), (user, expired), (other, old), (user, a_session())):
        with refused(SessionNotFound):
            await queries.auth.session(nobody.id, hidden.id, current=None)
    first = await queries.auth.sessions(user.id, PageRequest(limit=1), current=None)
    assert [view.current for view in first.items] == [False]
    second = await queries.auth.sessions(user.id, PageRequest(limit=1, cursor=first.next), current=None)
    assert [view.id for view in second.items] == [old.id]


async def test_whose_password_is_changed_or_reset_is_known_with_or_without_a_password(
    begin: Begin[UnitOfWork], queries: Queries
) -> None:
    with_one, without = a_user(), a_user()
    credential = a_credential(id=with_one.id)
    await store(begin, with_one, without, credential)
    assert await queries.auth.known(with_one.id) == PasswordOwner(
        with_one.email, with_one.display_name, credential.password_hash
    )
    assert await queries.auth.known(without.id) == PasswordOwner(without.email, without.display_name, None)
    assert await queries.auth.known(a_user().id) is None
    await store(
        begin, mailed(without, secret="1"), mailed(with_one, secret="2", purpose=Purpose.VERIFY_EMAIL)
    )
    assert await queries.auth.resetting(fingerprint("1")) == await queries.auth.known(without.id)
    assert await queries.auth.resetting(fingerprint("2")) is None
    assert await queries.auth.resetting(fingerprint("3")) is None


@pytest.mark.parametrize("suspended", [False, True])
async def test_a_credential_says_whether_its_user_is_suspended(
    begin: Begin[UnitOfWork], queries: Queries, *, suspended: bool
) -> None:
    user = a_user(email_verified_at=datetime.now(UTC), suspended_at=datetime.now(UTC) if suspended else None)
    await store(begin, user, a_credential(id=user.id))
    assert user.email is not None
    (known,) = await queries.auth.credentials(user.email)
    assert (known.user_id, known.suspended) == (user.id, suspended)
