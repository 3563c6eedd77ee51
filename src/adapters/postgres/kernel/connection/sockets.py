"""What TCP does on the way to PostgreSQL when nothing comes back."""

import socket
from collections.abc import Iterator
from contextlib import suppress

from adapters.postgres.kernel.connection.address import Keepalive


def keep_alive(sock: socket.socket, keepalive: Keepalive) -> None:
    """Has TCP notice that the other end is gone.

    Linux and macOS name the options differently, and each has some that the other lacks: what is not there is
    left out (tcp(7); RFC 1122 §4.2.3.6, RFC 5482). A Unix socket needs none of them.
    """
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(keepalive.on))
    for option, value in _options(keepalive):
        # What has a name may still be unknown to the kernel, in a sandbox for example.
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _options(keepalive: Keepalive) -> Iterator[tuple[int, int]]:
    for names, value in (
        (("TCP_KEEPIDLE", "TCP_KEEPALIVE"), keepalive.idle_seconds),  # the latter is macOS's name for it
        (("TCP_KEEPINTVL",), keepalive.interval_seconds),
        (("TCP_KEEPCNT",), keepalive.count),
        (("TCP_USER_TIMEOUT",), keepalive.user_timeout_milliseconds),
    ):
        found = [getattr(socket, name) for name in names if hasattr(socket, name)]
        if found and value:
            yield found[0], value
