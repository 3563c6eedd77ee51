"""What is counted, how it is shown, and how several processes add up; the real servers are in http/."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from application.kernel.ports.figures import MOST_NAMES, OTHER, Durations, PoolFigures
from entrypoints.kernel.metrics import families, processes, serving
from entrypoints.kernel.metrics import requests as counting
from entrypoints.kernel.metrics.families import Metrics, _of_requests
from entrypoints.kernel.metrics.processes import Answers, Member, Together
from entrypoints.kernel.metrics.requests import MOST_CLASSES, UNMATCHED, Requests
from entrypoints.kernel.metrics.serving import Exposition
from entrypoints.kernel.metrics.turning import PAUSE_SECONDS, Turning

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PATIENCE_SECONDS = 60


def ended(
    requests: Requests,
    route: str | None = "/v1/books",
    method: str = "GET",
    *,
    status: int = 200,
    **scope: Any,
) -> None:
    requests.in_flight += 1
    requests.ended({"trace_id": TRACE, **scope}, route, method, status=status, seconds=0.02)


def values(metrics: Iterable[Metric], sample: str) -> dict[tuple[str, ...], float]:
    """Of the samples of that name, by the values of their labels."""
    return {
        tuple(each.labels.values()): each.value
        for metric in metrics
        for each in metric.samples
        if each.name == sample
    }


# ── what is counted ──────────────────────────────────────────────────────────────────────────────


def test_a_request_counts_by_route_method_and_class_of_its_status() -> None:
    requests = Requests()
    for status in (200, 201, 404, 499, 503, 0):
        ended(requests, status=status)
    counts = values(_of_requests(requests), "http_requests_total")
    assert counts == {
        ("/v1/books", "GET", each): n for each, n in (("2xx", 2), ("3xx", 0), ("4xx", 2), ("5xx", 2))
    }
    assert requests.in_flight == 0


def test_what_strangers_make_up_makes_no_series() -> None:
    requests = Requests()
    for number in range(1000):
        ended(requests, None, f"METHOD{number}", status=404)
        ended(requests, "/v1/books", f"METHOD{number}", status=405)
        ended(requests, limit_class=f"class {number}", limit_refused=bool(number % 2))
    assert requests.series.keys() == {(UNMATCHED, OTHER), ("/v1/books", OTHER), ("/v1/books", "GET")}
    assert len(requests.limits) == MOST_CLASSES + 1
    assert sum(map(sum, requests.limits.values())) == 1000


def test_more_routes_than_there_can_be_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MOST_SERIES", 3)
    requests = Requests()
    for number in range(10):
        ended(requests, f"/v1/books/{number}")
    assert len(requests.series) == 4
    assert requests.series[UNMATCHED, OTHER].statuses[2] == 7


def test_more_statements_than_there_can_be_are_counted_together() -> None:
    pool = PoolFigures(1)
    for number in range(MOST_NAMES + 100):
        pool.ran(f"statement {number}", 0.001)
    assert len(pool.statements) == MOST_NAMES + 1
    assert sum(pool.statements[OTHER].counts) == 100


def test_a_bucket_ends_at_its_bound_and_shows_its_last_trace() -> None:
    durations = Durations((0.1, 1.0))
    for seconds, trace in ((0.1, "a"), (0.05, "b"), (0.2, ""), (5, "c")):
        durations.observe(seconds, trace)
    assert durations.counts == [2, 1, 1]
    assert [example and example[0] for example in durations.examples] == ["b", None, "c"]
    assert durations.seconds == pytest.approx(5.35)


async def test_a_loop_that_is_held_is_late_and_silent_meanwhile() -> None:
    turning, silent = Turning(), list[float]()
    turning.start()
    reading = threading.Thread(
        target=lambda: silent.extend(_seen(lambda: turning.silent_seconds, lambda each: each > 0.1))
    )
    reading.start()
    reading.join(PATIENCE_SECONDS)  # which holds the loop
    await asyncio.sleep(PAUSE_SECONDS)
    turning.stop()
    assert silent[-1] > 0.1
    assert sum(turning.lag.counts[3:]) >= 1
    assert turning.silent_seconds == 0


def _seen(read: Callable[[], float], enough: Callable[[float], bool]) -> Iterator[float]:
    while True:
        yield (value := read())
        if enough(value):
            return


# ── how it is read and shown ─────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def shown(metrics: Metrics) -> AsyncIterator[str]:
    """Where they are served."""
    exposition = Exposition("127.0.0.1", 0, metrics.collect)
    try:
        yield f"http://127.0.0.1:{exposition.port}/metrics"
    finally:
        await asyncio.to_thread(exposition.close)


def read(url: str) -> str:
    openmetrics = Request(url, headers={"Accept": "application/openmetrics-text; version=1.0.0"})  # noqa: S310
    with urlopen(openmetrics, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310 (of this test's own server)
        return str(answer.read().decode())


async def nothing() -> None: ...


def of(requests: Requests, refresh: Callable[[], Any] = nothing) -> Metrics:
    return Metrics([lambda: _of_requests(requests)], loop=asyncio.get_running_loop(), refresh=refresh)


async def test_metrics_are_read_and_rendered_on_another_thread_than_that_of_the_loop() -> None:
    threads = set[int]()

    def source() -> Iterator[Metric]:
        threads.add(threading.get_ident())
        yield Metric("one", "A metric.", "gauge")

    metrics = Metrics([source], loop=asyncio.get_running_loop(), refresh=nothing)
    async with shown(metrics) as url:
        await asyncio.to_thread(read, url)
    assert threads
    assert threading.get_ident() not in threads


async def test_a_trace_is_an_example_of_how_long_a_request_took() -> None:
    requests = Requests()
    ended(requests)
    async with shown(of(requests)) as url:
        text = await asyncio.to_thread(read, url)
    buckets = [
        each
        for family in text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
        for each in family.samples
        if each.name == "http_request_duration_seconds_bucket"
    ]
    (example,) = [each.exemplar for each in buckets if each.exemplar]
    assert (example.labels, example.value) == ({"trace_id": TRACE}, 0.02)


async def test_other_paths_and_methods_are_refused() -> None:
    async with shown(of(Requests())) as url:
        for address, method, status in ((url.removesuffix("metrics"), "GET", 404), (url, "POST", 405)):
            with pytest.raises(HTTPError) as refused:
                await asyncio.to_thread(urlopen, Request(address, method=method))  # noqa: S310
            refused.value.close()
            assert refused.value.code == status


async def test_clients_that_say_nothing_are_let_go_and_too_many_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving._Handler, "timeout", 1.0)
    async with shown(of(Requests())) as url:
        port = int(url.split(":")[2].split("/")[0])
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(serving.SCRAPES_MOST)]
        with socket.create_connection(("127.0.0.1", port)) as one_more:
            one_more.settimeout(PATIENCE_SECONDS)
            assert await asyncio.to_thread(one_more.recv, 1) == b""
        for each in silent:
            each.settimeout(PATIENCE_SECONDS)
            assert await asyncio.to_thread(each.recv, 1) == b""
            each.close()
        assert "http_requests_in_flight" in await asyncio.to_thread(read, url)


async def test_the_database_is_asked_once_however_often_metrics_are_read() -> None:
    asked = list[float]()

    async def ask() -> None:
        asked.append(asyncio.get_running_loop().time())

    metrics = of(Requests(), ask)
    for _ in range(5):
        await asyncio.to_thread(lambda: list(metrics.collect()))
    assert len(asked) == 1


async def test_a_database_that_is_silent_leaves_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "REFRESH_WAIT_SECONDS", 0.01)
    requests = Requests()
    ended(requests)
    metrics = of(requests, asyncio.Event().wait)
    assert values(await asyncio.to_thread(lambda: list(metrics.collect())), "http_requests_in_flight") == {
        (): 0
    }


# ── several processes ────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def together() -> Iterator[Together]:
    whole = Together()
    yield whole
    for member in whole._members:
        member.close()


def joined(together: Together, requests: Requests) -> tuple[Member, Answers]:
    member = together.joined()
    return member, Answers(member.theirs, of(requests))


async def read_of(together: Together) -> list[Metric]:
    return await asyncio.to_thread(lambda: list(together.collect()))


async def test_processes_add_up_and_one_that_has_ended_goes_on_counting(together: Together) -> None:
    one, other = Requests(), Requests()
    for requests, times in ((one, 3), (other, 4)):
        for _ in range(times):
            ended(requests)
        requests.in_flight += 1
    first, _ = joined(together, one)
    joined(together, other)
    before = await read_of(together)
    ok = ("/v1/books", "GET", "2xx")
    assert values(before, "http_requests_total")[ok] == 7
    assert values(before, "http_requests_in_flight") == {(): 2}
    assert values(before, "service_processes") == {("answering",): 2, ("silent",): 0}
    examples = [each.exemplar for metric in before for each in metric.samples if each.exemplar]
    assert [each.labels["trace_id"] for each in examples] == [TRACE]

    together.left(first)
    joined(together, Requests())
    after = await read_of(together)
    assert values(after, "http_requests_total")[ok] == 7
    assert values(after, "http_request_duration_seconds_count")["/v1/books", "GET"] == 7
    assert values(after, "http_requests_in_flight") == {(): 1}
    assert values(after, "service_processes_replaced_total") == {(): 1}


async def test_a_process_that_is_silent_keeps_its_counts(
    together: Together, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = Requests()
    ended(requests)
    requests.in_flight += 1
    member, _ = joined(together, requests)
    await read_of(together)
    monkeypatch.setattr(processes, "ANSWER_SECONDS", 0.01)
    monkeypatch.setattr(member, "ask", lambda number: None)
    metrics = await read_of(together)
    assert values(metrics, "service_processes")["silent",] == 1
    assert values(metrics, "http_requests_total")["/v1/books", "GET", "2xx"] == 1
    assert values(metrics, "http_requests_in_flight") == {}


async def test_an_answer_that_came_too_late_is_not_taken_for_the_next_one(together: Together) -> None:
    requests = Requests()
    member, _ = joined(together, requests)
    member.ask(17)  # nobody waits for it
    ended(requests)
    assert values(await read_of(together), "http_requests_total")["/v1/books", "GET", "2xx"] == 1


async def test_of_what_is_one_for_all_processes_the_worst_is_shown(together: Together) -> None:
    assert "outbox_overdue_seconds" in families.SHARED
    for seconds in (5.0, 70.0):
        member, metric = together.joined(), Metric("outbox_overdue_seconds", "Late.", "gauge")
        metric.add_sample("outbox_overdue_seconds", {}, seconds)
        source: Any = SimpleNamespace(collect=lambda metric=metric: [metric])
        Answers(member.theirs, source)
    assert values(await read_of(together), "outbox_overdue_seconds") == {(): 70.0}
