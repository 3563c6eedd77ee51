"""Every metric that a process shows, and where its numbers are: read when a scrape comes, never before.

Nothing here runs on the event loop but what has to ask the database: the look of readiness, and what waits in
the outbox. That is begun by a scrape, at most once in REFRESH_SECONDS, and waited for REFRESH_WAIT_SECONDS.
"""

import asyncio
import platform
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError as FutureCancelled
from datetime import timedelta
from operator import attrgetter
from threading import Lock
from time import monotonic
from typing import Any, Final, Protocol, runtime_checkable

import structlog
from prometheus_client import ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from application.kernel.ports.events import Backlog
from application.kernel.ports.figures import Durations, PoolFigures
from application.kernel.ports.health import Vitals
from application.kernel.ports.world import WorldError
from entrypoints.kernel.container import KernelContainer
from entrypoints.kernel.lanes import Circuit, Counted
from entrypoints.kernel.metrics.requests import Requests
from entrypoints.kernel.metrics.turning import Turning
from entrypoints.kernel.service import SERVICE_NAME, SERVICE_VERSION
from entrypoints.kernel.telemetry.output import lines_lost

log = structlog.get_logger("metrics")

REFRESH_SECONDS: Final = 10.0
REFRESH_WAIT_SECONDS: Final = 2.5

SHARED: Final = frozenset(
    {
        "build_info",
        "event_loop_silent_seconds",
        "http_connections_most",
        "outbox_has_parked",
        "outbox_overdue_seconds",
        "process_start_time_seconds",
        "provider_certificate_until_seconds",
        "provider_keys_age_seconds",
        "readiness_check",
        "signing_key_age_seconds",
        "signing_key_lasts_seconds",
        "signing_keys_read_age_seconds",
        "worker_heartbeat_age_seconds",
    }
)
"""What is one for all processes of a service, or counts by its worst: where several are added up, of these
gauges the largest is shown."""

READ_ONLY: Final = "25006"
"""The SQLSTATE of a database that takes no changes."""

_CLASSES: Final = ("", "1xx", "2xx", "3xx", "4xx", "5xx")

type Source = Callable[[], Iterable[Metric]]
"""Metrics, read at this moment and in any thread."""


@runtime_checkable
class Refusing(Protocol):
    """Counts what it refused, by reason."""

    refused: Counter[str]


@runtime_checkable
class Queueing(Protocol):
    """Has `inside` it what is worked at, by so many `hashers`, and what waits for them."""

    hashers: int
    inside: int
    refused: int


class Metrics:
    """What one process shows."""

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        loop: asyncio.AbstractEventLoop,
        refresh: Callable[[], Awaitable[object]],
    ) -> None:
        """`refresh` runs on `loop` before sources are read."""
        self._sources = sources
        self._loop = loop
        self._refresh = refresh
        self._due_at = float("-inf")
        self._one_at_a_time = Lock()

    def collect(self) -> Iterator[Metric]:
        """From any thread but that of the loop."""
        with self._one_at_a_time:
            self._refreshed()
            read = [metric for source in self._sources for metric in source()]
        yield from read

    def _refreshed(self) -> None:
        """A loop that is blocked, or a database that is silent, leaves what was known before."""
        if monotonic() < self._due_at or self._loop.is_closed():
            return
        self._due_at = monotonic() + REFRESH_SECONDS
        try:
            asyncio.run_coroutine_threadsafe(self._bounded(), self._loop).result(REFRESH_WAIT_SECONDS)
        except (TimeoutError, FutureCancelled, WorldError):
            pass  # the log and readiness tell of it
        except Exception:
            log.exception("what metrics ask for could not be had")

    async def _bounded(self) -> None:
        async with asyncio.timeout(REFRESH_SECONDS):
            await self._refresh()


def http_metrics(
    container: KernelContainer,
    requests: Requests,
    *,
    refresh: Callable[[], Awaitable[object]],
    checks: Callable[[], Mapping[str, int]],
    connections: Callable[[], int],
) -> tuple[Metrics, Turning]:
    """Those of a process that serves HTTP, on the loop that runs.

    `checks` says of each check of readiness, as it was found last, 0 for ok, 1 for degraded, 2 for failed.
    """
    turning, settings, observer = Turning(), container.settings(), container.observer()

    def serving() -> Iterator[Metric]:
        yield from _of_requests(requests)
        yield _gauge("http_connections", "Connections of clients that are open.", connections())
        most = settings.connections_most * settings.workers
        yield _gauge("http_connections_most", "CONNECTIONS_MOST, of all processes together.", most)
        yield _labelled(
            "gauge",
            "readiness_check",
            "What readiness found last: 0 it holds, 1 degraded, 2 failed.",
            ("check",),
            {(name,): state for name, state in checks().items()},
        )
        yield from _of_vitals(observer.last)

    sources = [
        *_of_every_process(container, turning),
        serving,
        _of_keys(container),
        _of_guards(container),
        *container.metrics(),
    ]
    return Metrics(sources, loop=asyncio.get_running_loop(), refresh=refresh), turning


def worker_metrics(
    container: KernelContainer, *, counted: Counted, paused: Mapping[str, Circuit]
) -> tuple[Metrics, Turning]:
    """Those of a worker, on the loop that runs; `paused` are the circuits of its lanes."""
    turning, waiting = Turning(), dict[str, Backlog]()
    outbox, heartbeats = container.outbox(), container.heartbeats()
    for name, _ in counted:
        waiting.setdefault(name, Backlog(parked=0, due=0, oldest_due_seconds=0))

    async def refresh() -> None:
        found = await outbox.backlog_by_reaction()
        for name in waiting.keys() | found.keys():
            waiting[name] = found.get(name, Backlog(parked=0, due=0, oldest_due_seconds=0))

    def working() -> Iterator[Metric]:
        yield _labelled(
            "counter",
            "outbox_deliveries",
            "How deliveries ended, by reaction.",
            ("reaction", "outcome"),
            dict(counted.items()),
        )
        backlogs = list(waiting.items())
        for name, told, value in (
            ("outbox_parked", "What is parked for an operator.", attrgetter("parked")),
            ("outbox_due", "What is due and was not delivered yet.", attrgetter("due")),
            (
                "outbox_oldest_due_seconds",
                "For how long that has been due which is due for the longest.",
                attrgetter("oldest_due_seconds"),
            ),
        ):
            yield _labelled(
                "gauge",
                name,
                f"{told} By outside reaction; without one, of events.",
                ("reaction",),
                {(reaction,): value(each) for reaction, each in backlogs},
            )
        yield _labelled(
            "gauge",
            "outbox_lane_paused",
            "Whether a lane is paused, since the other side does not answer.",
            ("lane",),
            {(lane,): float(circuit.open) for lane, circuit in paused.items()},
        )
        yield from _of_vitals(heartbeats.last, none_yet=0.0)  # its first beat does not see itself

    sources = [*_of_every_process(container, turning), working, *container.metrics()]
    return Metrics(sources, loop=asyncio.get_running_loop(), refresh=refresh), turning


# ── where the numbers are ────────────────────────────────────────────────────────────────────────


def _of_every_process(container: KernelContainer, turning: Turning) -> Iterator[Source]:
    pool, health = container.database().figures, container.health_database().figures
    yield ProcessCollector(registry=None).collect
    yield lambda: _of_the_process(turning)
    yield lambda: _of_pool(pool, health)


def _of_the_process(turning: Turning) -> Iterator[Metric]:
    labels = {"service": SERVICE_NAME, "version": SERVICE_VERSION, "python": platform.python_version()}
    yield _labelled("gauge", "build_info", "What runs here.", tuple(labels), {tuple(labels.values()): 1})
    yield _histogram("event_loop_lag", "How late the event loop was.", (), {(): turning.lag})
    yield _gauge(
        "event_loop_silent_seconds", "For how long the event loop has not turned.", turning.silent_seconds
    )
    yield _counter("log_lines_lost", "Lines of the log that nobody read in time.", lines_lost())


def _of_requests(requests: Requests) -> Iterator[Metric]:
    series = list(requests.series.items())
    yield _labelled(
        "counter",
        "http_requests",
        "Requests that have ended, by route template, method and class of the status.",
        ("route", "method", "status"),
        {
            (*name, _CLASSES[digit]): count
            for name, each in series
            for digit, count in enumerate(each.statuses)
            if count or digit > 1
        },
    )
    yield _histogram(
        "http_request_duration",
        "How long requests took until their answer was sent.",
        ("route", "method"),
        {name: each.durations for name, each in series},
    )
    yield _gauge("http_requests_in_flight", "Requests that are under way.", requests.in_flight)
    yield _labelled(
        "counter",
        "rate_limit_requests",
        "Requests that a rate limit counted, by its class.",
        ("class", "outcome"),
        {
            (name, outcome): counts[place]
            for name, counts in list(requests.limits.items())
            for place, outcome in enumerate(("allowed", "refused"))
        },
    )


def _of_pool(pool: PoolFigures, health: PoolFigures) -> Iterator[Metric]:
    yield _gauge("database_pool_size", "Connections that the pool may have.", pool.size)
    yield _gauge("database_pool_in_use", "Connections of the pool that are in use.", pool.taken)
    yield _gauge("database_pool_waiting", "Callers that wait for a connection.", pool.waiting)
    yield _counter(
        "database_pool_refused", "Callers that waited in vain: they were answered 503.", pool.refused
    )
    yield _histogram("database_pool_wait", "How long callers waited who had to wait.", (), {(): pool.waits})
    yield _histogram(
        "database_statement_duration",
        "How long statements took, by the module and variable that hold them.",
        ("statement",),
        {(name,): each for name, each in list(pool.statements.items())},
    )
    errors = Counter({READ_ONLY: 0})  # so that the first one is seen as an increase
    for each in (pool, health):
        errors.update(each.errors.copy())
    yield _labelled(
        "counter",
        "database_errors",
        "What went wrong with the database, by SQLSTATE, else by the driver's error.",
        ("code",),
        {(code,): count for code, count in errors.items()},
    )


def _of_vitals(vitals: Vitals | None, *, none_yet: float = float("inf")) -> Iterator[Metric]:
    """Nothing where the database does not tell; `none_yet` is the age where no heartbeat is seen."""
    if vitals is None:
        return
    yield _gauge(
        "outbox_overdue_seconds",
        "For how long the event has been due that is due for the longest.",
        (vitals.overdue or timedelta()).total_seconds(),
    )
    yield _gauge("outbox_has_parked", "Whether anything is parked for an operator.", vitals.parked)
    yield _gauge(
        "worker_heartbeat_age_seconds",
        "How long ago the last heartbeat of any worker was; Inf where there was none.",
        none_yet if vitals.beaten is None else max(0.0, vitals.beaten.total_seconds()),
    )


def _of_keys(container: KernelContainer) -> Source:
    key_ring, issuers = container.key_ring(), container.openid_issuers()

    def read() -> Iterator[Metric]:
        ring = key_ring.figures()
        for name, told, value in (
            ("signing_key_age_seconds", "How long the signing key has signed.", ring.signing_seconds),
            ("signing_key_lasts_seconds", "AUTH_KEY_DAYS.", ring.lasts_seconds),
            (
                "signing_keys_read_age_seconds",
                "How long ago the signing keys were read from the database.",
                ring.read_seconds,
            ),
        ):
            if value is not None:
                yield _gauge(name, told, value)
        yield _labelled(
            "counter",
            "signing_keys_readings",
            "How often the signing keys were read, or could not be.",
            ("result",),
            {(result,): count for result, count in ring.readings.items()},
        )
        providers = {name: each.discovery.figures() for name, each in issuers.items()}
        yield _labelled(
            "counter",
            "provider_key_refreshes",
            "How often the keys of an OpenID provider were fetched, by result.",
            ("provider", "result"),
            {(name, result): n for name, each in providers.items() for result, n in each.refreshes.items()},
        )
        yield _labelled(
            "gauge",
            "provider_keys_age_seconds",
            "How long ago the keys of an OpenID provider were fetched.",
            ("provider",),
            {(name,): age for name, each in providers.items() if (age := each.age_seconds) is not None},
        )
        yield _labelled(
            "gauge",
            "provider_certificate_until_seconds",
            "Until when the certificate of an OpenID provider is good, in Unix seconds.",
            ("provider",),
            {(name,): end for name, each in providers.items() if (end := each.certificate_until) is not None},
        )

    return read


def _of_guards(container: KernelContainer) -> Source:
    """Those that count: a service may have put others in their places."""
    verifiers = {"bearer": container.tokens(), "cookie": container.cookie_verifier()}
    refusing = {kind: each for kind, each in verifiers.items() if isinstance(each, Refusing)}
    queues = {
        "known": container.passwords(),
        "strangers": container.passwords_of_strangers(),
        "newcomers": container.passwords_of_newcomers(),
    }
    hashers = {name: each for name, each in queues.items() if isinstance(each, Queueing)}
    limits = container.rate_limits()

    def read() -> Iterator[Metric]:
        yield _counter(
            "rate_limit_fallbacks",
            "Requests that this process counted by itself, as Redis did not answer.",
            limits.fell_back,
        )
        yield _labelled(
            "counter",
            "tokens_refused",
            "Access tokens and session cookies that were refused, by reason.",
            ("kind", "reason"),
            {
                (kind, reason): n
                for kind, each in refusing.items()
                for reason, n in each.refused.copy().items()
            },
        )
        yield _labelled(
            "gauge",
            "password_hashes_waiting",
            "Passwords that wait to be hashed.",
            ("queue",),
            {(name,): max(0, each.inside - each.hashers) for name, each in hashers.items()},
        )
        yield _labelled(
            "counter",
            "password_hashes_refused",
            "Passwords that found no room to wait, or waited for too long: they were answered 503.",
            ("queue",),
            {(name,): each.refused for name, each in hashers.items()},
        )

    return read


# ── how they are written ─────────────────────────────────────────────────────────────────────────


def _gauge(name: str, told: str, value: float) -> Metric:
    return _labelled("gauge", name, told, (), {(): value})


def _counter(name: str, told: str, value: float) -> Metric:
    return _labelled("counter", name, told, (), {(): value})


def _labelled(kind: str, name: str, told: str, labels: Sequence[str], values: Mapping[Any, float]) -> Metric:
    metric = Metric(name, told, kind)
    sample = f"{name}_total" if kind == "counter" else name
    for given, value in values.items():
        metric.add_sample(sample, dict(zip(labels, given, strict=True)), value)
    return metric


def _histogram(name: str, told: str, labels: Sequence[str], values: Mapping[Any, Durations]) -> Metric:
    metric = Metric(f"{name}_seconds", told, "histogram")
    for given, durations in values.items():
        named, total = dict(zip(labels, given, strict=True)), 0
        counts, examples = list(durations.counts), list(durations.examples)
        for bound, count, example in zip((*durations.bounds, float("inf")), counts, examples, strict=True):
            total += count
            shown = None if example is None else Exemplar({"trace_id": example[0]}, example[1], example[2])
            less = {**named, "le": str(floatToGoString(bound))}  # type: ignore[no-untyped-call]
            metric.add_sample(f"{name}_seconds_bucket", less, total, exemplar=shown)
        metric.add_sample(f"{name}_seconds_count", named, total)
        metric.add_sample(f"{name}_seconds_sum", named, durations.seconds)
    return metric
