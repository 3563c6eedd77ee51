"""A point in time as text (RFC 3339)."""

import re
from datetime import UTC, datetime, timedelta

# The production `date-time` of RFC 3339 §5.6, which the format `date-time` of JSON Schema stands for.
_INSTANT = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt]((?:[01]\d|2[0-3]):[0-5]\d):([0-5]\d|60)(\.\d+)?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
_LEAP = "60"
_MICROSECONDS = 7  # the point and six digits


def read_instant(text: str) -> datetime:
    """The instant in UTC; raises ValueError for what is none, or lies outside of the years 1 to 9999.

    What is finer than a microsecond is cut off. A leap second, which is the last of a month in UTC (§5.7), is
    the first second of the next one, as it is to computers' clocks.
    """
    found = _INSTANT.fullmatch(text)
    if found is None:
        raise ValueError("no instant by RFC 3339")
    day, minute, second, fraction, offset = found.groups()
    is_leap = second == _LEAP
    second = f"{'59' if is_leap else second}{(fraction or '')[:_MICROSECONDS]}"
    try:
        instant = datetime.fromisoformat(f"{day}T{minute}:{second}{offset.upper()}").astimezone(UTC)
        if not is_leap:
            return instant
        instant += timedelta(seconds=1)
    except OverflowError as error:
        raise ValueError("outside of the years 1 to 9999") from error
    if (instant.day, instant.hour, instant.minute, instant.second) != (1, 0, 0, 0):
        raise ValueError("no leap second is there")
    return instant
