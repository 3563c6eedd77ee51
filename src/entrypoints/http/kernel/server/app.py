"""The HTTP application: the routes that it discovers, and the layers around them."""

import gc
import pkgutil
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from types import ModuleType
from typing import Any, override

from fastapi import FastAPI
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from entrypoints.http.kernel import v1
from entrypoints.http.kernel.document import docs, problem_pages
from entrypoints.http.kernel.document.openapi import openapi_document
from entrypoints.http.kernel.identity import login, oauth, security_txt, well_known
from entrypoints.http.kernel.routing.dependencies import provide
from entrypoints.http.kernel.routing.handlers import HANDLERS
from entrypoints.http.kernel.routing.routes import Index, Route, Router
from entrypoints.http.kernel.server import health, profiling
from entrypoints.http.kernel.server.edge import Edge
from entrypoints.http.kernel.server.hosts import Hosts
from entrypoints.http.kernel.server.proxies import Proxies
from entrypoints.http.kernel.server.readiness import Readiness, State
from entrypoints.kernel.container import KernelContainer, close
from entrypoints.kernel.metrics.families import Metrics, http_metrics
from entrypoints.kernel.metrics.requests import Requests
from entrypoints.kernel.metrics.turning import Turning
from entrypoints.kernel.service import SERVICE_TITLE, SERVICE_VERSION

type Versions = Mapping[str, Sequence[ModuleType]]
"""The packages of each version of the API, the oldest version first.

A later version has only what differs, and inherits the other routes of the one before.
"""

KERNEL_VERSIONS: Versions = {"v1": (v1, login)}


_DEGREES: Mapping[State, int] = {State.OK: 0, State.DEGRADED: 1, State.FAILED: 2}


class Service(FastAPI):
    """FastAPI with our layers outside of its own, and problems in its document."""

    def __init__(self, container: KernelContainer, versions: Versions) -> None:
        """`versions` are the service's own packages; the kernel's are added.

        It starts also where the database cannot be reached: then requests are 503 problems until it can.
        """
        self.versions = with_kernel(versions)
        settings = container.settings()
        super().__init__(
            title=SERVICE_TITLE,
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
        self._request_seconds = settings.request_seconds
        self._slow_seconds = settings.log_slow_request_seconds
        self._tracing = container.tracing()
        self._profiles = settings.environment == "development" and profiling.is_available()
        self._proxies = Proxies(settings.proxy_networks) if settings.proxy_networks else None
        provide(self, container)
        routes = [*_routes(self.versions, documented=settings.docs_served)]
        self.state.provided.limits.ensure_known(each.limit for each in routes if isinstance(each, Route))
        self._hosts = Hosts(settings.hosts) if settings.hosts is not None else None
        self.router.routes.extend(routes)
        if settings.security_contact:
            self.router.routes.extend(security_txt.router.routes)
        self._documents: dict[str, dict[str, Any]] = {}
        self._container = container
        self._requests = Requests()

    @override
    def build_middleware_stack(self) -> ASGIApp:
        # A service's own middleware is around all routes; FastAPI's layers are around those that need them.
        own, self.user_middleware = self.user_middleware, []
        app: ASGIApp = Index(super().build_middleware_stack(), self.router.routes)
        for layer, arguments, options in reversed(own):
            app = layer(app, *arguments, **options)
        self.user_middleware = own
        if self._profiles:
            app = profiling.Profiling(app)
        return Edge(
            app,
            proxies=self._proxies,
            hosts=self._hosts,
            origins=self._origins,
            seconds=self._request_seconds,
            slow_seconds=self._slow_seconds,
            tracing=self._tracing,
            requests=self._requests,
        )

    def metrics(self, connections: Callable[[], int]) -> tuple[Metrics, Turning]:
        """What the process shows to Prometheus; to be called on its loop. `connections` counts open ones."""
        readiness: Readiness = self.state.provided.readiness

        def checks() -> Mapping[str, int]:
            states = {} if readiness.last is None else readiness.last.states
            return {name: _DEGREES[state] for name, state in states.items()}

        return http_metrics(
            self._container, self._requests, refresh=readiness.look, checks=checks, connections=connections
        )

    def drain(self) -> None:
        """Tells balancers to send no more requests here: `/health/ready` is 503 from now on."""
        self.state.provided.readiness.drain()

    @override
    def openapi(self, version: str = "v1") -> dict[str, Any]:
        """The document of one version."""
        if version not in self._documents:
            self._documents[version] = openapi_document(version, self.routes, self.state.settings)
        return self._documents[version]


def _routes(versions: Versions, *, documented: bool) -> Iterator[BaseRoute]:
    yield from versioned_routes(versions)
    yield from health.router.routes
    yield from problem_pages.router.routes  # also where nothing else is documented: problems link there
    if documented:
        yield from docs.router.routes
        for version in versions:
            yield from docs.pages(f"/{version}").routes
    yield from well_known.router.routes
    yield from oauth.router.routes


def with_kernel(versions: Versions) -> Versions:
    """The kernel's versions, and a service's own packages in them or after them."""
    names = [*KERNEL_VERSIONS, *(name for name in versions if name not in KERNEL_VERSIONS)]
    return {name: (*KERNEL_VERSIONS.get(name, ()), *versions.get(name, ())) for name in names}


def versioned_routes(versions: Versions) -> Iterator[Route]:
    """All routes of all versions: each has those of the one before, and its own in place of some of them.

    Raises TypeError for a router with the prefix of another version, and where two routes of one version
    have the same method and path.
    """
    routes: dict[tuple[str, str], Route] = {}
    for version, packages in versions.items():
        prefix = f"/{version}"
        routes = {name: route.under(prefix) for name, route in routes.items()}
        own: dict[tuple[str, str], Route] = {}
        for router in (router for package in packages for router in _routers(package)):
            if router.prefix != prefix:
                raise TypeError(
                    f"A router with the prefix {router.prefix} (tag {router.tag}) is in the package of "
                    f"{version}: write Router(prefix={prefix!r})."
                )
            for route in router.routes:
                if route.name_in_version in own:
                    raise TypeError(f"{version} has two routes for {' '.join(route.name_in_version)}.")
                own[route.name_in_version] = route
        routes |= own
        yield from routes.values()


def _routers(package: ModuleType) -> Iterator[Router]:
    """The routers of a package's modules, or that of a module."""
    if not hasattr(package, "__path__"):
        yield package.router
        return
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        yield import_module(module.name).router


@asynccontextmanager
async def _lifespan(container: KernelContainer) -> AsyncIterator[None]:
    # What exists by now stays: the collector need not look at it again, nor as often (5 to 10 % of CPU).
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, *gc.get_threshold()[1:])
    for there in container.provider_checks().values():
        await there()  # begins to fetch a provider's keys, so that the first request need not wait for them
    yield
    await close(container)
