"""Each provider's tokens as it shapes them: its access tokens are believed, its ID tokens are none."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from structlog.testing import capture_logs

from adapters.tokens.compact import BadTokenError, read_compact
from adapters.tokens.key_sets import _FAMILIES
from adapters.tokens.oidc import OidcIssuer
from adapters.tokens.presets import ALGORITHMS, PRESETS, Marker
from adapters.tokens.providers import Provider
from application.kernel.ports.callers import Claims
from kernel.world.builders import NOW
from kernel.world.forging import ABSENT, changed, signed
from kernel.world.forging import encoded as b64_json
from kernel.world.provider import ProviderServer, public

TIME = int(NOW.timestamp())
KEYS: dict[str, Key] = {
    "RS256": RSAKey.generate_key(2048),
    "ES256": ECKey.generate_key("P-256"),
    "EdDSA": OKPKey.generate_key("Ed25519"),
}
TENANT = "9188040d-6c67-4c5b-b112-36a304b66dad"
API = "https://api.example.com"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One provider: where its issuer is, what its tokens look like, and what they say of their bearer.

    Access and ID tokens both have `iss`, `iat` and `exp` beside these claims; `{issuer}` stands for the
    issuer, and `settings` are those of a Provider beside its issuer, its preset and its audience.
    """

    path: str
    access: dict[str, Any]
    id: dict[str, Any]
    proof: dict[str, Any]
    header: dict[str, Any] = field(default_factory=lambda: {"typ": "JWT"})
    id_header: dict[str, Any] = field(default_factory=lambda: {"typ": "JWT"})
    algorithm: str = "RS256"
    audience: str | None = "shop"
    settings: dict[str, Any] = field(default_factory=dict)
    issuer: str = "{root}{path}"
    id_subject: str | None = None  # where the two kinds of token name the same person


_OF_ENTRA = {
    "aio": "AXQAi/8",
    "name": "Ada Lovelace",
    "oid": "00000000-0000-0000-66f3-3332eca7ea81",
    "rh": "0.AX",
    "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ",
    "tid": TENANT,
    "uti": "fqiBqXLPj0eQa82S-IYFAA",
}

SHAPES: dict[str, Shape] = {
    "rfc9068": Shape(
        path="",
        header={"typ": "at+jwt"},
        access={
            "sub": "5ba552d67",
            "aud": "shop",
            "client_id": "s6BhdRkqt3",
            "scope": "openid profile reademail",
            "jti": "dbe39bf3a3ba4238a513f51d6e1691c4",
            "roles": ["editor"],
            "groups": ["staff"],
            "entitlements": ["export"],
        },
        id={"sub": "5ba552d67", "aud": "shop", "nonce": "n-0S6_WzA2Mj"},
        proof={
            "subject": "5ba552d67",
            "client": "s6BhdRkqt3",
            "scopes": frozenset({"openid", "profile", "reademail"}),
            "roles": frozenset({"editor", "staff", "export"}),
        },
        id_subject="5ba552d67",
    ),
    "keycloak": Shape(
        path="/realms/shop",
        access={
            "jti": "onrtac:3c1f",
            "aud": ["shop", "account"],
            "sub": "f1a2b3c4-5d6e",
            "typ": "Bearer",
            "azp": "web",
            "sid": "0b6c",
            "acr": "1",
            "allowed-origins": ["https://app.example.com"],
            "realm_access": {"roles": ["offline_access", "support"]},
            "resource_access": {"shop": {"roles": ["editor"]}, "account": {"roles": ["view-profile"]}},
            "scope": "openid email profile",
            "email_verified": True,
            "name": "Ada Lovelace",
            "preferred_username": "ada",
            "email": "ada@example.com",
        },
        id={
            "jti": "4d1e",
            "aud": "shop",
            "sub": "f1a2b3c4-5d6e",
            "typ": "ID",
            "azp": "shop",
            "sid": "0b6c",
            "at_hash": "x",
            "email_verified": True,
            "email": "ada@example.com",
            "realm_access": {"roles": ["support"]},
            "scope": "openid",
        },
        proof={
            "subject": "f1a2b3c4-5d6e",
            "client": "web",
            "scopes": frozenset({"openid", "email", "profile"}),
            "roles": frozenset({"offline_access", "support", "editor"}),
            "email": "ada@example.com",
            "email_verified": True,
            "name": "Ada Lovelace",
        },
        id_subject="f1a2b3c4-5d6e",
    ),
    "generic": Shape(  # as LemonLDAP::NG shapes them
        path="",
        access={
            "sub": "dwho",
            "aud": ["web", "shop"],
            "client_id": "web",
            "scope": "openid profile",
            "jti": "f0e1",
            "sid": "0b6c",
        },
        id={
            "sub": "dwho",
            "aud": "shop",
            "azp": "shop",
            "nonce": "n-0S6",
            "at_hash": "x",
            "acr": "1",
            "sid": "0b6c",
        },
        proof={"subject": "dwho", "client": "web", "scopes": frozenset({"openid", "profile"})},
        id_subject="dwho",
    ),
    "auth0": Shape(
        path="/",
        access={
            "sub": "auth0|63f1",
            "aud": [API, "{issuer}userinfo"],
            "azp": "kL3m",
            "scope": "openid profile read:orders",
            "permissions": ["read:orders"],
            "org_id": "org_1",
        },
        id={"sub": "auth0|63f1", "aud": API, "sid": "x", "name": "Ada", "email": "ada@example.com"},
        proof={
            "subject": "auth0|63f1",
            "client": "kL3m",
            "scopes": {"openid", "profile", "read:orders"},
            "roles": {"read:orders"},
        },
        audience=API,
        id_subject="auth0|63f1",
    ),
    "okta": Shape(
        path="/oauth2/default",
        header={},
        id_header={},
        access={
            "ver": 1,
            "jti": "AT.0mP4",
            "aud": "api://default",
            "cid": "0oa1",
            "uid": "00u1",
            "scp": ["openid", "orders"],
            "auth_time": TIME,
            "sub": "ada@example.com",
            "groups": ["Everyone"],
        },
        id={
            "ver": 1,
            "jti": "ID.4eAW",
            "aud": "api://default",
            "sub": "00u1",
            "amr": ["pwd"],
            "idp": "00o1",
            "at_hash": "x",
            "email": "ada@example.com",
            "groups": ["Everyone"],
        },
        proof={
            "subject": "00u1",
            "client": "0oa1",
            "scopes": frozenset({"openid", "orders"}),
            "roles": frozenset({"Everyone"}),
        },
        audience="api://default",
        id_subject="00u1",
    ),
    "entra-v2": Shape(
        path=f"/{TENANT}/v2.0",
        access={
            **_OF_ENTRA,
            "aud": "6e74172b",
            "azp": "c44b4083",
            "azpacr": "0",
            "scp": "orders.read orders.write",
            "roles": ["Editor"],
            "ver": "2.0",
        },
        # To an application that is its own API the ID token has the API's audience, and its roles.
        id={**_OF_ENTRA, "aud": "6e74172b", "roles": ["Editor"], "ver": "2.0", "email": "ada@example.com"},
        proof={
            "issuer": f"https://login.microsoftonline.com/{TENANT}/v2.0",
            "subject": _OF_ENTRA["oid"],
            "client": "c44b4083",
            "scopes": frozenset({"orders.read", "orders.write"}),
            "roles": frozenset({"Editor"}),
            "name": "Ada Lovelace",
        },
        audience="6e74172b",
        id_subject=_OF_ENTRA["oid"],
    ),
    "entra-v1": Shape(
        path=f"/{TENANT}/",
        access={
            **_OF_ENTRA,
            "aud": "api://6e74172b",
            "appid": "c44b4083",
            "appidacr": "0",
            "scp": "orders.read",
            "roles": ["Editor"],
            "ver": "1.0",
        },
        id={**_OF_ENTRA, "aud": "api://6e74172b", "roles": ["Editor"], "ver": "1.0"},
        proof={
            "issuer": f"https://login.microsoftonline.com/{TENANT}/v2.0",
            "subject": _OF_ENTRA["oid"],
            "client": "c44b4083",
            "scopes": frozenset({"orders.read"}),
            "roles": frozenset({"Editor"}),
            "name": "Ada Lovelace",
        },
        audience="api://6e74172b",
        settings={"discovery_url": "{root}/document"},
        id_subject=_OF_ENTRA["oid"],
    ),
    "cognito": Shape(
        path="/eu-west-1_aBc",
        header={},
        id_header={},
        access={
            "sub": "aaaaaaaa-bbbb",
            "cognito:groups": ["staff"],
            "client_id": "57cbi",
            "token_use": "access",
            "scope": "https://api.example.com/orders.read openid",
            "username": "ada",
            "jti": "x",
        },
        id={
            "sub": "aaaaaaaa-bbbb",
            "cognito:groups": ["staff"],
            "aud": "57cbi",
            "client_id": "57cbi",
            "token_use": "id",
            "email": "ada@example.com",
            "email_verified": True,
        },
        proof={
            "subject": "aaaaaaaa-bbbb",
            "client": "57cbi",
            "scopes": {"https://api.example.com/orders.read", "openid"},
            "roles": frozenset({"staff"}),
        },
        audience=None,
        settings={"clients": frozenset({"57cbi"})},
        id_subject="aaaaaaaa-bbbb",
    ),
    "zitadel": Shape(
        path="",
        access={
            "aud": ["2219", "shop"],
            "client_id": "2219@web",
            "jti": "V2_1",
            "nbf": TIME,
            "sub": "163840776835432705",
            "urn:zitadel:iam:org:project:roles": {"support": {"1": "acme.example.com"}},
            "urn:zitadel:iam:org:project:42:roles": {"editor": {"1": "acme.example.com"}},
            "urn:zitadel:iam:org:project:43:roles": {"owner": {"1": "acme.example.com"}},
            "urn:zitadel:iam:user:resourceowner:id": "1",
        },
        id={
            "amr": ["password"],
            "at_hash": "x",
            "aud": ["2219", "shop"],
            "azp": "2219",
            "client_id": "2219",
            "jti": "V2_2",
            "sub": "163840776835432705",
            "urn:zitadel:iam:org:project:roles": {"support": {"1": "acme.example.com"}},
        },
        proof={
            "subject": "163840776835432705",
            "client": "2219@web",
            "roles": frozenset({"support", "editor"}),
        },
        settings={"project": "42"},
        id_subject="163840776835432705",
    ),
    "authentik": Shape(
        path="/application/o/shop/",
        algorithm="ES256",
        access={
            "sub": "1b9d",
            "aud": "shop",
            "acr": "goauthentik.io/providers/oauth2/default",
            "email": "ada@example.com",
            "email_verified": True,
            "groups": ["staff"],
            "azp": "shop",
            "uid": "aB3",
            "scope": "openid email",
        },
        id={"sub": "1b9d", "aud": "shop", "email": "ada@example.com", "groups": ["staff"], "nonce": "x"},
        proof={
            "subject": "1b9d",
            "client": "shop",
            "scopes": frozenset({"openid", "email"}),
            "roles": frozenset({"staff"}),
            "email": "ada@example.com",
            "email_verified": True,
        },
        id_subject="1b9d",
    ),
    "supabase": Shape(
        path="/auth/v1",
        algorithm="ES256",
        access={
            "aal": "aal1",
            "amr": [{"method": "password", "timestamp": TIME}],
            "app_metadata": {"provider": "email", "role": "editor", "roles": ["staff"]},
            "aud": "authenticated",
            "email": "ada@example.com",
            "is_anonymous": False,
            "role": "authenticated",
            "session_id": "71d1",
            "sub": "2c9f",
            "user_metadata": {"email_verified": True, "role": "admin", "roles": ["admin"]},
        },
        id={"aud": "authenticated", "sub": "2c9f", "nonce": "x", "email": "ada@example.com"},
        proof={"subject": "2c9f", "roles": frozenset({"editor", "staff"}), "email": "ada@example.com"},
        audience="authenticated",
        id_subject="2c9f",
    ),
    "clerk": Shape(
        path="",
        header={"typ": "JWT", "cat": "cl_B7d4PD111AAA"},
        access={
            "azp": "https://app.example.com",
            "fva": [0, -1],
            "nbf": TIME - 10,
            "o": {"id": "org_1", "rol": "admin", "slg": "acme", "per": "read", "fpm": "1"},
            "sid": "sess_1",
            "sts": "active",
            "sub": "user_1",
            "v": 2,
        },
        id={
            "aud": "https://app.example.com",
            "azp": "https://app.example.com",
            "sid": "sess_1",
            "sub": "user_1",
            "nonce": "x",
            "v": 2,
        },
        proof={"subject": "user_1", "client": "https://app.example.com", "roles": frozenset({"admin"})},
        audience=None,
        settings={"clients": frozenset({"https://app.example.com"})},
        id_subject="user_1",
    ),
    "better-auth": Shape(
        path="/api/auth",
        algorithm="EdDSA",
        header={"typ": "at+jwt"},
        id_header={},
        access={"sub": "u1", "aud": ["shop", "x"], "client_id": "web", "azp": "web", "scope": "orders"},
        id={"sub": "u1", "aud": "shop", "name": "Ada"},
        proof={"subject": "u1", "client": "web", "scopes": frozenset({"orders"})},
        id_subject="u1",
    ),
}


@dataclass(kw_only=True)
class Setup:
    """A shape on a server of its own."""

    preset: str
    shape: Shape
    server: ProviderServer
    issuer: OidcIssuer

    def token(self, **changes: Any) -> str:
        return self._signed(self.shape.header, self.shape.access, changes)

    def id_token(self, **changes: Any) -> str:
        return self._signed(self.shape.id_header, self.shape.id, changes)

    async def read(self, token: str) -> Claims:
        return await self.issuer.read(token, read_compact(token, longest=8192), now=TIME)

    def _signed(self, header: dict[str, Any], body: dict[str, Any], changes: dict[str, Any]) -> str:
        valid = {"iss": self.server.issuer, "iat": TIME, "exp": TIME + 300, **body}
        text = changed(filled(valid, issuer=self.server.issuer), changes)
        head = {"alg": self.shape.algorithm, "kid": "key", **header}
        return signed(
            b64_json(head),
            b64_json(text),
            key=KEYS[self.shape.algorithm],
            algorithm=self.shape.algorithm,
        )


def filled(value: Any, **names: str) -> Any:
    """The value with `{name}` replaced in every text, however deep."""
    if isinstance(value, str):
        for name, text in names.items():
            value = value.replace(f"{{{name}}}", text)
        return value
    if isinstance(value, list):
        return [filled(one, **names) for one in value]
    if isinstance(value, dict):
        return {key: filled(one, **names) for key, one in value.items()}
    return value


async def set_up(preset: str, **settings: Any) -> Setup:
    shape = SHAPES[preset]
    server = ProviderServer(path=shape.path)
    await server.start()
    server.publish(public(KEYS[shape.algorithm], "key", use="sig"))
    server.paths["/document"] = server.paths[server.discovery]
    server.paths[f"{shape.path}/.well-known/jwks.json"] = server.paths["/keys"]
    audiences = frozenset({shape.audience}) if shape.audience else frozenset()
    own = filled(shape.settings, root=server.root)
    provider = Provider(
        **{"issuer": server.issuer, "preset": preset, "audiences": audiences} | own | settings
    )
    return Setup(
        preset=preset, shape=shape, server=server, issuer=OidcIssuer(provider, allow_loopback_http=True)
    )


@pytest.fixture(scope="module")
async def setups() -> AsyncIterator[dict[str, Setup]]:
    setups = {preset: await set_up(preset) for preset in SHAPES}
    yield setups
    for setup in setups.values():
        await setup.issuer.close()
        await setup.server.stop()


@pytest.fixture(params=SHAPES)
def setup(request: pytest.FixtureRequest, setups: dict[str, Setup]) -> Setup:
    return setups[request.param]


def test_every_preset_has_a_shape() -> None:
    assert SHAPES.keys() | {"google"} == PRESETS.keys()


def test_no_preset_believes_what_is_signed_with_a_shared_secret() -> None:
    for preset in PRESETS.values():
        assert not {name for name in preset.algorithms if name.startswith("HS") or name == "none"}


async def test_an_access_token_says_who_its_bearer_is(setup: Setup) -> None:
    said = setup.shape.access.get("auth_time")
    expected: dict[str, Any] = {"issuer": setup.server.issuer, **setup.shape.proof, "authenticated_at": said}
    assert await setup.read(setup.token()) == Claims(**expected, issued_at=TIME, expires_at=TIME + 300)


async def test_an_id_token_is_no_access_token(setup: Setup) -> None:
    with pytest.raises(BadTokenError, match=r"not an access token|another kind of token"):
        await setup.read(setup.id_token())


async def test_an_id_token_for_our_audience_and_with_every_claim_of_the_access_token_is_none_either(
    setup: Setup,
) -> None:
    # What remains is the marker alone. Where that is a claim that ID tokens lack, it is the one left out.
    marker = PRESETS[setup.preset].marker
    lacking = dict.fromkeys((*marker.require[:1], *marker.require_one), ABSENT)
    forbidden = dict.fromkeys(marker.forbid[:1], "x")
    another = {name: setup.shape.id.get(name, ABSENT) for name, _ in marker.equals}
    for changes in filter(None, (lacking, forbidden, another)):
        if any(setup.shape.access.get(name, ABSENT) is not value for name, value in changes.items()):
            with pytest.raises(BadTokenError, match="another kind of token"):
                await setup.read(setup.token(**changes))


async def test_an_id_token_names_the_person_as_the_access_token_does(setup: Setup) -> None:
    access = await setup.read(setup.token())
    shape = setup.shape
    client = shape.id["aud"] if isinstance(shape.id["aud"], str) else "2219"
    token = setup.id_token(nonce="n", at_hash=ABSENT)
    logged_in = await setup.issuer.verify_id_token(token, client_id=client, nonce="n", now=TIME)
    assert (logged_in.proof.issuer, logged_in.proof.subject) == (access.issuer, access.subject)
    assert logged_in.proof.subject == shape.id_subject
    assert logged_in.claims["nonce"] == "n"


# ── each provider's own ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("preset", "changes", "reason"),
    [
        ("keycloak", {"typ": "Refresh"}, "another kind of token"),
        ("keycloak", {"typ": ["Bearer"]}, "another kind of token"),
        ("keycloak", {"aud": "account"}, "for another audience"),
        ("auth0", {"aud": "{issuer}userinfo"}, "for another audience"),
        ("auth0", {"azp": ABSENT}, "another kind of token"),
        ("okta", {"scp": ABSENT}, "another kind of token"),
        ("okta", {"uid": ABSENT}, "uid is no text"),
        ("okta", {"uid": 7, "sub": "0oa1"}, "uid is no text"),
        ("entra-v2", {"scp": ABSENT, "roles": ABSENT}, "another kind of token"),
        ("entra-v2", {"ver": "1.0"}, "another kind of token"),
        ("entra-v2", {"tid": "another"}, "of another tenant"),
        ("entra-v2", {"tid": ABSENT}, "of another tenant"),
        ("entra-v2", {"tid": "v2.0"}, "of another tenant"),
        ("entra-v2", {"oid": ABSENT}, "oid is no text"),
        ("entra-v1", {"ver": "2.0"}, "another kind of token"),
        ("entra-v1", {"scp": ABSENT, "roles": ABSENT}, "another kind of token"),
        ("cognito", {"client_id": "another"}, "of another client"),
        ("cognito", {"client_id": ABSENT}, "of another client"),
        ("cognito", {"aud": "another"}, "for another audience"),
        ("authentik", {"uid": ABSENT}, "another kind of token"),
        ("supabase", {"session_id": ABSENT}, "another kind of token"),
        ("supabase", {"aud": "anon"}, "for another audience"),
        ("clerk", {"azp": "https://evil.example"}, "of another client"),
        ("clerk", {"azp": ABSENT}, "of another client"),
        ("clerk", {"v": 1}, "another kind of token"),
        ("clerk", {"v": 2.0}, "another kind of token"),
        ("clerk", {"aud": "another"}, "for another audience"),
    ],
)
async def test_the_traps_of_each_provider(
    preset: str, changes: dict[str, Any], reason: str, setups: dict[str, Setup]
) -> None:
    setup = setups[preset]
    with pytest.raises(BadTokenError, match=reason):
        await setup.read(setup.token(**filled(changes, issuer=setup.server.issuer)))


async def test_okta_s_organisation_server_signs_tokens_for_okta_alone(setups: dict[str, Setup]) -> None:
    setup = setups["okta"]
    token = setup._signed({"typ": "application/okta-internal-at+jwt"}, setup.shape.access, {})
    with pytest.raises(BadTokenError, match="not an access token"):
        await setup.read(token)


async def test_a_type_that_is_null_is_not_the_same_as_none(setups: dict[str, Setup]) -> None:
    setup = setups["cognito"]
    with pytest.raises(BadTokenError, match="not an access token"):
        await setup.read(setup._signed({"typ": None}, setup.shape.access, {}))


@pytest.mark.parametrize(
    ("changes", "came"),
    [
        ({"nonce": "n"}, "'nonce'"),
        ({"at_hash": "x"}, "'at_hash'"),
        ({"c_hash": "x"}, "'c_hash'"),
        ({"jti": ABSENT}, "'no jti'"),
        ({"client_id": ABSENT}, "'none of them'"),
        ({"aud": "shop", "client_id": "shop"}, "'its client as its only audience'"),
        ({"aud": ["shop"], "client_id": ABSENT, "azp": "shop"}, "'its client as its only audience'"),
        ({"aud": ["shop", "web"], "client_id": "web", "azp": "shop"}, "'its client as its only audience'"),
        ({"aud": ["web", "other"]}, "'other' or 'web'"),
    ],
)
@pytest.mark.parametrize("typ", ["JWT", "at+jwt"])
async def test_what_lacks_the_mark_of_an_access_token_is_none(
    changes: dict[str, Any], came: str, typ: str, setups: dict[str, Setup]
) -> None:
    setup = setups["generic"]
    shaped = replace(setup, shape=replace(setup.shape, header={"typ": typ}))
    assert (await shaped.read(shaped.token())).subject == "dwho"
    with pytest.raises(BadTokenError) as refused:
        await shaped.read(shaped.token(**changes))
    assert refused.value.came == came
    assert refused.value.wanted


async def test_the_scope_of_a_generic_provider_may_stand_in_two_places(setups: dict[str, Setup]) -> None:
    setup = setups["generic"]
    proof = await setup.read(setup.token(scope=ABSENT, scp=["openid", "email"]))
    assert proof.scopes == {"openid", "email"}


def test_every_algorithm_that_settings_may_name_has_keys_and_the_others_have_none() -> None:
    assert {name for names in _FAMILIES.values() for name in names} == ALGORITHMS
    assert all(set(preset.algorithms) <= ALGORITHMS for preset in PRESETS.values())


@pytest.mark.parametrize("preset", PRESETS)
def test_the_old_and_the_new_name_of_ed25519_go_together(preset: str) -> None:
    names = {"EdDSA", "Ed25519"}
    assert names & set(PRESETS[preset].algorithms) in (set(), names)
    for name in names:
        provider = Provider(
            issuer="https://login.example.com/x",
            preset=preset,
            audiences=frozenset({"shop"}),
            algorithms=frozenset({name}),
        )
        assert provider.allowed_algorithms == names


async def test_okta_s_machines_are_known_by_their_client(setups: dict[str, Setup]) -> None:
    admitting = await set_up("okta", admit_machines=True)
    proof = await admitting.read(admitting.token(uid=ABSENT, sub="0oa1"))
    assert (proof.subject, proof.client) == ("0oa1", "0oa1")
    with pytest.raises(BadTokenError, match=r"^a client that acts for no person$"):
        await setups["okta"].read(setups["okta"].token(uid=ABSENT, sub="0oa1"))
    await admitting.issuer.close()
    await admitting.server.stop()


# What a token has that was issued to a client for itself (RFC 6749 §4.4).
MACHINES: list[tuple[str, dict[str, Any]]] = [
    ("rfc9068", {"sub": "s6BhdRkqt3"}),
    ("generic", {"sub": "web"}),
    ("generic", {"sub": "batch", "client_id": ABSENT, "azp": "batch"}),
    ("better-auth", {"sub": "batch", "client_id": "batch", "azp": "batch"}),
    ("better-auth", {"sub": "batch", "client_id": ABSENT, "azp": "batch"}),
    ("keycloak", {"preferred_username": "service-account-batch"}),
    ("auth0", {"gty": "client-credentials"}),
    ("auth0", {"sub": "batch@clients", "azp": "batch"}),
    ("entra-v2", {"idtyp": "app"}),
    ("entra-v2", {"scp": ABSENT, "roles": ["Batch"]}),
    ("entra-v1", {"scp": ABSENT, "roles": ["Batch"]}),
    ("cognito", {"sub": "57cbi"}),
    ("zitadel", {"sub": "batch", "azp": "batch"}),
    ("authentik", {"preferred_username": "ak-shop-client_credentials"}),
    ("supabase", {"role": "service_role"}),
    ("clerk", {"sub": "mch_2x"}),
]


@pytest.mark.parametrize(("preset", "changes"), MACHINES)
async def test_a_client_that_acts_for_nobody_is_nobody_here_unless_settings_admit_it(
    preset: str, changes: dict[str, Any], setups: dict[str, Setup]
) -> None:
    with pytest.raises(BadTokenError, match=r"^a client that acts for no person$"):
        await setups[preset].read(setups[preset].token(**changes))
    own = {"audiences": frozenset(), "clients": frozenset({"57cbi"})} if preset == "cognito" else {}
    admitting = await set_up(preset, admit_machines=True, **own)
    assert (await admitting.read(admitting.token(**changes))).subject
    await admitting.issuer.close()
    await admitting.server.stop()


def test_every_preset_s_machines_are_tried_above() -> None:
    assert {preset for preset, _ in MACHINES} | {"okta", "google"} == PRESETS.keys()


async def test_auth0_s_other_profile_names_the_client_as_rfc_9068_does(setups: dict[str, Setup]) -> None:
    proof = await setups["auth0"].read(setups["auth0"].token(azp=ABSENT, client_id="web"))
    assert proof.client == "web"


async def test_cognito_with_a_resource_has_an_audience(setups: dict[str, Setup]) -> None:
    setup = await set_up("cognito", audiences=frozenset({API}), clients=frozenset())
    assert (await setup.read(setup.token(aud=API))).client == "57cbi"
    with pytest.raises(BadTokenError, match="without an audience"):
        await setup.read(setup.token())
    await setup.issuer.close()
    await setup.server.stop()


async def test_what_entra_leaves_out_of_a_token_is_told_once(setups: dict[str, Setup]) -> None:
    setup = await set_up("entra-v2", role_claims=(("groups",), ("roles",)))
    elsewhere = {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://x"}}}
    with capture_logs() as logs:
        for _ in range(2):
            proof = await setup.read(setup.token(**elsewhere))
            assert proof.roles == {"Editor"}
    assert [entry["log_level"] for entry in logs if "roles" in entry["event"]] == ["warning"]
    await setup.issuer.close()
    await setup.server.stop()


async def test_google_only_logs_people_in() -> None:
    server = ProviderServer()
    await server.start()
    server.publish(public(KEYS["RS256"], "key"))
    issuer = OidcIssuer(Provider(issuer=server.issuer, preset="google"), allow_loopback_http=True)
    assert set(issuer.names) == {server.issuer, "accounts.google.com"}
    for name in issuer.names:
        body = {"iss": name, "aud": "web", "azp": "web", "sub": "110", "iat": TIME, "exp": TIME + 300}
        body |= {"nonce": "n", "email": "ada@example.com", "email_verified": True, "name": "Ada"}
        head = {"alg": "RS256", "kid": "key", "typ": "JWT"}
        token = signed(b64_json(head), b64_json(body), key=KEYS["RS256"], algorithm="RS256")
        with pytest.raises(BadTokenError, match="for others"):
            await issuer.read(token, read_compact(token, longest=8192), now=TIME)
        proof = (await issuer.verify_id_token(token, client_id="web", nonce="n", now=TIME)).proof
        assert (proof.issuer, proof.subject, proof.email_verified) == (server.issuer, "110", True)
    await asyncio.gather(issuer.close(), server.stop())


# ── settings ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ({"preset": "facebook"}, "there is no preset 'facebook': choose one of auth0"),
        (
            {"preset": "keycloak", "algorithms": frozenset({"HS256"})},
            "HS256 is no algorithm to verify with a public key: choose among ES256",
        ),
        ({"algorithms": frozenset({"none"})}, "none is no algorithm"),
        ({"token_types": ("jwt",)}, "nothing marks an access token"),
        ({"preset": "generic", "token_marker": Marker(forbid=("nonce",))}, "nothing marks an access token"),
        ({"algorithms": frozenset()}, "name at least one"),
        ({"audiences": frozenset()}, "needs an audience"),
        ({"preset": "clerk", "audiences": frozenset()}, "list the clients"),
        ({"preset": "cognito", "audiences": frozenset()}, "list the clients"),
        ({"preset": "supabase", "role_claims": (("user_metadata", "role"),)}, "users may edit"),
        ({"preset": "supabase", "email_claim": ("user_metadata", "email")}, "users may edit"),
        ({"preset": "supabase", "scope_claim": ("user_metadata", "scope")}, "users may edit"),
        ({"email_claim": ()}, "name a claim"),
        ({"issuer": "https://login.example.com/?p=1"}, "has a query"),
    ],
)
def test_settings_that_contradict_themselves_are_refused_with_the_remedy(
    settings: dict[str, Any], remedy: str
) -> None:
    valid = {"issuer": "https://login.example.com", "audiences": frozenset({"shop"})}
    with pytest.raises(ValueError, match=remedy):
        Provider(**valid | settings)


def test_a_client_of_its_own_and_a_project_fill_the_paths_of_the_roles() -> None:
    https, shop = "https://login.example.com", frozenset({"shop", "api"})
    keycloak = Provider(issuer=https, preset="keycloak", audiences=shop)
    assert keycloak.role_paths == (
        ("realm_access", "roles"),
        ("resource_access", "api", "roles"),
        ("resource_access", "shop", "roles"),
    )
    named = Provider(issuer=https, preset="keycloak", audiences=shop, role_client="back.end")
    assert named.role_paths[1:] == (("resource_access", "back.end", "roles"),)
    zitadel = Provider(issuer=https, preset="zitadel", audiences=shop)
    assert zitadel.role_paths == (("urn:zitadel:iam:org:project:roles",),)


def test_tokens_of_entra_may_be_longer() -> None:
    limits = {
        preset: Provider(
            issuer="https://login.example.com/x", preset=preset, audiences=frozenset({"shop"})
        ).token_limit
        for preset in PRESETS
    }
    assert {preset for preset, limit in limits.items() if limit == 16_384} == {"entra-v1", "entra-v2"}
    assert set(limits.values()) == {8192, 16_384}
