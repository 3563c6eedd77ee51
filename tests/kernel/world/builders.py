"""One valid example of each thing: a test states only what matters to it.

Ids, addresses, slugs and secrets are new in each call, so examples never get in each other's way.
"""

import secrets
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from adapters.postgres.kernel.discovery import repositories_of
from adapters.postgres.kernel.tables.repository import PostgresRepository
from application.kernel.identity.secret_tokens import fingerprint
from application.kernel.ports.callers import Caller, Claims, Reauthenticated
from application.kernel.ports.storing import Repository
from application.kernel.unit_of_work import Begin, KernelUnitOfWork
from domain.kernel.aggregate import Aggregate, new_id
from domain.kernel.identity.credentials import Credential
from domain.kernel.identity.identities import Link, LinkId
from domain.kernel.identity.one_time_tokens import OneTimeToken, OneTimeTokenId, Purpose
from domain.kernel.identity.sessions import Session, SessionId, SessionKind
from domain.kernel.identity.signing_keys import SigningKey, SigningKeyId
from domain.kernel.invitations import LIFETIME, Invitation, InvitationId
from domain.kernel.memberships import Membership, MembershipId, Role
from domain.kernel.users import Email, GlobalRole, User, UserId
from domain.kernel.workspaces import Workspace, WorkspaceId
from kernel.world.fakes import MemoryTransactions

NOW = datetime(2026, 11, 2, 9, 30, 15, 123456, tzinfo=UTC)


def a_user_id() -> UserId:
    return UserId(new_id(NOW))


def a_workspace_id() -> WorkspaceId:
    return WorkspaceId(new_id(NOW))


def an_email() -> Email:
    return Email(f"ada-{secrets.token_hex(6)}@example.com")


def a_slug() -> str:
    return f"analytical-engines-{secrets.token_hex(6)}"


def a_token_hash() -> str:
    return fingerprint(secrets.token_urlsafe())


def a_caller(
    user_id: UserId | None = None,
    *,
    roles: frozenset[GlobalRole] = frozenset(),
    session_id: SessionId | None = None,
    authenticated_at: datetime | None = None,
) -> Caller:
    """Whose roles a provider vouches for, so that nothing needs to be stored of them."""
    user_id = user_id or a_user_id()
    return Caller(
        user_id=user_id,
        issuer="https://issuer.example",
        subject=str(user_id),
        roles=roles,
        vouched=roles,
        session_id=session_id,
        authenticated_at=authenticated_at,
    )


def reauthenticated(user_id: UserId | None = None, *, session_id: SessionId | None = None) -> Reauthenticated:
    """A caller who has just proved anew who they are."""
    caller = a_caller(user_id, session_id=session_id)
    return Reauthenticated(**{field.name: getattr(caller, field.name) for field in fields(caller)})


def a_proof(
    *,
    issuer: str = "https://issuer.example",
    subject: str | None = None,
    client: str | None = None,
    scopes: frozenset[str] = frozenset(),
    roles: frozenset[str] = frozenset(),
    email: str | None = None,
    email_verified: bool = False,
    name: str | None = None,
    session_id: SessionId | None = None,
    authenticated_at: float | None = None,
) -> Claims:
    return Claims(
        issuer=issuer,
        subject=subject or secrets.token_hex(8),
        issued_at=NOW.timestamp(),
        expires_at=NOW.timestamp() + 600,
        client=client,
        scopes=scopes,
        roles=roles,
        email=email,
        email_verified=email_verified,
        name=name,
        session_id=session_id,
        authenticated_at=authenticated_at,
    )


def a_user(
    *,
    id: UserId | None = None,
    email: Email | None = None,
    email_verified_at: datetime | None = None,
    pending_email: Email | None = None,
    display_name: str = "Ada Lovelace",
    roles: tuple[GlobalRole, ...] = (),
    created_at: datetime = NOW,
    suspended_at: datetime | None = None,
    deleted_at: datetime | None = None,
) -> User:
    return User(
        id=id or a_user_id(),
        email=email or an_email(),
        email_verified_at=email_verified_at,
        pending_email=pending_email,
        display_name=display_name,
        roles=roles,
        created_at=created_at,
        suspended_at=suspended_at,
        deleted_at=deleted_at,
    )


def address_of(user: User) -> Email:
    """The e-mail address of an example, which has one."""
    assert user.email is not None
    return user.email


def a_link(
    *,
    id: LinkId | None = None,
    user_id: UserId | None = None,
    issuer: str = "https://issuer.example",
    subject: str | None = None,
    created_at: datetime = NOW,
) -> Link:
    return Link(
        id=id or LinkId(new_id(created_at)),
        user_id=user_id or a_user_id(),
        issuer=issuer,
        subject=subject or secrets.token_hex(8),
        created_at=created_at,
    )


def a_one_time_token(
    *,
    id: OneTimeTokenId | None = None,
    purpose: Purpose = Purpose.VERIFY_EMAIL,
    user_id: UserId | None = None,
    email: Email | None = None,
    token_hash: str | None = None,
    challenge: str | None = None,
    created_at: datetime = NOW,
    expires_at: datetime | None = None,
    authenticated_at: datetime | None = None,
) -> OneTimeToken:
    return OneTimeToken(
        id=id or OneTimeTokenId(new_id(created_at)),
        purpose=purpose,
        user_id=user_id,
        email=email,
        token_hash=token_hash,
        challenge=challenge,
        created_at=created_at,
        expires_at=expires_at or created_at + timedelta(hours=1),
        authenticated_at=authenticated_at,
    )


def a_signing_key(
    *,
    id: SigningKeyId | None = None,
    number: int = 1,
    kid: str | None = None,
    sealed: str = "sealed",
    created_at: datetime = NOW,
    signs_from: datetime | None = None,
) -> SigningKey:
    return SigningKey(
        id=id or SigningKeyId(new_id(created_at)),
        number=number,
        kid=kid or secrets.token_urlsafe(32),
        sealed=sealed,
        created_at=created_at,
        signs_from=signs_from or created_at,
    )


def a_credential(*, id: UserId | None = None, password_hash: str = "$argon2id$1$secret") -> Credential:
    return Credential(id=id or a_user_id(), password_hash=password_hash)


def a_session(
    *,
    id: SessionId | None = None,
    user_id: UserId | None = None,
    kind: SessionKind = SessionKind.TOKENS,
    token_hash: str | None = None,
    family_key: str | None = None,
    agent: str = "",
    created_at: datetime = NOW,
    used_at: datetime | None = None,
    expires_at: datetime | None = None,
    ended_at: datetime | None = None,
    authenticated_at: datetime | None = None,
) -> Session:
    return Session(
        id=id or SessionId(new_id(created_at)),
        user_id=user_id or a_user_id(),
        kind=kind,
        token_hash=token_hash or a_token_hash(),
        family_key=family_key,
        agent=agent,
        created_at=created_at,
        used_at=used_at or created_at,
        expires_at=expires_at or created_at + timedelta(days=30),
        ended_at=ended_at,
        authenticated_at=authenticated_at,
    )


def a_workspace(
    *,
    id: WorkspaceId | None = None,
    name: str = "Analytical Engines",
    slug: str | None = None,
    created_at: datetime = NOW,
    archived_at: datetime | None = None,
) -> Workspace:
    return Workspace(
        id=id or a_workspace_id(),
        name=name,
        slug=slug or a_slug(),
        created_at=created_at,
        archived_at=archived_at,
    )


def a_membership(
    *,
    id: MembershipId | None = None,
    workspace_id: WorkspaceId | None = None,
    user_id: UserId | None = None,
    role: Role = Role.MEMBER,
    joined_at: datetime = NOW,
) -> Membership:
    return Membership(
        id=id or MembershipId(new_id(joined_at)),
        workspace_id=workspace_id or a_workspace_id(),
        user_id=user_id or a_user_id(),
        role=role,
        joined_at=joined_at,
    )


def an_invitation(
    *,
    id: InvitationId | None = None,
    workspace_id: WorkspaceId | None = None,
    email: Email | None = None,
    role: Role = Role.MEMBER,
    token_hash: str | None = None,
    invited_by: UserId | None = None,
    created_at: datetime = NOW,
    expires_at: datetime | None = None,
) -> Invitation:
    return Invitation(
        id=id or InvitationId(new_id(created_at)),
        workspace_id=workspace_id or a_workspace_id(),
        email=email or an_email(),
        role=role,
        token_hash=token_hash or a_token_hash(),
        invited_by=invited_by or a_user_id(),
        created_at=created_at,
        expires_at=expires_at or created_at + LIFETIME,
    )


@dataclass(frozen=True)
class Team:
    """A workspace with one person of each role, and a user who does not belong to it; all verified."""

    workspace: Workspace
    users: dict[Role, User]
    memberships: dict[Role, Membership]
    outsider: User

    def __getitem__(self, role: Role) -> Caller:
        return a_caller(self.users[role].id)

    @property
    def owner(self) -> Caller:
        return self[Role.OWNER]

    @property
    def admin(self) -> Caller:
        return self[Role.ADMIN]

    @property
    def member(self) -> Caller:
        return self[Role.MEMBER]

    @property
    def viewer(self) -> Caller:
        return self[Role.VIEWER]

    @property
    def stranger(self) -> Caller:
        return a_caller(self.outsider.id)

    @property
    def aggregates(self) -> tuple[Aggregate, ...]:
        """Everything to store, in an order that a database accepts."""
        return (self.outsider, *self.users.values(), self.workspace, *self.memberships.values())


def a_team(*, archived: bool = False) -> Team:
    workspace = a_workspace(archived_at=NOW if archived else None)
    users = {role: a_user(display_name=role.value.title(), email_verified_at=NOW) for role in Role}
    memberships = {
        role: a_membership(workspace_id=workspace.id, user_id=user.id, role=role)
        for role, user in users.items()
    }
    outsider = a_user(display_name="Stranger", email_verified_at=NOW)
    return Team(workspace, users, memberships, outsider)


def repository_of[A: Aggregate](uow: KernelUnitOfWork, aggregate: A) -> Repository[A, Any]:
    """Where aggregates of this kind are kept."""
    found: Repository[A, Any] = getattr(uow, collections_of(type(uow))[type(aggregate)])
    return found


_COLLECTIONS: dict[type[KernelUnitOfWork], dict[type[Aggregate], str]] = {}


def collections_of(unit_of_work: type[KernelUnitOfWork]) -> dict[type[Aggregate], str]:
    """The name of the collection of each kind of aggregate."""
    if unit_of_work not in _COLLECTIONS:
        declared = cast("dict[str, type[PostgresRepository[Any, Any]]]", repositories_of(unit_of_work))
        _COLLECTIONS[unit_of_work] = {repository.entity: name for name, repository in declared.items()}
    return _COLLECTIONS[unit_of_work]


async def store[U: KernelUnitOfWork](begin: Begin[U], *aggregates: Aggregate) -> None:
    """Puts examples into the world, in one transaction and the order in which they are given.

    In memory, users whom an example names come into being by it; a database is given everything.
    """
    async with begin() as uow:
        if isinstance(begin, MemoryTransactions):
            for user_id in begin.unknown_users(aggregates):
                await uow.users.add(a_user(id=user_id))
        for aggregate in aggregates:
            await repository_of(uow, aggregate).add(aggregate)
