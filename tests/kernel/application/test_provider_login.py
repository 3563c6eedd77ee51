"""Logging in through a provider, with the world in memory."""

import asyncio
import base64
import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest

from application.kernel.identity.attempts import FAILURES_AT_PROVIDER_FROM_ADDRESS
from application.kernel.identity.cookie_sessions import CookieSessions, csrf_token, is_csrf_token
from application.kernel.identity.failures import Failures
from application.kernel.identity.password_login import PasswordLogin
from application.kernel.identity.provider_login import (
    EXCHANGE_LIFETIME,
    LOGIN_LIFETIME,
    RETURN_MOST,
    Departure,
    Mode,
    ProviderLogin,
    ResponseMode,
    Return,
)
from application.kernel.identity.secret_tokens import fingerprint
from application.kernel.identity.sessions import TokenSessions
from application.kernel.ports.attempts import Peer
from application.kernel.ports.audit import Entry, Kind
from application.kernel.ports.callers import Caller, Claims
from application.kernel.ports.logins import LoginSecrets, ProviderAnswer
from application.kernel.ports.world import TimedOut, Unavailable
from application.kernel.run import Runner
from domain.kernel.errors import Invalid, Unauthenticated
from domain.kernel.identity.credentials import (
    ExchangeRefused,
    LoginDenied,
    LoginNotBegun,
    LoginProviderNotFound,
    LoginRefused,
    WrongCredentials,
)
from domain.kernel.identity.one_time_tokens import OneTimeToken, Purpose
from domain.kernel.identity.sessions import Session, SessionKind
from domain.kernel.users import User
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import a_caller, a_one_time_token, a_user, store
from kernel.world.fakes import FakeClock, FakeSeal, MemoryAttempts, MemoryAudit, MemoryTransactions
from kernel.world.people import CLIENT, EMAIL, PASSWORD
from kernel.world.refusals import refused

APP = "https://app.example.com"
WELCOME = f"{APP}/welcome"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
LIFETIME = timedelta(days=30)


@dataclass
class FakeLoginProvider:
    """Vouches for Ada, or raises `refusal`."""

    issuer: str = "https://login.example.com"
    refusal: Exception | None = None
    redeemed: list[tuple[ProviderAnswer, LoginSecrets]] = field(default_factory=list)

    async def address(self, secrets: LoginSecrets, /, *, fresh: bool = False) -> str:
        return f"{self.issuer}/authorize?state={secrets.state}{'&prompt=login' if fresh else ''}"

    async def redeem(self, answer: ProviderAnswer, secrets: LoginSecrets, /) -> Claims:
        self.redeemed.append((answer, secrets))
        if self.refusal is not None:
            raise self.refusal
        return Claims(issuer=self.issuer, subject="ada", issued_at=0, expires_at=600)


@dataclass
class FakeAccounts:
    identity: Caller
    refusal: Exception | None = None

    async def recognise(self, proof: Claims, /) -> Caller:
        assert proof.subject == "ada"
        if self.refusal is not None:
            raise self.refusal
        return self.identity


@pytest.fixture
def provider() -> FakeLoginProvider:
    return FakeLoginProvider()


@pytest.fixture
async def user(transactions: MemoryTransactions[UnitOfWork]) -> User:
    user = a_user()
    await store(transactions, user)
    return user


@pytest.fixture
def accounts(user: User) -> FakeAccounts:
    return FakeAccounts(a_caller(user.id))


@pytest.fixture
def cookies(run: Runner[UnitOfWork], login: PasswordLogin) -> CookieSessions:
    return CookieSessions(run, login, lifetime=LIFETIME)


@pytest.fixture
def through(  # noqa: PLR0917 (fixtures come by position)
    run: Runner[UnitOfWork],
    provider: FakeLoginProvider,
    accounts: FakeAccounts,
    sessions: TokenSessions,
    cookies: CookieSessions,
    failures: Failures,
    clock: FakeClock,
) -> ProviderLogin:
    return ProviderLogin(
        run,
        {"first": provider, "second": FakeLoginProvider("https://second.example.com")},
        accounts=accounts,
        failures=failures,
        token_sessions=sessions,
        cookie_sessions=cookies,
        attempts=MemoryAttempts(clock),
        seal=FakeSeal(),
        clock=clock,
        origins=[APP, "http://localhost:3000"],
    )


async def depart(through: ProviderLogin, **changes: Any) -> Departure:
    asked = {"return_to": WELCOME, "mode": Mode.TOKENS, "challenge": CHALLENGE} | changes
    return await through.begin("first", **asked)


async def come_back(through: ProviderLogin, departed: Departure, **changes: Any) -> Return:
    answer = ProviderAnswer(**{"state": departed.state, "code": "code-1"} | changes)
    return await through.finish(CLIENT, "first", answer=answer, sealed=departed.sealed)


def told(arrived: Return, mark: str = "#") -> dict[str, str]:
    address, _, said = arrived.address.partition(mark)
    assert address == WELCOME
    return dict(parse_qsl(said))


# ── beginning ────────────────────────────────────────────────────────────────────────────────────


async def test_a_log_in_begins_with_secrets_that_nobody_has_had_before(through: ProviderLogin) -> None:
    first, second = await depart(through), await depart(through)
    kept = [json.loads(departed.sealed.removeprefix("sealed:")) for departed in (first, second)]
    for name in ("state", "nonce", "verifier"):
        assert len(kept[0][name]) == 43
        assert len({kept[0][name], kept[1][name]}) == 2
    assert len({kept[0][name] for name in ("state", "nonce", "verifier")}) == 3
    assert first.address == f"https://login.example.com/authorize?state={kept[0]['state']}"
    assert first.state == kept[0]["state"]


async def test_a_fresh_one_is_asked_of_the_provider(through: ProviderLogin) -> None:
    assert (await depart(through, fresh=True)).address.endswith("&prompt=login")


async def test_there_is_no_log_in_through_a_stranger(through: ProviderLogin) -> None:
    with refused(LoginProviderNotFound):
        await through.begin("third", return_to=WELCOME, mode=Mode.COOKIE)
    answer = ProviderAnswer(state="x", code="y")
    with refused(LoginProviderNotFound):
        await through.finish(CLIENT, "third", answer=answer, sealed=None)


@pytest.mark.parametrize("address", [APP, f"{APP}/", f"{APP}?a=b", "http://localhost:3000/a"])
async def test_it_may_lead_back_to_our_pages(through: ProviderLogin, address: str) -> None:
    await depart(through, return_to=address)


async def test_it_leads_back_to_no_other_origin(through: ProviderLogin) -> None:
    for address in ("https://evil.example", f"{APP}.evil.example", "http://app.example.com", f"{APP}:8443/"):
        with refused(Invalid, "It must be on one of the origins that the settings allow.", field="return_to"):
            await depart(through, return_to=address)


async def test_it_leads_back_to_nothing_but_a_plain_address(through: ProviderLogin) -> None:
    detail = "It must be a whole address such as https://app.example.com/welcome, without a fragment."
    longest = f"{APP}/{'a' * (RETURN_MOST - len(APP) - 1)}"
    await depart(through, return_to=longest)
    for address in ("", "//app.example.com", f"{APP}/#a", f"{APP}\\", f"x{APP}", f"{APP}/\n", f"{longest}a"):
        with refused(Invalid, detail, field="return_to"):
            await depart(through, return_to=address)


async def test_tokens_need_a_challenge_and_a_cookie_has_none(through: ProviderLogin) -> None:
    detail = "It must be the base64url of a SHA-256 (RFC 7636, S256) where the log-in ends in tokens."
    for challenge in (None, "", "a" * 42, "a" * 129, "~" * 43, "a" * 43 + "\n"):
        with refused(Invalid, detail, field="challenge"):
            await depart(through, challenge=challenge)
    detail = "There is nothing to exchange where the log-in ends in a cookie."
    with refused(Invalid, detail, field="challenge"):
        await depart(through, mode=Mode.COOKIE)
    await depart(through, challenge="a" * 128)
    await depart(through, mode=Mode.COOKIE, challenge=None)


# ── coming back ──────────────────────────────────────────────────────────────────────────────────


async def test_whoever_logged_in_gets_a_code_and_for_it_a_session(
    through: ProviderLogin,
    provider: FakeLoginProvider,
    transactions: MemoryTransactions[UnitOfWork],
    user: User,
) -> None:
    departed = await depart(through)
    arrived = await come_back(through, departed)
    kept = json.loads(departed.sealed.removeprefix("sealed:"))
    ((answer, secrets),) = provider.redeemed
    assert answer == ProviderAnswer(state=departed.state, code="code-1")
    assert (secrets.state, secrets.nonce, secrets.verifier) == (
        kept["state"],
        kept["nonce"],
        kept["verifier"],
    )
    code = told(arrived)["code"]
    state, token = transactions.committed.of(OneTimeToken).values()
    assert (state.purpose, state.user_id, state.token_hash) == (
        Purpose.LOG_IN,
        None,
        fingerprint(departed.state),
    )
    assert (token.purpose, token.user_id, token.challenge) == (Purpose.EXCHANGE, user.id, CHALLENGE)
    assert token.token_hash == fingerprint(code)
    pair = await through.exchange(CLIENT, code=code, verifier=VERIFIER)
    (session,) = transactions.committed.of(Session).values()
    assert (session.user_id, session.kind, session.agent) == (user.id, SessionKind.TOKENS, CLIENT.agent)
    assert pair.refresh_token.startswith(session.id.hex)
    assert (arrived.cookie, arrived.error) == (None, None)


async def test_whoever_logged_in_gets_a_session_that_a_cookie_keeps(
    through: ProviderLogin, transactions: MemoryTransactions[UnitOfWork], user: User, clock: FakeClock
) -> None:
    arrived = await come_back(through, await depart(through, mode=Mode.COOKIE, challenge=None))
    (session,) = transactions.committed.of(Session).values()
    assert (session.user_id, session.kind, session.agent) == (user.id, SessionKind.COOKIE, CLIENT.agent)
    assert session.expires_at == clock() + LIFETIME
    assert arrived.cookie is not None
    assert arrived.cookie.lifetime == LIFETIME
    id, _, secret = arrived.cookie.value.partition(".")
    assert (id, fingerprint(secret)) == (session.id.hex, session.token_hash)
    assert (arrived.address, arrived.error) == (WELCOME, None)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("ago", [None, timedelta(hours=3)])
async def test_the_session_says_when_the_provider_let_them_in(
    ago: timedelta | None,
    mode: Mode,
    through: ProviderLogin,
    accounts: FakeAccounts,
    transactions: MemoryTransactions[UnitOfWork],
    *,
    clock: FakeClock,
) -> None:
    """A provider that does not say it may just have asked for a password: then it counts from now on."""
    said = None if ago is None else clock.now - ago
    accounts.identity = replace(accounts.identity, authenticated_at=said)
    expected = said or clock.now
    arrived = await come_back(
        through, await depart(through, mode=mode, challenge=CHALLENGE if mode is Mode.TOKENS else None)
    )
    if mode is Mode.TOKENS:
        clock.advance(timedelta(seconds=30))
        await through.exchange(CLIENT, code=told(arrived)["code"], verifier=VERIFIER)
    (session,) = transactions.committed.of(Session).values()
    assert session.authenticated_at == expected


@pytest.mark.parametrize(("address", "mark"), [(WELCOME, "?"), (f"{WELCOME}?tab=1", "&")])
async def test_the_query_may_have_the_code(through: ProviderLogin, address: str, mark: str) -> None:
    departed = await depart(through, return_to=address, response_mode=ResponseMode.QUERY)
    assert (await come_back(through, departed)).address.startswith(f"{address}{mark}code=")


@pytest.mark.parametrize(
    ("refusal", "error", "reasons"),
    [
        (LoginDenied(), "access_denied", ["denied_there"]),
        (LoginRefused(), "login_failed", ["not_believed"]),
        (Unavailable(), "temporarily_unavailable", []),
        (TimedOut(), "temporarily_unavailable", []),
    ],
)
async def test_what_goes_wrong_there_is_told_to_the_page_and_written_down(  # noqa: PLR0917 (fixtures)
    through: ProviderLogin,
    provider: FakeLoginProvider,
    refusal: Exception,
    error: str,
    reasons: list[str],
    noted: MemoryAudit,
) -> None:
    provider.refusal = refusal
    arrived = await come_back(through, await depart(through))
    assert (told(arrived), arrived.error, arrived.cookie) == ({"error": error}, error, None)
    assert [entry.reason for entry in noted.entries] == reasons


async def test_a_network_address_that_fails_too_often_has_no_more_answers_looked_at(
    through: ProviderLogin, provider: FakeLoginProvider, clock: FakeClock
) -> None:
    """Each makes us ask the provider, which would stop answering us, and so everybody."""
    provider.refusal = LoginRefused()
    for _ in range(FAILURES_AT_PROVIDER_FROM_ADDRESS):
        assert (await come_back(through, await depart(through))).error == "login_failed"
    provider.refusal, asked = None, len(provider.redeemed)
    assert (await come_back(through, await depart(through))).error == "temporarily_unavailable"
    assert len(provider.redeemed) == asked
    departed = await depart(through)
    answer = ProviderAnswer(state=departed.state, code="code-1")
    elsewhere = Peer(address="192.0.2.8")
    assert (await through.finish(elsewhere, "first", answer=answer, sealed=departed.sealed)).error is None
    clock.advance(timedelta(minutes=15))
    assert (await come_back(through, await depart(through))).error is None


@pytest.mark.parametrize("refusal", [LoginDenied(), Unavailable()])
async def test_what_is_not_the_browsers_fault_is_not_counted(
    refusal: Exception, through: ProviderLogin, provider: FakeLoginProvider
) -> None:
    provider.refusal = refusal
    for _ in range(FAILURES_AT_PROVIDER_FROM_ADDRESS):
        await come_back(through, await depart(through))
    provider.refusal = None
    assert (await come_back(through, await depart(through))).error is None


async def test_whoever_is_not_let_in_here_gets_nothing(
    through: ProviderLogin, accounts: FakeAccounts, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    accounts.refusal = Unauthenticated()
    arrived = await come_back(through, await depart(through))
    assert told(arrived) == {"error": "login_failed"}
    assert [each.purpose for each in transactions.committed.of(OneTimeToken).values()] == [Purpose.LOG_IN]


async def test_an_answer_needs_the_log_in_that_asked_for_it(
    through: ProviderLogin, provider: FakeLoginProvider
) -> None:
    departed, other = await depart(through), await depart(through)
    answer = ProviderAnswer(state=departed.state, code="code-1")
    older = json.dumps({"state": departed.state})
    for sealed in (
        None,
        "",
        departed.sealed.removeprefix("sealed:"),
        other.sealed,
        f"sealed:{older}",
        "sealed:[]",
    ):
        with refused(LoginNotBegun):
            await through.finish(CLIENT, "first", answer=answer, sealed=sealed)
    with refused(LoginNotBegun):
        await through.finish(CLIENT, "second", answer=answer, sealed=departed.sealed)
    assert provider.redeemed == []


async def test_a_log_in_is_over_when_its_time_is(through: ProviderLogin, clock: FakeClock) -> None:
    departed = await depart(through)
    clock.advance(LOGIN_LIFETIME - timedelta(microseconds=1))
    assert (await come_back(through, departed)).error is None


@pytest.mark.parametrize("answer", [{}, {"code": None, "error": "access_denied"}])
@pytest.mark.parametrize("late", [timedelta(0), timedelta(hours=20)])
async def test_whoever_comes_back_too_late_is_told_so_where_they_began(
    answer: dict[str, Any],
    late: timedelta,
    through: ProviderLogin,
    provider: FakeLoginProvider,
    transactions: MemoryTransactions[UnitOfWork],
    *,
    clock: FakeClock,
) -> None:
    departed = await depart(through)
    clock.advance(LOGIN_LIFETIME + late)
    arrived = await come_back(through, departed, **answer)
    assert (told(arrived), arrived.error) == ({"error": "login_expired"}, "login_expired")
    assert provider.redeemed == []
    assert not transactions.committed.of(OneTimeToken)


@pytest.mark.parametrize("mode", Mode)
async def test_a_state_is_good_once(
    mode: Mode,
    through: ProviderLogin,
    provider: FakeLoginProvider,
    transactions: MemoryTransactions[UnitOfWork],
    clock: FakeClock,
) -> None:
    challenge = CHALLENGE if mode is Mode.TOKENS else None
    departed, other = [await depart(through, mode=mode, challenge=challenge) for _ in range(2)]
    assert (await come_back(through, departed)).error is None
    before = len(transactions.committed.of(Session)), len(transactions.committed.of(OneTimeToken))
    for code in ("code-1", "code-2"):
        clock.advance(timedelta(minutes=4))
        arrived = await come_back(through, departed, code=code)
        assert (told(arrived), arrived.cookie) == ({"error": "login_used"}, None)
    assert len(provider.redeemed) == 1
    after = len(transactions.committed.of(Session)), len(transactions.committed.of(OneTimeToken))
    assert after == before
    assert (await come_back(through, other)).error is None


async def test_of_twenty_returns_at_once_one_is_let_in(
    through: ProviderLogin, provider: FakeLoginProvider
) -> None:
    departed = await depart(through)
    arrived = await asyncio.gather(*(come_back(through, departed) for _ in range(20)))
    assert sorted(each.error or "" for each in arrived) == ["", *["login_used"] * 19]
    assert len(provider.redeemed) == 1


async def test_a_state_is_used_up_by_a_refusal_as_well(
    through: ProviderLogin, provider: FakeLoginProvider
) -> None:
    departed = await depart(through)
    provider.refusal = LoginDenied()
    assert (await come_back(through, departed, code=None, error="access_denied")).error == "access_denied"
    provider.refusal = None
    assert (await come_back(through, departed)).error == "login_used"


# ── exchanging ───────────────────────────────────────────────────────────────────────────────────


async def a_code(through: ProviderLogin) -> str:
    return told(await come_back(through, await depart(through)))["code"]


async def test_of_twenty_exchanges_at_once_one_succeeds(
    through: ProviderLogin, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    code = await a_code(through)
    tries = (through.exchange(CLIENT, code=code, verifier=VERIFIER) for _ in range(20))
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert [type(result) for result in results].count(ExchangeRefused) == 19
    assert len(transactions.committed.of(Session)) == 1


async def test_a_code_needs_the_secret_of_its_challenge(through: ProviderLogin, noted: MemoryAudit) -> None:
    code = await a_code(through)
    for verifier in ("", "v" * 42, "w" * 43, CHALLENGE, "v" * 129):
        with refused(ExchangeRefused):
            await through.exchange(CLIENT, code=code, verifier=verifier)
    await through.exchange(CLIENT, code=code, verifier=VERIFIER)
    with refused(ExchangeRefused):
        await through.exchange(CLIENT, code=code, verifier=VERIFIER)
    assert noted.entries == [Entry(kind=Kind.LOG_IN_FAILED, reason="wrong_code")] * 6


async def test_a_secret_is_as_long_as_the_standard_has_it(through: ProviderLogin) -> None:
    for verifier, good in (("v" * 42, False), ("v" * 128, True), ("v" * 129, False), ("~" * 43, True)):
        digest = hashlib.sha256(verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        code = told(await come_back(through, await depart(through, challenge=challenge)))["code"]
        if good:
            await through.exchange(CLIENT, code=code, verifier=verifier)
        else:
            with refused(ExchangeRefused):
                await through.exchange(CLIENT, code=code, verifier=verifier)


async def test_a_code_is_good_for_a_minute(through: ProviderLogin, clock: FakeClock) -> None:
    late, early = await a_code(through), await a_code(through)
    clock.advance(EXCHANGE_LIFETIME - timedelta(microseconds=1))
    await through.exchange(CLIENT, code=early, verifier=VERIFIER)
    clock.advance(timedelta(microseconds=1))
    with refused(ExchangeRefused):
        await through.exchange(CLIENT, code=late, verifier=VERIFIER)


@pytest.mark.parametrize(
    "changes",
    [
        {"purpose": Purpose.VERIFY_EMAIL},
        {"purpose": Purpose.RESET_PASSWORD},
        {"user_id": None},
        {"challenge": None},
    ],
)
async def test_another_kind_of_secret_is_no_code(
    through: ProviderLogin, transactions: MemoryTransactions[UnitOfWork], user: User, changes: dict[str, Any]
) -> None:
    valid: dict[str, Any] = {
        "purpose": Purpose.EXCHANGE,
        "user_id": user.id,
        "token_hash": fingerprint("c"),
        "challenge": CHALLENGE,
    }
    await store(transactions, a_one_time_token(**valid | changes))
    with refused(ExchangeRefused):
        await through.exchange(CLIENT, code="c", verifier=VERIFIER)


# ── cookies ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_password_opens_a_session_that_a_cookie_keeps(
    cookies: CookieSessions, ada: User, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    cookie = await cookies.log_in(CLIENT, email=EMAIL, password=PASSWORD)
    (session,) = transactions.committed.of(Session).values()
    assert (session.user_id, session.kind, session.agent) == (ada.id, SessionKind.COOKIE, CLIENT.agent)
    assert cookie.value.startswith(f"{session.id.hex}.")


async def test_a_wrong_password_opens_none(
    cookies: CookieSessions, ada: User, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    with refused(WrongCredentials):
        await cookies.log_in(CLIENT, email=EMAIL, password=f"{PASSWORD}.")
    assert not transactions.committed.of(Session)


def test_a_csrf_token_belongs_to_one_cookie_and_does_not_tell_it() -> None:
    cookie, other = f"{'1' * 32}.{'a' * 43}", f"{'1' * 32}.{'b' * 43}"
    token = csrf_token(cookie)
    assert len(token) == 43
    assert token == csrf_token(cookie) != csrf_token(other)
    assert is_csrf_token(token, cookie)
    for wrong in ("", token[:-1], f"{token}A", csrf_token(other), cookie, "é", "\ud800"):
        assert not is_csrf_token(wrong, cookie)
