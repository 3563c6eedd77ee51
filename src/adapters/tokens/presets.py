"""What is peculiar to each kind of provider: how its access tokens look, and where they say what.

Every difference between providers is data in this one table. What a preset does not say is the same for all:
the strict form, the signature, the issuer, the times (`oidc`).
"""

from dataclasses import dataclass
from typing import Any, Final

from adapters.tokens.claims import Path

AT_JWT: Final = "at+jwt"  # RFC 9068 §2.1

ALGORITHMS: Final = frozenset(
    {f"{family}{bits}" for family in ("RS", "PS", "ES") for bits in (256, 384, 512)} | {"EdDSA", "Ed25519"}
)
"""Every one that a token may be signed with: all are asymmetric, so a party that verifies cannot sign."""

_KIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """What tells one kind of token from another that the same keys sign.

    The claims in `equals` have these very values, those in `require` are there, of `require_one` at least one
    is, and of `forbid` none. With `audience_beside_client` a party other than the clients that `require_one`
    names is in `aud`.
    """

    equals: tuple[tuple[str, Any], ...] = ()
    require: tuple[str, ...] = ()
    require_one: tuple[str, ...] = ()
    forbid: tuple[str, ...] = ()
    audience_beside_client: bool = False

    @property
    def is_positive(self) -> bool:
        """Whether a token has to show that it is of this kind, and not only lack what other kinds have."""
        return bool(self.equals or self.require or self.require_one)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The claim that names a person for good.

    `tenant` is the claim that has to be the tenant in the issuer's address. `machine` is the claim whose
    value `sub` repeats in the tokens of a client that acts for no person.
    """

    claim: str = "sub"
    tenant: str | None = None
    machine: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a claim has in the tokens of a client that acts for no person: a value, or how it begins and ends.

    With `absent` it is the claim that such a token lacks.
    """

    claim: str
    equals: str | None = None
    begins: str = ""
    ends: str = ""
    absent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """One kind of provider.

    `types` are the acceptable values of the header `typ`, in lower case and without `application/`; None
    stands for no `typ` at all. A path in `roles` may have the parts `{client}` and `{id}`, which settings
    fill. Where an audience is optional, a list of clients has to take its place. One of `machines` tells a
    token that was issued to a client for itself (RFC 6749 §4.4), beside a subject that is the client.
    """

    algorithms: tuple[str, ...]
    types: tuple[str | None, ...]
    marker: Marker = Marker()
    id_marker: Marker = Marker()
    audience_optional: bool = False
    client: Path | None = None
    client_fallback: Path | None = None
    scope: Path | None = ("scope",)
    scope_fallback: Path | None = None
    roles: tuple[Path, ...] = ()
    role_objects: bool = False  # roles are the names of an object's members
    never: tuple[str, ...] = ()  # claims that their bearer may edit: no role comes from them
    machines: tuple[Machine, ...] = ()
    subject: Subject = Subject()
    id_subject: Subject | None = None  # where it differs in ID tokens
    subject_issuer: str | None = None  # one name for what goes by several; {tenant} as in `discovery`
    names: tuple[str, ...] = ()  # other spellings of `iss` that mean the configured issuer
    access_tokens: bool = True  # False: they are not for us, the provider only logs people in
    discovery: str | None = None  # replaces the well-known address; {tenant} begins the issuer's path
    jwks: str | None = None  # below the issuer, where there may be no discovery document
    longest_token: int = 8 * _KIB


# These belong to ID tokens (OpenID Connect Core §2, §3.3.2.11) and to no access token.
_OF_ID_TOKENS: Final = ("nonce", "at_hash", "c_hash")

# One algorithm by two names: RFC 9864 deprecates the first, which two real providers use.
_EDDSA: Final = ("EdDSA", "Ed25519")

_ENTRA: Final = "https://login.microsoftonline.com/{tenant}"
# `idtyp` is an optional claim; what is issued for a person always has a scope.
_ENTRA_MACHINES: Final = (Machine(claim="idtyp", equals="app"), Machine(claim="scp", absent=True))
_ENTRA_SUBJECT: Final = Subject(claim="oid", tenant="tid")

PRESETS: Final[dict[str, Preset]] = {
    "rfc9068": Preset(
        algorithms=("RS256", "PS256", "ES256", *_EDDSA),
        types=(AT_JWT,),
        client=("client_id",),
        roles=(("roles",), ("groups",), ("entitlements",)),
    ),
    # For providers that sign access tokens as plain JWTs. What tells them from ID tokens differs between
    # providers: this asks for what most have, and settings replace it.
    "generic": Preset(
        algorithms=("RS256", "PS256", "ES256", *_EDDSA),
        types=("jwt", AT_JWT),
        marker=Marker(
            require=("jti",),
            require_one=("client_id", "azp"),
            forbid=_OF_ID_TOKENS,
            audience_beside_client=True,
        ),
        client=("client_id",),
        client_fallback=("azp",),
        scope_fallback=("scp",),
    ),
    "keycloak": Preset(
        algorithms=("RS256", "PS256", "ES256", *_EDDSA),
        types=("jwt", AT_JWT),
        marker=Marker(equals=(("typ", "Bearer"),)),
        machines=(Machine(claim="preferred_username", begins="service-account-"),),
        id_marker=Marker(equals=(("typ", "ID"),)),
        client=("azp",),
        roles=(("realm_access", "roles"), ("resource_access", "{client}", "roles")),
    ),
    "auth0": Preset(
        algorithms=("RS256",),
        types=("jwt", AT_JWT),
        # An ID token without a nonce, to an application that is its own API, lacks nothing but the client.
        marker=Marker(require_one=("azp", "client_id"), forbid=_OF_ID_TOKENS),
        machines=(Machine(claim="gty", equals="client-credentials"), Machine(claim="sub", ends="@clients")),
        client=("azp",),
        client_fallback=("client_id",),
        roles=(("permissions",),),
    ),
    "okta": Preset(
        algorithms=("RS256",),
        types=(
            "jwt",
            None,
        ),  # `okta-internal-at+jwt` is the organisation server's, for Okta alone
        marker=Marker(require=("cid", "scp"), forbid=_OF_ID_TOKENS),
        client=("cid",),
        scope=("scp",),
        roles=(("groups",),),
        subject=Subject(claim="uid", machine="cid"),  # `sub` is the login, which changes hands
        id_subject=Subject(),  # in ID tokens `sub` is what `uid` is in access tokens
    ),
    "entra-v2": Preset(
        algorithms=("RS256",),
        types=("jwt",),
        # ID tokens have `ver` too, and `roles` where the application has any; what they lack is the client.
        marker=Marker(
            equals=(("ver", "2.0"),), require=("azp",), require_one=("scp", "roles"), forbid=_OF_ID_TOKENS
        ),
        id_marker=Marker(equals=(("ver", "2.0"),)),
        machines=_ENTRA_MACHINES,
        client=("azp",),
        scope=("scp",),
        roles=(("roles",),),
        subject=_ENTRA_SUBJECT,
        subject_issuer=f"{_ENTRA}/v2.0",
        longest_token=16 * _KIB,  # up to 200 groups
    ),
    "entra-v1": Preset(
        algorithms=("RS256",),
        types=("jwt",),
        marker=Marker(
            equals=(("ver", "1.0"),), require=("appid",), require_one=("scp", "roles"), forbid=_OF_ID_TOKENS
        ),
        id_marker=Marker(equals=(("ver", "1.0"),)),
        machines=_ENTRA_MACHINES,
        client=("appid",),
        scope=("scp",),
        roles=(("roles",),),
        subject=_ENTRA_SUBJECT,
        subject_issuer=f"{_ENTRA}/v2.0",
        discovery=f"{_ENTRA}/.well-known/openid-configuration",
        longest_token=16 * _KIB,
    ),
    "cognito": Preset(
        algorithms=("RS256",),
        types=(None,),
        marker=Marker(equals=(("token_use", "access"),)),
        id_marker=Marker(equals=(("token_use", "id"),)),
        audience_optional=True,  # there is none unless the client asked for a resource
        client=("client_id",),
        roles=(("cognito:groups",),),
    ),
    "google": Preset(
        algorithms=("RS256",),
        types=("jwt",),
        client=("azp",),
        scope=None,
        names=("accounts.google.com",),
        access_tokens=False,  # they are opaque, and for Google's own APIs
    ),
    "zitadel": Preset(
        algorithms=("RS256", "ES256", *_EDDSA),
        types=("jwt", AT_JWT),
        marker=Marker(require=("jti",), forbid=_OF_ID_TOKENS),
        client=("azp",),
        client_fallback=("client_id",),
        scope=None,
        roles=(("urn:zitadel:iam:org:project:roles",), ("urn:zitadel:iam:org:project:{id}:roles",)),
        role_objects=True,
    ),
    "authentik": Preset(
        algorithms=("RS256", "ES256"),  # without a signing key it signs with the client's secret: HS256
        types=("jwt",),
        marker=Marker(require=("azp", "uid")),  # its access token is the ID token with these two added
        machines=(Machine(claim="preferred_username", begins="ak-", ends="-client_credentials"),),
        id_marker=Marker(forbid=("uid",)),
        client=("azp",),
        roles=(("groups",),),
    ),
    "supabase": Preset(
        algorithms=("ES256", "RS256"),  # the legacy secret signs with HS256
        types=("jwt",),
        marker=Marker(require=("role", "session_id"), forbid=_OF_ID_TOKENS),
        machines=(Machine(claim="role", equals="service_role"),),
        scope=None,
        roles=(("app_metadata", "role"), ("app_metadata", "roles")),
        never=("user_metadata",),
        jwks="/.well-known/jwks.json",
    ),
    "clerk": Preset(
        algorithms=("RS256",),
        types=("jwt",),
        marker=Marker(equals=(("v", 2),), require=("sid",), forbid=_OF_ID_TOKENS),
        machines=(Machine(claim="sub", begins="mch_"),),
        audience_optional=True,  # session tokens have none: `azp`, the browser's origin, takes its place
        client=("azp",),
        scope=None,
        roles=(("o", "rol"),),
    ),
    "better-auth": Preset(
        algorithms=(*_EDDSA, "ES256", "RS256", "PS256"),
        types=(AT_JWT,),  # its plain session JWT has none: that one is no access token
        client=("client_id",),
        client_fallback=("azp",),
    ),
}
