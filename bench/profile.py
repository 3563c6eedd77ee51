"""Where an operation spends its time, or its memory: `make profile ARGS=create`, `make profile-memory`.

The load of `make bench` on one operation of the service, while py-spy looks at its stack a thousand times a
second; or with memray in the service, which is told of every allocation and makes it several times slower.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.machine import split_cores
from bench.operations import operations_of
from bench.servers import BenchError
from bench.stage import Stage, set_up
from bench.subjects import subject
from entrypoints.kernel.tools.embedded import EmbeddedPostgresError

FOLDER = Path(__file__).parents[1] / ".profile"
RATE = 1000  # stacks a second
LINES = 25  # of the table

_MEMRAY = ("-m", "memray", "run", "--quiet", "--force", "--output")


def profile(stage: Stage, name: str, *, seconds: float) -> Path:
    """A flame graph of the operation, and a table of self time on standard output; raises BenchError."""
    graph, stacks = FOLDER / f"{name}.svg", FOLDER / f"{name}.txt"
    for path, kind in ((graph, "flamegraph"), (stacks, "raw")):
        with stage.under_load(name, seconds=seconds):
            _py_spy(stage.service.pid, path, kind, seconds=seconds)
    print(table(stacks.read_text("utf-8").splitlines()))
    return graph


def profile_memory(recorded: Path, name: str) -> Path:
    """A flame graph of what was allocated and kept at the peak, and a table of it; raises BenchError."""
    graph = FOLDER / f"{name}-memory.html"
    _memray("flamegraph", "--force", "--output", str(graph), str(recorded))
    print(_memray("summary", "--max-rows", str(LINES), str(recorded)))
    return graph


def _memray(*words: str) -> str:
    shown = subprocess.run(
        [sys.executable, "-m", "memray", *words],
        env={**os.environ, "COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=False,
    )
    if shown.returncode:
        raise BenchError(f"memray cannot read what it recorded: {shown.stderr.strip()}")
    return shown.stdout


def table(stacks: Iterable[str]) -> str:
    """The functions that the stacks end in, the most frequent first, each with its share of all stacks.

    A stack is a line of names with semicolons in between, the innermost last, and how often it was seen.
    """
    here, within, total = Counter[str](), Counter[str](), 0
    for line in stacks:
        names, _, count = line.rpartition(" ")
        frames = [re.sub(r":\d+\)$", ")", frame) for frame in names.split(";")]
        total += int(count)
        here[frames[-1]] += int(count)
        for frame in {*frames}:
            within[frame] += int(count)
    if not total:
        return "There was nothing to see: the service has done nothing."
    rows = [
        f"{count / total:7.1%} {within[frame] / total:7.1%}  {frame}"
        for frame, count in here.most_common(LINES)
    ]
    return "\n".join(["   self   total  function", *rows])


def _py_spy(pid: int, path: Path, kind: str, *, seconds: float) -> None:
    rate = ("--rate", str(RATE), "--duration", str(max(1, round(seconds))), "--nonblocking")
    spied = subprocess.run(
        [
            Path(sys.executable).with_name("py-spy"),
            "record",
            "--pid",
            str(pid),
            *rate,
            "--format",
            kind,
            "--output",
            path,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if spied.returncode:
        raise BenchError(
            f"py-spy may not look into the service: {spied.stderr.strip()}\nLinux: run as root, or set "
            "kernel.yama.ptrace_scope to 0. macOS: run with sudo."
        )


def main(arguments: Sequence[str]) -> int:
    """0 when the flame graph is written; it says where."""
    parser = argparse.ArgumentParser(prog="python -m bench profile", description=__doc__)
    parser.add_argument("operation")
    parser.add_argument("--resource", default="", help="as for make bench")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long (10)")
    parser.add_argument("--memory", action="store_true", help="allocations in the place of time")
    options = parser.parse_args(arguments)
    try:
        measured = subject(options.resource)
    except BenchError as error:
        parser.error(str(error))
    choices = [name for name in operations_of(measured) if name != "complete"]
    if options.operation not in choices:
        parser.error(f"There is no {options.operation}. There are: {', '.join(choices)}.")
    core, other_cores = split_cores()
    FOLDER.mkdir(exist_ok=True)
    recorded = FOLDER / f"{options.operation}.memray"
    under = (*_MEMRAY, str(recorded)) if options.memory else ()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="bench-") as folder,
            set_up(Path(folder), measured, core=core, other_cores=other_cores, under=under) as stage,
        ):
            if options.memory:
                with stage.under_load(options.operation, seconds=options.seconds):
                    graph = recorded
            else:
                graph = profile(stage, options.operation, seconds=options.seconds)
        if options.memory:
            graph = profile_memory(recorded, options.operation)  # it is whole once the service has ended
    except (BenchError, EmbeddedPostgresError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(f"\nThe flame graph is {graph}")
    return 0
