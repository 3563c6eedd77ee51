"""What can be asked about notifications: what the answers say, and whom they are given."""

from datetime import timedelta
from typing import Any

from application.kernel.paging import Page, PageRequest
from application.kernel.unit_of_work import Begin
from application.queries import Queries
from application.queries.notifications import NotificationFilter, NotificationView
from application.unit_of_work import UnitOfWork
from domain.kernel.memberships import Role
from domain.notifications import Kind, Notification, NotificationNotFound
from domain.tasks import Task
from kernel.world.builders import NOW, Team, store
from kernel.world.refusals import refused
from resources.notifications import a_notification
from resources.tasks import a_task

FIRST_PAGE = PageRequest()
LATER = NOW + timedelta(hours=5)


def a_task_of(team: Team, **values: Any) -> Task:
    return a_task(**{"workspace_id": team.workspace.id, "created_by": team.owner.user_id, **values})


def a_notification_of(task: Task, **values: Any) -> Notification:
    return a_notification(
        **{"task_id": task.id, "workspace_id": task.workspace_id, "caused_by": task.created_by, **values}
    )


async def remove_from(team: Team, role: Role, begin: Begin[UnitOfWork]) -> None:
    async with begin() as uow:
        await uow.memberships.remove(team.memberships[role])


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


async def test_all_notifications_of_a_user_go_at_once_and_no_others(
    begin: Begin[UnitOfWork], queries: Queries, team: Team
) -> None:
    task = a_task_of(team)
    theirs = [a_notification_of(task, user_id=team.member.user_id) for _ in range(2)]
    others = a_notification_of(task, user_id=team.owner.user_id, caused_by=team.member.user_id)
    await store(begin, task, *theirs, others)
    for _ in range(2):
        async with begin() as uow:
            await uow.notifications.remove_of(team.member.user_id)
    page = await queries.notifications.page(team.member.user_id, NotificationFilter(), FIRST_PAGE)
    assert page.items == []
    left = await queries.notifications.page(team.owner.user_id, NotificationFilter(), FIRST_PAGE)
    assert [each.id for each in left.items] == [others.id]
