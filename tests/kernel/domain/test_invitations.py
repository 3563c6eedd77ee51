"""Invitations: for one address, for a week."""

from datetime import datetime, timedelta

import pytest

from domain.kernel.aggregate import new_id
from domain.kernel.errors import Invalid
from domain.kernel.invitations import (
    Invitation,
    InvitationAccepted,
    InvitationExpired,
    InvitationId,
    InvitationNotFound,
    InvitationWithdrawn,
    MemberInvited,
)
from domain.kernel.memberships import Role
from domain.kernel.users import Email, EmailNotVerified
from kernel.world.builders import NOW, a_user_id, a_workspace_id, an_email, an_invitation
from kernel.world.refusals import refused

ADA, CHARLES = a_user_id(), a_user_id()
WEEK = timedelta(days=7)
INSTANT = timedelta(microseconds=1)


def test_an_invitation_is_open_for_a_week() -> None:
    invitation_id, workspace_id = InvitationId(new_id(NOW)), a_workspace_id()
    invitation = Invitation.invite(
        id=invitation_id,
        workspace_id=workspace_id,
        email=" Charles@Example.com",
        role=Role.ADMIN,
        by=ADA,
        at=NOW,
    )
    fact = MemberInvited(
        at=NOW, workspace_id=workspace_id, invitation_id=invitation_id, role=Role.ADMIN, by=ADA
    )
    assert invitation == Invitation(
        id=invitation_id,
        workspace_id=workspace_id,
        email=Email("charles@example.com"),
        role=Role.ADMIN,
        token_hash=None,
        invited_by=ADA,
        created_at=NOW,
        expires_at=NOW + WEEK,
        events=(fact,),
    )
    assert not invitation.has_expired(NOW + WEEK - INSTANT)
    assert invitation.has_expired(NOW + WEEK)


def test_only_an_address_can_be_invited() -> None:
    with refused(Invalid, "It must be an e-mail address such as ada@example.com.", field="email"):
        Invitation.invite(
            id=InvitationId(new_id(NOW)),
            workspace_id=a_workspace_id(),
            email="charles",
            role=Role.MEMBER,
            by=ADA,
            at=NOW,
        )


def test_accepting_is_a_fact() -> None:
    invitation = an_invitation()
    at = NOW + WEEK - INSTANT
    accepted = InvitationAccepted(
        at=at, workspace_id=invitation.workspace_id, invitation_id=invitation.id, by=CHARLES
    )
    accepting = invitation.accept(email=invitation.email, email_verified=True, by=CHARLES, at=at)
    assert accepting == invitation.recording(accepted)


@pytest.mark.parametrize("at", [NOW, NOW + WEEK])
def test_who_only_claims_the_address_has_to_verify_it_first(at: datetime) -> None:
    invitation = an_invitation()
    with refused(EmailNotVerified, "The invitation is for who reads the mail of this address."):
        invitation.accept(email=invitation.email, email_verified=False, by=CHARLES, at=at)


def test_an_invitation_that_is_a_week_old_cannot_be_accepted() -> None:
    invitation = an_invitation()
    with refused(InvitationExpired):
        invitation.accept(email=invitation.email, email_verified=True, by=CHARLES, at=NOW + WEEK)


@pytest.mark.parametrize("verified", [True, False])
def test_an_invitation_for_another_address_looks_as_if_there_were_none(*, verified: bool) -> None:
    with refused(InvitationNotFound):
        an_invitation().accept(email=an_email(), email_verified=verified, by=CHARLES, at=NOW)


def test_to_a_user_without_an_address_every_invitation_looks_so() -> None:
    with refused(InvitationNotFound):
        an_invitation().accept(email=None, email_verified=False, by=CHARLES, at=NOW)


def test_to_another_address_not_even_its_age_shows() -> None:
    with refused(InvitationNotFound):
        an_invitation().accept(email=an_email(), email_verified=True, by=CHARLES, at=NOW + WEEK)


def test_withdrawing_is_a_fact_at_any_age() -> None:
    invitation = an_invitation()
    at = NOW + 2 * WEEK
    withdrawn = InvitationWithdrawn(
        at=at, workspace_id=invitation.workspace_id, invitation_id=invitation.id, by=ADA
    )
    assert invitation.withdraw(by=ADA, at=at) == invitation.recording(withdrawn)
