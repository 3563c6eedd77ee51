"""How an external OpenID provider is described by settings, and what contradicts itself in it."""

import json
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Literal, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from domain.kernel.users import GlobalRole

Preset = Literal[
    "rfc9068",
    "generic",
    "keycloak",
    "auth0",
    "okta",
    "entra-v2",
    "entra-v1",
    "cognito",
    "google",
    "zitadel",
    "authentik",
    "supabase",
    "clerk",
    "better-auth",
]

# What each of them is known by, so that a slip is named before the service starts.
_ISSUERS: Mapping[str, tuple[Callable[[str], bool], str]] = {
    "keycloak": (lambda url: "/realms/" in url, "https://HOST/realms/REALM"),
    "auth0": (lambda url: url.endswith("/"), "https://TENANT.eu.auth0.com/, with the slash at the end"),
    "okta": (
        lambda url: "/oauth2/" in url,
        "https://DOMAIN/oauth2/default, not the organisation's own server",
    ),
    "entra-v2": (
        lambda url: url.endswith("/v2.0") and _names_one_tenant(url),
        "https://login.microsoftonline.com/TENANT-ID/v2.0, with the id of one tenant",
    ),
    "entra-v1": (
        lambda url: url.endswith("/") and _names_one_tenant(url),
        "https://sts.windows.net/TENANT-ID/, with the slash at the end",
    ),
    "authentik": (
        lambda url: url.endswith("/"),
        "https://HOST/application/o/SLUG/, with the slash at the end",
    ),
    "supabase": (lambda url: url.endswith("/auth/v1"), "https://PROJECT.supabase.co/auth/v1"),
    "google": (lambda url: url == "https://accounts.google.com", "https://accounts.google.com"),
}
ALGORITHMS = frozenset(
    {f"{family}{bits}" for family in ("RS", "PS", "ES") for bits in (256, 384, 512)} | {"EdDSA", "Ed25519"}
)
# Which members of a preset's marker are claims that an access token has to have; the others know it by `typ`.
MARKED_BY: Mapping[str, frozenset[str]] = {
    "keycloak": frozenset({"equals"}),
    "auth0": frozenset({"require_one"}),
    "okta": frozenset({"require"}),
    "entra-v2": frozenset({"equals", "require", "require_one"}),
    "entra-v1": frozenset({"equals", "require", "require_one"}),
    "cognito": frozenset({"equals"}),
    "zitadel": frozenset({"require"}),
    "authentik": frozenset({"require"}),
    "supabase": frozenset({"require"}),
    "clerk": frozenset({"equals", "require"}),
    "generic": frozenset({"require", "require_one"}),
}
_LOG_IN_ONLY = {"google"}
_WITHOUT_AUDIENCE = {"cognito", "clerk", *_LOG_IN_ONLY}


class MarkerSettings(BaseModel):
    """What tells the provider's access tokens from its ID tokens; what is not said is the preset's."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, strict=True)

    equals: dict[str, str | int | bool] | None = None
    require: list[str] | None = None
    require_one: list[str] | None = None
    forbid: list[str] | None = None
    audience_beside_client: bool | None = None


class ProviderSettings(BaseModel):
    """One external provider; the names are those of the settings, in lower case and without `OIDC_`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str
    issuer: str
    audience: str = ""
    preset: Preset = "rfc9068"
    algorithms: tuple[str, ...] = ()
    token_types: tuple[str, ...] = ()
    token_marker: MarkerSettings = MarkerSettings()
    roles: dict[str, GlobalRole] = {}
    role_claim: str = ""
    scope_claim: str = ""
    required_scope: str = ""
    allowed_clients: tuple[str, ...] = ()
    trust_email: bool = False
    client_id: str = ""
    client_secret: SecretStr = SecretStr("")
    login_scopes: str = "openid email profile"
    docs_client_id: str = ""
    keys_hours: float = 24
    ca_file: str = ""
    admit_machines: bool = False

    @property
    def issues_access_tokens(self) -> bool:
        """Whether its access tokens are for us; otherwise one can only log in through it."""
        return self.preset not in _LOG_IN_ONLY

    @property
    def types(self) -> tuple[str | None, ...] | None:
        """The token types as a preset has them, `none` being no `typ`; None for the preset's."""
        spelled = [name.lower().removeprefix("application/") for name in self.token_types]
        return tuple(None if name == "none" else name for name in spelled) or None


def problems_of(
    provider: ProviderSettings, *, production: bool, accepts_tokens: bool
) -> Iterator[tuple[str, str]]:
    """Each setting that is wrong, as the provider calls it, and what is wrong with it, with the remedy."""
    fits, example = _ISSUERS.get(provider.preset, (bool, ""))
    if wrong := _problem_of_issuer(provider.issuer, production=production):
        yield "issuer", wrong
    elif not fits(provider.issuer):
        yield "issuer", f"does not look like one of {provider.preset}. Write it like {example}."
    if accepts_tokens and not provider.issues_access_tokens:
        yield (
            "preset",
            (
                f"is {provider.preset}, whose access tokens are for its own services. Set "
                "AUTH_PROVIDER=local and log in through it with a client id and secret."
            ),
        )
    elif accepts_tokens and not provider.audience and provider.preset not in _WITHOUT_AUDIENCE:
        yield (
            "audience",
            (
                "is missing. Set it to what the provider puts into `aud` for this API; without it, tokens "
                "for other services would be good here."
            ),
        )
    elif accepts_tokens and not provider.audience and not provider.allowed_clients:
        yield (
            "allowed_clients",
            (
                f"is missing. Tokens of {provider.preset} name no audience: list the clients (for clerk the "
                "origins) whose tokens are meant for this API."
            ),
        )
    if wrong := _problem_of_ca_file(provider.ca_file):
        yield "ca_file", wrong
    yield from _problems_of_tokens(provider)
    yield from _problems_of_paths(provider)
    if provider.client_secret.get_secret_value() and not provider.client_id:
        yield "client_id", "is missing, while there is a client secret. Set both, or neither."
    if provider.client_id and "openid" not in provider.login_scopes.split():
        yield "login_scopes", "lacks openid, without which there is no ID token. Add it."
    if not (accepts_tokens or provider.client_id):
        yield (
            "issuer",
            (
                "is set, but AUTH_PROVIDER is local. Set AUTH_PROVIDER=oidc to accept its tokens, or a "
                "client id to log in through it."
            ),
        )


def _problem_of_ca_file(path: str) -> str | None:
    if not path:
        return None
    remedy = "Name a file with the certificate of your authority in PEM (-----BEGIN CERTIFICATE-----)."
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        return f"is {path[:200]!r}, which has no certificate in PEM. {remedy}"
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or error
        return f"is {path[:200]!r}, which cannot be read: {cause}. {remedy}"
    if not context.cert_store_stats()["x509"]:
        return f"is {path[:200]!r}, which has no certificate in PEM. {remedy}"
    return None


def _problems_of_tokens(provider: ProviderSettings) -> Iterator[tuple[str, str]]:
    for unknown in sorted(set(provider.algorithms) - ALGORITHMS):
        yield (
            "algorithms",
            (
                f"has {unknown[:60]!r}, which is none that a public key verifies. Choose among "
                f"{', '.join(sorted(ALGORITHMS))}."
            ),
        )
    own, said = MARKED_BY.get(provider.preset, frozenset()), provider.token_marker
    parts = {"equals": said.equals, "require": said.require, "require_one": said.require_one}
    marked = any(name in own if part is None else part for name, part in parts.items())
    known_by_type = set(provider.types or ()) == {"at+jwt"} or not (own or provider.types)
    if provider.issues_access_tokens and not (marked or known_by_type):
        yield (
            "token_marker",
            (
                "names nothing that an access token has and an ID token has not. Write it like "
                '{"require": ["client_id"]}, or leave only at+jwt among the token types.'
            ),
        )


def _problems_of_paths(provider: ProviderSettings) -> Iterator[tuple[str, str]]:
    for name, path in (("role_claim", provider.role_claim), ("scope_claim", provider.scope_claim)):
        try:
            claim_path(path)
        except ValueError:
            yield name, 'is no path. Write it like realm_access.roles, or ["https://example.com/roles"].'


def _problem_of_issuer(issuer: str, *, production: bool) -> str | None:
    try:
        url = urlsplit(issuer)
        host = url.hostname or ""
        plain = bool(host) and not url.query and not url.fragment and "@" not in url.netloc and url.port != 0
    except ValueError:
        host, plain, url = "", False, urlsplit("")
    if not plain or not issuer.isprintable() or " " in issuer:
        return "is no issuer. Copy it, to the letter, from the provider's discovery document."
    if url.scheme == "https" or (url.scheme == "http" and not production and is_loopback(host)):
        return None
    return "is not https. Only in development may an issuer on this very machine be http."


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _names_one_tenant(url: str) -> bool:
    return not {"common", "organizations", "consumers"} & set(url.split("/"))


def claim_path(text: str) -> tuple[str, ...]:
    """`realm_access.roles`, or as JSON where a name itself has dots: `["https://example.com/roles"]`.

    Raises ValueError.
    """
    if not text.startswith("["):
        return tuple(text.split("."))
    path = json.loads(text)
    if not path or not all(isinstance(name, str) and name for name in path):
        raise ValueError(text)
    return tuple(path)


def read_roles(text: str) -> dict[str, GlobalRole]:
    """`provider-role=admin,another=support` as a mapping; raises ValueError."""
    roles: dict[str, GlobalRole] = {}
    wrong = []
    for pair in filter(None, (part.strip() for part in text.split(","))):
        theirs, separator, ours = (part.strip() for part in pair.rpartition("="))
        if not theirs or not separator or ours not in set(GlobalRole):
            known = " or ".join(GlobalRole)
            wrong.append(
                f"has {pair[:60]!r}. Write the provider's role, = and ours ({known}), with commas in "
                "between: api-admins=admin."
            )
        else:
            roles[theirs] = GlobalRole(ours)
    if wrong:
        raise ValueError("\n".join(wrong))
    return roles


def read_marker(text: str) -> MarkerSettings:
    """The marker in a JSON object; raises ValueError with one sentence."""
    try:
        return MarkerSettings.model_validate_json(text or "{}")
    except ValidationError as invalid:
        error = invalid.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in error["loc"]) or "it"
        raise ValueError(
            f'is not right: {place}: {error["msg"]}. Write it like {{"require": ["jti"], "require_one": '
            '["client_id", "azp"], "forbid": ["nonce"], "equals": {"token_use": "access"}}.'
        ) from None


def read_providers(text: str) -> Sequence[ProviderSettings]:
    """The providers in a JSON list; raises ValueError with one sentence."""
    try:
        described = json.loads(text)
    except ValueError:
        raise ValueError(
            'is not JSON. Write it like [{"name": "…", "issuer": "…", "audience": "…"}].'
        ) from None
    if not isinstance(described, list):
        raise ValueError(  # noqa: TRY004 (pydantic takes it for what is wrong with the setting)
            'is no list. Write it like [{"name": "…", "issuer": "…", "audience": "…"}].'
        )
    providers, wrong = [], list[str]()
    for number, one in enumerate(described, start=1):
        try:
            providers.append(ProviderSettings.model_validate(one))
        except ValidationError as invalid:
            wrong += _mistakes(number, invalid)
    if wrong:
        raise ValueError("\n".join(wrong))
    return providers


def readable_providers(text: object) -> Iterator[ProviderSettings]:
    """Those of the list that can be read, where others cannot."""
    try:
        described = json.loads(text) if isinstance(text, str) else []
    except ValueError:
        return
    for one in described if isinstance(described, list) else []:
        with suppress(ValidationError):
            yield ProviderSettings.model_validate(one)


def _mistakes(number: int, invalid: ValidationError) -> Iterator[str]:
    for error in invalid.errors(include_url=False, include_input=False, include_context=False):
        place = ".".join(str(part) for part in error["loc"]) or "it"
        if place == "preset":
            yield f"has in provider {number} a preset that is none of {', '.join(get_args(Preset))}."
        else:
            yield f"has a mistake in provider {number}: {place}: {error['msg']}."
