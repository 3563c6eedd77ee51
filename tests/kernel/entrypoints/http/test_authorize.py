"""How the documentation page gets a token, under the settings that decide it."""

from collections.abc import Mapping
from typing import Any

import pytest
from dependency_injector import providers
from httpx2 import ASGITransport, AsyncClient
from pydantic import SecretStr

from application.kernel.ports.world import Unavailable
from entrypoints.http.kernel.document.authorize import (
    authorization,
    docs_provider,
    log_in_schemes,
    origins_of,
)
from entrypoints.kernel.configuration.providers import ProviderSettings
from entrypoints.settings import Settings
from kernel.specimen.service import Container, create_app

NOWHERE = SecretStr("postgresql://nobody@127.0.0.1:1/nothing")
KEYCLOAK = {
    "auth_provider": "oidc",
    "oidc_preset": "keycloak",
    "oidc_issuer": "https://login.example.com/realms/x",
    "oidc_audience": "https://api.example.com",
    "oidc_docs_client_id": "docs",
}
PASSWORD = {"password": {"tokenUrl": "http://localhost:8000/v1/auth/token", "scopes": {}}}


def settings(**given: Any) -> Settings:
    return Settings(_env_file=None, database_url=NOWHERE, **given)


def a_provider(preset: str, issuer: str = "https://login.example.com", **given: Any) -> ProviderSettings:
    described = {"name": "a", "audience": "https://api.example.com", "docs_client_id": "docs"}
    return ProviderSettings.model_validate({**described, "preset": preset, "issuer": issuer, **given})


def test_the_built_in_provider_takes_a_password() -> None:
    schemes = log_in_schemes(settings())
    assert {name: scheme["flows"] for name, scheme in schemes.items()} == {"password": PASSWORD}


def test_an_external_provider_takes_its_place_or_stands_beside_it() -> None:
    discovery = "https://login.example.com/realms/x/.well-known/openid-configuration"
    external = {"keycloak": {"type": "openIdConnect", "openIdConnectUrl": discovery}}
    assert log_in_schemes(settings(**KEYCLOAK)) == external
    both = log_in_schemes(settings(**KEYCLOAK, auth_trust_local=True))
    assert both.keys() == {"password", "keycloak"}


def test_without_a_client_for_the_page_there_is_no_log_in_there() -> None:
    assert docs_provider(settings(**KEYCLOAK | {"oidc_docs_client_id": ""})) is None
    to_log_in = {"auth_provider": "local", "oidc_client_id": "us"}
    assert docs_provider(settings(**KEYCLOAK | to_log_in)) is None


def test_every_operation_with_a_bearer_token_can_be_called_after_a_log_in() -> None:
    document = create_app(Container(settings=settings(**KEYCLOAK, auth_trust_local=True))).openapi()
    assert document["components"]["securitySchemes"].keys() >= {"bearer", "password", "keycloak"}
    ways = document["paths"]["/v1/me"]["get"]["security"]
    assert [way for way in ways if way != {"cookie": []}] == [
        {"bearer": []},
        {"password": []},
        {"keycloak": []},
    ]
    assert document["paths"]["/v1/auth/login"]["post"]["security"] == []


@pytest.mark.parametrize(
    ("preset", "parameters"),
    [
        ("rfc9068", {"resource": "https://api.example.com"}),
        ("better-auth", {"resource": "https://api.example.com"}),
        ("auth0", {"audience": "https://api.example.com"}),
        ("keycloak", {}),
        ("entra-v2", {}),
    ],
)
def test_a_provider_is_told_whom_the_token_is_for(preset: str, parameters: dict[str, str]) -> None:
    asked = authorization(a_provider(preset))
    assert asked["additionalQueryStringParams"] == parameters
    assert (asked["clientId"], asked["usePkceWithAuthorizationCodeGrant"]) == ("docs", True)


def test_only_an_address_is_a_resource() -> None:
    assert authorization(a_provider("rfc9068", audience="api"))["additionalQueryStringParams"] == {}
    assert authorization(a_provider("auth0", audience="api"))["additionalQueryStringParams"] == {
        "audience": "api"
    }


@pytest.mark.parametrize(
    ("preset", "scopes"),
    [
        ("keycloak", "openid email profile specimen_orders"),
        ("entra-v1", "openid https://api.example.com/.default"),
        ("entra-v2", "openid https://api.example.com/.default"),
    ],
)
def test_it_asks_for_the_scopes_that_are_needed(preset: str, scopes: str) -> None:
    assert authorization(a_provider(preset, required_scope="specimen_orders"))["scopes"] == scopes


@pytest.mark.parametrize(
    ("preset", "issuer", "metadata", "origins"),
    [
        ("keycloak", "https://login.example.com/realms/x", None, {"https://login.example.com"}),
        ("entra-v1", "https://sts.windows.net/1/", None, {"https://login.microsoftonline.com"}),
        (
            "cognito",
            "https://cognito-idp.eu-west-1.amazonaws.com/pool",
            {"token_endpoint": "https://pool.auth.eu-west-1.amazoncognito.com/oauth2/token"},
            {
                "https://cognito-idp.eu-west-1.amazonaws.com",
                "https://pool.auth.eu-west-1.amazoncognito.com",
            },
        ),
        *(
            ("rfc9068", "https://a.example.com", {"token_endpoint": odd}, {"https://a.example.com"})
            for odd in (
                None,
                7,
                "",
                "javascript:x",
                "https://b.example.com;script-src *",
                "https://b c/",
                "//b",
            )
        ),
    ],
)
def test_the_page_may_ask_the_provider_and_nobody_else(
    preset: str, issuer: str, metadata: Mapping[str, Any] | None, origins: set[str]
) -> None:
    assert set(origins_of(a_provider(preset, issuer), metadata)) == origins


@pytest.mark.parametrize("away", [True, False])
async def test_the_policy_of_the_page_follows_the_provider(away: bool) -> None:
    async def metadata(issuer: str) -> Mapping[str, Any]:
        if away:
            raise Unavailable
        return {"token_endpoint": "https://tokens.example.com/token"}

    container = Container(settings=settings(**KEYCLOAK, public_url="https://api.example.com/a"))
    container.provider_metadata.override(providers.Object(metadata))
    transport = ASGITransport(app=create_app(container))
    async with AsyncClient(transport=transport, base_url="https://api.example.com") as client:
        page = await client.get("/v1/docs")
    known = "" if away else " https://tokens.example.com"
    policy = page.headers["content-security-policy"]
    assert f"connect-src 'self' https://login.example.com{known};" in policy
    assert "window.location.origin + '/a/v1/docs/oauth2-redirect.html'" in page.text
    assert '"usePkceWithAuthorizationCodeGrant": true' in page.text
