"""The port that metrics are read at: a server of its own on threads of its own, off the event loop.

Rendering a thousand series takes half a second of a core. On a thread it holds the loop for no longer than
the interpreter lets a thread run that another waits for: 5 ms (`sys.getswitchinterval`) at each turn of the
loop, and half a millisecond while something is rendered. docs/decisions/0043 has the figures.
"""

import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from socketserver import ThreadingMixIn
from typing import Any, Final, Protocol, override
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from prometheus_client import make_wsgi_app
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from entrypoints.kernel.metrics.families import Metrics
from entrypoints.kernel.metrics.processes import Answers
from entrypoints.kernel.metrics.turning import Turning
from entrypoints.kernel.settings import KernelSettings
from entrypoints.kernel.tools.address import obstacle

log = structlog.get_logger("metrics")

PATH: Final = "/metrics"
SILENT_SECONDS: Final = 5.0
"""A client that neither sends nor takes anything for so long is let go."""

SCRAPES_MOST: Final = 4
"""At the same time; a fifth one is refused by the end of its connection."""


GIVE_WAY_SECONDS: Final = 0.0005


class Closes(Protocol):
    def close(self) -> None: ...


class Exposition:
    """Serves what `collect` gives at `/metrics` until it is closed. Raises OSError."""

    def __init__(self, host: str, port: int, collect: Callable[[], Iterable[Metric]]) -> None:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]

        class Server(_Server):
            address_family = family

        self._server = make_server(str(address[0]), port, _app(collect), Server, _Handler)
        self.port: int = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="metrics", daemon=True
        )
        self._thread.start()
        log.info("metrics served", host=host, port=self.port)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Shown:
    """What of the metrics runs in a process: the watch on its loop, and the server, where there is one."""

    def __init__(self, turning: Turning, server: Closes) -> None:
        turning.start()
        self._turning = turning
        self._server = server

    def close(self) -> None:
        self._turning.stop()
        self._server.close()


def shown(
    metrics: Metrics, turning: Turning, settings: KernelSettings, *, asked: socket.socket | None = None
) -> Shown | None:
    """Shows them at METRICS_PORT, if that is set; or to the supervisor, who asks over a socket.

    A port that cannot be had is logged: what the process is for goes on.
    """
    if asked is not None:
        return Shown(turning, Answers(asked, metrics))
    if not settings.metrics_port:
        return None
    try:
        return Shown(turning, Exposition(settings.metrics_host, settings.metrics_port, metrics.collect))
    except OSError as error:
        log.error("metrics not served", port=settings.metrics_port, reason=str(error))
        return None


def metrics_obstacle(settings: KernelSettings) -> str | None:
    """What stands in the way of METRICS_PORT, and the remedy."""
    found = settings.metrics_port and obstacle(settings.metrics_host, settings.metrics_port)
    if not found:
        return None
    if found.startswith("HOST"):
        return f"METRICS_{found}. Set METRICS_HOST to another one."
    return f"{found}. Set METRICS_PORT to another one."


class _Registry(Collector):
    """What the library renders."""

    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    @override
    def collect(self) -> Iterable[Metric]:
        return self._collect()


def _app(collect: Callable[[], Iterable[Metric]]) -> Callable[[Any, Any], Iterable[bytes]]:
    metrics, one_at_a_time = make_wsgi_app(_Registry(collect)), threading.Lock()

    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != PATH:
            start(f"404 {HTTPStatus.NOT_FOUND.phrase}", [("Content-Type", "text/plain; charset=utf-8")])
            return [f"The metrics are at {PATH}.\n".encode()]
        environ["QUERY_STRING"] = ""
        with one_at_a_time, _giving_way():
            rendered: Iterable[bytes] = metrics(environ, start)
        return rendered

    return app


@contextmanager
def _giving_way() -> Iterator[None]:
    """Meanwhile another thread that wants to run, such as the event loop's, waits for half a millisecond."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(GIVE_WAY_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    @override
    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        # Not the library's `getfqdn`, which asks the name server and may wait for it.
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()
        self._places = threading.BoundedSemaphore(SCRAPES_MOST)

    @override
    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    @override
    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        log.error("a scrape failed", exc_info=sys.exc_info())


class _Handler(WSGIRequestHandler):
    timeout = SILENT_SECONDS

    @override
    def handle(self) -> None:
        with suppress(OSError):  # it has left, or was silent for too long
            super().handle()

    @override
    def log_message(self, format: str, *args: Any) -> None:  # the library's name
        """A scrape has no line."""
