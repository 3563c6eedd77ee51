"""The rules of rotation: which key signs, which are published, when the next is due and an old one can go."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.kernel.identity.signing_keys import (
    PUBLISHED_AHEAD,
    KeyState,
    SigningKey,
    is_next_due,
    next_number,
    signing_key,
    state_of,
)
from kernel.world.builders import NOW, a_signing_key

LASTS = timedelta(days=90)
KEPT = timedelta(minutes=11)

MINUTES = st.integers(min_value=0, max_value=60).map(lambda minutes: timedelta(minutes=minutes))


def keys_signing_from(*signs_from: datetime) -> list[SigningKey]:
    """Keys 1, 2, 3…, each of which signs from its instant on."""
    return [
        a_signing_key(number=number, created_at=NOW, signs_from=instant)
        for number, instant in enumerate(signs_from, 1)
    ]


def states(keys: Sequence[SigningKey], at: datetime) -> list[str]:
    return [state_of(key, keys, at=at, kept=KEPT) for key in keys]


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (NOW, ["signing", "next"]),
        (NOW + PUBLISHED_AHEAD - timedelta(microseconds=1), ["signing", "next"]),
        (NOW + PUBLISHED_AHEAD, ["verifying", "signing"]),
        (NOW + PUBLISHED_AHEAD + KEPT - timedelta(microseconds=1), ["verifying", "signing"]),
        (NOW + PUBLISHED_AHEAD + KEPT, ["retired", "signing"]),
        (NOW + timedelta(days=400), ["retired", "signing"]),
    ],
    ids=str,
)
def test_a_key_is_published_then_signs_then_verifies_until_its_tokens_have_expired(
    at: datetime, expected: list[str]
) -> None:
    assert states(keys_signing_from(NOW - LASTS, NOW + PUBLISHED_AHEAD), at) == expected


def test_the_first_key_signs_even_where_the_clock_is_behind_that_of_who_made_it() -> None:
    keys = keys_signing_from(NOW, NOW + PUBLISHED_AHEAD)
    early = NOW - timedelta(seconds=5)
    assert signing_key(keys[:1], at=early) is keys[0]
    assert states(keys, early) == ["signing", "next"]


def test_a_key_that_signs_at_once_overtakes_the_one_that_was_waiting() -> None:
    keys = keys_signing_from(NOW - LASTS, NOW + PUBLISHED_AHEAD, NOW)
    assert states(keys, NOW) == ["verifying", "verifying", "signing"]
    assert states(keys, NOW + PUBLISHED_AHEAD) == ["retired", "retired", "signing"]


@given(st.lists(MINUTES, min_size=1, max_size=5), MINUTES, st.randoms())
def test_at_every_instant_one_key_signs_and_the_order_of_the_keys_does_not_matter(
    offsets: list[timedelta], after: timedelta, chance: Random
) -> None:
    keys = keys_signing_from(*(NOW + offset for offset in offsets))
    at = NOW + after
    in_order = {key.number: state for key, state in zip(keys, states(keys, at), strict=True)}
    assert list(in_order.values()).count("signing") == 1
    chance.shuffle(keys)
    assert {key.number: state for key, state in zip(keys, states(keys, at), strict=True)} == in_order


@given(st.lists(MINUTES, min_size=1, max_size=5), MINUTES, MINUTES)
def test_what_a_key_signs_stays_verifiable_for_as_long_as_a_key_is_kept(
    offsets: list[timedelta], issued_after: timedelta, used_after: timedelta
) -> None:
    keys = keys_signing_from(*(NOW + offset for offset in offsets))
    signed_with = signing_key(keys, at=NOW + issued_after)
    later = NOW + issued_after + min(used_after, KEPT - timedelta(microseconds=1))
    assert state_of(signed_with, keys, at=later, kept=KEPT) is not KeyState.RETIRED


@given(st.lists(MINUTES, min_size=1, max_size=5), MINUTES, MINUTES)
def test_whoever_has_retired_never_comes_back(
    offsets: list[timedelta], first: timedelta, second: timedelta
) -> None:
    keys = keys_signing_from(*(NOW + offset for offset in offsets))
    before, after = states(keys, NOW + first), states(keys, NOW + first + second)
    assert all(now == "retired" for then, now in zip(before, after, strict=True) if then == "retired")


@pytest.mark.parametrize(
    ("signs_from", "due"),
    [
        ([], True),
        ([NOW - LASTS + timedelta(microseconds=1)], False),
        ([NOW - LASTS], True),
        ([NOW - LASTS, NOW + PUBLISHED_AHEAD], False),
        ([NOW - 2 * LASTS, NOW - LASTS], True),
        ([NOW - LASTS, NOW - 2 * LASTS], True),
    ],
    ids=str,
)
def test_the_next_key_is_due_when_the_newest_has_signed_for_long_enough(
    signs_from: list[datetime], due: bool
) -> None:
    assert is_next_due(keys_signing_from(*signs_from), at=NOW, lasts=LASTS) is due


def test_keys_are_counted_from_one_and_a_gap_is_not_filled() -> None:
    assert next_number([]) == 1
    assert next_number([a_signing_key(number=7), a_signing_key(number=3)]) == 8
