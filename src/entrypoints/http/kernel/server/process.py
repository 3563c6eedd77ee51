"""The process that serves HTTP until it is told to stop."""

import logging
import os
import resource
import signal
import sys
from types import FrameType

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import ChangeReload

from entrypoints.http.kernel.server.stopping import Limits, Server
from entrypoints.http.kernel.server.supervisor import Supervisor
from entrypoints.kernel.logging import configure_logging
from entrypoints.kernel.metrics.processes import Together
from entrypoints.kernel.metrics.serving import Exposition, metrics_obstacle
from entrypoints.kernel.service import ROOT
from entrypoints.kernel.settings import KernelSettings, load_settings
from entrypoints.kernel.tools.address import obstacle

SOURCES = ROOT / "src"

# What a process opens beside the connections of clients and those to the database.
_OTHER_FILES = 100


def serve(app: str, kind: type[KernelSettings], arguments: list[str]) -> None:
    """Serves what the function at `app`, written as `module:function`, makes in each process."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    if arguments not in ([], ["--reload"]):
        sys.stderr.write("Usage: python -m entrypoints.http [--reload]\n")
        raise SystemExit(2)
    settings = load_settings(kind)
    configure_logging(settings)
    if found := obstacle(settings.host, settings.port):
        raise SystemExit(f"{found}. Set {found.split()[0].upper()} to another one.")
    if found := metrics_obstacle(settings):
        raise SystemExit(found)
    reload = bool(arguments)
    config = uvicorn.Config(
        app,
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=1 if reload else settings.workers,
        reload=reload,
        reload_dirs=[str(SOURCES)] if reload else None,
        loop="uvloop",
        # httptools, and problems where it answers by itself
        http="entrypoints.http.kernel.server.protocol:Protocol",
        ws="none",
        lifespan="on",
        log_config=None,  # its loggers go the way of all logs
        access_log=False,  # our own layer writes a better line
        server_header=False,
        proxy_headers=False,  # TRUSTED_PROXIES says whom to believe, and no variable of the server's own
        reset_contextvars=True,  # no request inherits what an earlier one put into the log
        timeout_keep_alive=settings.keep_alive_seconds,  # type: ignore[arg-type] # it need not be whole
    )
    limits = Limits(
        drain_seconds=0 if reload else settings.drain_seconds or 0,
        shutdown_seconds=settings.shutdown_seconds,
        connections_most=settings.connections_most,
    )
    _allow_files(2 * settings.connections_most + settings.database_pool_size + _OTHER_FILES)
    if reload:
        server = Server(config, limits, has_parent=True)
        ChangeReload(config, target=server.run, sockets=[config.bind_socket()]).run()
    elif config.workers > 1:
        metrics = None
        if settings.metrics_port:
            metrics = Together()
            Exposition(settings.metrics_host, settings.metrics_port, metrics.collect)
        raise SystemExit(Supervisor(config, limits, metrics).run())
    else:
        server = Server(config, limits)
        server.run()
        if not server.started:
            raise SystemExit(STARTUP_FAILURE)


def _end(_number: int, _frame: FrameType | None) -> None:
    """Nothing is served yet, so there is nothing to wait for; and what is raised here could get lost."""
    os._exit(0)


def _allow_files(wanted: int) -> None:
    """Lets this process and its children open so many files, as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < wanted:
        logging.getLogger(__name__).warning(
            "This process may open %d files, and CONNECTIONS_MOST needs %d: raise the limit (ulimit -n), "
            "or lower CONNECTIONS_MOST.",
            most,
            wanted,
        )
