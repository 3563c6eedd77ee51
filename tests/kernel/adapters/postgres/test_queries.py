"""What people can ask: what the answers say, whom they are given, and what they cost."""

from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from application.kernel.admission import NotPermitted
from application.kernel.paging import Page, PageRequest, Sort
from application.kernel.ports.callers import Caller
from application.kernel.queries.auth import KnownCredential
from application.kernel.queries.identities import KnownSession, KnownUser, LinkView
from application.kernel.queries.invitations import InvitationView
from application.kernel.queries.memberships import MemberView
from application.kernel.queries.users import Profile, UserFilter, UserView
from application.kernel.queries.workspaces import WorkspaceView
from application.kernel.unit_of_work import Begin
from application.queries.comments import CommentView
from application.queries.dashboard import DAYS, LOAD_MOST, FinishedOn, Load
from application.queries.notifications import NotificationFilter, NotificationView
from application.queries.tasks import TaskFilter, TaskSortKey, TaskView
from domain.comments import Comment, CommentNotFound
from domain.kernel.errors import Invalid, NotFound
from domain.kernel.identity.identities import LinkNotFound
from domain.kernel.invitations import InvitationNotFound
from domain.kernel.memberships import MemberNotFound, Role
from domain.kernel.users import GlobalRole, UserNotFound
from domain.kernel.workspaces import WorkspaceId, WorkspaceNotFound
from domain.notifications import Kind, Notification, NotificationNotFound
from domain.tasks import Priority, Status, Task, TaskId, TaskNotFound
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
from resources.comments import a_comment
from resources.notifications import a_notification
from resources.tasks import a_task, a_task_id

EVERYTHING = TaskFilter()
OLDEST_FIRST: list[Sort[TaskSortKey]] = [Sort("created_at")]
FIRST_PAGE = PageRequest()
LATER = NOW + timedelta(hours=5)


def a_task_of(team: Team, **values: Any) -> Task:
    return a_task(**{"workspace_id": team.workspace.id, "created_by": team.owner.user_id, **values})


def a_comment_on(task: Task, **values: Any) -> Comment:
    return a_comment(
        **{"task_id": task.id, "workspace_id": task.workspace_id, "author_id": task.created_by, **values}
    )


def a_notification_of(task: Task, **values: Any) -> Notification:
    return a_notification(
        **{"task_id": task.id, "workspace_id": task.workspace_id, "caused_by": task.created_by, **values}
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
    assert await queries.auth.credential(address_of(user)) == known


async def test_a_credential_says_whether_its_user_is_suspended(
    begin: Begin[UnitOfWork], queries: Queries
) -> None:
    user = a_user(suspended_at=LATER)
    await store(begin, user, a_credential(id=user.id))
    known = await queries.auth.credential(address_of(user))
    assert known is not None
    assert known.suspended


async def test_there_is_no_credential_for_an_unknown_address_nor_for_a_user_without_one(
    begin: Begin[UnitOfWork], queries: Queries
) -> None:
    user = a_user()
    await store(begin, user)

    assert await queries.auth.credential(an_email()) is None
    assert await queries.auth.credential(address_of(user)) is None


async def test_a_profile_shows_its_user(begin: Begin[UnitOfWork], queries: Queries) -> None:
    user = a_user(display_name="Augusta", email_verified_at=LATER, roles=(GlobalRole.ADMIN,))
    await store(begin, user, a_user())
    async with begin() as uow:
        user = await uow.users.save(user)

    assert await queries.users.profile(user.id) == Profile(
        id=user.id,
        email=user.email,
        email_verified=True,
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
    assert await queries.identities.linked(link.issuer, "8") is None
    assert await queries.identities.linked(link.issuer + "/", "7") is None


async def test_a_session_is_found_for_its_own_user_only(begin: Begin[UnitOfWork], queries: Queries) -> None:
    user, other = a_user(roles=(GlobalRole.SUPPORT,)), a_user()
    session = a_session(user_id=user.id, expires_at=LATER, ended_at=LATER)
    await store(begin, user, other, session)
    known = KnownSession(user.id, (GlobalRole.SUPPORT,), None, LATER, LATER)
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
    for nobody in (team.member, team.viewer, elsewhere.owner, elsewhere.stranger):
        with refused(InvitationNotFound):
            await queries.invitations.get(nobody.user_id, invitation.id)
    with refused(InvitationNotFound):
        await queries.invitations.get(team.owner.user_id, an_invitation().id)


async def test_an_address_that_changes_takes_its_invitations_along(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    invitation = an_invitation(workspace_id=team.workspace.id, invited_by=team.owner.user_id)
    await store(begin, invitation)
    async with begin() as uow:
        await uow.users.save(team.outsider.edit(at=NOW, email=invitation.email))

    [view] = (await queries.invitations.mine(team.stranger.user_id, FIRST_PAGE)).items

    assert view.id == invitation.id


async def test_a_task_is_shown_with_every_field(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    task = a_task_of(
        team,
        title="Card the wool",
        description="Both\nsides",
        status=Status.DONE,
        priority=Priority.URGENT,
        due_at=NOW + timedelta(days=1),
        assignee_id=team.member.user_id,
        labels=("deep", "wool"),
        created_at=NOW - timedelta(days=2),
        updated_at=NOW - timedelta(days=1),
        finished_at=NOW,
    )
    await store(begin, task)
    view = TaskView(
        id=task.id,
        workspace_id=team.workspace.id,
        title="Card the wool",
        description="Both\nsides",
        status=Status.DONE,
        priority=Priority.URGENT,
        due_at=NOW + timedelta(days=1),
        assignee_id=team.member.user_id,
        labels=["deep", "wool"],
        created_by=team.owner.user_id,
        created_at=NOW - timedelta(days=2),
        updated_at=NOW - timedelta(days=1),
        finished_at=NOW,
        version=1,
    )

    assert await queries.tasks.get(team.viewer.user_id, task.id) == view
    assert await queries.tasks.page(
        team.viewer.user_id, team.workspace.id, EVERYTHING, OLDEST_FIRST, FIRST_PAGE
    ) == Page(items=[view], next=None, total=None)


async def test_a_task_without_due_date_assignee_and_labels_is_shown_without(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    task = a_task_of(team)
    await store(begin, task)

    view = await queries.tasks.get(team.viewer.user_id, task.id)

    assert (view.due_at, view.assignee_id, view.labels, view.finished_at) == (None, None, [], None)


async def test_the_times_of_a_view_are_in_utc(begin: Begin[UnitOfWork], queries: Queries, team: Team) -> None:
    task = a_task_of(team, due_at=NOW.astimezone(timezone(timedelta(hours=14))))
    await store(begin, task)

    view = await queries.tasks.get(team.viewer.user_id, task.id)

    assert view.due_at == NOW
    assert view.due_at is not None
    assert view.due_at.utcoffset() == view.created_at.utcoffset() == timedelta(0)


async def test_a_comment_is_shown_with_its_author_s_present_name(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    task, another = a_task_of(team), a_task_of(team)
    comment = a_comment_on(task, author_id=team.member.user_id, edited_at=LATER)
    await store(begin, task, another, comment, a_comment_on(another))
    async with begin() as uow:
        await uow.users.save(team.users[Role.MEMBER].edit(at=NOW, display_name="Augusta"))

    assert await queries.comments.page(team.viewer.user_id, task.id, FIRST_PAGE) == Page(
        items=[
            CommentView(
                id=comment.id,
                task_id=task.id,
                author_id=team.member.user_id,
                author_name="Augusta",
                body=comment.body,
                created_at=comment.created_at,
                edited_at=LATER,
                version=1,
            )
        ],
        next=None,
        total=None,
    )


async def test_a_comment_is_found_by_members_alone(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    task, elsewhere = a_task_of(team), a_team()
    comment = a_comment_on(task)
    await store(begin, *elsewhere.aggregates, task, comment)
    [shown] = (await queries.comments.page(team.viewer.user_id, task.id, FIRST_PAGE)).items

    for role in Role:
        assert await queries.comments.get(team[role].user_id, comment.id) == shown
    for nobody in (team.stranger, elsewhere.owner):
        with refused(CommentNotFound):
            await queries.comments.get(nobody.user_id, comment.id)
    with refused(CommentNotFound):
        await queries.comments.get(team.owner.user_id, a_comment().id)


async def test_a_comment_stays_when_its_author_has_left(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    task = a_task_of(team)
    await store(begin, task, a_comment_on(task, author_id=team.member.user_id))
    await remove_from(team, Role.MEMBER, begin)

    [view] = (await queries.comments.page(team.viewer.user_id, task.id, FIRST_PAGE)).items

    assert view.author_name == "Member"


async def test_a_notification_is_shown_with_the_names_of_its_task_and_its_cause(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    task = a_task_of(team, title="Card the wool")
    read = a_notification_of(task, user_id=team.member.user_id, created_at=NOW, read_at=LATER)
    unread = a_notification_of(
        task, user_id=team.member.user_id, created_at=LATER, caused_by=team.admin.user_id
    )
    await store(begin, task, read, unread, a_notification_of(task, user_id=team.owner.user_id))
    views = [
        NotificationView(
            id=notification.id,
            kind=Kind.TASK_ASSIGNED,
            workspace_id=team.workspace.id,
            task_id=task.id,
            task_title="Card the wool",
            caused_by=notification.caused_by,
            caused_by_name=by,
            created_at=notification.created_at,
            read_at=notification.read_at,
            version=1,
        )
        for notification, by in ((unread, "Admin"), (read, "Owner"))
    ]

    for wanted, expected in ((None, views), (True, views[:1]), (False, views[1:])):
        where = NotificationFilter(unread=wanted)
        assert await queries.notifications.page(team.member.user_id, where, FIRST_PAGE) == Page(
            items=expected, next=None, total=None
        )


async def test_a_notification_is_found_by_its_user_alone(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    task = a_task_of(team)
    notification = a_notification_of(task, user_id=team.member.user_id)
    await store(begin, task, notification)
    [shown] = (await queries.notifications.page(team.member.user_id, NotificationFilter(), FIRST_PAGE)).items

    assert await queries.notifications.get(team.member.user_id, notification.id) == shown
    for nobody in (team.owner, team.stranger):
        with refused(NotificationNotFound):
            await queries.notifications.get(nobody.user_id, notification.id)


async def test_whoever_has_left_a_workspace_keeps_no_notification_of_it(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    task = a_task_of(team)
    notification = a_notification_of(task, user_id=team.member.user_id)
    await store(begin, task, notification)
    await remove_from(team, Role.MEMBER, begin)

    page = await queries.notifications.page(team.member.user_id, NotificationFilter(), FIRST_PAGE)

    assert page == Page(items=[], next=None, total=None)
    with refused(NotificationNotFound):
        await queries.notifications.get(team.member.user_id, notification.id)


# ── whom they are given ──────────────────────────────────────────────────────────────────────────

type Ask = Callable[[Queries, Caller, WorkspaceId, TaskId], Awaitable[Any]]
"""A query about a workspace, or about a task in it, as somebody."""


async def the_workspace(queries: Queries, who: Caller, workspace_id: WorkspaceId, task_id: TaskId) -> Any:
    return await queries.workspaces.get(who.user_id, workspace_id)


async def its_members(queries: Queries, who: Caller, workspace_id: WorkspaceId, task_id: TaskId) -> Any:
    return await queries.memberships.page(who.user_id, workspace_id, FIRST_PAGE)


async def oneself_among_them(
    queries: Queries, who: Caller, workspace_id: WorkspaceId, task_id: TaskId
) -> Any:
    return await queries.memberships.get(who.user_id, workspace_id, who.user_id)


async def its_invitations(queries: Queries, who: Caller, workspace_id: WorkspaceId, task_id: TaskId) -> Any:
    return await queries.invitations.page(who.user_id, workspace_id, FIRST_PAGE)


async def its_tasks(queries: Queries, who: Caller, workspace_id: WorkspaceId, task_id: TaskId) -> Any:
    return await queries.tasks.page(who.user_id, workspace_id, EVERYTHING, OLDEST_FIRST, FIRST_PAGE)


async def its_dashboard(queries: Queries, who: Caller, workspace_id: WorkspaceId, task_id: TaskId) -> Any:
    return await queries.dashboard.of(who.user_id, workspace_id, NOW)


async def the_task(queries: Queries, who: Caller, workspace_id: WorkspaceId, task_id: TaskId) -> Any:
    return await queries.tasks.get(who.user_id, task_id)


async def its_comments(queries: Queries, who: Caller, workspace_id: WorkspaceId, task_id: TaskId) -> Any:
    return await queries.comments.page(who.user_id, task_id, FIRST_PAGE)


ABOUT_WORKSPACES: list[Ask] = [
    the_workspace,
    its_members,
    oneself_among_them,
    its_invitations,
    its_tasks,
    its_dashboard,
]
ABOUT_TASKS: list[Ask] = [the_task, its_comments]
MISSING: dict[Ask, type[NotFound]] = {
    **dict.fromkeys(ABOUT_WORKSPACES, WorkspaceNotFound),
    **dict.fromkeys(ABOUT_TASKS, TaskNotFound),
}


@pytest.fixture(params=[False, True], ids=["empty", "filled"])
async def task(request: pytest.FixtureRequest, begin: Begin[UnitOfWork], team: Team) -> Task:
    """A task; and in a filled workspace there are more things to be seen."""
    task = a_task_of(team)
    await store(begin, task)
    if request.param:
        await store(
            begin,
            a_task_of(team),
            a_comment_on(task),
            an_invitation(workspace_id=team.workspace.id, invited_by=team.owner.user_id),
        )
    return task


@pytest.mark.parametrize("ask", [*ABOUT_WORKSPACES, *ABOUT_TASKS])
async def test_members_are_answered_and_lesser_ones_see_no_invitations(
    queries: Queries, team: Team, task: Task, ask: Ask
) -> None:
    for role in Role:
        if ask is its_invitations and role in {Role.VIEWER, Role.MEMBER}:
            with refused(WorkspaceNotFound):
                await ask(queries, team[role], team.workspace.id, task.id)
        else:
            assert await ask(queries, team[role], team.workspace.id, task.id)


@pytest.mark.parametrize("ask", [*ABOUT_WORKSPACES, *ABOUT_TASKS])
async def test_a_stranger_finds_nothing_not_even_an_owner_of_another_workspace(
    begin: Begin[UnitOfWork], queries: Queries, team: Team, task: Task, ask: Ask
) -> None:
    elsewhere = a_team()
    await store(begin, *elsewhere.aggregates, a_task_of(elsewhere))
    for stranger in (team.stranger, elsewhere.owner, a_caller()):
        with refused(MISSING[ask]):
            await ask(queries, stranger, team.workspace.id, task.id)


@pytest.mark.parametrize("ask", [*ABOUT_WORKSPACES, *ABOUT_TASKS])
async def test_a_removed_member_finds_nothing_from_then_on(
    begin: Begin[UnitOfWork], queries: Queries, team: Team, task: Task, ask: Ask
) -> None:
    assert await ask(queries, team.admin, team.workspace.id, task.id)
    await remove_from(team, Role.ADMIN, begin)

    with refused(MISSING[ask]):
        await ask(queries, team.admin, team.workspace.id, task.id)


@pytest.mark.parametrize("ask", [*ABOUT_WORKSPACES, *ABOUT_TASKS])
async def test_what_does_not_exist_is_not_found_by_an_owner_either(
    queries: Queries, team: Team, ask: Ask
) -> None:
    with refused(MISSING[ask]):
        await ask(queries, team.owner, a_workspace_id(), a_task_id())


@pytest.mark.parametrize("ask", [*ABOUT_WORKSPACES, *ABOUT_TASKS])
async def test_an_archived_workspace_can_be_read(
    begin: Begin[UnitOfWork], queries: Queries, ask: Ask
) -> None:
    team = a_team(archived=True)
    task = a_task_of(team)
    await store(begin, *team.aggregates, task)

    assert await ask(queries, team.owner, team.workspace.id, task.id)


async def test_an_empty_workspace_is_empty_to_its_members(queries: Queries, team: Team) -> None:
    empty = Page[Any](items=[], next=None, total=None)
    viewer, workspace_id = team.viewer.user_id, team.workspace.id

    assert await queries.tasks.page(viewer, workspace_id, EVERYTHING, OLDEST_FIRST, FIRST_PAGE) == empty
    assert await queries.invitations.page(team.admin.user_id, workspace_id, FIRST_PAGE) == empty
    dashboard = await queries.dashboard.of(viewer, workspace_id, NOW)
    assert (dashboard.overdue, dashboard.load) == (0, [])
    assert set(dashboard.by_status.values()) == set(dashboard.by_priority.values()) == {0}


async def test_a_filter_that_nothing_meets_gives_a_member_an_empty_list_and_a_stranger_none(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    await store(begin, a_task_of(team))
    nothing = TaskFilter(label="no-such-label")

    page = await queries.tasks.page(team.viewer.user_id, team.workspace.id, nothing, OLDEST_FIRST, FIRST_PAGE)

    assert page == Page(items=[], next=None, total=None)
    with refused(WorkspaceNotFound):
        await queries.tasks.page(team.stranger.user_id, team.workspace.id, nothing, OLDEST_FIRST, FIRST_PAGE)


async def test_tasks_of_another_workspace_are_in_no_list(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    elsewhere = a_team()
    here = a_task_of(team)
    joined = a_membership(workspace_id=elsewhere.workspace.id, user_id=team.owner.user_id)
    await store(begin, *elsewhere.aggregates, joined, here, a_task_of(elsewhere))

    page = await queries.tasks.page(
        team.owner.user_id, team.workspace.id, EVERYTHING, OLDEST_FIRST, FIRST_PAGE
    )

    assert [view.id for view in page.items] == [here.id]


# ── which tasks ──────────────────────────────────────────────────────────────────────────────────


async def titles(queries: Queries, team: Team, where: TaskFilter) -> set[str]:
    viewer, workspace_id = team.viewer.user_id, team.workspace.id
    page = await queries.tasks.page(
        viewer, workspace_id, where, [Sort("title", descending=True)], PageRequest(limit=100)
    )
    assert page.next is None
    return {view.title for view in page.items}


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (TaskFilter(status=[Status.OPEN]), "plain due"),
        (TaskFilter(status=[Status.DONE, Status.CANCELLED]), "done cancelled"),
        (TaskFilter(status=list(Status)), "plain due done cancelled"),
        (TaskFilter(priority=[Priority.URGENT]), "due"),
        (TaskFilter(priority=[Priority.LOW, Priority.URGENT]), "due done"),
        (TaskFilter(label="deep"), "due done"),
        (TaskFilter(label="wool"), "due"),
        (TaskFilter(label="dee"), ""),
        (TaskFilter(due_after=NOW), "due cancelled"),
        (TaskFilter(due_after=NOW + timedelta(microseconds=1)), "cancelled"),
        (TaskFilter(due_before=LATER), "due"),
        (TaskFilter(due_before=LATER + timedelta(microseconds=1)), "due cancelled"),
        (TaskFilter(due_after=NOW, due_before=LATER), "due"),
        (TaskFilter(due_after=LATER, due_before=NOW), ""),
        (TaskFilter(q="due"), "due"),
        (TaskFilter(q="DUE"), "due"),
        (TaskFilter(q="loom"), "plain done"),
        (TaskFilter(q="old loom"), "plain done"),
        (TaskFilter(q='"old loom"'), "plain"),
        (TaskFilter(q="loom -plain"), "done"),
        (TaskFilter(q="due or plain"), "due plain"),
        (TaskFilter(q="loo"), ""),
        (TaskFilter(q="loom", label="deep", status=[Status.DONE], priority=[Priority.LOW]), "done"),
        (TaskFilter(q="loom", label="wool"), ""),
        (TaskFilter(status=[Status.OPEN], due_after=NOW, label="wool", q="due"), "due"),
    ],
)
async def test_a_filter_lets_through_what_meets_every_condition(
    begin: Begin[UnitOfWork], queries: Queries, team: Team, where: TaskFilter, found: str
) -> None:
    await store(
        begin,
        a_task_of(team, title="plain", description="the old loom"),
        a_task_of(team, title="due", due_at=NOW, labels=("deep", "wool"), priority=Priority.URGENT),
        a_task_of(
            team,
            title="done",
            description="a loom so old",
            status=Status.DONE,
            labels=("deep",),
            priority=Priority.LOW,
        ),
        a_task_of(team, title="cancelled", status=Status.CANCELLED, due_at=LATER),
    )

    assert await titles(queries, team, where) == set(found.split())


async def test_tasks_are_filtered_by_assignee(begin: Begin[UnitOfWork], queries: Queries, team: Team) -> None:
    await store(
        begin,
        a_task_of(team, title="mine", assignee_id=team.member.user_id),
        a_task_of(team, title="yours", assignee_id=team.admin.user_id),
        a_task_of(team, title="nobody's"),
    )

    assert await titles(queries, team, TaskFilter(assignee_id=team.member.user_id)) == {"mine"}
    assert await titles(queries, team, TaskFilter(assignee_id=team.stranger.user_id)) == set()
    both = TaskFilter(assignee_id=team.admin.user_id, status=[Status.OPEN])
    assert await titles(queries, team, both) == {"yours"}


filters = st.builds(
    TaskFilter,
    status=st.lists(st.sampled_from(Status), max_size=2),
    priority=st.lists(st.sampled_from(Priority), max_size=2),
    label=st.none() | st.sampled_from(["deep", "wool"]),
    due_after=st.none() | st.sampled_from([NOW, LATER]),
    due_before=st.none() | st.sampled_from([NOW, LATER]),
    q=st.none() | st.sampled_from(["loom", "wheel", "-loom"]),
)
tasks_with_anything = st.lists(
    st.fixed_dictionaries(
        {
            "status": st.sampled_from(Status),
            "priority": st.sampled_from(Priority),
            "labels": st.sampled_from([(), ("deep",), ("deep", "wool")]),
            "due_at": st.sampled_from([None, NOW, LATER]),
            "description": st.sampled_from(["", "loom", "loom wheel"]),
        }
    ),
    max_size=12,
)


def lets_through(where: TaskFilter, task: Task) -> bool:
    """What the filter says, once more and in Python."""
    words = task.description.split()
    return all(
        [
            not where.status or task.status in where.status,
            not where.priority or task.priority in where.priority,
            where.label is None or where.label in task.labels,
            where.due_after is None or (task.due_at is not None and task.due_at >= where.due_after),
            where.due_before is None or (task.due_at is not None and task.due_at < where.due_before),
            where.q is None or (where.q in words) or (where.q == "-loom" and "loom" not in words),
        ]
    )


@given(where=filters, specified=tasks_with_anything)
async def test_conditions_hold_in_every_combination(
    begin: Begin[UnitOfWork], queries: Queries, where: TaskFilter, specified: list[dict[str, Any]]
) -> None:
    team = a_team()
    tasks = [a_task_of(team, title=str(number), **values) for number, values in enumerate(specified)]
    await store(begin, *team.aggregates, *tasks)

    assert await titles(queries, team, where) == {task.title for task in tasks if lets_through(where, task)}


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
@example(text="'; DROP TABLE tasks; --")
@example(text="%s $1 :text")
@example(text="\U0001f9f6")
@example(text="\u0301")
@example(text="a" * 5_000)
@example(text="a " * 5_000)
@example(text='"' * 2_001)
async def test_whatever_is_searched_for_is_answered(queries: Queries, team: Team, text: str) -> None:
    try:
        await titles(queries, team, TaskFilter(q=text))
    except Invalid:
        assert "\0" in text


@pytest.mark.parametrize("text", ["\0", "loom\0", "\ud800", "loom \udfff"])
async def test_a_text_that_cannot_be_stored_cannot_be_searched_for(
    queries: Queries, team: Team, text: str
) -> None:
    for where in (TaskFilter(q=text), TaskFilter(label=text)):
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
    for where in (TaskFilter(due_after=instant), TaskFilter(due_before=instant)):
        with pytest.raises(Invalid):
            await titles(queries, team, where)


async def test_the_first_and_the_last_instant_can_be_asked_for(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    await store(
        begin, a_task_of(team, title="first", due_at=first), a_task_of(team, title="last", due_at=last)
    )

    assert await titles(queries, team, TaskFilter(due_after=first, due_before=last)) == {"first"}
    assert await titles(queries, team, TaskFilter(due_after=last)) == {"last"}


# ── what they cost ───────────────────────────────────────────────────────────────────────────────

type Recorded = Callable[[], AbstractAsyncContextManager[list[str]]]


@pytest.mark.parametrize("counted", [False, True], ids=["", "counted"])
@pytest.mark.parametrize("limit", [1, 10, 100])
@pytest.mark.parametrize(
    "ask",
    [
        lambda queries, team, task, page: queries.workspaces.page(team.owner.user_id, page),
        lambda queries, team, task, page: queries.memberships.page(
            team.owner.user_id, team.workspace.id, page
        ),
        lambda queries, team, task, page: queries.invitations.page(
            team.owner.user_id, team.workspace.id, page
        ),
        lambda queries, team, task, page: queries.invitations.mine(team.owner.user_id, page),
        lambda queries, team, task, page: queries.tasks.page(
            team.owner.user_id,
            team.workspace.id,
            TaskFilter(status=[Status.OPEN], q="weave"),
            [Sort("priority"), Sort("due_at", descending=True)],
            page,
        ),
        lambda queries, team, task, page: queries.comments.page(team.owner.user_id, task.id, page),
        lambda queries, team, task, page: queries.notifications.page(
            team.owner.user_id, NotificationFilter(unread=True), page
        ),
    ],
    ids=["workspaces", "members", "invitations", "my invitations", "tasks", "comments", "notifications"],
)
async def test_a_page_is_one_statement_whatever_its_size(
    *,
    begin: Begin[UnitOfWork],
    queries: Queries,
    team: Team,
    recorded: Recorded,
    limit: int,
    counted: bool,
    ask: Callable[[Queries, Team, Task, PageRequest], Awaitable[Page[Any]]],
) -> None:
    owner, workspace_id = team.users[Role.OWNER], team.workspace.id
    task = a_task_of(team)
    tasks = [a_task_of(team) for _ in range(20)]
    workspaces = [a_workspace() for _ in range(20)]
    users = [a_user() for _ in range(20)]
    await store(
        begin,
        *workspaces,
        *users,
        *(a_membership(workspace_id=each.id, user_id=owner.id) for each in workspaces),
        *(a_membership(workspace_id=workspace_id, user_id=each.id) for each in users),
        *(an_invitation(workspace_id=workspace_id, invited_by=owner.id) for _ in users),
        *(an_invitation(workspace_id=each.id, invited_by=owner.id, email=owner.email) for each in workspaces),
        task,
        *tasks,
        *(a_comment_on(task) for _ in range(20)),
        *(a_notification_of(each, user_id=owner.id) for each in tasks),
    )
    async with recorded() as sent:
        page = await ask(queries, team, task, PageRequest(limit=limit, counted=counted))
    assert len(sent) == 1

    assert len(page.items) == limit if limit < 100 else 20 <= len(page.items) < 30
    assert (page.next is None) is (limit == 100)
    assert page.total is None if not counted else 20 <= (page.total or 0) < 30

    if page.next is not None:
        async with recorded() as sent:
            await ask(queries, team, task, PageRequest(limit=limit, cursor=page.next, counted=counted))
        assert len(sent) == 1


# ── the dashboard ────────────────────────────────────────────────────────────────────────────────

ACTIVE = {Status.OPEN, Status.IN_PROGRESS}
countable = st.lists(
    st.fixed_dictionaries(
        {
            "status": st.sampled_from(Status),
            "priority": st.sampled_from(Priority),
            "assignee": st.sampled_from([None, *Role]),
            "due_at": st.sampled_from(
                [None, NOW - timedelta(days=1), NOW, NOW + timedelta(microseconds=1), LATER]
            ),
            "finished": st.timedeltas(timedelta(days=-DAYS - 2), timedelta(0)),
        }
    ),
    max_size=25,
)


@given(specified=countable, hour=st.integers(-12, 14))
async def test_the_dashboard_counts_as_somebody_would_by_hand(
    begin: Begin[UnitOfWork], queries: Queries, specified: list[dict[str, Any]], hour: int
) -> None:
    team, elsewhere = a_team(), a_team()
    tasks = [
        a_task_of(
            team,
            status=values["status"],
            priority=values["priority"],
            assignee_id=values["assignee"] and team[values["assignee"]].user_id,
            due_at=values["due_at"],
            finished_at=NOW + values["finished"] if values["status"] is Status.DONE else None,
        )
        for values in specified
    ]
    await store(
        begin, *team.aggregates, *elsewhere.aggregates, *tasks, a_task_of(elsewhere, status=Status.DONE)
    )

    now = NOW.astimezone(timezone(timedelta(hours=hour)))
    dashboard = await queries.dashboard.of(team.viewer.user_id, team.workspace.id, now)

    active = [task for task in tasks if task.status in ACTIVE]
    late = [task for task in active if task.due_at is not None and task.due_at < NOW]
    assert dashboard.by_status == {each: [task.status for task in tasks].count(each) for each in Status}
    assert dashboard.by_priority == {
        each: [task.priority for task in active].count(each) for each in Priority
    }
    assert dashboard.overdue == len(late)
    finished = Counter(task.finished_at.date() for task in tasks if task.finished_at is not None)
    days = [NOW.date() - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    assert dashboard.finished == [FinishedOn(day, finished[day]) for day in days]
    names = {user.id: user.display_name for user in team.users.values()}
    loads = {task.assignee_id: 0 for task in active}
    for assignee_id in loads:
        loads[assignee_id] = sum(task.assignee_id == assignee_id for task in active)
    assert {load.assignee_id: load for load in dashboard.load} == {
        assignee_id: Load(
            assignee_id=assignee_id,
            display_name=None if assignee_id is None else names[assignee_id],
            active=load,
            overdue=sum(task.assignee_id == assignee_id for task in late),
        )
        for assignee_id, load in loads.items()
    }
    assert [load.active for load in dashboard.load] == sorted(loads.values(), reverse=True)


async def test_a_day_of_the_dashboard_begins_and_ends_at_midnight_utc(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    midnight = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
    first = midnight - timedelta(days=DAYS - 1)
    instants = [first - timedelta(microseconds=1), first, midnight - timedelta(microseconds=1), midnight]
    await store(begin, *(a_task_of(team, status=Status.DONE, finished_at=instant) for instant in instants))

    dashboard = await queries.dashboard.of(team.viewer.user_id, team.workspace.id, NOW)

    assert [each.count for each in dashboard.finished] == [1, *[0] * (DAYS - 3), 1, 1]
    assert [each.day for each in dashboard.finished] == [
        (first + timedelta(days=number)).date() for number in range(DAYS)
    ]


async def test_the_dashboard_shows_the_busiest_assignees_only(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    users = [a_user(display_name=f"Weaver {number}") for number in range(LOAD_MOST + 1)]
    await store(
        begin,
        *users,
        *(a_membership(workspace_id=team.workspace.id, user_id=user.id) for user in users),
        *(a_task_of(team, assignee_id=user.id) for user in users),
        *(a_task_of(team, assignee_id=user.id) for user in users[1:]),
    )

    dashboard = await queries.dashboard.of(team.viewer.user_id, team.workspace.id, NOW)

    assert {load.assignee_id for load in dashboard.load} == {user.id for user in users[1:]}
    assert {load.active for load in dashboard.load} == {2}


@pytest.mark.parametrize("many", [0, 1, 40])
async def test_the_dashboard_is_two_statements_whatever_it_counts(
    begin: Begin[UnitOfWork], queries: Queries, team: Team, recorded: Recorded, many: int
) -> None:
    await store(begin, *(a_task_of(team, assignee_id=team.member.user_id) for _ in range(many)))

    async with recorded() as sent:
        await queries.dashboard.of(team.viewer.user_id, team.workspace.id, NOW)

    assert len(sent) == 2


async def test_the_dashboard_of_a_stranger_stops_after_one_statement(
    queries: Queries, team: Team, recorded: Recorded
) -> None:
    async with recorded() as sent:
        with refused(WorkspaceNotFound):
            await queries.dashboard.of(team.stranger.user_id, team.workspace.id, NOW)

    assert len(sent) == 1
