"""What is written down for those who look after security: who did what to whom, when and from where."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol
from uuid import UUID

from application.kernel.origin import Origin
from domain.kernel.users import UserId
from domain.kernel.workspaces import WorkspaceId


class Kind(StrEnum):
    """What can have happened, as far as the kernel knows; a service's own kinds are other words."""

    REGISTERED = "registered"
    LOG_IN = "log_in"
    LOG_IN_FAILED = "log_in_failed"
    PROOF_FAILED = "proof_failed"
    LOCKED_OUT = "locked_out"
    SESSION_ENDED = "session_ended"
    SESSIONS_ENDED = "sessions_ended"
    TOKEN_REUSED = "token_reused"  # noqa: S105 (what happened)
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 (likewise)
    PASSWORD_RESET = "password_reset"  # noqa: S105 (likewise)
    EMAIL_CHANGE_REQUESTED = "email_change_requested"
    EMAIL_CHANGE_WITHDRAWN = "email_change_withdrawn"
    EMAIL_CHANGED = "email_changed"
    EMAIL_VERIFIED = "email_verified"
    LINKED = "linked"
    UNLINKED = "unlinked"
    ACCOUNTS_MERGED = "accounts_merged"
    DELETED = "deleted"
    SUSPENDED = "suspended"
    RESTORED = "restored"
    ROLES_CHANGED = "roles_changed"
    WORKSPACE_CREATED = "workspace_created"
    WORKSPACE_ARCHIVED = "workspace_archived"
    WORKSPACE_RESTORED = "workspace_restored"
    WORKSPACE_DELETED = "workspace_deleted"
    MEMBER_JOINED = "member_joined"
    MEMBER_ROLE_CHANGED = "member_role_changed"
    MEMBER_LEFT = "member_left"
    MEMBER_REMOVED = "member_removed"
    INVITED = "invited"
    INVITATION_ACCEPTED = "invitation_accepted"
    INVITATION_WITHDRAWN = "invitation_withdrawn"
    KEY_ADDED = "key_added"
    KEY_REMOVED = "key_removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What happened to whom (`user_id`), by whom, and in which workspace, each where there is one.

    `account` stands for an address that is no account's, as a keyed digest; the address itself is in no
    entry, nor is a secret. `reason` is one word for why something failed.
    """

    kind: str
    user_id: UserId | None = None
    by: UserId | None = None
    workspace_id: WorkspaceId | None = None
    account: str | None = None
    reason: str | None = None
    details: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """An entry with when it happened, and where it came from."""

    id: UUID
    at: datetime
    entry: Entry
    origin: Origin


type Tell = Callable[[Note], None]
"""Is called with every note that is stored, when it is committed."""


class Audit(Protocol):
    """The audit log, for what no transaction of a use case stores: that something failed."""

    async def note(self, entry: Entry, /, *, most: int) -> None:
        """Stores it by itself. What strangers can cause without end does not fill the log:

        the same again within an hour is one row with a count; and of entries that are about one user, or
        about no known account, at most `most` are told apart an hour, with one row for the rest of a kind.
        """


class Pseudonyms(Protocol):
    """Names that say nothing of what they stand for, and are always the same for the same."""

    def of(self, text: str, /) -> str: ...
