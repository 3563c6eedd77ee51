"""What users can ask about themselves, and those who look after the service about users."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, Protocol

from application.kernel.paging import Length, Page, PageRequest, Sort
from application.kernel.ports.callers import Caller
from domain.kernel.users import EMAIL_MOST, GlobalRole, UserId


@dataclass(slots=True)
class Profile:
    """The user who is logged in. The address is `null` where a provider did not tell it.

    `pending_email` takes its place once it is proved; until then it is good for no log-in.
    """

    id: UserId
    email: str | None
    email_verified: bool
    pending_email: str | None
    display_name: str
    roles: tuple[GlobalRole, ...]
    created_at: datetime
    version: int


@dataclass(slots=True)
class UserView:
    """A user, as those see them who look after the service. A deleted one is suspended as well, for good."""

    id: UserId
    email: str | None
    email_verified: bool
    display_name: str
    roles: tuple[GlobalRole, ...]
    created_at: datetime
    suspended_at: datetime | None
    deleted_at: datetime | None
    version: int


type UserSortKey = Annotated[Literal["created_at", "email"], Sort("created_at", descending=True)]
"""Users without an address come first when sorted by it upwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFilter:
    """Which users. All filters that are given have to hold."""

    q: Annotated[str | None, Length(EMAIL_MOST)] = None
    """How the e-mail address or the name begins, in capital or small letters."""

    suspended: bool | None = None
    """Only those who are suspended, or only those who are not."""

    deleted: bool | None = None
    """Only those whose account is deleted, or only those whose account is there."""

    role: GlobalRole | None = None
    """Who have this role in the whole service."""


class UserQueries(Protocol):
    async def profile(self, user_id: UserId, /) -> Profile:
        """Raises UserNotFound."""

    async def get(self, actor: Caller, user_id: UserId, /) -> UserView:
        """For those who may read users; raises NotPermitted, UserNotFound."""

    async def page(
        self, actor: Caller, where: UserFilter, sort: Sequence[Sort[UserSortKey]], page: PageRequest, /
    ) -> Page[UserView]:
        """For those who may read users; raises NotPermitted, InvalidCursor."""
