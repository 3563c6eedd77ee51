"""A PostgreSQL for one command: `python -m entrypoints.embedded -- COMMAND`."""

import sys

from entrypoints.kernel.tools.embedded import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
