"""Runs the tests that failed in the last run once more, one after the other (`make retest`).

Of ten thousand tests, hundreds of them with processes, one may meet a limit of time on a shared machine. What
fails again fails for good. More than a few failures are no accident, and are not tried again.
"""

import json
import subprocess
import sys
from pathlib import Path

FAILED = Path(".pytest_cache/v/cache/lastfailed")
MOST = 5


def main(arguments: list[str]) -> int:
    failed = sorted(json.loads(FAILED.read_text())) if FAILED.exists() else []
    if not failed:
        print("No test failed in the last run: what stopped it was something else.")
        return 1
    if len(failed) > MOST:
        print(f"{len(failed)} tests failed in the last run: more than {MOST} are not tried again.")
        return 1
    print("Failed among the others, and run once more alone:", *failed, sep="\n  ", flush=True)
    command = [sys.executable, "-m", "pytest", "-n", "0", *arguments, *failed]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
