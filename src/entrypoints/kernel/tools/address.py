"""Whether HTTP can be served on an address, told before a server would answer with a stack of errors."""

import errno
import socket


def obstacle(host: str, port: int) -> str | None:
    """What stands in the way of listening there, as the beginning of a sentence; None where nothing does."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        match error.errno:
            case errno.EADDRINUSE:
                return f"Port {port} is in use by another program"
            case errno.EACCES:
                return f"Port {port} is reserved for the system"
            case _:
                return f"HOST is {host!r}, which is no address of this machine"
    return None
