"""How the documentation page's "Authorize" gets a token: from the built-in provider, or with PKCE.

The second is for the first external provider that knows the page as a client of its own (`docs_client_id`).
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from entrypoints.kernel.configuration.providers import ProviderSettings
from entrypoints.kernel.service import V1
from entrypoints.kernel.settings import KernelSettings

# They tell by a parameter whom a token is for; with the others the address, the scopes or the client do.
_NAMED_BY = {"rfc9068": "resource", "better-auth": "resource", "auth0": "audience"}
_ENTRA = {"entra-v1", "entra-v2"}

_AUTHORITY = re.compile(r"[A-Za-z0-9.:\[\]-]+")  # nothing that would end a source in a policy


def log_in_schemes(settings: KernelSettings) -> dict[str, Any]:
    """The security schemes that the OpenAPI document names beside a bearer token from elsewhere."""
    schemes: dict[str, Any] = {}
    if settings.passwords_enabled:
        schemes["password"] = {
            "type": "oauth2",
            "description": "The built-in provider: the e-mail address is the username.",
            "flows": {"password": {"tokenUrl": f"{settings.public_url}{V1}/auth/token", "scopes": {}}},
        }
    provider = docs_provider(settings)
    if provider is not None:
        schemes[provider.name] = {"type": "openIdConnect", "openIdConnectUrl": _discovery_url(provider)}
    return schemes


def docs_provider(settings: KernelSettings) -> ProviderSettings | None:
    """The external provider that one can log in at from the page."""
    external = settings.providers if settings.auth_provider == "oidc" else ()
    return next((provider for provider in external if provider.docs_client_id), None)


def authorization(provider: ProviderSettings) -> dict[str, Any]:
    """What Swagger UI asks the provider for."""
    named_by = _NAMED_BY.get(provider.preset)
    # RFC 8707 §2: a resource is an absolute URI.
    nameable = named_by == "audience" or urlsplit(provider.audience).scheme
    return {
        "clientId": provider.docs_client_id,
        "scopes": _scopes(provider),
        "usePkceWithAuthorizationCodeGrant": True,
        "additionalQueryStringParams": {named_by: provider.audience} if named_by and nameable else {},
    }


def origins_of(provider: ProviderSettings, metadata: Mapping[str, Any] | None = None) -> Iterator[str]:
    """The origins that the page asks: for the discovery document, and with it in hand for the token."""
    addresses = (_discovery_url(provider), str((metadata or {}).get("token_endpoint", "")))
    for at in map(urlsplit, addresses):
        if at.scheme in {"http", "https"} and _AUTHORITY.fullmatch(at.netloc):
            yield f"{at.scheme}://{at.netloc}"


def _scopes(provider: ProviderSettings) -> str:
    if provider.preset in _ENTRA:  # scopes of one API alone: with others the token is for Microsoft Graph
        return f"openid {provider.audience}/.default"
    return " ".join(dict.fromkeys([*provider.login_scopes.split(), *provider.required_scope.split()]))


def _discovery_url(provider: ProviderSettings) -> str:
    issuer = provider.issuer
    if provider.preset == "entra-v1":  # the issuer of its tokens is no address that answers
        issuer = f"https://login.microsoftonline.com/{urlsplit(issuer).path.strip('/')}"
    return f"{issuer.rstrip('/')}/.well-known/openid-configuration"
