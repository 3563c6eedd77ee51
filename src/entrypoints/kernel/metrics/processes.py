"""Several processes that serve as one are shown as one: their supervisor asks each, and adds up.

A process answers on a thread of its own, over a socket that it has from its supervisor. Counters and
histograms are added, with the newest example of each bucket; of a gauge the sum is shown, or for those in
`SHARED` the largest. What a process had counted that has ended since goes on counting, so that no sum ever
falls: all but what it did after the last scrape.

prometheus-client's own way, files that all processes map, keeps that too, but loses the examples, costs each
request twice as much, knows no gauge that is read when it is asked for, and needs a folder that is emptied
before each start (docs/decisions/0043).
"""

import socket
import struct
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from time import monotonic
from typing import Final

import msgspec
import structlog
from prometheus_client.core import Metric
from prometheus_client.samples import Exemplar

from entrypoints.kernel.metrics.families import REFRESH_WAIT_SECONDS, SHARED, Metrics

log = structlog.get_logger("metrics")

ANSWER_SECONDS: Final = REFRESH_WAIT_SECONDS + 1.5
"""All processes together; from one that is silent for longer, what it had counted before is shown."""

STARTING_SECONDS: Final = 0.25

_ASKED = struct.Struct("!Q")  # the number of the scrape
_ANSWERED = struct.Struct("!QQ")  # the same number, and how many bytes follow

type _Example = tuple[dict[str, str], float, float | None]
type _Sample = tuple[str, dict[str, str], float, _Example | None]
type _Key = tuple[str, tuple[tuple[str, str], ...]]


class _Family(msgspec.Struct, array_like=True):
    """A metric on its way between processes."""

    name: str
    told: str
    kind: str
    samples: list[_Sample]


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(list[_Family])


def _packed(metrics: Iterable[Metric]) -> bytes:
    return _encode(
        [
            _Family(
                metric.name,
                metric.documentation,
                metric.type,
                [
                    (each.name, each.labels, float(each.value), _example(each.exemplar))
                    for each in metric.samples
                ],
            )
            for metric in metrics
        ]
    )


def _example(exemplar: Exemplar | None) -> _Example | None:
    if exemplar is None:
        return None
    at = exemplar.timestamp
    return exemplar.labels, exemplar.value, None if at is None else float(at)


class Answers:
    """The process's side: answers its supervisor until the socket ends or this is closed."""

    def __init__(self, asked: socket.socket, metrics: Metrics) -> None:
        self._asked = asked
        self._metrics = metrics
        asked.setblocking(True)
        threading.Thread(target=self._answer, name="metrics", daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._asked.shutdown(socket.SHUT_RDWR)

    def _answer(self) -> None:
        with suppress(OSError):
            while len(request := self._asked.recv(_ASKED.size, socket.MSG_WAITALL)) == _ASKED.size:
                (number,) = _ASKED.unpack(request)
                try:
                    body = _packed(self._metrics.collect())
                except Exception:
                    log.exception("the metrics could not be read")
                    continue
                self._asked.sendall(_ANSWERED.pack(number, len(body)) + body)


class Member:
    """A process, as its supervisor sees it. `theirs` is the end of the socket that the process has."""

    def __init__(self) -> None:
        self._ours, self.theirs = socket.socketpair()
        self._read = bytearray()
        self.last: list[_Family] = []

    def ask(self, number: int) -> None:
        with suppress(OSError):  # it has ended, or has not read what it was asked before
            self._ours.settimeout(0)
            self._ours.send(_ASKED.pack(number))

    def hear(self, number: int, *, until: float) -> bool:
        """Whether it has answered in time; `last` is what it said last."""
        while True:
            while len(self._read) >= _ANSWERED.size:
                answered, size = _ANSWERED.unpack_from(self._read)
                end = _ANSWERED.size + size
                if len(self._read) < end:
                    break
                body = bytes(self._read[_ANSWERED.size : end])
                del self._read[:end]
                self.last = _decoder.decode(body)
                if answered == number:
                    return True
            try:
                self._ours.settimeout(max(0.001, until - monotonic()))
                more = self._ours.recv(1 << 16)
            except OSError:
                return False
            if not more:
                return False
            self._read += more

    def close(self) -> None:
        self._ours.close()
        self.theirs.close()


class Together:
    """What the processes of one supervisor show."""

    def __init__(self) -> None:
        self._members: list[Member] = []
        self._gone = _Sum()
        self._replaced = self._number = 0
        self._one_at_a_time = threading.Lock()
        self._changing = threading.Lock()  # never held while a process is waited for

    def joined(self) -> Member:
        """A process that is about to start."""
        member = Member()
        with self._changing:
            self._members.append(member)
        return member

    def left(self, member: Member) -> None:
        """A process has ended by itself, and another takes its place."""
        with self._changing:
            self._members.remove(member)
            self._gone.add(member.last, counts_alone=True)
            self._replaced += 1
        member.close()

    def collect(self) -> Iterator[Metric]:
        """From any thread."""
        with self._one_at_a_time:
            self._number += 1
            whole, silent = _Sum(), 0
            with self._changing:
                members = list(self._members)
                whole.add(self._gone.families(), counts_alone=True)
                ended = self._replaced
            until = monotonic() + ANSWER_SECONDS
            for member in members:
                member.ask(self._number)
            for member in members:
                # One that has never answered is most likely about to start: the others do not wait for it.
                answers = member.hear(
                    self._number, until=until if member.last else monotonic() + STARTING_SECONDS
                )
                silent += not answers
                whole.add(member.last, counts_alone=not answers)
            processes = Metric("service_processes", "Processes that serve, by whether they answer.", "gauge")
            processes.add_sample("service_processes", {"state": "answering"}, len(members) - silent)
            processes.add_sample("service_processes", {"state": "silent"}, silent)
            replaced = Metric("service_processes_replaced", "Processes that ended by themselves.", "counter")
            replaced.add_sample("service_processes_replaced_total", {}, ended)
        yield from (processes, replaced)
        yield from (_metric(family) for family in whole.families())


class _Sum:
    """Families by their names, and in each the samples by theirs and their labels, in the order they came."""

    def __init__(self) -> None:
        self._families: dict[str, tuple[_Family, dict[_Key, _Sample]]] = {}

    def add(self, families: Iterable[_Family], *, counts_alone: bool) -> None:
        """`counts_alone` leaves out what is true at a moment: gauges."""
        for family in families:
            if counts_alone and family.kind not in {"counter", "histogram"}:
                continue
            _, samples = self._families.setdefault(family.name, (family, {}))
            largest = family.name in SHARED
            for name, labels, value, example in family.samples:
                key = (name, tuple(sorted(labels.items())))
                _, _, before, shown = samples.get(key, (name, labels, 0.0, None))
                whole = max(before, value) if largest else before + value
                samples[key] = (name, labels, whole, _newest(shown, example))

    def families(self) -> list[_Family]:
        return [
            _Family(family.name, family.told, family.kind, list(samples.values()))
            for family, samples in self._families.values()
        ]


def _newest(one: _Example | None, other: _Example | None) -> _Example | None:
    if one is None or other is None:
        return one or other
    return max(one, other, key=lambda example: example[2] or 0.0)


def _metric(family: _Family) -> Metric:
    metric = Metric(family.name, family.told, family.kind)
    for name, labels, value, example in family.samples:
        metric.add_sample(name, labels, value, exemplar=None if example is None else Exemplar(*example))
    return metric
