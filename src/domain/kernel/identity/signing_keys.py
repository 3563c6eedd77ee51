"""The keys that the built-in provider signs with: which one signs, who follows it, and when it can go.

A key is published before it signs, so that everybody who verifies has it by then; and after it was followed,
until the last token that it signed has expired. Rotating loses no token.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType, Self
from uuid import UUID

from domain.kernel.aggregate import Aggregate, Event
from domain.kernel.errors import Conflict, NotFound

SigningKeyId = NewType("SigningKeyId", UUID)

PUBLISHED_AHEAD = timedelta(minutes=15)  # longer than anybody sensible remembers a key set


class SigningKeyNotFound(NotFound):
    """There is no such signing key."""


class KeysRotated(Conflict):
    """Another process has added the next signing key."""


class KeyInUse(Conflict):
    """This key is in use for signing; add its successor first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKeyAdded(Event):
    kid: str
    signs_from: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKeyRemoved(Event):
    kid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey(Aggregate):
    """A key of the built-in provider. `number` counts them, so that two processes cannot both add the next.

    `kid` is its RFC 7638 thumbprint, `sealed` the private key, encrypted. It is published from the beginning
    and signs from `signs_from` on, until its successor does.
    """

    id: SigningKeyId
    number: int
    kid: str
    sealed: str
    created_at: datetime
    signs_from: datetime

    @classmethod
    def make(
        cls, *, id: SigningKeyId, number: int, kid: str, sealed: str, at: datetime, ahead: timedelta
    ) -> Self:
        """One that is published `ahead` of its first signature."""
        signs_from = at + ahead
        return cls(
            id=id,
            number=number,
            kid=kid,
            sealed=sealed,
            created_at=at,
            signs_from=signs_from,
            events=(SigningKeyAdded(at=at, kid=kid, signs_from=signs_from),),
        )

    def go(self, *, at: datetime) -> Self:
        """The key with the fact that it ended."""
        return self.recording(SigningKeyRemoved(at=at, kid=self.kid))


class KeyState(StrEnum):
    """What a key is good for at an instant. All but the retired are published."""

    NEXT = "next"
    SIGNING = "signing"
    VERIFYING = "verifying"
    """Another one signs now, and tokens of this one may still be good."""

    RETIRED = "retired"
    """The last token that it signed has expired."""


def newest(keys: Sequence[SigningKey]) -> SigningKey:
    return max(keys, key=lambda key: key.number)


def signing_key(keys: Sequence[SigningKey], *, at: datetime) -> SigningKey:
    """The newest of those whose time has come. The first signs at once, even where the clock is behind."""
    started = [key for key in keys if key.signs_from <= at]
    return newest(started) if started else min(keys, key=lambda key: key.number)


def state_of(key: SigningKey, keys: Sequence[SigningKey], *, at: datetime, kept: timedelta) -> KeyState:
    """What one of the keys is good for; `kept` is how long its tokens may outlive its last signature."""
    signing = signing_key(keys, at=at)
    if key.number >= signing.number:
        return KeyState.NEXT if key.number > signing.number else KeyState.SIGNING
    followed = any(other.number > key.number and other.signs_from + kept <= at for other in keys)
    return KeyState.RETIRED if followed else KeyState.VERIFYING


def is_next_due(keys: Sequence[SigningKey], *, at: datetime, lasts: timedelta) -> bool:
    """Whether the newest has signed for as long as a key lasts, or there is none."""
    return not keys or newest(keys).signs_from + lasts <= at


def next_number(keys: Sequence[SigningKey]) -> int:
    return newest(keys).number + 1 if keys else 1
