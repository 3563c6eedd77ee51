"""Notifications over HTTP."""

import pytest
from httpx2 import AsyncClient

from application.kernel.unit_of_work import Begin
from application.unit_of_work import UnitOfWork
from domain.notifications import Notification
from domain.tasks import Task
from kernel.world.builders import Team, store
from resources.notifications import a_notification


@pytest.fixture
async def notification(begin: Begin[UnitOfWork], team: Team, task: Task) -> Notification:
    """One for the viewer, not read yet."""
    notification = a_notification(
        user_id=team.viewer.user_id,
        task_id=task.id,
        workspace_id=task.workspace_id,
        caused_by=team.member.user_id,
    )
    await store(begin, notification)
    return notification


async def test_a_notification_is_listed_and_marked_as_read_and_unread(
    viewer: AsyncClient, notification: Notification, task: Task
) -> None:
    (listed,) = (await viewer.get("/v1/notifications?unread=true")).json()["items"]
    assert (listed["task_title"], listed["caused_by_name"]) == (task.title, "Member")
    address = f"/v1/notifications/{notification.id}"
    assert (await viewer.get(address)).json() == listed
    read = await viewer.patch(address, json={"read": True})
    assert read.status_code == 200
    assert read.json()["read_at"] is not None
    assert (await viewer.get("/v1/notifications?unread=true")).json()["items"] == []
    (all_of_them,) = (await viewer.get("/v1/notifications")).json()["items"]
    assert (await viewer.get("/v1/notifications?unread=false")).json()["items"] == [all_of_them]
    unread = await viewer.patch(address, json={"read": False})
    assert (unread.json()["read_at"], unread.json()["version"]) == (None, 3)


async def test_a_notification_is_nobody_elses(member: AsyncClient, notification: Notification) -> None:
    assert (await member.get("/v1/notifications")).json()["items"] == []
    address = f"/v1/notifications/{notification.id}"
    for refused in (await member.get(address), await member.patch(address, json={"read": True})):
        assert (refused.status_code, refused.json()["type"]) == (404, "/problems/notification-not-found")


@pytest.mark.parametrize("body", [{}, {"read": 1}, {"read": "true"}, {"read": None}])
async def test_read_is_true_or_false(viewer: AsyncClient, notification: Notification, body: object) -> None:
    refused = await viewer.patch(f"/v1/notifications/{notification.id}", json=body)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "#/read")


async def test_unread_is_true_or_false(viewer: AsyncClient) -> None:
    refused = await viewer.get("/v1/notifications?unread=maybe")
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "#/query/unread")
