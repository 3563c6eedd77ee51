"""The real server behind a real nginx and a real HAProxy, which are set up as docs/auth.md says."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from httpx2 import AsyncClient, AsyncHTTPTransport, Response

from kernel.servers.proxies import Proxy, a_proxy, documented, haproxy, nginx
from kernel.servers.serving import environment_of, serving

CLIENT = "127.0.0.2"  # all of 127.0.0.0/8 is this machine, on Linux without being set up
PROXY = "127.0.0.1"
FORGED = {
    "x-forwarded-for": "203.0.113.9",
    "x-forwarded-proto": "gopher",
    "forwarded": "for=203.0.113.9;proto=gopher",
}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 has to be set up here first.")

BY_RFC_7239 = (
    "backend service\n    http-request del-header X-Forwarded-For\n"
    + "".join(
        f'    http-request set-header Forwarded "for=%[src];proto={scheme}" {when} {{ ssl_fc }}\n'
        for scheme, when in (("https", "if"), ("http", "unless"))
    )
    + "    server service 127.0.0.1:8000\n"
)
NAIVE = (
    "location / { proxy_pass http://127.0.0.1:8000; "
    "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }"
)
PROXIES: dict[str, Proxy] = {
    "nginx": nginx(documented("nginx")),
    "haproxy": haproxy(documented("haproxy")),
    "haproxy by RFC 7239": haproxy(BY_RFC_7239),
}


@pytest.fixture
async def behind(empty_database_url: str) -> AsyncIterator[int]:
    """The port of a server that trusts one address, whatever variables of uvicorn's say."""
    settings = {"TRUSTED_PROXIES": PROXY, "FORWARDED_ALLOW_IPS": "*"}
    environment = environment_of(empty_database_url, **settings)
    async with serving(environment, module="kernel.servers.telling"):
        yield int(environment["PORT"])


async def ask(port: int, path: str = "/told", *, scheme: str = "http", **headers: str) -> Response:
    """What somebody at CLIENT is answered."""
    transport = AsyncHTTPTransport(local_address=CLIENT, verify=False)
    async with AsyncClient(transport=transport, base_url=f"{scheme}://127.0.0.1:{port}") as client:
        return await client.get(path, headers=headers)


async def told(port: int, *, scheme: str = "http", **headers: str) -> Any:
    return (await ask(port, scheme=scheme, **headers)).json()


@pytest.mark.parametrize("forged", [{}, FORGED], ids=["honest", "forged"])
@pytest.mark.parametrize("proxy", PROXIES)
async def test_the_client_and_its_scheme_are_what_the_proxy_saw(
    behind: int, tmp_path: Path, proxy: str, forged: dict[str, str]
) -> None:
    async with a_proxy(tmp_path / "proxy", PROXIES[proxy], behind=behind) as (plain, tls):
        assert await told(plain, **forged) == {"client": CLIENT, "scheme": "http"}
        assert await told(tls, scheme="https", **forged) == {"client": CLIENT, "scheme": "https"}
        for path in ("/told", "/health/live", "/nowhere"):
            assert "strict-transport-security" not in (await ask(plain, path, **forged)).headers
            answer = await ask(tls, path, scheme="https", **forged)
            assert answer.headers["strict-transport-security"] == "max-age=31536000"


async def test_the_client_is_found_behind_two_proxies(behind: int, tmp_path: Path) -> None:
    inner = documented("nginx").replace("$scheme", "$http_x_forwarded_proto")
    async with (
        a_proxy(tmp_path / "inner", nginx(inner), behind=behind) as (between, _),
        a_proxy(tmp_path / "outer", haproxy(documented("haproxy")), behind=between) as (plain, tls),
    ):
        assert await told(plain, **FORGED) == {"client": CLIENT, "scheme": "http"}
        assert await told(tls, scheme="https", **FORGED) == {"client": CLIENT, "scheme": "https"}


async def test_a_header_that_the_proxy_passes_on_unread_is_not_believed(behind: int, tmp_path: Path) -> None:
    async with a_proxy(tmp_path / "proxy", nginx(NAIVE), behind=behind) as (plain, _):
        assert await told(plain) == {"client": CLIENT, "scheme": "http"}
        assert await told(plain, forwarded="for=203.0.113.9") == {"client": PROXY, "scheme": "http"}


async def test_whoever_comes_past_the_proxy_is_not_believed(behind: int) -> None:
    assert await told(behind, **FORGED) == {"client": CLIENT, "scheme": "http"}
