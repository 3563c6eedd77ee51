"""The suite through PgBouncer: a pytest plugin that puts one in front of the suite's PostgreSQL.

TEST_POOLER           transaction: the service of the tests reaches its database through PgBouncer in
                      transaction mode; what looks at the database by hand goes past it. Default: none
TEST_PGBOUNCER_IMAGE  an image that has PgBouncer 1.21 or newer; without it, a `pgbouncer` on PATH

Where there is neither, there is nothing to run, and in CI that is an error.
"""

import os
from typing import Any

import pytest

from kernel.servers.pgbouncer import MISSING, PLACE, PgBouncer, program
from kernel.servers.postgres import SERVER


@pytest.hookimpl(trylast=True)  # once there is a PostgreSQL
def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    if hasattr(config, "workerinput") or not (wanted := os.environ.get("TEST_POOLER")):
        return
    if wanted != "transaction":
        raise pytest.UsageError(f"TEST_POOLER is {wanted!r}: use transaction, or leave it out.")
    server = config.stash.get(SERVER, None)
    if server is None:
        return
    if program() is None:
        if os.environ.get("CI"):
            raise pytest.UsageError(MISSING)
        pytest.exit(f"Skipped: {MISSING}", returncode=0)
    pgbouncer = PgBouncer(server.dsn)
    config.add_cleanup(pgbouncer.close)
    pgbouncer.start()
    os.environ[PLACE] = pgbouncer.place


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["pooler"] = os.environ.get(PLACE, "")


def pytest_configure(config: pytest.Config) -> None:
    if place := getattr(config, "workerinput", {}).get("pooler"):
        os.environ[PLACE] = place


def pytest_report_header() -> str | None:
    return f"pooler: PgBouncer at {os.environ[PLACE]}" if PLACE in os.environ else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("TEST_POOLER"):
        for item in items:
            if marker := item.get_closest_marker("past_pooler"):
                item.add_marker(pytest.mark.skip(reason=marker.args[0]))
