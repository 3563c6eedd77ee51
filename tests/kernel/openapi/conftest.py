"""The service that the tests of this folder ask, and the figures of what it was asked."""

from collections import Counter
from collections.abc import Callable, Iterator

import pytest
import requests
from anyio.from_thread import start_blocking_portal

from kernel.openapi.service import Answers, Service, world_and_address


def pytest_configure(config: pytest.Config) -> None:
    if not config.pluginmanager.hasplugin("schemathesis"):  # without it most tests would not be found
        raise pytest.UsageError("Run these with `make test-contract`, or with `-p schemathesis`.")


@pytest.fixture(scope="session")
def service(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    log = tmp_path_factory.mktemp("openapi") / "service.log"
    with (
        start_blocking_portal() as portal,  # the tests are not async
        portal.wrap_async_context_manager(world_and_address(database_url, log)) as (world, url),
        requests.Session() as session,
    ):
        yield Service(url, world, session, portal)


@pytest.fixture
def answers(record_property: Callable[[str, object], None]) -> Iterator[Answers]:
    """What one operation has answered. It fails if it never did what it is for, whoever asked."""
    answers = Answers()
    record_property("answers", answers.counts)
    yield answers
    assert answers.done, f"Nobody ever succeeded: {answers.counts}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How much was asked by whom, and what the answers were."""
    told = [
        (name, value)
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if report.when == "call"
    ]
    operations = [counts for name, counts in told if name == "answers"]
    callers, succeeded, statuses, links = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for counts in operations:
        for key, count in counts.items():
            caller, status = key.split()
            callers[caller] += count
            succeeded[caller] += count * (int(status) < 400)
            statuses[status] += count
    for followed in (counts for name, counts in told if name == "links"):
        links.update(followed)
    line = terminalreporter.write_line
    line(f"{len(operations)} operations were asked {callers.total()} times; successes of requests by caller:")
    line("  " + ", ".join(f"{name} {succeeded[name]} of {n}" for name, n in callers.items()))
    line("  " + ", ".join(f"{status}: {n}" for status, n in sorted(statuses.items())))
    lives = sum(count for name, count in told if name == "lives")
    line(f"{len(links)} links were followed {links.total()} times, {lives} things to their end")
