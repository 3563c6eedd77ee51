"""People with an account."""

import re
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import NewType, Self, TypedDict, Unpack
from uuid import UUID

from domain.kernel.aggregate import Aggregate, Event
from domain.kernel.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from domain.kernel.text import line, tidied

UserId = NewType("UserId", UUID)
Email = NewType("Email", str)


class GlobalRole(StrEnum):
    """The role of a user in the whole service, beside their roles in workspaces."""

    SUPPORT = "support"
    ADMIN = "admin"


DISPLAY_NAME_MOST = 80
UNNAMED = "User"
"""The name of a user whose provider tells none."""
DELETED = "Deleted user"
"""The name of a user whose account is deleted."""
EMAIL_MOST = 254  # RFC 5321 §4.5.3.1.3: 256 octets of path, less its angle brackets

# What a browser's <input type="email"> accepts, with a dot in the host. Not all that RFC 5322 permits: no
# quoted local parts, no address literals, no internationalised addresses (RFC 6531). A local part has at most
# 64 octets (RFC 5321 §4.5.3.1.1), a label of the host 63 (RFC 1035 §2.3.4).
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_EMAIL = re.compile(rf"[a-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@{_LABEL}(\.{_LABEL})+")
# Where an encoded word begins (RFC 2047 §2). Mail software decodes one, and then reads another address.
_ENCODED_WORD = "=?"


class UserNotFound(NotFound, of=UserId):
    """There is no such user."""


class Suspended(Unauthenticated):
    """The account is suspended."""


class AccountDeleted(Conflict):
    """The account has been deleted; that cannot be undone."""


class DeletedMeanwhile(Unauthenticated):
    """The account was deleted after this token was issued; log in again to have a new one."""


class EmailTaken(Conflict):
    """The e-mail address belongs to another account."""


class EmailNotVerified(Forbidden):
    """Verify your e-mail address first."""


class OwnAccount(Forbidden):
    """You cannot suspend yourself or change your own roles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRegistered(Event):
    user_id: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class UserEdited(Event):
    user_id: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailChangeRequested(Event):
    """Another address is pending: it takes the place of the present one once it is proved."""

    user_id: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailChangeWithdrawn(Event):
    """No address is pending any more; the present one stays."""

    user_id: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailChanged(Event):
    """The address is another one now. `formerly` is the one before, where that was verified."""

    user_id: UserId
    formerly: Email | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailVerified(Event):
    user_id: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailLost(Event):
    """The user had claimed an address, and another user has proved that it is theirs."""

    user_id: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSuspended(Event):
    """`by` is who did it; `None` is an operator at the service's console."""

    user_id: UserId
    by: UserId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRestored(Event):
    user_id: UserId
    by: UserId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RolesChanged(Event):
    user_id: UserId
    roles: tuple[GlobalRole, ...]
    by: UserId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserAbsorbed(Event):
    """An account that a provider's token had made turned out to be that of `into`, and is gone."""

    user_id: UserId
    into: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class UserDeleted(Event):
    """The account is deleted, and nothing personal is left of it in the kernel's tables.

    `email` is the address that the person had verified, for the mail that tells them. `by` is who did it;
    `None` is an operator at the service's console. A service's own tables follow by a reaction.
    """

    user_id: UserId
    by: UserId | None
    email: Email | None = None


class ProfileChanges(TypedDict, total=False):
    """What of a profile can change; what is absent stays."""

    display_name: str
    email: str


def email_address(text: str, *, field: str = "email") -> Email:
    """The address in lower case, as it is stored and compared; raises Invalid.

    Nothing else is made of what was typed, and nothing that reads it again finds another address in it.
    """
    # Before it is folded: NFC turns the Kelvin sign (U+212A) into a K, and U+037E into a semicolon.
    is_ascii = text.strip().isascii()
    text = line(text, field=field, most=EMAIL_MOST).lower()
    if not (is_ascii and _EMAIL.fullmatch(text)) or _ENCODED_WORD in text:
        raise Invalid("It must be an e-mail address such as ada@example.com.", field=field)
    return Email(text)


def display_name_from(*offered: str | None) -> str:
    """The first of the names on offer that can be shown, made to fit; for names that no user types."""
    for name in offered:
        with suppress(Invalid):
            tidy = tidied(name or "", most=DISPLAY_NAME_MOST)
            return line(tidy, field="display_name", most=DISPLAY_NAME_MOST)
    return UNNAMED


@dataclass(frozen=True, slots=True, kw_only=True)
class User(Aggregate):
    """A person, whichever provider vouches for them; what they may do is in their memberships and roles.

    The address is unknown where a provider did not tell it. `email_verified_at` is when the person proved
    that it is theirs. One who has proved it has it alone; before that it is a claim, which several may make
    and which opens nothing (docs/decisions/0031). Another address is `pending_email` until it is proved as
    well: it is good for no log-in and no reset of a password (docs/decisions/0030).

    Of a deleted account the id is left, for what refers to it, and that it is suspended for good, so that
    whatever refuses a suspended user refuses it too (docs/decisions/0033).
    """

    id: UserId
    email: Email | None
    email_verified_at: datetime | None = None
    pending_email: Email | None = None
    display_name: str
    roles: tuple[GlobalRole, ...] = ()
    created_at: datetime
    suspended_at: datetime | None = None
    deleted_at: datetime | None = None

    @classmethod
    def register(cls, *, id: UserId, email: str, display_name: str, at: datetime) -> Self:
        return cls(
            id=id,
            email=email_address(email),
            display_name=line(display_name, field="display_name", most=DISPLAY_NAME_MOST),
            created_at=at,
            events=(UserRegistered(at=at, user_id=id),),
        )

    @classmethod
    def admit(
        cls, *, id: UserId, email: Email | None, email_verified: bool, name: str | None, at: datetime
    ) -> Self:
        """A user whom a provider vouches for; a name that is not accepted is made to fit."""
        return cls(
            id=id,
            email=email,
            email_verified_at=at if email and email_verified else None,
            display_name=display_name_from(name, email.partition("@")[0] if email else None),
            created_at=at,
            events=(UserRegistered(at=at, user_id=id),),
        )

    @property
    def email_verified(self) -> bool:
        return self.email_verified_at is not None

    @property
    def verified_email(self) -> Email | None:
        """The address, where the person has proved that it is theirs."""
        return self.email if self.email_verified else None

    @property
    def email_to_verify(self) -> Email | None:
        """The address that the person has yet to prove: the pending one, else one that they only claimed."""
        return self.pending_email or (None if self.email_verified else self.email)

    def ensure_active(self) -> None:
        """Raises Suspended."""
        if self.suspended_at is not None:
            raise Suspended

    def edit(self, *, at: datetime, **changes: Unpack[ProfileChanges]) -> Self:
        """With another address it becomes pending; with the present one, nothing is pending any more."""
        edited = self
        if "display_name" in changes:
            name = line(changes["display_name"], field="display_name", most=DISPLAY_NAME_MOST)
            edited = replace(edited, display_name=name)
        if "email" in changes:
            email = email_address(changes["email"])
            if email == self.email:
                edited = edited.keep_email(at=at)
            elif email != self.pending_email:
                requested = EmailChangeRequested(at=at, user_id=self.id)
                edited = replace(edited, pending_email=email).recording(requested)
        if edited == self:
            return self
        return edited.recording(UserEdited(at=at, user_id=self.id))

    def fill_in(self, *, email: Email | None, name: str | None, at: datetime) -> Self:
        """With what a provider told later than at first sight, where it is lacking; `email` is verified."""
        filled = self
        if self.email is None and email is not None:
            verified = EmailVerified(at=at, user_id=self.id)
            filled = replace(filled, email=email, email_verified_at=at).recording(verified)
        if self.display_name == UNNAMED:
            filled = replace(filled, display_name=display_name_from(name))
        return self if filled == self else filled.recording(UserEdited(at=at, user_id=self.id))

    def verify_email(self, *, at: datetime) -> Self:
        """The same account, whose person has proved that the address is theirs."""
        if self.email is None or self.email_verified_at is not None:
            return self
        return replace(self, email_verified_at=at).recording(EmailVerified(at=at, user_id=self.id))

    def keep_email(self, *, at: datetime) -> Self:
        """The same account with its present address, and none that is pending."""
        if self.pending_email is None:
            return self
        return replace(self, pending_email=None).recording(EmailChangeWithdrawn(at=at, user_id=self.id))

    def take_pending_email(self, *, at: datetime) -> Self:
        """The same account with the address that was pending, which its person has proved."""
        if self.pending_email is None:
            return self
        return self._with_email(self.pending_email, at=at).recording(EmailVerified(at=at, user_id=self.id))

    def take_email_back(self, email: Email, *, at: datetime) -> Self:
        """As it was before the change of this address, which the user had proved."""
        if email == self.email:
            return self.keep_email(at=at)
        return self._with_email(email, at=at)

    def _with_email(self, email: Email, *, at: datetime) -> Self:
        changed = EmailChanged(at=at, user_id=self.id, formerly=self.verified_email)
        return replace(self, email=email, email_verified_at=at, pending_email=None).recording(changed)

    def suspend(self, *, by: UserId | None, at: datetime) -> Self:
        """The same account, which admits no log-in until it is restored.

        Raises OwnAccount, AccountDeleted.
        """
        self._ensure_not(by)
        self._ensure_there()
        if self.suspended_at is not None:
            return self
        return replace(self, suspended_at=at).recording(UserSuspended(at=at, user_id=self.id, by=by))

    def restore(self, *, by: UserId | None, at: datetime) -> Self:
        """The same account, to which its person gets in again; raises AccountDeleted."""
        self._ensure_there()
        if self.suspended_at is None:
            return self
        return replace(self, suspended_at=None).recording(UserRestored(at=at, user_id=self.id, by=by))

    def change_roles(self, roles: Collection[GlobalRole], *, by: UserId | None, at: datetime) -> Self:
        """With exactly these roles in the whole service; raises OwnAccount, AccountDeleted."""
        self._ensure_not(by)
        self._ensure_there()
        ordered = tuple(role for role in GlobalRole if role in roles)
        if ordered == self.roles:
            return self
        changed = RolesChanged(at=at, user_id=self.id, roles=ordered, by=by)
        return replace(self, roles=ordered).recording(changed)

    def delete(self, *, by: UserId | None, at: datetime) -> Self:
        """The account without all that is personal; only its id stays, and it admits no log-in.

        Raises AccountDeleted where that was done before.
        """
        self._ensure_there()
        deleted = UserDeleted(at=at, user_id=self.id, by=by, email=self.verified_email)
        return replace(
            self,
            email=None,
            email_verified_at=None,
            pending_email=None,
            display_name=DELETED,
            roles=(),
            suspended_at=self.suspended_at or at,
            deleted_at=at,
        ).recording(deleted)

    def be_absorbed(self, *, into: UserId, at: datetime) -> Self:
        """The account with the fact that it ended as a part of another."""
        return self.recording(UserAbsorbed(at=at, user_id=self.id, into=into))

    def _ensure_there(self) -> None:
        if self.deleted_at is not None:
            raise AccountDeleted

    def _ensure_not(self, by: UserId | None) -> None:
        if by == self.id:
            raise OwnAccount("Ask another user who may.")
