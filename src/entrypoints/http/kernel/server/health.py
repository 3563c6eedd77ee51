"""Whether the service may be sent requests; `/health/live`, whether it is there at all, is in `edge.py`."""

from dataclasses import dataclass
from typing import Literal

from entrypoints.http.kernel.routing.dependencies import Ready
from entrypoints.http.kernel.routing.routes import Router
from entrypoints.http.kernel.server.readiness import State

router = Router(tag="health", prefix="/health", include_in_schema=False)


@dataclass(frozen=True, slots=True)
class CheckState:
    """A check by its name, and what it found."""

    name: str
    state: Literal["ok", "degraded"]


@dataclass(frozen=True, slots=True)
class Health:
    """That requests are served, and with `degraded` that an operator has something to do.

    `ready` names what holds.
    """

    status: Literal["ready", "degraded"]
    checks: list[CheckState]
    ready: list[str]


@dataclass(frozen=True, slots=True)
class Startup:
    """That the service has been ready once."""

    status: Literal["started"] = "started"


@router.get("/ready", public=True, limit="none")
async def get_readiness(readiness: Ready) -> Health:
    """Anybody may ask; it tells the names of what is there and what is not, and nothing else."""
    report = await readiness.confirm()
    return Health(
        status="degraded" if report.degraded else "ready",
        checks=[
            CheckState(name, "ok" if state is State.OK else "degraded")
            for name, state in report.states.items()
        ],
        ready=[name for name, state in report.states.items() if state is State.OK],
    )


@router.get("/startup", public=True, limit="none")
async def get_startup(readiness: Ready) -> Startup:
    """A NotReady until the first time that all that is required was there; then good for ever."""
    await readiness.confirm_started()
    return Startup()
