"""Sessions whose tokens follow one another, and secrets that are good once."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from domain.kernel.aggregate import new_id
from domain.kernel.identity.one_time_tokens import (
    VOIDED,
    OneTimeToken,
    OneTimeTokenId,
    OneTimeTokenNotFound,
    Purpose,
)
from domain.kernel.identity.sessions import (
    REPLACED_MOST,
    OtherSessionsEnded,
    RefreshTokenReused,
    Session,
    SessionEnded,
    SessionId,
    SessionKind,
    SessionOpened,
    Standing,
)
from domain.kernel.users import Email
from kernel.world.builders import NOW, a_one_time_token, a_session, a_user_id
from kernel.world.refusals import refused

MONTH = timedelta(days=30)
INSTANT = timedelta(microseconds=1)
LATER = NOW + timedelta(hours=1)
GRACE = timedelta(seconds=10)

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


def refreshed(session: Session, successor: str, at: datetime, idle: timedelta | None = None) -> Session:
    """The session after one more use of its current token."""
    return session.refresh(
        successor=successor,
        salt="salt",
        family_key="key",
        grace=GRACE,
        lifetime=MONTH,
        idle=idle,
        at=at,
    )


def standing(session: Session, presented: str, at: datetime, *, marked: bool = True) -> Standing:
    return session.standing_of(presented, marked=marked, grace=GRACE, at=at)


def test_the_current_token_gives_its_successor_and_the_session_ends_no_later() -> None:
    session = a_session(token_hash="first", expires_at=NOW + MONTH)
    at = NOW + MONTH - INSTANT
    assert standing(session, "first", at) is Standing.CURRENT
    assert refreshed(session, "second", at) == replace(
        session,
        token_hash="second",
        family_key="key",
        successor_salt="salt",
        replaced=("first",),
        replaced_at=(at,),
        used_at=at,
    )


def test_an_expired_session_cannot_be_refreshed() -> None:
    session = a_session(token_hash="first", expires_at=NOW + MONTH)
    with refused(SessionEnded):
        standing(session, "first", NOW + MONTH)


def test_a_token_that_was_replaced_is_good_again_within_the_grace_and_reused_after_it() -> None:
    session = refreshed(a_session(token_hash="first"), "second", NOW)
    assert standing(session, "first", NOW + GRACE - INSTANT) is Standing.REPLACED
    assert standing(session, "first", NOW + GRACE) is Standing.REUSED
    assert standing(session, "second", NOW + GRACE) is Standing.CURRENT


def test_each_replaced_token_has_a_grace_of_its_own() -> None:
    session = refreshed(a_session(token_hash="first"), "second", NOW)
    session = refreshed(session, "third", NOW + GRACE / 2)
    assert standing(session, "first", NOW + GRACE - INSTANT) is Standing.OVERTAKEN
    assert standing(session, "first", NOW + GRACE) is Standing.REUSED
    assert standing(session, "second", NOW + GRACE) is Standing.REPLACED


def test_a_token_of_long_ago_is_reused_and_one_that_never_was_is_nothing() -> None:
    session = refreshed(a_session(token_hash="first"), "second", NOW)
    session = refreshed(session, "third", NOW + GRACE)
    assert session.replaced == ("second",)
    assert standing(session, "first", LATER, marked=True) is Standing.REUSED
    assert standing(session, "guess", LATER, marked=False) is Standing.NEVER_GOOD


def test_a_session_remembers_the_token_before_the_current_one_however_long_ago() -> None:
    """It has no mark where an earlier version of the service made it."""
    session = refreshed(a_session(token_hash="first"), "second", NOW)
    assert standing(session, "first", LATER, marked=False) is Standing.REUSED


def test_no_more_replaced_tokens_are_remembered_than_a_session_has_room_for() -> None:
    session = a_session(token_hash="0")
    for number in range(REPLACED_MOST + 1):
        session = refreshed(session, str(number + 1), NOW)
    assert session.replaced == tuple(str(number) for number in range(REPLACED_MOST, 0, -1))
    assert len(session.replaced_at) == REPLACED_MOST
    assert standing(session, "0", NOW) is Standing.REUSED


def test_a_reused_token_ends_the_session() -> None:
    session = a_session()
    fact = RefreshTokenReused(at=LATER, session_id=session.id, user_id=session.user_id)
    assert session.end_for_reuse(at=LATER) == replace(session, ended_at=LATER, events=(fact,))


@pytest.mark.parametrize("presented", ["first", "second"])
def test_an_ended_session_cannot_be_refreshed_by_any_token(presented: str) -> None:
    session = replace(refreshed(a_session(token_hash="first"), "second", NOW), ended_at=NOW)
    with refused(SessionEnded):
        standing(session, presented, LATER)


def test_a_cookie_cannot_be_refreshed() -> None:
    session = a_session(token_hash="first", kind=SessionKind.COOKIE)
    with refused(SessionEnded):
        standing(session, "first", LATER)


def test_an_idle_session_ends_before_its_time_and_a_used_one_at_its_time() -> None:
    session_id, idle = SessionId(new_id(NOW)), timedelta(days=2)
    session = Session.open(
        id=session_id, user_id=a_user_id(), token_hash="first", at=NOW, lifetime=MONTH, idle=idle
    )
    assert session.expires_at == NOW + idle
    session = refreshed(session, "second", NOW + idle - INSTANT, idle)
    assert session.expires_at == NOW + 2 * idle - INSTANT
    session = session.use(lifetime=MONTH, idle=idle, at=NOW + MONTH - INSTANT)
    assert (session.used_at, session.expires_at) == (NOW + MONTH - INSTANT, NOW + MONTH)


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


# ── what tells of a theft ────────────────────────────────────────────────────────────────────────


def test_a_session_that_another_one_ends_has_ended_and_its_user_is_told() -> None:
    session = a_session()
    ended = session.end_from_elsewhere(at=LATER)
    told = OtherSessionsEnded(at=LATER, user_id=session.user_id)
    assert ended == session.end(at=LATER).recording(told)


def test_what_undoes_a_change_of_address_is_good_for_a_week() -> None:
    user_id, email = a_user_id(), Email("ada@example.com")
    token = OneTimeToken.undo_email_change(
        id=OneTimeTokenId(new_id(NOW)), user_id=user_id, email=email, at=NOW
    )
    assert (token.user_id, token.token_hash) == (user_id, None)
    week = timedelta(days=7)
    token.redeem(Purpose.UNDO_EMAIL_CHANGE, email=email, at=NOW + week - INSTANT)
    with refused(OneTimeTokenNotFound):
        token.redeem(Purpose.UNDO_EMAIL_CHANGE, email=email, at=NOW + week)


def test_every_secret_but_what_undoes_a_change_of_address_can_be_void() -> None:
    assert {*VOIDED} == {*Purpose} - {Purpose.UNDO_EMAIL_CHANGE}
