"""What is written down of events, and of what failed."""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

import domain.kernel
from application.kernel.audit import KERNEL_UNWRITTEN, KERNEL_WRITTEN, Trail, written
from application.kernel.identity.attempts import (
    FAILURES_OF_ACCOUNT_FROM_ADDRESS,
    FAILURES_OF_CURRENT_PASSWORD,
)
from application.kernel.identity.failures import ENTRIES_OF_ACCOUNT, ENTRIES_OF_UNKNOWN, Failures
from application.kernel.identity.password_login import PasswordLogin
from application.kernel.origin import Channel, Origin, come_from
from application.kernel.ports.attempts import Peer
from application.kernel.ports.audit import Entry, Kind
from application.kernel.queries.auth import KnownCredential
from domain.kernel.aggregate import Event
from domain.kernel.errors import Unauthenticated
from domain.kernel.identity.credentials import (
    LoginDenied,
    PasswordChanged,
    TooManyAttempts,
    WrongCredentials,
    WrongPassword,
)
from domain.kernel.identity.passwords import PASSWORD_MOST
from domain.kernel.identity.sessions import RefreshTokenReused, SessionId, SessionOpened
from domain.kernel.invitations import InvitationId, MemberInvited
from domain.kernel.memberships import MemberLeft, MemberRoleChanged, Role
from domain.kernel.users import GlobalRole, RolesChanged, Suspended, User, UserEdited, UserSuspended
from domain.kernel.workspaces import WorkspaceId
from kernel.specimen.domain.specimen_orders import SpecimenOrderAssigned
from kernel.world.builders import NOW, a_caller, a_user_id, a_workspace_id
from kernel.world.fakes import MemoryAudit
from kernel.world.people import CLIENT, EMAIL, PASSWORD

ADA, GRACE = a_user_id(), a_user_id()
WORKSPACE: WorkspaceId = a_workspace_id()
ID = UUID("01a19b98-58d3-7c13-8125-7a5f190ff82d")


def kernel_events() -> set[type[Event]]:
    modules = [
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(domain.kernel.__path__, "domain.kernel.")
    ]
    return {
        thing
        for module in modules
        for thing in vars(module).values()
        if isinstance(thing, type)
        and issubclass(thing, Event)
        and thing is not Event
        and thing.__module__ == module.__name__
    }


# ── the table ────────────────────────────────────────────────────────────────────────────────────


def test_of_every_event_it_is_decided_whether_it_is_written_down() -> None:
    in_the_log = {event for event, _ in KERNEL_WRITTEN}
    undecided = {event.__name__ for event in kernel_events() - in_the_log - KERNEL_UNWRITTEN.keys()}
    assert not undecided, "KERNEL_WRITTEN or KERNEL_UNWRITTEN in application/kernel/audit.py lacks these"
    assert not in_the_log & KERNEL_UNWRITTEN.keys()
    assert len(in_the_log) > 20


def test_every_kind_is_that_of_an_event_or_of_a_failure() -> None:
    failed = {Kind.LOG_IN_FAILED, Kind.PROOF_FAILED, Kind.LOCKED_OUT}
    told = {note.entry.kind for event in KINDS_OF_EVENT for note in Trail().notes([event])}
    assert told | failed == {*Kind}


def an_event(kind: type[Event], **changes: Any) -> Event:
    values: dict[str, Any] = {
        "at": NOW,
        "user_id": ADA,
        "by": GRACE,
        "into": GRACE,
        "workspace_id": WORKSPACE,
        "role": Role.ADMIN,
        "roles": (GlobalRole.SUPPORT, GlobalRole.ADMIN),
        "issuer": "https://id.example.com",
        "kid": "kid",
        "signs_from": NOW,
        **dict.fromkeys(("session_id", "link_id", "invitation_id"), ID),
        **changes,
    }
    names = kind.__dataclass_fields__
    return kind(**{name: value for name, value in values.items() if name in names})


KINDS_OF_EVENT = [
    *(an_event(kind) for kind, _ in KERNEL_WRITTEN),
    an_event(PasswordChanged, reset=True),
    an_event(MemberLeft, by=ADA),
]

INVITATION, SESSION = InvitationId(ID), SessionId(ID)


@pytest.mark.parametrize(
    ("event", "entry"),
    [
        (
            SessionOpened(at=NOW, session_id=SESSION, user_id=ADA),
            Entry(kind="log_in", user_id=ADA, by=ADA, details={"session_id": str(ID)}),
        ),
        (
            RefreshTokenReused(at=NOW, session_id=SESSION, user_id=ADA),
            Entry(kind="token_reused", user_id=ADA, details={"session_id": str(ID)}),
        ),
        (PasswordChanged(at=NOW, user_id=ADA), Entry(kind="password_changed", user_id=ADA, by=ADA)),
        (
            PasswordChanged(at=NOW, user_id=ADA, reset=True),
            Entry(kind="password_reset", user_id=ADA, by=ADA),
        ),
        (UserSuspended(at=NOW, user_id=ADA, by=None), Entry(kind="suspended", user_id=ADA)),
        (
            RolesChanged(at=NOW, user_id=ADA, roles=(GlobalRole.SUPPORT, GlobalRole.ADMIN), by=GRACE),
            Entry(kind="roles_changed", user_id=ADA, by=GRACE, details={"roles": "support,admin"}),
        ),
        (
            MemberRoleChanged(at=NOW, workspace_id=WORKSPACE, user_id=ADA, role=Role.VIEWER, by=GRACE),
            Entry(
                kind="member_role_changed",
                user_id=ADA,
                by=GRACE,
                workspace_id=WORKSPACE,
                details={"role": "viewer"},
            ),
        ),
        (
            MemberLeft(at=NOW, workspace_id=WORKSPACE, user_id=ADA, by=ADA),
            Entry(kind="member_left", user_id=ADA, by=ADA, workspace_id=WORKSPACE),
        ),
        (
            MemberLeft(at=NOW, workspace_id=WORKSPACE, user_id=ADA, by=GRACE),
            Entry(kind="member_removed", user_id=ADA, by=GRACE, workspace_id=WORKSPACE),
        ),
        (
            MemberInvited(
                at=NOW, workspace_id=WORKSPACE, invitation_id=INVITATION, role=Role.MEMBER, by=GRACE
            ),
            Entry(
                kind="invited",
                by=GRACE,
                workspace_id=WORKSPACE,
                details={"invitation_id": str(ID), "role": "member"},
            ),
        ),
    ],
    ids=lambda case: type(case).__name__ if isinstance(case, Event) else case.kind,
)
def test_this_is_written_down_of_an_event(event: Event, entry: Entry) -> None:
    [note] = Trail().notes([event])
    assert (note.entry, note.at) == (entry, NOW)


@pytest.mark.parametrize("event", KINDS_OF_EVENT, ids=lambda event: type(event).__name__)
def test_whoever_and_whatever_an_event_names_is_in_its_entry(event: Event) -> None:
    """So that a row of the table forgets nobody."""
    [note] = Trail().notes([event])
    for name in ("user_id", "by", "workspace_id"):
        if hasattr(event, name) and not (name == "by" and note.entry.by is None):
            assert getattr(note.entry, name) == getattr(event, name), name
    if hasattr(event, "by"):
        assert note.entry.by == event.by


def test_what_is_not_in_the_table_is_not_written_down() -> None:
    assert list(Trail().notes([UserEdited(at=NOW, user_id=ADA)])) == []


def test_it_is_written_down_where_it_came_from() -> None:
    come_from(lambda: Origin(Channel.HTTP, "192.0.2.7", "Loom/1.0", "r-1"))
    [note] = Trail().notes([PasswordChanged(at=NOW, user_id=ADA)])
    assert note.origin == Origin(Channel.HTTP, "192.0.2.7", "Loom/1.0", "r-1")


def test_a_service_has_rows_of_its_own() -> None:
    row = written(SpecimenOrderAssigned, lambda it: Entry(kind="assigned", user_id=it.assignee_id, by=it.by))
    event = an_event(SpecimenOrderAssigned, specimen_order_id=ID, assignee_id=ADA)
    [note] = Trail([row]).notes([event])
    assert note.entry == Entry(kind="assigned", user_id=ADA, by=GRACE)
    assert list(Trail().notes([event])) == []


def test_an_event_has_one_row() -> None:
    with pytest.raises(TypeError, match=r"^Two rows of the audit log are for UserEdited: keep one\.$"):
        Trail([written(UserEdited, lambda _: Entry(kind="edited"))] * 2)
    with pytest.raises(TypeError, match="SessionOpened"):
        Trail([written(SessionOpened, lambda _: Entry(kind="opened"))])


# ── what failed ──────────────────────────────────────────────────────────────────────────────────


async def fail(
    login: PasswordLogin, *, client: Peer = CLIENT, email: str = EMAIL, password: str = "guess"
) -> None:
    with pytest.raises((WrongCredentials, TooManyAttempts)):
        await login.log_in(client, email=email, password=password)


async def test_a_wrong_password_is_written_down_about_the_user(
    login: PasswordLogin, ada: User, noted: MemoryAudit
) -> None:
    await fail(login)
    await fail(login, password="x" * (PASSWORD_MOST + 1))
    entry = Entry(kind=Kind.LOG_IN_FAILED, reason="wrong_password", user_id=ada.id)
    assert noted.entries == [entry, entry]
    assert noted.most == {ENTRIES_OF_ACCOUNT}


@pytest.mark.parametrize("email", ["eve@example.com", "no address", "my secret pass phrase"])
async def test_an_address_without_an_account_is_written_down_by_a_pseudonym(
    login: PasswordLogin, noted: MemoryAudit, email: str
) -> None:
    await fail(login, email=email)
    account = f"hash of {email}"
    assert noted.entries == [Entry(kind=Kind.LOG_IN_FAILED, reason="unknown_address", account=account)]
    assert noted.most == {ENTRIES_OF_UNKNOWN}


async def test_who_is_suspended_is_told_from_who_does_not_know_the_password(
    failures: Failures, noted: MemoryAudit
) -> None:
    known = KnownCredential(ADA, "hash", suspended=True)
    await failures.of_password(EMAIL, known, matches=True)
    await failures.of_password(EMAIL, known, matches=False)
    assert [entry.reason for entry in noted.entries] == ["suspended", "wrong_password"]


async def test_a_log_in_leaves_nothing_that_failed(
    login: PasswordLogin, ada: User, noted: MemoryAudit
) -> None:
    await login.log_in(CLIENT, email=EMAIL, password=PASSWORD)
    assert noted.entries == []


async def test_a_lock_out_is_written_down_once_when_it_begins(
    login: PasswordLogin, ada: User, noted: MemoryAudit
) -> None:
    for _ in range(FAILURES_OF_ACCOUNT_FROM_ADDRESS + 5):
        await fail(login)
    locks = [entry for entry in noted.entries if entry.kind == Kind.LOCKED_OUT]
    assert locks == [Entry(kind=Kind.LOCKED_OUT, reason="account_from_network", user_id=ada.id)]
    assert len(noted.entries) == FAILURES_OF_ACCOUNT_FROM_ADDRESS + 1


async def test_a_wrong_current_password_is_written_down_and_so_is_the_last_one(
    login: PasswordLogin, ada: User, noted: MemoryAudit
) -> None:
    for _ in range(FAILURES_OF_CURRENT_PASSWORD):
        with pytest.raises(WrongPassword):
            await login.change_password(a_caller(ada.id), current_password="guess", new_password=PASSWORD)
    failed = Entry(kind=Kind.PROOF_FAILED, reason="wrong_password", user_id=ada.id, by=ada.id)
    locked = Entry(kind=Kind.LOCKED_OUT, reason="current_password", user_id=ada.id, by=ada.id)
    assert noted.entries == [*[failed] * FAILURES_OF_CURRENT_PASSWORD, locked]


def caused_by(cause: Exception) -> Callable[[], Unauthenticated]:
    def make() -> Unauthenticated:
        refusal = Unauthenticated()
        refusal.__cause__ = cause
        return refusal

    return make


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (LoginDenied, "denied_there"),
        (caused_by(Suspended()), "suspended"),
        (caused_by(WrongPassword()), "not_believed"),
    ],
)
async def test_a_log_in_through_a_provider_fails_for_a_reason(
    failures: Failures, noted: MemoryAudit, refusal: Callable[[], Unauthenticated], reason: str
) -> None:
    await failures.of_provider("google", refusal())
    assert noted.entries == [Entry(kind=Kind.LOG_IN_FAILED, reason=reason, details={"provider": "google"})]
