"""The worker: `python -m entrypoints.worker`."""

from entrypoints.kernel.worker import main

if __name__ == "__main__":
    main()
