"""How a connection is made: to the first host that will do, within a limit, and with what a session is told.

The hosts are tried here and not by the driver, whose limit is one for all of them: a silent host would leave
no time for the next (docs/decisions/0035).
"""

import asyncio
import random
from collections import deque
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any, Final

import asyncpg
from asyncpg.connect_utils import SessionAttribute
from asyncpg.exceptions import TargetServerAttributeNotMatched

from adapters.postgres.kernel.connection.address import read_address
from adapters.postgres.kernel.connection.sockets import keep_alive

# Written so because the class takes a parameter for the type checker only.
type _Connection = asyncpg.Connection[asyncpg.Record]

_AVOIDED_SECONDS: Final = 30.0
# The server is there and takes no connection for now: exceptions, resources, operator intervention.
_NEXT: Final = ("08", "53", "57P")


def session_settings(*, statement_seconds: float, lock_seconds: float) -> dict[str, str]:
    """What a session of the service is told, by the names of PostgreSQL's parameters."""
    return {
        "timezone": "UTC",
        "jit": "off",  # compiling costs more than any statement here runs
        "statement_timeout": f"{statement_seconds * 1000:.0f}",  # milliseconds, as are the next
        "lock_timeout": f"{lock_seconds * 1000:.0f}",
        "idle_in_transaction_session_timeout": f"{statement_seconds * 1000:.0f}",
    }


class Connector:
    """Makes connections to one database. A host that was silent is tried last for a while."""

    def __init__(
        self,
        url: str,
        *,
        seconds: float = 2.0,
        settings: Mapping[str, str] | None = None,
        application_name: str = "",
        pooled: bool = False,
        statement_cache_size: int = 512,
    ) -> None:
        """`seconds` is the longest wait for a connection, all hosts together.

        `settings` are told to the server for the session, but not through a pooler in transaction mode, where
        there is none (`pooled`, or the URL says so): the role has them (docs/decisions/0035).
        Raises ValueError where the URL cannot be read.
        """
        self.address = read_address(url)
        self.pooled = pooled or self.address.pooled
        self._seconds = seconds
        self._avoided = dict[str, float]()
        told = {} if self.pooled else dict(settings or {})
        told["application_name"] = self.address.application_name or application_name
        if self.address.options:
            told["options"] = self.address.options
        self._options: dict[str, Any] = {
            "user": self.address.user,
            "password": self.address.password,
            "passfile": self.address.passfile,
            "database": self.address.database,
            "ssl": self.address.tls,
            "direct_tls": self.address.direct_tls,
            "server_settings": told,
            "statement_cache_size": statement_cache_size,  # as many shapes as paging keeps
        }

    async def __call__(self) -> _Connection:
        """A new connection; raises what the driver raises, and OSError where no host will do."""
        ends = monotonic() + self._seconds
        session = self.address.session
        first = "standby" if session == "prefer-standby" else session
        waiting = deque((host, first) for host in self._in_order())
        failures = list[str]()
        while True:
            host, wanted = waiting.popleft()
            seconds = max(0.01, ends - monotonic()) / (1 + len(waiting))  # what is left, shared
            if self.address.host_seconds is not None:
                seconds = min(seconds, self.address.host_seconds)
            try:
                connection = await self._at(host, wanted, seconds)
            except (OSError, TargetServerAttributeNotMatched, asyncpg.PostgresError) as error:
                if isinstance(error, asyncpg.PostgresError) and not (waiting and _is_away(error)):
                    raise
                if isinstance(error, TimeoutError):
                    self._avoided[_name(host)] = monotonic() + _AVOIDED_SECONDS
                elif isinstance(error, TargetServerAttributeNotMatched) and wanted != session:
                    waiting.append((host, "any"))  # a primary, where no standby will be found
                failures.append(f"{_name(host)} {_reason(error, wanted, seconds)}")
                if not waiting:
                    raise ConnectionError("; ".join(failures)) from error
            else:
                self._avoided.pop(_name(host), None)
                return connection

    def _in_order(self) -> Sequence[tuple[str, int] | None]:
        hosts: list[tuple[str, int] | None] = [*self.address.hosts] or [None]
        if self.address.shuffled:
            random.shuffle(hosts)
        now = monotonic()
        return sorted(hosts, key=lambda host: self._avoided.get(_name(host), 0.0) > now)

    async def _at(self, host: tuple[str, int] | None, session: str, seconds: float) -> _Connection:
        place: dict[str, Any] = {} if host is None else {"host": host[0], "port": host[1]}
        connection: _Connection = await asyncpg.connect(
            **place, **self._options, target_session_attrs=SessionAttribute(session), timeout=seconds
        )
        transport: asyncio.Transport = connection._transport  # type: ignore[attr-defined]  # noqa: SLF001
        keep_alive(transport.get_extra_info("socket"), self.address.keepalive)  # the driver has no option
        return connection


def _name(host: tuple[str, int] | None) -> str:
    return "the local socket" if host is None else f"{host[0]}:{host[1]}"


def _is_away(error: asyncpg.PostgresError) -> bool:
    return (error.sqlstate or "").startswith(_NEXT)


def _reason(error: Exception, wanted: str, seconds: float) -> str:
    if isinstance(error, TimeoutError):
        return f"did not answer in {seconds:.1f} s"
    if isinstance(error, TargetServerAttributeNotMatched):
        return f"is not {wanted}"
    return f"failed: {str(error) or type(error).__name__}"
