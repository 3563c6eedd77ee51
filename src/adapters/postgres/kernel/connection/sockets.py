"""What TCP does on the way to PostgreSQL when nothing comes back."""

import socket
from collections.abc import Iterator
from contextlib import suppress

NOT_HEARD_SECONDS = 10
"""How long the peer's TCP may leave unconfirmed what was sent, however long a statement may run."""

_IDLE_SECONDS = 5
_PROBE_SECONDS = 2
_PROBES = 3


def keep_alive(sock: socket.socket) -> None:
    """Has TCP notice within about ten seconds that the other end is gone, also where nothing is under way.

    Linux and macOS name the options differently, and each has some that the other lacks: what is not there is
    left out (tcp(7); RFC 1122 §4.2.3.6, RFC 5482). A Unix socket needs none of them.
    """
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _options():
        with suppress(
            OSError
        ):  # what has a name may still be unknown to the kernel, in a sandbox for example
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _options() -> Iterator[tuple[int, int]]:
    for names, value in (
        (("TCP_KEEPIDLE", "TCP_KEEPALIVE"), _IDLE_SECONDS),  # the latter is macOS's name for it
        (("TCP_KEEPINTVL",), _PROBE_SECONDS),
        (("TCP_KEEPCNT",), _PROBES),
        (("TCP_USER_TIMEOUT",), NOT_HEARD_SECONDS * 1000),
    ):
        found = [getattr(socket, name) for name in names if hasattr(socket, name)]
        if found:
            yield found[0], value
