"""What can be asked of the audit log: by the managers of a workspace, and by administrators."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Protocol
from uuid import UUID

from application.kernel.example import Example
from application.kernel.origin import Channel
from application.kernel.paging import Length, Page, PageRequest
from application.kernel.ports.callers import Caller
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId

KIND_MOST = 60
ACCOUNT_MOST = 32


@dataclass(slots=True)
class WorkspaceAuditEntry:
    """What happened in a workspace: to which user, and `by` whom, each `null` where there is none.

    From where it was done is not shown: where their members are is none of a workspace's business.
    """

    id: UUID
    at: datetime
    kind: Annotated[str, Example("member_role_changed")]
    user_id: UserId | None
    by: UserId | None
    details: Annotated[dict[str, str], Example({"role": "admin"})]


@dataclass(slots=True)
class AuditEntry:
    """What happened: to which user, `by` whom, in which workspace, each `null` where there is none.

    `count` is how often within an hour, from `at` until `last_at`. `account` stands for an address that has
    no account. `channel` is the way in, `address` and `agent` are the client's own, of several the first
    one's; `request_id` is that of the log.
    """

    id: UUID
    at: datetime
    count: Annotated[int, Example(1)]
    last_at: datetime
    kind: Annotated[str, Example("log_in_failed")]
    reason: Annotated[str | None, Example("wrong_password")]
    user_id: UserId | None
    account: Annotated[str | None, Example(None)]
    by: Annotated[UserId | None, Example(None)]
    workspace_id: Annotated[WorkspaceId | None, Example(None)]
    channel: Channel
    address: Annotated[str, Example("192.0.2.7")]
    agent: Annotated[str, Example("Mozilla/5.0")]
    request_id: Annotated[str, Example("5f2c1d0e9b8a47c6a3e4d2f1c0b9a887")]
    details: Annotated[dict[str, str], Example({})]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceAuditFilter:
    """Which entries. All filters that are given have to hold; of several kinds any will do."""

    kind: Annotated[Sequence[Annotated[str, Length(KIND_MOST)]], Length(20)] = ()
    """Of any of these kinds."""

    user_id: UserId | None = None
    """About this user."""

    by: UserId | None = None
    """By this user."""

    since: datetime | None = None
    """At this instant or later."""

    until: datetime | None = None
    """Before this instant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which entries. All filters that are given have to hold; of several kinds any will do."""

    kind: Annotated[Sequence[Annotated[str, Length(KIND_MOST)]], Length(20)] = ()
    """Of any of these kinds."""

    user_id: UserId | None = None
    """About this user."""

    by: UserId | None = None
    """By this user."""

    workspace_id: WorkspaceId | None = None
    """In this workspace."""

    account: Annotated[str | None, Length(ACCOUNT_MOST, least=1)] = None
    """About an address without an account, as another entry names it."""

    since: datetime | None = None
    """At this instant or later."""

    until: datetime | None = None
    """Before this instant."""


class AuditQueries(Protocol):
    async def page(self, actor: Caller, where: AuditFilter, page: PageRequest, /) -> Page[AuditEntry]:
        """For those who may read the audit log, the newest first; raises NotPermitted, InvalidCursor."""

    async def of_workspace(
        self, viewer: UserId, workspace_id: WorkspaceId, where: WorkspaceAuditFilter, page: PageRequest, /
    ) -> Page[WorkspaceAuditEntry]:
        """For owners and admins, the newest first; raises WorkspaceNotFound, also for lesser members."""
