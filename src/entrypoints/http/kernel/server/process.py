"""The process that serves HTTP until it is told to stop."""

import sys

import uvicorn

from entrypoints.kernel.logging import configure_logging
from entrypoints.kernel.settings import ROOT, KernelSettings, load_settings
from entrypoints.kernel.tools.address import obstacle

SOURCES = ROOT / "src"


def serve(app: str, kind: type[KernelSettings], arguments: list[str]) -> None:
    """Serves what the function at `app`, written as `module:function`, makes in each process."""
    if arguments not in ([], ["--reload"]):
        sys.stderr.write("Usage: python -m entrypoints.http [--reload]\n")
        raise SystemExit(2)
    settings = load_settings(kind)
    configure_logging(settings)
    if found := obstacle(settings.host, settings.port):
        raise SystemExit(f"{found}. Set {found.split()[0].upper()} to another one.")
    reload = bool(arguments)
    uvicorn.run(
        app,
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=None if reload else settings.workers,
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
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )
