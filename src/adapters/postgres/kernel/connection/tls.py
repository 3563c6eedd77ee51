"""TLS on the way to the database, as its address asks for it; certificates are loaded once, at start-up."""

import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from adapters.postgres.kernel.connection.parameters import MODES, YES

type Tls = ssl.SSLContext | Literal["allow", "prefer", False]


def tls_mode(given: Mapping[str, str]) -> str:
    """libpq's sslmode, of all that say something of it; raises ValueError where they disagree."""
    mode = given.get("sslmode")
    if (other := given.get("ssl")) is not None:  # JDBC's, and SQLAlchemy's for asyncpg
        meant = other if other in MODES else "require" if other in YES else "disable"
        if mode not in {None, meant}:
            raise ValueError("has sslmode and ssl, which disagree. Leave ssl out.")
        mode = meant
    if given.get("sslrootcert") == "system":
        if mode not in {None, "verify-full"}:
            raise ValueError("has sslrootcert=system, which needs sslmode=verify-full.")
        mode = "verify-full"
    if given.get("channel_binding") == "require":
        # The driver cannot bind. That no party stands in between, a certificate shows too.
        if mode in {"disable", "allow"}:
            raise ValueError("has channel_binding=require, which needs TLS. Write sslmode=verify-full.")
        mode = "verify-full"
    return mode or "prefer"


def read_tls(given: Mapping[str, str], *, sockets: bool) -> Tls:
    """What the driver takes. Made once: to read certificates for each connection would stop the process.

    As libpq has it: `require` verifies where there is a root certificate, and TLS is not for sockets.
    """
    mode = tls_mode(given)
    if mode == "disable" or sockets:
        return False
    if mode in {"allow", "prefer"}:
        return "allow" if mode == "allow" else "prefer"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = mode == "verify-full"
    context.minimum_version = _version(given.get("ssl_min_protocol_version", "TLSv1.2"))
    if newest := given.get("ssl_max_protocol_version"):
        context.maximum_version = _version(newest)
    context.set_alpn_protocols(["postgresql"])
    root = given.get("sslrootcert")
    usual = Path("~/.postgresql/root.crt").expanduser()
    if root == "system" or (not root and given.get("channel_binding") == "require" and not usual.exists()):
        context.load_default_certs()
    elif root:
        _load(lambda: context.load_verify_locations(cafile=file_of(given, "sslrootcert")), "sslrootcert")
    elif usual.exists():
        _load(lambda: context.load_verify_locations(cafile=usual), "sslrootcert")
    elif mode == "require":
        context.verify_mode = ssl.CERT_NONE
    else:
        raise ValueError(
            f"has sslmode={mode} without a root certificate. Write sslrootcert=system where the server's "
            "certificate is a public authority's, else sslrootcert= and the file of the one that signed it."
        )
    if given.get("sslcrl"):
        _load(lambda: context.load_verify_locations(cafile=file_of(given, "sslcrl")), "sslcrl")
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    _load_client(context, given)
    return context


def _load_client(context: ssl.SSLContext, given: Mapping[str, str]) -> None:
    """As libpq does, also the certificate that lies where everybody's lies."""
    usual, usual_key = (Path(f"~/.postgresql/postgresql.{kind}").expanduser() for kind in ("crt", "key"))
    certificate = file_of(given, "sslcert") or (str(usual) if usual.exists() else None)
    if certificate is None:
        return
    key = file_of(given, "sslkey") or (str(usual_key) if usual_key.exists() else None)
    password = given.get("sslpassword", "")
    _load(
        lambda: context.load_cert_chain(certificate, keyfile=key, password=password), "sslcert or its sslkey"
    )


def _version(name: str) -> ssl.TLSVersion:
    return ssl.TLSVersion[name.replace(".", "_")]


def _load(load: Callable[[], object], name: str) -> None:
    try:
        load()
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"names a file for {name} that cannot be used ({error}).") from None


def file_of(given: Mapping[str, str], name: str) -> str | None:
    """The path of a file; raises ValueError where it is not there."""
    path = given.get(name)
    if path and not Path(path).is_file():
        raise ValueError(f"names a file for {name} that is not there. Mount it, or mend the path.")
    return path
