"""Who asks, and whether over TLS, as the proxies of TRUSTED_PROXIES say; nobody else is believed.

Each proxy adds the address that it was asked from at the right of `Forwarded` (RFC 7239) or of
`X-Forwarded-For`. So the lists are read from the right, and the first address that is no trusted proxy's is
the client's; whatever stands further left can be the client's invention. docs/decisions/0026 has the rest.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import chain

from starlette.types import Scope

from entrypoints.kernel.configuration.networks import Network

_HOPS_MOST = 32  # nobody has as many proxies; what is further left is not read
_BYTES_MOST = (
    2048  # of `Forwarded`: its quotes have to be read from the left, which costs a microsecond a byte
)
_KNOWN_MOST = 4096  # peers whose trust is remembered

_SCHEMES = frozenset({"http", "https"})
_PARAMETER = re.compile(
    r"""[ \t]*+(?:(?P<name>[\w!#$%&'*+.^`|~-]++)="""
    r"""(?:"(?P<quoted>(?:[^"\\]|\\.)*+)"|(?P<token>[^\s",;]++)))?+[ \t]*+(?P<end>[,;]|$)"""
)
_HOST = re.compile(
    r"\[(?P<v6>[0-9A-Fa-f:.]+)\](?::\d{1,5})?|(?P<v4>[0-9.]+)(?::\d{1,5})?|(?P<bare>[0-9A-Fa-f:.]+)"
)


@dataclass(slots=True)
class _Hop:
    """What one proxy said: `None` for what it did not say, and "" for an address that is none."""

    address: str | None = None
    scheme: str | None = None


class Proxies:
    """The networks of the proxies in front of the service."""

    def __init__(self, networks: Sequence[Network]) -> None:
        def trusts(host: str) -> bool:
            address = _address(host)
            return bool(address) and any(ip_address(address) in network for network in networks)

        self._trusts: Callable[[str], bool] = lru_cache(_KNOWN_MOST)(trusts)

    def apply(self, scope: Scope) -> None:
        """Puts the client's address and the scheme that it used in the place of the proxy's.

        Where `Forwarded` and `X-Forwarded-For` name different clients, one of them went through a proxy that
        does not know it, and may be forged: then the address stays the proxy's. The same holds of schemes.
        """
        peer = scope.get("client")
        if peer is None or not self._trusts(peer[0]):
            return
        forwarded: list[bytes] = []
        addresses: list[bytes] = []
        schemes: list[bytes] = []
        for name, value in scope["headers"]:
            if name == b"forwarded":
                forwarded.append(value)
            elif name == b"x-forwarded-for":
                addresses.append(value)
            elif name == b"x-forwarded-proto":
                schemes.append(value)
        if not (forwarded or addresses or schemes):
            return
        told = [
            self._walk(_of_forwarded(forwarded), peer[0]),
            self._walk(_of_x_forwarded(addresses, schemes), peer[0]),
        ]
        named = {hop.address for hop in told if hop.address is not None}
        if len(named) == 1:
            scope["client"] = named.pop(), 0
        used = {hop.scheme for hop in told if hop.scheme is not None}
        if len(used) == 1:
            scope["scheme"] = used.pop()

    def _walk(self, hops: Iterator[_Hop], peer: str) -> _Hop:
        """The client among the hops, the nearest first; where one names no address, whoever said so is it."""
        nearest = next(hops, _Hop())
        if nearest.address is None:
            return nearest
        found = _Hop(peer, nearest.scheme)
        for hop in chain([nearest], hops):
            if not hop.address:
                break
            found = hop
            if not self._trusts(hop.address):
                break
        return found


def _of_forwarded(lines: Sequence[bytes]) -> Iterator[_Hop]:
    """The hops of RFC 7239, the nearest first; a line that is not in its grammar is one without address."""
    left = _BYTES_MOST
    for line in reversed(lines):
        left -= len(line)
        yield from reversed(_elements(line.decode("latin-1")) if left >= 0 else [_Hop("")])


def _elements(line: str) -> Sequence[_Hop]:
    hops, hop, position = [], _Hop(), 0
    while position <= len(line):
        found = _PARAMETER.match(line, position)
        if found is None:
            return [_Hop("")]
        value = found["token"] or re.sub(r"\\(.)", r"\1", found["quoted"] or "")
        match (found["name"] or "").lower():
            case "for":
                hop.address = _address(value)
            case "proto":
                hop.scheme = _scheme(value)
        if found["end"] != ";":
            if line.strip():
                hops.append(hop)
            hop = _Hop()
        if not found["end"]:
            break
        position = found.end()
    return hops


def _of_x_forwarded(addresses: Sequence[bytes], schemes: Sequence[bytes]) -> Iterator[_Hop]:
    """The hops of the older headers, the nearest first.

    As many schemes as addresses belong together; otherwise the nearest proxy's scheme is everybody's.
    """
    hosts, used = _listed(addresses), [_scheme(each) for each in _listed(schemes)]
    if not hosts:
        yield from (_Hop(scheme=scheme) for scheme in used[:1])
        return
    if len(used) != len(hosts):
        used = (used[:1] or [None]) * len(hosts)
    yield from (_Hop(_address(host), scheme) for host, scheme in zip(hosts, used, strict=True))


def _listed(lines: Sequence[bytes]) -> list[str]:
    """The last members of a list (RFC 9110 §5.6.1), the rightmost first."""
    members = b",".join(lines).decode("latin-1").rsplit(",", _HOPS_MOST)
    if len(members) > _HOPS_MOST:
        members = members[1:]
    return [member.strip() for member in reversed(members) if member.strip()]


def _scheme(text: str) -> str | None:
    return text.lower() if text.lower() in _SCHEMES else None


def _address(text: str) -> str:
    """The IP address, in one spelling and without port and zone; "" for what is none, such as `unknown`."""
    found = _HOST.fullmatch(text.partition("%")[0])
    if found is None:
        return ""
    try:
        address: IPv4Address | IPv6Address = ip_address(found["v6"] or found["v4"] or found["bare"])
    except ValueError:
        return ""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(address)
