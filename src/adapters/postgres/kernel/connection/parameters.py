"""The parameters of a database's address: which are understood, ignored, or refused with the remedy.

libpq's, and those that other drivers and their vendors put beside them (docs/decisions/0035).
https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
"""

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final
from urllib.parse import unquote

_WHOLE = re.compile(r"-?[0-9]{1,9}")
YES, _NO = ("1", "true", "on", "yes"), ("0", "false", "off", "no")
MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

_VALUES: Final[Mapping[str, tuple[str, ...]]] = {
    "sslmode": MODES,
    "sslnegotiation": ("postgres", "direct"),
    "ssl_min_protocol_version": ("TLSv1.2", "TLSv1.3"),
    "ssl_max_protocol_version": ("TLSv1.2", "TLSv1.3"),
    "channel_binding": ("disable", "prefer", "require"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    "load_balance_hosts": ("disable", "random"),
    "keepalives": ("0", "1"),
    "pgbouncer": (*YES, *_NO),
    "pool_mode": ("transaction", "session"),
    "ssl": (*YES, *_NO, *MODES),
}
"""What is understood, and takes one of a few values."""

_NUMBERS: Final = (
    "connect_timeout",  # seconds
    "keepalives_idle",  # seconds
    "keepalives_interval",  # seconds
    "keepalives_count",
    "tcp_user_timeout",  # milliseconds
)
CERTIFICATES: Final = {"sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl"}
_TEXTS: Final = (
    *("host", "port", "user", "password", "passfile", "dbname", "database", "application_name", "options"),
    *CERTIFICATES,
)

_IGNORED: Final[Mapping[str, str]] = {
    "fallback_application_name": "",  # the service has a name
    "sslcompression": "",  # libpq ignores it, too
    "max_protocol_version": "",  # the driver speaks 3.0
    "connection_limit": "",  # DATABASE_POOL_SIZE says it
    "pool_timeout": "",  # DATABASE_WAIT_SECONDS
    "socket_timeout": "",  # DATABASE_STATEMENT_SECONDS
    "supa": "",  # for the books of the vendor, as the next
    "workaround": "",
    "uselibpqcompat": "",  # for another driver
    "gssencmode": r"disable|prefer",
    "gssdelegation": r"0",
    "sslsni": r"1",
    "sslcertmode": r"allow",
    "replication": r"false|off|no|0",
    "min_protocol_version": r"3\.0",
    "client_encoding": r"(?i:utf-?8|unicode|auto)",
    "schema": r"public",
    "prepared_statements": r"true|on|yes|1",
    "statement_cache_size": r"[1-9][0-9]*",
    "prepared_statement_cache_size": r"[1-9][0-9]*",
    "statement_cache_capacity": r"[1-9][0-9]*",
    "prepareThreshold": r"[1-9][0-9]*",
}
"""What makes no difference, and with which values: another value is refused."""

_PREPARED = (
    "Every statement here is a prepared one. Remove it, and let the pooler keep prepared statements "
    "(PgBouncer 1.21 or newer: max_prepared_statements=200)."
)
_WRITE_OUT = "Write out in the URL what that file says."
_NO_KERBEROS = "Kerberos is not supported. Remove it, and log in with a password or a client certificate."
_LOG_IN = "Remove it, and log in with a password or a client certificate."
_REMEDIES: Final[Mapping[str, str]] = {
    "service": _WRITE_OUT,
    "servicefile": _WRITE_OUT,
    "hostaddr": "Write the address as the host, and leave hostaddr out.",
    "gssencmode": f"{_NO_KERBEROS} TLS encrypts: sslmode=verify-full.",
    "gssdelegation": _NO_KERBEROS,
    "krbsrvname": _NO_KERBEROS,
    "gsslib": _NO_KERBEROS,
    "require_auth": "Remove it. Have pg_hba.conf require scram-sha-256, and write sslmode=verify-full.",
    "requirepeer": "Remove it, and guard the folder of the socket.",
    "requiressl": "Write sslmode=require.",
    "sslaccept": "Write sslmode=verify-full, or sslmode=require to verify nothing.",
    "sslidentity": "Write sslcert= and sslkey=, files in PEM.",
    "sslcrldir": "Write sslcrl=, a file.",
    "sslkeylogfile": "Set the variable SSLKEYLOGFILE.",
    "sslcertmode": "Give sslcert=, or leave it out.",
    "sslsni": "The server's name is always sent in TLS. Remove it.",
    "scram_client_key": _LOG_IN,
    "scram_server_key": _LOG_IN,
    "oauth_issuer": _LOG_IN,
    "oauth_client_id": _LOG_IN,
    "oauth_client_secret": _LOG_IN,
    "oauth_scope": _LOG_IN,
    "oauth_ca_file": _LOG_IN,
    "replication": "The service is no replica. Remove it.",
    "min_protocol_version": "The driver speaks 3.0. Remove it.",
    "client_encoding": "Text is always UTF-8. Remove it.",
    "schema": "Write options=-c%20search_path%3Dname.",
    "currentSchema": "Write options=-c%20search_path%3Dname.",
    "search_path": "Write options=-c%20search_path%3Dname.",
    "statement_timeout": "Set DATABASE_STATEMENT_SECONDS.",
    "command_timeout": "Set DATABASE_STATEMENT_SECONDS.",
    "lock_timeout": "Set DATABASE_LOCK_SECONDS.",
    "timezone": "Sessions are always in UTC. Remove it.",
    "prepared_statements": _PREPARED,
    "statement_cache_size": _PREPARED,
    "prepared_statement_cache_size": _PREPARED,
    "statement_cache_capacity": _PREPARED,
    "prepareThreshold": _PREPARED,
}
_KNOWN: Final = (*_VALUES, *_NUMBERS, *_TEXTS, *_IGNORED, *_REMEDIES)

# What libpq takes from the environment where the URL is silent. User, password and their file are read by
# the driver itself.
_VARIABLES: Final[Mapping[str, str]] = {
    "sslmode": "PGSSLMODE",
    "sslnegotiation": "PGSSLNEGOTIATION",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslcrl": "PGSSLCRL",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION",
    "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}


def read_parameters(query: str) -> dict[str, str]:
    """By their names, each with a value that it takes; what makes no difference is left out."""
    found = dict[str, str]()
    for part in filter(None, query.split("&")):
        name, separator, value = part.partition("=")
        name, value = unquote(name), unquote(value)
        if name not in _KNOWN:
            raise ValueError(_unknown(name))
        if not separator or name in found:
            problem = "twice" if separator else "without a value"
            raise ValueError(f"has {name} {problem}. Write it once: {name}=….")
        found[name] = value
    given = {name: value for name, value in found.items() if value}
    for name, value in given.items():
        _check(name, value)
    return {name: value for name, value in given.items() if name not in _IGNORED}


def _check(name: str, value: str) -> None:
    """Raises ValueError."""
    if (values := _VALUES.get(name)) and value not in values:
        raise ValueError(
            f"has a {name} that there is not. It takes {', '.join(values[:-1])} or {values[-1]}."
        )
    if name in _NUMBERS and not _WHOLE.fullmatch(value):
        raise ValueError(f"has a {name} that is no whole number. Write it like {name}=10.")
    if name in _IGNORED and re.fullmatch(_IGNORED[name] or ".*", value):
        return
    if remedy := _REMEDIES.get(name):
        raise ValueError(f"has {name}, which is not supported so. {remedy}")


def _unknown(name: str) -> str:
    shown = name if re.fullmatch(r"[A-Za-z_]{2,40}", name) else "one"
    by_case = {known.lower(): known for known in _KNOWN}
    near = get_close_matches(name.lower(), by_case, n=1, cutoff=0.75)
    meant = f"Did you mean {by_case[near[0]]}?" if near else "Remove it."
    return (
        f"has a parameter that is not known: {shown}. {meant} "
        "What the server is to set for a session is written options=-c%20name%3Dvalue."
    )


def from_environment() -> dict[str, str]:
    found = {name: os.environ[variable] for name, variable in _VARIABLES.items() if os.environ.get(variable)}
    for name, value in found.items():
        if (values := _VALUES.get(name)) and value not in values:
            raise ValueError(
                f"goes with {_VARIABLES[name]}, which takes {', '.join(values)}. Mend or unset it."
            )
    return found
