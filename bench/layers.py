"""What each layer of a request costs: `make bench ARGS=--layers`.

The service with the specimen in it and with further routes, which are the probes. Each does what the one
before it does and one thing more, so what it costs more is that thing's price. All are measured in turn, in
the same rounds, and a price is the median over the rounds.
"""

import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, override

from fastapi import Body, Query
from starlette.types import ASGIApp, Receive, Scope, Send

from application.kernel.admission import admit
from application.kernel.ports.callers import Caller
from bench.machine import Cores
from bench.operations import OPERATIONS, Operation, World
from bench.servers import Server, running
from bench.stage import Stage, as_in_production, loading
from domain.kernel.workspaces import WorkspaceId
from entrypoints.http.kernel.routing.dependencies import Actor
from entrypoints.http.kernel.routing.lists import ListQuery
from entrypoints.http.kernel.routing.routes import Router
from entrypoints.http.kernel.server.app import Service
from entrypoints.http.kernel.server.edge import Edge
from entrypoints.kernel.logging import configure_logging
from entrypoints.kernel.settings import load_settings
from entrypoints.settings import Settings
from kernel.specimen.commands.specimen_orders import create_specimen_order
from kernel.specimen.domain.specimen_orders import SpecimenOrderId
from kernel.specimen.permissions import WRITE_SPECIMEN_ORDERS
from kernel.specimen.queries.specimen_orders import SpecimenOrderFilter, SpecimenOrderSortKey
from kernel.specimen.service import Ask, Container, Run, UnitOfWork, versions
from kernel.specimen.v1.specimen_orders import NewSpecimenOrder

SERVER = "/probes/server"
EDGE = "/health/probe"  # what is asked of health has no line in the log
LOG = "/probes/log"

router = Router(tag="probes", include_in_schema=False)


@router.get("/probes", public=True)
async def found() -> None:
    """Nothing but a route."""


@router.get("/probes/read/{order_id}", public=True)
async def read(order_id: SpecimenOrderId) -> None:
    """And an argument."""


@router.get("/probes/know/{order_id}")
async def know(order_id: SpecimenOrderId, actor: Actor) -> None:
    """And a caller."""


@router.get("/probes/ask/{order_id}")
async def ask(order_id: SpecimenOrderId, actor: Actor, ask: Ask) -> None:
    """And a statement."""
    await ask.specimen_orders.get(actor.user_id, order_id)


@router.get("/probes/page/{workspace_id}")
async def page(
    workspace_id: WorkspaceId,
    actor: Actor,
    ask: Ask,
    query: Annotated[ListQuery[SpecimenOrderFilter, SpecimenOrderSortKey], Query()],
) -> None:
    """A statement that gives 50 rows."""
    await ask.specimen_orders.page(actor.user_id, workspace_id, query.where, query.sort, query.page)


@router.get("/probes/query/{workspace_id}")
async def query(
    workspace_id: WorkspaceId,
    actor: Actor,
    query: Annotated[ListQuery[SpecimenOrderFilter, SpecimenOrderSortKey], Query()],
) -> None:
    """A caller, and a query."""


@router.post("/probes/read/{workspace_id}", public=True)
async def read_body(workspace_id: WorkspaceId, body: Annotated[NewSpecimenOrder, Body()]) -> None:
    """A body."""


@router.post("/probes/know/{workspace_id}", unkeyed="It changes nothing.")
async def know_body(
    workspace_id: WorkspaceId, actor: Actor, body: Annotated[NewSpecimenOrder, Body()]
) -> None:
    """And a caller."""


async def _admitted(uow: UnitOfWork, actor: Caller, workspace_id: WorkspaceId) -> None:
    await admit(uow, actor, workspace_id, WRITE_SPECIMEN_ORDERS)


@router.post("/probes/admit/{workspace_id}", unkeyed="It changes nothing.")
async def admitted(
    workspace_id: WorkspaceId, actor: Actor, run: Run, body: Annotated[NewSpecimenOrder, Body()]
) -> None:
    """And a use case that asks for the caller's role, which is one statement."""
    assert body
    await run(_admitted, actor, workspace_id)


@router.post("/probes/create/{workspace_id}", unkeyed="It is measured.")
async def created(
    workspace_id: WorkspaceId, actor: Actor, run: Run, body: Annotated[NewSpecimenOrder, Body()]
) -> None:
    """And the rules, the row and its event."""
    await run(create_specimen_order, actor, workspace_id, **body)


class Probed(Service):
    """The service, and what is answered before its layers."""

    @override
    def build_middleware_stack(self) -> ASGIApp:
        service, edge = super().build_middleware_stack(), Edge(_nothing, hosts=self._hosts)

        async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
            path = scope.get("path")
            app = _nothing if path == SERVER else edge if path in {EDGE, LOG} else service
            await app(scope, receive, send)

        return dispatch


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["method"] == "POST":
        await receive()
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def create_app() -> Probed:
    """What `serve` makes."""
    settings = load_settings(Settings)
    configure_logging(settings)
    known = versions()
    return Probed(Container(settings=settings), {**known, "v1": (*known["v1"], sys.modules[__name__])})


type Requests = Callable[[World], list[bytes]]


def _asking(method: str, path: str, *, body: bool = False) -> Requests:
    """Requests for a path; `{id}` and `{workspace}` in it are filled in."""

    def requests(world: World) -> list[bytes]:
        create = OPERATIONS["create"].requests(world)
        if body:
            target = path.format(workspace=world.workspace)
            first = f"POST {world.all} ".encode()
            return [request.replace(first, f"POST {target} ".encode(), 1) for request in create]
        rows = world.rows[:1000] if "{id}" in path else world.rows[:1]
        return [world.request(method, path.format(id=id, workspace=world.workspace)) for id in rows]

    return requests


_OUTSIDE: Mapping[str, str] = {"server": SERVER, "edge": EDGE, "log": LOG}

# Each chain: what a layer is called, the requests that reach it and no further, and the status.
CHAINS: Mapping[str, Sequence[tuple[str, Requests, int]]] = {
    "get": [
        *((name, _asking("GET", path), 204) for name, path in _OUTSIDE.items()),
        ("index, route", _asking("GET", "/v1/probes"), 204),
        ("reading", _asking("GET", "/v1/probes/read/{id}"), 204),
        ("caller", _asking("GET", "/v1/probes/know/{id}"), 204),
        ("statement", _asking("GET", "/v1/probes/ask/{id}"), 204),
        ("encoding, tag", _asking("GET", "/v1/specimen_orders/{id}"), 200),
    ],
    "list 50": [
        *((name, _asking("GET", path), 204) for name, path in _OUTSIDE.items()),
        ("index, route", _asking("GET", "/v1/probes"), 204),
        ("reading, caller", _asking("GET", "/v1/probes/query/{workspace}?limit=50"), 204),
        ("statement, rows", _asking("GET", "/v1/probes/page/{workspace}?limit=50"), 204),
        ("encoding", lambda world: [world.request("GET", world.page(50))], 200),
    ],
    "create": [
        *((name, _asking("POST", path, body=True), 204) for name, path in _OUTSIDE.items()),
        ("index, reading", _asking("POST", "/v1/probes/read/{workspace}", body=True), 204),
        ("caller", _asking("POST", "/v1/probes/know/{workspace}", body=True), 204),
        ("role: a statement", _asking("POST", "/v1/probes/admit/{workspace}", body=True), 204),
        ("rules, row, event", _asking("POST", "/v1/probes/create/{workspace}", body=True), 204),
        ("encoding, tag", OPERATIONS["create"].requests, 201),
    ],
}


def measure(stage: Stage, folder: Path, core: Cores, *, seconds: float, rounds: int) -> None:
    """Prints the budgets; raises BenchError."""
    settings = as_in_production(stage.url, stage.secret)
    with running("-m", "bench.layers", cores=core, log=folder / "layers", environment=settings) as probed:
        for title, chain in CHAINS.items():
            requests = [asked(stage.world) for _, asked, _ in chain]
            taken = [
                [
                    _micros(probed, title, sent, status, seconds=seconds)
                    for (_, _, status), sent in zip(chain, requests, strict=True)
                ]
                for _ in range(rounds + 1)
            ][1:]  # the first warms up
            if title == "create":
                stage.clear()
            print(f"\n{_budget(title, [name for name, _, _ in chain], taken)}")


def _micros(server: Server, title: str, requests: list[bytes], status: int, *, seconds: float) -> float:
    operation = Operation(title=title, requests=lambda _: requests, status=status)
    with loading(server, operation, requests, seconds=seconds) as load:
        return load.measured().cpu


def _budget(title: str, names: Sequence[str], taken: Sequence[Sequence[float]]) -> str:
    """A line for each layer: what it costs, and all up to it, in µs of the server's processor time."""
    whole = [statistics.median(column) for column in zip(*taken, strict=True)]
    lines = [f"{title:<20}{'µs':>8}{'up to here':>12}"]
    for name, cost, before in zip(names, whole, [0.0, *whole], strict=False):
        lines.append(f"  {name:<18}{cost - before:>8.0f}{cost:>12.0f}")
    return "\n".join(lines)


def main() -> None:
    from entrypoints.http.kernel.server.process import serve  # noqa: PLC0415 (the measurement needs it not)

    serve("bench.layers:create_app", Settings, [])


if __name__ == "__main__":
    main()
