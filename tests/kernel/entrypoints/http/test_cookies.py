"""Sessions of browsers: what the cookie opens, and what a forged request cannot do with it."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from dependency_injector import providers
from httpx2 import AsyncClient
from pydantic import SecretStr

from adapters.postgres.kernel.connection.database import Database
from application.kernel.identity.secret_tokens import fingerprint
from application.kernel.unit_of_work import Begin
from domain.kernel.errors import Unauthenticated
from domain.kernel.identity.sessions import Session, SessionId, SessionKind
from domain.kernel.users import GlobalRole, User, UserId
from entrypoints.http.kernel.identity.cookies import DEVICE, SESSION, clear_cookie
from entrypoints.settings import Settings
from kernel.servers.browser import Browser
from kernel.specimen.service import Container, UnitOfWork
from kernel.world.builders import a_session, a_user, a_user_id, store
from kernel.world.fakes import FakeClock

APP = "https://app.example.com"
OWN = "http://localhost:8000"
PASSWORD = "a dozen unlikely penguins"
SECRET = "a" * 43

type Lets = Callable[..., Browser]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime.now(UTC))


@pytest.fixture
def settings(empty_database_url: str, same_site: Literal["lax", "strict", "none"]) -> Settings:
    return Settings(
        _env_file=None,
        database_url=SecretStr(empty_database_url),
        public_url=OWN,
        app_url="https://www.example.com/app",
        cors_origins=(APP,),
        auth_cookie_same_site=same_site,
    )


@pytest.fixture
def same_site() -> str:
    return "lax"


@pytest.fixture
def container(settings: Settings, database: Database, clock: FakeClock) -> Container:
    container = Container(settings=settings)
    container.database.override(providers.Object(database))
    container.clock.override(providers.Object(clock))
    return container


@pytest.fixture
def browser(client: AsyncClient) -> Browser:
    return Browser(client, origin=APP)


@pytest.fixture
async def ada(begin: Begin[UnitOfWork]) -> User:
    ada = a_user(display_name="Ada", roles=(GlobalRole.SUPPORT,))
    await store(begin, ada)
    return ada


@pytest.fixture
async def session(begin: Begin[UnitOfWork], ada: User, clock: FakeClock) -> Session:
    return await a_cookie_session(begin, ada.id, clock)


@pytest.fixture
def logged_in(browser: Browser, session: Session) -> Browser:
    browser.cookies[SESSION] = cookie_of(session)
    return browser


async def a_cookie_session(
    begin: Begin[UnitOfWork], user_id: UserId, clock: FakeClock, *, kind: SessionKind = SessionKind.COOKIE
) -> Session:
    session = a_session(user_id=user_id, kind=kind, token_hash=fingerprint(SECRET), created_at=clock())
    await store(begin, session)
    return session


def cookie_of(session: Session) -> str:
    return f"{session.id.hex}.{SECRET}"


async def end(begin: Begin[UnitOfWork], session_id: SessionId) -> None:
    async with begin() as uow:
        session = await uow.sessions.get(session_id)
        await uow.sessions.save(session.end(at=uow.now))


# ── getting one ──────────────────────────────────────────────────────────────────────────────────


async def register(browser: Browser) -> dict[str, str]:
    credentials = {"email": "ada@example.com", "password": PASSWORD}
    answer = await browser.send("POST", "/v1/auth/register", json=credentials | {"display_name": "Ada"})
    assert answer.status_code == 201
    return credentials


@pytest.mark.parametrize("same_site", ["lax", "strict", "none"])
async def test_a_password_opens_a_session_that_a_cookie_keeps(browser: Browser, same_site: str) -> None:
    credentials = await register(browser)
    answer = await browser.send("POST", "/v1/auth/cookie", json=credentials)
    assert (answer.status_code, answer.content) == (204, b"")
    kept = f"; Path=/; Secure; HttpOnly; SameSite={same_site.title()}; Max-Age="
    assert answer.headers.get_list("set-cookie") == [
        f"__Host-session={browser.cookies[SESSION]}{kept}2592000",
        f"__Host-device={browser.cookies[DEVICE]}{kept}31536000",
    ]
    assert (await browser.get("/v1/me")).json()["display_name"] == "Ada"


async def test_every_log_in_is_a_session_of_its_own(browser: Browser) -> None:
    credentials = await register(browser)
    await browser.send("POST", "/v1/auth/cookie", json=credentials)
    first = browser.cookies[SESSION]
    await browser.send("POST", "/v1/auth/cookie", json=credentials)
    assert browser.cookies[SESSION] != first


async def test_a_wrong_password_gets_no_cookie(browser: Browser) -> None:
    credentials = await register(browser)
    answer = await browser.send("POST", "/v1/auth/cookie", json=credentials | {"password": "x" * 20})
    assert answer.status_code == 401
    assert browser.cookies == {}


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "",
        f"{APP}.evil.example",
        "http://app.example.com",
        f"{APP}/",
        f"{APP} {APP}",
    ],
)
async def test_a_page_of_another_origin_logs_nobody_in(browser: Browser, origin: str) -> None:
    credentials = await register(browser)
    browser.origin = origin
    answer = await browser.send("POST", "/v1/auth/cookie", json=credentials)
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/foreign-origin")
    assert browser.cookies == {}


async def test_a_program_that_is_no_browser_may_log_in(browser: Browser) -> None:
    credentials = await register(browser)
    browser.origin = None
    assert (await browser.send("POST", "/v1/auth/cookie", json=credentials)).status_code == 204


# ── what it opens ────────────────────────────────────────────────────────────────────────────────


async def test_a_cookie_is_as_good_as_a_token_for_reading(logged_in: Browser, ada: User) -> None:
    answer = await logged_in.get("/v1/me")
    assert (answer.status_code, answer.json()["id"]) == (200, str(ada.id))


async def test_a_cookie_speaks_for_its_user_with_their_roles(
    container: Container, session: Session, ada: User
) -> None:
    identity = await container.cookie_verifier().verify(cookie_of(session))
    assert (identity.user_id, identity.subject, identity.issuer) == (ada.id, str(ada.id), OWN)
    assert identity.session_id == session.id
    assert identity.roles == {GlobalRole.SUPPORT}


async def test_an_authorization_header_always_wins(logged_in: Browser) -> None:
    for header in ("Bearer nonsense", "Basic YTpi", ""):
        answer = await logged_in.get("/v1/me", headers={"authorization": header})
        assert answer.status_code == 401, header


async def test_a_token_beside_a_cookie_speaks_for_its_own_bearer(
    logged_in: Browser, container: Container, begin: Begin[UnitOfWork], clock: FakeClock
) -> None:
    bob = a_user(display_name="Bob")
    session = a_session(user_id=bob.id, created_at=clock())
    await store(begin, bob, session)
    token = await container.token_issuer().issue(bob.id, session_id=session.id)
    # No browser adds this header by itself, so nothing more has to be shown.
    answer = await logged_in.send(
        "PATCH",
        "/v1/me",
        json={"display_name": "Robert"},
        headers={"authorization": f"Bearer {token.value}", "origin": "https://evil.example"},
    )
    assert (answer.status_code, answer.json()["display_name"]) == (200, "Robert")


TAMPERED: dict[str, Callable[[Session, Session], str]] = {
    "empty": lambda *_: "",
    "no id": lambda *_: SECRET,
    "no secret": lambda session, _: session.id.hex,
    "an empty secret": lambda session, _: f"{session.id.hex}.",
    "another secret": lambda session, _: f"{session.id.hex}.{'b' * 43}",
    "a longer secret": lambda session, _: f"{session.id.hex}.{SECRET}a",
    "the hash in place of the secret": lambda session, _: f"{session.id.hex}.{session.token_hash}",
    "another session's id": lambda _, __: f"{'0' * 32}.{SECRET}",
    "an id that is none": lambda *_: f"{'z' * 32}.{SECRET}",
    "a refresh token": lambda _, tokens: f"{tokens.id.hex}.{SECRET}",
    "a megabyte": lambda session, _: f"{session.id.hex}.{'a' * 1_000_000}",
    "no ASCII": lambda session, _: f"{session.id.hex}.\u00e9",
}


@pytest.mark.parametrize("tamper", TAMPERED.values(), ids=TAMPERED.keys())
async def test_a_cookie_that_is_not_a_sessions_own_is_refused(
    *,
    container: Container,
    browser: Browser,
    session: Session,
    begin: Begin[UnitOfWork],
    clock: FakeClock,
    tamper: Callable[[Session, Session], str],
) -> None:
    tokens = await a_cookie_session(begin, session.user_id, clock, kind=SessionKind.TOKENS)
    value = tamper(session, tokens)
    with pytest.raises(Unauthenticated, match="The session cookie is not valid"):
        await container.cookie_verifier().verify(value)
    browser.cookies[SESSION] = value
    assert (await browser.get("/v1/me")).status_code == 401


async def test_a_session_that_has_ended_opens_nothing_within_seconds(
    logged_in: Browser, session: Session, begin: Begin[UnitOfWork], clock: FakeClock
) -> None:
    assert (await logged_in.get("/v1/me")).status_code == 200
    await end(begin, session.id)
    clock.advance(timedelta(seconds=5))
    assert (await logged_in.get("/v1/me")).status_code == 401


async def test_a_suspended_users_cookie_opens_nothing_within_seconds(
    logged_in: Browser, database: Database, ada: User, begin: Begin[UnitOfWork], clock: FakeClock
) -> None:
    assert (await logged_in.get("/v1/me")).status_code == 200
    async with begin() as uow:
        user = await uow.users.get(ada.id)
        await uow.users.save(user.suspend(by=a_user_id(), at=uow.now))
    clock.advance(timedelta(seconds=5))
    assert (await logged_in.get("/v1/me")).status_code == 401


async def test_a_session_opens_nothing_from_the_instant_on_at_which_it_expires(
    logged_in: Browser, session: Session, clock: FakeClock
) -> None:
    clock.now = session.expires_at - timedelta(seconds=1)
    assert (await logged_in.get("/v1/me")).status_code == 200
    clock.now = session.expires_at
    assert (await logged_in.get("/v1/me")).status_code == 401


async def test_a_cookie_is_looked_up_once_within_seconds_and_in_one_statement(
    container: Container, session: Session, statements: list[str], clock: FakeClock
) -> None:
    verifier = container.cookie_verifier()
    del statements[:]
    for _ in range(3):
        await verifier.verify(cookie_of(session))
    await asyncio.sleep(0)
    assert len(statements) == 1
    clock.advance(timedelta(seconds=5))
    await verifier.verify(cookie_of(session))
    await asyncio.sleep(0)
    assert len(statements) == 2


# ── forged requests ──────────────────────────────────────────────────────────────────────────────

type Forged = dict[str, str | None]

FORGED: dict[str, tuple[Forged, str]] = {
    "no origin": ({"origin": None}, "foreign-origin"),
    "another origin": ({"origin": "https://evil.example"}, "foreign-origin"),
    "an opaque origin": ({"origin": "null"}, "foreign-origin"),
    "an origin that begins like ours": ({"origin": f"{APP}.evil.example"}, "foreign-origin"),
    "our origin without encryption": ({"origin": "http://app.example.com"}, "foreign-origin"),
    "our origin on another port": ({"origin": f"{APP}:8443"}, "foreign-origin"),
    "no token": ({"x-csrf-token": None}, "csrf-token-missing"),
    "an empty token": ({"x-csrf-token": ""}, "csrf-token-missing"),
    "a wrong token": ({"x-csrf-token": "A" * 43}, "csrf-token-wrong"),
    "a token of no ASCII": ({"x-csrf-token": "é"}, "csrf-token-wrong"),
    "neither": ({"origin": None, "x-csrf-token": None}, "foreign-origin"),
    "another origin, and a guess": (
        {"origin": "https://evil.example", "x-csrf-token": "A" * 43},
        "foreign-origin",
    ),
}


async def change(browser: Browser, forged: Forged | None = None, method: str = "PATCH") -> Any:
    headers: Forged = {"origin": browser.origin, "x-csrf-token": await browser.csrf_token()} | (forged or {})
    sent = {name: value for name, value in headers.items() if value is not None}
    page = Browser(browser.client)
    page.cookies = browser.cookies
    if method == "PATCH":
        return await page.send("PATCH", "/v1/me", json={"display_name": "Eve"}, headers=sent)
    return await page.send(method, "/v1/auth/cookie", headers=sent)


@pytest.mark.parametrize(
    "origin", [APP, OWN, "https://www.example.com", "HTTPS://WWW.Example.com", "https://www.example.com:443"]
)
async def test_pages_of_our_origins_make_changes_with_the_token(logged_in: Browser, origin: str) -> None:
    logged_in.origin = origin
    answer = await change(logged_in)
    assert (answer.status_code, answer.json()["display_name"]) == (200, "Eve")


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@pytest.mark.parametrize(("forged", "code"), FORGED.values(), ids=FORGED.keys())
async def test_a_forged_request_changes_nothing(
    logged_in: Browser, forged: Forged, code: str, method: str
) -> None:
    answer = await change(logged_in, forged, method)
    assert (answer.status_code, answer.json()["type"]) == (403, f"/problems/{code}")
    assert "www-authenticate" not in answer.headers
    assert (await logged_in.get("/v1/me")).json()["display_name"] == "Ada"


async def test_the_token_of_one_session_is_no_token_of_another(
    logged_in: Browser, begin: Begin[UnitOfWork], ada: User, clock: FakeClock
) -> None:
    token = await logged_in.csrf_token()
    logged_in.cookies[SESSION] = cookie_of(await a_cookie_session(begin, ada.id, clock))
    answer = await change(logged_in, {"x-csrf-token": token})
    assert answer.json()["type"] == "/problems/csrf-token-wrong"


async def test_without_a_good_cookie_a_change_is_401_whatever_else_it_carries(browser: Browser) -> None:
    browser.cookies[SESSION] = f"{'0' * 32}.{SECRET}"
    answer = await browser.send("PATCH", "/v1/me", json={"display_name": "Eve"})
    assert answer.status_code == 401


async def test_reading_needs_no_token_and_no_origin(logged_in: Browser) -> None:
    logged_in.origin = None
    for method in ("GET", "HEAD"):
        assert (await logged_in.send(method, "/v1/me")).status_code == 200


async def test_the_token_and_when_its_session_ends_are_told_to_whoever_has_the_cookie(
    logged_in: Browser, session: Session
) -> None:
    answer = await logged_in.get("/v1/auth/cookie")
    token = answer.json()["csrf_token"]
    assert len(token) == 43
    assert token not in cookie_of(session)
    assert SECRET not in answer.text
    assert datetime.fromisoformat(answer.json()["expires_at"]) == session.expires_at
    assert answer.headers["cache-control"] == "no-store"


async def test_there_is_no_token_without_a_cookie(
    logged_in: Browser, session: Session, container: Container
) -> None:
    logged_in.cookies.clear()
    assert (await logged_in.get("/v1/auth/cookie")).status_code == 401
    token = await container.token_issuer().issue(session.user_id, session_id=session.id)
    answer = await logged_in.get("/v1/auth/cookie", headers={"authorization": f"Bearer {token.value}"})
    assert answer.status_code == 401


# ── the end ──────────────────────────────────────────────────────────────────────────────────────


async def test_logging_out_ends_the_session_and_takes_the_cookie_back(
    logged_in: Browser, begin: Begin[UnitOfWork], session: Session, clock: FakeClock
) -> None:
    value = logged_in.cookies[SESSION]
    answer = await change(logged_in, method="DELETE")
    assert answer.status_code == 204
    assert answer.headers["set-cookie"].encode() == clear_cookie(SESSION, same_site="lax")[1]
    assert logged_in.cookies == {}
    async with begin() as uow:
        assert (await uow.sessions.get(session.id)).ended_at == clock()
    clock.advance(timedelta(seconds=5))
    logged_in.cookies[SESSION] = value
    assert (await logged_in.get("/v1/me")).status_code == 401


# ── pages of other origins ───────────────────────────────────────────────────────────────────────


async def preflight(client: AsyncClient, origin: str) -> dict[str, str]:
    asked = {
        "origin": origin,
        "access-control-request-method": "PATCH",
        "access-control-request-headers": "content-type,x-csrf-token",
    }
    answer = await client.request("OPTIONS", "/v1/me", headers=asked)
    return dict(answer.headers)


async def test_pages_of_listed_origins_may_send_cookies(client: AsyncClient) -> None:
    headers = await preflight(client, APP)
    assert headers["access-control-allow-origin"] == APP
    assert headers["access-control-allow-credentials"] == "true"
    assert "X-CSRF-Token" in headers["access-control-allow-headers"]


async def test_pages_of_other_origins_read_nothing(logged_in: Browser) -> None:
    assert "access-control-allow-origin" not in await preflight(logged_in.client, "https://evil.example")
    answer = await logged_in.get("/v1/auth/cookie", headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers


class TestAnyOrigin:
    @pytest.fixture
    def settings(self, empty_database_url: str) -> Settings:
        return Settings(
            _env_file=None,
            database_url=SecretStr(empty_database_url),
            public_url=OWN,
            cors_origins=("*",),
        )

    async def test_where_any_page_may_call_none_may_with_cookies(self, logged_in: Browser) -> None:
        headers = await preflight(logged_in.client, "https://evil.example")
        assert headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in headers
        answer = await logged_in.get("/v1/auth/cookie", headers={"origin": "https://evil.example"})
        assert "access-control-allow-credentials" not in answer.headers
        logged_in.origin = "https://evil.example"
        assert (await change(logged_in)).json()["type"] == "/problems/foreign-origin"
