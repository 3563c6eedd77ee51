"""The HTTP application: the routes that it discovers, and the layers around them."""

import gc
import pkgutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any, override

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from entrypoints.container import Container, close
from entrypoints.http import docs, health, login, oauth, v1, well_known
from entrypoints.http.authorize import log_in_schemes
from entrypoints.http.cookies import CSRF_HEADER
from entrypoints.http.dependencies import provide
from entrypoints.http.documentation import with_log_in, with_problems
from entrypoints.http.edge import Edge
from entrypoints.http.handlers import HANDLERS
from entrypoints.http.routing import Index
from entrypoints.logging import configure_logging
from entrypoints.settings import SERVICE_NAME, SERVICE_VERSION, load_settings

EXPOSED_TO_SCRIPTS = ("ETag", "Link", "Location", "Retry-After", "X-Request-ID")


class Service(FastAPI):
    """FastAPI with our layers outside of its own, and problems in its document."""

    def __init__(self, container: Container) -> None:
        settings = container.settings()
        super().__init__(
            title=SERVICE_NAME.title(),
            version=SERVICE_VERSION,
            openapi_url="/v1/openapi.json",
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
        self.router.routes.extend(_routes())
        self.router.middleware_stack = Index(self.router.middleware_stack, self.router.routes)

    @override
    def build_middleware_stack(self) -> ASGIApp:
        stack = super().build_middleware_stack()
        if self._origins:
            stack = CORSMiddleware(
                stack,
                allow_origins=self._origins,
                allow_methods=["GET", "POST", "PATCH", "DELETE"],
                allow_headers=["Authorization", "Content-Type", CSRF_HEADER, "X-Request-ID", "traceparent"],
                # Cookies come from pages that are listed; any page at all would be a page of an attacker's.
                allow_credentials="*" not in self._origins,
                expose_headers=EXPOSED_TO_SCRIPTS,
            )
        return Edge(stack)

    @override
    def openapi(self) -> dict[str, Any]:
        if not self.openapi_schema:
            document = with_problems(super().openapi())
            self.openapi_schema = with_log_in(document, log_in_schemes(self.state.settings))
        return self.openapi_schema


def create_app(container: Container | None = None) -> FastAPI:
    """The application on what the container provides, by default on what this process's settings say.

    It starts also where the database cannot be reached: then requests are 503 problems until it can.
    """
    if container is None:
        settings = load_settings()
        configure_logging(settings)
        container = Container(settings=settings)
    return Service(container)


def _routes() -> Iterator[BaseRoute]:
    for module in pkgutil.iter_modules(v1.__path__, f"{v1.__name__}."):
        yield from import_module(module.name).router.routes
    yield from login.router.routes
    yield from health.router.routes
    yield from docs.router.routes
    yield from well_known.router.routes
    yield from oauth.router.routes


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
