"""What is measured: the requests of each operation, and the goals."""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from bench.load import CONNECTIONS
from bench.seed import new_task
from bench.servers import Server, content

DEEP = 0.95
"""How far down the list the deep page is."""


@dataclass(frozen=True, slots=True)
class World:
    """Who asks, and for what."""

    token: str
    owner: UUID
    workspace: UUID
    tasks: Sequence[UUID]
    begun: datetime
    """When all of the tasks were there."""
    deep: str
    """The path of the page that begins after 95 % of them."""

    def request(
        self, method: str, path: str, body: object = None, more: Mapping[str, str] | None = None
    ) -> bytes:
        """A whole request, as bytes; `more` are further headers."""
        sent, headers = content(body, self.token)
        headers.update(more or {})
        if sent is not None:
            headers["Content-Length"] = str(len(sent))
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Accept: */*", "User-Agent: bench"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + (sent or b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One row of the table. `goal` is in multiples of the yardstick's `against`."""

    title: str
    requests: Callable[[World], list[bytes]]
    status: int = 200
    goal: float | None = None
    against: str | None = None
    by_yardstick: bool = False
    connections: int = CONNECTIONS
    once: bool = False
    """Each request is sent a single time, and they are made anew for each round."""


def _health(_: World) -> list[bytes]:
    return [b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nUser-Agent: bench\r\n\r\n"]


def _get(world: World) -> list[bytes]:
    some = random.Random(1).sample(world.tasks, 1000)
    return [world.request("GET", f"/v1/tasks/{id}") for id in some]


def _list(world: World) -> list[bytes]:
    return [world.request("GET", list_path(world.workspace, 50))]


def _deep(world: World) -> list[bytes]:
    return [world.request("GET", world.deep)]


def _create(world: World) -> list[bytes]:
    chance, path = random.Random(2), f"/v1/workspaces/{world.workspace}/tasks"
    return [world.request("POST", path, new_task(chance)) for _ in range(500)]


def _keyed(world: World) -> list[bytes]:
    """More than are sent in a few seconds, as a key that comes again is answered from what was kept."""
    chance, path = random.Random(5), f"/v1/workspaces/{world.workspace}/tasks"
    return [
        world.request("POST", path, new_task(chance), {"Idempotency-Key": str(uuid4())}) for _ in range(6000)
    ]


def _filtered(world: World) -> list[bytes]:
    return [world.request("GET", f"{list_path(world.workspace, 50)}&status=open&priority=high")]


def _dashboard(world: World) -> list[bytes]:
    return [world.request("GET", f"/v1/workspaces/{world.workspace}/dashboard")]


def completions(world: World, created: Sequence[str]) -> list[bytes]:
    """Each of these tasks completed, once."""
    return [world.request("POST", f"/v1/tasks/{id}/completion") for id in created]


OPERATIONS = {
    "health": Operation(title="health live", requests=_health, against="health", by_yardstick=True),
    "get": Operation(title="get a task", requests=_get, goal=2.3, against="get", by_yardstick=True),
    "list": Operation(title="list 50", requests=_list, goal=1.5, against="list", by_yardstick=True),
    "deep": Operation(title="list 50, 95 % down", requests=_deep, against="list"),
    "filtered": Operation(title="list 50, two filters", requests=_filtered, against="list"),
    "create": Operation(
        title="create a task", requests=_create, status=201, goal=2, against="create", by_yardstick=True
    ),
    # Of the tasks that the service has created in the same round; the yardstick is one create.
    "complete": Operation(
        title="complete a task", requests=lambda _: [], goal=2.5, against="create", once=True
    ),
    "keyed": Operation(title="create, with a key", requests=_keyed, status=201, against="create", once=True),
    # Two at a time: more of them would only queue for PostgreSQL, and then for a connection.
    "dashboard": Operation(title="dashboard", requests=_dashboard, connections=2),
}


def list_path(workspace: UUID, limit: int, cursor: str | None = None) -> str:
    """The path of a page of the workspace's tasks."""
    after = f"&cursor={cursor}" if cursor else ""
    return f"/v1/workspaces/{workspace}/tasks?limit={limit}{after}"


def walk_down(service: Server, token: str, workspace: UUID, tasks: int) -> str:
    """The path of a page deep in the list, reached as a client would: page after page."""
    cursor = None
    for _ in range(int(tasks * DEEP) // 100):
        page = json.loads(service.ask("GET", list_path(workspace, 100, cursor), token=token))
        cursor = page["next"]
    return list_path(workspace, 50, cursor)
