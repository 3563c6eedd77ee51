"""The whole service in one terminal: `python -m entrypoints.local`."""

import os
import signal
import sys


def leave(number: int, *_: object) -> None:
    """Ends the process at once: nothing has begun that could be left undone."""
    os.write(2, b"Stopped before it was serving.\n")
    os._exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, leave)  # what is imported below takes a second

    from entrypoints.kernel.tools.local import main
    from entrypoints.settings import Settings

    sys.exit(main(Settings, sys.argv[1:]))
