"""Registering, logging in and refreshing over HTTP, with the real tokens and the real hash."""

from typing import Any

import pytest
from httpx2 import AsyncClient

from builders import an_email

PASSWORD = "correct horse battery staple"


@pytest.fixture
def person() -> dict[str, str]:
    return {"email": an_email(), "password": PASSWORD, "display_name": "Ada Lovelace"}


@pytest.fixture
def credentials(person: dict[str, str]) -> dict[str, str]:
    return {"email": person["email"], "password": person["password"]}


async def test_whoever_registers_can_log_in_and_see_their_profile(
    client: AsyncClient, person: dict[str, str], credentials: dict[str, str]
) -> None:
    registered = await client.post("/v1/auth/register", json=person)
    assert registered.status_code == 201
    logged_in = await client.post("/v1/auth/login", json=credentials)
    assert logged_in.status_code == 200
    tokens = logged_in.json()
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 600)
    profile = await client.get(
        registered.headers["location"], headers={"authorization": f"bearer {tokens['access_token']}"}
    )
    assert profile.json() == registered.json()
    assert profile.json() == profile.json() | {
        "email": person["email"],
        "display_name": "Ada Lovelace",
        "version": 1,
    }


async def test_an_address_registers_once_however_it_is_spelled(
    client: AsyncClient, person: dict[str, str]
) -> None:
    await client.post("/v1/auth/register", json=person)
    again = await client.post("/v1/auth/register", json=person | {"email": person["email"].upper()})
    assert (again.status_code, again.json()["type"]) == (409, "/problems/email-taken")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"email": "nobody"}, "#/email"),
        ({"email": "a" * 250 + "@example.com"}, "#/email"),
        ({"password": "short"}, "#/password"),
        ({"password": "a" * 129}, "#/password"),
        ({"display_name": " "}, "#/display_name"),
        ({"display_name": "two\nlines"}, "#/display_name"),
        ({"is_admin": True}, "#/is_admin"),
    ],
)
async def test_a_registration_that_is_not_valid_is_refused_by_place(
    client: AsyncClient, person: dict[str, str], change: dict[str, object], pointer: str
) -> None:
    refused = await client.post("/v1/auth/register", json=person | change)
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]


async def test_no_answer_repeats_a_password(client: AsyncClient, person: dict[str, str]) -> None:
    for password in ("too short", 12345678, ["too short"], "a" * 500):
        refused = await client.post("/v1/auth/register", json=person | {"password": password})
        assert refused.status_code == 422
        assert "too short" not in refused.text
        assert "12345678" not in refused.text
        assert "aaaa" not in refused.text


async def test_a_wrong_password_and_an_unknown_address_look_the_same(
    client: AsyncClient, person: dict[str, str], credentials: dict[str, str]
) -> None:
    await client.post("/v1/auth/register", json=person)
    wrong = await client.post("/v1/auth/login", json=credentials | {"password": "something else entirely"})
    unknown = await client.post("/v1/auth/login", json=credentials | {"email": an_email()})
    no_address = await client.post("/v1/auth/login", json=credentials | {"email": "nobody"})

    def without_trace(problem: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in problem.items() if name != "trace_id"}

    for answer in (wrong, unknown, no_address):
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert without_trace(answer.json()) == without_trace(wrong.json())
    assert wrong.json()["type"] == "/problems/wrong-credentials"


async def test_a_refresh_token_is_good_for_one_use(
    client: AsyncClient, person: dict[str, str], credentials: dict[str, str]
) -> None:
    await client.post("/v1/auth/register", json=person)
    first = (await client.post("/v1/auth/login", json=credentials)).json()
    used = {"refresh_token": first["refresh_token"]}
    second = await client.post("/v1/auth/refresh", json=used)
    assert second.status_code == 200
    assert second.json()["refresh_token"] != first["refresh_token"]
    again = await client.post("/v1/auth/refresh", json=used)
    assert (again.status_code, again.json()["type"]) == (401, "/problems/session-ended")
    after_reuse = await client.post(
        "/v1/auth/refresh", json={"refresh_token": second.json()["refresh_token"]}
    )
    assert after_reuse.status_code == 401


@pytest.mark.parametrize(
    "token", ["", ".", "nonsense", "\u0007.x", "0" * 32 + ".x", "é" * 32 + "." + "é" * 43]
)
async def test_what_is_no_refresh_token_ends_in_401(client: AsyncClient, token: str) -> None:
    refused = await client.post("/v1/auth/refresh", json={"refresh_token": token})
    assert (refused.status_code, refused.json()["type"]) == (401, "/problems/session-ended")
