"""The command line: `python -m entrypoints.cli COMMAND`."""

from entrypoints.kernel.cli import main

if __name__ == "__main__":
    main()
