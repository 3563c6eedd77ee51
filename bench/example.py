"""What is measured of the example: tasks, and the dashboard."""

from bench.operations import Operation, World
from bench.seed import Shape
from bench.subjects import shaped

SUBJECT = shaped(Shape(plural="tasks", singular="task", below="comments"))


def _dashboard(world: World) -> list[bytes]:
    return [world.request("GET", f"/v1/workspaces/{world.workspace}/dashboard")]


# Two at a time: more of them would only queue for PostgreSQL, and then for a connection.
OPERATIONS = {"dashboard": Operation(title="dashboard", requests=_dashboard, connections=2)}
