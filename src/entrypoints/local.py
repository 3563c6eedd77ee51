"""The whole service in one terminal: `python -m entrypoints.local`."""

import sys

from entrypoints.kernel.tools.local import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
