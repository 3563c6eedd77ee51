"""People with an account."""

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NewType, Self, TypedDict, Unpack
from uuid import UUID

from domain.aggregate import Aggregate, Event
from domain.errors import Conflict, Invalid, NotFound
from domain.text import line

UserId = NewType("UserId", UUID)
Email = NewType("Email", str)

DISPLAY_NAME_MOST = 80
EMAIL_MOST = 254  # RFC 5321 §4.5.3.1.3: 256 octets of path, less its angle brackets

# What a browser's <input type="email"> accepts, with a dot in the host. Not all that RFC 5322 permits: no
# quoted local parts, no address literals, no internationalised addresses (RFC 6531).
_HOST = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_EMAIL = re.compile(rf"[a-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@{_HOST}(\.{_HOST})+")


class UserNotFound(NotFound):
    """There is no such user."""


class EmailTaken(Conflict):
    """The e-mail address belongs to another account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRegistered(Event):
    user_id: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class UserEdited(Event):
    user_id: UserId


class ProfileChanges(TypedDict, total=False):
    """What of a profile can change; what is absent stays."""

    display_name: str
    email: str


def email_address(text: str, *, field: str = "email") -> Email:
    """The address in lower case, as it is stored and compared; raises Invalid."""
    text = line(text, field=field, most=EMAIL_MOST).lower()
    if not _EMAIL.fullmatch(text):
        raise Invalid("It must be an e-mail address such as ada@example.com.", field=field)
    return Email(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class User(Aggregate):
    """A person, whoever vouches for them; what they may do lies in their memberships."""

    id: UserId
    email: Email
    display_name: str
    created_at: datetime

    @classmethod
    def register(cls, *, id: UserId, email: str, display_name: str, at: datetime) -> Self:
        return cls(
            id=id,
            email=email_address(email),
            display_name=line(display_name, field="display_name", most=DISPLAY_NAME_MOST),
            created_at=at,
            events=(UserRegistered(at=at, user_id=id),),
        )

    def edit(self, *, at: datetime, **changes: Unpack[ProfileChanges]) -> Self:
        edited = self
        if "display_name" in changes:
            name = line(changes["display_name"], field="display_name", most=DISPLAY_NAME_MOST)
            edited = replace(edited, display_name=name)
        if "email" in changes:
            edited = replace(edited, email=email_address(changes["email"]))
        if edited == self:
            return self
        return edited.recording(UserEdited(at=at, user_id=self.id))
