"""Web origins (RFC 6454): one spelling for each, as browsers send it in `Origin`.

Two origins are the same where scheme, host and port are: `HTTPS://App.Example.com:443` and
`https://app.example.com` differ as texts alone. What browsers read in a way of their own, such as 127.1 or a
host with %, is refused here, so that nobody can disagree on which host an address names.
"""

import re
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address

import idna

_ADDRESS = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[^\x00-\x20\x7f/?#@\\:%\[\]]+)(?::(?P<port>[0-9]{0,5}))?",
    re.IGNORECASE,
)
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORTS = {"http": 80, "https": 443}


def origin_of(text: str) -> str | None:
    """The origin that the text is, in the spelling of RFC 6454 §6.2; `None` for what is none."""
    found = _ADDRESS.fullmatch(text)
    if found is None:
        return None
    scheme, host = found["scheme"].lower(), host_of(found["host"])
    port = int(found["port"] or _PORTS[scheme])
    if host is None or not 0 < port < 2**16:
        return None
    return f"{scheme}://{host}" if port == _PORTS[scheme] else f"{scheme}://{host}:{port}"


def split_address(text: str) -> tuple[str, str] | None:
    """The origin of a web address, and what stands behind it there; `None` where it has no origin."""
    found = _ADDRESS.match(text)
    rest = text[found.end() :] if found else ""
    if found is None or (origin := origin_of(found[0])) is None or (rest and rest[0] not in "/?#"):
        return None
    return origin, rest


def is_among(origin: str | None, origins: Collection[str]) -> bool:
    """Whether it is one of these, whose spelling is that of `origin_of`."""
    return origin is not None and (origin in origins or origin_of(origin) in origins)


def host_of(text: str) -> str | None:
    """The host as browsers spell it: small letters, xn-- for what is not ASCII, the shortest form of IPv6."""
    try:
        if text.startswith("["):
            return f"[{IPv6Address(text[1:-1])}]"
        if not text.isascii():
            # As browsers do (UTS 46, nontransitional): Python's own codec is of IDNA 2003, where ß is ss.
            text = idna.encode(text, uts46=True).decode()
        name = text.lower()
        labels = name.removesuffix(".").split(".")
        if _NUMBER.fullmatch(labels[-1]):
            return str(IPv4Address(name))
    except ValueError:
        return None
    return name if len(name) <= 254 and all(map(_LABEL.fullmatch, labels)) else None
