"""What of the events is written into the audit log: the kernel's table, to which a service adds its own.

An event that stands here is stored in the audit log by the statement that stores the event. A service's own
rows are in `application/audit.py`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from application.kernel.origin import present_origin
from application.kernel.ports.audit import Entry, Kind, Note, Tell
from domain.kernel.aggregate import Event, new_id
from domain.kernel.identity.credentials import PasswordChanged
from domain.kernel.identity.identities import IdentityLinked, IdentityUnlinked, LinksRemoved
from domain.kernel.identity.one_time_tokens import EmailVerificationRequested, PasswordResetRequested
from domain.kernel.identity.sessions import (
    OtherSessionsEnded,
    RefreshTokenReused,
    SessionClosed,
    SessionOpened,
    SessionsEnded,
)
from domain.kernel.identity.signing_keys import SigningKeyAdded, SigningKeyRemoved
from domain.kernel.invitations import InvitationAccepted, InvitationLapsed, InvitationWithdrawn, MemberInvited
from domain.kernel.memberships import MemberJoined, MemberLeft, MemberRoleChanged
from domain.kernel.users import (
    EmailChanged,
    EmailChangeRequested,
    EmailChangeWithdrawn,
    EmailLost,
    EmailVerified,
    RolesChanged,
    UserAbsorbed,
    UserDeleted,
    UserEdited,
    UserId,
    UserRegistered,
    UserRestored,
    UserSuspended,
)
from domain.kernel.workspaces import (
    WorkspaceCreated,
    WorkspaceDeleted,
    WorkspaceRenamed,
    WorkspaceRestored,
    WorkspaceWasArchived,
)

type Row = tuple[type[Event], Callable[[Any], Entry]]
"""An event, and what is written down of it."""


def written[E: Event](event: type[E], entry: Callable[[E], Entry]) -> Row:
    """A row of the table; mypy sees to it that `entry` reads the event it stands beside."""
    return event, entry


def _oneself(kind: Kind, user_id: UserId, **details: str | UUID) -> Entry:
    """The user did it, to their own account."""
    return Entry(kind=kind, user_id=user_id, by=user_id, details=_texts(details))


def _left(left: MemberLeft) -> Entry:
    kind = Kind.MEMBER_LEFT if left.by == left.user_id else Kind.MEMBER_REMOVED
    return Entry(kind=kind, user_id=left.user_id, by=left.by, workspace_id=left.workspace_id)


def _changed(changed: PasswordChanged) -> Entry:
    return _oneself(Kind.PASSWORD_RESET if changed.reset else Kind.PASSWORD_CHANGED, changed.user_id)


def _texts(details: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in details.items()}


KERNEL_WRITTEN: Final[Sequence[Row]] = [
    written(UserRegistered, lambda it: _oneself(Kind.REGISTERED, it.user_id)),
    written(SessionOpened, lambda it: _oneself(Kind.LOG_IN, it.user_id, session_id=it.session_id)),
    written(SessionClosed, lambda it: _oneself(Kind.SESSION_ENDED, it.user_id, session_id=it.session_id)),
    written(OtherSessionsEnded, lambda it: _oneself(Kind.SESSIONS_ENDED, it.user_id)),
    written(SessionsEnded, lambda it: Entry(kind=Kind.SESSIONS_ENDED, user_id=it.user_id, by=it.by)),
    written(
        RefreshTokenReused,  # by the user's client, or by a thief
        lambda it: Entry(
            kind=Kind.TOKEN_REUSED, user_id=it.user_id, details=_texts({"session_id": it.session_id})
        ),
    ),
    written(PasswordChanged, _changed),
    written(EmailChangeRequested, lambda it: _oneself(Kind.EMAIL_CHANGE_REQUESTED, it.user_id)),
    written(EmailChangeWithdrawn, lambda it: _oneself(Kind.EMAIL_CHANGE_WITHDRAWN, it.user_id)),
    written(EmailChanged, lambda it: _oneself(Kind.EMAIL_CHANGED, it.user_id)),
    written(EmailVerified, lambda it: _oneself(Kind.EMAIL_VERIFIED, it.user_id)),
    written(
        IdentityLinked, lambda it: _oneself(Kind.LINKED, it.user_id, issuer=it.issuer, link_id=it.link_id)
    ),
    written(
        IdentityUnlinked,
        lambda it: _oneself(Kind.UNLINKED, it.user_id, issuer=it.issuer, link_id=it.link_id),
    ),
    written(LinksRemoved, lambda it: _oneself(Kind.UNLINKED, it.user_id, links="all")),
    written(UserAbsorbed, lambda it: Entry(kind=Kind.ACCOUNTS_MERGED, user_id=it.user_id, by=it.into)),
    written(UserDeleted, lambda it: Entry(kind=Kind.DELETED, user_id=it.user_id, by=it.by)),
    written(UserSuspended, lambda it: Entry(kind=Kind.SUSPENDED, user_id=it.user_id, by=it.by)),
    written(UserRestored, lambda it: Entry(kind=Kind.RESTORED, user_id=it.user_id, by=it.by)),
    written(
        RolesChanged,
        lambda it: Entry(
            kind=Kind.ROLES_CHANGED, user_id=it.user_id, by=it.by, details={"roles": ",".join(it.roles)}
        ),
    ),
    written(
        WorkspaceCreated,
        lambda it: Entry(kind=Kind.WORKSPACE_CREATED, by=it.by, workspace_id=it.workspace_id),
    ),
    written(
        WorkspaceWasArchived,
        lambda it: Entry(kind=Kind.WORKSPACE_ARCHIVED, by=it.by, workspace_id=it.workspace_id),
    ),
    written(
        WorkspaceRestored,
        lambda it: Entry(kind=Kind.WORKSPACE_RESTORED, by=it.by, workspace_id=it.workspace_id),
    ),
    written(
        WorkspaceDeleted,
        lambda it: Entry(kind=Kind.WORKSPACE_DELETED, by=it.by, workspace_id=it.workspace_id),
    ),
    written(
        MemberJoined,
        lambda it: Entry(
            kind=Kind.MEMBER_JOINED,
            user_id=it.user_id,
            by=it.user_id,
            workspace_id=it.workspace_id,
            details={"role": it.role},
        ),
    ),
    written(
        MemberRoleChanged,
        lambda it: Entry(
            kind=Kind.MEMBER_ROLE_CHANGED,
            user_id=it.user_id,
            by=it.by,
            workspace_id=it.workspace_id,
            details={"role": it.role},
        ),
    ),
    written(MemberLeft, _left),
    written(
        MemberInvited,
        lambda it: Entry(
            kind=Kind.INVITED,
            by=it.by,
            workspace_id=it.workspace_id,
            details=_texts({"invitation_id": it.invitation_id, "role": it.role}),
        ),
    ),
    written(
        InvitationAccepted,
        lambda it: Entry(
            kind=Kind.INVITATION_ACCEPTED,
            user_id=it.by,
            by=it.by,
            workspace_id=it.workspace_id,
            details=_texts({"invitation_id": it.invitation_id}),
        ),
    ),
    written(
        InvitationWithdrawn,
        lambda it: Entry(
            kind=Kind.INVITATION_WITHDRAWN,
            by=it.by,
            workspace_id=it.workspace_id,
            details=_texts({"invitation_id": it.invitation_id}),
        ),
    ),
    written(SigningKeyAdded, lambda it: Entry(kind=Kind.KEY_ADDED, details={"kid": it.kid})),
    written(SigningKeyRemoved, lambda it: Entry(kind=Kind.KEY_REMOVED, details={"kid": it.kid})),
]

KERNEL_UNWRITTEN: Final[Mapping[type[Event], str]] = {
    UserEdited: "A name is no way to log in; where the address changes, EmailChanged says so.",
    EmailLost: "It follows from the EmailVerified of another user, who has proved the address.",
    InvitationLapsed: "It follows from what ended its inviter's right, which is written down.",
    EmailVerificationRequested: "Who asked was logged in, and gains nothing before EmailVerified.",
    PasswordResetRequested: "Anybody can ask for anybody, and gains nothing before PasswordChanged.",
    WorkspaceRenamed: "It changes no permission.",
}
"""Why the kernel's other events are not in the log: each event is in one of the two."""


class Trail:
    """What of a transaction goes into the audit log: the kernel's table, and a service's own rows."""

    def __init__(self, own: Iterable[Row] = (), tell: Tell = lambda _: None) -> None:
        """Raises TypeError for an event that stands in more than one row."""
        self._entries: dict[type[Event], Callable[[Any], Entry]] = {}
        for event, entry in [*KERNEL_WRITTEN, *own]:
            if event in self._entries:
                raise TypeError(f"Two rows of the audit log are for {event.__name__}: keep one.")
            self._entries[event] = entry
        self._tell = tell

    def notes(self, events: Iterable[Event]) -> Sequence[Note]:
        """What is written down of these, in their order; of most events nothing is."""
        entries = self._entries
        return [
            Note(id=new_id(event.at), at=event.at, entry=entries[type(event)](event), origin=present_origin())
            for event in events
            if type(event) in entries
        ]

    def committed(self, notes: Iterable[Note]) -> None:
        """They are stored from now on."""
        for note in notes:
            self._tell(note)
