"""What people do with invitations."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

import pytest

from application.kernel.admission import NotPermitted
from application.kernel.commands.invitations import accept_invitation, invite, withdraw_invitation
from application.kernel.commands.memberships import change_role, remove_member
from application.kernel.commands.users import suspend_user
from application.kernel.identity.secret_tokens import fingerprint
from application.kernel.ports.callers import Caller
from application.kernel.ports.tenancy import Standing
from application.kernel.run import Runner
from domain.kernel.errors import Invalid
from domain.kernel.invitations import (
    AlreadyInvited,
    Invitation,
    InvitationAccepted,
    InvitationExpired,
    InvitationLapsed,
    InvitationNotFound,
    InvitationWithdrawn,
    MemberInvited,
)
from domain.kernel.memberships import AlreadyMember, MemberJoined, Membership, OwnersOnly, Role
from domain.kernel.users import EmailNotVerified, GlobalRole
from domain.kernel.workspaces import WorkspaceArchived, WorkspaceNotFound
from kernel.specimen.service import UnitOfWork
from kernel.world.builders import (
    NOW,
    Team,
    a_caller,
    a_membership,
    a_team,
    a_user,
    a_workspace,
    address_of,
    an_email,
    an_invitation,
    store,
)
from kernel.world.fakes import FakeClock, MemoryTransactions
from kernel.world.refusals import refused

WEEK = timedelta(days=7)

type Attempt = Callable[[Runner[UnitOfWork], Caller, Invitation], Awaitable[object]]

ATTEMPTS: Mapping[str, Attempt] = {
    "invite": lambda run, actor, open_one: run(
        invite, actor, open_one.workspace_id, email=an_email(), role=Role.MEMBER
    ),
    "withdraw": lambda run, actor, open_one: run(withdraw_invitation, actor, open_one.id),
}


@pytest.fixture
async def invitation(transactions: MemoryTransactions[UnitOfWork], team: Team) -> Invitation:
    """For the stranger, as a member, by the admin; its secret is `secret`."""
    invitation = an_invitation(
        workspace_id=team.workspace.id,
        email=team.outsider.email,
        role=Role.MEMBER,
        token_hash=fingerprint("secret"),
        invited_by=team.admin.user_id,
    )
    await store(transactions, invitation)
    return invitation


# ── who may ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("role", [Role.ADMIN, Role.OWNER])
@pytest.mark.parametrize("attempt", ATTEMPTS)
async def test_owners_and_admins_may_invite_and_withdraw(
    attempt: str,
    role: Role,
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    team: Team,
) -> None:
    open_one = an_invitation(workspace_id=team.workspace.id)
    await store(transactions, open_one)
    await ATTEMPTS[attempt](run, team[role], open_one)
    assert len(transactions.events) == 1


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MEMBER])
@pytest.mark.parametrize("attempt", ATTEMPTS)
async def test_lesser_members_may_not(
    attempt: str, role: Role, run: Runner[UnitOfWork], team: Team, invitation: Invitation
) -> None:
    with refused(NotPermitted, f"The role {role} lacks the permission members:manage."):
        await ATTEMPTS[attempt](run, team[role], invitation)


@pytest.mark.parametrize("attempt", ATTEMPTS)
async def test_the_invitations_of_an_archived_workspace_stay_as_they_are(
    attempt: str, run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    team = a_team(archived=True)
    invitation = an_invitation(workspace_id=team.workspace.id)
    await store(transactions, *team.aggregates, invitation)
    with refused(WorkspaceArchived, "Owners and admins can restore it."):
        await ATTEMPTS[attempt](run, team.owner, invitation)


async def test_to_strangers_neither_workspace_nor_invitation_exist(
    run: Runner[UnitOfWork], team: Team, invitation: Invitation
) -> None:
    with refused(WorkspaceNotFound):
        await run(invite, team.stranger, team.workspace.id, email=an_email(), role=Role.VIEWER)
    with refused(InvitationNotFound):
        await run(withdraw_invitation, team.stranger, invitation.id)
    with refused(InvitationNotFound):
        await run(withdraw_invitation, team.owner, an_invitation().id)


async def test_only_an_owner_may_invite_an_owner(run: Runner[UnitOfWork], team: Team) -> None:
    with refused(OwnersOnly, "Ask an owner of this workspace."):
        await run(invite, team.admin, team.workspace.id, email=an_email(), role=Role.OWNER)
    invitation = await run(invite, team.owner, team.workspace.id, email=an_email(), role=Role.OWNER)
    assert invitation.role is Role.OWNER


# ── inviting ─────────────────────────────────────────────────────────────────────────────────────


async def test_an_invitation_is_good_for_nothing_before_its_secret_is_mailed(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], clock: FakeClock, team: Team
) -> None:
    workspace_id, admin = team.workspace.id, team.admin.user_id
    invitation = await run(invite, team.admin, workspace_id, email=" Charles@Example.com ", role=Role.VIEWER)
    assert invitation == Invitation(
        id=invitation.id,
        workspace_id=workspace_id,
        email=invitation.email,
        role=Role.VIEWER,
        token_hash=None,
        invited_by=admin,
        created_at=clock.now,
        expires_at=clock.now + WEEK,
    )
    assert (invitation.email, invitation.id.version) == ("charles@example.com", 7)
    async with transactions() as uow:
        assert await uow.invitations.get(invitation.id) == invitation
    assert transactions.events == [
        MemberInvited(
            at=clock.now, workspace_id=workspace_id, invitation_id=invitation.id, role=Role.VIEWER, by=admin
        )
    ]


async def test_whoever_has_an_account_but_no_membership_can_be_invited(
    run: Runner[UnitOfWork], team: Team
) -> None:
    invitation = await run(
        invite, team.admin, team.workspace.id, email=address_of(team.outsider), role=Role.MEMBER
    )
    assert invitation.email == team.outsider.email


async def test_a_member_who_only_claims_an_address_does_not_keep_its_owner_out(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team
) -> None:
    squatter = a_user()
    await store(transactions, squatter, a_membership(workspace_id=team.workspace.id, user_id=squatter.id))
    email = address_of(squatter)
    invitation = await run(invite, team.admin, team.workspace.id, email=email, role=Role.MEMBER)
    assert invitation.email == email


async def test_only_an_address_can_be_invited(run: Runner[UnitOfWork], team: Team) -> None:
    with refused(Invalid, "It must be an e-mail address such as ada@example.com.", field="email"):
        await run(invite, team.admin, team.workspace.id, email="charles", role=Role.MEMBER)


async def test_a_member_cannot_be_invited(run: Runner[UnitOfWork], team: Team) -> None:
    email = address_of(team.users[Role.VIEWER]).upper()
    with refused(AlreadyMember):
        await run(invite, team.admin, team.workspace.id, email=email, role=Role.MEMBER)


async def test_an_address_has_one_open_invitation_to_a_workspace(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team, invitation: Invitation
) -> None:
    with refused(AlreadyInvited):
        await run(invite, team.admin, team.workspace.id, email=invitation.email, role=Role.ADMIN)
    elsewhere = a_team()
    await store(transactions, *elsewhere.aggregates)
    await run(invite, elsewhere.admin, elsewhere.workspace.id, email=invitation.email, role=Role.ADMIN)


async def test_an_expired_invitation_is_replaced(
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    clock: FakeClock,
    team: Team,
    invitation: Invitation,
) -> None:
    clock.now = NOW + WEEK
    another = await run(invite, team.admin, team.workspace.id, email=invitation.email, role=Role.ADMIN)
    async with transactions() as uow:
        assert await uow.invitations.for_address(team.workspace.id, invitation.email) == another
        with refused(InvitationNotFound):
            await uow.invitations.with_token(fingerprint("secret"))


async def test_a_suspended_inviter_invites_nobody_although_their_token_is_believed_for_seconds(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team
) -> None:
    await run(suspend_user, ROOT, team.admin.user_id)
    with refused(WorkspaceNotFound):
        await run(invite, team.admin, team.workspace.id, email=an_email(), role=Role.MEMBER)


# ── losing the right to invite ───────────────────────────────────────────────────────────────────

ROOT = a_caller(roles=frozenset({GlobalRole.ADMIN}))

type Loss = Callable[[Runner[UnitOfWork], Team, Caller], Awaitable[object]]
"""What somebody loses their right to invite by, of whom there are others in the team."""


def becoming(role: Role) -> Loss:
    return lambda run, team, who: run(change_role, team.owner, team.workspace.id, who.user_id, role=role)


LOSSES: Mapping[str, tuple[Loss, set[Role]]] = {
    "leaves": (lambda run, team, who: run(remove_member, who, team.workspace.id, who.user_id), set()),
    "is removed": (
        lambda run, team, who: run(remove_member, team.owner, team.workspace.id, who.user_id),
        set(),
    ),
    "becomes a viewer": (becoming(Role.VIEWER), set()),
    "becomes a member": (becoming(Role.MEMBER), set()),
    "becomes an admin": (becoming(Role.ADMIN), {Role.VIEWER, Role.MEMBER, Role.ADMIN}),
    "is suspended": (lambda run, team, who: run(suspend_user, ROOT, who.user_id), set()),
}


@pytest.mark.parametrize("loss", LOSSES)
async def test_what_an_inviter_may_not_give_any_more_ends_with_their_right_to_it(
    loss: str,
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    clock: FakeClock,
    team: Team,
) -> None:
    lose, keeps = LOSSES[loss]
    leaving = a_user(email_verified_at=NOW)
    offers = {
        role: an_invitation(
            workspace_id=team.workspace.id,
            email=team.outsider.email if role is Role.OWNER else None,
            role=role,
            token_hash=fingerprint(role),
            invited_by=leaving.id,
        )
        for role in Role
    }
    by_another = an_invitation(workspace_id=team.workspace.id, invited_by=team.owner.user_id)
    membership = a_membership(workspace_id=team.workspace.id, user_id=leaving.id, role=Role.OWNER)
    await store(transactions, leaving, membership, *offers.values(), by_another)

    await lose(run, team, a_caller(leaving.id))

    left = set(transactions.committed.of(Invitation))
    assert left == {by_another.id, *(offers[role].id for role in keeps)}
    assert {event for event in transactions.events if isinstance(event, InvitationLapsed)} == {
        InvitationLapsed(at=clock.now, workspace_id=team.workspace.id, invitation_id=offers[role].id)
        for role in Role
        if role not in keeps
    }
    with refused(InvitationNotFound):
        await run(accept_invitation, team.stranger, token=Role.OWNER)
    # The address is free to be invited by somebody else.
    await run(invite, team.owner, team.workspace.id, email=address_of(team.outsider), role=Role.OWNER)


async def test_whoever_leaves_one_workspace_keeps_what_they_offer_in_another(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team
) -> None:
    elsewhere = a_workspace()
    admin = team.admin.user_id
    there = an_invitation(workspace_id=elsewhere.id, invited_by=admin)
    await store(transactions, elsewhere, a_membership(workspace_id=elsewhere.id, user_id=admin), there)
    await run(remove_member, team.admin, team.workspace.id, admin)
    assert set(transactions.committed.of(Invitation)) == {there.id}
    await run(suspend_user, ROOT, admin)
    assert set(transactions.committed.of(Invitation)) == set()


async def test_a_change_that_leaves_the_right_to_invite_leaves_the_invitations(
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    team: Team,
    invitation: Invitation,
) -> None:
    await run(change_role, team.owner, team.workspace.id, team.admin.user_id, role=Role.OWNER)
    await run(change_role, team.owner, team.workspace.id, team.admin.user_id, role=Role.ADMIN)
    await run(accept_invitation, team.stranger, token="secret")


@pytest.mark.parametrize("offered", [Role.MEMBER, Role.OWNER])
@pytest.mark.parametrize("role", [None, Role.VIEWER, Role.MEMBER, Role.ADMIN, Role.OWNER])
async def test_nobody_accepts_what_its_inviter_may_not_give_even_if_it_is_still_there(
    role: Role | None,
    offered: Role,
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    team: Team,
) -> None:
    inviter = team[role].user_id if role else a_user().id
    offer = an_invitation(
        workspace_id=team.workspace.id,
        email=team.outsider.email,
        role=offered,
        token_hash=fingerprint("offer"),
        invited_by=inviter,
    )
    await store(transactions, offer)
    if role is Role.OWNER or (role is Role.ADMIN and offered is Role.MEMBER):
        assert (await run(accept_invitation, team.stranger, token="offer")).role is offered
    else:
        with refused(InvitationNotFound):
            await run(accept_invitation, team.stranger, token="offer")


# ── withdrawing ──────────────────────────────────────────────────────────────────────────────────


async def test_a_withdrawn_invitation_is_gone(
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    clock: FakeClock,
    team: Team,
    invitation: Invitation,
) -> None:
    await run(withdraw_invitation, team.admin, invitation.id)
    with refused(InvitationNotFound):
        await run(accept_invitation, team.stranger, token="secret")
    assert transactions.events == [
        InvitationWithdrawn(
            at=clock.now,
            workspace_id=team.workspace.id,
            invitation_id=invitation.id,
            by=team.admin.user_id,
        )
    ]


# ── accepting ────────────────────────────────────────────────────────────────────────────────────


async def test_whoever_accepts_is_a_member_with_the_role_of_the_invitation(
    run: Runner[UnitOfWork],
    transactions: MemoryTransactions[UnitOfWork],
    clock: FakeClock,
    team: Team,
    invitation: Invitation,
) -> None:
    clock.advance(timedelta(days=1))
    workspace_id, user_id = team.workspace.id, team.stranger.user_id
    membership = await run(accept_invitation, team.stranger, token="secret")
    assert membership == Membership(
        id=membership.id,
        workspace_id=workspace_id,
        user_id=user_id,
        role=Role.MEMBER,
        joined_at=clock.now,
    )
    assert membership.id.version == 7
    async with transactions() as uow:
        assert await uow.memberships.standing(workspace_id, user_id) == Standing(
            role=Role.MEMBER, archived=False
        )
    assert transactions.events == [
        MemberJoined(at=clock.now, workspace_id=workspace_id, user_id=user_id, role=Role.MEMBER),
        InvitationAccepted(at=clock.now, workspace_id=workspace_id, invitation_id=invitation.id, by=user_id),
    ]


async def test_an_invitation_is_accepted_once(
    run: Runner[UnitOfWork], team: Team, invitation: Invitation
) -> None:
    await run(accept_invitation, team.stranger, token="secret")
    with refused(InvitationNotFound):
        await run(accept_invitation, team.stranger, token="secret")


async def test_without_its_secret_an_invitation_cannot_be_accepted(
    run: Runner[UnitOfWork], team: Team, invitation: Invitation
) -> None:
    for guess in ("", "Secret", fingerprint("secret")):
        with refused(InvitationNotFound):
            await run(accept_invitation, team.stranger, token=guess)


async def test_who_claims_the_address_has_to_verify_it_first_even_with_the_secret(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team
) -> None:
    claimant = a_user()
    invitation = an_invitation(
        workspace_id=team.workspace.id,
        email=claimant.email,
        token_hash=fingerprint("secret"),
        invited_by=team.owner.user_id,
    )
    await store(transactions, claimant, invitation)
    with refused(EmailNotVerified, "The invitation is for who reads the mail of this address."):
        await run(accept_invitation, a_caller(claimant.id), token="secret")
    async with transactions() as uow:
        assert await uow.invitations.get(invitation.id) == invitation
        await uow.users.save(claimant.verify_email(at=NOW))
    await run(accept_invitation, a_caller(claimant.id), token="secret")


async def test_the_secret_alone_is_not_enough(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], invitation: Invitation
) -> None:
    thief = a_user(email_verified_at=NOW)
    await store(transactions, thief)
    with refused(InvitationNotFound):
        await run(accept_invitation, a_caller(thief.id), token="secret")
    async with transactions() as uow:
        assert await uow.invitations.get(invitation.id) == invitation


async def test_an_expired_invitation_cannot_be_accepted(
    run: Runner[UnitOfWork], clock: FakeClock, team: Team, invitation: Invitation
) -> None:
    clock.now = NOW + WEEK
    with refused(InvitationExpired):
        await run(accept_invitation, team.stranger, token="secret")


async def test_nobody_joins_an_archived_workspace(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    team = a_team(archived=True)
    invitation = an_invitation(
        workspace_id=team.workspace.id,
        email=team.outsider.email,
        token_hash=fingerprint("secret"),
        invited_by=team.owner.user_id,
    )
    await store(transactions, *team.aggregates, invitation)
    with pytest.raises(WorkspaceArchived):
        await run(accept_invitation, team.stranger, token="secret")


async def test_a_member_cannot_join_again(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork], team: Team, invitation: Invitation
) -> None:
    user_id = team.stranger.user_id
    await store(transactions, a_membership(workspace_id=team.workspace.id, user_id=user_id))
    with refused(AlreadyMember):
        await run(accept_invitation, team.stranger, token="secret")
