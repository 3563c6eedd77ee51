"""What was measured, as a table for people and as JSON for programs."""

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench.load import Measured
from bench.operations import Operation


class Figures(msgspec.Struct):
    """One server at one operation; microseconds but for requests per second, each from its better rounds."""

    rounds: int
    requests: int
    requests_per_second: float
    cpu: float
    p50: float
    p99: float


class Row(msgspec.Struct):
    """One operation. `ratio` is the service's processor time in multiples of the yardstick's."""

    service: Figures
    yardstick: Figures | None
    ratio: float | None
    goal: float | None
    met: bool | None


class Probes(msgspec.Struct):
    """What was measured without HTTP."""

    token_remembered_us: float
    token_proved_us: float
    token_recognised_us: float


class Report(msgspec.Struct):
    """All of it, with the facts of the machine that matter."""

    at: datetime
    python: str
    system: str
    cores: int
    load: float
    """How many processes wanted a core, on average, in the minute before."""
    resource: str
    rows: int
    operations: dict[str, Row]
    probes: Probes


def figures(rounds: Sequence[Measured]) -> Figures:
    """Quartiles on the good side: what disturbs a round only ever makes it slower."""

    def low(values: list[float]) -> float:
        return statistics.quantiles(values, n=4, method="inclusive")[0] if len(values) > 1 else values[0]

    return Figures(
        rounds=len(rounds),
        requests=sum(one.requests for one in rounds),
        requests_per_second=-low([-one.requests / one.seconds for one in rounds]),
        cpu=low([one.cpu for one in rounds]),
        p50=low([one.p50 for one in rounds]),
        p99=low([one.p99 for one in rounds]),
    )


def summary(
    service: Mapping[str, Sequence[Measured]],
    yardstick: Mapping[str, Sequence[Measured]],
    probes: Probes,
    *,
    operations: Mapping[str, Operation],
    resource: str,
    number: int,
    load: float,
) -> Report:
    rows = {}
    for name, rounds in service.items():
        operation, ours = operations[name], figures(rounds)
        measured = yardstick.get(operation.against or "")
        by_hand = figures(measured) if measured else None
        ratio = ours.cpu / by_hand.cpu if by_hand else None
        met = ratio <= operation.goal if ratio and operation.goal else None
        rows[name] = Row(ours, by_hand, ratio, operation.goal, met)
    return Report(
        at=datetime.now(UTC),
        python=platform.python_version(),
        system=platform.system(),
        cores=os.cpu_count() or 0,
        load=load,
        resource=resource,
        rows=number,
        operations=rows,
        probes=probes,
    )


def write(report: Report, path: Path) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


def as_text(report: Report, operations: Mapping[str, Operation]) -> str:
    """The table, aligned, and what it does not say."""
    heads = ["req/s", "CPU µs", "p50 ms", "p99 ms"]
    table = [["", *heads, *heads, "ratio", "goal", ""]]
    for name, row in report.operations.items():
        by_hand = _cells(row.yardstick) if row.yardstick else [""] * 4
        ratio = f"{row.ratio:.2f}" if row.ratio else ""
        goal = f"≤ {row.goal:g}" if row.goal else ""
        verdict = {True: "met", False: "MISSED", None: ""}[row.met]
        table.append([operations[name].title, *_cells(row.service), *by_hand, ratio, goal, verdict])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    widths[5] += 4  # the yardstick's figures begin here
    lines = [
        "".join(
            [
                cells[0].ljust(widths[0]),
                *(f"  {cell:>{width}}" for cell, width in zip(cells[1:], widths[1:], strict=True)),
            ]
        ).rstrip()
        for cells in table
    ]
    top = f"{'service':>{sum(widths[:5]) + 8}}{'by hand':>{sum(widths[5:9]) + 8}}{'CPU':>{widths[9] + 2}}"
    return "\n".join([top, *lines, "", *_notes(report, operations)])


def _cells(one: Figures) -> list[str]:
    return [
        f"{one.requests_per_second:,.0f}",
        f"{one.cpu:,.0f}",
        f"{one.p50 / 1e3:.2f}",
        f"{one.p99 / 1e3:.2f}",
    ]


def _of_tokens(probes: Probes) -> str:
    return (
        f"A token is verified in {probes.token_remembered_us:.1f} µs while it is remembered; without the "
        f"cache in {probes.token_proved_us:.0f} µs, and in {probes.token_recognised_us:.0f} µs with the "
        "statement for its session."
    )


def _notes(report: Report, operations: Mapping[str, Operation]) -> list[str]:
    notes = [
        f"{report.rows:,} {report.resource}, Python {report.python}.",
        f"{report.cores} cores, of which the server has one.",
        "CPU is the processor time of the server's process for each request; its ratio is what counts.",
        _of_tokens(report.probes),
    ]
    if report.load > report.cores / 2:
        notes.append(
            f"The machine was busy before (load {report.load:.1f}): a quiet one shows lower figures."
        )
    judged = {name: row.met for name, row in report.operations.items() if row.met is not None}
    if missed := [operations[name].title for name, met in judged.items() if not met]:
        notes.append(f"GOALS MISSED: {', '.join(missed)}.")
    elif judged:
        notes.append("All goals are met.")
    return notes
