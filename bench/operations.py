"""What is measured: the requests of each operation, and the goals."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID, uuid4

from bench.load import CONNECTIONS
from bench.servers import Server, content
from bench.subjects import Subject, example

DEEP = 0.95
"""How far down the list the deep page is."""

MOST_SENT = 6000
"""More than are sent in a few seconds, of what cannot be sent again: a key is answered from what was kept."""


@dataclass(frozen=True, slots=True)
class World:
    """Who asks, and for what."""

    token: str
    owner: UUID
    workspace: UUID
    subject: Subject
    rows: Sequence[UUID]
    """The ids of what is in the list."""
    begun: datetime
    """When all of them were there."""
    deep: str = ""
    """The path of the page that begins after 95 % of them."""

    @property
    def all(self) -> str:
        """The path of the list."""
        return f"/v1/workspaces/{self.workspace}/{self.subject.plural}"

    def page(self, limit: int, cursor: str | None = None) -> str:
        """The path of a page of the list."""
        after = f"&cursor={cursor}" if cursor else ""
        return f"{self.all}?limit={limit}{after}"

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
    some = random.Random(1).sample(world.rows, min(1000, len(world.rows)))
    return [world.request("GET", f"{world.subject.one}/{id}") for id in some]


def _list(world: World) -> list[bytes]:
    return [world.request("GET", world.page(50))]


def _deep(world: World) -> list[bytes]:
    return [world.request("GET", world.deep)]


def _create(world: World) -> list[bytes]:
    chance, most = random.Random(2), MOST_SENT if world.subject.once else 500
    return [world.request("POST", world.all, world.subject.body(chance)) for _ in range(most)]


def _keyed(world: World) -> list[bytes]:
    chance, body = random.Random(5), world.subject.body
    return [
        world.request("POST", world.all, body(chance), {"Idempotency-Key": str(uuid4())})
        for _ in range(MOST_SENT)
    ]


def _filtered(world: World) -> list[bytes]:
    return [world.request("GET", f"{world.page(50)}&status=open&priority=high")]


def completions(world: World, created: Sequence[str]) -> list[bytes]:
    """Each of these completed, once."""
    return [world.request("POST", f"{world.subject.one}/{id}/completion") for id in created]


OPERATIONS = {
    "health": Operation(title="health live", requests=_health, against="health", by_yardstick=True),
    "get": Operation(title="get", requests=_get, goal=2.3, against="get", by_yardstick=True),
    "list": Operation(title="list 50", requests=_list, goal=1.5, against="list", by_yardstick=True),
    "deep": Operation(title="list 50, 95 % down", requests=_deep, against="list"),
    "filtered": Operation(title="list 50, two filters", requests=_filtered, against="list"),
    "create": Operation(
        title="create", requests=_create, status=201, goal=2, against="create", by_yardstick=True
    ),
    # Of those that the service has created in the same round; the yardstick is one create.
    "complete": Operation(title="complete", requests=lambda _: [], goal=2.5, against="create", once=True),
    "keyed": Operation(title="create, with a key", requests=_keyed, status=201, against="create", once=True),
}


def operations_of(subject: Subject) -> dict[str, Operation]:
    """What can be measured of it. What is not shaped as the specimen is held against nothing."""
    found = {name: OPERATIONS[name] for name in subject.operations}
    if subject.shape is None:
        found = {
            name: replace(
                each,
                goal=None,
                against=None,
                by_yardstick=False,
                once=each.once or (name == "create" and subject.once),
            )
            for name, each in found.items()
        }
    ours = example()
    return found | (dict(ours.OPERATIONS) if ours and ours.SUBJECT is subject else {})


def walk_down(service: Server, world: World) -> World:
    """The world with the path of a page deep in the list, reached as a client would: page after page."""
    cursor = None
    for _ in range(int(len(world.rows) * DEEP) // 100):
        cursor = service.read("GET", world.page(100, cursor), token=world.token)["next"]
    return replace(world, deep=world.page(50, cursor))
