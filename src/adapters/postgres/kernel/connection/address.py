"""The address of a database, as clouds hand it out: a URL of libpq's kind, read in one place for all.

https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
"""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from adapters.postgres.kernel.connection.parameters import (
    CERTIFICATES,
    YES,
    from_environment,
    read_parameters,
)
from adapters.postgres.kernel.connection.tls import Tls, file_of, read_tls, tls_mode

_LIKE = "Write it as postgresql://user:password@localhost:5432/name"
_ESCAPES = "in a password write / ? # [ ] @ : as %2F %3F %23 %5B %5D %40 %3A."
_HOW = f"{_LIKE}; {_ESCAPES}"

# As SQLAlchemy, Django and Heroku spell it: what stands behind the + is their driver, and ours is another.
_SCHEME = re.compile(r"postgres(?:ql)?(?:\+(?:asyncpg|psycopg|psycopg2|pg8000))?", re.IGNORECASE)
_HOST = re.compile(r"[^\s\[\]:,]+|\[[0-9A-Fa-f:.]+(?:%25[^\]]+|%[^\]]+)?\]")
_OPTION = re.compile(r"(?:-c\s*|--)[A-Za-z_][\w.-]*=\S*|[a-z_]+=\S+")
_NO_SPACE = re.compile(r"[^\s\x00-\x1f\x7f]*")
_NAMED = re.compile(r"(?:^|&)(?:dbname|database)=[^&]")
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")


@dataclass(frozen=True, slots=True)
class Keepalive:
    """When TCP finds out by itself that the other side has gone. Zero leaves a value to the system.

    By default it is noticed within about ten seconds, also where nothing is under way and however long a
    statement may run; libpq leaves that to the system, which waits for two hours.
    """

    idle_seconds: int = 5
    interval_seconds: int = 2
    count: int = 3
    user_timeout_milliseconds: int = 10_000
    on: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """What a URL says."""

    hosts: tuple[tuple[str, int], ...]
    """Names and ports in the order in which they are tried; none where the driver looks for a socket."""
    user: str | None
    password: str | None
    passfile: str | None
    database: str
    tls: Tls
    direct_tls: bool
    session: str
    """Which of the hosts will do: `any`, `read-write`, …, as libpq's target_session_attrs."""
    shuffled: bool
    host_seconds: float | None
    """Longest wait for one of the hosts."""
    application_name: str | None
    options: str | None
    """What the server is told of the session, such as `-c search_path=shop`."""
    pooled: bool
    """Whether the URL says that a pooler in transaction mode is behind it."""
    keepalive: Keepalive

    @property
    def sets_options(self) -> bool:
        """Whether parameters of the server are set by the options, which may also just be for a vendor."""
        return "-" in (self.options or "").replace("=", " ", 1).split(" ", 1)[0]


def read_address(url: str) -> Address:
    """The address that a URL names, with the certificates that it names loaded.

    Raises ValueError with what is wrong and the remedy, as the end of a sentence that begins with the name of
    the setting. It never shows what could be a part of a password.
    """
    place, _, query = _past_scheme(url.strip()).partition("?")
    authority, _, path = place.partition("/")
    credentials, _, where = authority.rpartition("@")
    if "@" in credentials or "/" in path or "@" in path:
        raise ValueError(f"cannot be read. {_HOW}")
    user, _, password = (unquote(each) for each in credentials.partition(":"))
    hosts = _hosts(where, "")
    if not path and not _NAMED.search(query):
        raise ValueError(f"names no database. {_HOW}")
    given = read_parameters(query)
    if "host" in given or "port" in given:
        hosts = _hosts(given.get("host", where), given.get("port", ""))
    if given.keys() & CERTIFICATES and tls_mode(given) in {"disable", "allow", "prefer"}:
        raise ValueError(
            "has certificates, which need sslmode=require, verify-ca or verify-full. Write it, too."
        )
    given = {**from_environment(), **given}
    tls = read_tls(given, sockets=bool(hosts) and all(name.startswith("/") for name, _ in hosts))
    direct = given.get("sslnegotiation") == "direct"
    if direct and not isinstance(tls, ssl.SSLContext):
        raise ValueError("has sslnegotiation=direct, which needs sslmode=require, verify-ca or verify-full.")
    seconds = int(given.get("connect_timeout", 0))
    return Address(
        hosts=hosts,
        user=given.get("user") or user or None,
        password=given.get("password") or password or None,
        passfile=file_of(given, "passfile"),
        database=given.get("dbname") or given.get("database") or unquote(path),
        tls=tls,
        direct_tls=direct,
        session=given.get("target_session_attrs", "any"),
        shuffled=given.get("load_balance_hosts") == "random",
        host_seconds=float(seconds) if seconds > 0 else None,
        application_name=given.get("application_name"),
        options=_options(given.get("options")),
        pooled=given.get("pgbouncer") in YES or given.get("pool_mode") == "transaction",
        keepalive=_keepalive(given),
    )


def _past_scheme(url: str) -> str:
    """What follows postgresql://; raises ValueError where it is nothing that a URL can have."""
    scheme, separator, rest = url.partition("://")
    if url[:1] in {"'", '"'} and url[-1:] == url[:1]:
        raise ValueError("stands in quotation marks. Remove them.")
    if scheme.lower() == "jdbc:postgresql":
        raise ValueError(f"is JDBC's. {_HOW}")
    if not separator or not _SCHEME.fullmatch(scheme):
        raise ValueError(f"does not name a PostgreSQL. {_LIKE}.")
    if not _NO_SPACE.fullmatch(rest):
        raise ValueError(f"has a space or a line break inside. Write a space as %20. {_LIKE}.")
    if _PERCENT.search(rest):
        raise ValueError(f"has a % that begins no character. Write a percent sign as %25. {_LIKE}.")
    if "#" in rest:
        raise ValueError(f"has a #, which a URL ends at. {_HOW}")
    return rest


def _hosts(where: str, ports: str) -> tuple[tuple[str, int], ...]:
    """Those of `h1:5432,h2`, or of the parameters `host=h1,h2` and `port=5432,5433`."""
    if not where:
        if ports:
            raise ValueError("has port= without a host. Write host= as well.")
        return ()
    found = [_host(each) for each in where.split(",")]
    if ports:
        numbers = ports.split(",")
        if len(numbers) not in {1, len(found)}:
            raise ValueError("has another count of ports than of hosts. Give each host its port, or all one.")
        found = [(name, numbers[place % len(numbers)]) for place, (name, _) in enumerate(found)]
    return tuple((name, _port(number)) for name, number in found)


def _host(text: str) -> tuple[str, str]:
    """Its name and its port; a socket's folder has none, and an IPv6 address stands in brackets."""
    name, number = text, ""
    if unquote(text).startswith("/"):
        return unquote(text), ""
    if not text.endswith("]") and ":" in text:
        name, _, number = text.rpartition(":")
    if not name:
        raise ValueError(f"has an empty name among its hosts. {_LIKE}.")
    if not _HOST.fullmatch(name) or (number and not number.isdecimal()):
        raise ValueError(f"cannot be read. {_HOW}")
    return unquote(name).strip("[]"), number


def _port(number: str) -> int:
    if not number:
        return 5432
    if not (number.isascii() and number.isdecimal() and len(number) < 9 and 1 <= int(number) <= 65535):
        raise ValueError(f"has a port that is not from 1 to 65535. {_HOW}")
    return int(number)


def _options(options: str | None) -> str | None:
    if options is not None and not re.fullmatch(rf"\s*(?:(?:{_OPTION.pattern})\s*)+", options):
        raise ValueError("has options that cannot be read. Write them as options=-c%20name%3Dvalue.")
    return options


def _keepalive(given: Mapping[str, str]) -> Keepalive:
    usual = Keepalive()

    def number(name: str, default: int) -> int:
        return max(0, int(given.get(name, default)))

    return Keepalive(
        idle_seconds=number("keepalives_idle", usual.idle_seconds),
        interval_seconds=number("keepalives_interval", usual.interval_seconds),
        count=number("keepalives_count", usual.count),
        user_timeout_milliseconds=number("tcp_user_timeout", usual.user_timeout_milliseconds),
        on=given.get("keepalives", "1") == "1",
    )
