"""Whether the service may be sent requests; `/health/live`, whether it is there at all, is in `edge.py`."""

from dataclasses import dataclass

from entrypoints.http.kernel.routing.dependencies import Ready
from entrypoints.http.kernel.routing.routes import Router

router = Router(tag="health", prefix="/health", include_in_schema=False)


@dataclass(slots=True)
class Health:
    """What was checked, all of it well."""

    ready: list[str]


@router.get("/ready", public=True)
async def get_readiness(readiness: Ready) -> Health:
    """Anybody may ask; it tells the names of what is there and what is not, and nothing else."""
    return Health(await readiness.confirm())
