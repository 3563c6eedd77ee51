"""What the settings accept, what they refuse and how they say it."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, RSAKey
from pydantic import ValidationError

from entrypoints.settings import ROOT, SERVICE_NAME, SERVICE_VERSION, Settings, load_settings
from entrypoints.settings_text import env_example, problems

DATABASE_URL = "postgresql://ada:s3cret@db:5432/shop"
PEM = ECKey.generate_key("P-256").as_pem(private=True).decode()
HTTPS = "https://api.example.com"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable and no .env of whoever runs the tests."""
    for name in list(os.environ):
        if name.lower() in Settings.model_fields:
            monkeypatch.delenv(name)
    monkeypatch.setitem(Settings.model_config, "env_file", None)


def with_environment(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in ({"DATABASE_URL": DATABASE_URL} | variables).items():
        monkeypatch.setenv(name, value)


def complaints(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What `load_settings` says before it ends the process with status 2."""
    with pytest.raises(SystemExit) as ended:
        load_settings()
    assert ended.value.code == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert "Traceback" not in errors
    heading, *lines = errors.splitlines()
    assert heading == "The settings are not right:"
    return [line.strip() for line in lines]


# ── what is accepted ─────────────────────────────────────────────────────────────────────────────


def test_a_database_is_all_that_has_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with_environment(monkeypatch)
    settings = load_settings()
    assert settings.environment == "development"
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.public_url == "http://localhost:8000"
    assert settings.auth_audience == SERVICE_NAME
    assert settings.cors_origins == ()
    assert settings.signing_key_pem is None


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg"])
@pytest.mark.parametrize(
    "rest", ["ada:s3cret@db:5432/shop", "ada@/shop?host=/run/postgresql", "ada:p%40ss@[::1]:5432/shop"]
)
def test_an_address_of_a_postgresql_has_one_spelling(scheme: str, rest: str) -> None:
    settings = Settings(database_url=f"{scheme}://{rest}")
    assert settings.database_url.get_secret_value() == f"postgresql://{rest}"


def test_the_public_address_follows_the_port_unless_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with_environment(monkeypatch, PORT="8080")
    assert load_settings().public_url == "http://localhost:8080"
    with_environment(monkeypatch, PUBLIC_URL=f"{HTTPS}/shop/")
    assert load_settings().public_url == f"{HTTPS}/shop"


def test_origins_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    with_environment(monkeypatch, CORS_ORIGINS="https://a.example.com, http://localhost:5173,")
    assert load_settings().cors_origins == ("https://a.example.com", "http://localhost:5173")


def test_an_empty_value_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    with_environment(monkeypatch, PORT="", AUTH_SIGNING_KEY="", CORS_ORIGINS="")
    settings = load_settings()
    assert (settings.port, settings.auth_signing_key, settings.cors_origins) == (8000, None, ())


@pytest.mark.parametrize(
    "pem", [PEM, PEM.replace("\n", "\\n"), f"\n {PEM}\n"], ids=["lines", "escaped", "spaces"]
)
def test_a_signing_key_may_stand_on_one_line(pem: str) -> None:
    settings = Settings(database_url=DATABASE_URL, auth_signing_key=pem)
    assert settings.signing_key_pem == PEM.strip()


def test_the_level_may_be_in_capitals(monkeypatch: pytest.MonkeyPatch) -> None:
    with_environment(monkeypatch, LOG_LEVEL="WARNING")
    assert load_settings().log_level == "warning"


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=1111\nHOST=0.0.0.0\nSOMETHING_ELSE=1\n")
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    with_environment(monkeypatch, PORT="2222")
    settings = load_settings()
    assert (settings.port, settings.host) == (2222, "0.0.0.0")  # noqa: S104 (read, not bound)


def test_production_accepts_what_is_good_for_production() -> None:
    settings = Settings(
        environment="production",
        database_url=DATABASE_URL,
        public_url=HTTPS,
        auth_signing_key=PEM,
        cors_origins="https://app.example.com",
    )
    assert settings.environment == "production"


@pytest.mark.parametrize("url", ["http://localhost:8000", "http://127.0.0.1", "http://[::1]:8000"])
def test_production_on_this_machine_may_do_without_https(url: str) -> None:
    settings = Settings(
        environment="production", database_url=DATABASE_URL, public_url=url, auth_signing_key=PEM
    )
    assert settings.public_url == url


def test_nothing_changes_the_settings_afterwards() -> None:
    settings = Settings(database_url=DATABASE_URL)
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1  # type: ignore[misc]


# ── what is refused ──────────────────────────────────────────────────────────────────────────────

NUMBERS = {
    "DATABASE_POOL_SIZE": "a whole number from 1 to 1000, such as 10",
    "DATABASE_WAIT_SECONDS": "a number above 0 to 3600, such as 1.0",
    "DATABASE_CONNECT_SECONDS": "a number above 0 to 3600, such as 2.0",
    "DATABASE_STATEMENT_SECONDS": "a number above 0 to 3600, such as 10.0",
    "DATABASE_LOCK_SECONDS": "a number above 0 to 3600, such as 5.0",
    "PORT": "a whole number from 1 to 65535, such as 8000",
    "WORKERS": "a whole number from 1 to 64, such as 1",
    "MAX_BODY_BYTES": "a whole number from 1024 to 1073741824, such as 1048576",
    "SHUTDOWN_SECONDS": "a whole number from 0 to 600, such as 20",
    "AUTH_ACCESS_TOKEN_SECONDS": "a whole number from 10 to 86400, such as 600",
    "AUTH_SESSION_DAYS": "a whole number from 1 to 400, such as 30",
    "AUTH_CACHED_TOKENS": "a whole number from 1 to 1000000, such as 10000",
    "PASSWORD_HASHERS": "a whole number from 1 to 64, such as 2",
    "PASSWORD_QUEUE": "a whole number from 0 to 10000, such as 50",
    "OUTBOX_ATTEMPTS": "a whole number from 1 to 100, such as 10",
    "OUTBOX_POLL_SECONDS": "a number above 0 to 3600, such as 5.0",
}
CHOICES = {
    "ENVIRONMENT": "development or production",
    "AUTH_PROVIDER": "local",
    "LOG_LEVEL": "debug or info or warning or error",
    "LOG_FORMAT": "auto or console or json",
}


@pytest.mark.parametrize("value", ["-1", "many", "nan", "inf", "99999999999"])
@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_out_of_range_is_refused_with_its_range(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_environment(monkeypatch, **{name: value})
    assert complaints(capsys) == [f"{name} is {value!r}. It takes {NUMBERS[name]}."]


@pytest.mark.parametrize("name", CHOICES)
def test_a_word_that_is_no_choice_is_refused_with_the_choices(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_environment(monkeypatch, **{name: "other"})
    assert complaints(capsys) == [f"{name} is 'other'. It takes {CHOICES[name]}."]


def test_every_number_and_every_choice_is_in_the_tables_above() -> None:
    free = {"DATABASE_URL", "HOST", "PUBLIC_URL", "CORS_ORIGINS", "AUTH_SIGNING_KEY", "AUTH_AUDIENCE"}
    assert {name.upper() for name in Settings.model_fields} == {*NUMBERS, *CHOICES, *free}


EXAMPLE = "postgresql://user:password@localhost:5432/name"
KEY_REMEDY = "Put the output of `python -m entrypoints.cli signing-key` there."
UNFIT_KEY = f"AUTH_SIGNING_KEY is no private key of EC P-256 as an unencrypted PEM. {KEY_REMEDY}"
UNREADABLE_URL = (
    f"DATABASE_URL cannot be read. Write it as {EXAMPLE}; "
    "in a password write / ? # [ ] @ : as %2F %3F %23 %5B %5D %40 %3A."
)
PRODUCTION = {"ENVIRONMENT": "production", "PUBLIC_URL": HTTPS, "AUTH_SIGNING_KEY": PEM}

REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "another database": (
        {"DATABASE_URL": "mysql://ada:s3cret@db/shop"},
        f"DATABASE_URL does not name a PostgreSQL. Write it as {EXAMPLE}.",
    ),
    "no address of a database": (
        {"DATABASE_URL": "s3cret"},
        f"DATABASE_URL does not name a PostgreSQL. Write it as {EXAMPLE}.",
    ),
    "a database's port that is none": (
        {"DATABASE_URL": "postgresql://ada:s3cret@db:port/shop"},
        UNREADABLE_URL,
    ),
    "a public address that is none": (
        {"PUBLIC_URL": "api.example.com"},
        "PUBLIC_URL is not a plain web address. Write it like https://api.example.com.",
    ),
    "a public address with a query": (
        {"PUBLIC_URL": f"{HTTPS}/?a=1"},
        "PUBLIC_URL is not a plain web address. Write it like https://api.example.com.",
    ),
    "a public address with a password": (
        {"PUBLIC_URL": "https://ada:s3cret@api.example.com"},
        "PUBLIC_URL is not a plain web address. Write it like https://api.example.com.",
    ),
    "a public address with a space": (
        {"PUBLIC_URL": "https://api.example.com/a b"},
        "PUBLIC_URL is not a plain web address. Write it like https://api.example.com.",
    ),
    "a public address with a broken port": (
        {"PUBLIC_URL": "https://api.example.com:port"},
        "PUBLIC_URL is not a plain web address. Write it like https://api.example.com.",
    ),
    "an origin with a path": (
        {"CORS_ORIGINS": "https://a.example.com,https://b.example.com/"},
        "CORS_ORIGINS has 'https://b.example.com/'. An origin is https://app.example.com, without a path.",
    ),
    "an origin that is a host": (
        {"CORS_ORIGINS": "example.com"},
        "CORS_ORIGINS has 'example.com'. An origin is https://app.example.com, without a path.",
    ),
    "a key that is no PEM": (
        {"AUTH_SIGNING_KEY": "s3cret"},
        UNFIT_KEY,
    ),
    "a key with a passphrase": (
        {"AUTH_SIGNING_KEY": ECKey.generate_key("P-256").as_pem(private=True, password="s3cret").decode()},
        UNFIT_KEY,
    ),
    "a key of RSA": (
        {"AUTH_SIGNING_KEY": RSAKey.generate_key(2048).as_pem(private=True).decode()},
        UNFIT_KEY,
    ),
    "a public key": (
        {"AUTH_SIGNING_KEY": ECKey.generate_key("P-256").as_pem(private=False).decode()},
        UNFIT_KEY,
    ),
    "a key of another curve": (
        {"AUTH_SIGNING_KEY": ECKey.generate_key("P-384").as_pem(private=True).decode()},
        UNFIT_KEY,
    ),
    "several workers without a key": (
        {"WORKERS": "2"},
        f"AUTH_SIGNING_KEY is missing, and more than one of WORKERS have to share it. {KEY_REMEDY}",
    ),
    "production without a key": (
        PRODUCTION | {"AUTH_SIGNING_KEY": ""},
        f"AUTH_SIGNING_KEY is missing, and production needs one that stays. {KEY_REMEDY}",
    ),
    "production with any origin": (
        PRODUCTION | {"CORS_ORIGINS": "*"},
        "CORS_ORIGINS is *. In production list the origins, such as https://app.example.com.",
    ),
    "production without https": (
        PRODUCTION | {"PUBLIC_URL": "http://api.example.com"},
        "PUBLIC_URL is not https. In production write https://…; only localhost may do without.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_setting_is_named_with_its_remedy_and_without_its_secret(
    case: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    variables, complaint = REFUSED[case]
    with_environment(monkeypatch, **variables)
    said = complaints(capsys)
    assert said == [complaint]
    assert "s3cret" not in str(said)


def test_development_accepts_what_production_refuses() -> None:
    settings = Settings(database_url=DATABASE_URL, cors_origins="*", public_url="http://shop.local")
    assert (settings.cors_origins, settings.public_url) == (("*",), "http://shop.local")


def test_a_secret_of_the_wrong_type_is_not_shown_either() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(database_url=53_700)
    assert problems(caught.value, Settings.model_fields) == ["DATABASE_URL is not right. It takes text."]


def test_a_missing_database_is_no_riddle(capsys: pytest.CaptureFixture[str]) -> None:
    (complaint,) = complaints(capsys)
    assert complaint.startswith("DATABASE_URL is missing. Set it to something like postgresql://")
    assert "`make run`" in complaint


def test_everything_that_is_wrong_is_said_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_environment(
        monkeypatch,
        ENVIRONMENT="production",
        DATABASE_URL="",
        PORT="0",
        PUBLIC_URL="http://api.example.com",
        CORS_ORIGINS="*",
        LOG_LEVEL="loud",
    )
    named = [complaint.split()[0] for complaint in complaints(capsys)]
    assert named == ["DATABASE_URL", "PORT", "PUBLIC_URL", "CORS_ORIGINS", "AUTH_SIGNING_KEY", "LOG_LEVEL"]


def test_a_file_that_is_no_text_is_said_to_be_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / ".env").write_bytes(b"HOST=\xff\xfe\n")
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    assert complaints(capsys) == [".env is not UTF-8 text. Save it as UTF-8."]


@pytest.mark.parametrize(
    "show", [str, repr, lambda settings: settings.model_dump_json()], ids=["str", "repr", "json"]
)
def test_no_way_of_showing_the_settings_shows_a_secret(show: Any) -> None:
    shown = show(Settings(database_url=DATABASE_URL, auth_signing_key=PEM))
    assert "s3cret" not in shown
    assert "PRIVATE KEY" not in shown


# ── what a person reads ──────────────────────────────────────────────────────────────────────────


def test_the_service_has_its_name_and_version_from_pyproject() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert f'name = "{SERVICE_NAME}"' in text
    assert f'version = "{SERVICE_VERSION}"' in text


def test_every_setting_is_documented() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_env_example_is_current() -> None:
    message = "Write it anew: python -m entrypoints.cli settings > .env.example"
    assert (ROOT / ".env.example").read_text("utf-8") == env_example(Settings.model_fields), message


def test_env_example_changes_nothing_as_it_stands_and_shows_the_defaults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = env_example(Settings.model_fields)
    (tmp_path / ".env").write_text(text)
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    untouched = Settings(database_url=DATABASE_URL)
    assert untouched.model_fields_set == {"database_url"}

    (tmp_path / ".env").write_text(re.sub(r"^#(?=[A-Z_]+=)", "", text, flags=re.MULTILINE))
    assert Settings(database_url=DATABASE_URL) == untouched
