"""Logging in through a provider: from a page of ours to the provider, back, and into a session of ours."""

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlsplit
from uuid import UUID

import asyncpg
import pytest
from dependency_injector import providers
from httpx2 import AsyncClient, Response
from joserfc.jwk import ECKey
from pydantic import SecretStr

from adapters.postgres.kernel.connection.database import Database
from application.kernel.identity.provider_login import EXCHANGE_LIFETIME, make_exchange_code
from application.kernel.identity.secret_tokens import fingerprint
from application.kernel.run import Runner
from application.kernel.unit_of_work import Begin
from domain.kernel.identity.one_time_tokens import Purpose
from domain.kernel.users import UserId
from entrypoints.http.kernel.identity.cookies import LOG_IN, LOG_INS_MOST, SESSION
from entrypoints.kernel.configuration.providers import ProviderSettings
from entrypoints.settings import Settings
from kernel.servers.browser import Browser
from kernel.specimen.service import Container, UnitOfWork
from kernel.world.builders import NOW, a_one_time_token, a_user, a_user_id, store
from kernel.world.fakes import FakeClock
from kernel.world.provider import ProviderServer, a_forger, answer, public

KEY, STRANGER = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
OWN, APP, WEBSITE = "http://localhost:8000", "https://app.example.com", "https://www.example.com"
WELCOME = f"{APP}/welcome"
CLIENT = "portal"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime.now(UTC))


async def a_provider() -> AsyncIterator[ProviderServer]:
    server = ProviderServer()
    await server.start()
    server.publish(public(KEY, "k1", alg="ES256", use="sig"))
    server.paths[server.discovery] = answer(
        server.document(
            authorization_endpoint=f"{server.root}/authorize", token_endpoint=f"{server.root}/token"
        )
    )
    yield server
    await server.stop()


provider = pytest.fixture(a_provider, name="provider")
another = pytest.fixture(a_provider, name="another")


@pytest.fixture
def settings(empty_database_url: str, provider: ProviderServer, another: ProviderServer) -> Settings:
    """The built-in provider, and two others that one can only log in through; and a third that one cannot."""
    return Settings(
        _env_file=None,
        database_url=SecretStr(empty_database_url),
        public_url=OWN,
        app_url=f"{WEBSITE}/app",
        cors_origins=(APP, "http://localhost:3000"),
        auth_provider="oidc",
        auth_trust_local=True,
        oidc_issuer=provider.issuer,
        oidc_audience="shop",
        oidc_client_id=CLIENT,
        oidc_client_secret=SecretStr("a secret of a test"),
        oidc_more_providers=(
            ProviderSettings(name="second", issuer=another.issuer, audience="shop", client_id=CLIENT),
            ProviderSettings(name="third", issuer="https://third.example", audience="shop"),
        ),
    )


@pytest.fixture
async def container(settings: Settings, database: Database, clock: FakeClock) -> AsyncIterator[Container]:
    container = Container(settings=settings)
    container.database.override(providers.Object(database))
    container.clock.override(providers.Object(clock))
    yield container
    for issuer in container.openid_issuers().values():
        await issuer.close()


@pytest.fixture
def browser(client: AsyncClient) -> Browser:
    return Browser(client, origin=APP)


def beginning(**changes: Any) -> dict[str, str]:
    asked = {"return_to": WELCOME, "mode": "tokens", "challenge": CHALLENGE} | changes
    return {name: value for name, value in asked.items() if value is not None}


async def begin_login(browser: Browser, name: str = "oidc", **changes: Any) -> dict[str, str]:
    """What the provider is asked."""
    departed = await browser.get(f"/v1/auth/providers/{name}/authorize", params=beginning(**changes))
    assert departed.status_code == 302, departed.text
    return dict(parse_qsl(urlsplit(departed.headers["location"]).query))


def vouches(provider: ProviderServer, asked: dict[str, str], clock: FakeClock, **claims: Any) -> None:
    """The provider's answer to the code of this log-in: whoever it says logged in."""
    now = int(clock().timestamp())
    valid = {"aud": CLIENT, "nonce": asked["nonce"], "iat": now, "exp": now + 600}
    forger = a_forger(
        provider.issuer, KEY, stranger=STRANGER, algorithm="ES256", kid="k1", typ="JWT", **valid | claims
    )
    content = {"access_token": "opaque", "token_type": "Bearer", "id_token": forger.token()}
    provider.paths["/token"] = answer(content)


async def come_back(browser: Browser, name: str = "oidc", **query: Any) -> Response:
    return await browser.get(f"/v1/auth/providers/{name}/callback", params=query)


async def log_in(browser: Browser, provider: ProviderServer, clock: FakeClock, **more: Any) -> Response:
    """All of it; `more` is of the beginning, but for the claim `sub`."""
    claims = {"sub": more.pop("sub")} if "sub" in more else {}
    asked = await begin_login(browser, **more)
    vouches(provider, asked, clock, **claims)
    return await come_back(browser, code="code-1", state=asked["state"])


def told(response: Response) -> dict[str, str]:
    """What the page learns from the address that it is returned to."""
    assert response.status_code == 302, response.text
    location = response.headers["location"]
    assert location.startswith((f"{WELCOME}#", f"{WELCOME}?"))
    return dict(parse_qsl(location[len(WELCOME) + 1 :]))


async def exchange(browser: Browser, code: str, verifier: str = VERIFIER) -> Response:
    return await browser.send("POST", "/v1/auth/exchange", json={"code": code, "verifier": verifier})


async def me(browser: Browser, response: Response) -> Any:
    headers = {"authorization": f"Bearer {response.json()['access_token']}"}
    return (await browser.get("/v1/me", headers=headers)).json()


# ── the way there ────────────────────────────────────────────────────────────────────────────────


async def test_anybody_can_see_what_one_can_log_in_through(
    browser: Browser, provider: ProviderServer, another: ProviderServer
) -> None:
    answered = await browser.get("/v1/auth/providers")
    assert answered.json() == {
        "items": [{"name": "oidc", "issuer": provider.issuer}, {"name": "second", "issuer": another.issuer}]
    }
    assert provider.asked == []


async def test_a_browser_is_sent_to_the_provider_with_a_cookie_that_it_brings_back(
    browser: Browser, provider: ProviderServer
) -> None:
    departed = await browser.get("/v1/auth/providers/oidc/authorize", params=beginning())
    location = urlsplit(departed.headers["location"])
    asked = parse_qs(location.query)
    assert f"{location.scheme}://{location.netloc}{location.path}" == f"{provider.root}/authorize"
    assert asked["redirect_uri"] == [f"{OWN}/v1/auth/providers/oidc/callback"]
    assert asked["scope"] == ["openid email profile"]
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["code_challenge"] != [CHALLENGE], "the page's and ours are two"
    (name,) = browser.cookies
    assert name == f"__Host-login-{asked['state'][0][:16]}"
    assert departed.headers["set-cookie"].endswith("; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=86400")
    for secret in (asked["state"][0], asked["nonce"][0], "welcome", CHALLENGE):
        assert secret not in browser.cookies[name]
    assert departed.headers["referrer-policy"] == "no-referrer"


async def test_each_log_in_has_its_own_secrets(browser: Browser) -> None:
    first, second = await begin_login(browser), await begin_login(browser)
    for name in ("state", "nonce", "code_challenge"):
        assert first[name] != second[name]


@pytest.mark.parametrize("name", ["third", "nobody", "OIDC", "oidc%2F..", "é"])
@pytest.mark.parametrize("step", ["authorize", "callback"])
async def test_there_is_no_log_in_through_a_provider_that_does_not_know_us(
    browser: Browser, name: str, step: str
) -> None:
    query = beginning() if step == "authorize" else {"state": "x", "code": "y"}
    answered = await browser.get(f"/v1/auth/providers/{quote(name, safe='%')}/{step}", params=query)
    assert (answered.status_code, browser.cookies) == (404, {})


@pytest.mark.parametrize(
    "address",
    [
        WELCOME,
        APP,
        f"{APP}/",
        f"{APP}?a=b",
        f"{APP}/a/../b?c=/d&e=%0A",
        f"{APP}//evil.example",
        f"{WEBSITE}/anywhere",
        "http://localhost:3000/",
        f"{OWN}/v1/docs",
    ],
)
async def test_a_log_in_may_lead_back_to_any_page_of_our_origins(browser: Browser, address: str) -> None:
    await begin_login(browser, return_to=address)


@pytest.mark.parametrize(
    "address", ["HTTPS://App.Example.com", "https://app.example.com:443", "https://\uff41pp.example.com"]
)
async def test_the_way_back_leads_to_the_origin_that_was_looked_at(
    browser: Browser, provider: ProviderServer, clock: FakeClock, address: str
) -> None:
    arrived = await log_in(
        browser, provider, clock, mode="cookie", challenge=None, return_to=f"{address}/A?b=C"
    )
    assert arrived.headers["location"] == f"{APP}/A?b=C"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "/welcome",
        "//evil.example",
        "///evil.example",
        "https:evil.example",
        "https:/evil.example",
        "https:///evil.example",
        "https://evil.example",
        "https://evil.example/https://app.example.com",
        "https://evil.example?https://app.example.com/",
        "https://evil.example\\@app.example.com/",
        "https://app.example.com@evil.example/",
        "https://app.example.com:x@evil.example/",
        "https://app.example.com:443@evil.example/",
        "https://app.example.com.evil.example/",
        "https://app.example.comevil.example/",
        "https://app.example.com\\.evil.example/",
        "https://app.example.com\\@evil.example/",
        "https://app.example.com;@evil.example/",
        "https://app.example.com%2eevil.example/",
        "https://app.example.com%00.evil.example/",
        "https://app.example.com:8443/",
        "https://sub.app.example.com/",
        "https://example.com/",
        "http://app.example.com/",
        "https://app.example.com/#fragment",
        "https://app.example.com/\\evil",
        "https://app.example.com/ evil",
        "https://app.example.com/\r\nset-cookie: a=b",
        "https://app.example.com/\tevil",
        "https://app.example.com/\x00",
        "https://app.example.com/é",
        "https://app.example.com/\u2028",
        " https://app.example.com/",
        "\thttps://app.example.com/",
        "\u00a0https://app.example.com/",
        "https://app.example.com\u3002evil.example/",
        "https://app.ex\u0430mple.com/",
        "https://app.example.com\n",
        "javascript:alert(1)//https://app.example.com",
        "javascript://app.example.com/%0aalert(1)",
        "data:text/html,https://app.example.com",
        "file://app.example.com/",
        "ws://app.example.com/",
        "*",
        f"{WELCOME}?{'a' * 1000}",
    ],
)
async def test_a_log_in_leads_back_to_no_other_address(browser: Browser, address: str) -> None:
    answered = await browser.get("/v1/auth/providers/oidc/authorize", params=beginning(return_to=address))
    assert answered.status_code == 422, answered.headers.get("location")
    assert browser.cookies == {}


WRONG: dict[str, dict[str, Any]] = {
    "nothing to return to": {"return_to": None},
    "no end": {"mode": None},
    "an unknown end": {"mode": "jwt"},
    "no challenge for tokens": {"challenge": None},
    "an empty challenge": {"challenge": ""},
    "a challenge that is too short": {"challenge": "a" * 42},
    "a challenge that is too long": {"challenge": "a" * 129},
    "a challenge of other characters": {"challenge": "~" * 43},
    "a challenge for a cookie": {"mode": "cookie"},
    "an unknown part of the address": {"response_mode": "form_post"},
    "a name that does not exist": {"prompt": "none"},
    "two addresses": {"return_to": [WELCOME, f"{WELCOME}/2"]},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
async def test_a_log_in_that_cannot_end_well_is_not_begun(browser: Browser, wrong: dict[str, Any]) -> None:
    answered = await browser.get("/v1/auth/providers/oidc/authorize", params=beginning(**wrong))
    assert (answered.status_code, browser.cookies) == (422, {})


async def test_a_provider_that_is_away_is_503(browser: Browser, provider: ProviderServer) -> None:
    await provider.stop()
    answered = await browser.get("/v1/auth/providers/oidc/authorize", params=beginning())
    await provider.start()
    assert (answered.status_code, browser.cookies) == (503, {})


async def test_many_tabs_leave_no_more_cookies_than_a_request_has_room_for(browser: Browser) -> None:
    names = []
    for _ in range(LOG_INS_MOST + 3):
        asked = await begin_login(browser)
        names.append(f"{LOG_IN}{asked['state'][:16]}")
    assert list(browser.cookies) == names[-LOG_INS_MOST:]


# ── the way back ─────────────────────────────────────────────────────────────────────────────────


async def test_a_log_in_ends_in_a_code_that_its_page_exchanges_for_tokens(
    browser: Browser, provider: ProviderServer, clock: FakeClock
) -> None:
    arrived = await log_in(browser, provider, clock)
    assert arrived.headers["location"].startswith(f"{WELCOME}#code=")
    assert browser.cookies == {}, "what was kept for the way is gone"
    pair = await exchange(browser, told(arrived)["code"])
    assert pair.status_code == 200, pair.text
    assert pair.json()["token_type"] == "Bearer"
    assert (await me(browser, pair))["display_name"] != ""
    refreshed = await browser.send(
        "POST", "/v1/auth/refresh", json={"refresh_token": pair.json()["refresh_token"]}
    )
    assert refreshed.status_code == 200


async def test_the_same_person_is_the_same_user_each_time_and_another_is_not(
    browser: Browser, provider: ProviderServer, clock: FakeClock
) -> None:
    people = []
    for sub in ("ada", "bob", "ada"):
        arrived = await log_in(browser, provider, clock, sub=sub)
        people.append((await me(browser, await exchange(browser, told(arrived)["code"])))["id"])
    assert people[0] == people[2] != people[1]


async def test_a_log_in_ends_in_a_session_cookie(
    browser: Browser, provider: ProviderServer, clock: FakeClock
) -> None:
    arrived = await log_in(browser, provider, clock, mode="cookie", challenge=None)
    assert arrived.headers["location"] == WELCOME
    assert list(browser.cookies) == [SESSION]
    assert (await browser.get("/v1/me")).status_code == 200
    assert await browser.csrf_token()


@pytest.mark.parametrize(("address", "mark"), [(WELCOME, "?"), (f"{WELCOME}?tab=1", "&")])
async def test_a_pages_server_can_have_the_code_in_the_query(
    browser: Browser, provider: ProviderServer, clock: FakeClock, address: str, mark: str
) -> None:
    arrived = await log_in(browser, provider, clock, response_mode="query", return_to=address)
    location = arrived.headers["location"]
    assert re.fullmatch(rf"{re.escape(address)}\{mark}code=[\w-]{{43}}", location)


async def test_what_else_a_provider_sends_back_does_no_harm(
    browser: Browser, provider: ProviderServer, clock: FakeClock
) -> None:
    asked = await begin_login(browser)
    vouches(provider, asked, clock)
    more = {"session_state": "7", "scope": "openid", "hd": "example.com", "iss": provider.issuer}
    assert told(await come_back(browser, code="code-1", state=asked["state"], **more)).keys() == {"code"}


async def test_two_tabs_log_in_side_by_side(
    browser: Browser, provider: ProviderServer, clock: FakeClock
) -> None:
    tabs = [await begin_login(browser), await begin_login(browser, return_to=f"{WELCOME}?tab=2")]
    for asked in tabs:
        vouches(provider, asked, clock)
        assert "code=" in (await come_back(browser, code="code-1", state=asked["state"])).headers["location"]
    assert browser.cookies == {}


def kept(browser: Browser) -> str:
    (name,) = browser.cookies
    return name


async def test_an_answer_that_no_log_in_of_this_browser_asked_for_is_refused(
    browser: Browser, provider: ProviderServer, clock: FakeClock
) -> None:
    asked = await begin_login(browser)
    vouches(provider, asked, clock)
    victim = Browser(browser.client, origin=APP)
    mine = await begin_login(victim)
    state, other = asked["state"], mine["state"]
    sealed, theirs = browser.cookies[kept(browser)], victim.cookies[kept(victim)]

    async def with_cookies(state: str, **cookies: str) -> Response:
        victim.cookies = {f"{LOG_IN}{name[:16]}": value for name, value in cookies.items()}
        return await come_back(victim, code="code-1", state=state)

    refused = {
        "without a cookie": await with_cookies(state),
        "with the cookie of another log-in": await with_cookies(state, **{other: theirs}),
        "with it under this one's name": await with_cookies(state, **{state: theirs}),
        "with a state that begins alike": await with_cookies(f"{state[:16]}{'x' * 27}", **{state: sealed}),
        "with a part of the state": await with_cookies(state[:16], **{state: sealed}),
        "with more than the state": await with_cookies(f"{state}x", **{state: sealed}),
        "with a cookie that was changed": await with_cookies(state, **{state: f"{sealed[:-4]}AAAA"}),
        "with a cookie of nobody": await with_cookies(state, **{state: "a.b.c.d.e"}),
        "with an empty cookie": await with_cookies(state, **{state: ""}),
        "with no state": await with_cookies("", **{"": sealed}),
        "with strange characters": await with_cookies("é;\r\n", **{"": sealed}),
    }
    for how, answered in refused.items():
        assert (answered.status_code, answered.json()["type"]) == (422, "/problems/login-not-begun"), how
        assert "set-cookie" not in answered.headers, how
    assert "/token" not in provider.asked
    assert told(await come_back(browser, code="code-1", state=state)).keys() == {"code"}


async def test_an_answer_is_good_for_the_provider_that_was_asked_alone(
    browser: Browser, provider: ProviderServer, another: ProviderServer, clock: FakeClock
) -> None:
    asked = await begin_login(browser)
    vouches(another, asked, clock)
    answered = await come_back(browser, "second", code="code-1", state=asked["state"])
    assert answered.json()["type"] == "/problems/login-not-begun"
    assert "/token" not in another.asked


async def test_a_provider_cannot_answer_in_another_ones_place(
    browser: Browser, provider: ProviderServer, another: ProviderServer, clock: FakeClock
) -> None:
    asked = await begin_login(browser)
    vouches(provider, asked, clock)
    answered = await come_back(browser, code="code-1", state=asked["state"], iss=another.issuer)
    assert told(answered) == {"error": "login_failed"}
    assert "/token" not in provider.asked


async def test_a_log_in_is_over_after_ten_minutes_and_the_page_is_told(
    browser: Browser, provider: ProviderServer, clock: FakeClock
) -> None:
    asked = await begin_login(browser)
    clock.advance(timedelta(minutes=10))
    vouches(provider, asked, clock)
    answered = await come_back(browser, code="code-1", state=asked["state"])
    assert told(answered) == {"error": "login_expired"}
    assert "/token" not in provider.asked
    assert browser.cookies == {}


async def test_an_answer_that_comes_twice_logs_in_once(
    browser: Browser, provider: ProviderServer, clock: FakeClock
) -> None:
    asked = await begin_login(browser)
    cookies = dict(browser.cookies)
    vouches(provider, asked, clock)
    assert told(await come_back(browser, code="code-1", state=asked["state"])).keys() == {"code"}
    again = await come_back(browser, code="code-1", state=asked["state"])
    assert again.json()["type"] == "/problems/login-not-begun"
    # A browser that kept its cookie gets no further, even with a code that the provider takes.
    browser.cookies = cookies
    assert told(await come_back(browser, code="code-2", state=asked["state"])) == {"error": "login_used"}
    assert provider.asked.count("/token") == 1


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"error": "access_denied", "error_description": "<b>You</b> are out"}, "access_denied"),
        ({"error": "server_error"}, "temporarily_unavailable"),
        ({"error": '"><script>alert(1)</script>', "code": "code-1"}, "login_failed"),
        ({"error": "access_denied&admin=true"}, "login_failed"),
        ({}, "login_failed"),
    ],
)
async def test_what_went_wrong_at_the_provider_leads_back_in_our_own_words(
    browser: Browser, said: dict[str, str], error: str
) -> None:
    asked = await begin_login(browser)
    answered = await come_back(browser, state=asked["state"], **said)
    assert answered.headers["location"] == f"{WELCOME}#error={error}"
    assert browser.cookies == {}


@pytest.mark.parametrize("mode", ["tokens", "cookie"])
async def test_a_bad_id_token_opens_nothing(
    browser: Browser, provider: ProviderServer, clock: FakeClock, mode: str
) -> None:
    asked = await begin_login(browser, mode=mode, challenge=CHALLENGE if mode == "tokens" else None)
    vouches(provider, asked | {"nonce": "another"}, clock)
    answered = await come_back(browser, code="code-1", state=asked["state"])
    assert told(answered) == {"error": "login_failed"}
    assert browser.cookies == {}


async def test_a_provider_that_goes_away_meanwhile_leads_back_too(
    browser: Browser, provider: ProviderServer
) -> None:
    asked = await begin_login(browser)
    await provider.stop()
    answered = await come_back(browser, code="code-1", state=asked["state"])
    await provider.start()
    assert told(answered) == {"error": "temporarily_unavailable"}


@pytest.mark.parametrize("mode", ["tokens", "cookie"])
async def test_whoever_is_suspended_does_not_get_in_through_a_provider(
    browser: Browser, provider: ProviderServer, clock: FakeClock, begin: Begin[UnitOfWork], mode: str
) -> None:
    arrived = await log_in(browser, provider, clock)
    shown = await me(browser, await exchange(browser, told(arrived)["code"]))
    user_id = UserId(UUID(shown["id"]))
    async with begin() as uow:
        user = await uow.users.get(user_id)
        await uow.users.save(user.suspend(by=a_user_id(), at=uow.now))
    challenge = CHALLENGE if mode == "tokens" else None
    arrived = await log_in(browser, provider, clock, mode=mode, challenge=challenge)
    assert told(arrived) == {"error": "login_failed"}
    assert browser.cookies == {}


# ── the exchange ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def code(run: Runner[UnitOfWork], begin: Begin[UnitOfWork]) -> str:
    """What a page gets out of a log-in."""
    user = a_user()
    await store(begin, user)
    await run(make_exchange_code, user.id, code="c" * 43, challenge=CHALLENGE, authenticated_at=NOW)
    return "c" * 43


async def test_a_code_is_good_for_one_use(browser: Browser, code: str) -> None:
    assert (await exchange(browser, code)).status_code == 200
    again = await exchange(browser, code)
    assert (again.status_code, again.json()["type"]) == (401, "/problems/exchange-refused")


async def test_of_twenty_exchanges_at_once_one_succeeds(browser: Browser, code: str) -> None:
    answers = await asyncio.gather(*(exchange(browser, code) for _ in range(20)))
    assert sorted(answered.status_code for answered in answers) == [200] + [401] * 19


async def test_an_exchange_that_another_one_overtakes_is_refused(
    browser: Browser, code: str, empty_database_url: str
) -> None:
    connection = await asyncpg.connect(empty_database_url)
    async with connection.transaction():
        await connection.execute("DELETE FROM one_time_tokens WHERE token_hash = $1", fingerprint(code))
        second = asyncio.create_task(exchange(browser, code))
        await asyncio.sleep(0.5)
        assert not second.done(), "it has found the code, and waits to take it"
    assert (await second).json()["type"] == "/problems/exchange-refused"
    await connection.close()


@pytest.mark.parametrize(
    "verifier", ["", "v" * 42, "w" * 43, f"{'v' * 43}v", CHALLENGE, "v" * 200, "é" * 43, "v" * 42 + "\n"]
)
async def test_a_code_is_good_for_nobody_but_who_began(browser: Browser, code: str, verifier: str) -> None:
    refused = await exchange(browser, code, verifier)
    assert (refused.status_code, refused.json()["type"]) == (401, "/problems/exchange-refused")
    assert (await exchange(browser, code)).status_code == 200, "and a wrong try costs them nothing"


@pytest.mark.parametrize("code", ["", "x", "c" * 43, fingerprint("c" * 43), "é", "c" * 100_000])
async def test_a_code_of_nobody_is_refused(browser: Browser, code: str) -> None:
    refused = await browser.send("POST", "/v1/auth/exchange", json={"code": code, "verifier": VERIFIER})
    assert refused.status_code == 401


async def test_a_code_is_good_for_a_minute(browser: Browser, code: str, clock: FakeClock) -> None:
    clock.advance(EXCHANGE_LIFETIME - timedelta(seconds=1))
    later = clock.now
    clock.now = later + timedelta(seconds=1)
    assert (await exchange(browser, code)).status_code == 401
    clock.now = later
    assert (await exchange(browser, code)).status_code == 200


@pytest.mark.parametrize("purpose", [Purpose.VERIFY_EMAIL, Purpose.RESET_PASSWORD])
async def test_what_was_mailed_is_no_code(
    browser: Browser, begin: Begin[UnitOfWork], clock: FakeClock, purpose: Purpose
) -> None:
    user = a_user()
    token = a_one_time_token(
        purpose=purpose,
        user_id=user.id,
        token_hash=fingerprint("m" * 43),
        challenge=CHALLENGE,
        created_at=clock(),
    )
    await store(begin, user, token)
    assert (await exchange(browser, "m" * 43)).status_code == 401
