"""The hosts that requests may name, and the one spelling that each has for us (RFC 3986 §3.2.2)."""

import re

from entrypoints.kernel.configuration.origins import host_of

_WITH_PORT = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::[0-9]{0,5})?")
_ADDRESS = re.compile(r"[0-9.]+|\[.*\]")


def read_host(text: str) -> str:
    """A member of ALLOWED_HOSTS: a name, an address, or `*.example.com` for every name below example.com.

    In small letters, without a dot at the end, IPv6 in brackets. Raises ValueError with the remedy.
    """
    wild = text.startswith("*.")
    name = text[2:] if wild else text
    if name.count(":") > 1 and not name.startswith("["):
        name = f"[{name}]"
    host = spelt(name)
    if host is None or (wild and _ADDRESS.fullmatch(host)):
        raise ValueError(
            f"has {text[:60]!r}. Write a host without scheme, port and path, as api.example.com, 10.0.0.7 or "
            "*.example.com."
        )
    return f"*.{host}" if wild else host


def spelt(host: str) -> str | None:
    """The one spelling of a host without port; `None` for what is none."""
    found = host_of(host) if host else None
    return found and found.removesuffix(".")


def host_without_port(authority: str) -> str:
    """The host in `Host` (RFC 9110 §7.2); empty for what is no authority."""
    found = _WITH_PORT.fullmatch(authority)
    return found[1] if found else ""
