"""Who belongs to a workspace, and as what.

The rules about owners in one place: only an owner makes, demotes or removes an owner, and a workspace
keeps at least one. The caller passes `owners` as they are under a lock, so that two owners who leave at
the same instant do not both see the other.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import NewType, Self
from uuid import UUID

from domain.kernel.aggregate import Aggregate, Event
from domain.kernel.errors import Conflict, Forbidden, NotFound
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId

MembershipId = NewType("MembershipId", UUID)


class Role(StrEnum):
    """What a member is, from the least to the most."""

    VIEWER = "viewer"
    MEMBER = "member"
    ADMIN = "admin"
    OWNER = "owner"


class MemberNotFound(NotFound):
    """There is no such member in this workspace."""


class AlreadyMember(Conflict):
    """This person is already a member."""


class LastOwner(Conflict):
    """A workspace keeps at least one owner."""


class OwnersOnly(Forbidden):
    """Only an owner may make, demote or remove an owner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberJoined(Event):
    workspace_id: WorkspaceId
    user_id: UserId
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRoleChanged(Event):
    workspace_id: WorkspaceId
    user_id: UserId
    role: Role
    by: UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberLeft(Event):
    """`by` is the member where they left by themselves, else who removed them."""

    workspace_id: WorkspaceId
    user_id: UserId
    by: UserId


def may_grant(granter: Role, role: Role) -> bool:
    """Anybody who manages members may grant any role but `owner`, which takes an owner."""
    return role is not Role.OWNER or granter is Role.OWNER


def ensure_may_grant(granter: Role, role: Role) -> None:
    """Raises OwnersOnly unless `may_grant`."""
    if not may_grant(granter, role):
        raise OwnersOnly("Ask an owner of this workspace.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership(Aggregate):
    """One person in one workspace; unique by the pair."""

    id: MembershipId
    workspace_id: WorkspaceId
    user_id: UserId
    role: Role
    joined_at: datetime

    @classmethod
    def join(
        cls, *, id: MembershipId, workspace_id: WorkspaceId, user_id: UserId, role: Role, at: datetime
    ) -> Self:
        joined = MemberJoined(at=at, workspace_id=workspace_id, user_id=user_id, role=role)
        return cls(
            id=id, workspace_id=workspace_id, user_id=user_id, role=role, joined_at=at, events=(joined,)
        )

    def change_role(
        self, role: Role, *, owners: Collection[Self], by: UserId, granter: Role, at: datetime
    ) -> Self:
        """Another role, granted by `by` who is a `granter` themselves."""
        if role is self.role:
            return self
        ensure_may_grant(granter, role)
        self._ensure_may_lose(owners, granter)
        changed = MemberRoleChanged(
            at=at, workspace_id=self.workspace_id, user_id=self.user_id, role=role, by=by
        )
        return replace(self, role=role).recording(changed)

    def leave(self, *, owners: Collection[Self], by: UserId, remover: Role, at: datetime) -> Self:
        """The membership with the fact that it ended: by themselves, or removed by a `remover`."""
        self._ensure_may_lose(owners, remover)
        return self.recording(MemberLeft(at=at, workspace_id=self.workspace_id, user_id=self.user_id, by=by))

    def _ensure_may_lose(self, owners: Collection[Self], doer: Role) -> None:
        if self.role is not Role.OWNER:
            return
        ensure_may_grant(doer, Role.OWNER)
        if {owner.id for owner in owners} <= {self.id}:
            raise LastOwner("Make another member an owner first, or delete the workspace.")
