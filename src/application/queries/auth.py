"""What logging in has to look up."""

from dataclasses import dataclass
from typing import Protocol

from domain.users import Email, UserId


@dataclass(slots=True)
class KnownCredential:
    """A password's hash and whose it is. Never leaves the application."""

    user_id: UserId
    password_hash: str


class AuthQueries(Protocol):
    async def credential(self, email: Email, /) -> KnownCredential | None: ...
