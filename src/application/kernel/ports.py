"""What the application needs from the world, each need a protocol that an adapter fulfils.

A port may raise, beside the domain's errors, what the world does to it:

    WorldError
    ├── Unavailable    it does not answer, or has no room now; worth another try later
    ├── TimedOut       it took longer than it was given
    └── Contention     two transactions stood in each other's way; `Runner` tries again
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from application.kernel.permissions import Permission
from application.kernel.queries.auth import AuthQueries
from application.kernel.queries.identities import IdentityQueries
from application.kernel.queries.invitations import InvitationQueries
from application.kernel.queries.memberships import MembershipQueries
from application.kernel.queries.users import UserQueries
from application.kernel.queries.workspaces import WorkspaceQueries
from application.queries.comments import CommentQueries
from application.queries.dashboard import DashboardQueries
from application.queries.notifications import NotificationQueries
from application.queries.tasks import TaskQueries
from domain.comments import Comment, CommentId
from domain.kernel.aggregate import Aggregate, Event
from domain.kernel.identity.auth import (
    Credential,
    OneTimeToken,
    OneTimeTokenId,
    Session,
    SessionId,
)
from domain.kernel.identity.identities import Link, LinkId
from domain.kernel.identity.signing_keys import SigningKey, SigningKeyId
from domain.kernel.invitations import Invitation, InvitationId
from domain.kernel.memberships import Membership, MembershipId, Role
from domain.kernel.users import Email, User, UserId
from domain.kernel.workspaces import Workspace, WorkspaceId
from domain.notifications import Notification, NotificationId
from domain.tasks import Task, TaskId


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


class Sessions(Repository[Session, SessionId], Protocol):
    async def add_by_password(self, session: Session, /, *, password_hash: str) -> Session:
        """Stores a new one, if that is its user's password still; raises WrongCredentials."""

    async def end_all(self, user_id: UserId, /, *, at: datetime, but: SessionId | None = None) -> None:
        """Ends the user's open sessions, all or all but one; a refresh at the same time fails."""


class OneTimeTokens(Repository[OneTimeToken, OneTimeTokenId], Protocol):
    async def with_token(self, token_hash: str, /) -> OneTimeToken:
        """Raises OneTimeTokenNotFound."""

    async def remove_earlier(self, token: OneTimeToken, /) -> None:
        """Removes its user's others with the same purpose: only the newest is good."""


class Links(Repository[Link, LinkId], Protocol):
    async def of(self, issuer: str, subject: str, /) -> Link | None: ...

    async def lock_of(self, user_id: UserId, /) -> Collection[Link]:
        """The user's links, of which none can change or go before this transaction ends."""

    async def remove_all(self, user_id: UserId, /) -> None:
        """Removes every link of the user."""

    async def is_all_of_its_user(self, link: Link, /) -> bool:
        """Whether its user is nothing without it: no password, no other link, no workspace, and nothing that
        they left behind in one. No more comes to them before this transaction ends."""


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What was answered under an idempotency key: to which request, by its fingerprint, and what, sealed."""

    fingerprint: bytes
    answer: str


class KeptAnswers(Protocol):
    """The answers to requests that came with an idempotency key, each until it expires."""

    async def claim(self, key: bytes, /) -> KeptAnswer | None:
        """What is kept under the key, which nobody else can claim before this transaction ends.

        Raises IdempotencyKeyInUse, without waiting, where another transaction has claimed it.
        """

    async def keep(self, key: bytes, kept: KeptAnswer, /) -> None:
        """Keeps it under a key that was claimed; raises Contention where another was first after all."""


@dataclass(frozen=True, slots=True)
class UnitOfWork:
    """One transaction: what it can reach, and the instant it happens at (aware UTC)."""

    now: datetime
    users: Users
    credentials: Repository[Credential, UserId]
    sessions: Sessions
    one_time_tokens: OneTimeTokens
    signing_keys: Repository[SigningKey, SigningKeyId]
    links: Links
    workspaces: Repository[Workspace, WorkspaceId]
    memberships: Memberships
    invitations: Invitations
    tasks: Repository[Task, TaskId]
    comments: Repository[Comment, CommentId]
    notifications: Repository[Notification, NotificationId]
    kept_answers: KeptAnswers


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
    identities: IdentityQueries
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


# ── what has had its time ────────────────────────────────────────────────────────────────────────


class Expiry(Protocol):
    """What nobody can use any more, to be deleted: at most so many at a time, and how many there were.

    Any number of processes may delete side by side. None waits for another, and they share what there is.
    """

    async def delete_kept_answers(self, most: int, /) -> int:
        """The answers under idempotency keys whose time is over."""

    async def delete_one_time_tokens(self, most: int, /) -> int:
        """Those that have expired."""

    async def delete_sessions(self, most: int, /) -> int:
        """Those that ended or expired 30 days ago: until then they tell whoever looks into a misuse."""


# ── identity ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a good token says of its bearer, in the words of whoever issued it.

    `issuer` and `subject` together name a person for good. `roles` are the provider's own (roles, groups,
    permissions), `scopes` what the client was given. Nothing but an `email` with `email_verified` was checked
    by the provider. `session_id` is there in the built-in provider's tokens alone. Times are Unix seconds.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who is asking. `issuer` and `subject` are the provider's words for the same person.

    `permissions` hold in the whole service; what somebody may do in a workspace is their membership's.
    """

    user_id: UserId
    issuer: str
    subject: str
    client: str | None = None
    scopes: frozenset[str] = frozenset()
    permissions: frozenset[Permission] = frozenset()
    session_id: SessionId | None = None


class Accounts(Protocol):
    """The people behind the proofs."""

    async def recognise(self, proof: Proof, /) -> Identity:
        """Who that is here; raises Unauthenticated when they are suspended or their session has ended."""


class TokenVerifier(Protocol):
    async def verify(self, token: str, /) -> Identity:
        """Who the bearer is; raises Unauthenticated, without the reason, for every kind of bad token."""

    async def prove(self, token: str, /) -> Proof:
        """What the token says, whoever that may be here; raises Unauthenticated as `verify` does."""


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


# ── logging in elsewhere ─────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginSecrets:
    """What ties a provider's answer to the browser that was sent there.

    The state (RFC 6749 §10.12), the nonce (OpenID Connect Core §3.1.2.1) and the code verifier of PKCE
    (RFC 7636 §4.1).
    """

    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderAnswer:
    """What a browser brings back from a provider, unchecked. `issuer` is `iss` (RFC 9207)."""

    state: str
    code: str | None = None
    error: str | None = None
    issuer: str | None = None


class LoginProvider(Protocol):
    """A provider that people log in through: the authorization code flow of OpenID Connect, with PKCE."""

    @property
    def issuer(self) -> str: ...

    async def address(self, secrets: LoginSecrets, /) -> str:
        """Where the browser has to go; raises Unavailable."""

    async def redeem(self, answer: ProviderAnswer, secrets: LoginSecrets, /) -> Proof:
        """Who logged in there; `state` is checked by then.

        Raises LoginDenied, LoginRefused and Unavailable.
        """


class Seal(Protocol):
    """Texts that are kept elsewhere and come back: nobody else can read one, make one, or change its name.

    `name` says whose or which text it is, so that one cannot be put in another's place.
    """

    def seal(self, text: str, /, *, name: str = "") -> str: ...

    def unseal(self, sealed: str, /, *, name: str = "") -> str | None:
        """`None` for whatever `seal` did not make under this name."""


class CookieVerifier(Protocol):
    async def verify(self, value: str, /) -> Identity:
        """Whose session the cookie opens; raises Unauthenticated, without the reason."""


# ── attempts ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Client:
    """Who is at the other end of the connection: the network address, and what the program calls itself."""

    address: str = ""
    agent: str = ""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` attempts under one key, from the first until `window` later."""

    key: str
    most: int
    window: timedelta


class Attempts(Protocol):
    """How often something was tried, forgotten when the window of its limit is over."""

    async def check(self, limits: Sequence[Limit], /) -> Collection[Limit]:
        """Those under which something is counted; raises TooManyAttempts where one is used up."""

    async def count(self, limits: Sequence[Limit], /) -> None:
        """One more under each; raises TooManyAttempts where that is more than one of them allows."""

    async def forget(self, limits: Sequence[Limit], /) -> None:
        """Begins anew."""


# ── mail ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A message in plain text to one address."""

    to: Email
    subject: str
    text: str


class Mailer(Protocol):
    async def send(self, mail: Mail, /) -> None:
        """Returns when another server has taken the mail over; raises WorldError."""
