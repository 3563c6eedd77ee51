"""Whether a request is for this service: the host that it names is one of ours (RFC 9110 §7.4).

No answer depends on `Host`, since PUBLIC_URL says where the service is. But what is meant for another service
is not answered here: it comes from a page that has bound its name to our address, or by a proxy's mistake.
`Forwarded` and `X-Forwarded-Host` have no say, from any sender: a proxy passes `Host` on.
"""

from collections.abc import Sequence
from functools import lru_cache

from starlette.types import Scope

from entrypoints.http.kernel.routing.problems import MalformedRequest, MisdirectedRequest, RequestError
from entrypoints.kernel.configuration.hosts import host_without_port, spelt

_LONGEST = 300  # bytes: a name has 253, and a port 6
_KNOWN_MOST = 1024  # other spellings of ours, and hosts that are not, that are remembered
_PROBES = "/health/"  # a balancer's or an orchestrator's probe names the address that it asks


class Hosts:
    """The hosts that the service answers for, as `read_host` spells them."""

    def __init__(self, hosts: Sequence[str]) -> None:
        named = frozenset(host for host in hosts if not host.startswith("*."))
        below = tuple(host[1:] for host in hosts if host.startswith("*."))

        def refusal(written: bytes) -> type[RequestError] | None:
            host = spelt(host_without_port(written.decode("latin-1"))) if written.isascii() else None
            if host is None and written:
                return MalformedRequest
            ours = host is not None and (host in named or host.endswith(below))
            return None if ours else MisdirectedRequest

        self._exact = frozenset(f"{host}{port}".encode() for host in named for port in ("", ":443", ":80"))
        self._refusal = lru_cache(_KNOWN_MOST)(refusal)

    def refusal(self, scope: Scope) -> RequestError | None:
        """Why the request is refused; `None` where it names one of the hosts, or asks for the health."""
        written = next((value for name, value in scope["headers"] if name == b"host"), b"")
        if written in self._exact or scope["path"].startswith(_PROBES):
            return None
        refused = self._refusal(written) if len(written) <= _LONGEST else MalformedRequest
        if refused is None:
            return None
        return refused(_DETAILS[refused])


_DETAILS = {
    MalformedRequest: "Its Host is no host (RFC 9110 §7.2).",
    MisdirectedRequest: "ALLOWED_HOSTS does not list this host.",
}
