"""Which hosts requests may name, and what becomes of those for another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from httpx2 import ASGITransport, AsyncClient
from pydantic import SecretStr
from structlog.testing import capture_logs

from entrypoints.http.kernel.routing.problems import kinds
from entrypoints.http.kernel.server import hosts as module
from entrypoints.http.kernel.server.hosts import Hosts
from entrypoints.kernel.configuration.hosts import spelt
from entrypoints.settings import Settings
from kernel.servers.serving import environment_of, serving
from kernel.specimen.service import Container, create_app

NOWHERE = SecretStr("postgresql://nobody@127.0.0.1:1/nothing")
PRODUCTION: dict[str, Any] = {
    "environment": "production",
    "public_url": "https://API.example.com:8443/shop",
    "auth_secret": "Wm9vbGVuIHJpdmVycyBydW4gZGVlcCBhdCBuaWdodA",
    "trusted_proxies": "127.0.0.1",
    "mailer": "smtp",
    "smtp_host": "localhost",
    "mail_from": "noreply@example.com",
    "allowed_hosts": "Internal.test., *.Apps.example.com,10.0.0.7,::1,[2001:DB8:0::2],bücher.example",
}
ENVIRONMENT = {
    "ENVIRONMENT": "production",
    "PUBLIC_URL": "https://api.example.com",
    "AUTH_SECRET": PRODUCTION["auth_secret"],
    "TRUSTED_PROXIES": "127.0.0.1",
    "MAILER": "smtp",
    "SMTP_HOST": "localhost",
    "MAIL_FROM": "noreply@example.com",
}
OURS = (
    *(
        "api.example.com",
        "API.EXAMPLE.COM",
        "api.example.com.",
        "api.example.com:443",
        "api.example.com:8443",
    ),
    *("api.example.com:80", "api.example.com:1", "api.example.com.:9", "api.example.com:"),
    *(
        "internal.test",
        "Internal.Test:8080",
        "a.apps.example.com",
        "a.b.apps.example.com:443",
        "A.Apps.example.com.",
    ),
    *(
        "10.0.0.7",
        "10.0.0.7:8000",
        "[::1]",
        "[::1]:8000",
        "[0:0::1]",
        "[2001:db8::2]",
        "xn--bcher-kva.example",
    ),
)
OTHERS = (
    *(
        "evil.example",
        "example.com",
        "apps.example.com",
        "xapi.example.com",
    ),
    *(
        "api.example.com.evil.example",
        "evilapps.example.com",
        "localhost",
        "127.0.0.1",
        "10.0.0.8",
        "[::2]",
        "",
    ),
    *("api.example.comx", "testserver"),
)
NONE = (
    *(
        "api.example.com/x",
        "ada@api.example.com",
        "evil.example:443:api.example.com",
        "api.example.com:port",
        "a b",
    ),
    *(
        "api.example.com,evil.example",
        "::1",
        "[::1",
        "http://api.example.com",
        "api.example.com:123456",
        "a" * 400,
    ),
    *(
        ".apps.example.com",
        ".apps.example.com.evil.example",
        ":80",
        "*.apps.example.com",
        "api..example.com",
        "api.example.com..",
        "%61pi.example.com",
    ),
    *("api.example.com\u00e9", "api.example.com#", "api.example.com?", "api.example.com\\"),
)


@asynccontextmanager
async def talk_to(**settings: Any) -> AsyncIterator[AsyncClient]:
    app = create_app(Container(settings=Settings(_env_file=None, database_url=NOWHERE, **settings)))
    async with (
        ASGITransport(app=app, raise_app_exceptions=False) as transport,
        AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        yield client


def named(host: str) -> list[tuple[bytes, bytes]]:
    return [(b"host", host.encode("latin-1"))]


async def test_production_answers_for_its_own_hosts_alone() -> None:
    async with talk_to(**PRODUCTION) as client:
        for host in OURS:
            answer = await client.get("/problems", headers=named(host))
            assert (host, answer.status_code) == (host, 200)
        for host in OTHERS:
            refused = await client.get("/problems", headers=named(host))
            assert (host, refused.status_code) == (host, 421)
            assert refused.json()["type"] == "/problems/misdirected-request"
            assert refused.json()["detail"] == "ALLOWED_HOSTS does not list this host."
        for host in NONE:
            wrong = await client.get("/problems", headers=named(host))
            assert (host, wrong.status_code) == (host, 400)
            assert wrong.json()["type"] == "/problems/malformed-request"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "OPTIONS"])
@pytest.mark.parametrize("path", ["/v1/me", "/v1/auth/login", "/nowhere", "/", "/health", "/v1/health/live"])
async def test_whatever_is_asked_of_another_host_is_refused_and_logged(method: str, path: str) -> None:
    async with talk_to(**PRODUCTION, cors_origins="https://app.example.com") as client:
        with capture_logs() as logs:
            asked = {
                "host": "evil.example",
                "origin": "https://app.example.com",
                "access-control-request-method": "POST",
            }
            refused = await client.request(method, path, headers=asked)
    assert refused.status_code == 421
    assert "access-control-allow-origin" not in refused.headers
    assert [(line["event"], line["status"]) for line in logs] == [("request", 421)]


@pytest.mark.parametrize("host", [*OTHERS, *NONE])
async def test_a_probe_may_name_any_host(host: str) -> None:
    async with talk_to(**PRODUCTION) as client:
        assert (await client.get("/health/live", headers=named(host))).status_code == 200
        assert (await client.get("/health/ready", headers=named(host))).status_code == 503  # no database


@pytest.mark.parametrize(
    "told", [{"x-forwarded-host": "api.example.com"}, {"forwarded": "for=192.0.2.1;host=api.example.com"}]
)
async def test_no_header_stands_in_for_the_host(told: dict[str, str]) -> None:
    async with talk_to(**PRODUCTION) as client:
        refused = await client.get("/problems", headers={"host": "evil.example", **told})
        assert refused.status_code == 421
        evil = {name: value.replace("api.example.com", "evil.example") for name, value in told.items()}
        assert (await client.get("/problems", headers={"host": "api.example.com", **evil})).status_code == 200


async def test_development_answers_for_every_host_unless_it_is_told_which() -> None:
    async with talk_to() as client:
        assert (await client.get("/problems", headers=named("evil.example"))).status_code == 200
    async with talk_to(allowed_hosts="shop.test") as client:
        for host, status in {"shop.test": 200, "localhost:8000": 200, "evil.example": 421}.items():
            assert (await client.get("/problems", headers=named(host))).status_code == status


async def test_a_star_is_for_every_host() -> None:
    async with talk_to(**PRODUCTION | {"allowed_hosts": "*"}) as client:
        assert (await client.get("/problems", headers=named("evil.example"))).status_code == 200


def test_what_is_known_is_not_worked_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def noting(host: str) -> str | None:
        read.append(host)
        return spelt(host)

    monkeypatch.setattr(module, "spelt", noting)
    hosts = Hosts(["api.example.com", "*.apps.example.com"])

    def ask(host: str) -> bool:
        return hosts.refusal({"path": "/", "headers": named(host)}) is None

    assert all(ask(host) for host in ("api.example.com", "api.example.com:443", "api.example.com:80") * 3)
    assert read == []
    assert [ask(host) for host in ("a.apps.example.com", "evil.example") * 3] == [True, False] * 3
    assert read == ["a.apps.example.com", "evil.example"]


async def exchange(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    status = (await reader.readline()).split()[1]
    writer.close()
    return status


async def test_the_real_server_reads_the_whole_address_of_a_request_before_its_host(
    empty_database_url: str,
) -> None:
    environment = environment_of(empty_database_url, **ENVIRONMENT)
    async with serving(environment):
        for target, host, status in (
            ("/problems", "Host: api.example.com", b"200"),
            ("/problems", "Host: evil.example", b"421"),
            ("http://api.example.com/problems", "Host: evil.example", b"200"),
            ("HTTPS://API.example.com:443/problems", "Host: evil.example", b"200"),
            ("http://evil.example/problems", "Host: api.example.com", b"421"),
            ("http://evil.example/health/live", "Host: api.example.com", b"200"),
            ("http://ada@api.example.com/problems", "Host: api.example.com", b"400"),
            ("http://[::1]/problems", "Host: api.example.com", b"421"),
            ("//evil.example/problems", "Host: api.example.com", b"404"),
            ("/health/live", "Host: 10.1.2.3:8000", b"200"),
            ("/problems", "Host:", b"421"),
        ):
            request = f"GET {target} HTTP/1.1\r\n{host}\r\nConnection: close\r\n\r\n".encode()
            assert (target, host, await exchange(int(environment["PORT"]), request)) == (target, host, status)
        # HAProxy's probe says no host, in HTTP/1.0.
        for path, status in (("/health/live", b"200"), ("/problems", b"421")):
            probe = f"GET {path} HTTP/1.0\r\n\r\n".encode()
            assert await exchange(int(environment["PORT"]), probe) == status


# ── the documentation page ───────────────────────────────────────────────────────────────────────

PAGES = (
    *("/v1/docs", "/v1/openapi.json", "/v1/docs/swagger-ui.css", "/v1/docs/swagger-ui-bundle.js"),
    *("/v1/docs/favicon.png", "/v1/docs/oauth2-redirect.html", "/v2/docs", "/v2/openapi.json"),
)
NEVER = ("/docs", "/redoc", "/openapi.json")


@pytest.mark.parametrize(
    ("environment", "docs", "status"),
    [
        ("development", "auto", 200),
        ("development", "public", 200),
        ("development", "off", 404),
        ("production", "auto", 404),
        ("production", "public", 200),
        ("production", "off", 404),
    ],
)
async def test_the_documentation_is_there_where_the_setting_says_so(
    environment: str, docs: str, status: int
) -> None:
    settings = PRODUCTION | {"environment": environment, "docs": docs, "allowed_hosts": "localhost"}
    async with talk_to(**settings) as client:
        for path in PAGES:
            answer = await client.get(path)
            assert answer.status_code == (status if path.startswith("/v1") else answer.status_code)
            if status == 404:
                assert (path, answer.status_code) == (path, 404)
                assert answer.json()["type"] == "/problems/path-not-found"
        for path in NEVER:
            assert (await client.get(path)).status_code == 404
        # What problems link to is there, and links to nothing that is not.
        assert (await client.get("/problems")).status_code == 200
        for kind in kinds():
            page = await client.get(kind.type)
            assert page.status_code == 200
            assert ("/docs#" in page.text) <= (status == 200)
        known = (await client.get("/.well-known/oauth-authorization-server")).json()
        assert ("service_documentation" in known) == (status == 200)
        about = (await client.get("/.well-known/oauth-protected-resource")).json()
        assert ("resource_documentation" in about) == (status == 200)
