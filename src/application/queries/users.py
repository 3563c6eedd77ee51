"""What a user can ask about themselves."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.users import UserId


@dataclass(slots=True)
class Profile:
    """The user who is logged in."""

    id: UserId
    email: str
    display_name: str
    created_at: datetime
    version: int


class UserQueries(Protocol):
    async def profile(self, user_id: UserId, /) -> Profile:
        """Raises UserNotFound."""
