"""One run tells all that is wrong with the settings: whoever mends what it tells is not told more."""

import os
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, override

import pytest

from entrypoints.kernel.service import SERVICE_PORT
from entrypoints.kernel.settings import read_settings
from entrypoints.settings import Settings

SECRET = "s3cret-Wm9vbGVuIHJpdmVycyBydW4gZGVlcA"
GOOD = {
    "ENVIRONMENT": "production",
    "DATABASE_URL": "postgresql://ada:s3cret@db:5432/shop",
    "PUBLIC_URL": "https://api.example.com",
    "TRUSTED_PROXIES": "10.0.0.0/8",
    "AUTH_SECRET": SECRET,
    "AUTH_PROVIDER": "oidc",
    "OIDC_ISSUER": "https://id.example.com",
    "OIDC_AUDIENCE": "shop",
    "MAILER": "smtp",
    "SMTP_HOST": "mail.example.com",
    "MAIL_FROM": "noreply@example.com",
    "SMTP_USERNAME": "shop",
    "SMTP_PASSWORD": "s3cret",
}
FAULTS: Mapping[str, Mapping[str, str]] = {
    "environment": {"ENVIRONMENT": "prod"},
    "no database": {"DATABASE_URL": ""},
    "database": {"DATABASE_URL": "mysql://db"},
    "port": {"PORT": "0"},
    "no address": {"PUBLIC_URL": ""},
    "address": {"PUBLIC_URL": "http://api.example.com"},
    "no proxies": {"TRUSTED_PROXIES": ""},
    "three wrong proxies": {"TRUSTED_PROXIES": "none,nginx,0.0.0.0/0"},
    "two wrong hosts": {"ALLOWED_HOSTS": "a b,https://c"},
    "two wrong origins and any": {"CORS_ORIGINS": "*,here,there"},
    "two wrong contacts": {"SECURITY_CONTACT": "me,you"},
    "policy": {"SECURITY_POLICY": "http://example.com"},
    "front end": {"APP_URL": "http://app.example.com"},
    "no secret": {"AUTH_SECRET": ""},
    "secret": {"AUTH_SECRET": "short"},
    "second secret": {"AUTH_SECOND_SECRET": "short"},
    "provider": {"AUTH_PROVIDER": "odic"},
    "idle": {"AUTH_SESSION_IDLE_HOURS": "0.001"},
    "lifetime": {"AUTH_ACCESS_TOKEN_SECONDS": "1"},
    "two wrong clients": {"AUTH_INTROSPECTION_CLIENTS": "a,a"},
    "no issuer": {"OIDC_ISSUER": ""},
    "issuer": {"OIDC_ISSUER": "http://id.example.com"},
    "no audience": {"OIDC_AUDIENCE": ""},
    "preset": {"OIDC_PRESET": "keycloack"},
    "two wrong algorithms": {"OIDC_ALGORITHMS": "HS256,none"},
    "marker": {"OIDC_TOKEN_MARKER": "{"},
    "two wrong roles": {"OIDC_ROLES": "a=b,c=d"},
    "role claim": {"OIDC_ROLE_CLAIM": "[x]"},
    "client secret": {"OIDC_CLIENT_SECRET": "s3cret"},
    "scopes": {"OIDC_CLIENT_ID": "shop", "OIDC_LOGIN_SCOPES": "email"},
    "authority": {"OIDC_CA_FILE": "/nowhere"},
    "two wrong providers": {
        "OIDC_MORE_PROVIDERS": '[{"name": "b"}, {"name": "C!", "issuer": "http://c", "audience": "c"}, 3]'
    },
    "console": {"MAILER": "console"},
    "mailer": {"MAILER": "smpt"},
    "no server": {"SMTP_HOST": ""},
    "no sender": {"MAIL_FROM": ""},
    "sender": {"MAIL_FROM": "Shop"},
    "security": {"SMTP_SECURITY": "none"},
    "half an account": {"SMTP_PASSWORD": ""},
    "file": {"SMTP_PASSWORD": "", "SMTP_PASSWORD_FILE": "/nowhere"},
    "both": {"AUTH_SECRET_FILE": "/nowhere"},
    "folder": {"SECRETS_DIR": "/nowhere"},
    "level": {"LOG_LEVEL": "loud"},
    "slip": {"WORKER": "2"},
    "slip of a file": {"OIDC_CLIENT_SECRT_FILE": "/nowhere"},
}
# Where two settings disagree, one of them is named.
TOLD_OF = {"client secret": "OIDC_CLIENT_ID", "half an account": "SMTP_USERNAME"}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower() in Settings.model_fields:
            monkeypatch.delenv(name)
    monkeypatch.setitem(Settings.model_config, "env_file", None)


def told(variables: Mapping[str, str], kind: type[Settings] = Settings) -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        settings, lines = read_settings(kind)
    assert (settings is None) == bool(lines)
    return lines


def test_what_is_good_is_good() -> None:
    assert told(GOOD) == []


def named_in(lines: Sequence[str]) -> set[str]:
    return {line.split()[0].strip(":,").removesuffix("_FILE") for line in lines}


def names_of(fault: str) -> set[str]:
    return {TOLD_OF.get(fault, ""), *(name.removesuffix("_FILE") for name in FAULTS[fault])}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_is_told_alone(fault: str) -> None:
    lines = told({**GOOD, **FAULTS[fault]})
    assert named_in(lines) & names_of(fault)
    assert "s3cret" not in str(lines)


@pytest.mark.parametrize("seed", range(60))
def test_whatever_is_wrong_together_is_told_in_one_run(seed: int) -> None:
    chance = random.Random(seed)
    chosen: dict[str, Mapping[str, str]] = {}
    for fault in chance.sample(list(FAULTS), chance.randint(2, 12)):
        taken = {name for each in chosen for name in (*FAULTS[each], *names_of(each))}
        if taken.isdisjoint({*names_of(fault), *FAULTS[fault]}):
            chosen[fault] = FAULTS[fault]
    together = {**GOOD, **{name: value for each in chosen.values() for name, value in each.items()}}
    lines = told(together)

    # Who mends all settings that are named has mended all: the second run tells nothing.
    named = named_in(lines)
    for fault in chosen:
        assert named & names_of(fault), fault
    named |= {"OIDC_CLIENT_SECRET"} if "OIDC_CLIENT_ID" in named else set()  # "Set both, or neither."
    named |= {"SMTP_PASSWORD"} if "SMTP_USERNAME" in named else set()
    mended = {
        **together,
        **{name: GOOD.get(name, "") for name in named},
        **{f"{name}_FILE": "" for name in named},
    }
    assert told(mended) == [], chosen


def test_all_of_them_at_once() -> None:
    wrong = {name: value for fault in reversed([*FAULTS.values()]) for name, value in fault.items()}
    wrong.pop("SMTP_PASSWORD_FILE")
    lines = told({**GOOD, **wrong})
    assert len(lines) >= 36
    assert len(set(lines)) == len(lines)
    assert "s3cret" not in str(lines)
    assert "stand-in" not in str(lines)


def test_production_that_is_misspelt_is_judged_as_production() -> None:
    lines = told({"ENVIROMENT": "production", "DATABASE_URL": GOOD["DATABASE_URL"], "PORT": "0"})
    assert [line.split()[0] for line in lines] == [
        *("ENVIROMENT", "PORT", "PUBLIC_URL", "TRUSTED_PROXIES", "AUTH_SECRET", "MAILER")
    ]


def test_what_a_wrong_setting_leaves_open_is_not_guessed() -> None:
    development = {"DATABASE_URL": GOOD["DATABASE_URL"]}
    assert len(told({**development, "AUTH_PROVIDER": "mine", "OIDC_ISSUER": "https://id.example.com"})) == 2
    assert len(told({**development, "AUTH_ACCESS_TOKEN_SECONDS": "1", "AUTH_SESSION_IDLE_HOURS": "0.1"})) == 1
    more = {"SMTP_USERNAME": "shop", "SMTP_PASSWORD_FILE": "/nowhere"}
    account = {**development, **more, "MAILER": "smtp", "SMTP_HOST": "mail", "MAIL_FROM": "a@example.com"}
    assert [line.split()[0] for line in told(account)] == ["SMTP_PASSWORD_FILE"]


def test_a_file_that_is_wrong_hides_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    (tmp_path / ".env").write_bytes(
        "PORT=0\nthis is no line\nLOG_LEVL=info\nMAILER=smtp\nHOST\nAPP_URL=\u00fc:".encode("latin-1")
    )
    assert [line.split(" is ")[0].split(" cannot")[0] for line in told({})] == [
        *(
            ".env",
            ".env",
            ".env",
            "DATABASE_URL",
            "PORT",
            "APP_URL",
            "SMTP_HOST",
            "MAIL_FROM",
            "LOG_LEVL, in .env,",
        )
    ]
    (tmp_path / ".env").write_text("PORT=0\nMAILER=smtp\n", "utf-16")
    assert [line.split()[0] for line in told({})] == [
        ".env",
        "DATABASE_URL",
        "PORT",
        "SMTP_HOST",
        "MAIL_FROM",
    ]
    (tmp_path / ".env").write_text("DATABASE_URL=postgresql://db/shop\nPORT=0\n", "utf-8-sig")
    assert told({}) == [f"PORT is '0'. It takes a whole number from 1 to 65535, such as {SERVICE_PORT}."]
    (tmp_path / ".env").unlink()
    (tmp_path / ".env").mkdir()
    assert [line.split()[0] for line in told({})] == [".env", "DATABASE_URL"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_of_somebody_else_hides_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    (tmp_path / ".env").touch(mode=0)
    assert [line.split()[0] for line in told({})] == [".env", "DATABASE_URL"]


def test_a_services_own_rules_are_told_with_the_others() -> None:
    class Shop(Settings):
        key: str
        most: int = 3

        @override
        def disagreements(self) -> Iterator[str]:
            yield from super().disagreements()
            if self.most > len(self.key):
                yield "MOST is more than KEY has. Set it lower."

    wrong = {**GOOD, "MOST": "7", "PORT": "0", "MAIL_FROM": ""}
    assert [line.split()[0] for line in told({**wrong, "KEY": "abc"}, Shop)] == ["PORT", "MAIL_FROM", "MOST"]
    assert [line.split()[0] for line in told({**wrong, "MOST": "1"}, Shop)] == ["PORT", "KEY", "MAIL_FROM"]


def test_a_services_own_rule_that_fails_on_a_stand_in_hides_nothing_that_was_found() -> None:
    class Shop(Settings):
        most: list[int] = [1]  # noqa: RUF012 (a field)

        @override
        def disagreements(self) -> Iterator[str]:
            wrong: Any = self.database_url
            yield from wrong.no_such_thing

    assert [line.split()[0] for line in told({"PORT": "0"}, Shop)] == ["DATABASE_URL", "PORT"]
    assert told({**GOOD, "MOST": "one"}, Shop) == [
        'error parsing value for field "most" from source "EnvSettingsSource".'
    ]
