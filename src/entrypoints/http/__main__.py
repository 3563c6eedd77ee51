"""Serves HTTP: `python -m entrypoints.http [--reload]`."""

import sys

from entrypoints.http.kernel.server.process import serve
from entrypoints.settings import Settings

if __name__ == "__main__":
    serve("entrypoints.http.app:create_app", Settings, sys.argv[1:])
