"""What the settings accept, what they refuse and how they say it."""

import json
import os
import re
from base64 import b64encode
from pathlib import Path
from secrets import token_bytes, token_hex, token_urlsafe
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from entrypoints.kernel.configuration.fields import DEVELOPMENT_SECRET
from entrypoints.kernel.configuration.providers import Preset
from entrypoints.kernel.configuration.secrecy import LEAST_BITS, apparent_bits
from entrypoints.kernel.configuration.text import env_example, problems
from entrypoints.kernel.container import rate_limits_of
from entrypoints.kernel.service import ROOT, SERVICE_NAME, SERVICE_PORT, SERVICE_VERSION
from entrypoints.kernel.settings import KernelSettings, _notice, load_settings
from entrypoints.settings import Settings
from kernel.world.authority import authority

DATABASE_URL = "postgresql://ada:s3cret@db:5432/shop"
SECRET = "s3cret-Wm9vbGVuIHJpdmVycyBydW4gZGVlcA"
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
        load_settings(Settings)
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
    settings = load_settings(Settings)
    assert settings.environment == "development"
    assert (settings.host, settings.port) == ("127.0.0.1", SERVICE_PORT)
    assert settings.public_url == f"http://localhost:{SERVICE_PORT}"
    assert settings.auth_audience == SERVICE_NAME
    assert settings.cors_origins == ()
    assert settings.auth_secret.get_secret_value() == DEVELOPMENT_SECRET
    assert settings.providers == ()
    assert settings.passwords_enabled
    assert settings.local_tokens_trusted


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg"])
@pytest.mark.parametrize(
    "rest", ["ada:s3cret@db:5432/shop", "ada@/shop?host=/run/postgresql", "ada:p%40ss@[::1]:5432/shop"]
)
def test_an_address_of_a_postgresql_has_one_spelling(scheme: str, rest: str) -> None:
    settings = Settings(database_url=f"{scheme}://{rest}")
    assert settings.database_url.get_secret_value() == f"postgresql://{rest}"


@pytest.mark.parametrize(
    ("variables", "pooled", "direct_pooled"),
    [
        ({}, False, False),
        ({"database_pooler": "transaction"}, True, True),
        ({"database_pooler": "transaction", "database_direct_url": "postgresql://direct/shop"}, True, False),
        ({"database_direct_url": "postgresql://direct/shop"}, False, False),
        ({"database_url": "postgresql://pooler/shop?pgbouncer=true"}, True, True),
        ({"database_url": "postgresql://pooler/shop?options=endpoint%3Dx&pgbouncer=true"}, True, True),
    ],
)
def test_a_pooler_is_named_by_a_setting_or_by_the_address(
    variables: dict[str, Any], pooled: bool, direct_pooled: bool
) -> None:
    settings = Settings(**{"database_url": DATABASE_URL, **variables})
    assert (settings.through_pooler, settings.direct_through_pooler) == (pooled, direct_pooled)
    direct = variables.get("database_direct_url") or settings.database_url.get_secret_value()
    assert settings.direct_url.get_secret_value() == direct


def test_the_public_address_follows_the_port_unless_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with_environment(monkeypatch, PORT="8080")
    assert load_settings(Settings).public_url == "http://localhost:8080"
    with_environment(monkeypatch, PUBLIC_URL=f"{HTTPS}/shop/")
    assert load_settings(Settings).public_url == f"{HTTPS}/shop"


def test_origins_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    with_environment(monkeypatch, CORS_ORIGINS="https://a.example.com, http://localhost:5173,")
    assert load_settings(Settings).cors_origins == ("https://a.example.com", "http://localhost:5173")


def test_an_empty_value_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    with_environment(monkeypatch, PORT="", OIDC_ISSUER="", CORS_ORIGINS="")
    settings = load_settings(Settings)
    assert (settings.port, settings.oidc_issuer, settings.cors_origins) == (SERVICE_PORT, "", ())


def test_the_level_may_be_in_capitals(monkeypatch: pytest.MonkeyPatch) -> None:
    with_environment(monkeypatch, LOG_LEVEL="WARNING")
    assert load_settings(Settings).log_level == "warning"


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=1111\nHOST=0.0.0.0\nSOMETHING_ELSE=1\n")
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    with_environment(monkeypatch, PORT="2222")
    settings = load_settings(Settings)
    assert (settings.port, settings.host) == (2222, "0.0.0.0")  # noqa: S104 (read, not bound)


def test_production_accepts_what_is_good_for_production() -> None:
    settings = Settings(
        environment="production",
        database_url=DATABASE_URL,
        public_url=HTTPS,
        auth_secret=SECRET,
        trusted_proxies="10.0.0.0/8",
        cors_origins="https://app.example.com",
        mailer="smtp",
        smtp_host="mail.example.com",
        mail_from="noreply@example.com",
    )
    assert settings.environment == "production"
    assert settings.drain_seconds == 5


def test_a_connection_outlasts_that_of_a_proxy_and_development_ends_without_a_drain() -> None:
    settings = Settings(database_url=DATABASE_URL)
    assert settings.keep_alive_seconds > 60
    assert settings.drain_seconds == 0


@pytest.mark.parametrize("url", ["http://localhost:8000", "http://127.0.0.1", "http://[::1]:8000"])
def test_production_on_this_machine_may_do_without_https(url: str) -> None:
    settings = Settings(
        environment="production",
        database_url=DATABASE_URL,
        public_url=url,
        auth_secret=SECRET,
        trusted_proxies="none",
        mailer="smtp",
        smtp_host="localhost",
        smtp_security="none",
        mail_from="noreply@example.com",
    )
    assert settings.public_url == url


def test_three_settings_swap_the_provider() -> None:
    settings = Settings(
        database_url=DATABASE_URL,
        auth_provider="oidc",
        oidc_issuer="https://id.example.com/realms/shop",
        oidc_audience="shop",
        oidc_preset="keycloak",
        oidc_roles="api-admins=admin, shop:help=support",
    )
    (provider,) = settings.providers
    assert (provider.name, provider.issuer, provider.audience) == (
        "keycloak",
        "https://id.example.com/realms/shop",
        "shop",
    )
    assert provider.roles == {"api-admins": "admin", "shop:help": "support"}
    assert not settings.passwords_enabled
    assert not settings.local_tokens_trusted


def test_each_provider_may_have_an_authority_of_its_own(tmp_path: Path) -> None:
    mine, theirs = (authority(tmp_path)[0].rename(tmp_path / name) for name in ("mine.pem", "theirs.pem"))
    more = [
        {"name": "old", "issuer": "https://old.example.com", "audience": "shop"},
        {"name": "new", "issuer": "https://new.example.com", "audience": "shop", "ca_file": str(theirs)},
    ]
    variables: dict[str, Any] = {name.lower(): value for name, value in OIDC.items()}
    settings = Settings(
        database_url=DATABASE_URL,
        oidc_ca_file=str(mine),
        oidc_more_providers=json.dumps(more),
        **variables,
    )
    assert [each.ca_file for each in settings.providers] == [str(mine), str(mine), str(theirs)]


@pytest.mark.parametrize("content", ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_file_without_a_certificate_is_no_authority(tmp_path: Path, content: str) -> None:
    (tmp_path / "ca.pem").write_text(content)
    variables: dict[str, Any] = {name.lower(): value for name, value in OIDC.items()}
    for path in (tmp_path / "ca.pem", tmp_path):
        with pytest.raises(ValidationError, match=r"OIDC_CA_FILE is .*(no certificate|cannot be read)"):
            Settings(database_url=DATABASE_URL, oidc_ca_file=str(path), **variables)


def test_the_built_in_provider_is_trusted_beside_another_where_it_is_asked_for() -> None:
    oidc: dict[str, Any] = {
        "database_url": DATABASE_URL,
        "auth_provider": "oidc",
        "oidc_issuer": "https://id.example.com",
        "oidc_audience": "shop",
    }
    moving = Settings(**oidc, auth_trust_local=True)
    assert (moving.passwords_enabled, moving.local_tokens_trusted) == (True, True)
    logging_in = Settings(**oidc, oidc_client_id="shop")
    assert (logging_in.passwords_enabled, logging_in.local_tokens_trusted) == (False, True)


def test_one_may_log_in_through_a_provider_whose_tokens_are_not_for_us() -> None:
    google: dict[str, Any] = {
        "oidc_preset": "google",
        "oidc_issuer": "https://accounts.google.com",
        "oidc_client_id": "shop",
    }
    settings = Settings(database_url=DATABASE_URL, **google)
    assert [provider.name for provider in settings.providers] == ["google"]


def test_several_providers_are_trusted_at_once() -> None:
    old = {"name": "old", "issuer": "http://127.0.0.1:9000", "audience": "shop", "roles": {"boss": "admin"}}
    settings = Settings(
        database_url=DATABASE_URL,
        auth_provider="oidc",
        oidc_issuer="https://id.example.com",
        oidc_audience="shop",
        oidc_more_providers=json.dumps([old]),
    )
    assert [(one.name, one.issuer) for one in settings.providers] == [
        ("oidc", "https://id.example.com"),
        ("old", "http://127.0.0.1:9000"),
    ]


def test_a_browser_may_come_from_here_from_the_front_end_and_from_the_origins_that_are_named() -> None:
    settings = Settings(
        database_url=DATABASE_URL,
        public_url=f"{HTTPS}/shop",
        app_url="http://localhost:3000/",
        cors_origins="*,https://b.example.com",
    )
    assert settings.app_url == "http://localhost:3000"
    assert settings.browser_origins == {HTTPS, "http://localhost:3000", "https://b.example.com"}


def test_limits_are_named_one_by_one_and_the_others_stay() -> None:
    policies = Settings(database_url=DATABASE_URL, rate_limits=" mail=off, login = 5/60,").limit_policies
    assert {name: policy and (policy.quota, policy.window_seconds) for name, policy in policies.items()} == {
        "default": (600, 60),
        "expensive": (60, 60),
        "login": (5, 60),
        "mail": None,
        "workspace": (6000, 60),
    }
    assert set(Settings(database_url=DATABASE_URL, rate_limits="off").limit_policies.values()) == {None}


@pytest.mark.parametrize(
    "url",
    [
        "redis://redis",
        "rediss://ada:s%40cret@redis:6380/1?ssl_ca_certs=/etc/ca.pem",
        "valkey://[::1]:6379/",
        "unix:///run/redis.sock?db=1",
    ],
)
def test_redis_may_be_reached_in_any_of_its_ways(url: str) -> None:
    settings = Settings(database_url=DATABASE_URL, redis_url=url, rate_limits_closed="login, mail")
    assert settings.limits_shared
    assert settings.rate_limits_closed == ("login", "mail")
    rate_limits_of(settings)  # which reads the address, and connects to nothing


@pytest.mark.parametrize(
    ("said", "networks"),
    [
        ("none", []),
        ("10.0.0.1, 192.168.0.0/16", ["10.0.0.1/32", "192.168.0.0/16"]),
        ("::1,2001:DB8::/32", ["::1/128", "2001:db8::/32"]),
        ("::ffff:10.0.0.0/104", ["10.0.0.0/8"]),
    ],
)
def test_proxies_are_addresses_and_networks(said: str, networks: list[str]) -> None:
    settings = Settings(database_url=DATABASE_URL, trusted_proxies=said)
    assert [str(network) for network in settings.proxy_networks] == networks


def test_origins_are_spelt_as_browsers_do_and_addresses_as_they_are_written() -> None:
    settings = Settings(
        database_url=DATABASE_URL,
        public_url="HTTPS://API.Example.com:443/Shop",
        app_url="https://Bücher.example/läden",
        cors_origins="https://B.example.com:443,HTTP://localhost:80,http://[0::1]:3000",
    )
    cors = ("https://b.example.com", "http://localhost", "http://[::1]:3000")
    assert settings.cors_origins == cors
    assert settings.browser_origins == {"https://api.example.com", "https://xn--bcher-kva.example", *cors}
    assert settings.public_url == "HTTPS://API.Example.com:443/Shop"
    assert settings.app_url == "https://xn--bcher-kva.example/l%C3%A4den"


@pytest.mark.parametrize(
    "origin", ["null", "https://*.example.com", "https://127.1", "https://a..b", "https://a:65536", "ftp://a"]
)
def test_what_cannot_be_an_origin_is_refused(
    origin: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_environment(monkeypatch, CORS_ORIGINS=origin, APP_URL=origin, PUBLIC_URL=f"{origin}/shop")
    plain = "is not a plain web address. Write it like https://"
    assert complaints(capsys) == [
        f"PUBLIC_URL {plain}api.example.com.",
        f"CORS_ORIGINS has {origin!r}. An origin is https://app.example.com, without a path.",
        f"APP_URL {plain}app.example.com.",
    ]


WEAK = [
    *("a" * 40, "ab" * 20, "changeme" * 6, "passwordpassword" * 4, "0123456789" * 4, "s3cret-" * 5, " " * 64),
    *("abcdefghijklmnopqrstuvwxyz0123456789", "zyxwvutsrqponmlkjihgfedcba9876543210", "1" * 31 + "2"),
    *(
        "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbcccccccccccccccc",
        "qwertyuiop" * 4,
        "secretsecretsecretsecretsecret!!",
    ),
]


@pytest.mark.parametrize("secret", WEAK)
def test_a_secret_that_is_long_and_can_be_guessed_is_refused(
    secret: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_environment(monkeypatch, AUTH_SECRET=secret)
    said = complaints(capsys)
    assert said == [f"AUTH_SECRET can be guessed: too much in it repeats or counts up. {SECRET_REMEDY}"]


def test_a_secret_out_of_a_generator_is_good() -> None:
    for _ in range(500):
        for secret in (token_hex(16), token_urlsafe(32), b64encode(token_bytes(32)).decode()):
            assert apparent_bits(secret) >= LEAST_BITS
    Settings(database_url=DATABASE_URL, auth_secret=DEVELOPMENT_SECRET[::-1], auth_second_secret=SECRET)


def test_services_that_introspect_have_a_secret_each() -> None:
    settings = Settings(database_url=DATABASE_URL, auth_introspection_clients=f"a:{SECRET}, b:{SECRET}:x")
    assert settings.introspection_clients == {"a": SECRET, "b": f"{SECRET}:x"}


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
    "REQUEST_SECONDS": "a number above 0 to 3600, such as 30.0",
    "PORT": f"a whole number from 1 to 65535, such as {SERVICE_PORT}",
    "WORKERS": "a whole number from 1 to 64, such as 1",
    "METRICS_PORT": "a whole number from 0 to 65535, such as 9000",
    "MAX_BODY_BYTES": "a whole number from 1024 to 1073741824, such as 1048576",
    "KEEP_ALIVE_SECONDS": "a number above 0 to 3600, such as 75",
    "CONNECTIONS_MOST": "a whole number from 1 to 100000, such as 1000",
    "REDIS_WAIT_MS": "a whole number from 1 to 1000, such as 50",
    "DRAIN_SECONDS": "a number from 0 to 300, such as 5",
    "SHUTDOWN_SECONDS": "a whole number from 0 to 600, such as 20",
    "AUTH_ACCESS_TOKEN_SECONDS": "a whole number from 10 to 86400, such as 600",
    "AUTH_SESSION_DAYS": "a whole number from 1 to 400, such as 30",
    "AUTH_SESSION_IDLE_HOURS": "a number from 0 to 9600, such as 0",
    "AUTH_SESSIONS_MOST": "a whole number from 1 to 1000, such as 50",
    "AUTH_REFRESH_GRACE_SECONDS": "a number from 0 to 120, such as 10",
    "REAUTHENTICATION_MINUTES": "a whole number from 1 to 60, such as 5",
    "AUTH_KEY_DAYS": "a whole number from 1 to 3650, such as 90",
    "AUTH_CACHED_TOKENS": "a whole number from 1 to 1000000, such as 10000",
    "AUTH_RECHECK_SECONDS": "a number from 0 to 300, such as 5.0",
    "AUTH_LONGEST_TOKEN_BYTES": "a whole number from 1024 to 65536, such as 8192",
    "OIDC_KEYS_HOURS": "a number above 0 to 168, such as 24",
    "SMTP_PORT": "a whole number from 1 to 65535, such as 587",
    "PASSWORD_HASHERS": "a whole number from 1 to 64, such as 2",
    "PASSWORD_QUEUE": "a whole number from 0 to 10000, such as 50",
    "IDEMPOTENCY_HOURS": "a number above 0 to 720, such as 24",
    "AUDIT_DAYS": "a whole number from 1 to 3650, such as 365",
    "OUTBOX_ATTEMPTS": "a whole number from 1 to 100, such as 10",
    "OUTBOX_POLL_SECONDS": "a number above 0 to 3600, such as 5.0",
    "OUTBOX_OVERDUE_SECONDS": "a number above 0 to 3600, such as 60.0",
    "WORKER_HEARTBEAT_SECONDS": "a number from 0.1 to 600, such as 5.0",
    "WORKER_MISSING_SECONDS": "a number above 0 to 3600, such as 30.0",
    "OUTBOX_LANE_DELIVERIES": "a whole number from 1 to 100, such as 4",
    "OUTBOX_OUTSIDE_SECONDS": "a number from 0.1 to 600, such as 20.0",
    "OUTBOX_REFUSED_HOURS": "a number above 0 to 720, such as 96",
    "LOG_SLOW_REQUEST_SECONDS": "a number from 0 to 3600, such as 1.0",
    "LOG_SLOW_STATEMENT_SECONDS": "a number from 0 to 3600, such as 0.5",
    "EXPLAIN_MS": "a number from 0 to 60000, such as 0",
}
CHOICES = {
    "ENVIRONMENT": "development or production",
    "DATABASE_POOLER": "none or transaction",
    "AUTH_PROVIDER": "local or oidc",
    "AUTH_COOKIE_SAME_SITE": "lax or strict or none",
    "AUTH_TRUST_LOCAL": "true or false",
    "OIDC_ADMIT_MACHINES": "true or false",
    "OIDC_TRUST_EMAIL": "true or false",
    "OIDC_PRESET": " or ".join(get_args(Preset)),
    "MAILER": "console or smtp",
    "SMTP_SECURITY": "starttls or tls or none",
    "DOCS": "auto or public or off",
    "LOG_LEVEL": "debug or info or warning or error",
    "LOG_FORMAT": "auto or console or json",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
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
    free = {
        *(
            "DATABASE_URL",
            "DATABASE_DIRECT_URL",
            "SECRETS_DIR",
            "HOST",
            "METRICS_HOST",
            "PUBLIC_URL",
            "TRUSTED_PROXIES",
            "ALLOWED_HOSTS",
        ),
        *("CORS_ORIGINS", "APP_URL"),
        *("RATE_LIMITS", "RATE_LIMITS_CLOSED", "REDIS_URL", "OTEL_EXPORTER_OTLP_ENDPOINT", "SENTRY_DSN"),
        *("SECURITY_CONTACT", "SECURITY_POLICY"),
        *("AUTH_SECRET", "AUTH_SECOND_SECRET", "AUTH_AUDIENCE", "AUTH_INTROSPECTION_CLIENTS"),
        *("OIDC_ISSUER", "OIDC_AUDIENCE", "OIDC_ROLES", "OIDC_ROLE_CLAIM", "OIDC_SCOPE_CLAIM"),
        *("OIDC_REQUIRED_SCOPE", "OIDC_ALLOWED_CLIENTS", "OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET"),
        *("OIDC_ALGORITHMS", "OIDC_TOKEN_TYPES", "OIDC_TOKEN_MARKER", "OIDC_CA_FILE"),
        *("OIDC_LOGIN_SCOPES", "OIDC_DOCS_CLIENT_ID", "OIDC_MORE_PROVIDERS"),
        *("MAIL_FROM", "SMTP_HOST", "SMTP_USERNAME", "SMTP_PASSWORD"),
    }
    assert {name.upper() for name in KernelSettings.model_fields} == {*NUMBERS, *CHOICES, *free}


EXAMPLE = "postgresql://user:password@localhost:5432/name"
SECRET_REMEDY = "Put the output of `python -m entrypoints.cli secret` there."
UNREADABLE_URL = (
    f"DATABASE_URL cannot be read. Write it as {EXAMPLE}; "
    "in a password write / ? # [ ] @ : as %2F %3F %23 %5B %5D %40 %3A."
)
SMTP = {"MAILER": "smtp", "SMTP_HOST": "mail.example.com", "MAIL_FROM": "noreply@example.com"}
PRODUCTION = {
    "ENVIRONMENT": "production",
    "PUBLIC_URL": HTTPS,
    "AUTH_SECRET": SECRET,
    "TRUSTED_PROXIES": "none",
    **SMTP,
}
NO_MAIL = (
    "MAILER is console, which is for development: nobody could be invited or reset a password. "
    "Set MAILER=smtp, SMTP_HOST and MAIL_FROM."
)
OIDC = {"AUTH_PROVIDER": "oidc", "OIDC_ISSUER": "https://id.example.com", "OIDC_AUDIENCE": "shop"}
EVERYBODY = (
    "then everybody could claim any address. List the proxies alone; where they have no fixed addresses, "
    "their private networks, such as 10.0.0.0/8."
)
CA_REMEDY = "Name a file with the certificate of your authority in PEM (-----BEGIN CERTIFICATE-----)."
MARKER = (
    'Write it like {"require": ["jti"], "require_one": ["client_id", "azp"], "forbid": ["nonce"], "equals": '
    '{"token_use": "access"}}.'
)
NO_MARKER = (
    "OIDC_TOKEN_MARKER names nothing that an access token has and an ID token has not. Write it like "
    '{"require": ["client_id"]}, or leave only at+jwt among the token types.'
)
HOST = "Write a host without scheme, port and path, as api.example.com, 10.0.0.7 or *.example.com."
GIVEN_TWICE = "is given twice, or is PUBLIC_URL. Each issuer has one description."
MISSPELT_PARAMETER = (
    "DATABASE_URL has a parameter that is not known: sslmod. Did you mean sslmode? "
    "What the server is to set for a session is written options=-c%20name%3Dvalue."
)
OPTIONS_AT_A_POOLER = (
    "DATABASE_POOLER is transaction, and DATABASE_URL has options that a pooler refuses. "
    "Remove them, and set them by ALTER ROLE … SET."
)

REDIS_OPTIONS = (
    "REDIS_URL has options behind the `?` that are not taken. There is ?ssl_ca_certs=/path/of/ca.pem for "
    "rediss:// alone, and ?db=0 for unix://."
)
A_REDIS = "Write it like redis://user:password@host:6379/0, or unix:///run/redis.sock."

REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "a limit of no class": (
        {"RATE_LIMITS": "defualt=1/1"},
        "RATE_LIMITS has 'defualt'. There are default, expensive, login, mail, workspace.",
    ),
    "a limit that is none": (
        {"RATE_LIMITS": "default=600"},
        "RATE_LIMITS has 'default=600'. Write name=requests/seconds, such as default=600/60, or name=off.",
    ),
    "a limit of nothing": (
        {"RATE_LIMITS": "mail=0/60"},
        "RATE_LIMITS has mail=0/…. It takes 1 to 1000000000 requests, or off for no limit.",
    ),
    "a limit for ever": (
        {"RATE_LIMITS": "mail=1/86401"},
        "RATE_LIMITS has mail=…/86401. It takes 1 to 86400 seconds.",
    ),
    "closed without redis": (
        {"RATE_LIMITS_CLOSED": "login"},
        "RATE_LIMITS_CLOSED says nothing without REDIS_URL. Set that as well, or remove it.",
    ),
    "closed and no class": (
        {"RATE_LIMITS_CLOSED": "logins", "REDIS_URL": "redis://redis"},
        "RATE_LIMITS_CLOSED has 'logins'. There are default, expensive, login, mail, workspace.",
    ),
    "another server": (
        {"REDIS_URL": "https://:s3cret@redis:6379"},
        f"REDIS_URL begins with none of redis://, rediss://, valkey://, valkeys://, unix://. {A_REDIS}",
    ),
    "a redis without host": ({"REDIS_URL": "redis://:s3cret@/0"}, f"REDIS_URL has no host. {A_REDIS}"),
    "a redis with a wrong port": (
        {"REDIS_URL": "redis://:s3cret@redis:port/0"},
        f"REDIS_URL is no address, or has no right port. {A_REDIS}",
    ),
    "a redis with a name of a database": (
        {"REDIS_URL": "redis://:s3cret@redis/shop"},
        f"REDIS_URL has a database that is no number. {A_REDIS}",
    ),
    "a redis with options": (
        {"REDIS_URL": "redis://:s3cret@redis/0?socket_timeout=60"},
        REDIS_OPTIONS,
    ),
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
    "a database's port out of range": (
        {"DATABASE_URL": "postgresql://ada:s3cret@db:70000/shop"},
        UNREADABLE_URL.replace("cannot be read", "has a port that is not from 1 to 65535"),
    ),
    "no name of a database": (
        {"DATABASE_URL": "postgresql://ada:s3cret@db:5432"},
        UNREADABLE_URL.replace("cannot be read", "names no database"),
    ),
    "a misspelt parameter of a database": (
        {"DATABASE_URL": "postgresql://ada:s3cret@db/shop?sslmod=require"},
        MISSPELT_PARAMETER,
    ),
    "a wrong direct address": (
        {"DATABASE_DIRECT_URL": "postgresql://ada:s3cret@db"},
        UNREADABLE_URL.replace("cannot be read", "names no database").replace("_URL", "_DIRECT_URL", 1),
    ),
    "a direct address that is none": (
        {"DATABASE_DIRECT_URL": "postgresql://ada:s3cret@db/shop?pgbouncer=true"},
        "DATABASE_DIRECT_URL leads through a pooler, as it says itself. Name the database's own address.",
    ),
    "options that a pooler refuses": (
        {
            "DATABASE_URL": "postgresql://ada:s3cret@db/shop?options=-c%20jit%3Doff",
            "DATABASE_POOLER": "transaction",
        },
        OPTIONS_AT_A_POOLER,
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
    "a secret that can be guessed": (
        {"AUTH_SECRET": "s3cret"},
        f"AUTH_SECRET has fewer than 32 characters. {SECRET_REMEDY}",
    ),
    "a second secret that is the first": (
        {"AUTH_SECRET": SECRET, "AUTH_SECOND_SECRET": SECRET},
        "AUTH_SECOND_SECRET is the same as AUTH_SECRET. Set it to the other of the old and the new one.",
    ),
    "a second secret that can be guessed": (
        {"AUTH_SECOND_SECRET": "s3cret-" * 10},
        f"AUTH_SECOND_SECRET can be guessed: too much in it repeats or counts up. {SECRET_REMEDY}",
    ),
    "a second secret that everybody knows": (
        PRODUCTION | {"AUTH_SECOND_SECRET": DEVELOPMENT_SECRET},
        f"AUTH_SECOND_SECRET is known to everybody. {SECRET_REMEDY}",
    ),
    "production without a secret": (
        PRODUCTION | {"AUTH_SECRET": ""},
        f"AUTH_SECRET is missing, and production needs one that nobody else knows. {SECRET_REMEDY}",
    ),
    "production with the secret that everybody knows": (
        PRODUCTION | {"AUTH_SECRET": DEVELOPMENT_SECRET},
        f"AUTH_SECRET is missing, and production needs one that nobody else knows. {SECRET_REMEDY}",
    ),
    "a front end that is none": (
        {"APP_URL": "app.example.com"},
        "APP_URL is not a plain web address. Write it like https://app.example.com.",
    ),
    "production with a front end without https": (
        PRODUCTION | {"APP_URL": "http://app.example.com"},
        "APP_URL is not https. Its links carry secrets: in production write https://….",
    ),
    "trust in the built-in provider beside itself": (
        {"AUTH_TRUST_LOCAL": "true"},
        "AUTH_TRUST_LOCAL says nothing with AUTH_PROVIDER=local. Remove it, or set AUTH_PROVIDER=oidc.",
    ),
    "a client whose secret can be guessed": (
        {"AUTH_INTROSPECTION_CLIENTS": "orders:s3cret"},
        "AUTH_INTROSPECTION_CLIENTS is not right. Write name:secret, each secret with 32 characters or more.",
    ),
    "two clients of one name": (
        {"AUTH_INTROSPECTION_CLIENTS": f"orders:{SECRET},orders:{SECRET}"},
        "AUTH_INTROSPECTION_CLIENTS names a client twice. Give each its own name.",
    ),
    "an idle time that a client's refreshes would not keep": (
        {"AUTH_SESSION_IDLE_HOURS": "0.1", "AUTH_ACCESS_TOKEN_SECONDS": "600"},
        (
            "AUTH_SESSION_IDLE_HOURS is not longer than AUTH_ACCESS_TOKEN_SECONDS (600): clients use a "
            "session when they refresh it. Set a longer time, or 0."
        ),
    ),
    "workers that are missing between two heartbeats": (
        {"WORKER_HEARTBEAT_SECONDS": "40"},
        (
            "WORKER_MISSING_SECONDS is not longer than WORKER_HEARTBEAT_SECONDS (40): a worker would be "
            "missing between two heartbeats. Set a longer time; three times as long is a good one."
        ),
    ),
    "an OpenID provider without an issuer": (
        OIDC | {"OIDC_ISSUER": ""},
        "OIDC_ISSUER is missing, and AUTH_PROVIDER=oidc needs it. Copy it from the provider.",
    ),
    "an OpenID provider without an audience": (
        OIDC | {"OIDC_AUDIENCE": ""},
        (
            "OIDC_AUDIENCE is missing. Set it to what the provider puts into `aud` for this API; without it, "
            "tokens for other services would be good here."
        ),
    ),
    "a provider that names no audience, and any client": (
        OIDC | {"OIDC_AUDIENCE": "", "OIDC_PRESET": "cognito"},
        (
            "OIDC_ALLOWED_CLIENTS is missing. Tokens of cognito name no audience: list the clients (for "
            "clerk the origins) whose tokens are meant for this API."
        ),
    ),
    "an algorithm whose verifier can sign": (
        OIDC | {"OIDC_ALGORITHMS": "RS256,HS256"},
        (
            "OIDC_ALGORITHMS has 'HS256', which is none that a public key verifies. Choose among ES256, "
            "ES384, ES512, Ed25519, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512."
        ),
    ),
    "token types of ID tokens, and no mark": (OIDC | {"OIDC_TOKEN_TYPES": "JWT"}, NO_MARKER),
    "a marker that marks nothing": (
        OIDC | {"OIDC_PRESET": "generic", "OIDC_TOKEN_MARKER": '{"require": [], "require_one": []}'},
        NO_MARKER,
    ),
    "a marker that is no JSON": (
        OIDC | {"OIDC_TOKEN_MARKER": "jti"},
        f"OIDC_TOKEN_MARKER is not right: it: Invalid JSON: expected value at line 1 column 1. {MARKER}",
    ),
    "a marker with a member that means nothing": (
        OIDC | {"OIDC_TOKEN_MARKER": '{"requires": ["jti"]}'},
        f"OIDC_TOKEN_MARKER is not right: requires: Extra inputs are not permitted. {MARKER}",
    ),
    "an authority whose file is not there": (
        OIDC | {"OIDC_CA_FILE": "/nowhere/ca.pem"},
        f"OIDC_CA_FILE is '/nowhere/ca.pem', which cannot be read: No such file or directory. {CA_REMEDY}",
    ),
    "an authority in a file without a certificate": (
        OIDC | {"OIDC_CA_FILE": str(ROOT / "README.md")},
        f"OIDC_CA_FILE is '{ROOT / 'README.md'}', which has no certificate in PEM. {CA_REMEDY}",
    ),
    "an issuer that is no address": (
        OIDC | {"OIDC_ISSUER": "id.example.com"},
        "OIDC_ISSUER is no issuer. Copy it, to the letter, from the provider's discovery document.",
    ),
    "an issuer with a query": (
        OIDC | {"OIDC_ISSUER": "https://id.example.com/?realm=a"},
        "OIDC_ISSUER is no issuer. Copy it, to the letter, from the provider's discovery document.",
    ),
    "an issuer without https": (
        OIDC | {"OIDC_ISSUER": "http://id.example.com"},
        "OIDC_ISSUER is not https. Only in development may an issuer on this very machine be http.",
    ),
    "an issuer on this machine without https, in production": (
        PRODUCTION | OIDC | {"OIDC_ISSUER": "http://localhost:8080"},
        "OIDC_ISSUER is not https. Only in development may an issuer on this very machine be http.",
    ),
    "an issuer that its provider would not write": (
        OIDC | {"OIDC_PRESET": "auth0"},
        (
            "OIDC_ISSUER does not look like one of auth0. Write it like https://TENANT.eu.auth0.com/, with "
            "the slash at the end."
        ),
    ),
    "every tenant of Entra": (
        OIDC | {"OIDC_PRESET": "entra-v2", "OIDC_ISSUER": "https://login.microsoftonline.com/common/v2.0"},
        (
            "OIDC_ISSUER does not look like one of entra-v2. Write it like "
            "https://login.microsoftonline.com/TENANT-ID/v2.0, with the id of one tenant."
        ),
    ),
    "tokens that are for Google": (
        OIDC | {"OIDC_PRESET": "google", "OIDC_ISSUER": "https://accounts.google.com"},
        (
            "OIDC_PRESET is google, whose access tokens are for its own services. Set AUTH_PROVIDER=local "
            "and log in through it with a client id and secret."
        ),
    ),
    "a provider that is not asked": (
        {"OIDC_ISSUER": "https://id.example.com"},
        (
            "OIDC_ISSUER is set, but AUTH_PROVIDER is local. Set AUTH_PROVIDER=oidc to accept its tokens, or "
            "a client id to log in through it."
        ),
    ),
    "a path to roles that is none": (
        OIDC | {"OIDC_ROLE_CLAIM": "[roles]"},
        ('OIDC_ROLE_CLAIM is no path. Write it like realm_access.roles, or ["https://example.com/roles"].'),
    ),
    "a client's secret without the client": (
        OIDC | {"OIDC_CLIENT_SECRET": "s3cret"},
        "OIDC_CLIENT_ID is missing, while there is a client secret. Set both, or neither.",
    ),
    "a log-in that asks for no ID token": (
        OIDC | {"OIDC_CLIENT_ID": "shop", "OIDC_LOGIN_SCOPES": "email"},
        "OIDC_LOGIN_SCOPES lacks openid, without which there is no ID token. Add it.",
    ),
    "a role that we do not have": (
        OIDC | {"OIDC_ROLES": "boss=admin,janitor=boss"},
        (
            "OIDC_ROLES has 'janitor=boss'. Write the provider's role, = and ours (support or admin), with "
            "commas in between: api-admins=admin."
        ),
    ),
    "an issuer that is this service": (
        OIDC | {"OIDC_ISSUER": f"http://localhost:{SERVICE_PORT}"},
        f"OIDC_ISSUER {GIVEN_TWICE}",
    ),
    "an issuer that is trusted twice": (
        OIDC
        | {"OIDC_MORE_PROVIDERS": '[{"name": "b", "issuer": "https://id.example.com", "audience": "shop"}]'},
        f"OIDC_MORE_PROVIDERS: b: issuer {GIVEN_TWICE}",
    ),
    "two providers of one name": (
        OIDC
        | {
            "OIDC_MORE_PROVIDERS": '[{"name": "oidc", "issuer": "https://b.example.com", "audience": "shop"}]'
        },
        "OIDC_MORE_PROVIDERS: oidc: name is not right: small letters, digits and -, each provider its own.",
    ),
    "more providers that are no JSON": (
        OIDC | {"OIDC_MORE_PROVIDERS": "{s3cret"},
        'OIDC_MORE_PROVIDERS is not JSON. Write it like [{"name": "…", "issuer": "…", "audience": "…"}].',
    ),
    "one more provider, and no list": (
        OIDC | {"OIDC_MORE_PROVIDERS": "{}"},
        'OIDC_MORE_PROVIDERS is no list. Write it like [{"name": "…", "issuer": "…", "audience": "…"}].',
    ),
    "one more provider with a slip": (
        OIDC
        | {"OIDC_MORE_PROVIDERS": '[{"name": "b", "issuer": "https://b.example.com", "secret": "s3cret"}]'},
        "OIDC_MORE_PROVIDERS has a mistake in provider 1: secret: Extra inputs are not permitted.",
    ),
    "one more provider of an unknown kind": (
        OIDC
        | {"OIDC_MORE_PROVIDERS": '[{"name": "b", "issuer": "https://b.example.com", "preset": "s3cret"}]'},
        f"OIDC_MORE_PROVIDERS has in provider 1 a preset that is none of {', '.join(get_args(Preset))}.",
    ),
    "plans in production": (
        PRODUCTION | {"EXPLAIN_MS": "20"},
        "EXPLAIN_MS is for development: a plan in the log shows what people have stored. Unset it.",
    ),
    "production without mail": (PRODUCTION | {"MAILER": "console"}, NO_MAIL),
    "production without mail nor passwords": (PRODUCTION | OIDC | {"MAILER": "console"}, NO_MAIL),
    "mail without a server": (
        SMTP | {"SMTP_HOST": ""},
        "SMTP_HOST is missing, and MAILER=smtp needs it. Set it.",
    ),
    "mail without a sender": (
        SMTP | {"MAIL_FROM": ""},
        "MAIL_FROM is missing, and MAILER=smtp needs it. Set it.",
    ),
    "a sender who is nobody": (
        SMTP | {"MAIL_FROM": "Shop"},
        "MAIL_FROM: It must be one address such as no-reply@example.com, or Shop <no-reply@example.com>.",
    ),
    "two senders": (
        SMTP | {"MAIL_FROM": "a@example.com, b@example.com"},
        "MAIL_FROM: It must be one address such as no-reply@example.com, or Shop <no-reply@example.com>.",
    ),
    "production with mail in the clear": (
        PRODUCTION | {"SMTP_SECURITY": "none"},
        "SMTP_SECURITY is none. In production that is for a mail server on this machine only.",
    ),
    "half of an account at the mail server": (
        SMTP | {"SMTP_PASSWORD": "s3cret"},
        "SMTP_USERNAME and SMTP_PASSWORD belong together: set both, or neither.",
    ),
    "production with any origin": (
        PRODUCTION | {"CORS_ORIGINS": "*"},
        "CORS_ORIGINS is *. In production list the origins, such as https://app.example.com.",
    ),
    "production that does not say what is in front": (
        PRODUCTION | {"TRUSTED_PROXIES": ""},
        (
            "TRUSTED_PROXIES is missing, and production needs to be told. List the addresses and networks of "
            "the proxies in front, such as 10.0.0.0/8, or write none where clients connect directly."
        ),
    ),
    "no proxies, and one": (
        {"TRUSTED_PROXIES": "none,10.0.0.1"},
        "TRUSTED_PROXIES is none and something else. Write none alone, or list the proxies.",
    ),
    "a proxy by its name": (
        {"TRUSTED_PROXIES": "10.0.0.1,nginx"},
        (
            "TRUSTED_PROXIES has 'nginx', which is no address and no network. Write them like 192.0.2.7, "
            "10.0.0.0/8 or 2001:db8::/32; names of hosts do not count."
        ),
    ),
    "any proxy": ({"TRUSTED_PROXIES": "*"}, f"TRUSTED_PROXIES has '*': {EVERYBODY}"),
    "any proxy, as a network": (
        {"TRUSTED_PROXIES": "0.0.0.0/0"},
        f"TRUSTED_PROXIES has '0.0.0.0/0': {EVERYBODY}",
    ),
    "any proxy, as a network of IPv6": (
        {"TRUSTED_PROXIES": "::/0"},
        f"TRUSTED_PROXIES has '::/0': {EVERYBODY}",
    ),
    "an address where a network is meant": (
        {"TRUSTED_PROXIES": "10.1.2.3/8"},
        "TRUSTED_PROXIES has '10.1.2.3/8', with bits of a host in it. Write the network as 10.0.0.0/8.",
    ),
    "a contact that is no address": (
        {"SECURITY_CONTACT": "mailto:security@example.com,security@example.com"},
        (
            "SECURITY_CONTACT has 'security@example.com'. Write an address as mailto:security@example.com, a "
            "page as https://example.com/security, a telephone as tel:+1-201-555-0123."
        ),
    ),
    "a policy that everybody on the way can change": (
        {"SECURITY_CONTACT": "mailto:security@example.com", "SECURITY_POLICY": "http://example.com/security"},
        ("SECURITY_POLICY is not the address of a page. Write it like https://example.com/security."),
    ),
    "a policy without a contact": (
        {"SECURITY_POLICY": "https://example.com/security"},
        "SECURITY_POLICY says nothing without SECURITY_CONTACT. Set that as well, or remove it.",
    ),
    "production that does not say where it is": (
        PRODUCTION | {"PUBLIC_URL": ""},
        (
            "PUBLIC_URL is missing, and production needs to be told: tokens name it as their issuer. Set it "
            "to where clients reach the service, such as https://api.example.com."
        ),
    ),
    "a host with a scheme": (
        {"ALLOWED_HOSTS": "https://api.example.com"},
        f"ALLOWED_HOSTS has 'https://api.example.com'. {HOST}",
    ),
    "a host with a port": (
        {"ALLOWED_HOSTS": "api.example.com:8443"},
        f"ALLOWED_HOSTS has 'api.example.com:8443'. {HOST}",
    ),
    "a star within a name": (
        {"ALLOWED_HOSTS": "api.*.example.com"},
        f"ALLOWED_HOSTS has 'api.*.example.com'. {HOST}",
    ),
    "hosts below an address": ({"ALLOWED_HOSTS": "*.0.0.1"}, f"ALLOWED_HOSTS has '*.0.0.1'. {HOST}"),
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
    assert named == [
        *("DATABASE_URL", "PORT", "PUBLIC_URL", "TRUSTED_PROXIES", "CORS_ORIGINS", "AUTH_SECRET"),
        *("LOG_LEVEL", "MAILER"),
    ]


SLIPS = {
    "ENVIROMENT": "ENVIRONMENT",
    "ENVIORNMENT": "ENVIRONMENT",
    "Environmnet": "ENVIRONMENT",
    "DATABSE_URL": "DATABASE_URL",
    "DATABASE_URI": "DATABASE_URL",
    "DATABASEURL": "DATABASE_URL",
    "AUTH_SECERT": "AUTH_SECRET",
    "auth_secret_": "AUTH_SECRET",
    "CORS_ORIGIN": "CORS_ORIGINS",
    "TRUSTED_PROXY": "TRUSTED_PROXIES",
    "TRUSTED_PROXYS": "TRUSTED_PROXIES",
    "SMPT_HOST": "SMTP_HOST",
    "MAIL_FORM": "MAIL_FROM",
    "LOG_LEVL": "LOG_LEVEL",
    "OIDC_ISUER": "OIDC_ISSUER",
    "WORKER": "WORKERS",
    "APP_ULR": "APP_URL",
    "PROT": "PORT",
    "HOTS": "HOST",
}
OTHERS = (
    *(
        "PATH",
        "HOME",
        "HOSTNAME",
        "HOSTTYPE",
        "MAIL",
        "SHELL",
        "LANG",
        "TERM",
        "PWD",
        "POST",
        "PORTS",
        "API_URL",
    ),
    *(
        "POSTGRES_PASSWORD",
        "PGHOST",
        "DB_URL",
        "MONGO_URL",
        "NODE_ENV",
        "ENV",
        "APP_ENV",
        "LOG_FILE",
        "LOG_DIR",
    ),
    *("KUBERNETES_SERVICE_HOST", "KUBERNETES_PORT", "SHOP_SERVICE_HOST", "SMTP_SERVICE_HOST", "SMTP_FROM"),
    *(
        "DATABASE_HOST",
        "DATABASE_PORT",
        "OTEL_SERVICE_NAME",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
        "DATABASE_NAME",
        "DATABASE_PASSWORD",
        "AUTH_TOKEN",
        "AUTH_URL",
        "HTTP_PROXY",
    ),
)


@pytest.mark.parametrize("name", SLIPS)
def test_production_does_not_start_on_a_name_that_is_misspelt(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    meant = SLIPS[name]
    with_environment(monkeypatch, **PRODUCTION)
    if meant not in {"ENVIRONMENT", "DATABASE_URL"}:
        monkeypatch.delenv(meant, raising=False)
    else:
        monkeypatch.delenv("DATABASE_URL")
    monkeypatch.setenv(name, "s3cret")
    if meant == "ENVIRONMENT":
        monkeypatch.delenv(meant)
        monkeypatch.setenv(name, "production")
    said = complaints(capsys)
    remedy = f"Rename it, or set {meant} as well if it is another program's."
    assert (
        said[0 if meant == "ENVIRONMENT" else -1] == f"{name} is no setting. Did you mean {meant}? {remedy}"
    )
    assert "s3cret" not in str(said)


def test_a_slip_in_what_is_production_alone_is_enough(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_environment(monkeypatch, ENVIROMENT="Production")
    assert complaints(capsys)[0].startswith("ENVIROMENT is no setting. Did you mean ENVIRONMENT?")


@pytest.mark.parametrize("name", [name for name, meant in SLIPS.items() if meant != "DATABASE_URL"])
def test_development_is_told_of_a_name_that_is_misspelt(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _notice.cache_clear()
    with_environment(monkeypatch, **{name: "s3cret"})
    load_settings(Settings)
    load_settings(Settings)
    said = capsys.readouterr().err
    assert said.startswith(f"Note: {name} is no setting. Did you mean {SLIPS[name]}?")
    assert said.count("\n") == 1
    assert "s3cret" not in said


@pytest.mark.parametrize("name", SLIPS)
def test_a_file_with_a_name_that_is_misspelt_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text(f"SOMETHING_ELSE=1\n{name}=s3cret\n")
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    with_environment(monkeypatch)
    assert complaints(capsys) == [f"{name}, in .env, is no setting. Did you mean {SLIPS[name]}? Rename it."]


def test_variables_of_other_programs_are_theirs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("".join(f"{name}=x\n" for name in OTHERS))
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    with_environment(monkeypatch, **PRODUCTION, **dict.fromkeys(OTHERS, "x"), DATABASE_URI="x")
    load_settings(Settings)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("written", ["{}", "'{}'", '"{}"'])
@pytest.mark.parametrize("part", ["a$b-", "${HOME}-", "$HOME-", "$$(x)${-", "a${B:-c}"])
def test_a_dollar_in_a_secret_of_the_file_is_a_dollar(
    written: str, part: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secret = f"{SECRET}{part}{SECRET[::-1]}"
    (tmp_path / ".env").write_text(f"AUTH_SECRET={written.format(secret)}\n")
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    with_environment(monkeypatch)
    assert load_settings(Settings).auth_secret.get_secret_value() == secret


def test_a_file_that_is_no_text_is_said_to_be_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / ".env").write_bytes(b"HOST=\xff\xfe\n")
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    with_environment(monkeypatch)
    assert complaints(capsys) == [".env is not UTF-8 text. Save it as UTF-8."]


@pytest.mark.parametrize(
    "show", [str, repr, lambda settings: settings.model_dump_json()], ids=["str", "repr", "json"]
)
def test_no_way_of_showing_the_settings_shows_a_secret(show: Any) -> None:
    secrets: dict[str, Any] = {"auth_secret": SECRET, "auth_introspection_clients": f"orders:{SECRET}"}
    assert "s3cret" not in show(Settings(database_url=DATABASE_URL, **secrets))
    more = (
        f'[{{"name": "b", "issuer": "https://b.example.com", "client_id": "b", "client_secret": "{SECRET}"}}]'
    )
    assert "s3cret" not in show(Settings(database_url=DATABASE_URL, oidc_more_providers=more))


# ── what a person reads ──────────────────────────────────────────────────────────────────────────


def test_the_service_has_its_name_and_version_from_pyproject() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert f'name = "{SERVICE_NAME}"' in text
    assert f'version = "{SERVICE_VERSION}"' in text


def test_every_setting_is_documented() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_env_example_is_current() -> None:
    message = "Write it anew: python -m entrypoints.cli settings > .env.example"
    assert (ROOT / ".env.example").read_text("utf-8") == env_example(
        Settings.model_fields, kernel=KernelSettings.model_fields
    ), message


def test_env_example_changes_nothing_as_it_stands_and_shows_the_defaults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = env_example(Settings.model_fields, kernel=KernelSettings.model_fields)
    (tmp_path / ".env").write_text(text)
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    untouched = Settings(database_url=DATABASE_URL)
    assert untouched.model_fields_set == {"database_url"}

    (tmp_path / ".env").write_text(re.sub(r"^#(?=[A-Z_]+=)", "", text, flags=re.MULTILINE))
    assert Settings(database_url=DATABASE_URL) == untouched


def test_metrics_are_not_served_where_clients_come(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_environment(monkeypatch, PORT="9000", METRICS_PORT="9000")
    assert complaints(capsys) == [
        "METRICS_PORT is the same as PORT, which clients reach. Set it to another one, such as 9001."
    ]
