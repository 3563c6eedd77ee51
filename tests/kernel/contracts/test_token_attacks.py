"""Every way we know to make a bad token, against every kind of issuer: one refusal, and the reason logged.

From RFC 8725 and its successor, RFC 9068, and what was published against libraries and services. What only
one kind of issuer can suffer stands in a table of its own.
"""

import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, Key, OctKey, RSAKey
from joserfc.util import int_to_base64
from structlog.testing import capture_logs

from adapters.tokens import compact
from adapters.tokens.oidc import OidcIssuer
from adapters.tokens.providers import Provider
from adapters.tokens.verifier import IssuedTokenVerifier
from application.kernel.ports.callers import Caller, Claims
from domain.kernel.errors import Unauthenticated
from kernel.world.builders import NOW, a_user_id
from kernel.world.fakes import FakeClock, FakeTokenVerifier
from kernel.world.forging import ABSENT, Forger, b64, encoded
from kernel.world.provider import ProviderServer, a_forger, public
from kernel.world.refusals import refused
from kernel.world.rings import AUDIENCE, ISSUER, LIFETIME, Processes, local_issuer

DETAIL = "The access token is not valid."
LONGEST = 8192
TIME = int(NOW.timestamp())
SUBJECT = "01932c07-a7e0-7abc-8def-0123456789ab"
SESSION = "01932c07-a7e0-7abc-8def-ba9876543210"

EC, EC_NEXT, EC_STRANGER, EC_OTHER = (ECKey.generate_key("P-256") for _ in range(4))
RSA, RSA_NEXT, RSA_STRANGER = (RSAKey.generate_key(2048) for _ in range(3))
WIDE = ECKey.generate_key("P-384")
ENCRYPTING = ECKey.generate_key("P-256")
SECRET = OctKey.generate_key(256)
WEAK = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - this is the attack

# ── reasons ──────────────────────────────────────────────────────────────────────────────────────

FORM = "not of three parts"
SPELLING = "a part is not base64url"
CANONICAL = "a part is empty or not canonical base64url"
JSON = "a part is not JSON: JSONDecodeError"
OBJECT = "a part is not a JSON object"
TWICE = "a JSON object names a member twice"
NOT_UTF8 = "a part is not JSON: UnicodeDecodeError"
SIGNATURE = "signature: BadSignatureError"
KIND = "not an access token"
ALGORITHM = "another algorithm"
UNKNOWN = "an unknown key"
OTHER_KEY = "the key is for another algorithm"
ELSEWHERE = "another issuer"
AUDIENCES = "without an audience"
OTHERS = "for another audience"
SPAN = "of too long or no lifetime"

NO_ALGORITHMS: list[object] = [
    "none",
    "None",
    "NONE",
    "nOnE",
    "none ",
    "",
    "es256",
    "RS1",
    "ES256K",
    "dir",
    None,
    7,
    {},
]

type Attack = tuple[Callable[[Forger], str], str]


def with_der_signature(forge: Forger) -> str:
    raw = base64.urlsafe_b64decode(forge.parts()[2] + "==")
    integers = [b"\x02" + bytes([33]) + b"\x00" + half for half in (raw[:32], raw[32:64])]
    return forge.with_signature(b"\x30" + bytes([70]) + b"".join(integers))


def as_json_serialization(forge: Forger) -> str:
    """RFC 7515 §7.2.2: the same token in a form that is not for bearers."""
    first, second, third = forge.parts()
    return json.dumps({"protected": first, "payload": second, "signature": third})


def _with_header(name: str, value: object, forge: Forger) -> str:
    return forge.with_header(**{name: value})


def _with_algorithm(name: object, forge: Forger) -> str:
    return forge.with_header(alg=name)


def polyglot(forge: Forger) -> str:
    """A compact token that is the JSON serialization as well, if a reader takes whatever it understands."""
    first, second, third = forge.parts()
    return f'{{"protected":"{first}","payload":"{second}","signature":"{third}","x":".{second}.{third}"}}'


def with_own_key_inside(forge: Forger) -> str:
    """CVE-2018-0114: signed by a stranger, whose public key comes along."""
    own = public(forge.stranger, "own")
    return forge.token(forge.header_of(jwk=own, kid="own"), key=forge.stranger)


def with_own_key_at(name: str, forge: Forger) -> str:
    where = {name: "https://evil.example/keys", "kid": "own"}
    return forge.token(forge.header_of(**where), key=forge.stranger)


def pem(key: Key) -> bytes:
    return key.as_pem(private=False)  # type: ignore[union-attr]


def with_blank_signature_and_zero_halves(forge: Forger) -> str:
    """CVE-2022-21449, "psychic signatures": r and s are nought."""
    return forge.with_signature(bytes(len(base64.urlsafe_b64decode(forge.parts()[2] + "=="))))


ATTACKS: dict[str, Attack] = {
    # the form
    "nothing": (lambda f: "", FORM),
    "one part": (lambda f: f.parts()[0], FORM),
    "no signature part": (lambda f: ".".join(f.parts()[:2]), FORM),
    "a part too many": (lambda f: f.token() + ".x", FORM),
    "five parts, as of a JWE": (lambda f: f.token() + ".x.y", FORM),
    "dots alone": (lambda f: "..", CANONICAL),
    "8,192 dots": (lambda f: "." * LONGEST, FORM),
    "the JSON serialization": (as_json_serialization, FORM),
    "a polyglot of both serializations": (polyglot, SPELLING),
    "two tokens": (lambda f: f"{f.token()},{f.token()}", FORM),
    "longer than 8 KiB": (lambda f: f.with_claim(filling="x" * 8000), "longer than 8192 bytes"),
    "of 1 MB": (lambda f: f.with_claim(filling="x" * 1_000_000), "longer than 8192 bytes"),
    "a line break at the end": (lambda f: f.token() + "\n", SPELLING),
    "a line break inside": (lambda f: f.token().replace(".", ".\r\n", 1), SPELLING),
    "a space before it": (lambda f: " " + f.token(), SPELLING),
    "letters that are not ASCII": (lambda f: "é" + f.token(), SPELLING),
    "digits of another alphabet": (lambda f: f.token() + "٣", SPELLING),
    "half of a surrogate pair": (lambda f: "\ud800" + f.token(), SPELLING),
    "a NUL": (lambda f: f.token() + "\0", SPELLING),
    "padding": (Forger.with_padding, CANONICAL),
    "the alphabet of plain base64": (Forger.with_standard_alphabet, CANONICAL),
    "a second spelling of the payload": (Forger.with_second_spelling_of_the_payload, CANONICAL),
    "a second spelling of the signature": (Forger.with_second_spelling_of_the_signature, CANONICAL),
    "an impossible length of base64": (lambda f: f.token() + "AAA", SPELLING),
    "something behind the signature": (lambda f: f.token() + "AAAA", SIGNATURE),
    "an empty payload": (lambda f: f.token(body=b""), CANONICAL),
    "an empty header": (lambda f: f.token(b""), CANONICAL),
    "an empty signature": (lambda f: ".".join(f.parts()[:2]) + ".", CANONICAL),
    # the JSON
    "a payload that is no JSON": (lambda f: f.token(body=b"sub=1"), JSON),
    "a payload that is a list": (lambda f: f.token(body=b"[]"), OBJECT),
    "a payload that is another token": (lambda f: f.token(body=f.token().encode()), JSON),
    "a header that is a string": (lambda f: f.token(b'"ES256"'), OBJECT),
    "JSON with something behind it": (lambda f: f.with_body(lambda body: body + b"{}"), JSON),
    "JSON with a NUL behind it": (lambda f: f.with_body(lambda body: body + b"\0"), JSON),
    "a claim given twice": (lambda f: f.with_body(lambda body: body[:-1] + b',"sub":"x"}'), TWICE),
    "a claim given twice, once spelt with escapes": (
        lambda f: f.with_body(lambda body: body[:-1] + rb',"\u0073ub":"x"}'),
        TWICE,
    ),
    "a claim given twice, further in": (lambda f: f.with_raw_claim("act", '{"sub":1,"sub":2}'), TWICE),
    "a header given twice": (
        lambda f: f.token(json.dumps(f.header_of()).encode()[:-1] + b',"alg":"none"}'),
        TWICE,
    ),
    "UTF-16": (lambda f: f.token(body=json.dumps(f.claims).encode("utf-16")), NOT_UTF8),
    "UTF-16 without a mark": (lambda f: f.token(body=json.dumps(f.claims).encode("utf-16-le")), JSON),
    "UTF-32": (lambda f: f.token(body=json.dumps(f.claims).encode("utf-32-be")), JSON),
    "a byte order mark": (lambda f: f.with_body(lambda body: b"\xef\xbb\xbf" + body), JSON),
    "a header in UTF-16": (lambda f: f.token(json.dumps(f.header_of()).encode("utf-16-le")), JSON),
    "bytes that are no UTF-8": (
        lambda f: f.token(body=json.dumps(f.claims_of(name="?")).encode().replace(b"?", b"\xff")),
        NOT_UTF8,
    ),
    "an overlong spelling of a quote": (lambda f: f.with_body(lambda body: body + b"\xc0\xa2"), NOT_UTF8),
    "nesting without end": (lambda f: f.token(body=b"[" * 5000), "a part is not JSON"),
    "nesting of objects without end": (lambda f: f.token(body=b'{"a":' * 1000), "a part is not JSON"),
    "a number of 5,000 digits": (
        lambda f: f.with_raw_claim("n", "1" * 5000),
        "a part is not JSON: ValueError",
    ),
    "a comment": (lambda f: f.with_body(lambda body: body[:-1] + b"/**/}"), JSON),
    "a comma too many": (lambda f: f.with_body(lambda body: body[:-1] + b",}"), JSON),
    # the header
    **{
        f"the header {name}": (partial(_with_header, name, value), f"header {name} is refused")
        for name, value in {
            "jku": "https://evil.example/keys",
            "jwk": {"kty": "oct", "k": "AAAA"},
            "x5u": "https://evil.example/chain",
            "x5c": ["MIIB"],
            "crit": ["exp"],
            "b64": False,
            "zip": "DEF",
            "enc": "A256GCM",
            "cty": "JWT",
        }.items()
    },
    "an empty list of critical headers": (lambda f: f.with_header(crit=[]), "header crit is refused"),
    "a header that is null": (lambda f: f.with_header(jwk=None), "header jwk is refused"),
    "a stranger's key inside": (with_own_key_inside, "header jwk is refused"),
    "a stranger's keys at an address": (partial(with_own_key_at, "jku"), "header jku is refused"),
    "a stranger's certificate at an address": (partial(with_own_key_at, "x5u"), "header x5u is refused"),
    "no type": (lambda f: f.with_header(typ=ABSENT), KIND),
    "an empty type": (lambda f: f.with_header(typ=""), KIND),
    "a type that is null": (lambda f: f.with_header(typ=None), KIND),
    "a type that is a list": (lambda f: f.with_header(typ=["at+jwt"]), KIND),
    "an ID token": (lambda f: f.token(f.header_of(typ="JWT"), f.claims_of(nonce="n")), KIND),
    "a token that ends a session": (lambda f: f.with_header(typ="logout+jwt"), KIND),
    "a proof of possession": (lambda f: f.with_header(typ="dpop+jwt"), KIND),
    "a type with a space": (lambda f: f.with_header(typ="at+jwt "), KIND),
    "no algorithm": (lambda f: f.with_header(alg=ABSENT), ALGORITHM),
    **{f"the algorithm {name!r}": (partial(_with_algorithm, name), ALGORITHM) for name in NO_ALGORITHMS},
    "an algorithm that is a list": (lambda f: f.with_header(alg=[f.algorithm]), ALGORITHM),
    "no algorithm and no signature": (
        lambda f: f"{encoded(f.header_of(alg='none'))}.{f.parts()[1]}.",
        CANONICAL,
    ),
    "the public key as the secret of an HMAC": (lambda f: f.with_hmac(pem(f.key)), ALGORITHM),
    "the public numbers as the secret of an HMAC": (
        lambda f: f.with_hmac(json.dumps(public(f.key, None)).encode()),
        ALGORITHM,
    ),
    "nothing as the secret of an HMAC": (lambda f: f.with_hmac(b""), ALGORITHM),
    "an HMAC that says it is a signature": (
        lambda f: f.with_signature(hmac.digest(pem(f.key), f.token().rpartition(".")[0].encode(), "sha256")),
        SIGNATURE,
    ),
    **{
        f"the key {name[:40]!r}": (partial(Forger.with_header, kid=name), UNKNOWN)
        for name in (
            "",
            "x",
            "x" * 4000,
            "../../../../dev/null",
            "/proc/self/environ",
            "x' UNION SELECT 'AAAA'; --",
            "'; DROP TABLE signing_keys; --",
            "| sleep 10",
            "https://evil.example/key",
            "\0",
            "\ud800",
            "__class__",
            "{{7*7}}",
            "${jndi:ldap://evil.example}",
        )
    },
    "a key that is an object": (lambda f: f.with_header(kid={"x": 1}), UNKNOWN),
    "a key that is a list of ours": (lambda f: f.with_header(kid=[f.kid]), UNKNOWN),
    "a key that is null": (lambda f: f.with_header(kid=None), UNKNOWN),
    "our key in other capitals": (lambda f: f.with_header(kid=f.kid.swapcase()), UNKNOWN),
    "a stranger's key under its own name": (
        lambda f: f.token(f.header_of(kid=f.stranger.thumbprint()), key=f.stranger),
        UNKNOWN,
    ),
    # the signature
    "a stranger's signature under our key's name": (lambda f: f.token(key=f.stranger), SIGNATURE),
    "another payload under the signature": (
        lambda f: f.with_other_part(1, f.claims_of(sub=str(UUID(int=7)))),
        SIGNATURE,
    ),
    "another header under the signature": (lambda f: f.with_other_part(0, f.header_of(x5t="x")), SIGNATURE),
    "the same claims in another order": (
        lambda f: f.with_other_part(1, dict(reversed(f.claims.items()))),
        SIGNATURE,
    ),
    "a signature of zeros": (with_blank_signature_and_zero_halves, SIGNATURE),
    "a signature cut short": (lambda f: f.with_signature(bytes(range(1, 33))), SIGNATURE),
    "a signature of one byte": (lambda f: f.with_signature(b"\x01"), SIGNATURE),
    "a signature of 1,000 bytes": (lambda f: f.with_signature(b"\xff" * 1000), SIGNATURE),
    "a signature in DER": (with_der_signature, SIGNATURE),
    "a signature of other parts": (
        lambda f: ".".join((*f.parts()[:2], f.with_claim(jti="other").split(".")[2])),
        SIGNATURE,
    ),
    # the issuer and the audience
    "no issuer": (lambda f: f.with_claim(iss=ABSENT), ELSEWHERE),
    "another issuer": (lambda f: f.with_claim(iss="https://evil.example"), ELSEWHERE),
    "our issuer with a slash": (lambda f: f.with_claim(iss=f.issuer + "/"), ELSEWHERE),
    "our issuer with a space": (lambda f: f.with_claim(iss=f.issuer + " "), ELSEWHERE),
    "our issuer in capitals": (lambda f: f.with_claim(iss=f.issuer.upper()), ELSEWHERE),
    "our issuer and more": (lambda f: f.with_claim(iss=f.issuer + ".evil.example"), ELSEWHERE),
    "our issuer with a port": (lambda f: f.with_claim(iss=f.issuer + ":443"), ELSEWHERE),
    "our issuer before an at sign": (lambda f: f.with_claim(iss=f.issuer + "@evil.example"), ELSEWHERE),
    "our issuer in a list": (lambda f: f.with_claim(iss=[f.issuer]), ELSEWHERE),
    "our issuer as a name in an object": (lambda f: f.with_claim(iss={f.issuer: 1}), ELSEWHERE),
    "an issuer that is null": (lambda f: f.with_claim(iss=None), ELSEWHERE),
    "an issuer beyond UTF-8": (lambda f: f.with_claim(iss="\ud800"), ELSEWHERE),
    "no audience": (lambda f: f.with_claim(aud=ABSENT), AUDIENCES),
    "an audience that is null": (lambda f: f.with_claim(aud=None), AUDIENCES),
    "an audience that is a number": (lambda f: f.with_claim(aud=1), AUDIENCES),
    "our audience beside a number": (lambda f: f.with_claim(aud=[f.audience, 1]), AUDIENCES),
    "our audience in a list in a list": (lambda f: f.with_claim(aud=[[f.audience]]), AUDIENCES),
    "our audience as a name in an object": (lambda f: f.with_claim(aud={f.audience: 1}), AUDIENCES),
    "another audience": (lambda f: f.with_claim(aud="warehouse"), OTHERS),
    "an audience with ours in it": (lambda f: f.with_claim(aud=f"work{f.audience}s"), OTHERS),
    "a part of our audience": (lambda f: f.with_claim(aud=f.audience[:-1]), OTHERS),
    "our audience among others in one text": (lambda f: f.with_claim(aud=f"{f.audience} till"), OTHERS),
    "our audience in capitals": (lambda f: f.with_claim(aud=f.audience.upper()), OTHERS),
    "other audiences": (lambda f: f.with_claim(aud=["warehouse", "till"]), OTHERS),
    "an empty list of audiences": (lambda f: f.with_claim(aud=[]), OTHERS),
    "an empty audience": (lambda f: f.with_claim(aud=""), OTHERS),
    # the times
    **{
        f"an expiry that is {name}": (partial(Forger.with_raw_claim, name="exp", text=text), reason)
        for name, text, reason in (
            ("NaN", "NaN", "a JSON number is NaN"),
            ("Infinity", "Infinity", "a JSON number is Infinity"),
            ("minus Infinity", "-Infinity", "a JSON number is -Infinity"),
            ("beyond every number", "1e999", "exp is no instant"),
            ("1e400", "1e400", "exp is no instant"),
            ("of 4,000 digits", "1" * 4000, "exp is no instant"),
            ("of a billion digits, written short", "1e1000000000", "exp is no instant"),
            ("before time began", "-1", "exp is no instant"),
            ("true", "true", "exp is no instant"),
            ("null", "null", "exp is no instant"),
            ("in words", f'"{TIME + 60}"', "exp is no instant"),
            ("in a list", f"[{TIME + 60}]", "exp is no instant"),
            ("an object", "{}", "exp is no instant"),
            ("in milliseconds", f"{TIME}000", "exp is no instant"),
            ("in the year 9999", "253402300799", SPAN),
            ("an instant that is long gone", "0", "expired"),
        )
    },
    "no expiry": (lambda f: f.with_claim(exp=ABSENT), "exp is no instant"),
    "expired": (lambda f: f.with_claim(iat=TIME - 60, exp=TIME - 30), "expired"),
    "no instant of issue": (lambda f: f.with_claim(iat=ABSENT), "iat is no instant"),
    "an instant of issue that is null": (lambda f: f.with_claim(iat=None), "iat is no instant"),
    "an instant of issue in words": (lambda f: f.with_claim(iat=str(TIME)), "iat is no instant"),
    "an instant of issue that is false": (lambda f: f.with_claim(iat=False), "iat is no instant"),
    "issued in the future": (lambda f: f.with_claim(iat=TIME + 31), "issued in the future"),
    "good for too long": (lambda f: f.with_claim(exp=TIME + f.lifetime + 1), SPAN),
    "good since time began": (lambda f: f.with_claim(iat=0), SPAN),
    "expired when it was issued": (lambda f: f.with_claim(iat=TIME + 20, exp=TIME + 20), SPAN),
    "expired before it was issued": (lambda f: f.with_claim(iat=TIME + 20, exp=TIME + 10), SPAN),
    "not valid yet": (lambda f: f.with_claim(nbf=TIME + 31), "not valid yet"),
    "valid from a day in words": (lambda f: f.with_claim(nbf="today"), "nbf is no instant"),
    "valid from null": (lambda f: f.with_claim(nbf=None), "nbf is no instant"),
    "valid from 1e400": (lambda f: f.with_raw_claim("nbf", "1e400"), "nbf is no instant"),
    # the subject
    **{
        f"a subject that is {name}": (partial(Forger.with_claim, sub=value), "")
        for name, value in {
            "absent": ABSENT,
            "null": None,
            "a number": 1,
            "true": True,
            "a list of one": [SUBJECT],
            "an object": {"id": SUBJECT},
            "empty": "",
            "a NUL": "\0",
            "ours with a NUL": f"{SUBJECT}\0",
            "ours with a line break": f"{SUBJECT}\n",
            "ours with an escape sequence": f"{SUBJECT}\x1b[2J",
            "ours with a next-line character": f"{SUBJECT}\x85",
            "half of a surrogate pair": "\ud800",
            "of 256 characters": "x" * 256,
        }.items()
    },
}

OF_LOCAL: dict[str, Attack] = {
    "the type in capitals": (lambda f: f.with_header(typ="AT+JWT"), KIND),
    "the type as a media type": (lambda f: f.with_header(typ="application/at+jwt"), KIND),
    "no key": (lambda f: f.with_header(kid=ABSENT), UNKNOWN),
    "an algorithm of other providers": (
        lambda f: f.token(f.header_of(alg="RS256"), key=RSA, algorithm="RS256"),
        ALGORITHM,
    ),
    "a subject that is no id": (lambda f: f.with_claim(sub="admin"), "sub is no id"),
    "a subject in capitals": (lambda f: f.with_claim(sub=SUBJECT.upper()), "sub is no id"),
    "a subject in braces": (lambda f: f.with_claim(sub=f"{{{SUBJECT}}}"), "sub is no id"),
    "a subject that is a URN": (lambda f: f.with_claim(sub=f"urn:uuid:{SUBJECT}"), "sub is no id"),
    "no session": (lambda f: f.with_claim(sid=ABSENT), "sid is no id"),
    "a session that is null": (lambda f: f.with_claim(sid=None), "sid is no id"),
    "a session in capitals": (lambda f: f.with_claim(sid=SESSION.upper()), "sid is no id"),
}


def signed_by_the_weak_key(forge: Forger) -> str:
    head, body = encoded(forge.header_of(alg="RS256", kid="weak")), encoded(forge.claims)
    signature = WEAK.sign(f"{head}.{body}".encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{head}.{body}.{b64(signature)}"


def signed(forge: Forger, kid: str, *, key: Key, algorithm: str, claims: str | None = None) -> str:
    """With this key and algorithm; `claims` is the algorithm that the header claims instead."""
    return forge.token(forge.header_of(alg=claims or algorithm, kid=kid), key=key, algorithm=algorithm)


OF_OIDC: dict[str, Attack] = {
    "no key, where two may be meant": (lambda f: f.with_header(kid=ABSENT), "more than one key fits"),
    "our RSA key for ECDSA": (lambda f: signed(f, "rs", key=EC, algorithm="ES256"), OTHER_KEY),
    "our EC key for RSA": (lambda f: signed(f, "es", key=RSA, algorithm="RS256"), OTHER_KEY),
    "PSS with a key for PKCS#1": (lambda f: signed(f, "rs", key=RSA, algorithm="PS256"), OTHER_KEY),
    "PSS that says it is PKCS#1": (
        lambda f: signed(f, "rs", key=RSA, algorithm="PS256", claims="RS256"),
        SIGNATURE,
    ),
    "SHA-512 that is not on the list": (lambda f: signed(f, "rs", key=RSA, algorithm="RS512"), ALGORITHM),
    "SHA-512 that says it is SHA-256": (
        lambda f: signed(f, "rs", key=RSA, algorithm="RS512", claims="RS256"),
        SIGNATURE,
    ),
    "another curve's key": (lambda f: signed(f, "wide", key=WIDE, algorithm="ES384"), ALGORITHM),
    "another curve's key that says it is ours": (
        lambda f: signed(f, "wide", key=WIDE, algorithm="ES384", claims="ES256"),
        OTHER_KEY,
    ),
    "a key for encryption": (lambda f: signed(f, "enc", key=ENCRYPTING, algorithm="ES256"), UNKNOWN),
    "a private key that was published": (lambda f: signed(f, "leaked", key=EC, algorithm="ES256"), UNKNOWN),
    "an RSA key of 1,024 bits": (signed_by_the_weak_key, UNKNOWN),
    "a secret that was published": (lambda f: f.with_hmac(SECRET.raw_value, kid="secret"), ALGORITHM),
    "another issuer's key": (
        lambda f: signed(f, "theirs", key=EC_OTHER, algorithm="ES256"),
        UNKNOWN,
    ),
    "another issuer's key under the name of ours": (
        lambda f: signed(f, "es", key=EC_OTHER, algorithm="ES256"),
        SIGNATURE,
    ),
}


# ── who is attacked ──────────────────────────────────────────────────────────────────────────────


class Strangers:
    """Accounts of whoever comes; nobody has come unless `proofs` says so."""

    def __init__(self) -> None:
        self.proofs: list[Claims] = []

    async def recognise(self, proof: Claims, /) -> Caller:
        self.proofs.append(proof)
        return Caller(user_id=a_user_id(), issuer=proof.issuer, subject=proof.subject)


@dataclass(kw_only=True)
class Trust:
    """A verifier, whoever signs for one of its issuers, and that issuer's own reason for a bad subject."""

    verifier: IssuedTokenVerifier
    forge: Forger
    people: Strangers
    subject: str


def trust(issuers: list[Any], forge: Forger, *, subject: str) -> Trust:
    people = Strangers()
    verifier = IssuedTokenVerifier(
        issuers, people, longest_token=LONGEST, cached=10, recheck_seconds=5, clock=FakeClock(NOW)
    )
    return Trust(verifier=verifier, forge=forge, people=people, subject=subject)


@pytest.fixture(scope="module")
async def trusts() -> AsyncIterator[dict[str, Trust]]:
    processes = Processes()
    await processes.add(EC)
    local = a_forger(ISSUER, EC, stranger=EC_STRANGER, algorithm="ES256", kid=EC.thumbprint(), typ="at+jwt")
    local.claims.update(aud=AUDIENCE, exp=TIME + LIFETIME, sub=SUBJECT, sid=SESSION)

    server, other = ProviderServer(), ProviderServer()
    for one in (server, other):
        await one.start()
    weak = WEAK.public_key().public_numbers()
    server.publish(
        public(EC, "es"),
        public(EC_NEXT, "es-next"),
        public(RSA, "rs", alg="RS256"),
        public(RSA_NEXT, "rs-next"),
        public(WIDE, "wide"),
        public(ENCRYPTING, "enc", use="enc"),
        EC.as_dict(private=True) | {"kid": "leaked"},
        SECRET.as_dict(private=True) | {"kid": "secret", "alg": "HS256"},
        {"kty": "RSA", "n": int_to_base64(weak.n), "e": int_to_base64(weak.e), "kid": "weak"},
    )
    other.publish(public(EC_OTHER, "theirs"), public(EC_OTHER, "es"))
    issuers = [
        OidcIssuer(
            Provider(issuer=one.issuer, audiences=frozenset({AUDIENCE}), longest_lifetime=LIFETIME),
            allow_loopback_http=True,
        )
        for one in (server, other)
    ]
    no_text = "the subject is no text that can be stored"
    yield {
        "local": trust([local_issuer(processes.ring())], local, subject="sub is no id"),
        "oidc ES256": trust(
            issuers,
            a_forger(
                server.issuer,
                EC,
                stranger=EC_STRANGER,
                algorithm="ES256",
                kid="es",
                aud=AUDIENCE,
                sub=SUBJECT,
            ),
            subject=no_text,
        ),
        "oidc RS256": trust(
            issuers,
            a_forger(
                server.issuer,
                RSA,
                stranger=RSA_STRANGER,
                algorithm="RS256",
                kid="rs",
                aud=AUDIENCE,
                sub=SUBJECT,
            ),
            subject=no_text,
        ),
    }
    for issuer in issuers:
        await issuer.close()
    for one in (server, other):
        await one.stop()


CASES = [
    (name, attack)
    for name, own in {"local": OF_LOCAL, "oidc ES256": OF_OIDC, "oidc RS256": OF_OIDC}.items()
    for attack in ATTACKS | own
]


@pytest.mark.parametrize(("name", "attack"), CASES)
async def test_a_bad_token_is_refused_for_its_own_reason_and_in_the_same_words(
    name: str, attack: str, trusts: dict[str, Trust]
) -> None:
    attacked = trusts[name]
    make, reason = (ATTACKS | OF_LOCAL | OF_OIDC)[attack]
    token = make(attacked.forge)
    with capture_logs() as logs, refused(Unauthenticated, DETAIL):
        await attacked.verifier.verify(token)
    entry = next(entry for entry in logs if entry["event"] == "access token refused")
    assert entry["reason"].startswith(reason or attacked.subject)
    assert token == "" or token not in str(logs)
    assert attacked.people.proofs == []  # nobody was let in, not even for a moment


def test_there_are_enough_of_them_and_no_two_are_one() -> None:
    assert len(ATTACKS) >= 60
    assert not ATTACKS.keys() & (OF_LOCAL.keys() | OF_OIDC.keys())
    assert not OF_LOCAL.keys() & OF_OIDC.keys()


@pytest.mark.parametrize("attack", ATTACKS)
async def test_the_fake_believes_none_of_them_either(attack: str, trusts: dict[str, Trust]) -> None:
    token = ATTACKS[attack][0](trusts["local"].forge)
    with pytest.raises(Unauthenticated):
        await FakeTokenVerifier().verify(token)


# ── what is left ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["local", "oidc ES256", "oidc RS256"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"aud": ["warehouse", AUDIENCE]},
        {"iat": TIME - 60, "exp": TIME - 29},
        {"iat": TIME + 29},
        {"nbf": TIME + 29},
        {"exp": TIME + 0.5},
        {"cnf": {"jkt": "x"}, "act": {"sub": "x"}},
    ],
    ids=str,
)
async def test_the_same_token_without_the_attack_is_believed(
    changes: dict[str, Any], name: str, trusts: dict[str, Trust]
) -> None:
    believed = trusts[name]
    people = Strangers()
    verifier = IssuedTokenVerifier(
        list(believed.verifier._issuers.values()),
        people,
        longest_token=LONGEST,
        cached=10,
        recheck_seconds=5,
        clock=FakeClock(NOW),
    )
    identity = await verifier.verify(believed.forge.with_claim(**changes))
    assert (identity.issuer, identity.subject) == (believed.forge.issuer, SUBJECT)


@pytest.mark.parametrize("name", ["local", "oidc ES256", "oidc RS256"])
@given(position=st.integers(min_value=0), character=st.characters(codec="ascii"))
async def test_a_token_with_one_character_changed_is_another_token(
    position: int, character: str, name: str, trusts: dict[str, Trust]
) -> None:
    attacked = trusts[name]
    token = attacked.forge.token()
    position %= len(token)
    changed = token[:position] + character + token[position + 1 :]
    if changed != token:
        with refused(Unauthenticated, DETAIL):
            await attacked.verifier.verify(changed)


async def test_a_token_of_1_mb_is_refused_before_anything_is_decoded(
    trusts: dict[str, Trust], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = trusts["local"].forge.with_claim(filling="x" * 750_000)
    assert len(token) > 1_000_000

    def decoded(part: object) -> bytes:
        raise AssertionError("it was decoded")

    monkeypatch.setattr(compact, "_bytes", decoded)
    monkeypatch.setattr(compact, "strict_object", decoded)
    seconds = []
    for _ in range(5):
        begun = time.perf_counter()
        with refused(Unauthenticated, DETAIL):
            await trusts["local"].verifier.verify(token)
        seconds.append(time.perf_counter() - begun)
    assert min(seconds) < 0.01


async def test_whatever_is_refused_names_nobody_in_the_log(trusts: dict[str, Trust]) -> None:
    attacked = trusts["oidc ES256"]
    with capture_logs() as logs, refused(Unauthenticated, DETAIL):
        await attacked.verifier.verify(attacked.forge.with_claim(aud="warehouse", email="ada@example.com"))
    assert SUBJECT not in str(logs)
    assert "ada@example.com" not in str(logs)
    assert attacked.forge.claims["jti"] not in str(logs)
