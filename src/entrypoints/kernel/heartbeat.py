"""A worker's heartbeat: shows readiness and `worker check` that it is at work, and logs what it sees."""

import asyncio
import hashlib
import socket
from contextlib import suppress
from datetime import timedelta
from uuid import UUID, uuid4

import structlog

from application.kernel.ports.health import Heartbeats, Vitals
from application.kernel.ports.world import WorldError
from entrypoints.kernel.states import States

log = structlog.get_logger("worker")

BEAT_SECONDS = 3.0  # longer than its connection's own limits
END_SECONDS = 1.0  # a worker that stops does not wait longer to say so


def this_host() -> str:
    """Tells this host, or this container, from others, without its name: that may be a person's."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:16]


async def keep_beating(
    heartbeats: Heartbeats, stop: asyncio.Event, *, pause_seconds: float, overdue_seconds: float
) -> None:
    """Shows every so often that this process is at work, until `stop` is set; then, that it has stopped.

    The log tells when it cannot, and when events are due that no worker delivers. Nothing ends it.
    """
    worker, host, states = uuid4(), this_host(), States(log)
    while not stop.is_set():
        await _beat(heartbeats, worker, host, states, late=timedelta(seconds=overdue_seconds))
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause_seconds)
    with suppress(WorldError, TimeoutError):  # then its row goes when it is stale
        async with asyncio.timeout(END_SECONDS):
            await heartbeats.end(worker)


async def _beat(heartbeats: Heartbeats, worker: UUID, host: str, states: States, *, late: timedelta) -> None:
    try:
        async with asyncio.timeout(BEAT_SECONDS):
            vitals = await heartbeats.beat(worker, host)
    except Exception as error:  # noqa: BLE001 (whatever it is: a worker that cannot beat goes on delivering)
        # A world that is away explains itself; whatever else it is, is a defect and worth its traceback.
        defect = None if isinstance(error, WorldError | TimeoutError) else error
        reason = str(error) or f"No answer within {BEAT_SECONDS:g} seconds."
        cause = error.cause if isinstance(error, WorldError) else ""
        states.wrong(
            "heartbeat", "cannot show that it is at work", reason=reason, cause=cause, exc_info=defect
        )
    else:
        states.right("heartbeat", "can show again that it is at work")
        _look(vitals, states, late)


def _look(vitals: Vitals, states: States, late: timedelta) -> None:
    if vitals.overdue is not None and vitals.overdue > late:
        states.wrong("outbox", "events are overdue", overdue_seconds=round(vitals.overdue.total_seconds()))
    else:
        states.right("outbox", "events are delivered in time again")
