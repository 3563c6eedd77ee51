"""Service and yardstick must answer alike before it means anything to compare what that costs them."""

import json
import random
from typing import Any

from bench.operations import World
from bench.servers import BenchError, Server


def ensure_alike(service: Server, yardstick: Server, world: World) -> None:
    """Raises BenchError where they differ, other than in ids, instants and the form of a cursor."""
    one, pages = world.subject.one, world.page(50)
    for path in ("/health/live", *(f"{one}/{id}" for id in random.Random(3).sample(world.rows, 20))):
        _ensure_same(path, *(server.ask("GET", path, token=world.token) for server in (service, yardstick)))
    first, second = (server.read("GET", pages, token=world.token) for server in (service, yardstick))
    _ensure_same(pages, json.dumps(first["items"]), json.dumps(second["items"]))
    after = [
        server.read("GET", world.page(50, page["next"]), token=world.token)["items"]
        for server, page in ((service, first), (yardstick, second))
    ]
    _ensure_same("the page after it", *map(json.dumps, after))
    path, body = world.all, world.subject.body(random.Random(4))
    made = [server.read("POST", path, token=world.token, body=body) for server in (service, yardstick)]
    _ensure_same(path, *(json.dumps(_without_what_is_new(each)) for each in made))
    for each in made:  # both are there, whole, for both
        path = f"{one}/{each['id']}"
        stored = [server.read("GET", path, token=world.token) for server in (service, yardstick)]
        _ensure_same(path, json.dumps(each), *map(json.dumps, stored))


def _ensure_same(what: str, *answers: bytes | str) -> None:
    if len(set(answers)) > 1:
        raise BenchError(
            "\n  ".join([f"The service and the yardstick differ in {what}:", *map(str, answers)])
        )


def _without_what_is_new(made: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in made.items() if name not in {"id", "created_at", "updated_at"}}
