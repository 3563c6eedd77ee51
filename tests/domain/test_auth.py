"""Passwords, and sessions whose tokens follow one another."""

from dataclasses import replace
from datetime import timedelta

import pytest

from builders import NOW, a_session, a_user_id
from domain.aggregate import new_id
from domain.auth import (
    RefreshTokenReused,
    Session,
    SessionEnded,
    SessionId,
    SessionOpened,
    acceptable_password,
)
from domain.errors import Invalid
from refusals import refused

MONTH = timedelta(days=30)
INSTANT = timedelta(microseconds=1)
LATER = NOW + timedelta(hours=1)
LENGTH = "It must have 15 to 128 characters; several words make a good one."

# ── passwords ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "password",
    [
        "fifteen letters",
        "x" * 127 + "y",
        "ab" * 8,
        " spaces around  ",
        "пароль из трёх слов",
        "😀😃😄😁😆😅😂🤣😊😇🙂🙃😉😌😍",
    ],
)
def test_a_password_of_15_to_128_characters_is_accepted_unchanged(password: str) -> None:
    assert acceptable_password(password) == password


@pytest.mark.parametrize("password", ["", "x", "fourteen chars", "xy" * 64 + "z"])
def test_a_shorter_or_longer_one_is_refused(password: str) -> None:
    with refused(Invalid, LENGTH, field="password"):
        acceptable_password(password)


def test_one_character_over_and_over_is_no_password() -> None:
    with refused(Invalid, "It must not repeat one single character.", field="password"):
        acceptable_password("x" * 15)


@pytest.mark.parametrize("surrogate", [0xD800, 0xDBFF, 0xDFFF])
def test_a_lone_surrogate_is_no_text(surrogate: int) -> None:
    with refused(Invalid, "It must be valid Unicode text.", field="password"):
        acceptable_password("fifteen letters" + chr(surrogate))


@pytest.mark.parametrize("neighbour", ["\ud7ff", "\ue000"])
def test_the_characters_beside_the_surrogates_are_text(neighbour: str) -> None:
    assert acceptable_password("fifteen letters" + neighbour) == "fifteen letters" + neighbour


# ── sessions ─────────────────────────────────────────────────────────────────────────────────────


def test_a_session_is_open_for_its_lifetime() -> None:
    session_id, user_id = SessionId(new_id(NOW)), a_user_id()
    session = Session.open(id=session_id, user_id=user_id, token_hash="first", at=NOW, lifetime=MONTH)
    assert session == Session(
        id=session_id,
        user_id=user_id,
        token_hash="first",
        created_at=NOW,
        expires_at=NOW + MONTH,
        ended_at=None,
        events=(SessionOpened(at=NOW, session_id=session_id, user_id=user_id),),
    )


def test_the_current_token_gives_its_successor_and_the_session_ends_no_later() -> None:
    session = a_session(token_hash="first", expires_at=NOW + MONTH)
    refreshed = session.refresh(presented="first", successor="second", at=NOW + MONTH - INSTANT)
    assert refreshed == replace(session, token_hash="second")


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
