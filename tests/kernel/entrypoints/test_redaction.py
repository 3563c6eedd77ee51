"""What is taken out of the logs, and what is left."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from entrypoints.kernel.redaction import REDACTED, redact

JWE = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..aXY.dGV4dA.dGFn"
JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
PEM = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMG\n-----END PRIVATE KEY-----"


def redacted(value: object, *, key: str = "value") -> Any:
    return redact(None, "info", {key: value})[key]


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "Password",
        "new_password",
        "password_hash",
        "token",
        "access_token",
        "refreshToken",
        "tokens",
        "Authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "Cookies",
        "secret",
        "CLIENT_SECRET",
        "credentials",
        "email",
        "userEmail",
        "http.request.header.authorization",
        "XAuthToken",
        "Reauthentication-Token",
        "jwt",
        "dsn",
    ],
)
@pytest.mark.parametrize("value", ["s3cret", 7, ["s3cret"], {"a": "s3cret"}, b"s3cret"], ids=repr)
def test_what_a_secret_key_holds_is_taken_out(key: str, value: object) -> None:
    assert redacted(value, key=key) == REDACTED
    assert redacted({key: value}) == {key: REDACTED}
    assert redacted([{"deeper": {key: value}}]) == [{"deeper": {key: REDACTED}}]


@pytest.mark.parametrize("key", ["user_id", "route", "status", "jti_sha256", "tokenizer", "secretary", "key"])
def test_other_keys_keep_what_they_hold(key: str) -> None:
    assert redacted("plain", key=key) == "plain"


def test_a_secret_that_is_absent_is_seen_to_be_absent() -> None:
    assert redacted(None, key="token") is None
    assert redacted({"token": None}) == {"token": None}


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (JWT, REDACTED),
        (f"refused {JWT}, sorry", f"refused {REDACTED}, sorry"),
        (JWT.rpartition(".")[0] + ".", REDACTED),
        (f"refused {JWE}, sorry", f"refused {REDACTED}, sorry"),
        ("Authorization: Bearer abc.def-123", f"Authorization: Bearer {REDACTED}"),
        ("BEARER abcdefgh12345", f"BEARER {REDACTED}"),
        ("Basic YWRhOnMzY3JldA==", f"Basic {REDACTED}"),
        (f"a key: {PEM}!", f"a key: {REDACTED}!"),
        (PEM.partition("-----END")[0], REDACTED),
        ("postgresql://ada:s3cret@db:5432/shop", f"postgresql://{REDACTED}@db:5432/shop"),
        ("redis://:s3cret@cache", f"redis://{REDACTED}@cache"),
        ("Login(password='hun ter2', n=1)", f"Login(password={REDACTED}, n=1)"),
        ('{"access_token": "abc", "n": 1}', f'{{"access_token": {REDACTED}, "n": 1}}'),
        ("{'clientSecret': 'abc'}", f"{{'clientSecret': {REDACTED}}}"),
        ("GET /reset?token=abc&n=1", f"GET /reset?token={REDACTED}&n=1"),
        ("PASSWORD = hunter2", f"PASSWORD = {REDACTED}"),
        ("ada@example.com is taken", f"{REDACTED} is taken"),
        ("from ada.b+c@mail.example.com to bob@example.com", f"from {REDACTED} to {REDACTED}"),
        ("zoë@exämple.com", REDACTED),
    ],
)
def test_what_looks_like_a_secret_is_taken_out_of_any_text(text: str, left: str) -> None:
    assert redacted(text) == left
    assert redacted(text, key="event") == left
    assert redacted({"a": [text]}) == {"a": [left]}


@pytest.mark.parametrize(
    "text",
    [
        "GET /v1/specimen_orders/{id}",
        "https://api.example.com:8080/a?b=c",
        "a bearer of news",
        "basic needs",
        "@decorator",
        "2026-11-02T09:30:15Z",
        "eyJ is how they begin",
        "access token refused",
        "the password has 15 characters",
    ],
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert redacted(text) == text


class Colour(StrEnum):
    RED = "red"


@dataclass
class Login:
    password: str
    email: str = "ada@example.com"


@pytest.mark.parametrize(
    ("value", "left"),
    [
        (7, 7),
        (1.5, 1.5),
        (True, True),
        (None, None),
        (UUID(int=1), UUID(int=1)),
        (datetime(2026, 11, 2, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)),
        (Colour.RED, "red"),
        (("a", {"b"}), ["a", ["b"]]),
        ({1: "a"}, {"1": "a"}),
        (SecretStr("s3cret"), "SecretStr('**********')"),
        (Login, repr(Login)),
        (Login("hunter2").email, REDACTED),
    ],
    ids=repr,
)
def test_what_remains_is_what_json_can_say(value: object, left: object) -> None:
    assert redacted(value) == left


def test_an_object_is_shown_by_its_repr_without_what_looks_like_a_secret() -> None:
    shown = redacted(Login("hunter2"))
    assert "Login" in shown
    assert "ada@" not in shown
    assert "hunter2" not in shown


class DriversUUID(UUID):
    """As asyncpg has one of its own."""


def test_a_driver_s_own_id_is_shown_as_an_id() -> None:
    assert redacted(DriversUUID(int=1)) == str(UUID(int=1))


def test_what_contains_itself_comes_to_an_end() -> None:
    endless: list[object] = []
    endless.append(endless)
    assert "…" in str(redacted(endless))


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_nothing_breaks_it(value: object) -> None:
    redacted(value)
    redacted(value, key="token")
