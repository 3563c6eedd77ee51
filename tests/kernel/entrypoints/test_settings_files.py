"""Settings out of files: `NAME_FILE`, and the folder SECRETS_DIR."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
from pydantic import SecretStr

from entrypoints.kernel.configuration.files import MOST_BYTES, SUFFIX, fields_in_files
from entrypoints.kernel.service import SERVICE_PORT
from entrypoints.kernel.settings import KernelSettings, read_settings
from entrypoints.settings import Settings

DATABASE_URL = "postgresql://ada:s3cret@db:5432/shop"
SECRET = " s3cret-$Wm9vbGVuIHJpdmVycyBydW4gZGVlcA "
SECRETS = [  # a service's own may have forms that this does not know
    name
    for name, field in KernelSettings.model_fields.items()
    if field.annotation is SecretStr or SecretStr in get_args(field.annotation)
]


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().removesuffix("_file") in Settings.model_fields:
            monkeypatch.delenv(name)
    monkeypatch.setitem(Settings.model_config, "env_file", None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "value"


def read(monkeypatch: pytest.MonkeyPatch, **variables: object) -> Settings:
    for name, value in ({"DATABASE_URL": DATABASE_URL} | variables).items():
        monkeypatch.setenv(name, str(value))
    settings, lines = read_settings(Settings)
    assert lines == []
    assert settings is not None
    return settings


def refused(monkeypatch: pytest.MonkeyPatch, **variables: object) -> list[str]:
    for name, value in ({"DATABASE_URL": DATABASE_URL} | variables).items():
        monkeypatch.setenv(name, str(value))
    settings, lines = read_settings(Settings)
    assert settings is None
    assert "s3cret" not in str(lines)
    return lines


def shown(settings: Settings, name: str) -> object:
    value = getattr(settings, name)
    return value.get_secret_value() if isinstance(value, SecretStr) else value


# ── NAME_FILE ────────────────────────────────────────────────────────────────────────────────────


def test_every_setting_but_the_folder_may_stand_in_a_file() -> None:
    assert {*fields_in_files(Settings)} == {*Settings.model_fields} - {"secrets_dir"}
    assert {"database_url", "auth_secret", "smtp_password", "oidc_client_secret"} <= {*SECRETS}


VALUES = {
    "database_url": DATABASE_URL,
    "database_direct_url": DATABASE_URL,
    "redis_url": "redis://:s3cret@cache:6379/0",
    "sentry_dsn": "https://s3cret@errors.example.com/1",
    "auth_introspection_clients": f"orders:{SECRET.strip()}",
}


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_read_to_the_letter_without_the_end_of_its_line(
    name: str, end: str, monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    value = VALUES.get(name, SECRET)
    file.write_bytes(f"{value}{end}".encode())
    beside = {"smtp_username": "shop", "oidc_client_id": "shop", "oidc_issuer": "https://id.example.com"}
    for other, given in beside.items():
        monkeypatch.setenv(other.upper(), given)
    settings = read(monkeypatch, **{name.upper(): "", f"{name.upper()}_FILE": file})
    assert shown(settings, name) == value
    assert "s3cret" not in repr(settings)


def test_any_other_setting_is_read_as_from_a_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    values = {"PORT": "8080", "CORS_ORIGINS": "https://a.example.com, https://b.example.com", "HOST": "::1"}
    for name, value in values.items():
        (tmp_path / name).write_text(f"\ufeff{value}\n")
    settings = read(monkeypatch, **{f"{name}_FILE": tmp_path / name for name in values})
    assert (settings.port, settings.host) == (8080, "::1")
    assert settings.cors_origins == ("https://a.example.com", "https://b.example.com")
    assert settings.public_url == "http://localhost:8080"


def test_the_variables_name_counts_in_any_case(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    file.write_text("8080")
    assert read(monkeypatch, port_File=file).port == 8080


def test_a_symbolic_link_leads_to_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: Path
) -> None:
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "port").write_text("8080")
    file.symlink_to(tmp_path / "..data" / "port")
    assert read(monkeypatch, PORT_FILE=file).port == 8080


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(path))


def a_loop(path: Path) -> None:
    path.symlink_to(path)


def below_a_file(path: Path) -> None:
    path.parent.rmdir()
    path.parent.touch()


UNREADABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "not there": (
        lambda path: None,
        "cannot be read: No such file or directory. Mount it, or correct the path.",
    ),
    "below a file": (
        below_a_file,
        "cannot be read: Not a directory. Mount it, or correct the path.",
    ),
    "a loop": (a_loop, "cannot be read: Too many levels of symbolic links. Mount it, or correct the path."),
    "empty": (Path.touch, "is empty. Write the value into it, or remove the setting."),
    "an empty line": (
        lambda path: path.write_text("\r\n"),
        "is empty. Write the value into it, or remove the setting.",
    ),
    "a directory": (Path.mkdir, "is a directory. Name the file in it."),
    "a pipe": (a_pipe, "is a pipe or a device. Put the value into a file."),
    "a socket": (a_socket, "is a pipe or a device. Put the value into a file."),
    "a device": (
        lambda path: path.symlink_to("/dev/zero"),
        "is a pipe or a device. Put the value into a file.",
    ),
    "another encoding": (
        lambda path: path.write_bytes("s3cret-ü".encode("latin-1")),
        "is not text in UTF-8. Save the value as text.",
    ),
    "wide characters": (
        lambda path: path.write_text("s3cret", "utf-16"),
        "is not text in UTF-8. Save the value as text.",
    ),
    "a NUL": (lambda path: path.write_bytes(b"s3cret\0"), "is not text in UTF-8. Save the value as text."),
    "too large": (
        lambda path: path.write_bytes(b"s3cret-" * (MOST_BYTES // 7 + 1)),
        f"has more than {MOST_BYTES} bytes. Name the file with the value alone.",
    ),
}


@pytest.mark.parametrize("name", ["DATABASE_URL", "AUTH_SECRET", "PORT", "TRUSTED_PROXIES"])
@pytest.mark.parametrize("case", UNREADABLE)
def test_a_file_that_cannot_be_read_is_told_in_one_sentence(
    case: str, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make, wrong = UNREADABLE[case]
    path = tmp_path / "secrets" / "value"
    path.parent.mkdir()
    monkeypatch.chdir(tmp_path)
    make(path)
    assert refused(monkeypatch, **{name: "", f"{name}_FILE": path}) == [
        f"{name}_FILE is {str(path)!r}, which {wrong}"
    ]


def test_a_file_of_somebody_else_is_told(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    file.touch(mode=0)

    def forbidden(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("entrypoints.kernel.configuration.files.os.open", forbidden)
    assert refused(monkeypatch, AUTH_SECRET_FILE=file) == [
        (
            f"AUTH_SECRET_FILE is {str(file)!r}, which cannot be read: Permission denied. "
            "Mount it, or correct the path."
        )
    ]


def test_a_value_in_the_place_of_a_path_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (DATABASE_URL, "s3cret", "run/secrets/s3cret", "./s3cret", "~/s3cret"):
        assert refused(monkeypatch, DATABASE_URL="", DATABASE_URL_FILE=value) == [
            (
                "DATABASE_URL_FILE is not an absolute path. Write where the file is, such as "
                "/run/secrets/database_url."
            )
        ]


def test_a_value_and_a_file_are_one_too_many(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    file.write_text(DATABASE_URL)
    assert refused(monkeypatch, DATABASE_URL_FILE=file) == [
        "DATABASE_URL and DATABASE_URL_FILE are both set. Remove one of them."
    ]


WRONG = {
    "PORT": f"PORT is not right. It takes a whole number from 1 to 65535, such as {SERVICE_PORT}.",
    "MAILER": "MAILER is not right. It takes console or smtp.",
    "CORS_ORIGINS": "CORS_ORIGINS has '…'. An origin is https://app.example.com, without a path.",
    "ALLOWED_HOSTS": (
        "ALLOWED_HOSTS has '…'. Write a host without scheme, port and path, as api.example.com, 10.0.0.7 or "
        "*.example.com."
    ),
    "OIDC_ROLES": (
        "OIDC_ROLES has '…'. Write the provider's role, = and ours (support or admin), with commas in "
        "between: api-admins=admin."
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_stands_in_a_file_is_not_shown_where_it_is_wrong(
    name: str, monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    file.write_text("it's a s3cret\\\n")
    assert refused(monkeypatch, **{f"{name}_FILE": file}) == [WRONG[name]]


def test_nor_where_it_disagrees_with_another(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    file.write_text("s3cret")
    oidc = {"AUTH_PROVIDER": "oidc", "OIDC_ISSUER": "https://id.example.com", "OIDC_AUDIENCE": "shop"}
    (line,) = refused(monkeypatch, **oidc, OIDC_ALGORITHMS_FILE=file)
    assert line.startswith("OIDC_ALGORITHMS has '…', which")
    monkeypatch.setenv("PORT", "0")
    assert [line[:21] for line in refused(monkeypatch)] == ["PORT is '0'. It takes", "OIDC_ALGORITHMS has '"]


# ── .env, and what wins ──────────────────────────────────────────────────────────────────────────


def test_the_environment_wins_over_the_file_env_and_that_over_the_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    folder = tmp_path / "secrets"
    folder.mkdir()
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    (folder / "host").write_text("folder")

    def host(dotenv: str = "", **variables: object) -> str:
        (tmp_path / ".env").write_text(f"SECRETS_DIR={folder}\n{dotenv}")
        with monkeypatch.context() as patch:
            return read(patch, **variables).host

    named = f"HOST_FILE={tmp_path / 'a'}"
    assert host() == "folder"
    assert host("HOST=c") == "c"
    assert host(named) == "a"
    assert host(named, HOST="d") == "d"
    assert host("HOST=c", HOST_FILE=tmp_path / "b") == "b"
    assert host(named, HOST_FILE=tmp_path / "b") == "b"
    assert host("HOST_FILE=/nowhere", HOST="d") == "d"
    (tmp_path / ".env").write_text(f"{named}\nHOST=c\n")
    assert refused(monkeypatch) == ["HOST and HOST_FILE are both set. Remove one of them."]


# ── SECRETS_DIR ──────────────────────────────────────────────────────────────────────────────────


def test_a_folder_has_a_file_for_each_setting_in_any_case(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "DATABASE_URL").write_text(f"{DATABASE_URL}\n")
    (tmp_path / "auth_secret").write_text(SECRET)
    (tmp_path / "Port").write_text("8080")
    (tmp_path / "something-else").write_bytes(b"\xff")
    (tmp_path / "secrets_dir").write_text("/nowhere")
    (tmp_path / "..data").mkdir()
    settings = read(monkeypatch, DATABASE_URL="", SECRETS_DIR=tmp_path)
    assert settings.database_url.get_secret_value() == DATABASE_URL
    assert settings.auth_secret.get_secret_value() == SECRET
    assert settings.port == 8080


@pytest.mark.parametrize("case", sorted(UNREADABLE.keys() - {"not there", "below a file"}))
def test_a_file_of_the_folder_that_cannot_be_read_is_told_in_one_sentence(
    case: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make, wrong = UNREADABLE[case]
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "auth_secret"
    make(path)
    assert refused(monkeypatch, SECRETS_DIR=tmp_path) == [
        f"AUTH_SECRET, in SECRETS_DIR, is {str(path)!r}, which {wrong}"
    ]


def test_two_files_for_one_setting_are_one_too_many(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("port", "PORT"):
        (tmp_path / name).write_text("8080")
    assert refused(monkeypatch, SECRETS_DIR=tmp_path) == [
        "PORT is in two files of SECRETS_DIR, PORT and port. Remove one."
    ]


def test_a_folder_that_cannot_be_read_is_told(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    remedy = "Mount it, correct the path, or remove the setting."
    assert refused(monkeypatch, SECRETS_DIR="/nowhere") == [
        f"SECRETS_DIR is '/nowhere', which is no folder that can be read: No such file or directory. {remedy}"
    ]
    file.touch()
    assert refused(monkeypatch, SECRETS_DIR=file) == [
        f"SECRETS_DIR is {str(file)!r}, which is no folder that can be read: Not a directory. {remedy}"
    ]
    assert refused(monkeypatch, SECRETS_DIR="s3cret") == [
        "SECRETS_DIR is not an absolute path. Write where the files are, such as /run/secrets."
    ]


# ── misspelt ─────────────────────────────────────────────────────────────────────────────────────

SLIPS = {
    "DATABSE_URL_FILE": "DATABASE_URL_FILE",
    "DATABASE_URL_FLIE": "DATABASE_URL_FILE",
    "DATABASE_URL_FILES": "DATABASE_URL_FILE",
    "DATABASE_URLFILE": "DATABASE_URL_FILE",
    "AUTH_SECERT_FILE": "AUTH_SECRET_FILE",
    "auth_secret_fil": "AUTH_SECRET_FILE",
    "SMTP_PASWORD_FILE": "SMTP_PASSWORD_FILE",
    "SECRET_DIR": "SECRETS_DIR",
    "SECRETS_DIRS": "SECRETS_DIR",
    "ALLOWED_HOST": "ALLOWED_HOSTS",
    "ALOWED_HOSTS": "ALLOWED_HOSTS",
    "PUBLC_URL": "PUBLIC_URL",
    "OIDC_CA_FLIE": "OIDC_CA_FILE",
}
OTHERS = (
    "LOG_FILE",
    "PID_FILE",
    "MAIL_FILE",
    "SSL_CERT_FILE",
    "CONFIG_FILE",
    "POSTGRES_PASSWORD_FILE",
    "API_FILE",
)


@pytest.mark.parametrize("name", SLIPS)
def test_a_misspelt_name_of_a_file_is_a_slip_like_others(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    meant = SLIPS[name]
    (tmp_path / ".env").write_text(f"{name}=s3cret\n")
    with monkeypatch.context() as patch:
        patch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
        assert refused(patch) == [f"{name}, in .env, is no setting. Did you mean {meant}? Rename it."]
    monkeypatch.setenv("ENVIRONMENT", "production")
    for field in (meant, meant.removesuffix(SUFFIX)):
        monkeypatch.delenv(field, raising=False)
    said = refused(monkeypatch, **{"DATABASE_URL": "", name: "s3cret"})
    assert said[-1].startswith(f"{name} is no setting. Did you mean {meant}?")


def test_files_of_other_programs_are_theirs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: Path
) -> None:
    (tmp_path / ".env").write_text("".join(f"{name}=x\n" for name in OTHERS))
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    file.write_text(DATABASE_URL)
    read(monkeypatch, **dict.fromkeys(OTHERS, "x"), DATABASE_URL="", DATABASE_URL_FILE=file, DATABASE_URI="x")


def test_a_misspelt_file_of_the_folder_is_a_slip_unless_the_setting_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "smtp_pasword").write_text("s3cret")
    for name, value in {"DATABASE_URL": DATABASE_URL, "SECRETS_DIR": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    line = (
        "smtp_pasword, in SECRETS_DIR, is no setting. Did you mean SMTP_PASSWORD? Rename it, or set "
        "SMTP_PASSWORD as well if it is another program's."
    )
    assert read_settings(Settings)[1] == [line]
    with monkeypatch.context() as patch:
        assert refused(patch, ENVIRONMENT="production")[-1] == line
    (tmp_path / "SMTP_PASSWORD").write_text("s3cret")
    read(monkeypatch, SMTP_USERNAME="shop", MAILER="smtp", SMTP_HOST="mail", MAIL_FROM="a@example.com")
