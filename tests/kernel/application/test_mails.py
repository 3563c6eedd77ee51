"""The mails that events cause, and what they say."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from application.kernel.identity.identities import admit_stranger
from application.kernel.identity.letters import Letters
from application.kernel.identity.mails import VERIFY_ADDRESS, MailReactions
from application.kernel.identity.secret_tokens import fingerprint
from application.kernel.ports.events import Delivery, Outside
from application.kernel.ports.mail import Mail, MailKind
from application.kernel.ports.world import NotNow, TimedOut, Unavailable
from application.kernel.run import Runner
from domain.kernel.aggregate import Event
from domain.kernel.identity.credentials import PasswordChanged
from domain.kernel.identity.identities import IdentityLinked, IdentityUnlinked, LinkId
from domain.kernel.identity.one_time_tokens import (
    EmailVerificationRequested,
    OneTimeToken,
    OneTimeTokenId,
    PasswordResetRequested,
    Purpose,
)
from domain.kernel.identity.sessions import OtherSessionsEnded
from domain.kernel.invitations import Invitation, MemberInvited
from domain.kernel.memberships import Role
from domain.kernel.users import Email, EmailChanged, EmailChangeRequested, User, UserDeleted, UserRegistered
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import (
    NOW,
    a_one_time_token,
    a_proof,
    a_user,
    a_user_id,
    a_workspace,
    an_invitation,
    store,
)
from kernel.world.fakes import FakeClock, FakeMailer, MemoryTransactions

LETTERS = Letters(service="Loomworks", app_url="https://app.example", api_url="https://api.example/v1")
ADA, AUGUSTA = Email("ada@example.com"), Email("augusta@example.com")


@pytest.fixture
def mailer() -> FakeMailer:
    return FakeMailer()


@pytest.fixture
def mails(mailer: FakeMailer) -> MailReactions:
    return MailReactions(mailer, LETTERS)


@pytest.fixture
async def ada(transactions: MemoryTransactions[UnitOfWork]) -> User:
    user = a_user(email=ADA)
    await store(transactions, user)
    return user


def delivery_of[E: Event](event: E) -> Delivery[E]:
    return Delivery(id=uuid4(), event=event)


async def leave[E: Event](
    run: Runner[UnitOfWork], reaction: Outside[UnitOfWork, E], delivery: Delivery[E]
) -> str:
    """What a lane does: two transactions, and the mail between them. Says what is to follow."""
    outgoing = await run(reaction, delivery)
    if outgoing is None:
        return ""
    await run(outgoing.stored, await outgoing.send())
    return outgoing.then


def secret_in(mail: Mail) -> str:
    """What stands in the link."""
    return mail.text.partition("#token=")[2].split()[0]


def tokens_in(transactions: MemoryTransactions[UnitOfWork]) -> list[OneTimeToken]:
    return list(transactions.committed.of(OneTimeToken).values())


def a_request(user: User | None = None, *, email: Email | None = ADA) -> OneTimeToken:
    """A token that waits to be mailed: of a user to prove their address, of nobody to reset a password."""
    if user is None:
        return OneTimeToken.reset_password(id=OneTimeTokenId(uuid4()), email=email or ADA, at=NOW)
    return OneTimeToken.verify_email(id=OneTimeTokenId(uuid4()), user_id=user.id, email=email or ADA, at=NOW)


@pytest.mark.parametrize(
    ("event", "user", "address"),
    [
        (UserRegistered, a_user(email=ADA), ADA),
        (EmailChangeRequested, a_user(email=ADA, pending_email=AUGUSTA), AUGUSTA),
        (EmailChangeRequested, a_user(email=ADA, email_verified_at=NOW, pending_email=AUGUSTA), AUGUSTA),
    ],
)
async def test_who_registers_or_wants_another_address_gets_a_secret_there_of_which_a_fingerprint_is_kept(
    event: type[UserRegistered],  # or the other: they have the same fields
    user: User,
    address: Email,
    run: Runner[UnitOfWork],
    mails: MailReactions,
    *,
    transactions: MemoryTransactions[UnitOfWork],
    mailer: FakeMailer,
) -> None:
    await store(transactions, user)
    await leave(run, mails.verify_address, delivery_of(event(at=NOW, user_id=user.id)))
    (mail,) = mailer.sent
    assert mail == LETTERS.verify_email(address, token=secret_in(mail))
    (token,) = tokens_in(transactions)
    assert token == OneTimeToken(
        id=token.id,
        version=token.version,
        purpose=Purpose.VERIFY_EMAIL,
        user_id=user.id,
        email=address,
        token_hash=fingerprint(secret_in(mail)),
        created_at=NOW,
        expires_at=NOW + timedelta(hours=24),
    )


async def test_only_the_newest_secret_is_good(
    run: Runner[UnitOfWork],
    mails: MailReactions,
    ada: User,
    transactions: MemoryTransactions[UnitOfWork],
    mailer: FakeMailer,
) -> None:
    for _ in range(3):
        await leave(run, mails.verify_address, delivery_of(UserRegistered(at=NOW, user_id=ada.id)))
    assert [token.token_hash for token in tokens_in(transactions)] == [
        fingerprint(secret_in(mailer.sent[-1]))
    ]
    assert len({secret_in(mail) for mail in mailer.sent}) == 3


@pytest.mark.parametrize(
    "user",
    [
        replace(a_user(), email=None),
        a_user(email_verified_at=NOW),
        a_user(suspended_at=NOW),
    ],
    ids=["no address", "proved already", "suspended"],
)
async def test_who_has_nothing_to_prove_gets_no_mail(
    user: User,
    run: Runner[UnitOfWork],
    mails: MailReactions,
    transactions: MemoryTransactions[UnitOfWork],
    mailer: FakeMailer,
) -> None:
    await store(transactions, user)
    await leave(run, mails.verify_address, delivery_of(UserRegistered(at=NOW, user_id=user.id)))
    assert mailer.sent == []
    assert tokens_in(transactions) == []


async def test_who_is_gone_gets_no_mail(
    run: Runner[UnitOfWork], mails: MailReactions, mailer: FakeMailer
) -> None:
    nobody = a_user().id
    await leave(run, mails.verify_address, delivery_of(UserRegistered(at=NOW, user_id=nobody)))
    await leave(run, mails.tell_of_password, delivery_of(PasswordChanged(at=NOW, user_id=nobody)))
    nothing = OneTimeTokenId(uuid4())
    await leave(run, mails.verify_again, delivery_of(EmailVerificationRequested(at=NOW, token_id=nothing)))
    await leave(run, mails.reset_password, delivery_of(PasswordResetRequested(at=NOW, token_id=nothing)))
    assert mailer.sent == []


async def test_another_mail_on_request_makes_the_one_before_worthless(
    run: Runner[UnitOfWork],
    mails: MailReactions,
    ada: User,
    transactions: MemoryTransactions[UnitOfWork],
    mailer: FakeMailer,
) -> None:
    earlier, request = a_one_time_token(user_id=ada.id, email=ADA, token_hash="earlier"), a_request(ada)
    await store(transactions, earlier, request)
    await leave(run, mails.verify_again, delivery_of(EmailVerificationRequested(at=NOW, token_id=request.id)))
    (mail,) = mailer.sent
    assert mail == LETTERS.verify_email(ADA, token=secret_in(mail))
    assert tokens_in(transactions) == [
        replace(request, token_hash=fingerprint(secret_in(mail)), version=2),
    ]


@pytest.mark.parametrize(
    "change", [{"email": AUGUSTA}, {"email_verified_at": NOW}, {"pending_email": AUGUSTA}]
)
async def test_a_request_that_the_user_has_outrun_is_forgotten(
    change: dict[str, object],
    run: Runner[UnitOfWork],
    mails: MailReactions,
    transactions: MemoryTransactions[UnitOfWork],
    mailer: FakeMailer,
) -> None:
    user = replace(a_user(email=ADA), **change)  # type: ignore[arg-type]
    request = a_request(user)
    await store(transactions, user, request)
    await leave(run, mails.verify_again, delivery_of(EmailVerificationRequested(at=NOW, token_id=request.id)))
    assert mailer.sent == []
    assert tokens_in(transactions) == []


async def test_who_has_the_address_gets_the_secret_that_resets_the_password(
    run: Runner[UnitOfWork],
    mails: MailReactions,
    ada: User,
    transactions: MemoryTransactions[UnitOfWork],
    mailer: FakeMailer,
) -> None:
    earlier, request = a_request(), a_request()
    await store(transactions, replace(earlier, user_id=ada.id, token_hash="earlier"), request)
    await leave(run, mails.reset_password, delivery_of(PasswordResetRequested(at=NOW, token_id=request.id)))
    (mail,) = mailer.sent
    assert mail == LETTERS.reset_password(ADA, token=secret_in(mail))
    assert tokens_in(transactions) == [
        replace(request, user_id=ada.id, token_hash=fingerprint(secret_in(mail)), version=2, events=())
    ]


@pytest.mark.parametrize("user", [a_user(), a_user(email=ADA, suspended_at=NOW)], ids=["nobody", "suspended"])
async def test_where_nobody_has_the_address_the_request_is_forgotten(
    user: User,
    run: Runner[UnitOfWork],
    mails: MailReactions,
    transactions: MemoryTransactions[UnitOfWork],
    mailer: FakeMailer,
) -> None:
    request = a_request()
    await store(transactions, user, request)
    await leave(run, mails.reset_password, delivery_of(PasswordResetRequested(at=NOW, token_id=request.id)))
    assert mailer.sent == []
    assert tokens_in(transactions) == []


async def test_a_reset_goes_to_who_has_verified_the_address_whoever_else_claims_it(
    run: Runner[UnitOfWork],
    mails: MailReactions,
    transactions: MemoryTransactions[UnitOfWork],
    mailer: FakeMailer,
) -> None:
    holder, request = a_user(email=ADA, email_verified_at=NOW), a_request()
    await store(transactions, a_user(email=ADA), holder, a_user(email=ADA), request)
    await leave(run, mails.reset_password, delivery_of(PasswordResetRequested(at=NOW, token_id=request.id)))
    assert [(mail.to, token.user_id) for mail in mailer.sent for token in tokens_in(transactions)] == [
        (ADA, holder.id)
    ]


async def test_of_those_who_claim_an_address_the_newest_who_is_not_suspended_can_reset_a_password(
    run: Runner[UnitOfWork], mails: MailReactions, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    claimants, request = [a_user(email=ADA) for _ in range(3)], a_request()
    *others, newest = sorted(claimants, key=lambda user: user.id)
    await store(transactions, *others, replace(newest, suspended_at=NOW), request)
    await leave(run, mails.reset_password, delivery_of(PasswordResetRequested(at=NOW, token_id=request.id)))
    assert [token.user_id for token in tokens_in(transactions)] == [others[-1].id]


async def test_where_who_has_verified_the_address_is_suspended_nobody_else_gets_the_secret(
    run: Runner[UnitOfWork],
    mails: MailReactions,
    transactions: MemoryTransactions[UnitOfWork],
    mailer: FakeMailer,
) -> None:
    holder, request = a_user(email=ADA, email_verified_at=NOW, suspended_at=NOW), a_request()
    await store(transactions, holder, a_user(email=ADA), request)
    await leave(run, mails.reset_password, delivery_of(PasswordResetRequested(at=NOW, token_id=request.id)))
    assert (mailer.sent, tokens_in(transactions)) == ([], [])


@pytest.fixture
async def invitation(transactions: MemoryTransactions[UnitOfWork]) -> Invitation:
    """Of Ada, by Grace."""
    grace, workspace = a_user(display_name="Grace"), a_workspace(name="Compilers")
    invitation = replace(
        an_invitation(workspace_id=workspace.id, email=ADA, role=Role.ADMIN, invited_by=grace.id),
        token_hash=None,
    )
    await store(transactions, grace, workspace, invitation)
    return invitation


def invited(invitation: Invitation) -> Delivery[MemberInvited]:
    return delivery_of(
        MemberInvited(
            at=NOW,
            workspace_id=invitation.workspace_id,
            invitation_id=invitation.id,
            role=invitation.role,
            by=invitation.invited_by,
        )
    )


async def test_whoever_is_invited_gets_a_secret_of_which_only_the_fingerprint_is_kept(
    run: Runner[UnitOfWork],
    mails: MailReactions,
    transactions: MemoryTransactions[UnitOfWork],
    mailer: FakeMailer,
    invitation: Invitation,
) -> None:
    await leave(run, mails.invite, invited(invitation))
    (mail,) = mailer.sent
    assert mail == LETTERS.invitation(
        ADA,
        workspace="Compilers",
        inviter="Grace",
        role=Role.ADMIN,
        expires_at=invitation.expires_at,
        token=secret_in(mail),
    )
    (stored,) = transactions.committed.of(Invitation).values()
    # With the version that it had: what people see of it is the same.
    assert stored == replace(invitation, token_hash=fingerprint(secret_in(mail)))
    await leave(run, mails.invite, invited(invitation))  # delivered again
    (stored,) = transactions.committed.of(Invitation).values()
    assert stored.token_hash == fingerprint(secret_in(mailer.sent[-1]))


async def test_an_invitation_that_has_gone_or_expired_is_not_mailed(
    run: Runner[UnitOfWork],
    mails: MailReactions,
    transactions: MemoryTransactions[UnitOfWork],
    mailer: FakeMailer,
    clock: FakeClock,
    *,
    invitation: Invitation,
) -> None:
    clock.now = invitation.expires_at
    await leave(run, mails.invite, invited(invitation))
    async with transactions() as uow:
        await uow.invitations.remove(invitation)
    await leave(run, mails.invite, invited(invitation))
    assert mailer.sent == []


async def test_a_request_that_waited_too_long_is_forgotten(
    run: Runner[UnitOfWork],
    mails: MailReactions,
    ada: User,
    transactions: MemoryTransactions[UnitOfWork],
    clock: FakeClock,
) -> None:
    request = a_request()
    await store(transactions, request)
    clock.advance(timedelta(hours=1))
    await leave(run, mails.reset_password, delivery_of(PasswordResetRequested(at=NOW, token_id=request.id)))
    assert tokens_in(transactions) == []


async def test_a_mail_that_is_withheld_leaves_the_secret_of_the_one_before_good(
    run: Runner[UnitOfWork],
    mails: MailReactions,
    ada: User,
    transactions: MemoryTransactions[UnitOfWork],
    mailer: FakeMailer,
) -> None:
    verify = a_one_time_token(user_id=ada.id, email=ADA, token_hash="verify")
    reset = replace(a_request(), user_id=ada.id, token_hash="reset", events=())
    to_verify, to_reset = a_request(ada), a_request()
    await store(transactions, verify, reset, to_verify, to_reset)
    mailer.full = True
    await leave(run, mails.verify_address, delivery_of(UserRegistered(at=NOW, user_id=ada.id)))
    await leave(
        run, mails.verify_again, delivery_of(EmailVerificationRequested(at=NOW, token_id=to_verify.id))
    )
    await leave(run, mails.reset_password, delivery_of(PasswordResetRequested(at=NOW, token_id=to_reset.id)))
    assert tokens_in(transactions) == [verify, reset]  # and what was asked for is not tried again


async def test_an_invitation_whose_mail_is_withheld_keeps_the_secret_of_the_mail_before(
    run: Runner[UnitOfWork],
    mails: MailReactions,
    transactions: MemoryTransactions[UnitOfWork],
    mailer: FakeMailer,
    invitation: Invitation,
) -> None:
    await leave(run, mails.invite, invited(invitation))
    mailer.full = True
    await leave(run, mails.invite, invited(invitation))
    (stored,) = transactions.committed.of(Invitation).values()
    assert stored.token_hash == fingerprint(secret_in(mailer.sent[0]))


def test_what_is_told_of_changed_ways_in_is_a_notice() -> None:
    """Which has a count of its own, so that no flood keeps it from arriving."""
    told = [
        LETTERS.email_change_requested(ADA, pending=AUGUSTA, token="secret"),
        LETTERS.email_changed(ADA),
        LETTERS.identity_linked(ADA, issuer="https://id.example"),
        LETTERS.identity_unlinked(ADA, issuer="https://id.example"),
        LETTERS.sessions_ended(ADA),
    ]
    assert {mail.kind for mail in told} == {MailKind.NOTICE}


@pytest.mark.parametrize("proved", [True, False])
async def test_what_is_told_of_a_password_is_a_notice_where_the_address_was_proved(
    proved: bool,
    run: Runner[UnitOfWork],
    mails: MailReactions,
    transactions: MemoryTransactions[UnitOfWork],
    mailer: FakeMailer,
) -> None:
    """Else a stranger's account that only claims the address would use up what its owner is told."""
    user = a_user(email=ADA, email_verified_at=NOW if proved else None)
    await store(transactions, user)
    await leave(run, mails.tell_of_password, delivery_of(PasswordChanged(at=NOW, user_id=user.id)))
    assert [mail.kind for mail in mailer.sent] == [MailKind.NOTICE if proved else MailKind.ORDINARY]


def test_only_what_lets_somebody_in_is_a_way_in() -> None:
    assert LETTERS.reset_password(ADA, token="s3cret").kind is MailKind.WAY_IN
    assert LETTERS.verify_email(ADA, token="s3cret").kind is MailKind.ORDINARY


async def test_who_has_another_password_is_told(
    run: Runner[UnitOfWork], mails: MailReactions, ada: User, mailer: FakeMailer
) -> None:
    await leave(run, mails.tell_of_password, delivery_of(PasswordChanged(at=NOW, user_id=ada.id)))
    assert mailer.sent == [LETTERS.password_changed(ADA, proved=False)]


@pytest.mark.parametrize("failure", [Unavailable("away"), NotNow("later"), TimedOut("slow")])
async def test_a_mail_that_cannot_be_sent_leaves_no_secret(
    failure: Exception,
    run: Runner[UnitOfWork],
    mails: MailReactions,
    ada: User,
    *,
    transactions: MemoryTransactions[UnitOfWork],
    mailer: FakeMailer,
) -> None:
    request = a_request()
    await store(transactions, request)
    requests: list[Callable[[], Awaitable[str]]] = [
        lambda: leave(run, mails.verify_address, delivery_of(UserRegistered(at=NOW, user_id=ada.id))),
        lambda: leave(
            run, mails.reset_password, delivery_of(PasswordResetRequested(at=NOW, token_id=request.id))
        ),
    ]
    for again in requests:
        mailer.failures.append(failure)
        with pytest.raises(type(failure)):
            await again()
        assert {token.token_hash for token in tokens_in(transactions)} == {None}
    for again in requests:
        await again()
    assert len(mailer.sent) == 2


# ── what has changed of the ways in ──────────────────────────────────────────────────────────────


@pytest.fixture
async def moving(transactions: MemoryTransactions[UnitOfWork]) -> User:
    """Somebody with a proved address, who is about to have another one."""
    user = a_user(email=ADA, email_verified_at=NOW, pending_email=AUGUSTA, created_at=NOW - timedelta(days=1))
    await store(transactions, user)
    return user


async def test_who_has_proved_the_address_so_far_gets_there_what_undoes_its_change(
    run: Runner[UnitOfWork],
    mails: MailReactions,
    moving: User,
    transactions: MemoryTransactions[UnitOfWork],
    mailer: FakeMailer,
) -> None:
    event = EmailChangeRequested(at=NOW, user_id=moving.id)
    await leave(run, mails.change_address, delivery_of(event))
    (mail,) = mailer.sent
    assert mail == LETTERS.email_change_requested(ADA, pending=AUGUSTA, token=secret_in(mail))
    (token,) = tokens_in(transactions)
    assert token == OneTimeToken(
        id=token.id,
        version=token.version,
        purpose=Purpose.UNDO_EMAIL_CHANGE,
        user_id=moving.id,
        email=ADA,
        token_hash=fingerprint(secret_in(mail)),
        created_at=NOW,
        expires_at=NOW + timedelta(days=7),
    )
    await leave(run, mails.change_address, delivery_of(event))
    assert len(tokens_in(transactions)) == 2  # a second request does not make the first mail worthless


@pytest.mark.parametrize(
    "user",
    [
        a_user(email=ADA, pending_email=AUGUSTA),
        replace(a_user(pending_email=AUGUSTA), email=None),
        a_user(email_verified_at=NOW),
        a_user(email_verified_at=NOW, pending_email=AUGUSTA, suspended_at=NOW),
    ],
    ids=["never proved", "no address", "withdrawn", "suspended"],
)
async def test_nobody_else_gets_that(
    user: User,
    run: Runner[UnitOfWork],
    mails: MailReactions,
    transactions: MemoryTransactions[UnitOfWork],
    mailer: FakeMailer,
) -> None:
    await store(transactions, user)
    await leave(run, mails.change_address, delivery_of(EmailChangeRequested(at=NOW, user_id=user.id)))
    assert not [mail for mail in mailer.sent if "undo-email-change" in mail.text]
    assert not [token for token in tokens_in(transactions) if token.purpose is Purpose.UNDO_EMAIL_CHANGE]


@pytest.mark.parametrize(("proved", "then", "to"), [(True, VERIFY_ADDRESS, ADA), (False, "", AUGUSTA)])
async def test_a_new_address_is_to_be_proved_once_the_undoing_of_the_change_has_left(
    run: Runner[UnitOfWork],
    mails: MailReactions,
    transactions: MemoryTransactions[UnitOfWork],
    mailer: FakeMailer,
    *,
    proved: bool,
    then: str,
    to: Email,
) -> None:
    """Else a thief could confirm a change whose undoing waits for a mail server."""
    user = a_user(email=ADA, pending_email=AUGUSTA, email_verified_at=NOW if proved else None)
    await store(transactions, user)
    event = EmailChangeRequested(at=NOW, user_id=user.id)
    assert await leave(run, mails.change_address, delivery_of(event)) == then
    assert [mail.to for mail in mailer.sent] == [to]


async def test_a_secret_is_not_stored_for_an_address_that_changed_while_its_mail_left(
    run: Runner[UnitOfWork], mails: MailReactions, ada: User, transactions: MemoryTransactions[UnitOfWork]
) -> None:
    outgoing = await run(mails.verify_address, delivery_of(UserRegistered(at=NOW, user_id=ada.id)))
    assert outgoing is not None
    sent = await outgoing.send()
    async with transactions() as uow:
        user = await uow.users.get(ada.id)
        await uow.users.save(replace(user, email=None, pending_email=AUGUSTA))
    await run(outgoing.stored, sent)
    assert tokens_in(transactions) == []


@pytest.mark.parametrize("purpose", [Purpose.VERIFY_EMAIL, Purpose.UNDO_EMAIL_CHANGE])
async def test_a_secret_is_not_stored_that_became_void_while_its_mail_left(
    purpose: Purpose,
    run: Runner[UnitOfWork],
    mails: MailReactions,
    moving: User,
    *,
    transactions: MemoryTransactions[UnitOfWork],
) -> None:
    """By a changed password, or because an earlier change of the address was undone: 0030."""
    reaction = mails.verify_address if purpose is Purpose.VERIFY_EMAIL else mails.change_address
    outgoing = await run(reaction, delivery_of(EmailChangeRequested(at=NOW, user_id=moving.id)))
    assert outgoing is not None
    sent = await outgoing.send()
    async with transactions() as uow:
        await uow.one_time_tokens.void(moving.id, [purpose], since=NOW)
    await run(outgoing.stored, sent)
    assert tokens_in(transactions) == []


async def test_what_undoes_a_change_survives_what_makes_the_proof_of_it_void_while_its_mail_leaves(
    run: Runner[UnitOfWork],
    mails: MailReactions,
    moving: User,
    transactions: MemoryTransactions[UnitOfWork],
    mailer: FakeMailer,
) -> None:
    """Else a thief who changes the address and then the password would leave the owner without it."""
    outgoing = await run(mails.change_address, delivery_of(EmailChangeRequested(at=NOW, user_id=moving.id)))
    assert outgoing is not None
    sent = await outgoing.send()
    async with transactions() as uow:
        await uow.one_time_tokens.void(moving.id)
    await run(outgoing.stored, sent)
    await leave(run, mails.verify_address, delivery_of(EmailChangeRequested(at=NOW, user_id=moving.id)))
    async with transactions() as uow:
        await uow.one_time_tokens.void(moving.id)
    assert [token.token_hash for token in tokens_in(transactions)] == [fingerprint(secret_in(mailer.sent[0]))]


async def test_attempts_at_one_mail_leave_one_token(
    run: Runner[UnitOfWork],
    mails: MailReactions,
    moving: User,
    transactions: MemoryTransactions[UnitOfWork],
    mailer: FakeMailer,
) -> None:
    delivery = delivery_of(EmailChangeRequested(at=NOW, user_id=moving.id))
    for reaction, tokens in ((mails.change_address, 1), (mails.verify_address, 2)):
        assert await run(reaction, delivery) is not None  # its worker dies here
        await leave(run, reaction, delivery)
        assert len(tokens_in(transactions)) == tokens
    assert {token.token_hash for token in tokens_in(transactions)} == {
        fingerprint(secret_in(mail)) for mail in mailer.sent
    }


async def test_a_mail_that_is_no_use_any_more_when_its_server_is_back_is_not_sent(
    run: Runner[UnitOfWork],
    mails: MailReactions,
    ada: User,
    clock: FakeClock,
    *,
    transactions: MemoryTransactions[UnitOfWork],
    mailer: FakeMailer,
) -> None:
    reset, verify = a_request(), a_request(ada)
    workspace = a_workspace()
    invitation = an_invitation(workspace_id=workspace.id, email=AUGUSTA, invited_by=ada.id)
    await store(transactions, reset, verify, workspace, invitation)
    clock.advance(timedelta(days=30))
    await leave(run, mails.reset_password, delivery_of(PasswordResetRequested(at=NOW, token_id=reset.id)))
    await leave(run, mails.verify_again, delivery_of(EmailVerificationRequested(at=NOW, token_id=verify.id)))
    await leave(run, mails.invite, invited(invitation))
    assert (mailer.sent, tokens_in(transactions)) == ([], [])


async def test_what_undoes_a_change_is_not_kept_where_its_mail_is_withheld(
    run: Runner[UnitOfWork],
    mails: MailReactions,
    moving: User,
    transactions: MemoryTransactions[UnitOfWork],
    mailer: FakeMailer,
) -> None:
    mailer.full = True
    await leave(run, mails.change_address, delivery_of(EmailChangeRequested(at=NOW, user_id=moving.id)))
    assert tokens_in(transactions) == []


@pytest.mark.parametrize("formerly", [ADA, None])
async def test_the_address_before_is_told_of_the_change_if_it_was_proved(
    formerly: Email | None, run: Runner[UnitOfWork], mails: MailReactions, moving: User, mailer: FakeMailer
) -> None:
    event = EmailChanged(at=NOW, user_id=moving.id, formerly=formerly)
    await leave(run, mails.tell_former_address, delivery_of(event))
    assert mailer.sent == ([LETTERS.email_changed(formerly)] if formerly else [])


@pytest.mark.parametrize("email", [ADA, None])
async def test_the_address_of_a_deleted_account_is_told_if_it_was_proved(
    email: Email | None, run: Runner[UnitOfWork], mails: MailReactions, mailer: FakeMailer
) -> None:
    event = UserDeleted(at=NOW, user_id=a_user_id(), by=None, email=email)
    await leave(run, mails.tell_of_deletion, delivery_of(event))
    assert mailer.sent == ([LETTERS.account_deleted(email)] if email else [])


LINK = LinkId(uuid4())

type Telling = Callable[[Runner[UnitOfWork], MailReactions, User], Awaitable[str]]

TELLINGS: list[tuple[Telling, Mail]] = [
    (
        lambda run, mails, user: leave(
            run,
            mails.tell_of_link,
            delivery_of(IdentityLinked(at=NOW, link_id=LINK, user_id=user.id, issuer="https://i.example")),
        ),
        LETTERS.identity_linked(ADA, issuer="https://i.example"),
    ),
    (
        lambda run, mails, user: leave(
            run,
            mails.tell_of_unlinking,
            delivery_of(IdentityUnlinked(at=NOW, link_id=LINK, user_id=user.id, issuer="https://i.example")),
        ),
        LETTERS.identity_unlinked(ADA, issuer="https://i.example"),
    ),
    (
        lambda run, mails, user: leave(
            run, mails.tell_of_sessions, delivery_of(OtherSessionsEnded(at=NOW, user_id=user.id))
        ),
        LETTERS.sessions_ended(ADA),
    ),
]


@pytest.mark.parametrize(("tell", "mail"), TELLINGS, ids=["link", "unlink", "sessions"])
async def test_who_has_proved_the_address_is_told_there_of_links_and_sessions(
    tell: Telling,
    mail: Mail,
    run: Runner[UnitOfWork],
    mails: MailReactions,
    moving: User,
    *,
    mailer: FakeMailer,
) -> None:
    await tell(run, mails, moving)
    assert mailer.sent == [mail]


@pytest.mark.parametrize(("tell", "mail"), TELLINGS, ids=["link", "unlink", "sessions"])
@pytest.mark.parametrize(
    "user",
    [a_user(), replace(a_user(), email=None), a_user(email_verified_at=NOW, suspended_at=NOW)],
    ids=["never proved", "no address", "suspended"],
)
async def test_an_address_that_was_only_claimed_is_told_nothing(
    user: User,
    tell: Telling,
    mail: Mail,
    run: Runner[UnitOfWork],
    mails: MailReactions,
    *,
    transactions: MemoryTransactions[UnitOfWork],
    mailer: FakeMailer,
) -> None:
    await tell(run, mails, user)  # who is gone
    await store(transactions, replace(user, created_at=NOW - timedelta(days=1)))
    await tell(run, mails, user)
    assert mail not in mailer.sent
    assert mailer.sent == []


async def test_who_comes_into_being_by_a_link_is_not_told_of_it(
    run: Runner[UnitOfWork],
    mails: MailReactions,
    transactions: MemoryTransactions[UnitOfWork],
    mailer: FakeMailer,
) -> None:
    proof = a_proof(email="ada@example.com", email_verified=True)
    user = await run(admit_stranger, proof, email_trusted=True)
    (linked,) = (event for event in transactions.events if isinstance(event, IdentityLinked))
    assert user.email_verified
    await leave(run, mails.tell_of_link, delivery_of(linked))
    assert mailer.sent == []


# ── what the mails say ───────────────────────────────────────────────────────────────────────────


def test_a_mail_links_to_the_front_end_with_the_secret_where_no_server_sees_it() -> None:
    verify, reset = LETTERS.verify_email(ADA, token="s3cret"), LETTERS.reset_password(ADA, token="s3cret")
    assert "\nhttps://app.example/verify-email#token=s3cret\n" in verify.text
    assert "\nhttps://app.example/reset-password#token=s3cret\n" in reset.text
    undo = LETTERS.email_change_requested(ADA, pending=AUGUSTA, token="s3cret")
    assert "\nhttps://app.example/undo-email-change#token=s3cret\n" in undo.text
    assert AUGUSTA in undo.text
    assert verify.to == reset.to == ADA
    assert "Loomworks" in verify.subject
    assert "Loomworks" in reset.subject


def test_without_a_front_end_a_mail_tells_the_request_to_make() -> None:
    letters = replace(LETTERS, app_url="")
    verify, reset = letters.verify_email(ADA, token="s3cret"), letters.reset_password(ADA, token="s3cret")
    assert "POST https://api.example/v1/auth/email-verification/confirmation" in verify.text
    assert '{"token": "s3cret"}' in verify.text
    undo = letters.email_change_requested(ADA, pending=AUGUSTA, token="s3cret")
    assert "POST https://api.example/v1/auth/email-change/reversal" in undo.text
    assert '{"token": "s3cret"}' in undo.text
    assert "POST https://api.example/v1/auth/password-reset/confirmation" in reset.text
    assert '{"token": "s3cret", "password": "…"}' in reset.text


def test_an_invitation_says_who_invites_to_what_as_what_and_until_when() -> None:
    at = datetime(2026, 11, 9, 8, 5, tzinfo=UTC)
    said = {"workspace": "Compilers", "inviter": "Grace", "role": Role.ADMIN, "expires_at": at}
    mail = LETTERS.invitation(ADA, **said, token="s3cret")  # type: ignore[arg-type]
    assert (mail.to, mail.subject) == (ADA, "Loomworks: an invitation")
    assert "Grace invites you to the workspace Compilers at Loomworks." in mail.text
    assert "the role admin" in mail.text
    assert "good until 09 November 2026, 08:05 UTC" in mail.text
    assert "\nhttps://app.example/accept-invitation#token=s3cret\n" in mail.text
    without = replace(LETTERS, app_url="").invitation(ADA, **said, token="s3cret")  # type: ignore[arg-type]
    assert "POST https://api.example/v1/invitations/acceptance\n" in without.text
    assert "Authorization: Bearer" in without.text
    assert '{"token": "s3cret"}' in without.text
