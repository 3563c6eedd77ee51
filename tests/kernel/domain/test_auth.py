"""Sessions whose tokens follow one another, and secrets that are good once."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from domain.kernel.aggregate import new_id
from domain.kernel.identity.auth import (
    OneTimeTokenNotFound,
    Purpose,
    RefreshTokenReused,
    Session,
    SessionEnded,
    SessionId,
    SessionKind,
    SessionOpened,
)
from domain.kernel.users import Email
from kernel.world.builders import NOW, a_one_time_token, a_session, a_user_id
from kernel.world.refusals import refused

MONTH = timedelta(days=30)
INSTANT = timedelta(microseconds=1)
LATER = NOW + timedelta(hours=1)

# ── sessions ─────────────────────────────────────────────────────────────────────────────────────


def test_a_session_is_open_for_its_lifetime() -> None:
    session_id, user_id = SessionId(new_id(NOW)), a_user_id()
    session = Session.open(id=session_id, user_id=user_id, token_hash="first", at=NOW, lifetime=MONTH)
    assert session == Session(
        id=session_id,
        user_id=user_id,
        token_hash="first",
        created_at=NOW,
        used_at=NOW,
        expires_at=NOW + MONTH,
        ended_at=None,
        events=(SessionOpened(at=NOW, session_id=session_id, user_id=user_id),),
    )


def test_the_current_token_gives_its_successor_and_the_session_ends_no_later() -> None:
    session = a_session(token_hash="first", expires_at=NOW + MONTH)
    refreshed = session.refresh(presented="first", successor="second", at=NOW + MONTH - INSTANT)
    assert refreshed == replace(session, token_hash="second", used_at=NOW + MONTH - INSTANT)


def test_an_expired_session_cannot_be_refreshed() -> None:
    session = a_session(token_hash="first", expires_at=NOW + MONTH)
    with refused(SessionEnded):
        session.refresh(presented="first", successor="second", at=NOW + MONTH)


def test_an_older_token_ends_the_session() -> None:
    session = a_session(token_hash="first").refresh(presented="first", successor="second", at=NOW)
    ended = session.refresh(presented="first", successor="third", at=LATER)
    fact = RefreshTokenReused(at=LATER, session_id=session.id, user_id=session.user_id)
    assert ended == replace(session, ended_at=LATER, events=(fact,))


@pytest.mark.parametrize("presented", ["first", "second"])
def test_an_ended_session_cannot_be_refreshed_by_any_token(presented: str) -> None:
    session = a_session(token_hash="second", ended_at=NOW)
    with refused(SessionEnded):
        session.refresh(presented=presented, successor="third", at=LATER)


def test_a_cookie_cannot_be_refreshed() -> None:
    session = a_session(token_hash="first", kind=SessionKind.COOKIE)
    with refused(SessionEnded):
        session.refresh(presented="first", successor="second", at=LATER)


@pytest.mark.parametrize(
    ("ended_at", "at", "is_open"),
    [(None, NOW + MONTH - INSTANT, True), (None, NOW + MONTH, False), (NOW, NOW, False)],
)
def test_a_session_is_open_until_it_ends_or_expires(
    ended_at: datetime | None, at: datetime, *, is_open: bool
) -> None:
    assert a_session(expires_at=NOW + MONTH, ended_at=ended_at).is_open(at) == is_open


def test_what_a_client_calls_itself_is_cut_to_a_length_that_can_be_kept() -> None:
    session = Session.open(
        id=SessionId(new_id(NOW)), user_id=a_user_id(), token_hash="", at=NOW, lifetime=MONTH, agent="x" * 201
    )
    assert session.agent == "x" * 200


# ── one-time tokens ──────────────────────────────────────────────────────────────────────────────

ADA = Email("ada@example.com")


def test_a_token_is_redeemed_for_its_purpose_by_its_address_in_its_time() -> None:
    token = a_one_time_token(purpose=Purpose.VERIFY_EMAIL, email=ADA, expires_at=LATER)
    token.redeem(Purpose.VERIFY_EMAIL, email=ADA, at=LATER - INSTANT)


@pytest.mark.parametrize(
    ("purpose", "email", "at"),
    [
        (Purpose.RESET_PASSWORD, ADA, NOW),
        (Purpose.VERIFY_EMAIL, Email("eve@example.com"), NOW),
        (Purpose.VERIFY_EMAIL, None, NOW),
        (Purpose.VERIFY_EMAIL, ADA, LATER),
    ],
)
def test_it_is_not_for_anything_else(purpose: Purpose, email: Email | None, at: datetime) -> None:
    token = a_one_time_token(purpose=Purpose.VERIFY_EMAIL, email=ADA, expires_at=LATER)
    with refused(OneTimeTokenNotFound):
        token.redeem(purpose, email=email, at=at)
