"""What a client, or a service that is shown our tokens, can read of us before it knows anything else.

    /.well-known/oauth-protected-resource      whose tokens are good here (RFC 9728); each 401 points to it
    /.well-known/openid-configuration          the built-in provider (OpenID Connect Discovery),
    /.well-known/oauth-authorization-server    and the same under its other name (RFC 8414)
    /.well-known/jwks.json                     the keys of its tokens (RFC 7517)

The last three are there while the built-in provider's tokens are good.
"""

from typing import Any
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Request

from entrypoints.http.kernel.document.documentation import PUBLIC
from entrypoints.http.kernel.routing.answers import Answer
from entrypoints.http.kernel.routing.dependencies import PublicKeys, settings_of
from entrypoints.http.kernel.routing.problems import PathNotFound
from entrypoints.kernel.service import SERVICE_TITLE, V1
from entrypoints.kernel.settings import KernelSettings

KEPT_SECONDS = 300

_RESOURCE = "/.well-known/oauth-protected-resource"
_HEADERS = (
    (b"cache-control", b"public, max-age=%d" % KEPT_SECONDS),
    # They are for everybody: an application in a browser reads them wherever it comes from.
    (b"access-control-allow-origin", b"*"),
    (b"cross-origin-resource-policy", b"cross-origin"),
)

router = APIRouter(include_in_schema=False)


@router.get(_RESOURCE, openapi_extra=PUBLIC)
async def get_protected_resource(request: Request) -> Answer:
    """Whose tokens are good here."""
    settings = settings_of(request)
    return _document(
        {
            "resource": settings.public_url,
            "authorization_servers": token_issuers(settings),
            "bearer_methods_supported": ["header"],
            "resource_name": SERVICE_TITLE,
            **({"resource_documentation": f"{settings.public_url}{V1}/docs"} if settings.docs_served else {}),
        }
    )


@router.get("/.well-known/openid-configuration", openapi_extra=PUBLIC)
@router.get("/.well-known/oauth-authorization-server", openapi_extra=PUBLIC)
async def get_authorization_server(request: Request) -> Answer:
    """The built-in provider."""
    settings = settings_of(request)
    _check_is_trusted(settings)
    url = settings.public_url
    document: dict[str, Any] = {
        "issuer": url,
        "jwks_uri": f"{url}/.well-known/jwks.json",
        "token_endpoint": f"{url}{V1}/auth/token",
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint": f"{url}{V1}/auth/revoke",
        "revocation_endpoint_auth_methods_supported": ["none"],
        "grant_types_supported": ["password", "refresh_token"],
        "response_types_supported": [],  # nobody is sent here to log in: there is no authorization endpoint
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],  # required, though no ID tokens are issued
        **({"service_documentation": f"{url}{V1}/docs"} if settings.docs_served else {}),
    }
    if settings.introspection_clients:
        document["introspection_endpoint"] = f"{url}{V1}/auth/introspect"
        document["introspection_endpoint_auth_methods_supported"] = ["client_secret_basic"]
    return _document(document)


@router.get("/.well-known/jwks.json", openapi_extra=PUBLIC)
async def get_keys(request: Request, public_keys: PublicKeys) -> Answer:
    """The public keys of the built-in provider: of today, of tomorrow, and of tokens that are still good."""
    _check_is_trusted(settings_of(request))
    return _document(await public_keys())


def resource_metadata(settings: KernelSettings) -> str:
    """The address of what says whose tokens are good here, as it may stand between quotation marks."""
    return quote(f"{settings.public_url}{_RESOURCE}", safe="/:@!$&'()*+,;=~%[]")


def token_issuers(settings: KernelSettings) -> list[str]:
    """The issuers whose access tokens are good here."""
    external = settings.providers if settings.auth_provider == "oidc" else ()
    own = [settings.public_url] if settings.local_tokens_trusted else []
    return [*(provider.issuer for provider in external if provider.issues_access_tokens), *own]


def _check_is_trusted(settings: KernelSettings) -> None:
    if not settings.local_tokens_trusted:
        raise PathNotFound


def _document(content: object) -> Answer:
    return Answer(200, msgspec.json.encode(content), headers=_HEADERS)
