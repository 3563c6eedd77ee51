"""What readiness looks at, and what comes of it: the table.

    required   database        it can be written to, over a connection of the check's own
               migrations      the database has those of this code
               signing keys    the one that signs can be unsealed (where the built-in issuer's tokens count)
    degrading  pool            a connection is free for the next request
               provider NAME   an OpenID provider answered when it was last asked, and its keys are there
               worker          a worker has shown within WORKER_MISSING_SECONDS that it is at work
               outbox          no event has been due for longer than OUTBOX_OVERDUE_SECONDS
               parked events   there are none
               rate limits     Redis counts requests (where REDIS_URL is set)

Required is what no request can be answered without, and what another process may have (docs/decisions/0037).
"""

from collections.abc import Callable, Mapping
from datetime import timedelta

from application.kernel.ports.health import Observer, Vitals
from entrypoints.http.kernel.server.readiness import Check, Findings, Readiness
from entrypoints.kernel.container import KernelContainer
from entrypoints.kernel.settings import KernelSettings


def readiness_of(container: KernelContainer) -> Readiness:
    """Connects to nothing yet."""
    settings, migrations = container.settings(), container.migrations()
    observing = container.health_database()
    required: Mapping[str, Check] = {
        "database": _database(container.observer(), settings),
        "migrations": lambda: migrations.reached(observing),
        **({"pooler": container.pooler().check} if settings.through_pooler else {}),
        **({"signing keys": container.sealed_keys().usable} if settings.local_tokens_trusted else {}),
    }
    degrading: Mapping[str, Check] = {
        "pool": _having(lambda: not container.database().is_exhausted),
        **{f"provider {name}": ready for name, ready in container.provider_checks().items()},
        **({"rate limits": container.rate_limits().check} if settings.limits_shared else {}),
    }
    return Readiness(required, degrading)


def _database(observer: Observer, settings: KernelSettings) -> Check:
    judge = judging(
        missing_seconds=settings.worker_missing_seconds, overdue_seconds=settings.outbox_overdue_seconds
    )

    async def look() -> Findings:
        return judge(await observer.look())

    return look


def _having(room: Callable[[], bool]) -> Check:
    async def has_room() -> bool:
        return room()

    return has_room


def judging(*, missing_seconds: float, overdue_seconds: float) -> Callable[[Vitals], Findings]:
    """What of the vitals an operator should see to, and why."""
    missing, late = timedelta(seconds=missing_seconds), timedelta(seconds=overdue_seconds)

    def judge(vitals: Vitals) -> Findings:
        beaten, overdue = vitals.beaten, vitals.overdue
        return {
            "worker": "No worker is at work." if beaten is None or beaten > missing else None,
            "outbox": (
                f"An event has been due for {overdue.total_seconds():.0f} seconds."
                if overdue is not None and overdue > late
                else None
            ),
            "parked events": "Events are parked for an operator." if vitals.parked else None,
        }

    return judge
