"""A change of address from beginning to end: pending, confirmed, undone; and who has only claimed one."""

from dataclasses import replace
from datetime import timedelta

import pytest

from application.kernel.identity.email_changes import undo_email_change
from application.kernel.identity.password_login import PasswordLogin, confirm_email
from application.kernel.identity.secret_tokens import fingerprint
from application.kernel.run import Runner
from domain.kernel.errors import Stale
from domain.kernel.identity.one_time_tokens import (
    EmailVerificationRequested,
    OneTimeToken,
    OneTimeTokenNotFound,
    Purpose,
)
from domain.kernel.identity.sessions import Session
from domain.kernel.users import Email, EmailChanged, EmailTaken, EmailVerified, User
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import NOW, a_caller, a_one_time_token, a_session, a_user, store
from kernel.world.fakes import FakeClock, MemoryTransactions
from kernel.world.refusals import refused

OLD, NEW, THIRD = Email("ada@example.com"), Email("augusta@example.com"), Email("countess@example.com")
EARLIER = NOW - timedelta(days=3)


def undoing(user: User, *, email: Email = OLD, secret: str = "undo", made: timedelta) -> OneTimeToken:
    """What was mailed to an address that was to be changed, so long ago."""
    return a_one_time_token(
        purpose=Purpose.UNDO_EMAIL_CHANGE,
        user_id=user.id,
        email=email,
        token_hash=fingerprint(secret),
        created_at=NOW - made,
        expires_at=NOW - made + timedelta(days=7),
    )


def verifying(user: User, email: Email) -> OneTimeToken:
    return a_one_time_token(user_id=user.id, email=email, token_hash=fingerprint("verify"))


@pytest.fixture
async def pending(transactions: MemoryTransactions[UnitOfWork]) -> User:
    """Somebody who is about to have another address."""
    user = a_user(email=OLD, email_verified_at=EARLIER, pending_email=NEW)
    await store(transactions, user, verifying(user, NEW), undoing(user, made=timedelta(0)))
    return user


@pytest.fixture
async def moved(transactions: MemoryTransactions[UnitOfWork]) -> User:
    """Somebody who has another address since a day, and a session."""
    user = a_user(email=NEW, email_verified_at=NOW)
    await store(transactions, user, undoing(user, made=timedelta(days=1)), a_session(user_id=user.id))
    return user


# ── confirmed ────────────────────────────────────────────────────────────────────────────────────


async def test_who_has_what_was_mailed_to_the_pending_address_has_that_address(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], pending: User
) -> None:
    reset = a_one_time_token(purpose=Purpose.RESET_PASSWORD, user_id=pending.id, email=OLD)
    await store(transactions, reset)
    await run(confirm_email, a_caller(pending.id), token="verify")
    after = transactions.committed.of(User)[pending.id]
    assert (after.email, after.email_verified_at, after.pending_email) == (NEW, NOW, None)
    assert transactions.events == [
        EmailChanged(at=NOW, user_id=pending.id, formerly=OLD),
        EmailVerified(at=NOW, user_id=pending.id),
    ]
    left = transactions.committed.of(OneTimeToken).values()
    assert [token.purpose for token in left] == [Purpose.UNDO_EMAIL_CHANGE]


async def test_nobody_confirms_a_pending_address_for_another(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], pending: User
) -> None:
    with refused(OneTimeTokenNotFound):
        await run(confirm_email, a_caller(), token="verify")
    assert transactions.committed.of(User)[pending.id] == pending


async def test_what_was_mailed_to_the_address_so_far_does_not_prove_the_pending_one(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    user = a_user(email=OLD, pending_email=NEW)
    await store(transactions, user, verifying(user, OLD))
    with refused(OneTimeTokenNotFound):
        await run(confirm_email, a_caller(user.id), token="verify")
    assert transactions.committed.of(User)[user.id] == user


async def test_the_mail_to_a_pending_address_may_be_asked_for_again(
    login: PasswordLogin, transactions: MemoryTransactions[UnitOfWork], pending: User
) -> None:
    await login.request_email_verification(a_caller(pending.id))
    (event,) = transactions.events
    assert isinstance(event, EmailVerificationRequested)
    assert transactions.committed.of(OneTimeToken)[event.token_id].email == NEW


async def test_an_address_that_another_has_proved_is_not_to_be_had(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], pending: User
) -> None:
    await store(transactions, a_user(email=NEW, email_verified_at=NOW))
    with refused(EmailTaken):
        await run(confirm_email, a_caller(pending.id), token="verify")
    assert transactions.committed.of(User)[pending.id] == pending


async def test_one_that_another_has_only_claimed_goes_to_who_has_proved_it(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], pending: User
) -> None:
    squatter = a_user(email=NEW)
    await store(transactions, squatter)
    await run(confirm_email, a_caller(pending.id), token="verify")
    users = transactions.committed.of(User)
    assert (users[pending.id].email, users[squatter.id].email) == (NEW, None)


# ── undone ───────────────────────────────────────────────────────────────────────────────────────


async def test_before_it_was_confirmed_undoing_it_leaves_everything_as_it_was(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], pending: User
) -> None:
    session = a_session(user_id=pending.id)
    await store(transactions, session)
    await run(undo_email_change, token="undo")
    after = transactions.committed.of(User)[pending.id]
    assert after == replace(pending, pending_email=None, version=2)
    assert transactions.committed.of(OneTimeToken) == {}  # what was mailed to the pending address, too
    assert transactions.committed.of(Session)[session.id] == session


async def test_after_that_the_address_is_back_and_all_sessions_end(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], moved: User
) -> None:
    thiefs = a_one_time_token(purpose=Purpose.RESET_PASSWORD, user_id=moved.id, email=NEW)
    await store(transactions, thiefs)
    await run(undo_email_change, token="undo")
    after = transactions.committed.of(User)[moved.id]
    assert (after.email, after.email_verified_at, after.pending_email) == (OLD, NOW, None)
    assert [session.ended_at for session in transactions.committed.of(Session).values()] == [NOW]
    assert transactions.committed.of(OneTimeToken) == {}
    assert EmailChanged(at=NOW, user_id=moved.id, formerly=NEW) in transactions.events


async def test_it_is_undone_once(run: Runner[UnitOfWork], moved: User) -> None:
    await run(undo_email_change, token="undo")
    with refused(OneTimeTokenNotFound):
        await run(undo_email_change, token="undo")


async def test_a_change_that_was_withdrawn_has_nothing_to_undo(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    user = a_user(email=OLD, email_verified_at=EARLIER)
    await store(transactions, user, undoing(user, made=timedelta(0)), a_session(user_id=user.id))
    await run(undo_email_change, token="undo")
    assert transactions.committed.of(User)[user.id] == user
    assert transactions.events == []


async def test_who_undoes_a_change_of_theirs_does_not_make_the_owners_secret_void(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    """A thief moves the account to NEW and from there to THIRD, and undoes the second change."""
    user = a_user(email=THIRD, email_verified_at=NOW)
    owners = undoing(user, secret="owner", made=timedelta(days=2))
    thiefs = undoing(user, email=NEW, secret="thief", made=timedelta(days=1))
    await store(transactions, user, owners, thiefs)
    await run(undo_email_change, token="thief")
    assert transactions.committed.of(User)[user.id].email == NEW
    await run(undo_email_change, token="owner")
    assert transactions.committed.of(User)[user.id].email == OLD
    assert transactions.committed.of(OneTimeToken) == {}


async def test_the_owners_secret_makes_the_thiefs_void(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    user = a_user(email=THIRD, email_verified_at=NOW)
    owners = undoing(user, secret="owner", made=timedelta(days=2))
    thiefs = undoing(user, email=NEW, secret="thief", made=timedelta(days=1))
    await store(transactions, user, owners, thiefs)
    await run(undo_email_change, token="owner")
    with refused(OneTimeTokenNotFound):
        await run(undo_email_change, token="thief")


async def test_a_stranger_who_claims_the_address_in_between_does_not_keep_it(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], moved: User
) -> None:
    squatter = a_user(email=OLD)
    await store(transactions, squatter)
    await run(undo_email_change, token="undo")
    users = transactions.committed.of(User)
    assert (users[moved.id].email, users[squatter.id].email) == (OLD, None)


async def test_who_has_proved_the_address_in_between_keeps_it(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], moved: User
) -> None:
    await store(transactions, a_user(email=OLD, email_verified_at=NOW))
    with refused(EmailTaken):
        await run(undo_email_change, token="undo")
    assert transactions.committed.of(User)[moved.id] == moved


@pytest.mark.parametrize("purpose", [purpose for purpose in Purpose if purpose != Purpose.UNDO_EMAIL_CHANGE])
async def test_the_secret_of_another_purpose_undoes_nothing(
    purpose: Purpose, run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], moved: User
) -> None:
    other = a_one_time_token(purpose=purpose, user_id=moved.id, email=OLD, token_hash=fingerprint("other"))
    await store(transactions, other)
    with refused(OneTimeTokenNotFound):
        await run(undo_email_change, token="other")
    assert transactions.committed.of(User)[moved.id] == moved


async def test_nor_does_one_that_is_a_week_old_or_was_guessed(
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    moved: User,
    clock: FakeClock,
) -> None:
    clock.advance(timedelta(days=6))
    for token in ("undo", "guess", ""):
        with refused(OneTimeTokenNotFound):
            await run(undo_email_change, token=token)
    assert transactions.committed.of(User)[moved.id] == moved


async def test_nor_one_of_somebody_who_is_suspended(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    user = a_user(email=NEW, email_verified_at=NOW, suspended_at=NOW)
    await store(transactions, user, undoing(user, made=timedelta(days=1)))
    with refused(OneTimeTokenNotFound):
        await run(undo_email_change, token="undo")


async def test_a_thief_who_changes_something_at_the_same_time_does_not_prevent_it(
    login: PasswordLogin, transactions: MemoryTransactions[UnitOfWork], moved: User
) -> None:
    transactions.failures.extend([Stale(), Stale(), Stale(), Stale()])
    await login.undo_email_change(token="undo")
    assert transactions.committed.of(User)[moved.id].email == OLD


async def test_nor_is_it_tried_for_ever(
    login: PasswordLogin, transactions: MemoryTransactions[UnitOfWork], moved: User
) -> None:
    transactions.failures.extend([Stale() for _ in range(5)])
    with refused(Stale):
        await login.undo_email_change(token="undo")
    assert transactions.committed.of(User)[moved.id] == moved
