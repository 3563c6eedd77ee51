"""A real nginx and a real HAProxy in front of a server, set up as docs/auth.md says. Neither needs root."""

import asyncio
import os
import re
import shutil
import socket
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SERVICE = "127.0.0.1:8000"  # where the service is in the lines of docs/auth.md
DOCS = Path(__file__).parents[3] / "docs"


@dataclass(frozen=True, slots=True)
class Proxy:
    """A program, and what it is told: `configure` takes a folder and three ports.

    The ports are the one in the clear and the one with TLS that it serves on, and that of what is behind it.
    """

    program: str
    configure: Callable[[Path, int, int, int], str]

    def command(self, folder: Path) -> list[str]:
        file = str(folder / "configuration")
        if self.program == "nginx":
            return [needed("nginx"), "-p", str(folder), "-e", "stderr", "-c", file]
        return [needed("haproxy"), "-db", "-f", file]


def needed(program: str) -> str:
    """The path of a Debian package's program, or the end of the test: a skip, and in CI a failure."""
    found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if found is not None:
        return found
    missing = f"There is no {program} here: apt install {program}."
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


def documented(program: str, page: str = "auth.md") -> str:
    """The lines that the page has for it."""
    found = re.search(rf"```{program}\n(.*?)```", (DOCS / page).read_text("utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def nginx(lines: str, *, upstream: str = "") -> Proxy:
    """With these lines in its `server`, and those of an `upstream` before it."""

    def configure(folder: Path, plain: int, tls: int, behind: int) -> str:
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        return f"""
            daemon off; pid {folder}/pid; worker_processes 1; events {{ worker_connections 256; }}
            http {{
                access_log off;
                {" ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)}
                {upstream}
                server {{
                    listen 127.0.0.1:{plain}; listen 127.0.0.1:{tls} ssl;
                    ssl_certificate {folder}/tls.pem; ssl_certificate_key {folder}/tls.pem;
                    {lines.replace(SERVICE, f"127.0.0.1:{behind}")}
                }}
            }}
            """

    return Proxy("nginx", configure)


def haproxy(backend: str) -> Proxy:
    """With this backend, which is called service."""

    def configure(folder: Path, plain: int, tls: int, behind: int) -> str:
        return f"""
defaults
    mode http
    timeout connect 5s
    timeout client 20s
    timeout server 20s
frontend api
    bind 127.0.0.1:{plain}
    bind 127.0.0.1:{tls} ssl crt {folder}/tls.pem
    default_backend service
{backend.replace(SERVICE, f"127.0.0.1:{behind}")}
"""

    return Proxy("haproxy", configure)


@asynccontextmanager
async def a_proxy(folder: Path, proxy: Proxy, *, behind: int) -> AsyncIterator[tuple[int, int]]:
    """Its ports, in the clear and with TLS, as soon as both take connections."""
    command = proxy.command(folder)
    plain, tls = _free_ports()
    _prepare(folder, proxy.configure(folder, plain, tls, behind))
    with (folder / "output").open("wb") as output:
        process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=output, stderr=output)
        try:
            async with asyncio.timeout(60):
                for port in (plain, tls):
                    while not await _answers(port):
                        assert process.returncode is None, (folder / "output").read_text()
                        await asyncio.sleep(0.05)
            yield plain, tls
        finally:
            if process.returncode is None:
                process.terminate()
            await asyncio.wait_for(process.wait(), 60)


def _prepare(folder: Path, configuration: str) -> None:
    folder.mkdir()
    (folder / "tls.pem").write_bytes(_certificate())
    (folder / "configuration").write_text(configuration)


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as another:
        for probe in (one, another):
            probe.bind(("127.0.0.1", 0))
        return one.getsockname()[1], another.getsockname()[1]


def _certificate() -> bytes:
    """A key and a certificate that it has signed itself, for an hour."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    plain = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return plain + certificate.public_bytes(encoding)
