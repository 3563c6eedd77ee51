"""The two shapes that everything in the domain has, and how an id is made."""

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Self
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A fact about an aggregate, named in the past tense; `at` is aware UTC."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """What is loaded, changed and saved as one. A change returns the next value; nothing mutates.

    `version` counts the saves and guards against lost updates. `events` are the facts that have
    not been saved yet: a repository writes them with the row, and returns the aggregate without them.
    """

    version: int = 1
    events: tuple[Event, ...] = ()

    def recording(self, event: Event) -> Self:
        """The same aggregate with one more fact to save."""
        return replace(self, events=(*self.events, event))


def new_id(at: datetime) -> UUID:
    """A UUIDv7 (RFC 9562 §5.7): 48 bits of Unix milliseconds, then randomness, so ids sort by age.

    `uuid.uuid7` does the same from Python 3.14 on, but reads the clock itself.
    """
    # In whole numbers, as a float would round; to divide by a timedelta takes twice as long.
    since = at - _EPOCH
    milliseconds = since.days * 86_400_000 + since.seconds * 1_000 + since.microseconds // 1_000
    number = milliseconds << 80 | int.from_bytes(os.urandom(10))
    number = number & ~(0xF << 76) | 0x7 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=number)
