"""The collections of users, workspaces, memberships and invitations, and what they answer beside."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from application.kernel.ports.storing import Repository
from domain.kernel.invitations import Invitation, InvitationId
from domain.kernel.memberships import Membership, MembershipId, Role
from domain.kernel.users import Email, User, UserId
from domain.kernel.workspaces import Workspace, WorkspaceId


class Users(Repository[User, UserId], Protocol):
    async def holder(self, email: Email, /) -> User | None:
        """Who has verified the address. Users who only claim it are not looked at."""

    async def recipient(self, email: Email, /) -> User | None:
        """Who a mail to the address is for: its holder, or else the newest of those who claim it and are not
        suspended."""

    async def take_email(self, user: User, /, *, at: datetime) -> None:
        """Takes the user's address from the others who claim it, and records an EmailLost for each.

        Comes before the user is stored as the one who has verified it: from here on no other user proves or
        loses it before this transaction ends.
        """

    async def lock(self, *ids: UserId) -> Collection[User]:
        """Those of these users that there are, of whom none can change before this transaction ends."""


class Workspaces(Repository[Workspace, WorkspaceId], Protocol):
    async def has_slug(self, slug: str, /) -> bool:
        """Whether any workspace has it."""

    async def add_with_made_slug(self, workspace: Workspace, /) -> Workspace:
        """As `add`, for one whose slug no person has chosen.

        Raises Contention where another transaction has just taken it: the use case then runs again.
        """


@dataclass(frozen=True, slots=True)
class Standing:
    """A user's role in a workspace at this moment, and whether the workspace is archived."""

    role: Role
    archived: bool


class Memberships(Repository[Membership, MembershipId], Protocol):
    async def standing(self, workspace_id: WorkspaceId, user_id: UserId, /) -> Standing | None:
        """`None` for a user who is not a member."""

    async def lock_standing(self, workspace_id: WorkspaceId, user_id: UserId, /) -> Standing | None:
        """The same, and `None` for a user who is suspended: neither their role nor that can change before
        this transaction ends."""

    async def of(self, workspace_id: WorkspaceId, user_id: UserId, /) -> Membership:
        """The membership of one person; raises MemberNotFound."""

    async def lock_owners(self, workspace_id: WorkspaceId, /, *beside: UserId) -> Collection[Membership]:
        """The owners, and the members that are named `beside`, by their ids.

        None of them can change or leave before this transaction ends.
        """

    async def lock_of(self, user_id: UserId, /) -> Collection[Membership]:
        """The user's memberships, and all owners of the workspaces of which the user is one.

        None of them can change or leave before this transaction ends.
        """


class Invitations(Repository[Invitation, InvitationId], Protocol):
    async def for_address(self, workspace_id: WorkspaceId, email: Email, /) -> Invitation | None: ...

    async def with_token(self, token_hash: str, /) -> Invitation:
        """Raises InvitationNotFound."""

    async def set_token(self, invitation: Invitation, /, *, token_hash: str) -> None:
        """Stores the fingerprint of the secret that accepts it, in place of the one before; raises Stale.

        The version stays: nothing that anybody sees has changed.
        """

    async def lapse(
        self,
        inviter: UserId,
        /,
        *,
        at: datetime,
        workspace_id: WorkspaceId | None = None,
        but: Collection[Role] = (),
    ) -> None:
        """Removes what the inviter offers, in one workspace or in all, but what is to one of these roles.

        Records an InvitationLapsed for each.
        """
