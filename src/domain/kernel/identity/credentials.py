"""What a user logs in with at the built-in provider, and the ways in which a log-in is refused."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

from domain.kernel.aggregate import Aggregate, Event
from domain.kernel.errors import Forbidden, Invalid, Limited, NotFound, Unauthenticated
from domain.kernel.users import UserId


class WrongCredentials(Unauthenticated):
    """The e-mail address or the password is wrong."""


class WrongPassword(Forbidden):
    """The current password is wrong."""


class PasswordsDisabled(Forbidden):
    """This service has no log-in with a password."""


class ReauthenticationRequired(Forbidden):
    """This needs a fresh proof of who you are."""


class TooManyAttempts(Limited):
    """There were too many attempts; try again later."""


class LoginDenied(Unauthenticated):
    """The log-in at the provider was cancelled or refused."""


class LoginRefused(Unauthenticated):
    """The provider's answer could not be verified; log in again."""


class LoginUsed(Unauthenticated):
    """This log-in at the provider has been finished before; log in again."""


class ExchangeRefused(Unauthenticated):
    """The code has been used, has expired, or does not go with this verifier; log in again."""


class LoginProviderNotFound(NotFound):
    """There is no provider of this name to log in with."""


class LoginNotBegun(Invalid):
    """This log-in was not begun in this browser; begin again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordChanged(Event):
    """`reset` where a secret that was mailed was the proof, and not the password before."""

    user_id: UserId
    reset: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential(Aggregate):
    """What a user proves themselves with; `id` is the user's. The hash is argon2id in PHC form."""

    id: UserId
    password_hash: str

    def change(self, password_hash: str, *, at: datetime, reset: bool = False) -> Self:
        """With another password; not for the same one under other parameters."""
        changed = PasswordChanged(at=at, user_id=self.id, reset=reset)
        return replace(self, password_hash=password_hash).recording(changed)
