"""What everybody may read of us: whose tokens are good here, and how to verify our own."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from httpx2 import ASGITransport, AsyncClient
from joserfc import jwt
from joserfc.jwk import KeySet
from pydantic import SecretStr

from entrypoints.kernel.service import SERVICE_TITLE
from entrypoints.settings import Settings
from kernel.specimen.service import Container, create_app

RESOURCE = "/.well-known/oauth-protected-resource"
DISCOVERY = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")
KEYS = "/.well-known/jwks.json"
NOWHERE = SecretStr("postgresql://nobody@127.0.0.1:1/nothing")
API = "https://api.example.com"
EXTERNAL = {
    "auth_provider": "oidc",
    "oidc_issuer": "https://login.example.com/realms/x",
    "oidc_audience": API,
}

GOOGLE = {
    "name": "google",
    "issuer": "https://accounts.google.com",
    "preset": "google",
    "client_id": "us",
    "client_secret": "x",
}

type Told = Callable[..., AsyncClient]


@pytest.fixture
async def told() -> AsyncIterator[Told]:
    """A client of the service under these settings, which has no database."""
    async with AsyncExitStack() as stack:

        def make(**settings: Any) -> AsyncClient:
            all_ = {"_env_file": None, "database_url": NOWHERE, "public_url": API, **settings}
            transport = ASGITransport(app=create_app(Container(settings=Settings(**all_))))
            client = AsyncClient(transport=transport, base_url=API)
            stack.push_async_callback(client.aclose)
            return client

        yield make


async def test_the_document_tells_whose_tokens_are_good_here(told: Told) -> None:
    answer = await told(**EXTERNAL).get(RESOURCE)
    assert answer.json() == {
        "resource": API,
        "authorization_servers": [EXTERNAL["oidc_issuer"]],
        "bearer_methods_supported": ["header"],
        "resource_name": SERVICE_TITLE,
        "resource_documentation": f"{API}/v1/docs",
    }


@pytest.mark.parametrize(
    ("settings", "issuers"),
    [
        ({}, [API]),
        (EXTERNAL, [EXTERNAL["oidc_issuer"]]),
        (EXTERNAL | {"auth_trust_local": True}, [EXTERNAL["oidc_issuer"], API]),
        (EXTERNAL | {"oidc_client_id": "us"}, [EXTERNAL["oidc_issuer"], API]),
        (
            EXTERNAL
            | {"oidc_more_providers": '[{"name": "b", "issuer": "https://b.example.com", "audience": "a"}]'},
            [EXTERNAL["oidc_issuer"], "https://b.example.com"],
        ),
        (  # a log-in through it ends in tokens of ours
            {"oidc_issuer": "https://login.example.com", "oidc_client_id": "us"},
            [API],
        ),
        (
            EXTERNAL | {"oidc_more_providers": json.dumps([GOOGLE])},
            [EXTERNAL["oidc_issuer"], API],
        ),
        (  # its people log in through Google, and get tokens of ours
            {
                "oidc_issuer": "https://accounts.google.com",
                "oidc_preset": "google",
                "oidc_client_id": "us",
                "oidc_client_secret": SecretStr("x"),
            },
            [API],
        ),
    ],
)
async def test_the_issuers_are_those_whose_access_tokens_are_good(
    told: Told, settings: dict[str, Any], issuers: list[str]
) -> None:
    client = told(**settings)
    assert (await client.get(RESOURCE)).json()["authorization_servers"] == issuers
    ours = API in issuers
    for path in DISCOVERY:
        assert (await client.get(path)).status_code == (200 if ours else 404), path
    keys = await client.get(KEYS)
    assert keys.status_code == (503 if ours else 404)  # there is no database


@pytest.mark.parametrize("path", DISCOVERY)
async def test_the_built_in_provider_is_described_as_it_is(told: Told, path: str) -> None:
    answer = await told().get(path)
    assert answer.json() == {
        "issuer": API,
        "jwks_uri": f"{API}/.well-known/jwks.json",
        "token_endpoint": f"{API}/v1/auth/token",
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint": f"{API}/v1/auth/revoke",
        "revocation_endpoint_auth_methods_supported": ["none"],
        "grant_types_supported": ["password", "refresh_token"],
        "response_types_supported": [],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "service_documentation": f"{API}/v1/docs",
    }


async def test_introspection_is_announced_where_somebody_may_use_it(told: Told) -> None:
    client = told(auth_introspection_clients=SecretStr(f"gateway:{'s' * 32}"))
    document = (await client.get(DISCOVERY[0])).json()
    assert document["introspection_endpoint"] == f"{API}/v1/auth/introspect"
    assert document["introspection_endpoint_auth_methods_supported"] == ["client_secret_basic"]


async def test_each_endpoint_that_is_announced_is_there(client: AsyncClient) -> None:
    document = (await client.get(DISCOVERY[0])).json()
    for name in ("token_endpoint", "revocation_endpoint"):
        answer = await client.post(document[name])
        assert answer.status_code not in {404, 405}, name
    assert (await client.get(document["jwks_uri"])).status_code == 200


async def test_anybody_can_verify_our_tokens_with_the_published_keys(client: AsyncClient) -> None:
    person = {"email": "ada@example.com", "password": "marmalade on a wooden spoon"}
    await client.post("/v1/auth/register", json=person | {"display_name": "Ada"})
    token = (await client.post("/v1/auth/login", json=person)).json()["access_token"]
    published = (await client.get(KEYS)).json()
    read = jwt.decode(token, KeySet.import_key_set(published), algorithms=["ES256"])
    assert read.claims["iss"] == (await client.get(DISCOVERY[0])).json()["issuer"]
    for key in published["keys"]:
        assert key.keys() == {"kty", "crv", "x", "y", "kid", "use", "alg"}
        assert (key["use"], key["alg"]) == ("sig", "ES256")


@pytest.mark.parametrize("path", [RESOURCE, *DISCOVERY, KEYS])
async def test_a_page_from_anywhere_may_read_and_keep_them(client: AsyncClient, path: str) -> None:
    answer = await client.get(path, headers={"origin": "https://anywhere.example.com"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert "set-cookie" not in answer.headers


async def test_an_origin_of_the_settings_is_told_once(told: Told) -> None:
    client = told(cors_origins="https://app.example.com")
    answer = await client.get(RESOURCE, headers={"origin": "https://app.example.com"})
    assert answer.headers.get_list("access-control-allow-origin") == ["https://app.example.com"]


@pytest.mark.parametrize("token", [None, "nonsense"])
async def test_every_401_leads_to_it(told: Told, token: str | None) -> None:
    client = told(**EXTERNAL | {"public_url": "https://api.example.com/a"})
    sent = {} if token is None else {"authorization": f"Bearer {token}"}
    refused = await client.get("/v1/me", headers=sent)
    error = "" if token is None else 'error="invalid_token", '
    address = f"https://api.example.com/a{RESOURCE}"
    assert refused.headers["www-authenticate"] == f'Bearer {error}resource_metadata="{address}"'


SECURITY = "/.well-known/security.txt"


async def test_without_a_contact_there_is_no_security_txt(told: Told) -> None:
    assert (await told().get(SECURITY)).status_code == 404


async def test_a_contact_for_vulnerabilities_is_told(told: Told) -> None:
    client = told(
        security_contact="mailto:security@example.com, https://example.com/report,tel:+1-201-555-0123",
        security_policy="https://example.com/security",
    )
    answer = await client.get(SECURITY)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    expires = answer.text.splitlines()[3]
    assert answer.text.splitlines() == [
        "Contact: mailto:security@example.com",
        "Contact: https://example.com/report",
        "Contact: tel:+1-201-555-0123",
        expires,
        "Policy: https://example.com/security",
        f"Canonical: {API}{SECURITY}",
    ]
    until = datetime.strptime(expires, "Expires: %Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert timedelta(days=30) < until - datetime.now(UTC) < timedelta(days=365)
    assert (await client.head(SECURITY)).status_code == 200
    assert (await client.post(SECURITY)).headers["allow"] == "GET, HEAD"


async def test_what_is_served_without_tls_names_itself_nowhere(told: Told) -> None:
    client = told(security_contact="mailto:security@example.com", public_url="http://localhost:8000")
    assert [line.split(":")[0] for line in (await client.get(SECURITY)).text.splitlines()] == [
        "Contact",
        "Expires",
    ]
