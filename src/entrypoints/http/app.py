"""The HTTP application of this service, and the versions of its API."""

from entrypoints.container import Container
from entrypoints.http import v1
from entrypoints.http.kernel.server.app import Service, Versions
from entrypoints.kernel.logging import configure_logging
from entrypoints.kernel.settings import load_settings
from entrypoints.settings import Settings

VERSIONS: Versions = {"v1": (v1,)}


def create_app(container: Container | None = None, *, versions: Versions = VERSIONS) -> Service:
    """The application on what the container provides, by default on what this process's settings say."""
    if container is None:
        settings = load_settings(Settings)
        configure_logging(settings)
        container = Container(settings=settings)
    return Service(container, versions)
