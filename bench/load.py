"""The load: a few keep-alive connections, each of which sends its next request when it is answered.

A process of its own, so that its work is not the server's: `python -m bench.load` reads a `Job` on standard
input and writes what it `Measured` on standard output. Any answer that is not the expected one ends it.
"""

import asyncio
import gc
import sys
import time
from collections.abc import Iterator
from itertools import cycle
from typing import cast, override

import msgspec
import uvloop

from bench.machine import cpu_seconds

CONNECTIONS = 16


class Job(msgspec.Struct):
    """What is sent where, and for how long. `once`: each request a single time, and then it is over."""

    port: int
    pid: int
    seconds: float
    status: int
    requests: list[bytes]
    connections: int = CONNECTIONS
    once: bool = False


class Measured(msgspec.Struct):
    """Latencies and `cpu` (the server's, for each request) are in microseconds.

    `created` are the ids in the `Location` headers.
    """

    requests: int
    seconds: float
    cpu: float
    p50: float
    p99: float
    created: list[str]


class Round:
    """What the connections share."""

    def __init__(self, job: Job) -> None:
        self.status = str(job.status).encode()
        self.requests: Iterator[bytes] = iter(job.requests) if job.once else cycle(job.requests)
        self.ends = 0.0
        self.latencies: list[float] = []
        self.created: list[str] = []
        self.busy = 0
        self.over = asyncio.get_running_loop().create_future()

    def fail(self, reason: str) -> None:
        if not self.over.done():
            self.over.set_exception(RuntimeError(reason))


class Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, shared: Round) -> None:
        self._round = shared
        self._received = bytearray()
        self._length = 0  # of the whole answer; 0 until its head is there
        self._sent = 0.0

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def start(self) -> None:
        self._round.busy += 1
        self._next(time.perf_counter())

    @override
    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        if not self._length and not self._read_head():
            return
        if len(received) < self._length:
            return
        received.clear()
        self._length = 0
        now = time.perf_counter()
        self._round.latencies.append(now - self._sent)
        self._next(now)

    def _read_head(self) -> bool:
        received = self._received
        end = received.find(b"\r\n\r\n")
        if end < 0:
            return False
        if received[9:12] != self._round.status:
            self._round.fail(received.decode(errors="replace"))
        length = location = bytearray()
        for line in received[:end].split(b"\r\n"):
            name, _, value = line.partition(b":")
            match name.lower():
                case b"content-length":
                    length = value
                case b"location":
                    location = value
        if location:
            self._round.created.append(location.rpartition(b"/")[2].decode())
        self._length = end + 4 + int(length or b"0")
        return True

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._round.fail(f"The server closed a connection: {exc}")

    def _next(self, now: float) -> None:
        request = next(self._round.requests, None) if now < self._round.ends else None
        if request is not None:
            self._sent = now
            self._transport.write(request)
            return
        self._round.busy -= 1
        if not self._round.busy and not self._round.over.done():
            self._round.over.set_result(None)


async def measure(job: Job) -> Measured:
    """Raises RuntimeError with the answer that was not the expected one."""
    loop, shared = asyncio.get_running_loop(), Round(job)
    clients = [
        (await loop.create_connection(lambda: Client(shared), "127.0.0.1", job.port))[1]
        for _ in range(job.connections)
    ]
    await asyncio.sleep(0.05)  # the server has accepted them all and is idle again
    cpu, begun = cpu_seconds(job.pid), time.perf_counter()
    shared.ends = begun + job.seconds
    for client in clients:
        client.start()
    await shared.over
    seconds, cpu = time.perf_counter() - begun, cpu_seconds(job.pid) - cpu
    count, latencies = len(shared.latencies), sorted(shared.latencies)
    return Measured(
        requests=count,
        seconds=seconds,
        cpu=cpu / count * 1e6,
        p50=latencies[count // 2] * 1e6,
        p99=latencies[count * 99 // 100] * 1e6,
        created=shared.created,
    )


def main() -> int:
    """Measures one job; exit status 1 after saying on standard error what was answered instead."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    gc.disable()
    try:
        measured = uvloop.run(measure(job))
    except (RuntimeError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    sys.stdout.buffer.write(msgspec.json.encode(measured))
    return 0


if __name__ == "__main__":
    sys.exit(main())
