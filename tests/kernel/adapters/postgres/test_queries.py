"""What people can ask: what the answers say, whom they are given, and what they cost."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import asyncpg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.postgres.kernel.tables.searching import beginning
from application.kernel.admission import NotPermitted
from application.kernel.paging import Page, PageRequest, Sort
from application.kernel.ports.callers import Caller
from application.kernel.queries.auth import CLAIMANTS, KnownCredential
from application.kernel.queries.identities import KnownSession, KnownUser, LinkView
from application.kernel.queries.invitations import InvitationView
from application.kernel.queries.memberships import MemberView
from application.kernel.queries.users import Profile, UserFilter, UserView
from application.kernel.queries.workspaces import WorkspaceView
from application.kernel.unit_of_work import Begin
from domain.kernel.errors import Invalid, NotFound
from domain.kernel.identity.identities import LinkNotFound
from domain.kernel.invitations import InvitationNotFound
from domain.kernel.memberships import MemberNotFound, Role
from domain.kernel.users import UNNAMED, Email, GlobalRole, UserNotFound
from domain.kernel.workspaces import WorkspaceId, WorkspaceNotFound
from kernel.specimen.builders import a_specimen_note, a_specimen_order, a_specimen_order_id
from kernel.specimen.domain.specimen_notes import SpecimenNote, SpecimenNoteNotFound
from kernel.specimen.domain.specimen_orders import (
    SpecimenOrder,
    SpecimenOrderId,
    SpecimenOrderNotFound,
    SpecimenOrderPriority,
    SpecimenOrderStatus,
)
from kernel.specimen.queries.specimen_notes import SpecimenNoteView
from kernel.specimen.queries.specimen_orders import (
    SpecimenOrderFilter,
    SpecimenOrderSortKey,
    SpecimenOrderView,
)
from kernel.specimen.service import Queries, UnitOfWork
from kernel.world.builders import (
    NOW,
    Team,
    a_caller,
    a_credential,
    a_link,
    a_membership,
    a_session,
    a_team,
    a_user,
    a_user_id,
    a_workspace,
    a_workspace_id,
    address_of,
    an_email,
    an_invitation,
    store,
)
from kernel.world.refusals import refused

EVERYTHING = SpecimenOrderFilter()
OLDEST_FIRST: list[Sort[SpecimenOrderSortKey]] = [Sort("created_at")]
FIRST_PAGE = PageRequest()
LATER = NOW + timedelta(hours=5)


def a_specimen_order_of(team: Team, **values: Any) -> SpecimenOrder:
    return a_specimen_order(**{"workspace_id": team.workspace.id, "created_by": team.owner.user_id, **values})


def a_specimen_note_on(specimen_order: SpecimenOrder, **values: Any) -> SpecimenNote:
    return a_specimen_note(
        **{
            "specimen_order_id": specimen_order.id,
            "workspace_id": specimen_order.workspace_id,
            "author_id": specimen_order.created_by,
            **values,
        }
    )


async def remove_from(team: Team, role: Role, begin: Begin[UnitOfWork]) -> None:
    async with begin() as uow:
        await uow.memberships.remove(team.memberships[role])


# ── what the answers say ─────────────────────────────────────────────────────────────────────────


async def test_a_credential_is_found_by_its_address(begin: Begin[UnitOfWork], queries: Queries) -> None:
    user = a_user()
    credential = a_credential(id=user.id, password_hash="$argon2id$another")
    await store(begin, user, a_user(), credential)

    known = KnownCredential(user.id, "$argon2id$another", suspended=False)
    assert await queries.auth.credentials(address_of(user)) == [known]


async def test_a_credential_says_whether_its_user_is_suspended(
    begin: Begin[UnitOfWork], queries: Queries
) -> None:
    user = a_user(email_verified_at=NOW, suspended_at=LATER)
    await store(begin, user, a_credential(id=user.id))
    (known,) = await queries.auth.credentials(address_of(user))
    assert known.suspended


async def test_of_those_who_claim_an_address_the_newest_are_known(
    begin: Begin[UnitOfWork], queries: Queries
) -> None:
    claimants = [a_user(email=an_email())]
    address = address_of(claimants[0])
    claimants += [a_user(email=address) for _ in range(CLAIMANTS)]
    # Neither has a password to compare, so neither takes the place of somebody who has.
    without, suspended = a_user(email=address), a_user(email=address, suspended_at=LATER)
    credentials = [a_credential(id=user.id) for user in (*claimants, suspended)]
    await store(begin, *claimants, without, suspended, *credentials)

    known = await queries.auth.credentials(address)
    newest = sorted((user.id for user in claimants), reverse=True)[:CLAIMANTS]
    assert [credential.user_id for credential in known] == newest


@pytest.mark.parametrize("with_password", [True, False])
async def test_where_an_address_is_verified_nobody_who_claims_it_is_known(
    begin: Begin[UnitOfWork], queries: Queries, *, with_password: bool
) -> None:
    holder = a_user(email_verified_at=NOW)
    claimants = [a_user(email=holder.email) for _ in range(2)]
    await store(begin, holder, *claimants, *(a_credential(id=user.id) for user in claimants))
    if with_password:
        await store(begin, a_credential(id=holder.id))
    known = await queries.auth.credentials(address_of(holder))
    assert [credential.user_id for credential in known] == ([holder.id] if with_password else [])


async def test_there_is_no_credential_for_an_unknown_address_nor_for_a_user_without_one(
    begin: Begin[UnitOfWork], queries: Queries
) -> None:
    user = a_user()
    await store(begin, user)

    assert await queries.auth.credentials(an_email()) == []
    assert await queries.auth.credentials(address_of(user)) == []


async def test_a_profile_shows_its_user(begin: Begin[UnitOfWork], queries: Queries) -> None:
    user = a_user(
        display_name="Augusta",
        email_verified_at=LATER,
        pending_email=Email("augusta@example.com"),
        roles=(GlobalRole.ADMIN,),
    )
    await store(begin, user, a_user())
    async with begin() as uow:
        user = await uow.users.save(user)

    assert await queries.users.profile(user.id) == Profile(
        id=user.id,
        email=user.email,
        email_verified=True,
        pending_email="augusta@example.com",
        display_name="Augusta",
        roles=(GlobalRole.ADMIN,),
        created_at=user.created_at,
        version=2,
    )


async def test_users_are_answered_to_whoever_may_read_them(
    begin: Begin[UnitOfWork], queries: Queries
) -> None:
    user = a_user(roles=(GlobalRole.SUPPORT,), suspended_at=LATER)
    await store(begin, user)
    actor = a_caller(roles=frozenset({GlobalRole.SUPPORT}))
    view = UserView(
        id=user.id,
        email=user.email,
        email_verified=False,
        display_name=user.display_name,
        roles=(GlobalRole.SUPPORT,),
        created_at=user.created_at,
        suspended_at=LATER,
        deleted_at=None,
        version=1,
    )
    assert await queries.users.get(actor, user.id) == view
    page = await queries.users.page(actor, UserFilter(), [Sort("created_at")], FIRST_PAGE)
    assert page == Page(items=[view], next=None, total=None)
    with refused(UserNotFound):
        await queries.users.get(actor, a_user_id())


async def test_users_are_answered_to_nobody_else(begin: Begin[UnitOfWork], queries: Queries) -> None:
    user = a_user()
    await store(begin, user)
    actor = a_caller(user.id)
    with refused(NotPermitted, "You lack the permission users:read."):
        await queries.users.get(actor, user.id)
    with refused(NotPermitted, "You lack the permission users:read."):
        await queries.users.page(actor, UserFilter(), [Sort("created_at")], FIRST_PAGE)


async def test_whom_a_provider_names_is_found_by_issuer_and_subject(
    begin: Begin[UnitOfWork], queries: Queries
) -> None:
    user, other = a_user(roles=(GlobalRole.ADMIN,), suspended_at=LATER), a_user()
    link = a_link(user_id=user.id, subject="7")
    await store(begin, user, other, link, a_link(user_id=other.id, issuer="https://o.example", subject="7"))
    known = KnownUser(user.id, (GlobalRole.ADMIN,), LATER)
    assert await queries.identities.linked(link.issuer, "7") == known
    nameless = replace(a_user(display_name=UNNAMED), email=None)
    await store(begin, nameless, a_link(user_id=nameless.id, subject="9"))
    found = KnownUser(nameless.id, (), None, lacks_email=True, lacks_name=True)
    assert await queries.identities.linked(link.issuer, "9") == found
    assert await queries.identities.linked(link.issuer, "8") is None
    assert await queries.identities.linked(link.issuer + "/", "7") is None


async def test_a_session_is_found_for_its_own_user_only(begin: Begin[UnitOfWork], queries: Queries) -> None:
    user, other = a_user(roles=(GlobalRole.SUPPORT,)), a_user()
    session = a_session(user_id=user.id, expires_at=LATER, ended_at=LATER, authenticated_at=NOW)
    await store(begin, user, other, session)
    known = KnownSession(user.id, (GlobalRole.SUPPORT,), None, LATER, LATER, NOW)
    assert await queries.identities.session(user.id, session.id) == known
    assert await queries.identities.session(other.id, session.id) is None
    assert await queries.identities.session(user.id, a_session().id) is None


async def test_links_are_shown_to_their_user_in_the_order_of_linking(
    begin: Begin[UnitOfWork], queries: Queries
) -> None:
    user, other = a_user(), a_user()
    late = a_link(user_id=user.id, created_at=LATER)
    early, anothers = a_link(user_id=user.id), a_link(user_id=other.id)
    await store(begin, user, other, late, early, anothers)
    page = await queries.identities.page(user.id, FIRST_PAGE)
    assert page == Page(
        items=[
            LinkView(link.id, link.issuer, link.subject, link.created_at, link.version)
            for link in (early, late)
        ],
        next=None,
        total=None,
    )
    for shown in page.items:
        assert await queries.identities.get(user.id, shown.id) == shown
    with refused(LinkNotFound):
        await queries.identities.get(user.id, anothers.id)


async def test_a_profile_of_nobody_is_not_found(queries: Queries) -> None:
    with refused(UserNotFound):
        await queries.users.profile(a_user_id())


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("archived_at", [None, LATER])
async def test_a_workspace_is_shown_with_the_viewer_s_own_role(
    begin: Begin[UnitOfWork], queries: Queries, role: Role, archived_at: datetime | None
) -> None:
    workspace, user, another = a_workspace(name="Looms", archived_at=archived_at), a_user(), a_user()
    await store(
        begin,
        user,
        another,
        workspace,
        a_membership(workspace_id=workspace.id, user_id=another.id, role=Role.ADMIN),
        a_membership(workspace_id=workspace.id, user_id=user.id, role=role),
    )
    view = WorkspaceView(
        id=workspace.id,
        name="Looms",
        slug=workspace.slug,
        role=role,
        created_at=workspace.created_at,
        archived_at=archived_at,
        version=1,
    )

    assert await queries.workspaces.get(user.id, workspace.id) == view
    assert await queries.workspaces.page(user.id, FIRST_PAGE) == Page(items=[view], next=None, total=None)


async def test_the_workspaces_of_somebody_without_any_are_an_empty_list(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    assert await queries.workspaces.page(team.stranger.user_id, FIRST_PAGE) == Page(
        items=[], next=None, total=None
    )
    assert await queries.workspaces.page(a_user_id(), FIRST_PAGE) == Page(items=[], next=None, total=None)


async def test_members_are_shown_with_their_names_and_roles(queries: Queries, team: Team) -> None:
    page = await queries.memberships.page(team.viewer.user_id, team.workspace.id, FIRST_PAGE)

    assert sorted(page.items, key=lambda view: view.role) == [
        MemberView(
            workspace_id=team.workspace.id,
            user_id=team.users[role].id,
            display_name=role.title(),
            email=team.users[role].email,
            role=role,
            joined_at=team.memberships[role].joined_at,
            version=1,
        )
        for role in sorted(Role)
    ]
    for shown in page.items:
        found = await queries.memberships.get(team.viewer.user_id, team.workspace.id, shown.user_id)
        assert found == shown


async def test_somebody_who_is_no_member_is_not_found_among_them(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    elsewhere = a_team()
    await store(begin, *elsewhere.aggregates)
    for nobody in (team.stranger, elsewhere.owner, a_caller()):
        with refused(MemberNotFound):
            await queries.memberships.get(team.owner.user_id, team.workspace.id, nobody.user_id)


async def test_the_version_of_a_membership_rises_with_its_role(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    async with begin() as uow:
        await uow.memberships.save(replace(team.memberships[Role.VIEWER], role=Role.ADMIN))

    found = await queries.memberships.get(team.owner.user_id, team.workspace.id, team.viewer.user_id)

    assert (found.role, found.version) == (Role.ADMIN, 2)


async def test_an_invitation_is_shown_to_who_manages_members_and_to_who_was_invited(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    invitation = an_invitation(
        workspace_id=team.workspace.id,
        email=team.outsider.email,
        role=Role.ADMIN,
        invited_by=team.owner.user_id,
        expires_at=LATER,
    )
    elsewhere = a_team()
    another = an_invitation(workspace_id=elsewhere.workspace.id, invited_by=elsewhere.owner.user_id)
    await store(begin, *elsewhere.aggregates, invitation, another)
    view = InvitationView(
        id=invitation.id,
        workspace_id=team.workspace.id,
        workspace_name=team.workspace.name,
        email=address_of(team.outsider),
        role=Role.ADMIN,
        invited_by=team.owner.user_id,
        created_at=invitation.created_at,
        expires_at=LATER,
        version=1,
    )

    for manager in (team.owner, team.admin):
        assert await queries.invitations.page(manager.user_id, team.workspace.id, FIRST_PAGE) == Page(
            items=[view], next=None, total=None
        )
    assert await queries.invitations.mine(team.stranger.user_id, FIRST_PAGE) == Page(
        items=[view], next=None, total=None
    )
    assert await queries.invitations.mine(team.admin.user_id, FIRST_PAGE) == Page(
        items=[], next=None, total=None
    )


async def test_an_invitation_is_found_by_who_could_list_it(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    invitation = an_invitation(
        workspace_id=team.workspace.id, email=team.outsider.email, invited_by=team.owner.user_id
    )
    elsewhere = a_team()
    await store(begin, *elsewhere.aggregates, invitation)
    [view] = (await queries.invitations.mine(team.stranger.user_id, FIRST_PAGE)).items

    for somebody in (team.owner, team.admin, team.stranger):
        assert await queries.invitations.get(somebody.user_id, invitation.id) == view
    for lesser in (team.member, team.viewer):
        with refused(NotPermitted):
            await queries.invitations.get(lesser.user_id, invitation.id)
    for nobody in (elsewhere.owner, elsewhere.stranger, a_caller()):
        with refused(InvitationNotFound):
            await queries.invitations.get(nobody.user_id, invitation.id)
    with refused(InvitationNotFound):
        await queries.invitations.get(team.owner.user_id, an_invitation().id)


async def test_an_invitation_is_shown_to_who_claims_its_address_once_they_have_verified_it(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    invitation = an_invitation(workspace_id=team.workspace.id, invited_by=team.owner.user_id)
    await store(begin, invitation)
    stranger = team.stranger.user_id
    async with begin() as uow:
        claiming = await uow.users.save(
            replace(team.outsider, email=invitation.email, email_verified_at=None)
        )

    assert (await queries.invitations.mine(stranger, FIRST_PAGE)).items == []
    with refused(InvitationNotFound):
        await queries.invitations.get(stranger, invitation.id)

    async with begin() as uow:
        await uow.users.save(claiming.verify_email(at=NOW))
    [view] = (await queries.invitations.mine(stranger, FIRST_PAGE)).items
    assert view == await queries.invitations.get(stranger, invitation.id)
    assert view.id == invitation.id


async def test_members_see_no_address_of_a_member_who_has_not_verified_it(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    async with begin() as uow:
        await uow.users.save(replace(team.users[Role.ADMIN], email_verified_at=None))
    seen = (team.viewer.user_id, team.workspace.id)
    assert (await queries.memberships.get(*seen, team.admin.user_id)).email is None
    shown = (await queries.memberships.page(*seen, FIRST_PAGE)).items
    assert {view.role for view in shown if view.email is None} == {Role.ADMIN}


async def test_a_specimen_order_is_shown_with_every_field(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    specimen_order = a_specimen_order_of(
        team,
        title="Card the wool",
        description="Both\nsides",
        status=SpecimenOrderStatus.DONE,
        priority=SpecimenOrderPriority.URGENT,
        due_at=NOW + timedelta(days=1),
        assignee_id=team.member.user_id,
        labels=("deep", "wool"),
        created_at=NOW - timedelta(days=2),
        updated_at=NOW - timedelta(days=1),
        finished_at=NOW,
    )
    await store(begin, specimen_order)
    view = SpecimenOrderView(
        id=specimen_order.id,
        workspace_id=team.workspace.id,
        title="Card the wool",
        description="Both\nsides",
        status=SpecimenOrderStatus.DONE,
        priority=SpecimenOrderPriority.URGENT,
        due_at=NOW + timedelta(days=1),
        assignee_id=team.member.user_id,
        labels=["deep", "wool"],
        created_by=team.owner.user_id,
        created_at=NOW - timedelta(days=2),
        updated_at=NOW - timedelta(days=1),
        finished_at=NOW,
        version=1,
    )

    assert await queries.specimen_orders.get(team.viewer.user_id, specimen_order.id) == view
    assert await queries.specimen_orders.page(
        team.viewer.user_id, team.workspace.id, EVERYTHING, OLDEST_FIRST, FIRST_PAGE
    ) == Page(items=[view], next=None, total=None)


async def test_a_specimen_order_without_due_date_assignee_and_labels_is_shown_without(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    specimen_order = a_specimen_order_of(team)
    await store(begin, specimen_order)

    view = await queries.specimen_orders.get(team.viewer.user_id, specimen_order.id)

    assert (view.due_at, view.assignee_id, view.labels, view.finished_at) == (None, None, [], None)


async def test_the_times_of_a_view_are_in_utc(begin: Begin[UnitOfWork], queries: Queries, team: Team) -> None:
    specimen_order = a_specimen_order_of(team, due_at=NOW.astimezone(timezone(timedelta(hours=14))))
    await store(begin, specimen_order)

    view = await queries.specimen_orders.get(team.viewer.user_id, specimen_order.id)

    assert view.due_at == NOW
    assert view.due_at is not None
    assert view.due_at.utcoffset() == view.created_at.utcoffset() == timedelta(0)


async def test_a_note_is_shown_with_its_author_s_present_name(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    specimen_order, another = a_specimen_order_of(team), a_specimen_order_of(team)
    note = a_specimen_note_on(specimen_order, author_id=team.member.user_id, edited_at=LATER)
    await store(begin, specimen_order, another, note, a_specimen_note_on(another))
    async with begin() as uow:
        await uow.users.save(team.users[Role.MEMBER].edit(at=NOW, display_name="Augusta"))

    assert await queries.specimen_notes.page(team.viewer.user_id, specimen_order.id, FIRST_PAGE) == Page(
        items=[
            SpecimenNoteView(
                id=note.id,
                specimen_order_id=specimen_order.id,
                author_id=team.member.user_id,
                author_name="Augusta",
                body=note.body,
                created_at=note.created_at,
                edited_at=LATER,
                version=1,
            )
        ],
        next=None,
        total=None,
    )


async def test_a_note_is_found_by_members_alone(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    specimen_order, elsewhere = a_specimen_order_of(team), a_team()
    note = a_specimen_note_on(specimen_order)
    await store(begin, *elsewhere.aggregates, specimen_order, note)
    [shown] = (await queries.specimen_notes.page(team.viewer.user_id, specimen_order.id, FIRST_PAGE)).items

    for role in Role:
        assert await queries.specimen_notes.get(team[role].user_id, note.id) == shown
    for nobody in (team.stranger, elsewhere.owner):
        with refused(SpecimenNoteNotFound):
            await queries.specimen_notes.get(nobody.user_id, note.id)
    with refused(SpecimenNoteNotFound):
        await queries.specimen_notes.get(team.owner.user_id, a_specimen_note().id)


async def test_a_note_stays_when_its_author_has_left(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    specimen_order = a_specimen_order_of(team)
    await store(begin, specimen_order, a_specimen_note_on(specimen_order, author_id=team.member.user_id))
    await remove_from(team, Role.MEMBER, begin)

    [view] = (await queries.specimen_notes.page(team.viewer.user_id, specimen_order.id, FIRST_PAGE)).items

    assert view.author_name == "Member"


# ── whom they are given ──────────────────────────────────────────────────────────────────────────

type Ask = Callable[[Queries, Caller, WorkspaceId, SpecimenOrderId], Awaitable[Any]]
"""A query about a workspace, or about a specimen order in it, as somebody."""


async def the_workspace(
    queries: Queries, who: Caller, workspace_id: WorkspaceId, specimen_order_id: SpecimenOrderId
) -> Any:
    return await queries.workspaces.get(who.user_id, workspace_id)


async def its_members(
    queries: Queries, who: Caller, workspace_id: WorkspaceId, specimen_order_id: SpecimenOrderId
) -> Any:
    return await queries.memberships.page(who.user_id, workspace_id, FIRST_PAGE)


async def oneself_among_them(
    queries: Queries, who: Caller, workspace_id: WorkspaceId, specimen_order_id: SpecimenOrderId
) -> Any:
    return await queries.memberships.get(who.user_id, workspace_id, who.user_id)


async def its_invitations(
    queries: Queries, who: Caller, workspace_id: WorkspaceId, specimen_order_id: SpecimenOrderId
) -> Any:
    return await queries.invitations.page(who.user_id, workspace_id, FIRST_PAGE)


async def its_specimen_orders(
    queries: Queries, who: Caller, workspace_id: WorkspaceId, specimen_order_id: SpecimenOrderId
) -> Any:
    return await queries.specimen_orders.page(who.user_id, workspace_id, EVERYTHING, OLDEST_FIRST, FIRST_PAGE)


async def the_specimen_order(
    queries: Queries, who: Caller, workspace_id: WorkspaceId, specimen_order_id: SpecimenOrderId
) -> Any:
    return await queries.specimen_orders.get(who.user_id, specimen_order_id)


async def its_specimen_notes(
    queries: Queries, who: Caller, workspace_id: WorkspaceId, specimen_order_id: SpecimenOrderId
) -> Any:
    return await queries.specimen_notes.page(who.user_id, specimen_order_id, FIRST_PAGE)


ABOUT_WORKSPACES: list[Ask] = [
    the_workspace,
    its_members,
    oneself_among_them,
    its_invitations,
    its_specimen_orders,
]
ABOUT_SPECIMEN_ORDERS: list[Ask] = [the_specimen_order, its_specimen_notes]
MISSING: dict[Ask, type[NotFound]] = {
    **dict.fromkeys(ABOUT_WORKSPACES, WorkspaceNotFound),
    **dict.fromkeys(ABOUT_SPECIMEN_ORDERS, SpecimenOrderNotFound),
}


@pytest.fixture(params=[False, True], ids=["empty", "filled"])
async def specimen_order(
    request: pytest.FixtureRequest, begin: Begin[UnitOfWork], team: Team
) -> SpecimenOrder:
    """A specimen order; and in a filled workspace there are more things to be seen."""
    specimen_order = a_specimen_order_of(team)
    await store(begin, specimen_order)
    if request.param:
        await store(
            begin,
            a_specimen_order_of(team),
            a_specimen_note_on(specimen_order),
            an_invitation(workspace_id=team.workspace.id, invited_by=team.owner.user_id),
        )
    return specimen_order


@pytest.mark.parametrize("ask", [*ABOUT_WORKSPACES, *ABOUT_SPECIMEN_ORDERS])
async def test_members_are_answered_and_lesser_ones_see_no_invitations(
    queries: Queries, team: Team, specimen_order: SpecimenOrder, ask: Ask
) -> None:
    for role in Role:
        if ask is its_invitations and role in {Role.VIEWER, Role.MEMBER}:
            with refused(NotPermitted):
                await ask(queries, team[role], team.workspace.id, specimen_order.id)
        else:
            assert await ask(queries, team[role], team.workspace.id, specimen_order.id)


@pytest.mark.parametrize("ask", [*ABOUT_WORKSPACES, *ABOUT_SPECIMEN_ORDERS])
async def test_a_stranger_finds_nothing_not_even_an_owner_of_another_workspace(
    begin: Begin[UnitOfWork], queries: Queries, team: Team, specimen_order: SpecimenOrder, ask: Ask
) -> None:
    elsewhere = a_team()
    await store(begin, *elsewhere.aggregates, a_specimen_order_of(elsewhere))
    for stranger in (team.stranger, elsewhere.owner, a_caller()):
        with refused(MISSING[ask]):
            await ask(queries, stranger, team.workspace.id, specimen_order.id)


@pytest.mark.parametrize("ask", [*ABOUT_WORKSPACES, *ABOUT_SPECIMEN_ORDERS])
async def test_a_removed_member_finds_nothing_from_then_on(
    begin: Begin[UnitOfWork], queries: Queries, team: Team, specimen_order: SpecimenOrder, ask: Ask
) -> None:
    assert await ask(queries, team.admin, team.workspace.id, specimen_order.id)
    await remove_from(team, Role.ADMIN, begin)

    with refused(MISSING[ask]):
        await ask(queries, team.admin, team.workspace.id, specimen_order.id)


@pytest.mark.parametrize("ask", [*ABOUT_WORKSPACES, *ABOUT_SPECIMEN_ORDERS])
async def test_what_does_not_exist_is_not_found_by_an_owner_either(
    queries: Queries, team: Team, ask: Ask
) -> None:
    with refused(MISSING[ask]):
        await ask(queries, team.owner, a_workspace_id(), a_specimen_order_id())


@pytest.mark.parametrize("ask", [*ABOUT_WORKSPACES, *ABOUT_SPECIMEN_ORDERS])
async def test_an_archived_workspace_can_be_read(
    begin: Begin[UnitOfWork], queries: Queries, ask: Ask
) -> None:
    team = a_team(archived=True)
    specimen_order = a_specimen_order_of(team)
    await store(begin, *team.aggregates, specimen_order)

    assert await ask(queries, team.owner, team.workspace.id, specimen_order.id)


async def test_an_empty_workspace_is_empty_to_its_members(queries: Queries, team: Team) -> None:
    empty = Page[Any](items=[], next=None, total=None)
    viewer, workspace_id = team.viewer.user_id, team.workspace.id

    assert (
        await queries.specimen_orders.page(viewer, workspace_id, EVERYTHING, OLDEST_FIRST, FIRST_PAGE)
        == empty
    )
    assert await queries.invitations.page(team.admin.user_id, workspace_id, FIRST_PAGE) == empty


async def test_a_filter_that_nothing_meets_gives_a_member_an_empty_list_and_a_stranger_none(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    await store(begin, a_specimen_order_of(team))
    nothing = SpecimenOrderFilter(label="no-such-label")

    page = await queries.specimen_orders.page(
        team.viewer.user_id, team.workspace.id, nothing, OLDEST_FIRST, FIRST_PAGE
    )

    assert page == Page(items=[], next=None, total=None)
    with refused(WorkspaceNotFound):
        await queries.specimen_orders.page(
            team.stranger.user_id, team.workspace.id, nothing, OLDEST_FIRST, FIRST_PAGE
        )


async def test_specimen_orders_of_another_workspace_are_in_no_list(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    elsewhere = a_team()
    here = a_specimen_order_of(team)
    joined = a_membership(workspace_id=elsewhere.workspace.id, user_id=team.owner.user_id)
    await store(begin, *elsewhere.aggregates, joined, here, a_specimen_order_of(elsewhere))

    page = await queries.specimen_orders.page(
        team.owner.user_id, team.workspace.id, EVERYTHING, OLDEST_FIRST, FIRST_PAGE
    )

    assert [view.id for view in page.items] == [here.id]


@pytest.mark.parametrize(
    ("name", "asked", "is_found"),
    [
        ("Ägidius", "äg", True),
        ("ägidius", "ÄG", True),
        ("Straßer", "STRASS", True),
        ("Strasser", "straß", True),
        ("IRIS", "iri", True),
        ("İnci", "İN", True),
        ("Ώρα", "ώρ", True),
        ("ΣΙΓΜΑΣ", "σιγμας", True),
        ("Жанна", "жан", True),
        ("ﬁn", "FI", True),
        ("\U00010400x", "\U00010428", True),
        ("a.b", "a.", True),
        ("axb", "a.", False),
        ("[x]", "[X", True),
        ("(?i)x", "(?", True),
        ("a\\d", "A\\", True),
        ("Ana", "Aña", False),
        ("Anna", "nna", False),
    ],
)
async def test_names_are_found_in_capital_and_small_letters_whatever_the_locale(  # noqa: PLR0917 (as above)
    name: str, asked: str, is_found: bool, begin: Begin[UnitOfWork], queries: Queries, database_url: str
) -> None:
    user = a_user(display_name=name)
    await store(begin, user)
    actor = a_caller(roles=frozenset({GlobalRole.ADMIN}))
    page = await queries.users.page(actor, UserFilter(q=asked), [Sort("created_at")], FIRST_PAGE)
    assert [found.id for found in page.items] == ([user.id] if is_found else [])
    connection = await asyncpg.connect(database_url)
    try:
        found = await connection.fetchval('SELECT $1 COLLATE "C" ~ $2', name, beginning(asked))
    finally:
        await connection.close()
    assert found is is_found


async def test_a_long_name_can_be_asked_for(begin: Begin[UnitOfWork], queries: Queries) -> None:
    """Each letter of which is written in several ways."""
    await store(begin, a_user(display_name="ß" * 80))
    actor = a_caller(roles=frozenset({GlobalRole.ADMIN}))
    for asked, found in (("ß" * 254, 0), ("S" * 160, 1), ("ΐ" * 254, 0)):
        page = await queries.users.page(actor, UserFilter(q=asked), [Sort("created_at")], FIRST_PAGE)
        assert len(page.items) == found


# ── which specimen orders ────────────────────────────────────────────────────────────────────────────────


async def titles(queries: Queries, team: Team, where: SpecimenOrderFilter) -> set[str]:
    viewer, workspace_id = team.viewer.user_id, team.workspace.id
    page = await queries.specimen_orders.page(
        viewer, workspace_id, where, [Sort("title", descending=True)], PageRequest(limit=100)
    )
    assert page.next is None
    return {view.title for view in page.items}


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (SpecimenOrderFilter(status=[SpecimenOrderStatus.OPEN]), "plain due"),
        (
            SpecimenOrderFilter(status=[SpecimenOrderStatus.DONE, SpecimenOrderStatus.CANCELLED]),
            "done cancelled",
        ),
        (SpecimenOrderFilter(status=list(SpecimenOrderStatus)), "plain due done cancelled"),
        (SpecimenOrderFilter(priority=[SpecimenOrderPriority.URGENT]), "due"),
        (SpecimenOrderFilter(priority=[SpecimenOrderPriority.LOW, SpecimenOrderPriority.URGENT]), "due done"),
        (SpecimenOrderFilter(label="deep"), "due done"),
        (SpecimenOrderFilter(label="wool"), "due"),
        (SpecimenOrderFilter(label="dee"), ""),
        (SpecimenOrderFilter(due_after=NOW), "due cancelled"),
        (SpecimenOrderFilter(due_after=NOW + timedelta(microseconds=1)), "cancelled"),
        (SpecimenOrderFilter(due_before=LATER), "due"),
        (SpecimenOrderFilter(due_before=LATER + timedelta(microseconds=1)), "due cancelled"),
        (SpecimenOrderFilter(due_after=NOW, due_before=LATER), "due"),
        (SpecimenOrderFilter(due_after=LATER, due_before=NOW), ""),
        (SpecimenOrderFilter(q="due"), "due"),
        (SpecimenOrderFilter(q="DUE"), "due"),
        (SpecimenOrderFilter(q="loom"), "plain done"),
        (SpecimenOrderFilter(q="old loom"), "plain done"),
        (SpecimenOrderFilter(q='"old loom"'), "plain"),
        (SpecimenOrderFilter(q="loom -plain"), "done"),
        (SpecimenOrderFilter(q="due or plain"), "due plain"),
        (SpecimenOrderFilter(q="loo"), ""),
        (
            SpecimenOrderFilter(
                q="loom",
                label="deep",
                status=[SpecimenOrderStatus.DONE],
                priority=[SpecimenOrderPriority.LOW],
            ),
            "done",
        ),
        (SpecimenOrderFilter(q="loom", label="wool"), ""),
        (SpecimenOrderFilter(status=[SpecimenOrderStatus.OPEN], due_after=NOW, label="wool", q="due"), "due"),
    ],
)
async def test_a_filter_lets_through_what_meets_every_condition(
    begin: Begin[UnitOfWork], queries: Queries, team: Team, where: SpecimenOrderFilter, found: str
) -> None:
    await store(
        begin,
        a_specimen_order_of(team, title="plain", description="the old loom"),
        a_specimen_order_of(
            team, title="due", due_at=NOW, labels=("deep", "wool"), priority=SpecimenOrderPriority.URGENT
        ),
        a_specimen_order_of(
            team,
            title="done",
            description="a loom so old",
            status=SpecimenOrderStatus.DONE,
            labels=("deep",),
            priority=SpecimenOrderPriority.LOW,
        ),
        a_specimen_order_of(team, title="cancelled", status=SpecimenOrderStatus.CANCELLED, due_at=LATER),
    )

    assert await titles(queries, team, where) == set(found.split())


async def test_specimen_orders_are_filtered_by_assignee(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    await store(
        begin,
        a_specimen_order_of(team, title="mine", assignee_id=team.member.user_id),
        a_specimen_order_of(team, title="yours", assignee_id=team.admin.user_id),
        a_specimen_order_of(team, title="nobody's"),
    )

    assert await titles(queries, team, SpecimenOrderFilter(assignee_id=team.member.user_id)) == {"mine"}
    assert await titles(queries, team, SpecimenOrderFilter(assignee_id=team.stranger.user_id)) == set()
    both = SpecimenOrderFilter(assignee_id=team.admin.user_id, status=[SpecimenOrderStatus.OPEN])
    assert await titles(queries, team, both) == {"yours"}


filters = st.builds(
    SpecimenOrderFilter,
    status=st.lists(st.sampled_from(SpecimenOrderStatus), max_size=2),
    priority=st.lists(st.sampled_from(SpecimenOrderPriority), max_size=2),
    label=st.none() | st.sampled_from(["deep", "wool"]),
    due_after=st.none() | st.sampled_from([NOW, LATER]),
    due_before=st.none() | st.sampled_from([NOW, LATER]),
    q=st.none() | st.sampled_from(["loom", "wheel", "-loom"]),
)
specimen_orders_with_anything = st.lists(
    st.fixed_dictionaries(
        {
            "status": st.sampled_from(SpecimenOrderStatus),
            "priority": st.sampled_from(SpecimenOrderPriority),
            "labels": st.sampled_from([(), ("deep",), ("deep", "wool")]),
            "due_at": st.sampled_from([None, NOW, LATER]),
            "description": st.sampled_from(["", "loom", "loom wheel"]),
        }
    ),
    max_size=12,
)


def lets_through(where: SpecimenOrderFilter, specimen_order: SpecimenOrder) -> bool:
    """What the filter says, once more and in Python."""
    words = specimen_order.description.split()
    return all(
        [
            not where.status or specimen_order.status in where.status,
            not where.priority or specimen_order.priority in where.priority,
            where.label is None or where.label in specimen_order.labels,
            where.due_after is None
            or (specimen_order.due_at is not None and specimen_order.due_at >= where.due_after),
            where.due_before is None
            or (specimen_order.due_at is not None and specimen_order.due_at < where.due_before),
            where.q is None or (where.q in words) or (where.q == "-loom" and "loom" not in words),
        ]
    )


@given(where=filters, specified=specimen_orders_with_anything)
async def test_conditions_hold_in_every_combination(
    begin: Begin[UnitOfWork], queries: Queries, where: SpecimenOrderFilter, specified: list[dict[str, Any]]
) -> None:
    team = a_team()
    specimen_orders = [
        a_specimen_order_of(team, title=str(number), **values) for number, values in enumerate(specified)
    ]
    await store(begin, *team.aggregates, *specimen_orders)

    assert await titles(queries, team, where) == {
        specimen_order.title for specimen_order in specimen_orders if lets_through(where, specimen_order)
    }


@given(text=st.text() | st.text("\"'-|&!()<>:*\\%_ aor", max_size=12))
@example(text="")
@example(text=" ")
@example(text='"')
@example(text='""')
@example(text="-")
@example(text="--")
@example(text="|")
@example(text="or")
@example(text="or or")
@example(text="-or-")
@example(text="'")
@example(text="\\")
@example(text=":*")
@example(text="<->")
@example(text="(")
@example(text="&&!!")
@example(text="'; DROP TABLE specimen_orders; --")
@example(text="%s $1 :text")
@example(text="\U0001f9f6")
@example(text="\u0301")
@example(text="a" * 5_000)
@example(text="a " * 5_000)
@example(text='"' * 2_001)
async def test_whatever_is_searched_for_is_answered(queries: Queries, team: Team, text: str) -> None:
    try:
        await titles(queries, team, SpecimenOrderFilter(q=text))
    except Invalid:
        assert "\0" in text


@pytest.mark.parametrize(
    ("title", "asked", "is_found"),
    [
        ("frontend/backend split", "backend", True),
        ("frontend/backend split", "frontend/backend", True),
        ("frontend/backend split", "end", False),
        ("TCP/IP", "tcp", True),
        ("TCP/IP", '"tcp/ip"', True),
        ("TCP/IP", '"ip tcp"', False),
        ("see https://example.com/a/looms?size=2#x", "looms", True),
        ("see https://example.com/a/looms?size=2#x", "example", True),
        ("ask ada@example.com", "ada", True),
        ("ask ada@example.com", "ask -example", False),
        ("<b>loom</b> &amp; wheel", "amp", True),
        ("version 1.2.3", "2", True),
        ("covid-19", "19", True),
        ("covid-19", "covid-19", True),
        ("well-known", "known", True),
        ("well known", "well-known", True),
        ("well-known", "well -known", False),
        ("snake_case", "case", True),
        ("don\u2019t", "don't", True),
        ("C++", "c++", True),
        ("a\u2013b", "b", True),
        ("front\u2011end", "front-end", True),
        ("\u201cquoted\u201d\u2026", "quoted", True),
        ("one\u00b7two\u2022three\u2192four", "three", True),
        ("one\u3000two", "two", True),
        ("日本語/テスト・語", "テスト", True),
        ("क\u0964हिन्दी", "हिन्दी", True),
        ("Grüße", "grüße", True),
    ],
)
async def test_words_are_found_where_people_see_them(  # noqa: PLR0917 (fixtures come by position)
    begin: Begin[UnitOfWork], queries: Queries, team: Team, title: str, asked: str, is_found: bool
) -> None:
    await store(begin, a_specimen_order_of(team, title=title), a_specimen_order_of(team, title="another"))
    assert await titles(queries, team, SpecimenOrderFilter(q=asked)) == ({title} if is_found else set())


@pytest.mark.parametrize("text", ["\0", "loom\0", "\ud800", "loom \udfff"])
async def test_a_text_that_cannot_be_stored_cannot_be_searched_for(
    queries: Queries, team: Team, text: str
) -> None:
    for where in (SpecimenOrderFilter(q=text), SpecimenOrderFilter(label=text)):
        with pytest.raises(Invalid):
            await titles(queries, team, where)


@pytest.mark.parametrize(
    "instant",
    [
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
    ],
)
async def test_an_instant_outside_of_the_calendar_is_invalid(
    queries: Queries, team: Team, instant: datetime
) -> None:
    for where in (SpecimenOrderFilter(due_after=instant), SpecimenOrderFilter(due_before=instant)):
        with pytest.raises(Invalid):
            await titles(queries, team, where)


async def test_the_first_and_the_last_instant_can_be_asked_for(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    await store(
        begin,
        a_specimen_order_of(team, title="first", due_at=first),
        a_specimen_order_of(team, title="last", due_at=last),
    )

    assert await titles(queries, team, SpecimenOrderFilter(due_after=first, due_before=last)) == {"first"}
    assert await titles(queries, team, SpecimenOrderFilter(due_after=last)) == {"last"}
