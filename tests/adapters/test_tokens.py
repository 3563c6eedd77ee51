"""The built-in provider's tokens: what is issued, what is believed, and everything that is not."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey
from structlog.testing import capture_logs

from adapters.tokens.local import LocalTokenIssuer, LocalTokenVerifier, key_id, signing_key
from adapters.tokens.verified import VerifiedTokens
from application.ports import Identity
from builders import NOW, a_user_id, an_identity
from domain.errors import Unauthenticated
from domain.users import UserId
from fakes import FakeClock
from refusals import refused

ISSUER = "https://api.example.com"
AUDIENCE = "shop"
LIFETIME = 600
DETAIL = "The access token is not valid."

KEY = ECKey.generate_key("P-256")
STRANGERS_KEY = ECKey.generate_key("P-256")
USER = UserId(UUID("01932c07-a7e0-7abc-8def-0123456789ab"))
TIME = int(NOW.timestamp())


def an_issuer(key: ECKey = KEY, *, clock: FakeClock | None = None) -> LocalTokenIssuer:
    return LocalTokenIssuer(
        key, issuer=ISSUER, audience=AUDIENCE, lifetime_seconds=LIFETIME, clock=clock or FakeClock(NOW)
    )


def a_verifier(*keys: ECKey, cached: int = 10, clock: FakeClock | None = None) -> LocalTokenVerifier:
    return LocalTokenVerifier(
        keys or (KEY,),
        issuer=ISSUER,
        audience=AUDIENCE,
        longest_lifetime_seconds=LIFETIME,
        cached=cached,
        clock=clock or FakeClock(NOW),
    )


# ── forging ──────────────────────────────────────────────────────────────────────────────────────

ABSENT: Any = object()


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def header(**changes: Any) -> dict[str, Any]:
    return changed({"alg": "ES256", "typ": "at+jwt", "kid": key_id(KEY)}, changes)


def claims(**changes: Any) -> dict[str, Any]:
    valid = {"iss": ISSUER, "sub": str(USER), "aud": AUDIENCE, "exp": TIME + LIFETIME, "iat": TIME}
    return changed(valid, changes)


def changed(valid: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (valid | changes).items() if value is not ABSENT}


def sign(first: str, second: str, *, key: ECKey = KEY) -> str:
    """A token of these two parts with the signature that belongs to them, however odd they are."""
    message = f"{first}.{second}"
    signature = jws.JWSRegistry.algorithms["ES256"].sign(message.encode(), key)
    return f"{message}.{b64(signature)}"


def a_token(
    head: dict[str, Any] | bytes | None = None, body: dict[str, Any] | bytes | None = None, key: ECKey = KEY
) -> str:
    """A token that is valid but for what the arguments change."""
    parts = (header() if head is None else head, claims() if body is None else body)
    first, second = (b64(part if isinstance(part, bytes) else json.dumps(part).encode()) for part in parts)
    return sign(first, second, key=key)


def with_claim(**changes: Any) -> str:
    return a_token(body=claims(**changes))


def with_header(**changes: Any) -> str:
    return a_token(header(**changes))


def with_raw_claim(name: str, text: str) -> str:
    """A claim that `json.dumps` would not write."""
    return a_token(body=json.dumps(claims(**{name: "?"})).replace('"?"', text).encode())


def second_spelling(part: str) -> str:
    """The same bytes in base64url, with bits set that decoding drops."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return part[:-1] + alphabet[alphabet.index(part[-1]) + 1]


def parts() -> tuple[str, str, str]:
    first, second, third = a_token().split(".")
    return first, second, third


def spare_bits(make: Callable[[str], bytes]) -> str:
    """A part whose last character has bits to spare: some length of filling has it."""
    return next(part for filling in ("", "x", "xx") if len(part := b64(make(filling))) % 4)


def payload_of(filling: str) -> bytes:
    return json.dumps(claims(filling=filling)).encode()


def padded() -> str:
    part = spare_bits(payload_of)
    return sign(parts()[0], part + "=" * (-len(part) % 4))


def with_standard_alphabet() -> str:
    body = json.dumps(claims(filling="\u00bf\u00bf\u00bf>>>???"), ensure_ascii=False).encode()
    part = b64(body)
    assert "-" in part or "_" in part
    return sign(parts()[0], part.replace("-", "+").replace("_", "/"))


def with_der_signature() -> str:
    first, second, third = parts()
    raw = base64.urlsafe_b64decode(third + "==")
    integers = [b"\x02" + bytes([33]) + b"\x00" + half for half in (raw[:32], raw[32:])]
    return f"{first}.{second}.{b64(b'\x30' + bytes([70]) + b''.join(integers))}"


def signed_with_the_public_key() -> str:
    first, second, _ = a_token(header(alg="HS256")).split(".")
    digest = hmac.digest(KEY.as_pem(private=False), f"{first}.{second}".encode(), "sha256")
    return f"{first}.{second}.{b64(digest)}"


FORM = "not of three parts"
SPELLING = "a part is not base64url"
CANONICAL = "a part is empty or not canonical base64url"
JSON = "a part is not JSON: JSONDecodeError"
OBJECT = "a part is not a JSON object"
TWICE = "a JSON object names a member twice"
SIGNATURE = "signature: BadSignatureError"
KIND = "not an access token"
ALGORITHM = "another algorithm"
UNKNOWN = "an unknown key"
ELSEWHERE = "another issuer"
AUDIENCES = "without an audience"
OTHERS = "for another audience"
SPAN = "of too long or no lifetime"
SUBJECT = "the subject is no user id"

ATTACKS: dict[str, tuple[Callable[[], str], str]] = {
    # the form
    "nothing": (lambda: "", FORM),
    "one part": (lambda: parts()[0], FORM),
    "no signature part": (lambda: ".".join(parts()[:2]), FORM),
    "a part too many": (lambda: a_token() + ".x", FORM),
    "five parts, as of a JWE": (lambda: a_token() + ".x.y", FORM),
    "longer than 8 KiB": (lambda: with_claim(filling="x" * 8000), "longer than 8192 bytes"),
    "a line break at the end": (lambda: a_token() + "\n", SPELLING),
    "a space before it": (lambda: " " + a_token(), SPELLING),
    "letters that are not ASCII": (lambda: "é" + a_token(), SPELLING),
    "half of a surrogate pair": (lambda: "\ud800" + a_token(), SPELLING),
    "a NUL": (lambda: a_token() + "\0", SPELLING),
    "padding": (padded, CANONICAL),
    "the alphabet of plain base64": (with_standard_alphabet, CANONICAL),
    "a second spelling of the payload": (
        lambda: sign(parts()[0], second_spelling(spare_bits(payload_of))),
        CANONICAL,
    ),
    "a second spelling of the signature": (lambda: second_spelling(a_token()), CANONICAL),
    "an impossible length of base64": (lambda: a_token() + "AAA", SPELLING),
    "an empty payload": (lambda: a_token(body=b""), CANONICAL),
    "an empty header": (lambda: a_token(b""), CANONICAL),
    "an empty signature": (lambda: ".".join(parts()[:2]) + ".", CANONICAL),
    # the JSON
    "a payload that is no JSON": (lambda: a_token(body=b"sub=1"), JSON),
    "a payload that is a list": (lambda: a_token(body=b"[]"), OBJECT),
    "a header that is a string": (lambda: a_token(b'"ES256"'), OBJECT),
    "JSON with something behind it": (lambda: a_token(body=json.dumps(claims()).encode() + b"{}"), JSON),
    "a claim given twice": (lambda: a_token(body=json.dumps(claims()).encode()[:-1] + b',"sub":"x"}'), TWICE),
    "a claim given twice, further in": (lambda: with_raw_claim("act", '{"sub":1,"sub":2}'), TWICE),
    "a header given twice": (
        lambda: a_token(json.dumps(header()).encode()[:-1] + b',"alg":"ES256"}'),
        TWICE,
    ),
    "UTF-16": (
        lambda: a_token(body=json.dumps(claims()).encode("utf-16")),
        "a part is not JSON: UnicodeDecodeError",
    ),
    "UTF-16 without a mark": (lambda: a_token(body=json.dumps(claims()).encode("utf-16-le")), JSON),
    "a byte order mark": (lambda: a_token(body=b"\xef\xbb\xbf" + json.dumps(claims()).encode()), JSON),
    "bytes that are no UTF-8": (
        lambda: a_token(body=json.dumps(claims(name="?")).encode().replace(b"?", b"\xff")),
        "a part is not JSON: UnicodeDecodeError",
    ),
    "nesting without end": (lambda: a_token(body=b"[" * 5000), "a part is not JSON"),
    "a number of 5,000 digits": (
        lambda: with_raw_claim("n", "1" * 5000),
        "a part is not JSON: ValueError",
    ),
    "an expiry that is NaN": (lambda: with_claim(exp=float("nan")), "a JSON number is NaN"),
    "an expiry that is Infinity": (lambda: with_claim(exp=float("inf")), "a JSON number is Infinity"),
    # the header
    **{
        f"the header {name}": (partial(with_header, **{name: ["x"]}), f"header {name} is refused")
        for name in ("jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc", "cty")
    },
    "no type": (lambda: with_header(typ=ABSENT), KIND),
    "an ID token": (lambda: with_header(typ="JWT"), KIND),
    "another spelling of the type": (lambda: with_header(typ="AT+JWT"), KIND),
    "no algorithm": (lambda: with_header(alg=ABSENT), ALGORITHM),
    "the algorithm none": (lambda: with_header(alg="none"), ALGORITHM),
    "the algorithm in lower case": (lambda: with_header(alg="es256"), ALGORITHM),
    "an algorithm that is a list": (lambda: with_header(alg=["ES256"]), ALGORITHM),
    "the public key as the secret of an HMAC": (signed_with_the_public_key, ALGORITHM),
    "no key": (lambda: with_header(kid=ABSENT), UNKNOWN),
    "a key that we do not know": (lambda: with_header(kid="x"), UNKNOWN),
    "a key that is an object": (lambda: with_header(kid={"x": 1}), UNKNOWN),
    "a stranger's key under its own name": (
        lambda: a_token(header(kid=key_id(STRANGERS_KEY)), key=STRANGERS_KEY),
        UNKNOWN,
    ),
    # the signature
    "a stranger's signature under our key's name": (lambda: a_token(key=STRANGERS_KEY), SIGNATURE),
    "another payload under the signature": (
        lambda: ".".join((parts()[0], b64(json.dumps(claims(sub=str(a_user_id()))).encode()), parts()[2])),
        SIGNATURE,
    ),
    "another header under the signature": (
        lambda: ".".join((b64(json.dumps(header(x5t="x")).encode()), *parts()[1:])),
        SIGNATURE,
    ),
    "a signature of zeros": (lambda: ".".join((*parts()[:2], b64(bytes(64)))), SIGNATURE),
    "a signature cut short": (lambda: ".".join((*parts()[:2], b64(bytes(range(1, 33))))), SIGNATURE),
    "a signature in DER": (with_der_signature, SIGNATURE),
    # the issuer and the audience
    "no issuer": (lambda: with_claim(iss=ABSENT), ELSEWHERE),
    "another issuer": (lambda: with_claim(iss="https://evil.example.com"), ELSEWHERE),
    "our issuer with a slash": (lambda: with_claim(iss=ISSUER + "/"), ELSEWHERE),
    "our issuer in a list": (lambda: with_claim(iss=[ISSUER]), ELSEWHERE),
    "no audience": (lambda: with_claim(aud=ABSENT), AUDIENCES),
    "an audience that is a number": (lambda: with_claim(aud=1), AUDIENCES),
    "our audience beside a number": (lambda: with_claim(aud=[AUDIENCE, 1]), AUDIENCES),
    "another audience": (lambda: with_claim(aud="warehouse"), OTHERS),
    "an audience with ours in it": (lambda: with_claim(aud="workshops"), OTHERS),
    "other audiences": (lambda: with_claim(aud=["warehouse", "till"]), OTHERS),
    "an empty list of audiences": (lambda: with_claim(aud=[]), OTHERS),
    # the times
    "no expiry": (lambda: with_claim(exp=ABSENT), "exp is no instant"),
    "an expiry in words": (lambda: with_claim(exp=str(TIME + 60)), "exp is no instant"),
    "an expiry that is true": (lambda: with_claim(exp=True), "exp is no instant"),
    "an expiry beyond every number": (lambda: with_raw_claim("exp", "1e999"), "exp is no instant"),
    "an expiry of 4,000 digits": (lambda: with_raw_claim("exp", "1" * 4000), "exp is no instant"),
    "an expiry before time began": (lambda: with_claim(exp=-1), "exp is no instant"),
    "expired": (lambda: with_claim(iat=TIME - 60, exp=TIME - 30), "expired"),
    "no instant of issue": (lambda: with_claim(iat=ABSENT), "iat is no instant"),
    "an instant of issue that is null": (lambda: with_claim(iat=None), "iat is no instant"),
    "issued in the future": (lambda: with_claim(iat=TIME + 31), "issued in the future"),
    "good for too long": (lambda: with_claim(exp=TIME + LIFETIME + 1), SPAN),
    "expired when it was issued": (lambda: with_claim(iat=TIME + 20, exp=TIME + 20), SPAN),
    "not valid yet": (lambda: with_claim(nbf=TIME + 31), "not valid yet"),
    "valid from a day in words": (lambda: with_claim(nbf="today"), "nbf is no instant"),
    # the subject
    "no subject": (lambda: with_claim(sub=ABSENT), SUBJECT),
    "a subject that is a number": (lambda: with_claim(sub=1), SUBJECT),
    "an empty subject": (lambda: with_claim(sub=""), SUBJECT),
    "a subject that is no id": (lambda: with_claim(sub="admin"), SUBJECT),
    "a subject in capitals": (lambda: with_claim(sub=str(USER).upper()), SUBJECT),
    "a subject in braces": (lambda: with_claim(sub=f"{{{USER}}}"), SUBJECT),
    "a subject with a NUL": (lambda: with_claim(sub=f"{USER}\0"), SUBJECT),
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_bad_token_is_refused_for_its_own_reason_and_in_the_same_words(attack: str) -> None:
    make, reason = ATTACKS[attack]
    token = make()
    with capture_logs() as logs, refused(Unauthenticated, DETAIL):
        await a_verifier().verify(token)
    (entry,) = logs
    assert entry["log_level"] == "debug"
    assert entry["reason"].startswith(reason)
    assert token == "" or token not in str(logs)


async def test_the_log_has_the_digest_of_the_token_s_id_alone() -> None:
    with capture_logs() as logs, refused(Unauthenticated, DETAIL):
        await a_verifier().verify(with_claim(jti="token-7", aud="warehouse"))
    assert logs[0]["jti_sha256"] == hashlib.sha256(b"token-7").hexdigest()
    assert "token-7" not in str(logs)


@given(st.text(st.characters(codec=None, exclude_categories=())))
async def test_no_text_is_believed_and_none_breaks_the_verifier(text: str) -> None:
    with refused(Unauthenticated, DETAIL):
        await a_verifier().verify(text)


@given(st.integers(min_value=0), st.characters(codec="ascii"))
async def test_a_token_with_one_character_changed_is_not_believed(position: int, character: str) -> None:
    position %= len(VALID)
    token = VALID[:position] + character + VALID[position + 1 :]
    if token == VALID:
        assert (await a_verifier().verify(token)).user_id == USER
    else:
        with refused(Unauthenticated, DETAIL):
            await a_verifier().verify(token)


VALID = a_token()

# ── what is believed ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"aud": ["warehouse", AUDIENCE]},
        {"iat": TIME - 60, "exp": TIME - 29},
        {"iat": TIME + 29},
        {"nbf": TIME + 29},
        {"exp": TIME + 0.5},
        {"roles": ["admin"], "name": "Ada"},
    ],
    ids=str,
)
async def test_a_good_token_says_who_its_bearer_is(changes: dict[str, Any]) -> None:
    identity = await a_verifier().verify(with_claim(**changes))
    assert identity == Identity(user_id=USER, issuer=ISSUER, subject=str(USER))


async def test_the_tokens_of_every_known_key_are_believed() -> None:
    rotating = a_verifier(KEY, STRANGERS_KEY)
    for key in (KEY, STRANGERS_KEY):
        token = an_issuer(key).issue(USER).value
        assert (await rotating.verify(token)).user_id == USER


async def test_a_token_is_good_to_its_end_and_a_little_longer_though_it_was_remembered() -> None:
    clock = FakeClock(NOW.replace(microsecond=0))
    verifier, token = a_verifier(clock=clock), an_issuer(clock=clock).issue(USER).value
    for seconds in (0, LIFETIME - 1, LIFETIME, LIFETIME + 29):
        clock.now = NOW.replace(microsecond=0) + timedelta(seconds=seconds)
        assert (await verifier.verify(token)).user_id == USER
    clock.advance(timedelta(seconds=1))
    with refused(Unauthenticated, DETAIL):
        await verifier.verify(token)


# ── what is issued ───────────────────────────────────────────────────────────────────────────────


def decoded(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def test_a_token_has_the_header_and_the_claims_of_rfc_9068() -> None:
    issued = an_issuer().issue(USER)
    first, second, _ = issued.value.split(".")
    body = decoded(second)
    assert issued.expires_in == LIFETIME
    assert decoded(first) == {"alg": "ES256", "typ": "at+jwt", "kid": key_id(KEY)}
    assert len(UUID(body.pop("jti")).bytes) == 16
    assert body == {
        "iss": ISSUER,
        "sub": str(USER),
        "aud": AUDIENCE,
        "client_id": AUDIENCE,
        "iat": TIME,
        "exp": TIME + LIFETIME,
    }


def test_no_two_tokens_have_the_same_id() -> None:
    issuer = an_issuer()
    assert len({decoded(issuer.issue(USER).value.split(".")[1])["jti"] for _ in range(20)}) == 20


def test_a_key_is_named_by_its_thumbprint() -> None:
    public = KEY.as_dict(private=False)
    canonical = "".join(f'"{name}":"{public[name]}",' for name in ("crv", "kty", "x", "y"))  # RFC 7638 §3
    assert key_id(KEY) == b64(hashlib.sha256(f"{{{canonical[:-1]}}}".encode()).digest())


def test_a_key_from_the_settings_stays_and_without_one_a_warning_says_what_that_means() -> None:
    with capture_logs() as logs:
        assert signing_key(KEY.as_pem(private=True).decode()) == KEY
        assert logs == []
        assert signing_key(None) != signing_key(None)
    assert [entry["log_level"] for entry in logs] == ["warning", "warning"]
    assert "AUTH_SIGNING_KEY" in logs[0]["event"]


# ── what is remembered ───────────────────────────────────────────────────────────────────────────


async def test_a_token_that_comes_again_is_not_verified_again() -> None:
    verifier = a_verifier()
    assert await verifier.verify(VALID) is await verifier.verify(VALID)


def test_the_least_recently_used_is_forgotten_when_there_is_no_more_room() -> None:
    known = VerifiedTokens(2)
    first, second, third = (an_identity() for _ in range(3))
    known.put(b"1", first, expires=9.0)
    known.put(b"2", second, expires=9.0)
    assert known.get(b"1", now=0.0) is first
    known.put(b"3", third, expires=9.0)
    assert [known.get(key, now=0.0) for key in (b"1", b"2", b"3")] == [first, None, third]


def test_nothing_is_remembered_beyond_its_end() -> None:
    known = VerifiedTokens(2)
    known.put(b"1", an_identity(), expires=9.0)
    assert known.get(b"1", now=8.9)
    assert known.get(b"1", now=9.0) is None
    assert known.get(b"1", now=0.0) is None


def test_what_is_remembered_is_no_token() -> None:
    assert VerifiedTokens.key("secret") == hashlib.sha256(b"secret").digest()
