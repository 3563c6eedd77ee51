"""When a lane pauses, and which reactions it has."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from application.kernel.ports.events import Lane, Outcome, Outgoing
from domain.kernel.users import UserRegistered
from entrypoints.kernel import worker
from entrypoints.kernel.lanes import LONGEST_LANE_PAUSE_SECONDS, Circuit, Progress, names_by_event

HOOKS = Lane("hooks")


async def announce(uow: Any, delivery: Any) -> Outgoing[Any] | None: ...


async def another(uow: Any, delivery: Any) -> Outgoing[Any] | None: ...


def test_the_pause_of_a_silent_lane_grows_to_half_a_minute_and_ends_with_an_answer() -> None:
    now = 0.0
    circuit = Circuit(clock=lambda: now)
    for silences in range(1, 9):
        circuit.tell(Outcome.SILENT, began=now)
        longest = min(2.0 ** (silences - 1), LONGEST_LANE_PAUSE_SECONDS)
        assert longest / 2 <= circuit.seconds_left <= longest
        now += circuit.pause + 1
    circuit.tell(Outcome.REFUSED, began=now)
    assert not circuit.open


def test_those_that_were_on_their_way_together_have_met_one_silence() -> None:
    now = 5.0
    circuit = Circuit(clock=lambda: now)
    for _ in range(4):
        circuit.tell(Outcome.SILENT, began=1.0)
    assert circuit.silences == 1


@pytest.mark.parametrize("outcome", [Outcome.DELIVERED, Outcome.REFUSED])
def test_one_that_meets_silence_while_others_are_answered_does_not_stop_the_lane(outcome: Outcome) -> None:
    circuit = Circuit(clock=lambda: 5.0)
    circuit.tell(outcome, began=1.0)
    circuit.tell(Outcome.SILENT, began=1.0)
    assert not circuit.open


def test_reactions_are_found_by_name_and_lane() -> None:
    table = worker.table([worker.when(UserRegistered, announce, lane=HOOKS)])
    assert names_by_event(table) == {"UserRegistered": ["announce"]}
    assert worker.outside_of(table) == {HOOKS: {"announce": announce}}


def test_two_reactions_of_one_name_are_refused() -> None:
    rows = [
        worker.when(UserRegistered, announce, lane=HOOKS),
        worker.when(UserRegistered, another, lane=HOOKS, name="announce"),
    ]
    with pytest.raises(TypeError, match="Two reactions are called announce"):
        worker.outside_of(worker.table(rows))


async def test_the_log_says_each_minute_that_nothing_is_delivered_and_when_that_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "SILENT_SECONDS", 0.06)  # a look each millisecond
    now, stop = 0.0, asyncio.Event()
    progress = Progress(clock=lambda: now)

    async def told(count: int) -> list[dict[str, Any]]:
        async with asyncio.timeout(60):
            while len(logs) < count:  # noqa: ASYNC110 (a log sets no event)
                await asyncio.sleep(0.001)
        return [{name: entry.get(name) for name in ("event", "lane", "log_level")} for entry in logs]

    with capture_logs() as logs:
        watching = asyncio.create_task(worker.watch("mail", progress, stop))
        await asyncio.sleep(0.02)
        assert logs == []
        now = 0.07
        silent = {"event": "nothing delivered", "lane": "mail", "log_level": "error"}
        assert await told(1) == [silent]
        await asyncio.sleep(0.02)  # not again within the minute
        now = 0.13
        assert await told(2) == [silent, silent]
        progress.made()
        over = {"event": "can deliver again", "lane": "mail", "log_level": "info"}
        assert await told(3) == [silent, silent, over]
        stop.set()
        await watching
