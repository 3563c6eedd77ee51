"""Logging in through a provider that lies, dawdles, and mixes people up: over a real socket."""

import asyncio
import base64
import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc.jwk import ECKey
from structlog.testing import capture_logs

from adapters.tokens.login import LONGEST_ANSWER, OidcLogin
from adapters.tokens.oidc import OidcIssuer
from adapters.tokens.providers import Provider
from application.kernel.ports.callers import Claims
from application.kernel.ports.logins import LoginSecrets, ProviderAnswer
from application.kernel.ports.world import Unavailable
from domain.kernel.identity.credentials import LoginDenied, LoginRefused
from kernel.world.authority import authority
from kernel.world.builders import NOW
from kernel.world.fakes import FakeClock
from kernel.world.forging import ABSENT, Forger, b64
from kernel.world.provider import Answer, ProviderServer, a_forger, answer, endless, hang_up, public, silence

KEY, STRANGER = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
SECRETS = LoginSecrets(state="state-1", nonce="nonce-1", verifier="verifier-" + "1" * 40)
CALLBACK = "https://api.example.com/v1/auth/providers/example/callback"
CLIENT, CLIENT_SECRET = "portal", "s:e/c r%t+ü"


@pytest.fixture
async def server() -> AsyncIterator[ProviderServer]:
    server = ProviderServer()
    await server.start()
    yield server
    await server.stop()


def publish(server: ProviderServer, **metadata: Any) -> None:
    server.publish(public(KEY, "k1", alg="ES256", use="sig"))
    endpoints = {
        "authorization_endpoint": f"{server.root}/authorize?tenant=7",
        "token_endpoint": f"{server.root}/token",
    }
    server.paths[server.discovery] = answer(server.document(**endpoints | metadata))


def a_login(
    server: ProviderServer,
    *,
    secret: str | None = CLIENT_SECRET,
    seconds: float = 5.0,
    ca_file: str | None = None,
) -> OidcLogin:
    provider = Provider(issuer=server.issuer, audiences=frozenset({"shop"}), ca_file=ca_file)
    return OidcLogin(
        OidcIssuer(provider, allow_loopback_http=True),
        client_id=CLIENT,
        client_secret=secret,
        scopes="openid email profile",
        redirect_uri=CALLBACK,
        clock=FakeClock(NOW),
        allow_loopback_http=True,
        answer_seconds=seconds,
    )


@pytest.fixture
async def login(server: ProviderServer) -> AsyncIterator[OidcLogin]:
    publish(server)
    login = a_login(server)
    yield login
    await login.close()


@pytest.fixture
def forger(server: ProviderServer) -> Forger:
    return id_tokens(server)


def id_tokens(server: ProviderServer) -> Forger:
    """What the provider would sign for our client, after our request."""
    return a_forger(
        server.issuer,
        KEY,
        stranger=STRANGER,
        algorithm="ES256",
        kid="k1",
        typ="JWT",
        aud=CLIENT,
        nonce=SECRETS.nonce,
        email="ada@example.com",
        email_verified=True,
        name="Ada",
    )


def tokens(id_token: str, **more: Any) -> Answer:
    content = {
        "access_token": "opaque",
        "token_type": "Bearer",
        "expires_in": 60,
        "id_token": id_token,
    } | more
    return answer({name: value for name, value in content.items() if value is not ABSENT})


def code(**changes: Any) -> ProviderAnswer:
    return ProviderAnswer(**{"state": SECRETS.state, "code": "code-1"} | changes)


async def test_a_log_in_trusts_a_private_authority_where_the_settings_name_it(tmp_path: Path) -> None:
    ca_file, tls = authority(tmp_path)
    server = ProviderServer(tls=tls)
    await server.start()
    publish(server)
    server.paths["/token"] = tokens(id_tokens(server).token())
    login = a_login(server, ca_file=str(ca_file))
    assert (await login.redeem(code(), SECRETS)).email == "ada@example.com"
    await login.close()
    await server.stop()


# ── the way there ────────────────────────────────────────────────────────────────────────────────


async def test_the_way_to_the_provider_says_everything_that_its_answer_is_held_against(
    login: OidcLogin,
) -> None:
    address = urlsplit(await login.address(SECRETS))
    digest = hashlib.sha256(SECRETS.verifier.encode()).digest()
    assert address.path == "/authorize"
    assert parse_qs(address.query) == {
        "tenant": ["7"],
        "response_type": ["code"],
        "client_id": [CLIENT],
        "redirect_uri": [CALLBACK],
        "scope": ["openid email profile"],
        "state": [SECRETS.state],
        "nonce": [SECRETS.nonce],
        "code_challenge": [base64.urlsafe_b64encode(digest).rstrip(b"=").decode()],
        "code_challenge_method": ["S256"],
    }
    assert SECRETS.verifier not in address.query


async def test_for_a_fresh_log_in_the_provider_asks_again_and_says_when_it_did(login: OidcLogin) -> None:
    asked, fresh = [
        parse_qs(urlsplit(await login.address(SECRETS, fresh=fresh)).query) for fresh in (False, True)
    ]
    assert fresh == asked | {"prompt": ["login"], "max_age": ["0"]}


@pytest.mark.parametrize(
    "endpoint",
    [
        None,
        7,
        "",
        "http://login.example.com/authorize",
        "javascript:alert(1)",
        "https://user@evil.example/",
        "https://login.example.com/\u00e9",
        "https://login.example.com/\x00",
        "https://login.example.com/\r\nset-cookie: a=b",
    ],
)
@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint"])
async def test_nobody_is_sent_to_an_address_that_anybody_could_have_written(
    server: ProviderServer, name: str, endpoint: object
) -> None:
    publish(server, **{name: endpoint})
    login = a_login(server)
    asking = login.address(SECRETS) if name == "authorization_endpoint" else login.redeem(code(), SECRETS)
    with pytest.raises(Unavailable):
        await asking
    assert "/token" not in server.asked


async def test_a_provider_that_is_away_logs_nobody_in(server: ProviderServer) -> None:
    await server.stop()
    login = a_login(server)
    with pytest.raises(Unavailable):
        await login.address(SECRETS)
    await server.start()


# ── the way back ─────────────────────────────────────────────────────────────────────────────────


async def test_a_code_is_redeemed_for_whoever_logged_in(
    server: ProviderServer, login: OidcLogin, forger: Forger
) -> None:
    server.paths["/token"] = tokens(forger.token())
    proof = await login.redeem(code(), SECRETS)
    assert (proof.issuer, proof.subject) == (server.issuer, "ada")
    assert (proof.email, proof.email_verified, proof.name) == ("ada@example.com", True, "Ada")
    assert parse_qs(server.sent[-1].partition(b"\r\n\r\n")[2].decode()) == {
        "grant_type": ["authorization_code"],
        "code": ["code-1"],
        "redirect_uri": [CALLBACK],
        "code_verifier": [SECRETS.verifier],
    }


async def test_the_clients_secret_is_encoded_as_in_a_form(
    server: ProviderServer, login: OidcLogin, forger: Forger
) -> None:
    server.paths["/token"] = tokens(forger.token())
    await login.redeem(code(), SECRETS)
    basic = base64.b64encode(f"{CLIENT}:s%3Ae%2Fc+r%25t%2B%C3%BC".encode()).decode()
    assert f"authorization: basic {basic}".lower() in server.sent[-1].decode().lower()


async def test_the_clients_secret_is_in_the_form_where_the_provider_wants_it_there(
    server: ProviderServer, forger: Forger
) -> None:
    publish(server, token_endpoint_auth_methods_supported=["client_secret_post", "private_key_jwt"])
    login = a_login(server)
    server.paths["/token"] = tokens(forger.token())
    await login.redeem(code(), SECRETS)
    head, _, form = server.sent[-1].partition(b"\r\n\r\n")
    assert b"authorization:" not in head.lower()
    assert parse_qs(form.decode())["client_secret"] == [CLIENT_SECRET]


async def test_a_public_client_only_says_who_it_is(server: ProviderServer, forger: Forger) -> None:
    publish(server)
    login = a_login(server, secret=None)
    server.paths["/token"] = tokens(forger.token())
    await login.redeem(code(), SECRETS)
    head, _, form = server.sent[-1].partition(b"\r\n\r\n")
    assert b"authorization:" not in head.lower()
    assert parse_qs(form.decode())["client_id"] == [CLIENT]
    assert "client_secret" not in parse_qs(form.decode())


async def test_no_proxy_of_the_environment_is_shown_a_code(
    server: ProviderServer, forger: Forger, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(server)
    server.paths["/token"] = tokens(forger.token())
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
    assert (await a_login(server).redeem(code(), SECRETS)).subject == "ada"


async def test_two_log_ins_at_once_do_not_get_in_each_others_way(
    server: ProviderServer, login: OidcLogin, forger: Forger
) -> None:
    server.paths["/token"] = tokens(forger.token())
    await login.redeem(code(), SECRETS)
    server.paths["/token"] = tokens(forger.with_claim(sub="eve"))
    assert (await login.redeem(code(), SECRETS)).subject == "eve"


BAD_ID_TOKENS = {
    "another request's": lambda forger: forger.with_claim(nonce="nonce-2"),
    "without a nonce": lambda forger: forger.with_claim(nonce=ABSENT),
    "for another client": lambda forger: forger.with_claim(aud="other"),
    "for several, issued to another": lambda forger: forger.with_claim(aud=[CLIENT, "other"], azp="other"),
    "another issuer's": lambda forger: forger.with_claim(iss="https://evil.example"),
    "expired": lambda forger: forger.with_claim(exp=forger.time - 31, iat=forger.time - 600),
    "a stranger's": lambda forger: forger.token(key=STRANGER),
    "unsigned": lambda forger: forger.sign(forger.parts()[0], forger.parts()[1])[:-20],
    "with the secret as its key": lambda forger: forger.with_hmac(CLIENT_SECRET.encode()),
    "an access token": lambda forger: forger.with_header(typ="at+jwt"),
    "of another access token": lambda forger: forger.with_claim(at_hash=b64(b"0" * 16)),
    "not a token": lambda _: "not.a.token",
    "too long": lambda forger: forger.with_claim(filling="x" * 10_000),
    "a list": lambda forger: [forger.token()],
    "absent": lambda _: ABSENT,
}


@pytest.mark.parametrize("bad", BAD_ID_TOKENS.values(), ids=BAD_ID_TOKENS.keys())
async def test_an_id_token_that_is_not_for_this_log_in_proves_nothing(
    server: ProviderServer, login: OidcLogin, forger: Forger, bad: Any
) -> None:
    server.paths["/token"] = tokens(bad(forger))
    with pytest.raises(LoginRefused):
        await login.redeem(code(), SECRETS)


async def test_an_id_token_is_held_against_the_access_token_beside_it(
    server: ProviderServer, login: OidcLogin, forger: Forger
) -> None:
    at_hash = b64(hashlib.sha256(b"opaque").digest()[:16])
    server.paths["/token"] = tokens(forger.with_claim(at_hash=at_hash))
    assert (await login.redeem(code(), SECRETS)).subject == "ada"


# ── RFC 9207: whose answer it is ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("issuer", ["https://evil.example", "", "http://127.0.0.1", "\udfff"])
async def test_an_answer_in_another_issuers_name_is_never_redeemed(
    server: ProviderServer, login: OidcLogin, forger: Forger, issuer: str
) -> None:
    server.paths["/token"] = tokens(forger.token())
    with pytest.raises(LoginRefused):
        await login.redeem(code(issuer=issuer), SECRETS)
    assert "/token" not in server.asked


async def test_an_answer_names_its_issuer_where_the_provider_says_that_it_does(
    server: ProviderServer, forger: Forger
) -> None:
    publish(server, authorization_response_iss_parameter_supported=True)
    login = a_login(server)
    server.paths["/token"] = tokens(forger.token())
    with pytest.raises(LoginRefused):
        await login.redeem(code(), SECRETS)
    assert "/token" not in server.asked
    assert (await login.redeem(code(issuer=server.issuer), SECRETS)).subject == "ada"


async def test_an_error_in_another_issuers_name_is_not_believed_either(login: OidcLogin) -> None:
    with pytest.raises(LoginRefused):
        await login.redeem(code(code=None, error="access_denied", issuer="https://evil.example"), SECRETS)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("access_denied", LoginDenied),
        ("login_required", LoginDenied),
        ("interaction_required", LoginDenied),
        ("consent_required", LoginDenied),
        ("temporarily_unavailable", Unavailable),
        ("server_error", Unavailable),
        ("invalid_scope", LoginRefused),
        ("<script>", LoginRefused),
        ("", LoginRefused),
    ],
)
async def test_what_the_provider_says_went_wrong_is_told_in_our_own_words(
    server: ProviderServer, login: OidcLogin, error: str, expected: type[Exception]
) -> None:
    with pytest.raises(expected) as raised:
        await login.redeem(code(error=error), SECRETS)
    assert type(raised.value) is expected
    assert error == "" or error not in str(raised.value)
    assert "/token" not in server.asked


@pytest.mark.parametrize("value", [None, ""])
async def test_an_answer_without_a_code_proves_nothing(
    server: ProviderServer, login: OidcLogin, value: str | None
) -> None:
    with pytest.raises(LoginRefused):
        await login.redeem(code(code=value), SECRETS)
    assert "/token" not in server.asked


# ── a token endpoint that misbehaves ─────────────────────────────────────────────────────────────

GOOD: Any = object()  # stands for the body of a good answer

ANSWERS: dict[str, tuple[Any, type[Exception]]] = {
    "a page of HTML": (answer(b"<!doctype html><h1>Hello"), LoginRefused),
    "an empty body": (answer(b""), LoginRefused),
    "a list": (answer([]), LoginRefused),
    "no tokens": (answer({}), LoginRefused),
    "a member twice": (answer(b'{"id_token": "a", "id_token": "b"}'), LoginRefused),
    "a lifetime that is no number": (answer({"id_token": "x", "expires_in": "soon"}), LoginRefused),
    "a lifetime that is a list": (answer({"id_token": "x", "expires_in": [1]}), LoginRefused),
    "more than it has to be": (answer(b" " * (LONGEST_ANSWER + 1)), LoginRefused),
    "without an end": (endless, LoginRefused),
    "a code that was used before": (answer({"error": "invalid_grant"}, status=400), LoginRefused),
    "an error with 200": (answer({"error": "invalid_grant"}), LoginRefused),
    "tokens with 401": ((GOOD, 401), LoginRefused),
    "tokens with 302": ((GOOD, 302), LoginRefused),
    "another encoding": ((GOOD, 200, "gzip"), LoginRefused),
    "too busy": (answer({"error": "slow_down"}, status=429), Unavailable),
    "broken": (answer(b"oops", status=503), Unavailable),
    "nothing at all": (hang_up, Unavailable),
}


@pytest.mark.parametrize(("given", "expected"), ANSWERS.values(), ids=ANSWERS.keys())
async def test_a_token_endpoint_that_misbehaves_logs_nobody_in(
    server: ProviderServer, login: OidcLogin, forger: Forger, given: Any, expected: type[Exception]
) -> None:
    if isinstance(given, tuple):
        _, status, *encoding = given
        headers = {"content_encoding": encoding[0]} if encoding else {}
        content = {"access_token": "opaque", "token_type": "Bearer", "id_token": forger.token()}
        given = answer(content, status=status, **headers)
    server.paths["/token"] = given
    with pytest.raises(expected):
        await login.redeem(code(), SECRETS)


async def test_a_redirect_is_not_followed(server: ProviderServer, login: OidcLogin, forger: Forger) -> None:
    server.paths["/token"] = answer(b"", status=307, location=f"{server.root}/elsewhere")
    server.paths["/elsewhere"] = tokens(forger.token())
    with pytest.raises(LoginRefused):
        await login.redeem(code(), SECRETS)
    assert "/elsewhere" not in server.asked


async def test_a_provider_that_dawdles_is_waited_for_no_longer_than_it_was_given(
    server: ProviderServer,
) -> None:
    publish(server)
    login = a_login(server, seconds=0.3)
    await login.address(SECRETS)

    async def a_byte_at_a_time(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.1)

    for slow in (silence, a_byte_at_a_time):
        server.paths["/token"] = slow
        started = time.monotonic()
        with pytest.raises(Unavailable):
            await login.redeem(code(), SECRETS)
        assert time.monotonic() - started < 2


async def test_the_log_has_the_reason_and_no_secret(
    server: ProviderServer, login: OidcLogin, forger: Forger
) -> None:
    id_token = forger.with_claim(nonce="nonce-2")
    server.paths["/token"] = tokens(id_token)
    with capture_logs() as lines, pytest.raises(LoginRefused):
        await login.redeem(code(), SECRETS)
    (line,) = [line for line in lines if line["event"] == "log-in refused"]
    assert line["reason"] == "of another request"
    secrets = ("code-1", CLIENT_SECRET, SECRETS.verifier, SECRETS.nonce, SECRETS.state, id_token)
    assert not [secret for secret in secrets if secret in str(lines)]


async def test_of_a_member_that_comes_twice_neither_counts(
    server: ProviderServer, login: OidcLogin, forger: Forger
) -> None:
    body = f'{{"id_token": "x", "token_type": "Bearer", "id_token": "{forger.token()}"}}'
    server.paths["/token"] = answer(body.encode())
    with pytest.raises(LoginRefused):
        await login.redeem(code(), SECRETS)


# ── a name and an address that are not in the ID token ───────────────────────────────────────────


async def introduced(
    server: ProviderServer, said: Answer, *, seconds: float = 5.0, **metadata: Any
) -> Claims:
    """Whoever logged in, whose ID token tells no more than the subject."""
    publish(server, **{"userinfo_endpoint": f"{server.root}/userinfo"} | metadata)
    bare = id_tokens(server).with_claim(email=ABSENT, email_verified=ABSENT, name=ABSENT)
    server.paths |= {"/token": tokens(bare), "/userinfo": said}
    return await a_login(server, seconds=seconds).redeem(code(), SECRETS)


async def test_the_provider_is_asked_for_what_the_id_token_does_not_tell(server: ProviderServer) -> None:
    said = answer({"sub": "ada", "email": "ada@example.com", "email_verified": True, "name": "Ada"})
    proof = await introduced(server, said)
    assert (proof.email, proof.email_verified, proof.name) == ("ada@example.com", True, "Ada")
    assert b"authorization: bearer opaque" in server.sent[-1].lower()


async def test_what_it_does_not_verify_is_not_verified(server: ProviderServer) -> None:
    said = answer({"sub": "ada", "email": "ada@example.com", "email_verified": "true"})
    assert (await introduced(server, said)).email_verified is False
    assert (await introduced(server, answer({"sub": "ada", "email_verified": True}))).email_verified is False


async def test_it_is_not_asked_for_what_the_id_token_tells(server: ProviderServer, forger: Forger) -> None:
    publish(server, userinfo_endpoint=f"{server.root}/userinfo")
    server.paths["/token"] = tokens(forger.token())
    assert (await a_login(server).redeem(code(), SECRETS)).email == "ada@example.com"
    assert "/userinfo" not in server.asked


ADA = {"sub": "ada", "email": "eve@example.com", "email_verified": True, "name": "Eve"}
INTRODUCTIONS: dict[str, Answer] = {
    "of somebody else": answer(ADA | {"sub": "eve"}),
    "of nobody": answer({name: ADA[name] for name in ("email", "email_verified")}),
    "with an error": answer(ADA, status=401),
    "a page of HTML": answer(b"<!doctype html>"),
    "broken": answer(b"", status=500),
    "without an end": endless,
    "nothing at all": hang_up,
    "never": silence,
}


@pytest.mark.parametrize("said", INTRODUCTIONS.values(), ids=INTRODUCTIONS.keys())
async def test_whoever_is_introduced_badly_is_logged_in_without_a_name(
    server: ProviderServer, said: Answer
) -> None:
    proof = await introduced(server, said, seconds=1.0)
    assert (proof.subject, proof.email, proof.email_verified, proof.name) == ("ada", None, False, None)


async def test_nobody_else_is_shown_an_access_token(server: ProviderServer) -> None:
    proof = await introduced(server, answer(ADA), userinfo_endpoint="http://login.example.com/userinfo")
    assert (proof.subject, proof.email) == ("ada", None)
