"""The HTTP application: the routes that it discovers, and the layers around them."""

import gc
import pkgutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from types import ModuleType
from typing import Any, override

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from entrypoints.http import v1
from entrypoints.http.kernel import v1 as kernel_v1
from entrypoints.http.kernel.document import docs, problem_pages
from entrypoints.http.kernel.document.openapi import openapi_document
from entrypoints.http.kernel.identity import login, oauth, well_known
from entrypoints.http.kernel.identity.cookies import CSRF_HEADER
from entrypoints.http.kernel.routing.dependencies import provide
from entrypoints.http.kernel.routing.handlers import HANDLERS
from entrypoints.http.kernel.routing.routes import Index, Route, Router
from entrypoints.http.kernel.server import health
from entrypoints.http.kernel.server.edge import Edge
from entrypoints.kernel.container import Container, close
from entrypoints.kernel.logging import configure_logging
from entrypoints.kernel.settings import SERVICE_NAME, SERVICE_VERSION, load_settings

VERSIONS: Sequence[ModuleType] = (v1,)
"""The packages of the API's versions. A later one has only what differs, and inherits the other routes."""

READ_FROM_SCRIPTS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    CSRF_HEADER,
    "X-Request-ID",
    "traceparent",
)
EXPOSED_TO_SCRIPTS = (
    "Deprecation",
    "ETag",
    "Idempotency-Replayed",
    "Link",
    "Location",
    "Retry-After",
    "Sunset",
    "X-Request-ID",
)


class Service(FastAPI):
    """FastAPI with our layers outside of its own, and problems in its document."""

    def __init__(self, container: Container, versions: Sequence[ModuleType]) -> None:
        settings = container.settings()
        super().__init__(
            title=SERVICE_NAME.title(),
            version=SERVICE_VERSION,
            openapi_url=None,
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,
            max_body_size=settings.max_body_bytes,
            exception_handlers=dict(HANDLERS),
            telemetry={"tracing": False, "metrics": False, "logs": False},
            lifespan=lambda _: _lifespan(container),
        )
        self._origins = settings.cors_origins
        provide(self, container)
        self.router.routes.extend(_routes(versions))
        self._documents: dict[str, dict[str, Any]] = {}
        self.router.middleware_stack = Index(self.router.middleware_stack, self.router.routes)

    @override
    def build_middleware_stack(self) -> ASGIApp:
        stack = super().build_middleware_stack()
        if self._origins:
            stack = CORSMiddleware(
                stack,
                allow_origins=self._origins,
                allow_methods=["GET", "POST", "PATCH", "DELETE"],
                allow_headers=READ_FROM_SCRIPTS,
                # Cookies come from pages that are listed; any page at all would be a page of an attacker's.
                allow_credentials="*" not in self._origins,
                expose_headers=EXPOSED_TO_SCRIPTS,
            )
        return Edge(stack)

    @override
    def openapi(self, version: str = "v1") -> dict[str, Any]:
        """The document of one version."""
        if version not in self._documents:
            self._documents[version] = openapi_document(version, self.routes, self.state.settings)
        return self._documents[version]


def create_app(container: Container | None = None, *, versions: Sequence[ModuleType] = VERSIONS) -> Service:
    """The application on what the container provides, by default on what this process's settings say.

    It starts also where the database cannot be reached: then requests are 503 problems until it can.
    """
    if container is None:
        settings = load_settings()
        configure_logging(settings)
        container = Container(settings=settings)
    return Service(container, versions)


def _routes(versions: Sequence[ModuleType]) -> Iterator[BaseRoute]:
    yield from versioned_routes(versions)
    yield from health.router.routes
    yield from docs.router.routes
    yield from problem_pages.router.routes
    for version in versions:
        yield from docs.pages(_prefix(version)).routes
    yield from well_known.router.routes
    yield from oauth.router.routes


def versioned_routes(versions: Sequence[ModuleType]) -> Iterator[Route]:
    """All routes of all versions: each has those of the one before, and its own in place of some of them."""
    routes: dict[tuple[str, str], Route] = {}
    for package in versions:
        prefix = _prefix(package)
        routes = {name: route.under(prefix) for name, route in routes.items()}
        for router in _routers(package):
            if router.prefix != prefix:
                raise TypeError(f"{package.__name__} has a Router with the prefix {router.prefix}.")
            routes |= {route.name_in_version: route for route in router.routes}
        yield from routes.values()


def _routers(package: ModuleType) -> Iterator[Router]:
    for part in (kernel_v1, v1) if package is v1 else (package,):
        for module in pkgutil.iter_modules(part.__path__, f"{part.__name__}."):
            yield import_module(module.name).router
    if package is v1:
        yield login.router


def _prefix(package: ModuleType) -> str:
    return f"/{package.__name__.rpartition('.')[2]}"


@asynccontextmanager
async def _lifespan(container: Container) -> AsyncIterator[None]:
    # What exists by now stays: the collector need not look at it again, nor as often (5 to 10 % of CPU).
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, *gc.get_threshold()[1:])
    for there in container.provider_checks().values():
        await there()  # begins to fetch a provider's keys, so that the first request need not wait for them
    yield
    await close(container)
