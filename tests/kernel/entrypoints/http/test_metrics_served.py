"""The metrics of the real server and the real worker, as Prometheus reads them."""

import asyncio
import json
import os
import re
import signal
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from httpx2 import AsyncClient, HTTPError
from prometheus_client.parser import text_string_to_metric_families

from entrypoints.kernel.service import ROOT
from kernel.servers.serving import environment_of, serving, start
from kernel.servers.workers import a_worker, logged

MONITORING = ROOT / "deploy/monitoring"
PATIENCE_SECONDS = 120
NAME = re.compile(
    r"\b(?:build|database|event_loop|http|outbox|password|process|provider|rate_limit|readiness|service|signing|"
    r"tokens|worker)_[a-z_]+"
)
OF_OPERATORS = {"process_max_fds"}  # of the system

type Shown = Mapping[str, Mapping[tuple[str, ...], float]]


def a_port() -> str:
    return environment_of("")["PORT"]


async def scrape(port: str) -> Shown:
    """All samples by their names, and by the values of their labels in the order of the labels' names."""
    async with AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_SECONDS)
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


async def served(port: str, enough: Callable[[Shown], bool] = lambda shown: True) -> Shown:
    """The same, once there is enough."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with suppress(HTTPError):
                if enough(shown := await scrape(port)):
                    return shown
            await asyncio.sleep(0.05)


def both_answer(shown: Shown) -> bool:
    return shown["service_processes"]["answering",] == 2


def children(process: Process) -> list[int]:
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in found if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.fixture
def environment(empty_database_url: str) -> dict[str, str]:
    return environment_of(empty_database_url, METRICS_PORT=a_port())


async def test_a_server_shows_what_it_did_and_no_more_than_it_has_routes(environment: dict[str, str]) -> None:
    port = environment["METRICS_PORT"]
    async with serving(environment) as (client, _):
        bad = {"authorization": "Bearer not.a.token"}
        before = await served(port)
        for number in range(50):
            await client.request(
                f"MADE{number}UP", f"/v1/nowhere/{number}", headers={"user-agent": f"{number}"}
            )
            await client.get(f"/v1/workspaces/{number}", headers=bad)
        assert (await client.get("/metrics")).status_code == 404
        after = await served(port)
    ended = after["http_requests_total"]
    assert ended["other", "unmatched", "4xx"] == 50
    assert ended["GET", "/v1/workspaces/{workspace_id}", "4xx"] == 50
    assert {name[:2] for name in ended} - {name[:2] for name in before["http_requests_total"]} <= {
        ("other", "unmatched"),
        ("GET", "unmatched"),
        ("GET", "/v1/workspaces/{workspace_id}"),
    }
    assert sum(after["tokens_refused_total"].values()) == 50
    assert after["http_requests_in_flight"] == {(): 0}
    assert after["readiness_check"]["database",] == 0
    assert after["worker_heartbeat_age_seconds"] == {(): float("inf")}
    assert "database_pool_wait_seconds_count" in after


async def test_the_processes_of_a_server_are_shown_as_one(environment: dict[str, str]) -> None:
    port, path = environment["METRICS_PORT"], ("GET", "/v1/auth/providers")
    async with serving({**environment, "WORKERS": "2"}) as (client, process):
        await served(port, both_answer)

        async def ask(times: int) -> None:
            for _ in range(times):  # each over a connection of its own, which either process may take
                async with AsyncClient(base_url=client.base_url) as another:
                    await another.get(path[1])

        await ask(40)
        first = await served(port)
        assert sum(count for name, count in first["http_requests_total"].items() if name[:2] == path) == 40
        assert first["http_request_duration_seconds_count"][path] == 40
        assert first["process_resident_memory_bytes"][()] > 1e8  # of both

        os.kill(children(process)[0], signal.SIGKILL)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                now = await served(port)
                assert now["http_request_duration_seconds_count"][path] == 40
                if (
                    now["service_processes_replaced_total"][()]
                    and now["service_processes"]["answering",] == 2
                ):
                    break
                await asyncio.sleep(0.05)
        await ask(10)
        assert (await served(port))["http_request_duration_seconds_count"][path] == 50


async def test_a_process_that_is_frozen_is_shown_as_silent_and_counts_again(
    environment: dict[str, str],
) -> None:
    port = environment["METRICS_PORT"]
    async with serving({**environment, "WORKERS": "2"}) as (_, process):
        await served(port, both_answer)
        frozen = children(process)[0]
        os.kill(frozen, signal.SIGSTOP)
        try:
            assert (await served(port))["service_processes"]["silent",] >= 1
        finally:
            os.kill(frozen, signal.SIGCONT)
        await served(port, both_answer)


async def test_a_worker_shows_what_it_delivers(empty_database_url: str) -> None:
    port = a_port()
    async with a_worker(empty_database_url, METRICS_PORT=port) as process:
        await logged(process, "metrics served")
        shown = await served(port, lambda now: "worker_heartbeat_age_seconds" in now)
    assert shown["outbox_deliveries_total"]["delivered", "MailReactions.invite"] == 0
    assert shown["outbox_parked"]["MailReactions.invite",] == 0
    assert shown["outbox_lane_paused"]["mail",] == 0
    assert shown["worker_heartbeat_age_seconds"][()] < PATIENCE_SECONDS


async def test_a_port_that_is_in_use_is_told_before_anything_is_served(environment: dict[str, str]) -> None:
    async with serving(environment):
        another = environment_of(environment["DATABASE_URL"], METRICS_PORT=environment["METRICS_PORT"])
        process = await start(another)
        _, said = await process.communicate()
    assert process.returncode == 1
    told = (
        f"Port {environment['METRICS_PORT']} is in use by another program. Set METRICS_PORT to another one."
    )
    assert told in said.decode()


# ── what is made of them ─────────────────────────────────────────────────────────────────────────


def queries() -> list[str]:
    """Of the dashboard."""
    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]


async def test_each_metric_of_an_alert_or_a_panel_is_shown(
    environment: dict[str, str], empty_database_url: str
) -> None:
    rules = re.sub(r"#.*|runbook: .*|summary: .*", "", (MONITORING / "alerts.yml").read_text())
    wanted = {*NAME.findall(rules), *(name for each in queries() for name in NAME.findall(each))}
    assert len(wanted) > 30
    port = a_port()
    async with (
        serving({**environment, "WORKERS": "2"}) as (client, _),
        a_worker(empty_database_url, METRICS_PORT=port),
    ):
        assert (await client.get("/.well-known/jwks.json")).status_code == 200
        answers = []
        for each in (environment["METRICS_PORT"], port):
            await served(each)
            async with AsyncClient() as reader:
                answers.append((await reader.get(f"http://127.0.0.1:{each}/metrics", timeout=60)).text)
    families = {
        name.removesuffix("_total")
        for text in answers
        for name in re.findall(r"^# TYPE (\w+)", text, re.MULTILINE)
    }
    missing = {
        name for name in wanted if re.sub(r"_(?:bucket|count|sum|total)$", "", name) not in families
    } - {name for name in wanted if name in families}
    assert missing == set()


def test_each_alert_has_a_section_in_the_runbook_and_each_section_an_alert() -> None:
    text = (MONITORING / "alerts.yml").read_text()
    alerts = re.findall(r"- alert: (\w+)", text)
    assert re.findall(r"runbook: docs/operations\.md#(\w+)", text) == [alert.lower() for alert in alerts]
    runbook = (ROOT / "docs/operations.md").read_text().partition("\n## Alerts\n")[2].partition("\n## ")[0]
    assert re.findall(r"^### (\w+)$", runbook, re.MULTILINE) == alerts
    tested = re.findall(r"^  # (\w+)$", (MONITORING / "alerts_test.yml").read_text(), re.MULTILINE)
    assert set(tested) == set(alerts)
