"""The built-in provider's tokens: what is issued, what is believed, and what its own checks refuse."""

import base64
import json
from typing import Any
from uuid import UUID

import pytest
from joserfc.jwk import ECKey

from adapters.tokens.compact import BadTokenError, read_compact
from adapters.tokens.local import LocalIssuer, LocalTokenIssuer
from application.kernel.ports.callers import Claims
from application.kernel.ports.world import Unavailable
from domain.kernel.identity.sessions import SessionId
from domain.kernel.users import UserId
from kernel.world.builders import NOW
from kernel.world.forging import ABSENT, Forger
from kernel.world.rings import AUDIENCE, ISSUER, LIFETIME, Processes, local_issuer

USER = UserId(UUID("01932c07-a7e0-7abc-8def-0123456789ab"))
SESSION = SessionId(UUID("01932c07-a7e0-7abc-8def-ba9876543210"))
TIME = int(NOW.timestamp())
KEY = ECKey.generate_key("P-256")

forger = Forger(
    key=KEY,
    stranger=ECKey.generate_key("P-256"),
    algorithm="ES256",
    kid=KEY.thumbprint(),
    claims={
        "iss": ISSUER,
        "sub": str(USER),
        "aud": AUDIENCE,
        "exp": TIME + LIFETIME,
        "iat": TIME,
        "jti": "token-7",
        "client_id": AUDIENCE,
        "sid": str(SESSION),
    },
)
PROOF = Claims(
    issuer=ISSUER,
    subject=str(USER),
    issued_at=TIME,
    expires_at=TIME + LIFETIME,
    client=AUDIENCE,
    session_id=SESSION,
)


@pytest.fixture
async def processes() -> Processes:
    """Processes that sign with KEY."""
    processes = Processes()
    await processes.add(KEY)
    return processes


@pytest.fixture
def issuer(processes: Processes) -> LocalIssuer:
    return local_issuer(processes.ring())


@pytest.fixture
def tokens(processes: Processes) -> LocalTokenIssuer:
    return processes.token_issuer(processes.ring())


async def read(issuer: LocalIssuer, token: str) -> Claims:
    return await issuer.read(token, read_compact(token, longest=8192), now=NOW.timestamp())


# ── what is issued ───────────────────────────────────────────────────────────────────────────────


def decoded(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


async def test_a_token_has_the_header_and_the_claims_of_rfc_9068_and_its_session(
    tokens: LocalTokenIssuer,
) -> None:
    issued = await tokens.issue(USER, session_id=SESSION)
    first, second, _ = issued.value.split(".")
    body = decoded(second)
    assert issued.expires_in == LIFETIME
    assert decoded(first) == {"alg": "ES256", "typ": "at+jwt", "kid": KEY.thumbprint()}
    assert len(UUID(body.pop("jti")).bytes) == 16
    assert body == {
        "iss": ISSUER,
        "sub": str(USER),
        "aud": AUDIENCE,
        "client_id": AUDIENCE,
        "sid": str(SESSION),
        "iat": TIME,
        "exp": TIME + LIFETIME,
    }


async def test_no_two_tokens_have_the_same_id(tokens: LocalTokenIssuer) -> None:
    issued = [(await tokens.issue(USER, session_id=SESSION)).value for _ in range(20)]
    assert len({decoded(token.split(".")[1])["jti"] for token in issued}) == 20


async def test_nothing_is_issued_without_a_key() -> None:
    processes = Processes()
    processes.queries.away = True
    with pytest.raises(Unavailable):
        await processes.token_issuer(processes.ring()).issue(USER, session_id=SESSION)


# ── what is believed ─────────────────────────────────────────────────────────────────────────────


async def test_what_is_issued_proves_whose_it_is(issuer: LocalIssuer, tokens: LocalTokenIssuer) -> None:
    assert issuer.names == {ISSUER}
    token = await tokens.issue(USER, session_id=SESSION)
    assert await read(issuer, token.value) == PROOF


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, PROOF),
        ({"aud": ["warehouse", AUDIENCE], "roles": ["admin"], "email": "ada@example.com"}, PROOF),
    ],
    ids=["nothing", "what is nothing to us"],
)
async def test_what_another_process_issued_is_believed(
    issuer: LocalIssuer, changes: dict[str, Any], expected: Claims
) -> None:
    assert await read(issuer, forger.with_claim(**changes)) == expected


async def test_a_client_and_scopes_are_told_where_the_token_names_them(issuer: LocalIssuer) -> None:
    proof = await read(issuer, forger.with_claim(client_id="till", scope="orders:read orders:write"))
    assert proof.client == "till"
    assert proof.scopes == {"orders:read", "orders:write"}
    proof = await read(issuer, forger.with_claim(client_id=ABSENT, scope=7))
    assert proof.client is None
    assert proof.scopes == frozenset()


# ── what is refused ──────────────────────────────────────────────────────────────────────────────

KIND = "not an access token"
ALGORITHM = "another algorithm"
UNKNOWN = "an unknown key"
SIGNATURE = "signature: BadSignatureError"

OTHER_SPELLINGS = {
    "nothing": ABSENT,
    "a number": 1,
    "null": None,
    "a list": [str(USER)],
    "an empty text": "",
    "no id": "admin",
    "capitals": str(USER).upper(),
    "hyphens left out": USER.hex,
    "braces": f"{{{USER}}}",
    "a URN": f"urn:uuid:{USER}",
    "a space behind it": f"{USER} ",
    "a NUL": f"{USER}\0",
}

ATTACKS: dict[str, tuple[str, str]] = {
    "no type": (forger.with_header(typ=ABSENT), KIND),
    "an ID token": (forger.with_header(typ="JWT"), KIND),
    "another spelling of the type": (forger.with_header(typ="AT+JWT"), KIND),
    "the long name of the type": (forger.with_header(typ="application/at+jwt"), KIND),
    "no algorithm": (forger.with_header(alg=ABSENT), ALGORITHM),
    "no signature at all": (forger.with_header(alg="none"), ALGORITHM),
    "the public key as the secret of an HMAC": (forger.with_hmac(KEY.as_pem(private=False)), ALGORITHM),
    "another curve": (
        forger.token(forger.header_of(alg="ES384"), key=ECKey.generate_key("P-384"), algorithm="ES384"),
        ALGORITHM,
    ),
    "no key": (forger.with_header(kid=ABSENT), UNKNOWN),
    "a key that nobody knows": (forger.with_header(kid="x"), UNKNOWN),
    "a key that is an object": (forger.with_header(kid={"x": 1}), UNKNOWN),
    "a stranger's key under its own name": (
        forger.token(forger.header_of(kid=forger.stranger.thumbprint()), key=forger.stranger),
        UNKNOWN,
    ),
    "a stranger's signature under our key's name": (forger.token(key=forger.stranger), SIGNATURE),
    "other claims under the signature": (
        forger.with_other_part(1, forger.claims_of(sub=str(SESSION))),
        SIGNATURE,
    ),
    "another issuer": (forger.with_claim(iss=f"{ISSUER}/"), "another issuer"),
    "another audience": (forger.with_claim(aud="warehouse"), "for another audience"),
    "expired": (forger.with_claim(iat=TIME - 60, exp=TIME - 30), "expired"),
    "good for too long": (forger.with_claim(exp=TIME + LIFETIME + 1), "of too long or no lifetime"),
    **{
        f"{name} with {kind}": (forger.with_claim(**{name: spelling}), f"{name} is no id")
        for name in ("sub", "sid")
        for kind, spelling in OTHER_SPELLINGS.items()
    },
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_bad_token_is_refused_for_its_own_reason(issuer: LocalIssuer, attack: str) -> None:
    token, reason = ATTACKS[attack]
    with pytest.raises(BadTokenError) as refusal:
        await read(issuer, token)
    assert str(refusal.value) == reason


async def test_what_cannot_be_judged_is_not_refused(processes: Processes, issuer: LocalIssuer) -> None:
    processes.queries.away = True
    with pytest.raises(Unavailable):
        await read(issuer, forger.token())


async def test_a_token_of_another_issuer_is_refused_also_where_it_was_brought_here_by_mistake(
    issuer: LocalIssuer,
) -> None:
    with pytest.raises(BadTokenError, match="another issuer"):
        await read(issuer, forger.with_claim(iss=f"{ISSUER}/"))
