"""Tasks over HTTP."""

from uuid import uuid4

import pytest
from httpx2 import AsyncClient

from application.kernel.unit_of_work import Begin
from application.unit_of_work import UnitOfWork
from domain.tasks import Priority, Status, Task
from kernel.world.builders import NOW, Team, store
from resources.tasks import a_task


async def test_a_task_is_created_and_found_where_the_answer_says(member: AsyncClient, team: Team) -> None:
    body = {
        "title": "  Weave  ",
        "description": "with cards",
        "priority": "high",
        "due_at": "2026-11-30T18:00:00+01:00",
        "assignee_id": str(team.viewer.user_id),
        "labels": ["loom", "cards", "loom"],
    }
    created = await member.post(f"/v1/workspaces/{team.workspace.id}/tasks", json=body)
    assert created.status_code == 201
    found = await member.get(created.headers["location"])
    assert found.json() == created.json()
    assert {name: found.json()[name] for name in body} == body | {
        "title": "Weave",
        "due_at": "2026-11-30T17:00:00Z",
        "labels": ["cards", "loom"],
    }
    assert (found.json()["status"], found.json()["version"]) == ("open", 1)


async def test_an_edit_changes_what_it_names_and_null_takes_away(
    member: AsyncClient, begin: Begin[UnitOfWork], team: Team
) -> None:
    task = a_task(
        workspace_id=team.workspace.id,
        created_by=team.owner.user_id,
        due_at=NOW,
        assignee_id=team.member.user_id,
        labels=("a",),
    )
    await store(begin, task)
    edited = await member.patch(
        f"/v1/tasks/{task.id}", json={"due_at": None, "labels": [], "priority": "low"}
    )
    assert edited.status_code == 200
    changed: dict[str, object] = {"due_at": None, "labels": [], "priority": "low", "version": 2}
    assert {name: edited.json()[name] for name in changed} == changed
    assert edited.json()["title"] == task.title
    assert edited.json()["assignee_id"] == str(team.member.user_id)


async def test_an_edit_of_nothing_is_answered_with_the_task_as_it_is(member: AsyncClient, task: Task) -> None:
    edited = await member.patch(f"/v1/tasks/{task.id}", json={})
    assert (edited.status_code, edited.json()["version"]) == (200, 1)


@pytest.mark.parametrize(
    ("steps", "status"),
    [
        (["start"], "in_progress"),
        (["completion"], "done"),
        (["cancellation"], "cancelled"),
        (["completion", "reopening"], "open"),
    ],
)
async def test_a_task_moves(member: AsyncClient, task: Task, steps: list[str], status: str) -> None:
    for step in steps:
        moved = await member.post(f"/v1/tasks/{task.id}/{step}")
        assert moved.status_code == 200
    assert (await member.get(f"/v1/tasks/{task.id}")).json()["status"] == status


async def test_a_move_that_is_not_allowed_is_a_conflict(member: AsyncClient, task: Task) -> None:
    await member.post(f"/v1/tasks/{task.id}/completion")
    again = await member.post(f"/v1/tasks/{task.id}/completion")
    assert again.status_code == 409
    assert again.json()["type"] == "/problems/move-not-allowed"
    assert again.json()["detail"] == "It is done, and from there it cannot become done."


async def test_a_deleted_task_is_gone(member: AsyncClient, task: Task) -> None:
    assert (await member.delete(f"/v1/tasks/{task.id}")).status_code == 204
    assert (await member.get(f"/v1/tasks/{task.id}")).json()["type"] == "/problems/task-not-found"
    assert (await member.delete(f"/v1/tasks/{task.id}")).status_code == 404


async def test_a_viewer_reads_and_writes_nothing(viewer: AsyncClient, task: Task) -> None:
    assert (await viewer.get(f"/v1/tasks/{task.id}")).status_code == 200
    for answer in (
        await viewer.post(f"/v1/workspaces/{task.workspace_id}/tasks", json={"title": "x"}),
        await viewer.patch(f"/v1/tasks/{task.id}", json={"title": "x"}),
        await viewer.post(f"/v1/tasks/{task.id}/start"),
        await viewer.delete(f"/v1/tasks/{task.id}"),
    ):
        assert answer.status_code == 403
        assert answer.json()["type"] == "/problems/not-permitted"


async def test_to_a_stranger_a_task_and_a_workspace_do_not_exist(stranger: AsyncClient, task: Task) -> None:
    missing = {"/problems/task-not-found", "/problems/workspace-not-found"}
    for answer in (
        await stranger.get(f"/v1/tasks/{task.id}"),
        await stranger.get(f"/v1/workspaces/{task.workspace_id}/tasks"),
        await stranger.post(f"/v1/workspaces/{task.workspace_id}/tasks", json={"title": "x"}),
        await stranger.patch(f"/v1/tasks/{task.id}", json={"title": "x"}),
        await stranger.post(f"/v1/tasks/{task.id}/completion"),
        await stranger.delete(f"/v1/tasks/{task.id}"),
    ):
        assert (answer.status_code, answer.json()["type"] in missing) == (404, True)


async def test_an_assignee_who_is_no_member_is_named_by_the_pointer(
    member: AsyncClient, team: Team, task: Task
) -> None:
    body = {"assignee_id": str(team.stranger.user_id)}
    refused = await member.patch(f"/v1/tasks/{task.id}", json=body)
    assert refused.status_code == 422
    assert refused.json()["type"] == "/problems/assignee-not-member"
    assert refused.json()["errors"] == [
        {"pointer": "#/assignee_id", "code": "assignee-not-member", "detail": "Invite them first."}
    ]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/title"),
        ({"title": ""}, "#/title"),
        ({"title": "x" * 201}, "#/title"),
        ({"title": None}, "#/title"),
        ({"title": 7}, "#/title"),
        ({"title": "x", "priority": "highest"}, "#/priority"),
        ({"title": "x", "priority": 1}, "#/priority"),
        ({"title": "x", "due_at": "2026-11-30"}, "#/due_at"),
        ({"title": "x", "due_at": "2026-11-30T17:00:00"}, "#/due_at"),
        ({"title": "x", "due_at": 1764522000}, "#/due_at"),
        ({"title": "x", "due_at": "1764522000"}, "#/due_at"),
        ({"title": "x", "due_at": "0001-01-01T00:00:00+01:00"}, "#/due_at"),
        ({"title": "x", "due_at": "2026-02-30T00:00:00Z"}, "#/due_at"),
        ({"title": "x", "assignee_id": "me"}, "#/assignee_id"),
        ({"title": "x", "labels": "loom"}, "#/labels"),
        ({"title": "x", "labels": ["Loom!"]}, "#/labels"),
        ({"title": "x", "labels": [None]}, "#/labels/0"),
        ({"title": "x", "status": "done"}, "#/status"),
        ({"title": "x", "id": str(uuid4())}, "#/id"),
    ],
)
async def test_a_task_that_is_not_valid_is_refused_by_place(
    member: AsyncClient, team: Team, body: dict[str, object], pointer: str
) -> None:
    refused = await member.post(f"/v1/workspaces/{team.workspace.id}/tasks", json=body)
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]


@pytest.mark.parametrize("member_name", ["title", "description", "priority", "labels"])
async def test_null_is_refused_for_what_a_task_always_has(
    member: AsyncClient, task: Task, member_name: str
) -> None:
    refused = await member.patch(f"/v1/tasks/{task.id}", json={member_name: None})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, f"#/{member_name}")


async def test_the_list_comes_in_pages_that_link_to_the_next(
    member: AsyncClient, begin: Begin[UnitOfWork], team: Team
) -> None:
    titles = [f"task {number}" for number in range(5)]
    tasks = [
        a_task(workspace_id=team.workspace.id, created_by=team.owner.user_id, title=title) for title in titles
    ]
    await store(begin, *tasks)
    seen = []
    address = f"/v1/workspaces/{team.workspace.id}/tasks?sort=title&limit=2&status=open&status=done"
    while address:
        page = await member.get(address)
        assert page.status_code == 200
        seen += [item["title"] for item in page.json()["items"]]
        assert ("next" in page.links) == (page.json()["next"] is not None)
        address = page.links.get("next", {}).get("url", "")
    assert seen == titles


async def test_the_newest_come_first_unless_asked_otherwise(
    member: AsyncClient, begin: Begin[UnitOfWork], team: Team
) -> None:
    older = a_task(workspace_id=team.workspace.id, created_by=team.owner.user_id, title="older")
    newer = a_task(
        workspace_id=team.workspace.id,
        created_by=team.owner.user_id,
        title="newer",
        created_at=NOW.replace(year=2027),
    )
    await store(begin, newer, older)
    page = await member.get(f"/v1/workspaces/{team.workspace.id}/tasks")
    assert [item["title"] for item in page.json()["items"]] == ["newer", "older"]


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("status=done", {"weave"}),
        ("status=done&status=open", {"weave", "card"}),
        ("priority=urgent", {"card"}),
        ("label=loom", {"weave"}),
        ("due_before=2026-12-01T00:00:00Z", {"weave"}),
        ("due_after=2026-12-01T00:00:00Z", {"card"}),
        ("q=weave", {"weave"}),
        ("q=", {"weave", "card"}),
        ("q=nothing", set()),
        ("q=%22%27%5C%21%26%7C%3A%2A%28", set()),
    ],
)
async def test_the_list_is_filtered(
    member: AsyncClient, begin: Begin[UnitOfWork], team: Team, query: str, titles: set[str]
) -> None:
    weave = a_task(
        workspace_id=team.workspace.id,
        created_by=team.owner.user_id,
        title="weave",
        status=Status.DONE,
        labels=("loom",),
        due_at=NOW.replace(month=11),
    )
    card = a_task(
        workspace_id=team.workspace.id,
        created_by=team.owner.user_id,
        title="card",
        priority=Priority.URGENT,
        due_at=NOW.replace(month=12),
    )
    await store(begin, weave, card)
    page = await member.get(f"/v1/workspaces/{team.workspace.id}/tasks?{query}")
    assert page.status_code == 200
    assert {item["title"] for item in page.json()["items"]} == titles


async def test_the_list_is_filtered_by_assignee(
    member: AsyncClient, begin: Begin[UnitOfWork], team: Team
) -> None:
    mine = a_task(
        workspace_id=team.workspace.id, created_by=team.owner.user_id, assignee_id=team.member.user_id
    )
    await store(begin, mine, a_task(workspace_id=team.workspace.id, created_by=team.owner.user_id))
    page = await member.get(
        f"/v1/workspaces/{team.workspace.id}/tasks", params={"assignee_id": str(team.member.user_id)}
    )
    assert [item["id"] for item in page.json()["items"]] == [str(mine.id)]


@pytest.mark.parametrize(
    ("query", "pointer", "said"),
    [
        ("sort=owner", "#/query/sort", "created_at, due_at, priority, title"),
        ("sort=title,-title", "#/query/sort", "at most once"),
        ("sort=", "#/query/sort", "created_at"),
        ("colour=red", "#/query/colour", "assignee_id, count, cursor, due_after"),
        ("limit=0", "#/query/limit", "1"),
        ("limit=101", "#/query/limit", "100"),
        ("limit=ten", "#/query/limit", "whole number"),
        ("limit=" + "9" * 5000, "#/query/limit", "whole number"),
        ("limit=1&limit=2", "#/query/limit", "once"),
        ("status=finished", "#/query/status/0", "open"),
        ("assignee_id=me", "#/query/assignee_id", "UUID"),
        ("label=", "#/query/label", "1 character"),
        ("due_before=tomorrow", "#/query/due_before", "instant"),
        ("q=a%00b", "#/query/q", "NUL"),
        ("q=" + "a" * 201, "#/query/q", "200"),
    ],
)
async def test_a_query_that_is_not_valid_is_refused_and_told_what_there_is(
    member: AsyncClient, team: Team, query: str, pointer: str, said: str
) -> None:
    refused = await member.get(f"/v1/workspaces/{team.workspace.id}/tasks?{query}")
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert error["pointer"] == pointer
    assert said in error["detail"]


@pytest.mark.parametrize("cursor", ["", "nonsense", "%00", "bnVsbA", "W10", "%F0%9F%92%A9", "a" * 2000])
async def test_a_broken_cursor_is_a_400(member: AsyncClient, team: Team, cursor: str) -> None:
    refused = await member.get(f"/v1/workspaces/{team.workspace.id}/tasks?cursor={cursor}")
    assert refused.status_code in {400, 422}
    assert refused.json()["type"] in {"/problems/invalid-cursor", "/problems/invalid-request"}


async def test_a_cursor_belongs_to_its_filter_and_sort(
    member: AsyncClient, begin: Begin[UnitOfWork], team: Team, task: Task
) -> None:
    await store(begin, a_task(workspace_id=team.workspace.id, created_by=team.owner.user_id))
    address = f"/v1/workspaces/{team.workspace.id}/tasks"
    cursor = (await member.get(address, params={"limit": 1})).json()["next"]
    assert (await member.get(address, params={"cursor": cursor})).status_code == 200
    for other in ({"sort": "title"}, {"status": "open"}):
        refused = await member.get(address, params={"cursor": cursor, **other})
        assert (refused.status_code, refused.json()["type"]) == (400, "/problems/invalid-cursor")


async def test_reading_costs_one_statement(member: AsyncClient, task: Task, statements: list[str]) -> None:
    for address in (f"/v1/tasks/{task.id}", f"/v1/workspaces/{task.workspace_id}/tasks"):
        await member.get(address)  # whatever is done once
        statements.clear()
        await member.get(address)
        assert len(statements) == 1
