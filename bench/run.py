"""The measurement from its beginning to its end: set-up, rounds, report."""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench import layers
from bench.check import ensure_alike
from bench.load import Measured
from bench.machine import Cores, on, split_cores
from bench.operations import completions, operations_of
from bench.probes import token_micros
from bench.report import Probes, as_text, summary, write
from bench.servers import BenchError, Server
from bench.stage import Stage, loading, set_up
from bench.subjects import SPECIMEN, Subject, subject
from entrypoints.kernel.tools.embedded import EmbeddedPostgresError

RESULTS = Path(__file__).with_name("results.json")

# As many rounds as begin within so many seconds, where no number is asked for.
ROUNDS_MOST = 7
ROUNDS_WITHIN = 140.0


class Rounds:
    """Service and yardstick take turns, so that both meet the machine's good and bad moments."""

    def __init__(self, stage: Stage, names: Sequence[str], *, seconds: float) -> None:
        self._stage = stage
        self._seconds = seconds
        self._operations = stage.operations
        self._requests = {name: self._operations[name].requests(stage.world) for name in names}
        self.of_service: dict[str, list[Measured]] = {name: [] for name in names}
        self.of_yardstick: dict[str, list[Measured]] = {
            name: [] for name in names if self._operations[name].by_yardstick
        }

    def run(self, *, keep: bool = True) -> None:
        """Every operation once; raises BenchError."""
        created: Sequence[str] = ()
        for name, prepared in self._requests.items():
            requests = prepared
            if name == "complete":
                requests = completions(self._stage.world, created)
            elif self._operations[name].once:
                requests = self._operations[name].requests(self._stage.world)
            ours = self._measure(self._stage.service, name, requests)
            if name == "create":
                created = ours.created
            if keep:
                self.of_service[name].append(ours)
            if name in self.of_yardstick and self._stage.yardstick:
                by_hand = self._measure(self._stage.yardstick, name, requests)
                if keep:
                    self.of_yardstick[name].append(by_hand)
        if {"create", "keyed"} & self._requests.keys():
            self._stage.clear()

    def _measure(self, server: Server, name: str, requests: list[bytes]) -> Measured:
        with loading(server, self._operations[name], requests, seconds=self._seconds) as load:
            return load.measured()


def measure(options: argparse.Namespace) -> None:
    """Raises BenchError, EmbeddedPostgresError."""
    begun, load = time.monotonic(), os.getloadavg()[0]
    core, other_cores = split_cores()
    measured: Subject = SPECIMEN if options.layers else options.subject
    _say(f"Storing {measured.plural.replace('_', ' ')}")
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        set_up(Path(folder), measured, core=core, other_cores=other_cores) as stage,
    ):
        if stage.yardstick:
            ensure_alike(stage.service, stage.yardstick, stage.world)
        if options.layers:
            layers.measure(
                stage, Path(folder), core, seconds=options.seconds, rounds=options.rounds or ROUNDS_MOST
            )
            return
        rounds = Rounds(stage, options.only, seconds=options.seconds)
        _say("Warming up")
        rounds.run(keep=False)
        for number in range(1, (options.rounds or ROUNDS_MOST) + 1):
            if not options.rounds and number > 1 and time.monotonic() - begun > ROUNDS_WITHIN:
                break
            _say(f"Round {number}")
            rounds.run()
        probes = asyncio.run(_probe(stage, core))
    report = summary(
        rounds.of_service,
        rounds.of_yardstick,
        probes,
        operations=stage.operations,
        resource=measured.plural.replace("_", " "),
        number=len(stage.world.rows),
        load=load,
    )
    write(report, options.out)
    print(f"\n{as_text(report, stage.operations)}\n")
    print(f"{time.monotonic() - begun:.0f} seconds; written to {options.out}")


async def _probe(stage: Stage, core: Cores) -> Probes:
    with on(core):
        token = await token_micros(stage.url, secret=stage.secret, user=stage.world.owner)
    return Probes(token.remembered, token.proved, token.recognised)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each operation in each round (1)")
    parser.add_argument("--rounds", type=int, help=f"how many (up to {ROUNDS_MOST}, as time allows)")
    parser.add_argument("--resource", default="", help="its plural (the example's, else the specimen)")
    parser.add_argument(
        "--only", default="", help="operations with commas in between, such as get,list (all)"
    )
    parser.add_argument("--layers", action="store_true", help="what each layer of a request costs, instead")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the JSON goes (bench/results.json)")
    options = parser.parse_args(arguments)
    try:
        options.subject = subject(options.resource)
    except BenchError as error:
        parser.error(str(error))
    there = operations_of(options.subject)
    wanted = options.only.split(",") if options.only else [*there]
    if unknown := sorted(set(wanted) - there.keys()):
        parser.error(f"There is no {', '.join(unknown)}. There are: {', '.join(there)}.")
    if "complete" in wanted:
        wanted.append("create")  # what it completes
    options.only = [name for name in there if name in wanted]
    return options


def main(arguments: Sequence[str]) -> int:
    """0 when everything was measured, goals met or not."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))  # so that whatever was started is ended
    try:
        measure(_options(arguments))
    except (BenchError, EmbeddedPostgresError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
