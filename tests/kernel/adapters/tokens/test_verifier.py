"""Whom a token speaks for: the issuer it names, the account behind it, and for how long that is believed."""

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta
from typing import override
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from adapters.tokens.compact import BadTokenError, Compact
from adapters.tokens.verified import VerifiedTokens
from adapters.tokens.verifier import IssuedTokenVerifier
from application.kernel.identity.endings import Endings
from application.kernel.origin import Origin
from application.kernel.ports.audit import Entry, Note
from application.kernel.ports.callers import Caller, Claims
from application.kernel.ports.world import Unavailable
from domain.kernel.errors import Unauthenticated
from domain.kernel.users import UserId
from kernel.world.builders import NOW, a_caller, a_user_id
from kernel.world.fakes import FakeClock
from kernel.world.forging import b64
from kernel.world.refusals import refused

HERE, THERE = "https://here.example", "https://there.example"
DETAIL = "The access token is not valid."
LONGEST = 1000
RECHECK = 5.0


@dataclass
class PlainIssuer:
    """Believes every token with its name in it, and says what it was asked."""

    names: Collection[str]
    lifetime: float = 600.0
    refuses: Exception | None = None
    asked: list[tuple[str, float]] = field(default_factory=list)

    async def read(self, token: str, read: Compact, /, *, now: float) -> Claims:
        self.asked.append((token, now))
        if self.refuses is not None:
            raise self.refuses
        return Claims(
            issuer=read.payload["iss"],
            subject=read.payload["sub"],
            issued_at=now,
            expires_at=NOW.timestamp() + self.lifetime,
        )


@dataclass
class PlainAccounts:
    """Knows everybody by their subject, until they are suspended."""

    suspended: set[str] = field(default_factory=set)

    async def recognise(self, proof: Claims, /) -> Caller:
        if proof.subject in self.suspended:
            raise Unauthenticated(DETAIL)
        return Caller(user_id=UserId(UUID(proof.subject)), issuer=proof.issuer, subject=proof.subject)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def here() -> PlainIssuer:
    return PlainIssuer({HERE})


@pytest.fixture
def accounts() -> PlainAccounts:
    return PlainAccounts()


@pytest.fixture
def verifier(here: PlainIssuer, accounts: PlainAccounts, clock: FakeClock) -> IssuedTokenVerifier:
    return a_verifier(here, accounts=accounts, clock=clock)


def a_verifier(
    *issuers: PlainIssuer,
    accounts: PlainAccounts | None = None,
    clock: FakeClock | None = None,
    recheck_seconds: float = RECHECK,
    endings: Endings | None = None,
) -> IssuedTokenVerifier:
    return IssuedTokenVerifier(
        issuers,
        accounts or PlainAccounts(),
        longest_token=LONGEST,
        cached=10,
        recheck_seconds=recheck_seconds,
        clock=clock or FakeClock(NOW),
        endings=endings,
    )


def a_token(*, issuer: object = HERE, subject: str | None = None, jti: object = "token-7") -> str:
    claims = {"iss": issuer, "sub": subject or str(a_user_id()), "jti": jti}
    return f"{b64(b'{}')}.{b64(json.dumps(claims).encode())}.{b64(b'signature')}"


# ── who is asked ─────────────────────────────────────────────────────────────────────────────────


async def test_the_issuer_that_the_token_names_is_asked_and_no_other() -> None:
    here, there = PlainIssuer({HERE}), PlainIssuer({THERE, f"{THERE}/v2"})
    verifier = a_verifier(here, there)
    for name, asked in ((HERE, here), (THERE, there), (f"{THERE}/v2", there)):
        token = a_token(issuer=name)
        assert (await verifier.verify(token)).issuer == name
        assert asked.asked.pop() == (token, NOW.timestamp())
    assert here.asked == there.asked == []


@pytest.mark.parametrize("name", [f"{HERE}/", HERE.upper(), "", None, [HERE], {}, 1, True], ids=str)
async def test_an_issuer_that_is_not_trusted_to_the_letter_is_another(
    verifier: IssuedTokenVerifier, name: object
) -> None:
    with capture_logs() as logs, refused(Unauthenticated, DETAIL):
        await verifier.verify(a_token(issuer=name))
    assert logs[0]["reason"] == "another issuer"


async def test_a_proof_says_what_the_token_says_and_asks_no_account(
    verifier: IssuedTokenVerifier, accounts: PlainAccounts
) -> None:
    accounts.suspended.add("somebody")
    proof = await verifier.read(a_token(subject="somebody"))
    assert (proof.issuer, proof.subject) == (HERE, "somebody")


# ── what is refused ──────────────────────────────────────────────────────────────────────────────


async def test_the_reason_is_in_the_log_alone_with_a_digest_of_the_token_s_name(
    verifier: IssuedTokenVerifier, here: PlainIssuer
) -> None:
    here.refuses = BadTokenError("too good to be true")
    token = a_token()
    for use in (verifier.verify, verifier.read):
        with capture_logs() as logs, refused(Unauthenticated, DETAIL):
            await use(token)
        (entry,) = logs
        assert entry["reason"] == "too good to be true"
        assert entry["jti_sha256"] == hashlib.sha256(b"token-7").hexdigest()
        assert all(part not in str(logs) for part in ("token-7", *token.split(".")))


@pytest.mark.parametrize("jti", [None, 7, ["x"]], ids=str)
async def test_a_token_without_a_name_is_refused_like_any_other(
    verifier: IssuedTokenVerifier, here: PlainIssuer, jti: object
) -> None:
    here.refuses = BadTokenError("no")
    with capture_logs() as logs, refused(Unauthenticated, DETAIL):
        await verifier.verify(a_token(jti=jti))
    assert logs[0]["jti_sha256"] is None


async def test_a_name_that_is_no_text_of_unicode_has_a_digest_too(
    verifier: IssuedTokenVerifier, here: PlainIssuer
) -> None:
    here.refuses = BadTokenError("no")
    with capture_logs() as logs, refused(Unauthenticated, DETAIL):
        await verifier.verify(a_token(jti="\ud800"))
    assert len(logs[0]["jti_sha256"]) == 64


@pytest.mark.parametrize("length", [LONGEST + 1, 1_000_000])
async def test_what_is_too_long_is_not_read(
    verifier: IssuedTokenVerifier, here: PlainIssuer, length: int
) -> None:
    for use in (verifier.verify, verifier.read):
        with capture_logs() as logs, refused(Unauthenticated, DETAIL):
            await use(a_token().ljust(length, "x"))
        assert logs[0]["reason"] == f"longer than {LONGEST} bytes"
    assert here.asked == []


async def test_what_is_too_long_is_not_even_looked_up(
    verifier: IssuedTokenVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        pytest.fail("A digest takes the longer, the longer the token is.")

    monkeypatch.setattr("adapters.tokens.verifier.VerifiedTokens.key", fail)
    with refused(Unauthenticated, "The access token is not valid."):
        await verifier.verify("x" * 2**20)


async def test_an_issuer_whose_keys_cannot_be_had_refuses_nobody(
    verifier: IssuedTokenVerifier, here: PlainIssuer
) -> None:
    here.refuses = Unavailable("The keys cannot be had.")
    with pytest.raises(Unavailable):
        await verifier.verify(a_token())


@given(st.text(st.characters(codec=None, exclude_categories=())))
async def test_no_text_is_believed_and_none_breaks_the_verifier(text: str) -> None:
    with refused(Unauthenticated, DETAIL):
        await a_verifier(PlainIssuer({HERE})).verify(text)


# ── what is remembered ───────────────────────────────────────────────────────────────────────────


async def test_a_token_that_comes_again_is_not_verified_again_for_a_while(
    verifier: IssuedTokenVerifier, here: PlainIssuer, clock: FakeClock
) -> None:
    token = a_token()
    identity = await verifier.verify(token)
    clock.advance(timedelta(seconds=RECHECK - 0.1))
    assert await verifier.verify(token) is identity
    assert len(here.asked) == 1
    clock.advance(timedelta(seconds=0.1))
    assert await verifier.verify(token) == identity
    assert len(here.asked) == 2


async def test_a_suspended_user_s_token_fails_when_it_is_looked_at_again(
    verifier: IssuedTokenVerifier, accounts: PlainAccounts, clock: FakeClock
) -> None:
    subject = str(a_user_id())
    token = a_token(subject=subject)
    await verifier.verify(token)
    accounts.suspended.add(subject)
    clock.advance(timedelta(seconds=RECHECK))
    for _ in range(2):
        with refused(Unauthenticated, DETAIL):
            await verifier.verify(token)
    accounts.suspended.clear()
    await verifier.verify(token)


async def test_a_token_is_forgotten_when_it_expires(
    verifier: IssuedTokenVerifier, here: PlainIssuer, clock: FakeClock
) -> None:
    here.lifetime = 2.0
    token = a_token()
    await verifier.verify(token)
    clock.advance(timedelta(seconds=2))
    here.refuses = BadTokenError("expired")
    with refused(Unauthenticated, DETAIL):
        await verifier.verify(token)


async def test_with_no_time_to_remember_every_token_is_looked_at_each_time(
    here: PlainIssuer, clock: FakeClock
) -> None:
    verifier, token = a_verifier(here, clock=clock, recheck_seconds=0), a_token()
    for _ in range(3):
        await verifier.verify(token)
    assert len(here.asked) == 3


def test_the_least_recently_used_is_forgotten_when_there_is_no_more_room() -> None:
    known = VerifiedTokens(2)
    first, second, third = (a_caller() for _ in range(3))
    known.put(b"1", first, expires=9.0)
    known.put(b"2", second, expires=9.0)
    assert known.get(b"1", now=0.0) is first
    known.put(b"3", third, expires=9.0)
    assert [known.get(key, now=0.0) for key in (b"1", b"2", b"3")] == [first, None, third]


def test_nothing_is_remembered_beyond_its_end() -> None:
    known = VerifiedTokens(2)
    known.put(b"1", a_caller(), expires=9.0)
    assert known.get(b"1", now=8.9)
    assert known.get(b"1", now=9.0) is None
    assert known.get(b"1", now=0.0) is None


def test_what_is_remembered_is_no_token() -> None:
    assert VerifiedTokens.key("secret") == hashlib.sha256(b"secret").digest()


# ── who is forgotten ─────────────────────────────────────────────────────────────────────────────


def a_note(user_id: UserId | None) -> Note:
    return Note(id=uuid4(), at=NOW, entry=Entry(kind="session_ended", user_id=user_id), origin=Origin())


async def test_whose_session_ends_is_looked_at_anew_and_nobody_else(
    here: PlainIssuer, accounts: PlainAccounts, clock: FakeClock
) -> None:
    endings = Endings()
    verifier = a_verifier(here, accounts=accounts, clock=clock, endings=endings)
    ada, ben = a_user_id(), a_user_id()
    hers, his = a_token(subject=str(ada)), a_token(subject=str(ben))
    hers_too = a_token(subject=str(ada), jti="another")
    for token in (hers, hers_too, his):
        await verifier.verify(token)
    accounts.suspended |= {str(ada), str(ben)}
    endings(a_note(None))
    endings(a_note(ada))
    for token in (hers, hers_too):
        with refused(Unauthenticated, DETAIL):
            await verifier.verify(token)
    assert (await verifier.verify(his)).user_id == ben  # believed for a while, as before


async def test_a_look_that_began_before_the_end_is_not_remembered(
    here: PlainIssuer, clock: FakeClock
) -> None:
    """The answer was on its way when the session ended."""
    endings, user_id = Endings(), a_user_id()

    class Late(PlainAccounts):
        @override
        async def recognise(self, proof: Claims, /) -> Caller:
            caller = await super().recognise(proof)
            endings(a_note(user_id))
            return caller

    verifier = a_verifier(here, accounts=Late(), clock=clock, endings=endings)
    token = a_token(subject=str(user_id))
    for _ in range(2):
        await verifier.verify(token)
    assert len(here.asked) == 2


def test_whoever_is_forgotten_leaves_nothing_behind() -> None:
    known = VerifiedTokens(2)
    ada, ben = a_caller(), a_caller()
    for number in range(2, 5):
        known.put(b"1", ada, expires=9.0)
        known.put(b"1", ben, expires=9.0)  # the same token, of somebody else by now
        known.put(b"%d" % number, ada, expires=9.0)
    known.forget(ada.user_id)
    assert known.get(b"4", now=0.0) is None
    assert known.get(b"1", now=0.0) is ben
    known.forget(ada.user_id)
    known.forget(ben.user_id)
    assert known.get(b"1", now=0.0) is None
