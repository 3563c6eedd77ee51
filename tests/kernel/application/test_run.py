"""The runner: one use case, one transaction, and what happens when transactions collide."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from application.kernel.ports.callers import Caller
from application.kernel.ports.world import Contention, TimedOut, Unavailable, WorldError
from application.kernel.preconditions import Expected, PreconditionFailed
from application.kernel.run import Runner, within
from application.kernel.unit_of_work import Seen
from domain.kernel.errors import DomainError, Stale
from domain.kernel.users import User, UserId, UserNotFound
from kernel.specimen.service import Queries, UnitOfWork
from kernel.world.builders import a_caller, a_user
from kernel.world.fakes import MemoryTransactions
from kernel.world.refusals import refused


class Pauses:
    """Time that passes at once and is remembered."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> Pauses:
    pauses = Pauses()
    monkeypatch.setattr(asyncio, "sleep", pauses.sleep)
    return pauses


class Use:
    """A use case that counts its runs and adds a user in each."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.runs = 0
        self.user = a_user()

    async def __call__(self, uow: UnitOfWork, greeting: str, *, name: str) -> str:
        self.runs += 1
        await uow.users.add(self.user)
        if self.failures:
            raise self.failures.pop(0)
        return f"{greeting} {name}"


async def test_a_use_case_gets_its_arguments_and_its_answer_comes_back(run: Runner[UnitOfWork]) -> None:
    assert await run(Use(), "Good morning,", name="Ada") == "Good morning, Ada"


async def test_what_a_use_case_did_is_committed(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    use = Use()
    await run(use, "Hello", name="Ada")
    async with transactions() as uow:
        assert await uow.users.get(use.user.id) == use.user


@pytest.mark.parametrize("failure", [Stale(), Unavailable(), TimedOut(), RuntimeError("a defect")])
async def test_what_fails_is_rolled_back_and_not_repeated(
    failure: Exception, run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    use = Use(failure)
    with pytest.raises(type(failure)) as raised:
        await run(use, "Hello", name="Ada")
    assert raised.value is failure
    assert use.runs == 1
    async with transactions() as uow:
        with refused(UserNotFound):
            await uow.users.get(use.user.id)


async def test_a_use_case_that_meets_contention_runs_again_from_its_beginning(
    run: Runner[UnitOfWork],
) -> None:
    use = Use(Contention())
    assert await run(use, "Hello", name="Ada") == "Hello Ada"
    assert use.runs == 2  # the second would have met its own user, had the first not been rolled back


async def test_contention_in_the_commit_is_met_in_the_same_way(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    use = Use()
    transactions.failures.append(Contention())
    assert await run(use, "Hello", name="Ada") == "Hello Ada"
    assert use.runs == 2


async def test_the_fourth_contention_is_the_last(run: Runner[UnitOfWork]) -> None:
    use = Use(*[Contention() for _ in range(10)])
    with pytest.raises(Contention):
        await run(use, "Hello", name="Ada")
    assert use.runs == 4


async def test_three_contentions_are_survived(run: Runner[UnitOfWork]) -> None:
    use = Use(Contention(), Contention(), Contention())
    assert await run(use, "Hello", name="Ada") == "Hello Ada"


async def test_another_error_ends_the_repetition(run: Runner[UnitOfWork]) -> None:
    use = Use(Contention(), Stale())
    with refused(Stale):
        await run(use, "Hello", name="Ada")
    assert use.runs == 2


async def test_rivals_pause_for_a_random_time_that_doubles(
    run: Runner[UnitOfWork], pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    chances = iter([1.0, 0.5, 0.25])
    monkeypatch.setattr(random, "random", lambda: next(chances))
    await run(Use(Contention(), Contention(), Contention()), "Hello", name="Ada")
    assert pauses.seconds == pytest.approx([0.04, 0.04, 0.04])


async def test_nobody_pauses_without_contention_or_after_giving_up(
    run: Runner[UnitOfWork], pauses: Pauses
) -> None:
    await run(Use(), "Hello", name="Ada")
    assert pauses.seconds == []
    with pytest.raises(Contention):
        await run(Use(*[Contention() for _ in range(4)]), "Hello", name="Ada")
    assert len(pauses.seconds) == 3


async def test_each_repetition_is_logged_with_the_name_of_the_use_case(run: Runner[UnitOfWork]) -> None:
    failures: list[WorldError | DomainError] = [Contention(), Contention()]

    async def paint_the_door(uow: UnitOfWork) -> None:
        if failures:
            raise failures.pop()

    with capture_logs() as logs:
        await run(paint_the_door)
    assert logs == [
        {
            "event": "use case met contention and runs again",
            "use_case": "paint_the_door",
            "attempt": attempt,
            "log_level": "info",
        }
        for attempt in (1, 2)
    ]


async def test_a_use_case_without_a_name_is_logged_by_its_looks(run: Runner[UnitOfWork]) -> None:
    use = Use(Contention())
    with capture_logs() as logs:
        await run(use, "Hello", name="Ada")
    assert logs[0]["use_case"] == repr(use)


# ── what is expected of the thing that is changed ────────────────────────────────────────────────


async def rename(uow: UnitOfWork, user_id: UserId, *, name: str) -> User:
    user = await uow.users.get(user_id)
    return await uow.users.save(user.edit(display_name=name, at=uow.now))


def versions(user: User, *versions: int) -> Expected:
    return Expected(User, {"id": user.id}, frozenset(versions))


async def test_a_change_to_an_expected_version_is_made(run: Runner[UnitOfWork]) -> None:
    use = Use()
    await run(use, "Hello", name="Ada")
    changed = await run.expecting(versions(use.user, 7, 1))(rename, use.user.id, name="Augusta")
    assert (changed.display_name, changed.version) == ("Augusta", 2)


async def test_a_change_to_any_other_version_is_not(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    use = Use()
    await run(use, "Hello", name="Ada")
    expecting = run.expecting(versions(use.user, 2))
    with refused(PreconditionFailed):
        await expecting(rename, use.user.id, name="Augusta")
    async with transactions() as uow:
        assert await uow.users.get(use.user.id) == use.user


async def test_a_use_case_that_never_saw_the_thing_changes_nothing(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    use, other = Use(), a_user()
    with refused(PreconditionFailed):
        await run.expecting(versions(other, 1))(use, "Hello", name="Ada")
    async with transactions() as uow:
        with refused(UserNotFound):
            await uow.users.get(use.user.id)


async def test_what_has_changed_after_it_was_read_is_not_as_expected_either(run: Runner[UnitOfWork]) -> None:
    use = Use()
    await run(use, "Hello", name="Ada")

    async def too_late(uow: UnitOfWork, user_id: UserId) -> None:
        await uow.users.get(user_id)
        raise Stale

    with refused(Stale):
        await run(too_late, use.user.id)
    with refused(PreconditionFailed):
        await run.expecting(versions(use.user, 1))(too_late, use.user.id)


async def test_a_condition_is_looked_at_again_when_the_use_case_runs_again(run: Runner[UnitOfWork]) -> None:
    use = Use()
    await run(use, "Hello", name="Ada")
    failures = [Contention()]

    async def once_more(uow: UnitOfWork, user_id: UserId) -> int:
        if not failures:
            return 0  # this time without a look
        await uow.users.get(user_id)
        raise failures.pop()

    with refused(PreconditionFailed):
        await run.expecting(versions(use.user, 1))(once_more, use.user.id)


# ── what is shown of it ──────────────────────────────────────────────────────────────────────────


class Questions:
    """What is asked in a transaction, with what each answer was given to."""

    def __init__(self, transactions: MemoryTransactions[UnitOfWork], *failures: Exception) -> None:
        self._transactions = transactions
        self.failures = list(failures)
        self.asked: list[object] = []

    @asynccontextmanager
    async def begin(self, seen: Seen | None = None, /) -> AsyncIterator[UnitOfWork]:
        async with self._transactions(seen) as uow:
            uow.ask = cast("Any", self)
            yield uow

    async def view(self, ask: Queries, actor: Caller, result: User) -> str:
        assert cast("Any", ask) is self
        self.asked.append((actor, result))
        if self.failures:
            raise self.failures.pop(0)
        return f"{result.display_name}, version {result.version}"


async def rename_as(uow: UnitOfWork, actor: Caller, *, name: str) -> User:
    return await rename(uow, actor.user_id, name=name)


async def test_what_a_use_case_has_done_is_asked_for_in_its_transaction(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    use, questions = Use(), Questions(transactions)
    await run(use, "Hello", name="Ada")
    actor = a_caller(use.user.id)
    shown = await Runner(questions.begin).showing(questions.view, rename_as, actor, name="Augusta")
    assert shown == "Augusta, version 2"
    ((asked_by, result),) = cast("Any", questions.asked)
    assert (asked_by, result.display_name) == (actor, "Augusta")


async def test_what_cannot_be_shown_is_not_done(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    use, questions = Use(), Questions(transactions, UserNotFound())
    await run(use, "Hello", name="Ada")
    with refused(UserNotFound):
        await Runner(questions.begin).showing(
            questions.view, rename_as, a_caller(use.user.id), name="Augusta"
        )
    async with transactions() as uow:
        assert await uow.users.get(use.user.id) == use.user


async def test_contention_while_it_is_shown_repeats_the_use_case(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    use, questions = Use(), Questions(transactions, Contention())
    await run(use, "Hello", name="Ada")
    showing = Runner(questions.begin).showing
    with capture_logs() as logs:
        shown = await showing(questions.view, rename_as, a_caller(use.user.id), name="Augusta")
    assert shown == "Augusta, version 2"
    assert [log["use_case"] for log in logs] == ["rename_as"]


async def test_nothing_is_asked_of_a_change_to_another_version(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    use, questions = Use(), Questions(transactions)
    await run(use, "Hello", name="Ada")
    expecting = Runner(questions.begin).expecting(versions(use.user, 2))
    with refused(PreconditionFailed):
        await expecting.showing(questions.view, rename_as, a_caller(use.user.id), name="Augusta")
    assert questions.asked == []
    expecting = Runner(questions.begin).expecting(versions(use.user, 1))
    shown = await expecting.showing(questions.view, rename_as, a_caller(use.user.id), name="Augusta")
    assert shown == "Augusta, version 2"


# ── in somebody else's transaction ───────────────────────────────────────────────────────────────


async def test_within_a_transaction_nothing_is_committed(
    run: Runner[UnitOfWork], transactions: MemoryTransactions[UnitOfWork]
) -> None:
    use = Use()

    async def outer(uow: UnitOfWork) -> None:
        await within(uow)(use, "Hello", name="Ada")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run(outer)
    async with transactions() as uow:
        with refused(UserNotFound):
            await uow.users.get(use.user.id)


async def test_within_a_transaction_contention_is_for_whoever_has_begun_it(run: Runner[UnitOfWork]) -> None:
    use = Use(Contention())
    outer_runs = []

    async def outer(uow: UnitOfWork) -> str:
        outer_runs.append(use.runs)
        return await within(uow)(use, "Hello,", name="Ada")

    assert await run(outer) == "Hello, Ada"
    assert outer_runs == [0, 1]
