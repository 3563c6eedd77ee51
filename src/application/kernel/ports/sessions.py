"""The collections of log-ins, one-time tokens and links, and what else logging in needs."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from application.kernel.ports.storing import Repository
from domain.kernel.aggregate import Event
from domain.kernel.identity.identities import Link, LinkId
from domain.kernel.identity.one_time_tokens import VOIDED, OneTimeToken, OneTimeTokenId, Purpose
from domain.kernel.identity.sessions import Session, SessionId
from domain.kernel.users import UserId


class Sessions(Repository[Session, SessionId], Protocol):
    async def add_by_password(self, session: Session, /, *, password_hash: str) -> Session:
        """Stores a new one, if that is its user's password still; raises WrongCredentials."""

    async def end_all(
        self, user_id: UserId, /, *, at: datetime, but: SessionId | None = None, event: Event | None = None
    ) -> None:
        """Ends the user's open sessions, all or all but one; a refresh at the same time fails.

        Records the event, where there is one, if there was a session to end.
        """

    async def end_oldest(self, user_id: UserId, /, *, keeping: int, at: datetime) -> None:
        """Ends the user's open sessions but the newest `keeping`; log-ins at the same time take turns."""


class OneTimeTokens(Repository[OneTimeToken, OneTimeTokenId], Protocol):
    async def with_token(self, token_hash: str, /) -> OneTimeToken:
        """Raises OneTimeTokenNotFound."""

    async def add_or_replace(self, tokens: Collection[OneTimeToken], /) -> None:
        """Stores tokens without a user, each in the place of an earlier one with its hash."""

    async def remove_earlier(self, token: OneTimeToken, /) -> None:
        """Removes its user's others with the same purpose: only the newest is good."""

    async def void(
        self, user_id: UserId, /, purposes: Collection[Purpose] = VOIDED, *, since: datetime | None = None
    ) -> None:
        """Removes the user's with these purposes: all, or those that were made at `since` or later."""


class Links(Repository[Link, LinkId], Protocol):
    async def of(self, issuer: str, subject: str, /) -> Link | None: ...

    async def lock_of(self, user_id: UserId, /) -> Collection[Link]:
        """The user's links, of which none can change or go before this transaction ends."""

    async def remove_all(self, user_id: UserId, /, *, recording: Event) -> None:
        """Removes every link of the user; the event is stored where there was one."""

    async def is_all_of_its_user(self, link: Link, /) -> bool:
        """Whether its user is nothing without it: no password, no other link, no workspace, and nothing that
        they left behind in one. No more comes to them before this transaction ends."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A bearer token and how long it is good for, in seconds."""

    value: str
    expires_in: int


class TokenIssuer(Protocol):
    async def issue(self, user_id: UserId, /, *, session_id: SessionId) -> AccessToken:
        """A token that is good from now on, for as long as its session lasts."""


class PasswordHasher(Protocol):
    """Slow on purpose, and never on the event loop."""

    async def hash(self, password: str, /) -> str: ...

    async def verify(self, password: str, hash: str | None, /) -> bool:
        """Takes as long for `None`, an unknown account, as for a wrong password."""

    def is_outdated(self, hash: str, /) -> bool:
        """Made with weaker parameters than those of today."""
