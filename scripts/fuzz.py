"""Rounds of `make test-contract`, each with other requests, until the hours are over: fuzz.py HOURS.

What a round that fails has printed is kept in .fuzz: a curl command for each failure, and the command that
repeats the round. The last round is brought to its end.
"""

import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
REPORTS = ROOT / ".fuzz"
EXAMPLES, CHAINS = 100, 200  # a round of a quarter of an hour


def main(hours: float) -> int:
    until = time.monotonic() + hours * 3600
    rounds = failed = 0
    while time.monotonic() < until:
        seed = secrets.randbelow(2**31)
        again = f"make test-contract SEED={seed} EXAMPLES={EXAMPLES} CHAINS={CHAINS}"
        print(f"{time.strftime('%H:%M:%S')} {again}", flush=True)
        done = subprocess.run(
            ("make", "--no-print-directory", *again.split()[1:]),
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL"}},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        rounds += 1
        told = done.stdout.splitlines()
        print("\n".join(f"  {line}" for line in told[-6:]), flush=True)
        if done.returncode:
            failed += 1
            REPORTS.mkdir(exist_ok=True)
            report = REPORTS / f"{seed}.txt"
            report.write_text(f"{again}\n\n{done.stdout}", "utf-8")
            print(f"  failed: {report.relative_to(ROOT)}", flush=True)
    print(f"{rounds} rounds, {failed} of them failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))
