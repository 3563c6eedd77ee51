"""Aggregates record facts, and ids sort by age."""

from datetime import UTC, datetime, timedelta
from uuid import RFC_4122

from hypothesis import given
from hypothesis import strategies as st

from domain.kernel.aggregate import new_id
from domain.kernel.users import UserEdited
from kernel.world.builders import NOW, a_user

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
instants = st.timedeltas(timedelta(0), timedelta(days=2_500_000)).map(lambda age: EPOCH + age)


@given(at=instants)
def test_an_id_is_a_uuid_of_version_7(at: datetime) -> None:
    made = new_id(at)
    assert made.version == 7
    assert made.variant == RFC_4122


@given(at=instants)
def test_an_id_begins_with_the_millisecond_it_was_made_at(at: datetime) -> None:
    assert new_id(at).int >> 80 == (at - EPOCH) // timedelta(milliseconds=1)


def test_nothing_random_reaches_into_the_millisecond() -> None:
    second = EPOCH + timedelta(seconds=1_800_000_000)
    assert {new_id(second).int >> 80 for _ in range(64)} == {1_800_000_000_000}


@given(at=instants, later=st.timedeltas(timedelta(milliseconds=2), timedelta(days=9999)))
def test_ids_sort_by_the_time_they_were_made(at: datetime, later: timedelta) -> None:
    assert new_id(at) < new_id(at + later)


def test_all_that_is_not_time_version_or_variant_is_random() -> None:
    ids = [new_id(NOW).int for _ in range(200)]
    ever_set, always_set = 0, (1 << 128) - 1
    for number in ids:
        ever_set |= number
        always_set &= number
    random_bits = ever_set & ~always_set
    assert random_bits == (0xFFF << 64) | ((1 << 62) - 1)


def test_facts_are_recorded_in_the_order_they_happened() -> None:
    user = a_user()
    first = UserEdited(at=NOW, user_id=user.id)
    second = UserEdited(at=NOW + timedelta(seconds=1), user_id=user.id)
    assert user.recording(first).recording(second).events == (first, second)


def test_recording_a_fact_changes_nothing_else_and_leaves_the_original_alone() -> None:
    user = a_user()
    recorded = user.recording(UserEdited(at=NOW, user_id=user.id))
    assert user.events == ()
    assert (recorded.id, recorded.email, recorded.version) == (user.id, user.email, user.version)


def test_an_aggregate_begins_with_version_1_and_no_facts() -> None:
    user = a_user()
    assert (user.version, user.events) == (1, ())
