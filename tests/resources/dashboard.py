"""The dashboard, which only asks: all that the suites need to know of it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from domain.kernel.aggregate import Aggregate
from kernel.world.builders import NOW
from kernel.world.resources import Example, Listed, Matrix, Places, Statements, World, in_a_workspace

EXAMPLES: list[Callable[[], Example]] = []


def stored(world: World) -> Sequence[Aggregate]:
    return []


def crowd(world: World, count: int) -> Sequence[Aggregate]:
    return []


def places(world: World) -> Places:
    return {}


PEOPLE: list[str] = []

MATRIX: Matrix = {
    "GET /v1/workspaces/{workspace_id}/dashboard": in_a_workspace("viewer", weak=None),
}

COMMANDS: Statements = {}

QUERIES: Statements = {
    "dashboard.of": (2, lambda it: it.ask.dashboard.of(it.team.viewer.user_id, it.team.workspace.id, NOW)),
}

FILLINGS: Mapping[str, str] = {}

LISTS: Mapping[str, Listed[Any]] = {}
FILL: Mapping[str, str] = {}
