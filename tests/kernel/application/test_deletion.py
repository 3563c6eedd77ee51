"""Deleting an account: what ends with it, what stays, and who has to hand over first."""

from dataclasses import replace
from datetime import timedelta

import pytest

from application.kernel.commands.users import NAMED_MOST, delete_account, delete_own_account, restore_account
from application.kernel.identity.identities import admit_stranger, link_identity
from application.kernel.run import Runner
from domain.kernel.aggregate import Aggregate
from domain.kernel.identity.credentials import Credential
from domain.kernel.identity.identities import Link, LinksRemoved
from domain.kernel.identity.one_time_tokens import OneTimeToken, Purpose
from domain.kernel.identity.sessions import DELETION_REMEMBERED, Session
from domain.kernel.invitations import Invitation, InvitationLapsed
from domain.kernel.memberships import LastOwner, MemberLeft, Membership, Role
from domain.kernel.users import (
    DELETED,
    AccountDeleted,
    DeletedMeanwhile,
    GlobalRole,
    User,
    UserDeleted,
    UserNotFound,
)
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import (
    NOW,
    Team,
    a_credential,
    a_link,
    a_membership,
    a_one_time_token,
    a_proof,
    a_session,
    a_user,
    a_user_id,
    a_workspace,
    an_email,
    an_invitation,
    reauthenticated,
    store,
)
from kernel.world.fakes import FakeClock, MemoryTransactions
from kernel.world.refusals import refused


def ids_in(transactions: MemoryTransactions[UnitOfWork], *kinds: type[Aggregate]) -> list[object]:
    return [id for kind in kinds for id in transactions.committed.of(kind)]


def ways_in(user: User) -> list[Aggregate]:
    """All by which somebody gets in, or may one day."""
    return [
        a_credential(id=user.id),
        a_link(user_id=user.id),
        a_link(user_id=user.id),
        *(a_one_time_token(purpose=purpose, user_id=user.id, email=user.email) for purpose in Purpose),
        a_session(user_id=user.id),
        a_session(user_id=user.id),
    ]


async def test_nothing_personal_and_no_way_in_is_left_and_others_keep_theirs(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team, clock: FakeClock
) -> None:
    ada, other = team.users[Role.ADMIN], team.users[Role.MEMBER]
    given = an_invitation(workspace_id=team.workspace.id, invited_by=ada.id)
    kept = an_invitation(workspace_id=team.workspace.id, invited_by=team.owner.user_id)
    others = ways_in(other)
    await store(transactions, given, kept, *ways_in(ada), *others)
    await run(delete_own_account, reauthenticated(ada.id))

    deleted = transactions.committed.of(User)[ada.id]
    assert (deleted.email, deleted.display_name, deleted.deleted_at) == (None, DELETED, clock.now)
    assert ids_in(transactions, Credential) == [other.id]
    assert {link.user_id for link in transactions.committed.of(Link).values()} == {other.id}
    assert {token.user_id for token in transactions.committed.of(OneTimeToken).values()} == {other.id, None}
    open_to = [row.user_id for row in transactions.committed.of(Session).values() if row.ended_at is None]
    assert {*open_to} == {other.id}
    assert ids_in(transactions, Invitation) == [kept.id]
    assert ada.id not in {row.user_id for row in transactions.committed.of(Membership).values()}
    assert len(ids_in(transactions, Membership)) == len(Role) - 1
    left = MemberLeft(at=clock.now, workspace_id=team.workspace.id, user_id=ada.id, by=ada.id)
    lapsed = InvitationLapsed(at=clock.now, workspace_id=team.workspace.id, invitation_id=given.id)
    gone = UserDeleted(at=clock.now, user_id=ada.id, by=ada.id, email=ada.email)
    unlinked = LinksRemoved(at=clock.now, user_id=ada.id)
    assert transactions.events == [left, lapsed, unlinked, gone]


async def test_who_has_nothing_but_an_account_can_delete_it(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    ada = a_user()  # has only claimed the address
    await store(transactions, ada)
    await run(delete_own_account, reauthenticated(ada.id))
    assert transactions.events == [UserDeleted(at=NOW, user_id=ada.id, by=ada.id, email=None)]
    with refused(AccountDeleted):
        await run(delete_own_account, reauthenticated(ada.id))
    with refused(UserNotFound):
        await run(delete_own_account, reauthenticated(a_user_id()))


async def test_the_only_owner_hands_over_first_and_reads_which_workspaces_it_is_about(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team
) -> None:
    owner, second = team.users[Role.OWNER], a_user()
    more = [a_workspace(name=f"Looms {number}") for number in range(NAMED_MOST)]
    await store(
        transactions,
        second,
        a_credential(id=owner.id),
        *more,
        *(a_membership(workspace_id=each.id, user_id=owner.id, role=Role.OWNER) for each in more),
    )
    before = transactions.committed.copy()
    with pytest.raises(LastOwner) as caught:
        await run(delete_own_account, reauthenticated(owner.id))
    told = str(caught.value)
    assert told.startswith("These workspaces have no other owner; make another member an owner there first")
    assert (told.count("“"), told.endswith(", 1 more.")) == (NAMED_MOST, True)
    assert ids_in(transactions, Membership) == list(before.of(Membership))
    assert ids_in(transactions, Credential) == [owner.id]
    for each in [team.workspace, *more]:
        await store(transactions, a_membership(workspace_id=each.id, user_id=second.id, role=Role.OWNER))
    await run(delete_own_account, reauthenticated(owner.id))
    assert transactions.committed.of(User)[owner.id].deleted_at is not None


async def test_the_last_administrator_may_go_too(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    root = a_user(roles=(GlobalRole.ADMIN,))
    await store(transactions, root)
    await run(delete_own_account, reauthenticated(root.id))
    assert transactions.committed.of(User)[root.id].roles == ()


async def test_an_operator_deletes_by_id_or_verified_address_and_nobody_restores(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    ada, charles = a_user(email_verified_at=NOW, suspended_at=NOW), a_user()
    await store(transactions, ada, charles)
    for account, user in ((str(ada.email), ada), (str(charles.id), charles)):
        deleted = await run(delete_account, account=account)
        assert (deleted.id, deleted.deleted_at) == (user.id, NOW)
        with refused(AccountDeleted):
            await run(restore_account, account=str(user.id))
    with refused(UserNotFound):
        await run(delete_account, account=str(ada.email))
    assert UserDeleted(at=NOW, user_id=ada.id, by=None, email=ada.email) in transactions.events


# ── the providers' accounts that were linked ─────────────────────────────────────────────────────


async def test_a_providers_account_comes_again_as_a_new_user_but_not_by_a_token_from_before(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], clock: FakeClock
) -> None:
    proof = a_proof(email=an_email(), email_verified=True, name="Ada")
    for _ in range(2):  # and again, once that is deleted as well
        user = await run(admit_stranger, proof, email_trusted=True)
        assert transactions.committed.of(User)[user.id].email == proof.email
        await run(delete_own_account, reauthenticated(user.id))
        with refused(DeletedMeanwhile):
            await run(admit_stranger, proof, email_trusted=True)
        clock.advance(timedelta(seconds=1))
        proof = replace(proof, issued_at=clock.now.timestamp())
    other = a_proof(issuer=proof.issuer, email=an_email())
    await run(admit_stranger, other, email_trusted=True)
    new = await run(admit_stranger, proof, email_trusted=True)
    assert len({link.user_id for link in transactions.committed.of(Link).values()}) == 2
    assert transactions.committed.of(User)[new.id].display_name == "Ada"


async def test_of_a_deleted_account_of_a_provider_a_fingerprint_is_kept_for_a_day(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    ada, link = a_user(), a_link(subject="ada@login.example")
    await store(transactions, ada, replace(link, user_id=ada.id))
    await run(delete_own_account, reauthenticated(ada.id))
    (kept,) = transactions.committed.of(OneTimeToken).values()
    assert (kept.purpose, kept.user_id, kept.email) == (Purpose.DELETED, None, None)
    assert kept.expires_at == NOW + DELETION_REMEMBERED
    assert "ada" not in str(kept.token_hash)


async def test_nothing_is_linked_to_a_deleted_user(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    ada = a_user()
    await store(transactions, ada)
    await run(delete_own_account, reauthenticated(ada.id))
    with refused(UserNotFound):
        await run(link_identity, reauthenticated(ada.id), a_proof())
