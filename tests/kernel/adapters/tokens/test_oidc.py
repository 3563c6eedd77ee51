"""Tokens of an external provider: what they prove, with which key, and what ID tokens prove to a client."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from adapters.tokens.compact import BadTokenError, read_compact
from adapters.tokens.oidc import OidcIssuer
from adapters.tokens.presets import Marker
from adapters.tokens.providers import Provider
from adapters.tokens.verifier import IssuedTokenVerifier
from application.kernel.ports.callers import Caller, Claims
from application.kernel.ports.world import Unavailable
from domain.kernel.errors import Unauthenticated
from kernel.world.builders import NOW, a_user_id
from kernel.world.fakes import FakeClock
from kernel.world.forging import ABSENT, Forger, b64
from kernel.world.provider import ProviderServer, a_forger, public, silence
from kernel.world.refusals import refused

TIME = int(NOW.timestamp())
DETAIL = "The access token is not valid."
KEYS: dict[str, Key] = {
    "RS256": RSAKey.generate_key(2048),
    "PS256": RSAKey.generate_key(2048),
    "ES256": ECKey.generate_key("P-256"),
    "Ed25519": OKPKey.generate_key("Ed25519"),
}
STRANGER = ECKey.generate_key("P-256")


class Strangers:
    """Accounts of whoever comes; `proofs` are what they showed."""

    def __init__(self) -> None:
        self.proofs: list[Claims] = []

    async def recognise(self, proof: Claims, /) -> Caller:
        self.proofs.append(proof)
        return Caller(user_id=a_user_id(), issuer=proof.issuer, subject=proof.subject)


@pytest.fixture
async def server() -> AsyncIterator[ProviderServer]:
    server = ProviderServer()
    await server.start()
    server.publish(*(public(key, name) for name, key in KEYS.items()))
    yield server
    await server.stop()


@pytest.fixture
async def issuer(server: ProviderServer) -> AsyncIterator[OidcIssuer]:
    issuer = an_issuer(server)
    yield issuer
    await issuer.close()


@pytest.fixture
def forge(server: ProviderServer) -> Forger:
    return a_forger(server.issuer, KEYS["ES256"], stranger=STRANGER, algorithm="ES256", kid="ES256")


def an_issuer(server: ProviderServer, **settings: Any) -> OidcIssuer:
    provider = Provider(**{"issuer": server.issuer, "audiences": frozenset({"shop"})} | settings)
    return OidcIssuer(provider, allow_loopback_http=True)


async def proven(issuer: OidcIssuer, token: str, *, now: float = TIME) -> Claims:
    return await issuer.read(token, read_compact(token, longest=20_000), now=now)


# ── what is believed ─────────────────────────────────────────────────────────────────────────────


async def test_a_good_token_proves_what_it_says(
    issuer: OidcIssuer, server: ProviderServer, forge: Forger
) -> None:
    token = forge.with_claim(
        scope="read write", roles=["editor"], email="ada@example.com", email_verified=True, name="Ada"
    )
    assert await proven(issuer, token) == Claims(
        issuer=server.issuer,
        subject="ada",
        issued_at=TIME,
        expires_at=TIME + 600,
        client="till",
        scopes=frozenset({"read", "write"}),
        roles=frozenset({"editor"}),
        email="ada@example.com",
        email_verified=True,
        name="Ada",
    )


@pytest.mark.parametrize("algorithm", KEYS)
async def test_every_algorithm_on_the_list_is_believed_with_a_key_of_its_kind(
    algorithm: str, issuer: OidcIssuer, server: ProviderServer
) -> None:
    forge = a_forger(server.issuer, KEYS[algorithm], stranger=STRANGER, algorithm=algorithm, kid=algorithm)
    assert (await proven(issuer, forge.token())).subject == "ada"


@pytest.mark.parametrize("preset", ["rfc9068", "better-auth", "generic"])
async def test_eddsa_is_ed25519_by_its_old_name(preset: str, server: ProviderServer) -> None:
    issuer = an_issuer(server, preset=preset)
    for name in ("EdDSA", "Ed25519"):
        forge = a_forger(server.issuer, KEYS["Ed25519"], stranger=STRANGER, algorithm=name, kid="Ed25519")
        assert (await proven(issuer, forge.token())).subject == "ada"
        with pytest.raises(BadTokenError, match="BadSignatureError"):
            await proven(issuer, forge.token(key=OKPKey.generate_key("Ed25519")))
    await issuer.close()


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"aud": ["other", "shop"]}, {}),
        ({"iat": TIME - 700, "exp": TIME - 29}, {"issued_at": TIME - 700, "expires_at": TIME - 29}),
        ({"iat": TIME + 29}, {"issued_at": TIME + 29}),
        ({"nbf": TIME + 29}, {}),
        ({"auth_time": TIME - 7200}, {"authenticated_at": TIME - 7200}),
        ({"auth_time": TIME + 1}, {"authenticated_at": TIME}),  # nobody is let in after the token was issued
        ({"auth_time": 1e300}, {}),
        ({"auth_time": True}, {}),
        ({"auth_time": -1}, {}),
        ({"auth_time": "now"}, {}),
        ({"auth_time": [TIME]}, {}),
        ({"exp": TIME + 86_400}, {"expires_at": TIME + 86_400}),
        ({"sub": "é" * 255}, {"subject": "é" * 255}),
        ({"sub": "auth0|507f1f77 x"}, {"subject": "auth0|507f1f77 x"}),
        ({"client_id": ABSENT}, {"client": None}),
        ({"client_id": 7}, {"client": None}),
        ({"scope": ["read", 7, ""]}, {"scopes": frozenset({"read"})}),
        ({"scope": " read  write "}, {"scopes": frozenset({"read", "write"})}),
        ({"scope": {"read": 1}}, {"scopes": frozenset()}),
        ({"roles": "editor"}, {"roles": frozenset({"editor"})}),
        ({"roles": {"admin": {}}}, {"roles": frozenset()}),
        ({"roles": ["editor", 7, None, "\0", ["admin"]]}, {"roles": frozenset({"editor"})}),
        ({"email": "ada@example.com"}, {"email": "ada@example.com", "email_verified": False}),
        (
            {"email": "ada@example.com", "email_verified": "true"},
            {"email": "ada@example.com", "email_verified": False},
        ),
        (
            {"email": "ada@example.com", "email_verified": 1},
            {"email": "ada@example.com", "email_verified": False},
        ),
        ({"email": ["ada@example.com"], "email_verified": True}, {"email": None, "email_verified": False}),
        ({"email": "a" * 255, "email_verified": True}, {"email": None, "email_verified": False}),
        ({"email": "ada\0@example.com", "email_verified": True}, {"email": None, "email_verified": False}),
        ({"email": "\ud800", "email_verified": True}, {"email": None, "email_verified": False}),
        ({"name": "\ud800"}, {"name": None}),
        ({"name": "x" * 256}, {"name": None}),
        ({"name": ["Ada"]}, {"name": None}),
    ],
)
async def test_what_a_proof_takes_from_a_claim_is_well_formed(
    claims: dict[str, Any], expected: dict[str, Any], issuer: OidcIssuer, forge: Forger
) -> None:
    proof = await proven(issuer, forge.with_claim(**claims))
    assert {name: getattr(proof, name) for name in expected} == expected


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+JWT"])
async def test_a_media_type_is_the_same_in_every_spelling(
    typ: str, issuer: OidcIssuer, forge: Forger
) -> None:
    assert (await proven(issuer, forge.with_header(typ=typ))).subject == "ada"


async def test_a_header_that_means_nothing_to_us_does_no_harm(issuer: OidcIssuer, forge: Forger) -> None:
    assert (await proven(issuer, forge.with_header(x5t="y", cat="z", nonce="n" * 600))).subject == "ada"


async def test_a_token_without_a_key_id_is_believed_where_one_key_fits(
    issuer: OidcIssuer, forge: Forger
) -> None:
    assert (await proven(issuer, forge.with_header(kid=ABSENT))).subject == "ada"
    with pytest.raises(BadTokenError, match="BadSignatureError"):
        await proven(issuer, forge.token(forge.header_of(kid=ABSENT), key=STRANGER))


# ── settings ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("settings", "claims", "expected"),
    [
        ({"audiences": frozenset({"till", "shop"})}, {}, {"subject": "ada"}),
        ({"audiences": frozenset({"till"})}, {}, "for another audience"),
        ({"clients": frozenset({"till"})}, {}, {"client": "till"}),
        ({"clients": frozenset({"web"})}, {}, "of another client"),
        ({"clients": frozenset({"till"})}, {"aud": ABSENT}, "without an audience"),
        ({"clients": frozenset({"till"})}, {"client_id": ABSENT}, "of another client"),
        ({"clients": frozenset({"till"})}, {"client_id": ["till"]}, "of another client"),
        ({"required_scopes": frozenset({"read"})}, {"scope": "read write"}, {"subject": "ada"}),
        ({"required_scopes": frozenset({"read"})}, {"scope": "reader"}, "without the scope read"),
        ({"required_scopes": frozenset({"read"})}, {}, "without the scope read"),
        ({"algorithms": frozenset({"RS256"})}, {}, "another algorithm"),
        ({"algorithms": frozenset({"ES384", "ES256"})}, {}, {"subject": "ada"}),
        ({"token_types": ("jwt", None), "token_marker": Marker(require=("jti",))}, {}, "not an access token"),
        ({"token_marker": Marker(equals=(("ver", 2),))}, {"ver": 2}, {"subject": "ada"}),
        ({"token_marker": Marker(equals=(("ver", 2),))}, {"ver": "2"}, "another kind of token"),
        ({"longest_lifetime": 600}, {}, {"subject": "ada"}),
        ({"longest_lifetime": 599}, {}, "of too long or no lifetime"),
        ({"longest_token": 100}, {}, "longer than 100 bytes"),
        ({}, {"filling": "x" * 8000}, "longer than 8192 bytes"),
        (
            {"role_claims": (("https://shop.example/roles",), ("a.b", "c:d"))},
            {"https://shop.example/roles": ["x"], "a.b": {"c:d": ["y"]}, "roles": ["z"]},
            {"roles": frozenset({"x", "y"})},
        ),
        ({"role_claims": (("a", "b"),)}, {"a": ["b"]}, {"roles": frozenset()}),
        ({"scope_claim": ("scp",)}, {"scp": ["r"], "scope": "w"}, {"scopes": frozenset({"r"})}),
        (
            {"email_claim": ("https://shop.example/email",)},
            {"https://shop.example/email": "a@b.c", "email": "x@y.z", "email_verified": True},
            {"email": "a@b.c", "email_verified": False},
        ),
        (
            {"email_claim": ("who", "email")},
            {"who": {"email": "a@b.c", "email_verified": True}},
            {"email": "a@b.c", "email_verified": True},
        ),
    ],
)
async def test_settings_narrow_what_is_believed_and_say_where_to_look(
    settings: dict[str, Any],
    claims: dict[str, Any],
    expected: dict[str, Any] | str,
    server: ProviderServer,
    forge: Forger,
) -> None:
    issuer = an_issuer(server, **settings)
    try:
        if isinstance(expected, str):
            with pytest.raises(BadTokenError, match=expected):
                await proven(issuer, forge.with_claim(**claims))
        else:
            proof = await proven(issuer, forge.with_claim(**claims))
            assert {name: getattr(proof, name) for name in expected} == expected
    finally:
        await issuer.close()


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────


async def test_a_key_that_was_rotated_in_without_notice_is_believed_at_once(
    issuer: OidcIssuer, server: ProviderServer, forge: Forger
) -> None:
    await proven(issuer, forge.token())
    server.publish(public(STRANGER, "new"))
    rotated = forge.token(forge.header_of(kid="new"), key=STRANGER)
    assert {
        proof.subject for proof in await asyncio.gather(*(proven(issuer, rotated) for _ in range(20)))
    } == {"ada"}
    assert server.times() == 2
    with pytest.raises(BadTokenError, match="an unknown key"):
        await proven(issuer, forge.token())


async def test_two_keys_are_believed_while_one_takes_over(
    issuer: OidcIssuer, server: ProviderServer, forge: Forger
) -> None:
    await proven(issuer, forge.token())
    server.publish(public(KEYS["ES256"], "ES256"), public(STRANGER, "new"))
    await proven(issuer, forge.token(forge.header_of(kid="new"), key=STRANGER))
    await proven(issuer, forge.token())


async def test_without_keys_the_answer_is_later_and_not_never(server: ProviderServer, forge: Forger) -> None:
    server.paths.clear()
    issuer = an_issuer(server)
    with pytest.raises(Unavailable):
        await proven(issuer, forge.token())
    await issuer.close()


async def test_a_token_that_cannot_be_ours_is_refused_before_any_key_is_fetched(
    server: ProviderServer, forge: Forger
) -> None:
    server.paths["/keys"] = silence
    issuer = an_issuer(server)
    tokens = [
        forge.with_header(alg="none"),
        forge.with_header(alg="HS256"),
        forge.with_header(alg=["ES256"]),
        forge.with_header(typ="JWT"),
        forge.with_header(typ=None),
        forge.with_header(kid=7),
        forge.with_header(kid=None),
        forge.with_claim(filling="x" * 8000),
    ]
    for token in tokens:
        with pytest.raises(BadTokenError):
            await proven(issuer, token)
    assert server.asked == []
    await issuer.close()


async def test_of_two_trusted_issuers_neither_speaks_for_the_other(
    server: ProviderServer, forge: Forger
) -> None:
    other = ProviderServer()
    await other.start()
    other.publish(public(STRANGER, "ES256"), public(STRANGER, "other"))
    issuers = [an_issuer(server), an_issuer(other)]
    people, clock = Strangers(), FakeClock(NOW)
    verifier = IssuedTokenVerifier(
        issuers, people, longest_token=8192, cached=10, recheck_seconds=5, clock=clock
    )
    assert (await verifier.verify(forge.token())).issuer == server.issuer
    for kid in ("ES256", "other"):
        own = forge.token(forge.header_of(kid=kid), forge.claims_of(iss=other.issuer), key=STRANGER)
        assert (await verifier.verify(own)).issuer == other.issuer
        with refused(Unauthenticated, DETAIL):
            await verifier.verify(forge.token(forge.header_of(kid=kid), key=STRANGER))
    with refused(Unauthenticated, DETAIL):
        await verifier.verify(forge.with_claim(iss=other.issuer))
    # Even past the verifier, which chose the issuer by its name, an issuer reads the name again.
    with pytest.raises(BadTokenError, match="another issuer"):
        await proven(issuers[0], forge.with_claim(iss=other.issuer))
    await asyncio.gather(*(issuer.close() for issuer in issuers))
    await other.stop()


async def test_a_token_is_good_to_its_end_and_a_little_longer(issuer: OidcIssuer, forge: Forger) -> None:
    clock = FakeClock(NOW.replace(microsecond=0))
    verifier = IssuedTokenVerifier(
        [issuer], Strangers(), longest_token=8192, cached=10, recheck_seconds=5, clock=clock
    )
    token = forge.token()
    clock.advance(timedelta(seconds=629))
    assert (await verifier.verify(token)).subject == "ada"
    clock.advance(timedelta(seconds=1))
    with refused(Unauthenticated, DETAIL):
        await verifier.verify(token)


# ── ID tokens ────────────────────────────────────────────────────────────────────────────────────

NONCE = "n-0S6_WzA2Mj"


@pytest.fixture
def forge_id(server: ProviderServer) -> Forger:
    return a_forger(
        server.issuer,
        KEYS["ES256"],
        stranger=STRANGER,
        algorithm="ES256",
        kid="ES256",
        typ="JWT",
        aud="web",
        nonce=NONCE,
    )


async def logged_in(
    issuer: OidcIssuer, token: str, *, nonce: str = NONCE, access_token: str | None = None
) -> Claims:
    found = await issuer.verify_id_token(
        token, client_id="web", nonce=nonce, now=TIME, access_token=access_token
    )
    return found.proof


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"aud": ["web"]},
        {"azp": "web"},
        {"aud": ["shop", "web"], "azp": "web"},
        {"email": "ada@example.com", "email_verified": True},
        {"auth_time": TIME - 7},
    ],
)
async def test_an_id_token_says_who_logged_in_to_the_client(
    claims: dict[str, Any], issuer: OidcIssuer, server: ProviderServer, forge_id: Forger
) -> None:
    token = forge_id.with_claim(**claims)
    found = await issuer.verify_id_token(token, client_id="web", nonce=NONCE, now=TIME)
    assert found.proof == Claims(
        issuer=server.issuer,
        subject="ada",
        issued_at=TIME,
        expires_at=TIME + 600,
        client="web",
        email=claims.get("email"),
        email_verified="email" in claims,
        authenticated_at=claims.get("auth_time"),
    )
    assert found.claims == forge_id.claims_of(**claims)


BAD_ID_TOKENS: dict[str, tuple[Callable[[Forger], str], str]] = {
    "an access token": (lambda f: f.with_header(typ="at+jwt"), "not an ID token"),
    "an access token in capitals": (lambda f: f.with_header(typ="application/AT+JWT"), "not an ID token"),
    "of another issuer": (lambda f: f.with_claim(iss="https://evil.example"), "another issuer"),
    "without an issuer": (lambda f: f.with_claim(iss=ABSENT), "another issuer"),
    "for another client": (lambda f: f.with_claim(aud="shop"), "for another audience"),
    "for nobody": (lambda f: f.with_claim(aud=ABSENT), "without an audience"),
    "for several clients, issued to none": (lambda f: f.with_claim(aud=["web", "shop"]), "of another client"),
    "for several clients, issued to another": (
        lambda f: f.with_claim(aud=["web", "shop"], azp="shop"),
        "of another client",
    ),
    "issued to another client": (lambda f: f.with_claim(azp="shop"), "of another client"),
    "issued to a list of clients": (lambda f: f.with_claim(azp=["web"]), "of another client"),
    "of another request": (lambda f: f.with_claim(nonce="x"), "of another request"),
    "of no request": (lambda f: f.with_claim(nonce=ABSENT), "of another request"),
    "of an empty request": (lambda f: f.with_claim(nonce=""), "of another request"),
    "of a request that is a list": (lambda f: f.with_claim(nonce=[NONCE]), "of another request"),
    "of a request beyond UTF-8": (lambda f: f.with_claim(nonce="\ud800"), "of another request"),
    "expired": (lambda f: f.with_claim(iat=TIME - 700, exp=TIME - 30), "expired"),
    "of tomorrow": (lambda f: f.with_claim(iat=TIME + 31), "issued in the future"),
    "good for years": (lambda f: f.with_claim(exp=TIME + 86_401), "of too long or no lifetime"),
    "without an expiry": (lambda f: f.with_claim(exp=ABSENT), "exp is no instant"),
    "of nobody": (lambda f: f.with_claim(sub=ABSENT), "the subject is no text"),
    "of somebody with a NUL": (lambda f: f.with_claim(sub="ada\0"), "the subject is no text"),
    "signed by a stranger": (lambda f: f.token(key=STRANGER), "signature: BadSignatureError"),
    "signed with an unknown key": (lambda f: f.with_header(kid="x"), "an unknown key"),
    "unsigned": (lambda f: f.with_header(alg="none"), "another algorithm"),
    "too long": (lambda f: f.with_claim(filling="x" * 8000), "longer than 8192 bytes"),
    "with a claim twice": (
        lambda f: f.with_body(lambda body: body[:-1] + b',"sub":"x"}'),
        "names a member twice",
    ),
}


@pytest.mark.parametrize("bad", BAD_ID_TOKENS)
async def test_a_bad_id_token_logs_nobody_in(bad: str, issuer: OidcIssuer, forge_id: Forger) -> None:
    make, reason = BAD_ID_TOKENS[bad]
    with pytest.raises(BadTokenError, match=reason):
        await logged_in(issuer, make(forge_id))


async def test_an_id_token_need_not_name_the_access_token(issuer: OidcIssuer, forge_id: Forger) -> None:
    assert (await logged_in(issuer, forge_id.token(), access_token="access")).subject == "ada"


async def test_a_client_that_sent_no_nonce_gets_nobody(issuer: OidcIssuer, forge_id: Forger) -> None:
    with pytest.raises(BadTokenError, match="of another request"):
        await logged_in(issuer, forge_id.with_claim(nonce=""), nonce="")


@pytest.mark.parametrize(
    ("algorithm", "digest"),
    [("RS256", "sha256"), ("PS256", "sha256"), ("ES256", "sha256"), ("Ed25519", "sha512")],
)
async def test_the_access_token_that_came_along_is_the_one_it_names(
    algorithm: str, digest: str, issuer: OidcIssuer, forge_id: Forger
) -> None:
    head = forge_id.header_of(alg=algorithm, kid=algorithm)
    whole = hashlib.new(digest, b"access").digest()
    body = forge_id.claims_of(at_hash=b64(whole[: len(whole) // 2]))
    token = forge_id.token(head, body, key=KEYS[algorithm], algorithm=algorithm)
    assert (await logged_in(issuer, token, access_token="access")).subject == "ada"
    with pytest.raises(BadTokenError, match="of another access token"):
        await logged_in(issuer, token, access_token="another")
    other = forge_id.token(head, forge_id.claims_of(at_hash=7), key=KEYS[algorithm], algorithm=algorithm)
    with pytest.raises(BadTokenError, match="of another access token"):
        await logged_in(issuer, other, access_token="access")


@pytest.mark.parametrize(
    ("preset", "claims"),
    [
        ("keycloak", {"typ": "Bearer"}),
        ("cognito", {"token_use": "access"}),
        ("authentik", {"uid": "x"}),
        ("entra-v2", {"ver": "1.0", "tid": "x", "oid": "y"}),
    ],
)
async def test_a_preset_s_access_token_is_no_id_token(
    preset: str, claims: dict[str, Any], server: ProviderServer, forge_id: Forger
) -> None:
    issuer = an_issuer(server, preset=preset, clients=frozenset({"web"}))
    forge = a_forger(
        server.issuer,
        KEYS["RS256"],
        stranger=STRANGER,
        algorithm="RS256",
        kid="RS256",
        typ="JWT",
        aud="web",
        nonce=NONCE,
    )
    with pytest.raises(BadTokenError, match="another kind of token"):
        await logged_in(issuer, forge.with_claim(**claims))
    await issuer.close()
