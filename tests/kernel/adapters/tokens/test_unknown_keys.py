"""Which unknown keys are worth a reading, whoever names them."""

from adapters.tokens.unknown_keys import REMEMBERED, UnknownKeys


class Seconds:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def some(seconds: Seconds, *, burst: int = 3) -> UnknownKeys:
    return UnknownKeys(refused_seconds=10, burst=burst, refill_seconds=5, monotonic=seconds)


def test_a_key_that_was_refused_is_let_alone_for_a_while_and_no_other_is() -> None:
    seconds = Seconds()
    unknown = some(seconds)
    assert unknown.may_search("junk")
    unknown.refuse("junk")
    assert (unknown.may_search("junk"), unknown.may_search("new")) == (False, True)
    seconds.now += 10
    assert unknown.may_search("junk")


def test_the_budget_is_spent_and_grows_again_and_never_above_its_burst() -> None:
    seconds = Seconds()
    unknown = some(seconds)
    names = (str(number) for number in range(100))
    for pause, granted in ((0, 3), (4.9, 0), (0.1, 1), (5, 1), (10, 2), (1000, 3)):
        seconds.now += pause
        assert [unknown.may_search(next(names)) for _ in range(5)].count(True) == granted


def test_a_refused_key_costs_nothing_of_the_budget() -> None:
    unknown = some(Seconds(), burst=2)
    assert unknown.may_search("junk")
    unknown.refuse("junk")
    assert not any(unknown.may_search("junk") for _ in range(10))
    assert unknown.may_search("new")


def test_what_is_remembered_is_bounded_and_the_oldest_goes_first() -> None:
    unknown = some(Seconds())
    for number in range(REMEMBERED + 1):
        unknown.refuse(f"{number} \ud800" + "x" * 8000)
    assert not unknown.is_refused("0 \ud800" + "x" * 8000)
    assert unknown.is_refused("1 \ud800" + "x" * 8000)
    assert len(unknown._refused) == REMEMBERED
    assert {len(key) for key in unknown._refused} == {32}
