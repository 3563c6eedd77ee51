"""The dashboard over HTTP."""

from httpx2 import AsyncClient

from domain.tasks import Task
from kernel.world.builders import Team


async def test_any_member_sees_the_counts(viewer: AsyncClient, member: AsyncClient, task: Task) -> None:
    address = f"/v1/workspaces/{task.workspace_id}/dashboard"
    before = (await viewer.get(address)).json()
    assert before["by_status"]["open"] == 1
    assert before["by_priority"]["normal"] == 1
    assert len(before["finished"]) == 30
    await member.post(f"/v1/tasks/{task.id}/completion")
    after = (await viewer.get(address)).json()
    assert (after["by_status"]["done"], after["finished"][-1]["count"]) == (1, 1)


async def test_to_a_stranger_there_is_no_dashboard(stranger: AsyncClient, team: Team) -> None:
    refused = await stranger.get(f"/v1/workspaces/{team.workspace.id}/dashboard")
    assert (refused.status_code, refused.json()["type"]) == (404, "/problems/workspace-not-found")
