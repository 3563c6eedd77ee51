"""A worker's heartbeat: that it beats whatever happens, what it logs, and that it ends with the worker."""

import asyncio
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest
from structlog.testing import capture_logs

from application.kernel.ports.health import Vitals
from application.kernel.ports.world import Unavailable
from entrypoints.kernel import heartbeat
from entrypoints.kernel.heartbeat import keep_beating, this_host
from kernel.servers.backends import Proxy, eventually
from kernel.servers.workers import a_worker, logged

GOOD = Vitals(overdue=None, parked=False, beaten=None)
LATE = Vitals(overdue=timedelta(seconds=74), parked=False, beaten=None)


class ScriptedHeartbeats:
    """Heartbeats to which happens what the script says: vitals, an error, or `None` for no answer."""

    last: Vitals | None = None

    def __init__(self, *script: Vitals | Exception | None) -> None:
        self.script = list(script)
        self.beats: list[tuple[UUID, str]] = []
        self.ended: list[UUID] = []

    async def beat(self, worker: UUID, host: str, /) -> Vitals:
        self.beats.append((worker, host))
        match self.script.pop(0) if self.script else GOOD:
            case None:
                await asyncio.Event().wait()
                raise AssertionError
            case Exception() as error:
                raise error
            case vitals:
                return vitals

    async def end(self, worker: UUID, /) -> None:
        self.ended.append(worker)

    async def age(self, host: str, /) -> timedelta | None:
        raise AssertionError


async def beaten(heartbeats: ScriptedHeartbeats) -> None:
    """Beats until nothing is left of the script and twice more, and then stops."""
    stop, most = asyncio.Event(), len(heartbeats.script) + 2
    beating = asyncio.create_task(keep_beating(heartbeats, stop, pause_seconds=0.001, overdue_seconds=60))
    await until(lambda: len(heartbeats.beats) >= most)
    stop.set()
    async with asyncio.timeout(60):
        await beating


async def until(condition: Callable[[], bool]) -> None:
    async def holds() -> bool:
        return condition()

    await eventually(holds)


async def test_a_worker_is_one_and_the_same_and_says_when_it_stops() -> None:
    heartbeats = ScriptedHeartbeats()
    with capture_logs() as logs:
        await beaten(heartbeats)
    ((worker, host),) = {*heartbeats.beats}
    assert heartbeats.ended == [worker]
    assert host == this_host()
    assert logs == []


async def test_one_that_cannot_beat_says_so_once_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.01)
    heartbeats = ScriptedHeartbeats(Unavailable("away"), Unavailable("away"), None, ZeroDivisionError("no"))
    with capture_logs() as logs:
        await beaten(heartbeats)
    assert [(entry["log_level"], entry["event"], entry.get("reason")) for entry in logs] == [
        ("warning", "cannot show that it is at work", "away"),
        ("info", "can show again that it is at work", None),
    ]


async def test_no_answer_is_a_reason_and_a_defect_has_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.01)
    with capture_logs() as logs:
        await beaten(ScriptedHeartbeats(None, GOOD, ZeroDivisionError("no")))
    told = [(entry["reason"], bool(entry["exc_info"])) for entry in logs if entry["log_level"] == "warning"]
    assert told == [("No answer within 0.01 seconds.", False), ("no", True)]


async def test_events_that_nobody_delivers_are_told_and_their_end_too() -> None:
    with capture_logs() as logs:
        await beaten(ScriptedHeartbeats(GOOD, LATE, LATE, GOOD))
    assert [(entry["log_level"], entry["event"], entry.get("overdue_seconds")) for entry in logs] == [
        ("warning", "events are overdue", 74),
        ("info", "events are delivered in time again", None),
    ]


async def test_one_that_waits_stops_at_once_also_where_nobody_hears_it() -> None:
    heartbeats, stop = ScriptedHeartbeats(), asyncio.Event()
    beating = asyncio.create_task(keep_beating(heartbeats, stop, pause_seconds=60, overdue_seconds=60))
    await until(lambda: heartbeats.beats != [])
    started = time.monotonic()
    stop.set()
    await beating
    assert time.monotonic() - started < 1


def test_the_host_is_told_apart_and_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    here = this_host()
    assert here == this_host()
    monkeypatch.setattr("socket.gethostname", lambda: "adas-laptop")
    assert this_host() != here
    assert "ada" not in this_host()


# ── as a process ─────────────────────────────────────────────────────────────────────────────────


async def test_a_worker_has_a_row_for_as_long_as_it_is_at_work(empty_database_url: str) -> None:
    by_hand = await asyncpg.connect(empty_database_url)

    async def rows() -> int:
        count: int = await by_hand.fetchval("SELECT count(*) FROM worker_heartbeats")
        return count

    async def there() -> bool:
        return await rows() == 1

    async with a_worker(empty_database_url, WORKER_HEARTBEAT_SECONDS="0.1") as process:
        await logged(process, "worker started")
        await eventually(there)
        first = await by_hand.fetchval("SELECT beat_at FROM worker_heartbeats")

        async def beaten_again() -> bool:
            return bool(await by_hand.fetchval("SELECT max(beat_at) > $1 FROM worker_heartbeats", first))

        await eventually(beaten_again)
        assert await rows() == 1
        process.send_signal(signal.SIGTERM)
        await logged(process, "worker stopped")
        assert await process.wait() == 0
    assert await rows() == 0
    await by_hand.close()


async def test_a_worker_whose_database_falls_silent_says_so(empty_database_url: str) -> None:
    proxy = Proxy(empty_database_url)
    await proxy.start()
    async with a_worker(proxy.url, WORKER_HEARTBEAT_SECONDS="0.1") as process:
        await logged(process, "worker started")
        proxy.frozen = proxy.silent = True
        assert (await logged(process, "cannot show that it is at work"))["level"] == "warning"
        proxy.frozen = proxy.silent = False
        await logged(process, "can show again that it is at work")
    await proxy.stop()
