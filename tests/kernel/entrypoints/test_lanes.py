"""When a lane pauses, and which reactions it has."""

from typing import Any

import pytest

from application.kernel.ports.events import Lane, Outcome, Outgoing
from domain.kernel.users import UserRegistered
from entrypoints.kernel import worker
from entrypoints.kernel.lanes import LONGEST_LANE_PAUSE_SECONDS, Circuit, names_by_event

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
