"""Comments over HTTP."""

from datetime import UTC, datetime, timedelta

import pytest
from httpx2 import AsyncClient

from application.kernel.unit_of_work import Begin
from application.unit_of_work import UnitOfWork
from domain.tasks import Task
from kernel.world.builders import Team, store
from resources.comments import a_comment
from resources.tasks import a_task_id


@pytest.fixture
def comments(task: Task) -> str:
    return f"/v1/tasks/{task.id}/comments"


async def test_a_comment_is_added_listed_edited_and_deleted(
    member: AsyncClient, comments: str, team: Team
) -> None:
    added = await member.post(comments, json={"body": " First!\r\nSecond. "})
    assert (added.status_code, added.json()["body"]) == (201, "First!\nSecond.")
    address = added.headers["location"]
    assert (await member.get(address)).json() == added.json() | {"author_name": "Member"}
    edited = await member.patch(address, json={"body": "Third."})
    assert (edited.status_code, edited.json()["version"]) == (200, 2)
    assert edited.json()["edited_at"] is not None
    (listed,) = (await member.get(comments)).json()["items"]
    assert listed == edited.json() | {"author_name": "Member"}
    assert (await member.delete(address)).status_code == 204
    assert (await member.get(comments)).json() == {"items": [], "next": None, "total": None}


async def test_only_the_author_edits_and_a_moderator_deletes(
    member: AsyncClient, admin: AsyncClient, viewer: AsyncClient, comments: str
) -> None:
    assert (await viewer.post(comments, json={"body": "x"})).status_code == 403
    address = (await member.post(comments, json={"body": "x"})).headers["location"]
    refused = await admin.patch(address, json={"body": "y"})
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/not-the-author")
    assert (await viewer.delete(address)).status_code == 403
    assert (await admin.delete(address)).status_code == 204


async def test_an_old_comment_can_no_longer_be_edited(
    member: AsyncClient, begin: Begin[UnitOfWork], task: Task, team: Team
) -> None:
    old = a_comment(
        task_id=task.id,
        workspace_id=task.workspace_id,
        author_id=team.member.user_id,
        created_at=datetime.now(UTC) - timedelta(minutes=16),
    )
    await store(begin, old)
    refused = await member.patch(f"/v1/comments/{old.id}", json={"body": "x"})
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/edit-window-closed")


@pytest.mark.parametrize("body", [{}, {"body": ""}, {"body": "x" * 5001}, {"body": None}, {"body": "\u0007"}])
async def test_a_comment_that_is_not_valid_is_refused(
    member: AsyncClient, comments: str, body: dict[str, object]
) -> None:
    refused = await member.post(comments, json=body)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "#/body")


async def test_to_a_stranger_there_are_no_comments(
    stranger: AsyncClient, member: AsyncClient, comments: str
) -> None:
    address = (await member.post(comments, json={"body": "x"})).headers["location"]
    for answer in (
        await stranger.get(comments),
        await stranger.get(address),
        await stranger.post(comments, json={"body": "x"}),
        await stranger.patch(address, json={"body": "x"}),
        await stranger.delete(address),
        await member.get(f"/v1/tasks/{a_task_id()}/comments"),
    ):
        assert answer.status_code == 404
