"""What has to hold under load and failure, on the real processes; each test tells its figure at the end.

A row of docs/operations.md is a test here. `HOURS` makes the long form of it, for a night: a test takes
`seconds` for its share of that time, and a few seconds without.
"""

import os
from collections.abc import Callable

import pytest

type Tell = Callable[[str, str], None]
"""What was measured, and the figure that came of it."""

type Share = Callable[[float], float]
"""For how many seconds a test goes on that goes on for so many in the short form."""

SHORT_SECONDS = 300.0  # what the short form takes in all, about


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.reliability)


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Keeps a figure for the table that ends the run."""
    return lambda measured, figure: record_property("figure", f"{measured}: {figure}")


@pytest.fixture(scope="session")
def share() -> Share:
    hours = float(os.environ.get("HOURS") or 0)
    longer = max(1.0, hours * 3600 / SHORT_SECONDS)
    return lambda seconds: seconds * longer


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("figures")
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == "figure" and report.when == "call":
                    terminalreporter.write_line(str(value))
