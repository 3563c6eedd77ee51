"""What the application needs from the world, each need a protocol that an adapter fulfils.

A port may raise, beside the domain's errors, what the world does to it:

    WorldError
    ├── Unavailable    it does not answer, or has no room now; worth another try later
    ├── TimedOut       it took longer than it was given
    └── Contention     two transactions stood in each other's way; `Runner` tries again
"""

from collections.abc import Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from application.queries.auth import AuthQueries
from application.queries.comments import CommentQueries
from application.queries.dashboard import DashboardQueries
from application.queries.invitations import InvitationQueries
from application.queries.memberships import MembershipQueries
from application.queries.notifications import NotificationQueries
from application.queries.tasks import TaskQueries
from application.queries.users import UserQueries
from application.queries.workspaces import WorkspaceQueries
from domain.aggregate import Aggregate, Event
from domain.auth import Credential, Session, SessionId
from domain.comments import Comment, CommentId
from domain.invitations import Invitation, InvitationId
from domain.memberships import Membership, MembershipId, Role
from domain.notifications import Notification, NotificationId
from domain.tasks import Task, TaskId
from domain.users import Email, User, UserId
from domain.workspaces import Workspace, WorkspaceId


class WorldError(Exception):
    """Something outside of this service failed."""


class Unavailable(WorldError):
    """Something that the service needs does not answer; try again soon."""


class TimedOut(WorldError):
    """Something that the service needs took too long."""


class Contention(WorldError):
    """Two changes stood in each other's way; try again."""


# ── storing ──────────────────────────────────────────────────────────────────────────────────────


class Repository[A: Aggregate, Id](Protocol):
    """A collection of aggregates that outlives the process. What it stores, it stores with its events.

    Whoever changes something may learn of a conflict at once, or only when the transaction ends; it is not
    for a use case to catch.
    """

    async def get(self, id: Id, /) -> A:
        """The aggregate; raises its NotFound."""

    async def add(self, aggregate: A, /) -> A:
        """Stores a new one and returns it without its events; raises its Conflicts."""

    async def save(self, aggregate: A, /) -> A:
        """Stores the next version of one that was read; raises Stale, or its Conflicts."""

    async def remove(self, aggregate: A, /) -> None:
        """Deletes one that was read; raises Stale."""


class Users(Repository[User, UserId], Protocol):
    async def by_email(self, email: Email, /) -> User | None: ...


@dataclass(frozen=True, slots=True)
class Standing:
    """What somebody is in a workspace at this moment, and whether the workspace is archived."""

    role: Role
    archived: bool


class Memberships(Repository[Membership, MembershipId], Protocol):
    async def standing(self, workspace_id: WorkspaceId, user_id: UserId, /) -> Standing | None:
        """`None` for somebody who is no member."""

    async def of(self, workspace_id: WorkspaceId, user_id: UserId, /) -> Membership:
        """The membership of one person; raises MemberNotFound."""

    async def lock_owners(self, workspace_id: WorkspaceId, /) -> Collection[Membership]:
        """The owners, of whom none can change or leave before this transaction ends."""


class Invitations(Repository[Invitation, InvitationId], Protocol):
    async def for_address(self, workspace_id: WorkspaceId, email: Email, /) -> Invitation | None: ...

    async def with_token(self, token_hash: str, /) -> Invitation:
        """Raises InvitationNotFound."""


@dataclass(frozen=True, slots=True)
class UnitOfWork:
    """One transaction: what it can reach, and the instant it happens at (aware UTC)."""

    now: datetime
    users: Users
    credentials: Repository[Credential, UserId]
    sessions: Repository[Session, SessionId]
    workspaces: Repository[Workspace, WorkspaceId]
    memberships: Memberships
    invitations: Invitations
    tasks: Repository[Task, TaskId]
    comments: Repository[Comment, CommentId]
    notifications: Repository[Notification, NotificationId]


type Begin = Callable[[], AbstractAsyncContextManager[UnitOfWork]]
"""Opens a transaction: committed when the block ends, rolled back when it raises."""

type Clock = Callable[[], datetime]
"""The present instant, aware UTC."""


# ── asking ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Queries:
    """Everything that can be asked. An answer is what was committed when it was asked."""

    auth: AuthQueries
    users: UserQueries
    workspaces: WorkspaceQueries
    memberships: MembershipQueries
    invitations: InvitationQueries
    tasks: TaskQueries
    comments: CommentQueries
    dashboard: DashboardQueries
    notifications: NotificationQueries


# ── events ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Delivery[E: Event]:
    """An event on its way to those who react. `id` stays the same when it is delivered again."""

    id: UUID
    event: E


type Reaction[E: Event] = Callable[[UnitOfWork, Delivery[E]], Awaitable[None]]
"""What one event causes. Runs in the transaction that marks the event as delivered; may run again."""


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """An event that waits, as an operator sees it. `attempts` counts the failures so far."""

    id: UUID
    type: str
    aggregate_id: UUID
    recorded_at: datetime
    attempts: int
    available_at: datetime
    parked_at: datetime | None
    last_error: str | None


class Outbox(Protocol):
    """The events that were committed and not yet delivered, in order for each aggregate.

    An event whose delivery keeps failing is parked; it and what follows it in its aggregate wait
    for an operator, so that the order holds.
    """

    async def deliver_next(self, react: Reaction[Event], /) -> bool:
        """Delivers one event that is due, at least once; False where none is due."""

    async def wait(self, seconds: float, /) -> None:
        """Returns when something may be due: an event was committed, or the seconds are over."""

    async def entries(self, *, parked_only: bool, limit: int) -> Collection[OutboxEntry]:
        """What waits, the oldest first."""

    async def replay(self, id: UUID | None, /) -> int:
        """Makes one parked event, or with `None` all of them, due again; how many there were."""


# ── identity ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is asking. `issuer` and `subject` are the provider's words for the same person."""

    user_id: UserId
    issuer: str
    subject: str


class TokenVerifier(Protocol):
    async def verify(self, token: str, /) -> Identity:
        """Who the bearer is; raises Unauthenticated, without the reason, for every kind of bad token."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A bearer token and how long it is good for, in seconds."""

    value: str
    expires_in: int


class TokenIssuer(Protocol):
    def issue(self, user_id: UserId, /) -> AccessToken:
        """A token that is good from now on."""


class PasswordHasher(Protocol):
    """Slow on purpose, and never on the event loop."""

    async def hash(self, password: str, /) -> str: ...

    async def verify(self, password: str, hash: str | None, /) -> bool:
        """Takes as long for `None`, an unknown account, as for a wrong password."""

    def is_outdated(self, hash: str, /) -> bool:
        """Made with weaker parameters than those of today."""
