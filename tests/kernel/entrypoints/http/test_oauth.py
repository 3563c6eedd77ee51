"""What tools and other services ask of the built-in provider: tokens, revocation, introspection."""

import base64
from typing import Any
from urllib.parse import quote_plus

import pytest
from httpx2 import AsyncClient, Response
from pydantic import SecretStr

from application.kernel.identity.attempts import FAILURES_OF_ACCOUNT_FROM_ADDRESS
from entrypoints.settings import Settings
from kernel.world.builders import an_email
from kernel.world.people import PASSWORD

CLIENT, SECRET = "gateway", "a secret: of 32 characters & more"
FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Nothing is remembered of a token, so that what ends, ends at once."""
    clients = SecretStr(f"{CLIENT}:{SECRET},other:{'x' * 32}")
    return settings.model_copy(update={"auth_recheck_seconds": 300, "auth_introspection_clients": clients})


@pytest.fixture
async def email(client: AsyncClient) -> str:
    email = an_email()
    person = {"email": email, "password": PASSWORD, "display_name": "Ada Lovelace"}
    await client.post("/v1/auth/register", json=person)
    return email


@pytest.fixture
async def tokens(client: AsyncClient, email: str) -> dict[str, Any]:
    return await ok(client, grant_type="password", username=email, password=PASSWORD)


async def ok(client: AsyncClient, **form: str) -> dict[str, Any]:
    answer = await client.post("/v1/auth/token", data=form)
    assert answer.status_code == 200, answer.text
    tokens: dict[str, Any] = answer.json()
    return tokens


def error_of(answer: Response) -> tuple[int, str]:
    """What OAuth calls it. As a problem it has been held against the document by then."""
    return answer.status_code, answer.json()["error"]


async def me(client: AsyncClient, tokens: dict[str, Any]) -> int:
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    return (await client.get("/v1/me", headers=headers)).status_code


# ── tokens ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_password_gives_tokens_and_a_refresh_token_the_next(
    client: AsyncClient, tokens: dict[str, Any]
) -> None:
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 600)
    assert await me(client, tokens) == 200
    successor = await ok(client, grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert await me(client, successor) == 200
    await ok(client, grant_type="refresh_token", refresh_token=successor["refresh_token"])
    again = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert error_of(await client.post("/v1/auth/token", data=again)) == (400, "invalid_grant")


async def test_no_cache_keeps_a_token(client: AsyncClient, email: str) -> None:
    form = {"grant_type": "password", "username": email, "password": PASSWORD}
    answer = await client.post("/v1/auth/token", data=form)
    assert answer.headers["cache-control"] == "no-store"


async def test_what_a_client_says_of_itself_is_not_needed(client: AsyncClient, email: str) -> None:
    form = {
        "grant_type": "password",
        "username": email,
        "password": PASSWORD,
        "scope": "",
        "client_id": "docs",
    }
    answer = await client.post("/v1/auth/token", data=form, headers={"authorization": "Basic Og=="})
    assert answer.status_code == 200


async def test_a_wrong_password_and_an_unknown_address_look_the_same(client: AsyncClient, email: str) -> None:
    wrong = {"grant_type": "password", "username": email, "password": "guess"}
    unknown = {"grant_type": "password", "username": an_email(), "password": PASSWORD}
    answers = [await client.post("/v1/auth/token", data=form) for form in (wrong, unknown)]
    said = [{**answer.json(), "trace_id": ""} for answer in answers]
    assert said[0] == said[1]
    assert error_of(answers[0]) == (400, "invalid_grant")


async def test_guesses_are_counted_here_as_they_are_everywhere(client: AsyncClient, email: str) -> None:
    form = {"grant_type": "password", "username": email, "password": "guess"}
    for _ in range(FAILURES_OF_ACCOUNT_FROM_ADDRESS):
        await client.post("/v1/auth/token", data=form)
    refused = await client.post("/v1/auth/token", data=form | {"password": PASSWORD})
    assert refused.status_code == 429
    assert "retry-after" in refused.headers
    login = await client.post("/v1/auth/login", json={"email": email, "password": PASSWORD})
    assert login.status_code == 429


@pytest.mark.parametrize("grant", ["client_credentials", "authorization_code", "PASSWORD"])
async def test_there_is_no_other_way_to_a_token(client: AsyncClient, grant: str) -> None:
    refused = await client.post("/v1/auth/token", data={"grant_type": grant})
    assert error_of(refused) == (400, "unsupported_grant_type")


async def test_where_people_log_in_at_a_provider_there_is_no_password_grant(
    client: AsyncClient, app: Any, email: str
) -> None:
    app.state.provided.login._enabled = False
    form = {"grant_type": "password", "username": email, "password": PASSWORD}
    refused = await client.post("/v1/auth/token", data=form)
    assert error_of(refused) == (400, "unsupported_grant_type")
    refused = await client.post("/v1/auth/login", json={"email": email, "password": PASSWORD})
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/passwords-disabled")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"grant_type",
        b"grant_type=password",
        b"grant_type=password&username=&password=x",
        b"grant_type=refresh_token",
        b"grant_type=password&username=a&username=b&password=x",
        b"grant_type=password&username=a%00&password=x",
        b"grant_type=password&username=%ff&password=x",
        b"grant_type=password&username=\xff&password=x",
        b"&".join(b"a%d=1" % number for number in range(30)),
        b"grant_type=refresh_token&refresh_token=" + b"x" * 70_000,
        b'{"grant_type": "password"}',
    ],
)
@pytest.mark.parametrize("path", ["/v1/auth/token", "/v1/auth/revoke", "/v1/auth/introspect"])
async def test_what_is_no_form_with_what_is_needed_is_an_invalid_request(
    path: str, body: bytes, client: AsyncClient
) -> None:
    refused = await client.post(path, content=body, headers={**FORM, **as_client()})
    assert error_of(refused) == (400, "invalid_request")


@pytest.mark.parametrize(
    "media_type",
    ["", "application/json", "multipart/form-data; boundary=x", f"{FORM['content-type']}; charset=utf-16"],
)
async def test_a_form_has_to_say_that_it_is_one(media_type: str, client: AsyncClient) -> None:
    refused = await client.post(
        "/v1/auth/token", content=b"grant_type=password", headers={"content-type": media_type}
    )
    assert error_of(refused) == (400, "invalid_request")


@pytest.mark.parametrize(
    "parameters", [";", "; charset=utf8", ";charset=UTF-8;", "; boundary=x", ' ; a="b;c"']
)
async def test_parameters_of_a_form_have_no_effect(parameters: str, client: AsyncClient) -> None:
    media_type = FORM["content-type"] + parameters
    refused = await client.post(
        "/v1/auth/token", content=b"grant_type=x", headers={"content-type": media_type}
    )
    assert error_of(refused) == (400, "unsupported_grant_type")


# ── revocation ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
@pytest.mark.parametrize("hint", ["", "access_token", "refresh_token", "nonsense"])
async def test_either_token_ends_the_session(
    kind: str, hint: str, client: AsyncClient, tokens: dict[str, Any]
) -> None:
    revoked = await client.post("/v1/auth/revoke", data={"token": tokens[kind], "token_type_hint": hint})
    assert revoked.status_code == 200
    assert await me(client, tokens) == 401
    refresh = await client.post("/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert refresh.status_code == 401
    again = await client.post("/v1/auth/revoke", data={"token": tokens[kind]})
    assert again.status_code == 200


async def test_a_token_that_nobody_knows_is_no_error_and_ends_nothing(
    client: AsyncClient, tokens: dict[str, Any]
) -> None:
    session, _, _ = tokens["refresh_token"].partition(".")
    header, payload, _ = tokens["access_token"].split(".")
    for token in (f"{session}.guess", session, f"{header}.{payload}.AAAA", "a.b.c", "nonsense", "é"):
        assert (await client.post("/v1/auth/revoke", data={"token": token})).status_code == 200
    assert await me(client, tokens) == 200


# ── introspection ────────────────────────────────────────────────────────────────────────────────


def as_client(name: str = CLIENT, secret: str = SECRET) -> dict[str, str]:
    pair = f"{quote_plus(name)}:{quote_plus(secret)}"
    return {"authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


async def introspect(client: AsyncClient, token: str) -> dict[str, Any]:
    answer = await client.post("/v1/auth/introspect", data={"token": token}, headers=as_client())
    assert answer.status_code == 200
    said: dict[str, Any] = answer.json()
    return said


async def test_a_client_learns_what_a_good_token_says(
    client: AsyncClient, tokens: dict[str, Any], settings: Settings
) -> None:
    said = await introspect(client, tokens["access_token"])
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    profile = (await client.get("/v1/me", headers=headers)).json()
    assert said == {
        "active": True,
        "iss": settings.public_url,
        "sub": profile["id"],
        "aud": settings.auth_audience,
        "client_id": settings.auth_audience,
        "exp": said["iat"] + 600,
        "iat": said["iat"],
        "sid": said["sid"],
        "token_type": "Bearer",
    }
    assert said["sid"].replace("-", "") == tokens["refresh_token"].split(".")[0]


async def test_of_a_token_that_is_not_good_it_learns_nothing_else(
    client: AsyncClient, tokens: dict[str, Any]
) -> None:
    header, payload, _ = tokens["access_token"].split(".")
    for token in (f"{header}.{payload}.AAAA", "a.b.c", "nonsense", tokens["refresh_token"]):
        assert await introspect(client, token) == {"active": False}
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    await client.post("/v1/auth/logout", headers=headers)
    assert await introspect(client, tokens["access_token"]) == {"active": False}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        as_client(secret="wrong"),
        as_client(secret=""),
        as_client(name="nobody"),
        as_client(name="nobody", secret=""),
        as_client(secret="x" * 32),
        {"authorization": f"Bearer {SECRET}"},
        {"authorization": as_client()["authorization"].replace("Basic", "Bearer")},
        {"authorization": "Basic"},
        {"authorization": "Basic !"},
        {"authorization": "Basic /w=="},
    ],
)
async def test_whoever_is_no_client_learns_nothing(
    headers: dict[str, str], client: AsyncClient, tokens: dict[str, Any]
) -> None:
    refused = await client.post(
        "/v1/auth/introspect", data={"token": tokens["access_token"]}, headers=headers
    )
    assert error_of(refused) == (401, "invalid_client")
    assert refused.headers["www-authenticate"].startswith("Basic ")


async def test_each_client_has_a_secret_of_its_own(client: AsyncClient) -> None:
    answer = await client.post(
        "/v1/auth/introspect", data={"token": "x"}, headers=as_client("other", "x" * 32)
    )
    assert answer.json() == {"active": False}


class TestWithoutClients:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"auth_introspection_clients": SecretStr("")})

    @pytest.mark.parametrize("headers", [{}, as_client(), as_client(name="", secret="")])
    async def test_nobody_introspects(self, headers: dict[str, str], client: AsyncClient) -> None:
        refused = await client.post("/v1/auth/introspect", data={"token": "x"}, headers=headers)
        assert error_of(refused) == (401, "invalid_client")
