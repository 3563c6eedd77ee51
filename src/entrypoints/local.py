"""The whole service in one terminal: `python -m entrypoints.local`."""

import sys

from entrypoints.kernel.tools.local import main
from entrypoints.settings import Settings

if __name__ == "__main__":
    sys.exit(main(Settings, sys.argv[1:]))
