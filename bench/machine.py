"""The machine under the measurement: which core does what, and how much processor time a process has used."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

type Cores = frozenset[int] | None
"""Where a process may run; `None` where the system does not let itself be told."""


def split_cores() -> tuple[Cores, Cores]:
    """A core for the server under test, and the others for all the rest: the load and PostgreSQL."""
    if sys.platform != "linux":
        return None, None
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) == 1:
        return frozenset(cores), frozenset(cores)
    return frozenset(cores[-1:]), frozenset(cores[:-1])


@contextmanager
def on(cores: Cores) -> Iterator[None]:
    """Processes that are started in this block run on these cores."""
    if sys.platform != "linux" or cores is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_seconds(pid: int) -> float:
    """The processor time of a process so far, all of its threads together."""
    if sys.platform == "linux":
        # How clock_getcpuclockid(3) makes the clock of another process; it counts nanoseconds, where
        # /proc/PID/stat counts hundredths of a second.
        return time.clock_gettime((~pid << 3) | 2)
    else:
        said = subprocess.check_output(["ps", "-o", "time=", "-p", str(pid)], text=True)
        minutes, _, seconds = said.strip().rpartition(":")  # on macOS they are two: 1:02.34
        return int(minutes) * 60 + float(seconds)
