"""Who sends a request, and how a token or a cookie shows it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.kernel.identity.sessions import SessionId
from domain.kernel.users import GlobalRole, UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a good token says of its bearer, in the issuer's words.

    `issuer` and `subject` together identify a person. `roles` are the provider's own (roles, groups,
    permissions), `scopes` what the client was given. Nothing but an `email` with `email_verified` was checked
    by the provider. `session_id` is there in the built-in provider's tokens alone. `authenticated_at` is when
    the provider let the person in (`auth_time`), where it says so. Times are Unix seconds.
    """

    issuer: str
    subject: str
    issued_at: float
    expires_at: float
    client: str | None = None
    scopes: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    email: str | None = None
    email_verified: bool = False
    name: str | None = None
    session_id: SessionId | None = None
    authenticated_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The user who sends a request. `issuer` and `subject` are the provider's words for the same person.

    `roles` hold in the whole service; what a user may do in a workspace is their membership's. Those of them
    that the provider says are `vouched`, the others are stored. `authenticated_at` is when a provider let the
    person in, where that is known; a log-in with a password is not told here, as each token of its session
    would prove it.
    """

    user_id: UserId
    issuer: str
    subject: str
    client: str | None = None
    scopes: frozenset[str] = frozenset()
    roles: frozenset[GlobalRole] = frozenset()
    vouched: frozenset[GlobalRole] = frozenset()
    session_id: SessionId | None = None
    authenticated_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reauthenticated(Caller):
    """A caller who has just proved once more who they are: `Reauthentication` alone makes one.

    Changes to the ways to log in, and to who else may, ask for it (OWASP ASVS 5.0, 7.5.1 and 7.5.2).
    """


class Accounts(Protocol):
    """The users whom claims are about."""

    async def recognise(self, claims: Claims, /) -> Caller:
        """Who that is here; raises Unauthenticated when they are suspended or their session has ended."""


class TokenVerifier(Protocol):
    async def verify(self, token: str, /) -> Caller:
        """Who the bearer is; raises Unauthenticated, without the reason, for every kind of bad token."""

    async def read(self, token: str, /) -> Claims:
        """What the token says, whichever user that is here; raises Unauthenticated as `verify` does."""


class CookieVerifier(Protocol):
    async def verify(self, value: str, /) -> Caller:
        """Whose session the cookie opens; raises Unauthenticated, without the reason."""
