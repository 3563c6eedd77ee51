"""Instants as text, by the letter of RFC 3339."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.kernel.instants import read_instant

ALMOST = datetime(2026, 11, 30, 17, 0, 0, 999_999, UTC)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-30T17:00:00Z", datetime(2026, 11, 30, 17, tzinfo=UTC)),
        ("2026-11-30t17:00:00z", datetime(2026, 11, 30, 17, tzinfo=UTC)),
        ("2026-11-30T17:00:00-00:00", datetime(2026, 11, 30, 17, tzinfo=UTC)),
        ("2026-11-30T17:00:00+05:45", datetime(2026, 11, 30, 11, 15, tzinfo=UTC)),
        ("2026-11-30T00:00:00-23:59", datetime(2026, 11, 30, 23, 59, tzinfo=UTC)),
        ("2026-11-30T17:00:00.5Z", datetime(2026, 11, 30, 17, 0, 0, 500_000, UTC)),
        ("2026-11-30T17:00:00.1234567Z", datetime(2026, 11, 30, 17, 0, 0, 123_456, UTC)),
        ("2026-11-30T17:00:00.999999999+00:00", ALMOST),
        (f"2026-11-30T17:00:00.{'9' * 1000}Z", ALMOST),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("2028-02-29T00:00:00Z", datetime(2028, 2, 29, tzinfo=UTC)),
        # RFC 3339 §5.8 has the first two of these, and the minute of the third for its own country.
        ("1990-12-31T23:59:60Z", datetime(1991, 1, 1, tzinfo=UTC)),
        ("1990-12-31T15:59:60-08:00", datetime(1991, 1, 1, tzinfo=UTC)),
        ("2016-12-31T23:59:60.25Z", datetime(2017, 1, 1, 0, 0, 0, 250_000, UTC)),
        ("2017-01-01T05:29:60+05:30", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2015-06-30T23:59:60z", datetime(2015, 7, 1, tzinfo=UTC)),
    ],
)
def test_an_instant_is_read_as_the_standard_has_it(text: str, instant: datetime) -> None:
    assert read_instant(text) == instant
    assert read_instant(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "now",
            "1796058000",
            "2026-11-30",
            "2026-11-30T17:00:00",
            "20261130T170000Z",
            "2026-W49-1T17:00:00Z",
        ),
        *("2026-11-30 17:00:00Z", "2026-11-30T17:00Z", "2026-11-30T17:00:00.Z", "2026-11-30T17:00:00,5Z"),
        *(" 2026-11-30T17:00:00Z", "2026-11-30T17:00:00Z\n", "+2026-11-30T17:00:00Z", "26-11-30T17:00:00Z"),
        *("2026-11-31T17:00:00Z", "2026-13-30T17:00:00Z", "2027-02-29T00:00:00Z", "0000-01-01T00:00:00Z"),
        *("2026-11-30T24:00:00Z", "2026-11-30T17:60:00Z", "2026-11-30T17:00:61Z", "2026-11-30T23:59:99Z"),
        *("2026-11-30T17:00:00+01:60", "2026-11-30T17:00:00+01:99", "2026-11-30T17:00:00+24:00"),
        *("2026-11-30T17:00:00+01", "2026-11-30T17:00:00+0100", "2026-11-30T17:00:00+01:00:30"),
        *("2026-11-30T17:00:00 01:00", "2026-11-30T17:00:00\u221201:00", "\u0662026-11-30T17:00:00Z"),
        *("0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"),
        # No leap second is anywhere but at the end of a month, in UTC.
        *(
            "2026-11-29T23:59:60Z",
            "2026-11-30T23:58:60Z",
            "2026-11-30T22:59:60Z",
            "2026-11-30T23:59:60+01:00",
        ),
        *("2026-11-30T17:00:60Z", "9999-12-31T23:59:60Z"),
    ],
)
def test_what_the_standard_does_not_have_is_no_instant(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_instant(text)


offsets = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
days = timedelta(days=100_000)


@given(instant=st.builds(datetime.astimezone, st.timedeltas(-days, days).map(ALMOST.__add__), offsets))
def test_whatever_is_written_by_it_is_read_as_the_same_instant(instant: datetime) -> None:
    assert read_instant(instant.isoformat()) == instant
