"""The outside world in memory: what stands in for Postgres, the clock, the tokens and the passwords.

`MemoryTransactions` promises what Postgres promises, and runs the same contract suite. It differs in one
thing: its transactions take turns, so that none ever sees another one's half-done work.
"""

import asyncio
import re
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from math import ceil
from operator import attrgetter
from types import coroutine
from typing import Any, cast, get_type_hints, override
from uuid import UUID

from sqlalchemy import (
    BinaryExpression,
    Column,
    Constraint,
    ForeignKeyConstraint,
    Index,
    Null,
    Table,
    UniqueConstraint,
)
from sqlalchemy.sql.operators import is_, is_not

from adapters.postgres.kernel.discovery import import_tables, repositories_of
from adapters.postgres.kernel.tables.repository import PostgresRepository
from adapters.postgres.kernel.users import PostgresUsers
from application.kernel.idempotency import IdempotencyKeyInUse
from application.kernel.paging import Page, PageRequest
from application.kernel.ports.attempts import Limit
from application.kernel.ports.audit import Entry
from application.kernel.ports.callers import Caller, Claims
from application.kernel.ports.logins import LoginSecrets, ProviderAnswer
from application.kernel.ports.mail import Mail
from application.kernel.ports.sessions import AccessToken, Links, OneTimeTokens, Sessions
from application.kernel.ports.storing import Clock, KeptAnswer
from application.kernel.ports.tenancy import Invitations, Memberships, Standing, Users, Workspaces
from application.kernel.ports.world import Contention, WorldError
from application.kernel.queries.auth import (
    CLAIMANTS,
    KnownCookie,
    KnownCredential,
    PasswordOwner,
    SessionView,
)
from application.kernel.queries.identities import KnownSession, KnownUser, LinkView
from application.kernel.unit_of_work import KernelUnitOfWork, Seen
from domain.kernel.aggregate import Aggregate, Event
from domain.kernel.errors import DomainError, Stale, Unauthenticated
from domain.kernel.identity.credentials import Credential, TooManyAttempts, WrongCredentials
from domain.kernel.identity.identities import Link, LinkId
from domain.kernel.identity.one_time_tokens import (
    VOIDED,
    OneTimeToken,
    OneTimeTokenId,
    OneTimeTokenNotFound,
    Purpose,
)
from domain.kernel.identity.sessions import Session, SessionId, SessionKind
from domain.kernel.identity.signing_keys import SigningKey
from domain.kernel.invitations import Invitation, InvitationId, InvitationLapsed, InvitationNotFound
from domain.kernel.memberships import MemberNotFound, Membership, MembershipId, Role
from domain.kernel.users import UNNAMED, Email, EmailLost, User, UserId
from domain.kernel.workspaces import Workspace, WorkspaceId


class FakeClock:
    """Stands still until it is told otherwise."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> None:
        self.now += by


# ── storing ──────────────────────────────────────────────────────────────────────────────────────


class Tables:
    """What is stored: the rows of each kind of aggregate, by id, the events in the order they came, and the
    kept answers, by their keys, with the instant of each."""

    def __init__(self) -> None:
        self._rows: defaultdict[type[Aggregate], dict[UUID, Any]] = defaultdict(dict)
        self.events: list[Event] = []
        self.answers: dict[bytes, tuple[KeptAnswer, datetime]] = {}
        self.refused = False

    def of[A: Aggregate](self, kind: type[A]) -> dict[UUID, A]:
        return self._rows[kind]

    def copy(self) -> "Tables":
        copied = Tables()
        copied._rows.update({kind: dict(rows) for kind, rows in self._rows.items()})
        copied.events = list(self.events)
        copied.answers = dict(self.answers)
        return copied

    def referring_to(self, table: Table, row: Aggregate) -> Iterator[tuple[ForeignKeyConstraint, Any]]:
        """The rows that a foreign key has point to `row` of `table`."""
        for other, kind in kinds_by_table().items():
            for foreign_key in other.foreign_key_constraints:
                if foreign_key.referred_table is table:
                    here = [getattr(row, element.column.name) for element in foreign_key.elements]
                    for each in list(self.of(kind).values()):
                        if [getattr(each, name) for name in foreign_key.column_keys] == here:
                            yield foreign_key, each


@cache
def kinds_by_table() -> dict[Table, type[Aggregate]]:
    """Whose rows are in a table, for each table that a repository has."""
    import_tables()
    return {known.table: known.entity for known in PostgresRepository.registry}


_FORGOTTEN = re.compile(r"SET NULL(?: \((?P<columns>[\w, ]+)\))?")


class MemoryRepository[A: Aggregate, Id: UUID]:
    """What all repositories do; the subclasses add the questions that only theirs answers.

    What is unique, what refers to what, and which error says so, is read from the declaration of the Postgres
    repository and its table, so the two cannot differ.
    """

    def __init__(self, tables: Tables, declared: type[PostgresRepository[A, Id]], seen: Seen | None) -> None:
        self._tables = tables
        self._declared = declared
        self._rows: dict[UUID, A] = tables.of(cast("type[A]", declared.entity))
        self._seen = seen

    async def get(self, id: Id, /) -> A:
        if id not in self._rows:
            raise self._declared.missing
        return self._read(self._rows[id])

    async def add(self, aggregate: A, /) -> A:
        if _id_of(aggregate) in self._rows:
            raise KeyError(f"{_id_of(aggregate)} was added before.")
        return self._write(aggregate, version=1)

    async def save(self, aggregate: A, /) -> A:
        self._ensure_current(aggregate)
        return self._write(aggregate, version=aggregate.version + 1)

    async def remove(self, aggregate: A, /) -> None:
        self._ensure_current(aggregate)
        self._delete(self._declared.table, aggregate)
        self._tables.events += aggregate.events

    def _read(self, row: A) -> A:
        if self._seen is not None:
            self._seen(row)
        return row

    def _ensure_current(self, aggregate: A) -> None:
        stored = self._rows.get(_id_of(aggregate))
        if stored is None or stored.version != aggregate.version:
            raise self._refusal(Stale())

    def _write(self, aggregate: A, *, version: int) -> A:
        self._ensure_unique(aggregate)
        self._ensure_references(aggregate)
        self._tables.events += aggregate.events
        self._rows[_id_of(aggregate)] = stored = replace(aggregate, version=version, events=())
        return stored

    def _ensure_unique(self, aggregate: A) -> None:
        others = [row for id, row in self._rows.items() if id != _id_of(aggregate)]
        table = self._declared.table
        uniques: list[UniqueConstraint | Index] = [index for index in table.indexes if index.unique]
        uniques += [each for each in table.constraints if isinstance(each, UniqueConstraint)]
        for unique in uniques:
            names = [column.name for column in unique.columns]
            key = [getattr(aggregate, name) for name in names]
            # As in SQL, nothing equals NULL.
            if None in key or not _is_held(unique, aggregate):
                continue
            if any([getattr(row, name) for name in names] == key for row in others if _is_held(unique, row)):
                raise self._broken(unique)

    def _ensure_references(self, aggregate: A) -> None:
        for foreign_key in self._declared.table.foreign_key_constraints:
            key = [getattr(aggregate, name) for name in foreign_key.column_keys]
            if None in key:
                continue
            names = [element.column.name for element in foreign_key.elements]
            kind = kinds_by_table()[foreign_key.referred_table]
            if not any(
                [getattr(row, name) for name in names] == key for row in self._tables.of(kind).values()
            ):
                raise self._broken(foreign_key)

    def _delete(self, table: Table, row: Aggregate) -> None:
        """The row, and what foreign keys say of those that point to it; whom none of them lets go must not
        be left when all is done, which is when PostgreSQL looks (NO ACTION)."""
        left: list[tuple[ForeignKeyConstraint, Aggregate]] = []
        self._cascade(table, row, left)
        for foreign_key, pointing in left:
            if _id_of(pointing) in self._tables.of(type(pointing)):
                raise self._broken(foreign_key)

    def _cascade(
        self, table: Table, row: Aggregate, left: list[tuple[ForeignKeyConstraint, Aggregate]]
    ) -> None:
        del self._tables.of(type(row))[_id_of(row)]
        for foreign_key, pointing in self._tables.referring_to(table, row):
            if _id_of(pointing) not in self._tables.of(type(pointing)):
                continue  # it went by another foreign key
            if foreign_key.ondelete == "CASCADE":
                self._cascade(foreign_key.table, pointing, left)
            elif forgotten := _FORGOTTEN.fullmatch(foreign_key.ondelete or ""):
                names = (forgotten["columns"] or ",".join(foreign_key.column_keys)).split(",")
                # A trigger raises the version, which tells whoever read the row that it changed.
                changed = replace(
                    pointing, version=pointing.version + 1, **{name.strip(): None for name in names}
                )
                self._tables.of(type(pointing))[_id_of(pointing)] = changed
            else:
                left.append((foreign_key, pointing))

    def _broken(self, constraint: Constraint | Index) -> Exception:
        """The error that a broken constraint becomes; one that nothing names is a defect, as in Postgres."""
        conflict = self._declared.conflicts.get(str(constraint.name))
        if conflict is None:
            return LookupError(f"{constraint.name} is broken, and no conflict of the repository names it.")
        return self._refusal(conflict())

    def _refusal[E: DomainError | WorldError](self, error: E) -> E:
        """From here on the transaction cannot be committed, even if somebody catches the error."""
        self._tables.refused = True
        return error

    def _first(self, condition: Callable[[A], bool]) -> A | None:
        found = next(filter(condition, self._rows.values()), None)
        return None if found is None else self._read(found)


_id_of: Callable[[Aggregate], UUID] = attrgetter("id")


def _is_held(unique: UniqueConstraint | Index, row: Aggregate) -> bool:
    """Whether a row is one of those among which something is unique: in a partial index, where its condition
    holds, which is that a column is or is not NULL."""
    where = unique.dialect_options["postgresql"]["where"] if isinstance(unique, Index) else None
    if where is None:
        return True
    if (
        isinstance(where, BinaryExpression)
        and isinstance(where.left, Column)
        and isinstance(where.right, Null)
        and where.operator in {is_, is_not}
    ):
        return (getattr(row, where.left.name) is None) is (where.operator is is_)
    raise NotImplementedError(f"{unique.name}: the fake does not know the condition {where}.")


def claimants(users: Iterable[User], email: Email) -> list[User]:
    """Who claims an address, and is not suspended, the newest first."""
    found = [user for user in users if user.email == email and not user.email_verified]
    return sorted((user for user in found if user.suspended_at is None), key=_id_of, reverse=True)


class MemoryUsers(MemoryRepository[User, UserId], Users):
    @override
    async def holder(self, email: Email, /) -> User | None:
        return self._first(lambda user: user.email == email and user.email_verified)

    @override
    async def recipient(self, email: Email, /) -> User | None:
        found = await self.holder(email) or next(iter(claimants(self._rows.values(), email)), None)
        return None if found is None else self._read(found)

    @override
    async def take_email(self, user: User, /, *, at: datetime) -> None:
        for other in list(self._rows.values()):
            if other.email == user.email and other.id != user.id and not other.email_verified:
                lost = EmailLost(at=at, user_id=other.id)
                await self.save(replace(other, email=None).recording(lost))

    @override
    async def lock(self, *ids: UserId) -> list[User]:
        """Nothing to lock: transactions take turns."""
        return [self._read(self._rows[id]) for id in sorted({*ids}) if id in self._rows]


class MemoryWorkspaces(MemoryRepository[Workspace, WorkspaceId], Workspaces):
    @override
    async def has_slug(self, slug: str, /) -> bool:
        return self._first(lambda workspace: workspace.slug == slug) is not None

    @override
    async def add_with_made_slug(self, workspace: Workspace, /) -> Workspace:
        """Transactions take turns, so nobody has taken it meanwhile."""
        return await self.add(workspace)


class MemorySessions(MemoryRepository[Session, SessionId], Sessions):
    @override
    async def add_by_password(self, session: Session, /, *, password_hash: str) -> Session:
        credential = self._tables.of(Credential).get(session.user_id)
        if credential is None or credential.password_hash != password_hash:
            raise self._refusal(WrongCredentials())
        return await self.add(session)

    @override
    async def end_all(
        self, user_id: UserId, /, *, at: datetime, but: SessionId | None = None, event: Event | None = None
    ) -> None:
        ended = [
            session
            for session in self._rows.values()
            if session.user_id == user_id and session.ended_at is None and session.id != but
        ]
        for session in ended:
            await self.save(replace(session, ended_at=at))
        if ended and event is not None:
            self._tables.events.append(event)

    @override
    async def end_oldest(self, user_id: UserId, /, *, keeping: int, at: datetime) -> None:
        """Nothing to lock: transactions take turns."""
        theirs = [row for row in self._rows.values() if row.user_id == user_id and row.is_open(at)]
        newest = sorted(theirs, key=lambda row: (row.created_at, row.id), reverse=True)
        for session in newest[keeping:]:
            await self.save(replace(session, ended_at=at))


class MemoryOneTimeTokens(MemoryRepository[OneTimeToken, OneTimeTokenId], OneTimeTokens):
    @override
    async def with_token(self, token_hash: str, /) -> OneTimeToken:
        found = self._first(lambda row: row.token_hash == token_hash)
        if found is None:
            raise OneTimeTokenNotFound
        return found

    @override
    async def add_or_replace(self, tokens: Collection[OneTimeToken], /) -> None:
        for token in tokens:
            for row in list(self._rows.values()):
                if row.token_hash == token.token_hash:
                    await self.remove(row)
            await self.add(token)

    @override
    async def remove_earlier(self, token: OneTimeToken, /) -> None:
        for row in list(self._rows.values()):
            if (row.user_id, row.purpose) == (token.user_id, token.purpose) and row.id != token.id:
                await self.remove(row)

    @override
    async def void(
        self, user_id: UserId, /, purposes: Collection[Purpose] = VOIDED, *, since: datetime | None = None
    ) -> None:
        for row in list(self._rows.values()):
            if (
                row.user_id == user_id
                and row.purpose in purposes
                and (since is None or row.created_at >= since)
            ):
                await self.remove(row)


class MemoryLinks(MemoryRepository[Link, LinkId], Links):
    @override
    async def of(self, issuer: str, subject: str, /) -> Link | None:
        return self._first(lambda row: (row.issuer, row.subject) == (issuer, subject))

    @override
    async def lock_of(self, user_id: UserId, /) -> list[Link]:
        """Nothing to lock: transactions take turns."""
        found = sorted((row for row in self._rows.values() if row.user_id == user_id), key=_id_of)
        return [self._read(row) for row in found]

    @override
    async def remove_all(self, user_id: UserId, /, *, recording: Event) -> None:
        found = await self.lock_of(user_id)
        self._tables.events += [recording] if found else []
        for link in found:
            await self.remove(link)

    @override
    async def is_all_of_its_user(self, link: Link, /) -> bool:
        user = self._tables.of(User)[link.user_id]
        pointing = self._tables.referring_to(PostgresUsers.table, user)
        return not any(row != link for _, row in pointing if not isinstance(row, Session | OneTimeToken))


class MemoryMemberships(MemoryRepository[Membership, MembershipId], Memberships):
    @override
    async def standing(self, workspace_id: WorkspaceId, user_id: UserId, /) -> Standing | None:
        membership = self._of(workspace_id, user_id)
        if membership is None:
            return None
        workspace = self._tables.of(Workspace)[workspace_id]
        return Standing(role=membership.role, archived=workspace.archived_at is not None)

    @override
    async def lock_standing(self, workspace_id: WorkspaceId, user_id: UserId, /) -> Standing | None:
        """Nothing to lock: transactions take turns."""
        if self._tables.of(User)[user_id].suspended_at is not None:
            return None
        return await self.standing(workspace_id, user_id)

    @override
    async def of(self, workspace_id: WorkspaceId, user_id: UserId, /) -> Membership:
        membership = self._of(workspace_id, user_id)
        if membership is None:
            raise MemberNotFound
        return self._read(membership)

    @override
    async def lock_owners(self, workspace_id: WorkspaceId, /, *beside: UserId) -> list[Membership]:
        """Nothing to lock: transactions take turns."""
        rows = [row for row in self._rows.values() if row.workspace_id == workspace_id]
        locked = [row for row in rows if row.role is Role.OWNER or row.user_id in beside]
        return [self._read(row) for row in sorted(locked, key=_id_of)]

    @override
    async def lock_of(self, user_id: UserId, /) -> list[Membership]:
        """Nothing to lock: transactions take turns."""
        rows = self._rows.values()
        owned = {row.workspace_id for row in rows if row.user_id == user_id and row.role is Role.OWNER}
        locked = [
            row
            for row in rows
            if row.user_id == user_id or (row.role is Role.OWNER and row.workspace_id in owned)
        ]
        return [self._read(row) for row in sorted(locked, key=_id_of)]

    def _of(self, workspace_id: WorkspaceId, user_id: UserId) -> Membership | None:
        rows = self._rows.values()
        return next((row for row in rows if (row.workspace_id, row.user_id) == (workspace_id, user_id)), None)


class MemoryInvitations(MemoryRepository[Invitation, InvitationId], Invitations):
    @override
    async def for_address(self, workspace_id: WorkspaceId, email: Email, /) -> Invitation | None:
        return self._first(lambda row: (row.workspace_id, row.email) == (workspace_id, email))

    @override
    async def with_token(self, token_hash: str, /) -> Invitation:
        invitation = self._first(lambda row: row.token_hash == token_hash)
        if invitation is None:
            raise InvitationNotFound
        return invitation

    @override
    async def set_token(self, invitation: Invitation, /, *, token_hash: str) -> None:
        self._ensure_current(invitation)
        self._write(replace(invitation, token_hash=token_hash), version=invitation.version)

    @override
    async def lapse(
        self,
        inviter: UserId,
        /,
        *,
        at: datetime,
        workspace_id: WorkspaceId | None = None,
        but: Collection[Role] = (),
    ) -> None:
        for row in list(self._rows.values()):
            if row.invited_by == inviter and workspace_id in {None, row.workspace_id} and row.role not in but:
                lapsed = InvitationLapsed(at=at, workspace_id=row.workspace_id, invitation_id=row.id)
                await self.remove(row.recording(lapsed))


class MemoryKeptAnswers:
    """A `KeptAnswers`. Transactions take turns, so a test says which keys are `claimed` by another one."""

    def __init__(
        self, tables: Tables, *, now: datetime, lifetime: timedelta, claimed: Collection[bytes]
    ) -> None:
        self._tables = tables
        self._now = now
        self._lifetime = lifetime
        self._claimed = claimed

    async def claim(self, key: bytes, /) -> KeptAnswer | None:
        if key in self._claimed:
            raise IdempotencyKeyInUse
        return self._kept(key)

    async def keep(self, key: bytes, kept: KeptAnswer, /) -> None:
        if self._kept(key):
            self._tables.refused = True
            raise Contention("The same request was answered meanwhile.")
        self._tables.answers[key] = kept, self._now

    def _kept(self, key: bytes) -> KeptAnswer | None:
        kept, at = self._tables.answers.get(key, (None, self._now))
        return kept if self._now < at + self._lifetime else None


class MemoryTransactions[U: KernelUnitOfWork]:
    """A `Begin`. A transaction works on a copy of the tables, which takes their place when it commits.

    `failures` are raised by the next transactions, one each, in place of committing; `claimed` are the
    idempotency keys that a transaction elsewhere has.
    """

    def __init__(
        self, clock: Clock, unit_of_work: type[U], *, answers_kept: timedelta = timedelta(hours=24)
    ) -> None:
        self._clock = clock
        self._unit_of_work = unit_of_work
        self._repositories = _memory_repositories(unit_of_work)
        self._answers_kept = answers_kept
        self.claimed: set[bytes] = set()
        self._turn = asyncio.Lock()
        self.committed = Tables()
        self.failures: deque[Exception] = deque()

    @property
    def events(self) -> list[Event]:
        """Everything that committed transactions emitted, in order."""
        return self.committed.events

    def unknown_users(self, aggregates: Iterable[Aggregate]) -> list[UserId]:
        """The users that these refer to, and that are neither stored nor among them."""
        aggregates, tables = list(aggregates), {kind: table for table, kind in kinds_by_table().items()}
        known = {*self.committed.of(User), *(each.id for each in aggregates if isinstance(each, User))}
        named = [
            getattr(each, foreign_key.column_keys[0])
            for each in aggregates
            for foreign_key in tables[type(each)].foreign_key_constraints
            if foreign_key.referred_table is PostgresUsers.table
        ]
        return [user_id for user_id in dict.fromkeys(named) if user_id is not None and user_id not in known]

    @asynccontextmanager
    async def __call__(self, seen: Seen | None = None, /) -> AsyncIterator[U]:
        async with self._turn:
            tables = self.committed.copy()
            await _interruption()
            now = self._clock()

            def make(name: str) -> Any:
                if name == "kept_answers":
                    return MemoryKeptAnswers(
                        tables, now=now, lifetime=self._answers_kept, claimed=self.claimed
                    )
                memory, declared = self._repositories[name]
                return memory(tables, declared, seen)

            yield self._unit_of_work(now, make)
            if tables.refused:
                raise RuntimeError("Nothing was committed: somebody caught a conflict.")
            if self.failures:
                raise self.failures.popleft()
            self.committed = tables


@coroutine
def _interruption() -> Generator[None]:
    """Whatever else could run, runs now: only their turns keep transactions apart."""
    yield


def _memory_repositories(
    unit_of_work: type[KernelUnitOfWork],
) -> dict[str, tuple[type[MemoryRepository[Any, Any]], type[PostgresRepository[Any, Any]]]]:
    """For each collection what stands in for it: the subclass here that has its port, or what all do."""
    hints = get_type_hints(unit_of_work)
    found = {}
    for name, declared in cast(
        "dict[str, type[PostgresRepository[Any, Any]]]", repositories_of(unit_of_work)
    ).items():
        ports = [hints[name]] if isinstance(hints[name], type) else []
        special = [fake for port in ports for fake in _subclasses(MemoryRepository) if port in fake.__mro__]
        found[name] = (special[0] if special else MemoryRepository, declared)
    return found


def _subclasses[T](kind: type[T]) -> Iterator[type[T]]:
    for child in kind.__subclasses__():
        yield child
        yield from _subclasses(child)


# ── asking ───────────────────────────────────────────────────────────────────────────────────────


class FakeAuthQueries:
    """What use cases and the key ring depend on, answered from what was committed."""

    def __init__(self, transactions: MemoryTransactions[Any]) -> None:
        self._transactions = transactions

    async def credentials(self, email: Email, /) -> list[KnownCredential]:
        tables = self._transactions.committed
        users, hashes = tables.of(User).values(), tables.of(Credential)
        holder = [user for user in users if user.email == email and user.email_verified]
        return [
            KnownCredential(user.id, hashes[user.id].password_hash, user.suspended_at is not None)
            for user in holder or claimants(users, email)
            if user.id in hashes
        ][:CLAIMANTS]

    async def known(self, user_id: UserId, /) -> PasswordOwner | None:
        tables = self._transactions.committed
        user, credential = tables.of(User).get(user_id), tables.of(Credential).get(user_id)
        if user is None:
            return None
        return PasswordOwner(user.email, user.display_name, credential.password_hash if credential else None)

    async def resetting(self, token_hash: str, /) -> PasswordOwner | None:
        for token in self._transactions.committed.of(OneTimeToken).values():
            resets = token.purpose is Purpose.RESET_PASSWORD
            if resets and token.token_hash == token_hash and token.user_id is not None:
                return await self.known(token.user_id)
        return None

    async def session(
        self, viewer: UserId, session_id: SessionId, /, *, current: SessionId | None
    ) -> SessionView:
        raise NotImplementedError  # no use case asks

    async def sessions(
        self, viewer: UserId, page: PageRequest, /, *, current: SessionId | None
    ) -> Page[SessionView]:
        raise NotImplementedError  # no use case asks

    async def signing_keys(self) -> list[SigningKey]:
        keys = self._transactions.committed.of(SigningKey).values()
        return sorted(keys, key=lambda key: key.number)

    async def cookie(self, session_id: SessionId, /) -> KnownCookie | None:
        tables = self._transactions.committed
        session = tables.of(Session).get(session_id)
        if session is None or session.kind is not SessionKind.COOKIE:
            return None
        user = tables.of(User)[session.user_id]
        return KnownCookie(
            session.id,
            session.token_hash,
            session.used_at,
            session.expires_at,
            session.ended_at,
            user.id,
            user.roles,
            user.suspended_at,
            session.authenticated_at,
        )


class FakeIdentityQueries:
    """Who is behind a proof, answered from what was committed. `asked` counts the questions."""

    def __init__(self, transactions: MemoryTransactions[Any]) -> None:
        self._transactions = transactions
        self.asked = 0

    async def linked(self, issuer: str, subject: str, /) -> KnownUser | None:
        self.asked += 1
        tables = self._transactions.committed
        for link in tables.of(Link).values():
            if (link.issuer, link.subject) == (issuer, subject):
                user = tables.of(User)[link.user_id]
                lacks_email, lacks_name = user.email is None, user.display_name == UNNAMED
                return KnownUser(user.id, user.roles, user.suspended_at, lacks_email, lacks_name)
        return None

    async def session(self, user_id: UserId, session_id: SessionId, /) -> KnownSession | None:
        self.asked += 1
        tables = self._transactions.committed
        user, session = tables.of(User).get(user_id), tables.of(Session).get(session_id)
        if user is None or session is None or session.user_id != user_id:
            return None
        return KnownSession(
            user.id,
            user.roles,
            user.suspended_at,
            session.expires_at,
            session.ended_at,
            session.authenticated_at,
        )

    async def get(self, viewer: UserId, link_id: LinkId, /) -> LinkView:
        raise NotImplementedError  # no use case asks

    async def page(self, viewer: UserId, page: PageRequest, /) -> Page[LinkView]:
        links = [link for link in self._transactions.committed.of(Link).values() if link.user_id == viewer]
        views = [
            LinkView(link.id, link.issuer, link.subject, link.created_at, link.version) for link in links
        ]
        return Page(items=views[: page.limit], next=None, total=len(views) if page.counted else None)


# ── attempts and mail ────────────────────────────────────────────────────────────────────────────


class MemoryAttempts:
    """An `Attempts` that is forgotten with the test."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counted: dict[str, tuple[int, datetime]] = {}

    async def check(self, limits: Sequence[Limit], /) -> Sequence[Limit]:
        counted = [(limit, *self._of(limit)) for limit in limits]
        self._ensure([(limit.most - 1, count, end) for limit, count, end in counted])
        return [limit for limit, count, _ in counted if count]

    async def count(self, limits: Sequence[Limit], /) -> Sequence[Limit]:
        for limit in limits:
            count, end = self._of(limit)
            self._counted[limit.key] = count + 1, end
        self._ensure([(limit.most, *self._of(limit)) for limit in limits])
        return [limit for limit in limits if self._of(limit)[0] == limit.most]

    async def take_back(self, limits: Sequence[Limit], /) -> None:
        for limit in limits:
            count, end = self._of(limit)
            if count:
                self._counted[limit.key] = count - 1, end

    async def forget(self, limits: Sequence[Limit], /) -> None:
        for limit in limits:
            self._counted.pop(limit.key, None)

    def _of(self, limit: Limit) -> tuple[int, datetime]:
        now = self._clock()
        count, end = self._counted.get(limit.key, (0, now))
        return (count, end) if end > now else (0, now + limit.window)

    def _ensure(self, found: Sequence[tuple[int, int, datetime]]) -> None:
        used_up = [end for most, count, end in found if count > most]
        if used_up:
            left = max(used_up) - self._clock()
            raise TooManyAttempts(retry_after=max(1, ceil(left.total_seconds())))


class MemoryAudit:
    """An `Audit` that keeps what it is given, and the most that was to be told apart."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.most: set[int] = set()

    async def note(self, entry: Entry, /, *, most: int) -> None:
        self.entries.append(entry)
        self.most.add(most)


class FakePseudonyms:
    """Hides nothing."""

    def of(self, text: str, /) -> str:
        return f"hash of {text}"


class FakeMailer:
    """Keeps what it is given. `failures` are raised by the next mails, one each.

    Where it is `full`, every mail is withheld.
    """

    def __init__(self) -> None:
        self.sent: list[Mail] = []
        self.failures: deque[Exception] = deque()
        self.full = False

    async def send(self, mail: Mail, /) -> bool:
        if self.failures:
            raise self.failures.popleft()
        if self.full:
            return False
        self.sent.append(mail)
        return True


# ── identity ─────────────────────────────────────────────────────────────────────────────────────

ISSUER = "https://issuer.example"


class FakeTokenIssuer:
    """A token is its user's id, plain to see."""

    async def issue(self, user_id: UserId, /, *, session_id: SessionId) -> AccessToken:
        return AccessToken(value=f"access:{user_id}", expires_in=600)


class FakeTokenVerifier:
    """Believes every token that `FakeTokenIssuer` could have issued."""

    async def verify(self, token: str, /) -> Caller:
        scheme, _, subject = token.partition(":")
        try:
            user_id = UserId(UUID(subject))
        except ValueError:
            raise Unauthenticated from None
        if scheme != "access":
            raise Unauthenticated
        return Caller(user_id=user_id, issuer=ISSUER, subject=subject)

    async def read(self, token: str, /) -> Claims:
        identity = await self.verify(token)
        return Claims(issuer=ISSUER, subject=identity.subject, issued_at=0, expires_at=float("inf"))


class FakeSeal:
    """Hides nothing, but knows its own."""

    def seal(self, text: str, /, *, name: str = "") -> str:
        return self._mark(name) + text

    def unseal(self, sealed: str, /, *, name: str = "") -> str | None:
        mark = self._mark(name)
        return sealed.removeprefix(mark) if sealed.startswith(mark) else None

    def _mark(self, name: str) -> str:
        return f"sealed as {name}:" if name else "sealed:"


class OneProvider:
    """A LoginProvider that vouches for the same person, whoever comes back."""

    def __init__(self, proof: Claims) -> None:
        self._proof = proof
        self.issuer = proof.issuer

    async def address(self, secrets: LoginSecrets, /, *, fresh: bool = False) -> str:
        return f"{self.issuer}/authorize?state={secrets.state}{'&prompt=login' if fresh else ''}"

    async def redeem(self, answer: ProviderAnswer, secrets: LoginSecrets, /) -> Claims:
        return self._proof


class ProvingVerifier:
    """A TokenVerifier for which a token is good if it was given a proof; it speaks for nobody here."""

    def __init__(self, **proofs: Claims) -> None:
        self._proofs = proofs

    async def verify(self, token: str, /) -> Caller:
        raise Unauthenticated("The access token is not valid.")

    async def read(self, token: str, /) -> Claims:
        if token not in self._proofs:
            raise Unauthenticated("The access token is not valid.")
        return self._proofs[token]


class FakePasswordHasher:
    """Takes no time. `parameters` are today's; `compared` are the hashes that `verify` got, and `hashed`
    the passwords of `hash`."""

    def __init__(self) -> None:
        self.parameters = 1
        self.compared: list[str | None] = []
        self.hashed: list[str] = []

    async def hash(self, password: str, /) -> str:
        self.hashed.append(password)
        return f"$fake${self.parameters}${password}"

    async def verify(self, password: str, hash: str | None, /) -> bool:
        self.compared.append(hash)
        return hash is not None and hash.split("$", 3)[3] == password

    def is_outdated(self, hash: str, /) -> bool:
        return hash.split("$", 3)[2] != str(self.parameters)
