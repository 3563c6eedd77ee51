"""Log lines whose reader is late, stalled, or gone."""

import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from structlog.testing import capture_logs

from entrypoints.kernel.telemetry import output
from entrypoints.kernel.telemetry.output import lines_lost, output_on

LINES = [b"%05d %s\n" % (number, b"w" * (number * 61 % 6000)) for number in range(200)]
"""More than a pipe holds, some longer than what it takes in one piece."""

type Ends = tuple[BinaryIO, int]
"""What is written to, and the descriptor that is read."""


@pytest.fixture(params=["pipe", "pipe of another user", "socket"])
def ends(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ends]:
    if request.param == "socket":
        theirs, ours = socket.socketpair()
        read, written = theirs.detach(), ours.detach()
    else:
        read, written = os.pipe()
    if request.param == "pipe of another user":
        monkeypatch.setattr("os.open", refused)
    with os.fdopen(written, "wb", buffering=0) as stream:
        yield stream, read
    os.close(read)


def refused(path: str, *_: object) -> int:
    raise PermissionError(path)


def all_of(descriptor: int, *, until: bytes) -> bytes:
    said = b""
    while not said.endswith(until):
        ready, _, _ = select.select([descriptor], [], [], 10)
        assert ready, "Nothing more was written."
        said += os.read(descriptor, 1 << 16)
    return said


def until(holds: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < ends_at
        time.sleep(0.01)


def no_thread() -> bool:
    return all(thread.name != "log" for thread in threading.enumerate())


def test_lines_that_are_read_are_written_at_once(ends: Ends) -> None:
    stream, read = ends
    lines = output_on(stream)
    lines.write(b"here\n")
    lines.flush()
    assert os.read(read, 100) == b"here\n"
    assert no_thread()


def test_nobody_waits_for_a_reader_that_is_late_and_no_line_is_lost(ends: Ends) -> None:
    stream, read = ends
    lines = output_on(stream)
    for line in LINES:
        lines.write(line)
    assert not no_thread()
    assert all_of(read, until=LINES[-1]) == b"".join(LINES)
    until(no_thread)
    lines.write(b"at once again\n")
    assert os.read(read, 100) == b"at once again\n"


def test_what_is_too_much_is_lost_by_whole_lines_and_counted(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output.Output.__init__, "__kwdefaults__", {"most_bytes": 10_000})
    stream, read = ends
    lines, before = output_on(stream), lines_lost()
    with capture_logs() as logged:
        count = 0
        while count < 3000:
            lines.write(b"%06d\n" % count + b"w" * 993 + b"\n")
            count += 1
        said = b""
        ends_at = time.monotonic() + 10
        while not logged:
            assert time.monotonic() < ends_at, "Nothing is told of lost lines."
            ready, _, _ = select.select([read], [], [], 0.1)
            if ready:
                said += os.read(read, 1 << 16)
        while select.select([read], [], [], 0.1)[0]:
            said += os.read(read, 1 << 16)
    numbers = [int(line) for line in said.split() if line.isdigit()]
    assert numbers == list(range(len(numbers)))
    assert said.count(b"\n") == 2 * len(numbers)
    (told,) = logged
    assert told["event"] == "log lines were lost"
    assert told["count"] == 3000 - len(numbers) == lines_lost() - before


def test_a_reader_that_has_gone_fails_nobody(ends: Ends) -> None:
    stream, read = ends
    lines = output_on(stream)
    with Path(os.devnull).open("rb") as null:
        os.dup2(null.fileno(), read)
    for line in LINES[:3]:
        lines.write(line)
    assert no_thread()


def test_the_end_of_the_process_waits_a_moment_for_a_reader(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "_LAST_SECONDS", 0.05)
    stream, read = ends
    lines = output_on(stream)
    for line in LINES:
        lines.write(line)
    began = time.monotonic()
    lines.finish()  # type: ignore[attr-defined]  # of Output
    assert 0.05 <= time.monotonic() - began < 5
    assert all_of(read, until=LINES[-1]) == b"".join(LINES)
    until(no_thread)
    lines.finish()  # type: ignore[attr-defined]


def test_others_who_share_the_pipe_still_wait_for_it() -> None:
    read, written = os.pipe()
    with os.fdopen(written, "wb", buffering=0) as stream:
        output_on(stream).write(b"ours\n")
        assert os.get_blocking(written)
    os.close(read)


def test_a_file_is_written_to_as_it_is(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        assert output_on(file) is file
