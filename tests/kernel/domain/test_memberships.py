"""Memberships: joining, changing roles, leaving, and the two rules about owners."""

from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.kernel.aggregate import new_id
from domain.kernel.errors import DomainError
from domain.kernel.memberships import (
    LastOwner,
    MemberJoined,
    MemberLeft,
    MemberRoleChanged,
    Membership,
    MembershipId,
    OwnersOnly,
    Role,
    ensure_may_grant,
)
from domain.kernel.users import UserId
from kernel.world.builders import NOW, a_membership, a_user_id, a_workspace_id
from kernel.world.refusals import refused

LATER = NOW + timedelta(hours=1)
ADA = a_user_id()
LAST_OWNER = "Make another member an owner first, or delete the workspace."
OWNERS_ONLY = "Ask an owner of this workspace."


def test_joining_is_a_fact() -> None:
    membership_id, workspace_id = MembershipId(new_id(NOW)), a_workspace_id()
    joined = Membership.join(
        id=membership_id, workspace_id=workspace_id, user_id=ADA, role=Role.VIEWER, at=NOW
    )
    assert joined == Membership(
        id=membership_id,
        workspace_id=workspace_id,
        user_id=ADA,
        role=Role.VIEWER,
        joined_at=NOW,
        events=(MemberJoined(at=NOW, workspace_id=workspace_id, user_id=ADA, role=Role.VIEWER),),
    )


def test_roles_are_listed_from_the_least_to_the_most() -> None:
    assert list(Role) == ["viewer", "member", "admin", "owner"]


# ── who may grant what ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("granter", Role)
@pytest.mark.parametrize("role", [Role.VIEWER, Role.MEMBER, Role.ADMIN])
def test_the_lesser_roles_take_no_owner_to_grant(granter: Role, role: Role) -> None:
    ensure_may_grant(granter, role)


def test_an_owner_may_make_an_owner() -> None:
    ensure_may_grant(Role.OWNER, Role.OWNER)


@pytest.mark.parametrize("granter", [Role.VIEWER, Role.MEMBER, Role.ADMIN])
def test_nobody_else_may_make_an_owner(granter: Role) -> None:
    with refused(OwnersOnly, OWNERS_ONLY):
        ensure_may_grant(granter, Role.OWNER)


# ── changing roles ───────────────────────────────────────────────────────────────────────────────


def test_a_changed_role_is_a_fact() -> None:
    membership = a_membership(role=Role.VIEWER)
    changed = membership.change_role(Role.ADMIN, owners=[], by=ADA, granter=Role.ADMIN, at=LATER)
    fact = MemberRoleChanged(
        at=LATER,
        workspace_id=membership.workspace_id,
        user_id=membership.user_id,
        role=Role.ADMIN,
        by=ADA,
    )
    assert changed == replace(membership, role=Role.ADMIN, events=(fact,))


@pytest.mark.parametrize("role", Role)
def test_the_same_role_is_no_change_whoever_grants_it(role: Role) -> None:
    membership = a_membership(role=role)
    same = membership.change_role(role, owners=[membership], by=ADA, granter=Role.ADMIN, at=LATER)
    assert same is membership


def test_an_admin_can_neither_make_nor_demote_an_owner() -> None:
    member, owner, another = a_membership(), a_membership(role=Role.OWNER), a_membership(role=Role.OWNER)
    owners = [owner, another]
    with refused(OwnersOnly, OWNERS_ONLY):
        member.change_role(Role.OWNER, owners=owners, by=ADA, granter=Role.ADMIN, at=LATER)
    with refused(OwnersOnly, OWNERS_ONLY):
        owner.change_role(Role.ADMIN, owners=owners, by=ADA, granter=Role.ADMIN, at=LATER)


def test_an_owner_can_make_and_demote_an_owner() -> None:
    member, owner, another = a_membership(), a_membership(role=Role.OWNER), a_membership(role=Role.OWNER)
    owners = [owner, another]
    made = member.change_role(Role.OWNER, owners=owners, by=ADA, granter=Role.OWNER, at=LATER)
    demoted = owner.change_role(Role.VIEWER, owners=owners, by=ADA, granter=Role.OWNER, at=LATER)
    assert (made.role, demoted.role) == (Role.OWNER, Role.VIEWER)


def test_the_last_owner_keeps_the_role() -> None:
    owner = a_membership(role=Role.OWNER)
    with refused(LastOwner, LAST_OWNER):
        owner.change_role(Role.ADMIN, owners=[owner], by=owner.user_id, granter=Role.OWNER, at=LATER)


# ── leaving ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MEMBER, Role.ADMIN])
def test_whoever_is_no_owner_can_leave_or_be_removed(role: Role) -> None:
    membership, owner = a_membership(role=role), a_membership(role=Role.OWNER)
    for by, remover in ((membership.user_id, role), (ADA, Role.ADMIN), (ADA, Role.OWNER)):
        left = membership.leave(owners=[owner], by=by, remover=remover, at=LATER)
        fact = MemberLeft(at=LATER, workspace_id=membership.workspace_id, user_id=membership.user_id, by=by)
        assert left == replace(membership, events=(fact,))


def test_one_of_two_owners_can_leave_or_be_removed_by_the_other() -> None:
    owner, another = a_membership(role=Role.OWNER), a_membership(role=Role.OWNER)
    for by in (owner.user_id, another.user_id):
        left = owner.leave(owners=[owner, another], by=by, remover=Role.OWNER, at=LATER)
        assert [type(event) for event in left.events] == [MemberLeft]


def test_the_last_owner_cannot_leave() -> None:
    owner = a_membership(role=Role.OWNER)
    with refused(LastOwner, LAST_OWNER):
        owner.leave(owners=[owner], by=owner.user_id, remover=Role.OWNER, at=LATER)


def test_an_owner_who_is_none_any_more_by_the_time_of_the_lock_does_not_count() -> None:
    owner = a_membership(role=Role.OWNER)
    with refused(LastOwner, LAST_OWNER):
        owner.leave(owners=[], by=owner.user_id, remover=Role.OWNER, at=LATER)


def test_an_admin_cannot_remove_an_owner() -> None:
    owner, another = a_membership(role=Role.OWNER), a_membership(role=Role.OWNER)
    with refused(OwnersOnly, OWNERS_ONLY):
        owner.leave(owners=[owner, another], by=ADA, remover=Role.ADMIN, at=LATER)


# ── whatever people try ──────────────────────────────────────────────────────────────────────────

PEOPLE = [a_user_id() for _ in range(4)]

people = st.sampled_from(PEOPLE)
roles = st.sampled_from(Role)
joins = st.tuples(st.just("join"), people, people, roles)
changes = st.tuples(st.just("change"), people, people, roles)
departures = st.tuples(st.just("leave"), people, people, roles)


@dataclass
class Office:
    """A workspace in which people do to each other what the rules let them."""

    members: dict[UserId, Membership]

    @property
    def owners(self) -> list[Membership]:
        return [member for member in self.members.values() if member.role is Role.OWNER]

    def attempt(self, kind: str, by: UserId, who: UserId, role: Role) -> type[DomainError] | None:
        """Why it was refused, or None when it was done."""
        doer = self.members[by].role
        try:
            if kind == "join":
                ensure_may_grant(doer, role)
                self.members[who] = a_membership(user_id=who, role=role)
            elif kind == "change":
                self.members[who] = self.members[who].change_role(
                    role, owners=self.owners, by=by, granter=doer, at=LATER
                )
            else:
                self.members[who].leave(owners=self.owners, by=by, remover=doer, at=LATER)
                del self.members[who]
        except DomainError as refusal:
            return type(refusal)
        return None


@given(attempts=st.lists(st.one_of(joins, changes, departures), max_size=30))
def test_whatever_people_try_only_owners_touch_owners_and_one_always_remains(
    attempts: list[tuple[str, UserId, UserId, Role]],
) -> None:
    office = Office({PEOPLE[0]: a_membership(user_id=PEOPLE[0], role=Role.OWNER)})
    for kind, by, who, role in attempts:
        if by not in office.members or (who in office.members) == (kind == "join"):
            continue
        by_owner = office.members[by].role is Role.OWNER
        was_owner = who in office.members and office.members[who].role is Role.OWNER
        becomes_owner = kind != "leave" and role is Role.OWNER
        was_last = was_owner and len(office.owners) == 1

        refusal = office.attempt(kind, by, who, role)

        if was_owner != becomes_owner and not by_owner:
            assert refusal is OwnersOnly
        elif was_last and not becomes_owner:
            assert refusal is LastOwner
        else:
            assert refusal is None
        assert office.owners
