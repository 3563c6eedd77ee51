"""What users do with their own profile, and those who look after the service with users."""

from collections.abc import Awaitable, Callable

import pytest

from application.kernel.admission import NotPermitted
from application.kernel.commands.users import (
    change_roles,
    edit_profile,
    end_sessions_of,
    grant_role,
    restore_account,
    restore_user,
    revoke_role,
    suspend_account,
    suspend_user,
)
from application.kernel.permissions import MANAGE_USERS
from application.kernel.ports.callers import Caller
from application.kernel.run import Runner
from domain.kernel.errors import Invalid
from domain.kernel.identity.credentials import ReauthenticationRequired
from domain.kernel.identity.one_time_tokens import OneTimeToken, Purpose
from domain.kernel.identity.sessions import Session
from domain.kernel.users import (
    Email,
    EmailChangeRequested,
    GlobalRole,
    OwnAccount,
    RolesChanged,
    User,
    UserEdited,
    UserId,
    UserNotFound,
    UserRestored,
    UserSuspended,
)
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import (
    NOW,
    a_caller,
    a_one_time_token,
    a_session,
    a_user,
    a_user_id,
    address_of,
    an_email,
    reauthenticated,
    store,
)
from kernel.world.fakes import FakeClock, MemoryTransactions
from kernel.world.refusals import refused


@pytest.fixture
async def ada(transactions: MemoryTransactions[UnitOfWork]) -> User:
    ada = a_user(display_name="Ada")
    await store(transactions, ada)
    return ada


async def test_everybody_can_edit_their_own_profile(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], clock: FakeClock, ada: User
) -> None:
    edited = await run(edit_profile, a_caller(ada.id), display_name="Augusta")
    assert (edited.display_name, edited.email, edited.version) == ("Augusta", ada.email, 2)
    assert transactions.events == [UserEdited(at=clock.now, user_id=ada.id)]
    async with transactions() as uow:
        assert await uow.users.get(ada.id) == edited


async def test_an_edit_that_changes_nothing_saves_nothing(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], ada: User
) -> None:
    assert await run(edit_profile, a_caller(ada.id), display_name="Ada") == ada
    assert transactions.events == []


async def test_another_address_takes_a_fresh_proof_and_is_pending(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], clock: FakeClock, ada: User
) -> None:
    for email in ("augusta@example.com", "Augusta@Example.com"):
        with pytest.raises(ReauthenticationRequired):
            await run(edit_profile, a_caller(ada.id), email=email, display_name="Augusta")
    assert transactions.committed.of(User)[ada.id] == ada
    edited = await run(edit_profile, reauthenticated(ada.id), email="Augusta@Example.com")
    assert (edited.email, edited.pending_email) == (ada.email, "augusta@example.com")
    assert transactions.events == [
        EmailChangeRequested(at=clock.now, user_id=ada.id),
        UserEdited(at=clock.now, user_id=ada.id),
    ]


async def test_whatever_leaves_the_address_as_it_is_takes_no_fresh_proof(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    ada = a_user(pending_email=Email("augusta@example.com"))
    await store(transactions, ada)
    edited = await run(edit_profile, a_caller(ada.id), email="AUGUSTA@example.com", display_name="Augusta")
    assert edited.display_name == "Augusta"
    with pytest.raises(ReauthenticationRequired):  # nor may a thief cancel what the owner has begun
        await run(edit_profile, a_caller(ada.id), email=address_of(ada))
    kept = await run(edit_profile, reauthenticated(ada.id), email=address_of(ada))
    assert (kept.email, kept.pending_email) == (ada.email, None)


async def test_whether_an_address_is_anothers_is_not_told_before_it_is_proved(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], ada: User
) -> None:
    charles = a_user(email_verified_at=NOW)
    await store(transactions, charles)
    edited = await run(edit_profile, reauthenticated(ada.id), email=address_of(charles).upper())
    assert (edited.email, edited.pending_email) == (ada.email, charles.email)
    assert transactions.committed.of(User)[charles.id] == charles


async def test_another_address_makes_what_was_mailed_before_void(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], ada: User
) -> None:
    mailed = [a_one_time_token(user_id=ada.id, purpose=purpose) for purpose in Purpose]
    others = a_one_time_token()
    await store(transactions, *mailed, others)
    await run(edit_profile, reauthenticated(ada.id), display_name="Augusta")
    assert len(transactions.committed.of(OneTimeToken)) == len(mailed) + 1
    await run(edit_profile, reauthenticated(ada.id), email=an_email())
    left = transactions.committed.of(OneTimeToken).values()
    assert [token.purpose for token in left if token != others] == [Purpose.UNDO_EMAIL_CHANGE]
    assert others in left


async def test_a_profile_that_does_not_exist_cannot_be_edited(run: Runner[UnitOfWork]) -> None:
    with refused(UserNotFound):
        await run(edit_profile, a_caller(), display_name="Nobody")


async def test_a_proved_address_stays_so_while_another_one_is_pending(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    ada = a_user(email_verified_at=NOW)
    await store(transactions, ada)
    edited = await run(edit_profile, reauthenticated(ada.id), email=an_email())
    assert (edited.email, edited.email_verified) == (ada.email, True)


# ── looking after users ──────────────────────────────────────────────────────────────────────────

ADMIN = a_caller(roles=frozenset({GlobalRole.ADMIN}))
SUPPORT = a_caller(roles=frozenset({GlobalRole.SUPPORT}))

type Operation = Callable[[Runner[UnitOfWork], Caller, UserId], Awaitable[object]]

OPERATIONS: list[Operation] = [
    lambda run, actor, user_id: run(change_roles, actor, user_id, roles=[GlobalRole.ADMIN]),
    lambda run, actor, user_id: run(suspend_user, actor, user_id),
    lambda run, actor, user_id: run(restore_user, actor, user_id),
    lambda run, actor, user_id: run(end_sessions_of, actor, user_id),
]


@pytest.mark.parametrize("operation", OPERATIONS, ids=["roles", "suspend", "restore", "sessions"])
async def test_only_who_manages_users_changes_them(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], ada: User, operation: Operation
) -> None:
    for actor in (a_caller(), SUPPORT):
        for user_id in (ada.id, a_user_id()):  # whether there is such a user is not told either
            with refused(NotPermitted, f"You lack the permission {MANAGE_USERS.name}."):
                await operation(run, actor, user_id)
    assert transactions.events == []


@pytest.mark.parametrize("operation", OPERATIONS, ids=["roles", "suspend", "restore", "sessions"])
async def test_who_is_no_user_is_not_found(run: Runner[UnitOfWork], operation: Operation) -> None:
    with refused(UserNotFound):
        await operation(run, ADMIN, a_user_id())


async def test_roles_can_be_given_and_taken(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], clock: FakeClock, ada: User
) -> None:
    changed = await run(change_roles, ADMIN, ada.id, roles=[GlobalRole.SUPPORT])
    assert (changed.roles, changed.version) == ((GlobalRole.SUPPORT,), 2)
    assert transactions.events == [
        RolesChanged(at=clock.now, user_id=ada.id, roles=(GlobalRole.SUPPORT,), by=ADMIN.user_id)
    ]
    assert await run(change_roles, ADMIN, ada.id, roles=[GlobalRole.SUPPORT]) == changed
    assert (await run(change_roles, ADMIN, ada.id, roles=[])).roles == ()


async def test_a_suspension_ends_all_sessions_and_a_restoration_begins_none(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], clock: FakeClock, ada: User
) -> None:
    mine = [a_session(user_id=ada.id) for _ in range(2)]
    others = a_session()
    await store(transactions, *mine, others)
    secrets = [a_one_time_token(user_id=ada.id, purpose=purpose) for purpose in Purpose]
    await store(transactions, *secrets)
    suspended = await run(suspend_user, ADMIN, ada.id)
    assert [token.purpose for token in transactions.committed.of(OneTimeToken).values()] == [
        Purpose.UNDO_EMAIL_CHANGE
    ]
    assert suspended.suspended_at == clock.now
    sessions = transactions.committed.of(Session)
    assert [sessions[session.id].ended_at for session in mine] == [clock.now, clock.now]
    assert sessions[others.id] == others
    restored = await run(restore_user, ADMIN, ada.id)
    assert restored.suspended_at is None
    assert [sessions[session.id].ended_at for session in mine] == [clock.now, clock.now]
    assert transactions.events == [
        UserSuspended(at=clock.now, user_id=ada.id, by=ADMIN.user_id),
        UserRestored(at=clock.now, user_id=ada.id, by=ADMIN.user_id),
    ]


async def test_suspending_again_ends_what_slipped_through(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], clock: FakeClock, ada: User
) -> None:
    await run(suspend_user, ADMIN, ada.id)
    session = a_session(user_id=ada.id)
    await store(transactions, session)
    assert (await run(suspend_user, ADMIN, ada.id)).version == 2
    assert transactions.committed.of(Session)[session.id].ended_at == clock.now


async def test_nobody_suspends_themselves_or_changes_their_own_roles(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], ada: User
) -> None:
    herself = a_caller(ada.id, roles=frozenset({GlobalRole.ADMIN}))
    with refused(OwnAccount, "Ask another user who may."):
        await run(suspend_user, herself, ada.id)
    with refused(OwnAccount, "Ask another user who may."):
        await run(change_roles, herself, ada.id, roles=[])
    assert transactions.events == []


@pytest.mark.parametrize("operation", OPERATIONS, ids=["roles", "suspend", "restore", "sessions"])
@pytest.mark.parametrize("lost", ["role", "account"])
async def test_who_has_lost_the_role_or_the_account_a_moment_ago_manages_nobody(
    lost: str,
    operation: Operation,
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    ada: User,
) -> None:
    """Their token was verified before that, and is believed for seconds."""
    acting = a_user(roles=(GlobalRole.ADMIN,))
    await store(transactions, acting)
    caller = Caller(
        user_id=acting.id, issuer="https://issuer.example", subject="x", roles=frozenset(acting.roles)
    )
    await operation(run, caller, ada.id)
    if lost == "role":
        await run(change_roles, ADMIN, acting.id, roles=[GlobalRole.SUPPORT])
    else:
        await run(suspend_user, ADMIN, acting.id)
    with refused(NotPermitted, f"You lack the permission {MANAGE_USERS.name}."):
        await operation(run, caller, ada.id)


async def test_whom_a_provider_vouches_for_needs_no_stored_role_but_an_account(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], ada: User
) -> None:
    acting = a_user()
    await store(transactions, acting)
    vouched = a_caller(acting.id, roles=frozenset({GlobalRole.ADMIN}))
    await run(suspend_user, vouched, ada.id)
    await run(suspend_user, ADMIN, acting.id)
    with refused(NotPermitted, f"You lack the permission {MANAGE_USERS.name}."):
        await run(restore_user, vouched, ada.id)


# ── by an operator ───────────────────────────────────────────────────────────────────────────────


def its_id(user: User) -> str:
    return str(user.id)


def its_address(user: User) -> str:
    return address_of(user).upper()


@pytest.mark.parametrize("named", [its_id, its_address])
async def test_an_operator_gives_and_takes_roles_by_id_or_verified_address(
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    clock: FakeClock,
    named: Callable[[User], str],
) -> None:
    ada = a_user(email_verified_at=NOW)
    await store(transactions, ada, a_user(email=ada.email))
    account = named(ada)
    await run(grant_role, account=account, role=GlobalRole.ADMIN)
    both = await run(grant_role, account=account, role=GlobalRole.SUPPORT)
    assert both.roles == (GlobalRole.SUPPORT, GlobalRole.ADMIN)
    assert await run(grant_role, account=account, role=GlobalRole.SUPPORT) == both
    assert (await run(revoke_role, account=account, role=GlobalRole.ADMIN)).roles == (GlobalRole.SUPPORT,)
    assert (await run(revoke_role, account=account, role=GlobalRole.ADMIN)).roles == (GlobalRole.SUPPORT,)
    assert transactions.events[0] == RolesChanged(
        at=clock.now, user_id=ada.id, roles=(GlobalRole.ADMIN,), by=None
    )
    assert len(transactions.events) == 3


@pytest.mark.parametrize("named", [its_id, its_address])
async def test_an_operator_suspends_and_restores_by_id_or_verified_address(
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    clock: FakeClock,
    named: Callable[[User], str],
) -> None:
    ada = a_user(email_verified_at=NOW)
    session = a_session(user_id=ada.id)
    await store(transactions, ada, session, a_one_time_token(user_id=ada.id))
    assert (await run(suspend_account, account=named(ada))).suspended_at == clock.now
    assert transactions.committed.of(OneTimeToken) == {}
    assert transactions.committed.of(Session)[session.id].ended_at == clock.now
    assert (await run(restore_account, account=named(ada))).suspended_at is None
    assert transactions.events == [
        UserSuspended(at=clock.now, user_id=ada.id, by=None),
        UserRestored(at=clock.now, user_id=ada.id, by=None),
    ]


async def test_an_operator_learns_that_nobody_has_the_address(run: Runner[UnitOfWork]) -> None:
    for nobody in (an_email(), str(a_user_id())):
        with refused(UserNotFound):
            await run(grant_role, account=nobody, role=GlobalRole.ADMIN)
        with refused(UserNotFound):
            await run(suspend_account, account=nobody)
    with refused(Invalid, "It must be an e-mail address such as ada@example.com.", field="email"):
        await run(restore_account, account="nobody")


async def test_an_operator_does_not_promote_who_only_claims_an_address(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    address = an_email()
    await store(transactions, a_user(email=address))
    newest = a_user(email=address)
    await store(transactions, newest)
    newest_id = max(user.id for user in transactions.committed.of(User).values())
    detail = f"No user has verified this address. If you mean the newest to claim it: {newest_id}."
    with refused(UserNotFound, detail):
        await run(grant_role, account=address, role=GlobalRole.ADMIN)
    assert transactions.events == []
