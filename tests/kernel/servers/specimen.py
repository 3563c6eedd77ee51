"""The service with the specimen in it, as a process: `python -m kernel.servers.specimen`."""

import sys

from entrypoints.http.kernel.server.app import Service
from entrypoints.http.kernel.server.process import serve
from entrypoints.kernel.logging import configure_logging
from entrypoints.kernel.settings import load_settings
from entrypoints.settings import Settings
from kernel.specimen import service


def create_app() -> Service:
    """The application that each of the server's processes makes."""
    settings = load_settings(Settings)
    configure_logging(settings)
    return service.create_app(service.Container(settings=settings))


if __name__ == "__main__":
    serve("kernel.servers.specimen:create_app", Settings, sys.argv[1:])
