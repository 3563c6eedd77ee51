"""Every setting of the service: its unit, its default, what production refuses, and how it is read."""

import sys
import tomllib
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from entrypoints.settings_text import problems

ROOT = Path(__file__).parents[2]
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
SERVICE_NAME: str = _PROJECT["name"]
SERVICE_VERSION: str = _PROJECT["version"]

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}

Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


class Settings(BaseSettings):
    """Read from the environment, else from the file `.env`; an empty value counts as absent.

    The order of the fields matters where one is judged in the light of another: the other comes first.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        env_file=ROOT / ".env",
        env_ignore_empty=True,
        extra="ignore",
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        validate_default=True,
    )

    environment: Literal["development", "production"] = "development"
    """Production refuses to start on a setting that is only good for development."""

    database_url: SecretStr
    """The database, as postgresql://user:password@host:5432/name. Required, but `make run` brings its own."""

    database_pool_size: Annotated[int, Field(ge=1, le=1000)] = 10
    """Most connections to the database, in each process."""

    database_wait_seconds: Seconds = 1.0
    """Longest wait for a free connection; then the answer is 503."""

    database_connect_seconds: Seconds = 2.0
    """Longest wait for a new connection to be made."""

    database_statement_seconds: Seconds = 10.0
    """Longest run of one SQL statement; then the answer is 504."""

    database_lock_seconds: Seconds = 5.0
    """Longest wait for a lock in the database."""

    host: str = "127.0.0.1"
    """The address that HTTP is served on; 0.0.0.0 for every IPv4 interface."""

    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    """The port that HTTP is served on."""

    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Processes that serve HTTP, each with connections of its own."""

    public_url: str = ""
    """Where clients reach the service, without a slash at the end; tokens name it as their issuer.
    Default: http://localhost:PORT."""

    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins whose scripts may call the API, separated by commas: https://app.example.com. Default: none."""

    max_body_bytes: Annotated[int, Field(ge=1024, le=1024**3)] = 1024**2
    """Largest body of a request; then the answer is 413."""

    shutdown_seconds: Annotated[int, Field(ge=0, le=600)] = 20
    """Longest wait for requests in flight once the process has been told to stop."""

    auth_provider: Literal["local"] = "local"
    """Who vouches for users; `local` is the built-in provider: e-mail address and password."""

    auth_signing_key: SecretStr | None = None
    """The private key that signs access tokens: EC P-256, PEM, line breaks may be written as \\n.
    Make one with `python -m entrypoints.cli signing-key`. Required in production, and with more than one
    of WORKERS; otherwise a key is made at each start, and earlier tokens are void."""

    auth_audience: Annotated[str, Field(default_factory=lambda: SERVICE_NAME)]
    """The `aud` of our access tokens. Default: the service's name."""

    auth_access_token_seconds: Annotated[int, Field(ge=10, le=86_400)] = 600
    """Lifetime of an access token; a lower value refuses longer-lived ones that were issued before."""

    auth_session_days: Annotated[int, Field(ge=1, le=400)] = 30
    """Lifetime of a session, however often it is refreshed."""

    auth_cached_tokens: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Verified tokens that are remembered, about 1 KiB each."""

    password_hashers: Annotated[int, Field(ge=1, le=64)] = 2
    """Passwords that are hashed at the same time, on a core and with 19 MiB of memory each."""

    password_queue: Annotated[int, Field(ge=0, le=10_000)] = 50
    """Passwords that may wait to be hashed; then the answer is 503."""

    outbox_attempts: Annotated[int, Field(ge=1, le=100)] = 10
    """Deliveries of an event that may fail before it is parked for an operator."""

    outbox_poll_seconds: Seconds = 5.0
    """How often the worker looks for events that no notification has told it of."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least serious message that is logged."""

    log_format: Literal["auto", "console", "json"] = "auto"
    """`auto` is `console` for development in a terminal, and `json` otherwise."""

    @property
    def signing_key_pem(self) -> str | None:
        return self.auth_signing_key.get_secret_value() if self.auth_signing_key else None

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_lower_case(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("database_url")
    @classmethod
    def _one_spelling(cls, value: SecretStr) -> SecretStr:
        scheme, separator, rest = value.get_secret_value().strip().partition("://")
        if not separator or scheme not in {"postgresql", "postgres", "postgresql+asyncpg"}:
            raise ValueError(
                "does not name a PostgreSQL. Write it as postgresql://user:password@localhost:5432/name."
            )
        try:
            urlsplit(f"postgresql://{rest}").port  # noqa: B018 (raises where it is no port)
        except ValueError:
            raise ValueError(
                "cannot be read. Write it as postgresql://user:password@localhost:5432/name; "
                "in a password write / ? # [ ] @ : as %2F %3F %23 %5B %5D %40 %3A."
            ) from None
        return SecretStr(f"postgresql://{rest}")

    @field_validator("public_url")
    @classmethod
    def _issuer(cls, value: str, info: ValidationInfo) -> str:
        if not value:
            return f"http://localhost:{info.data.get('port', 8000)}"
        url = _web_address(value)
        if url is None:
            raise ValueError("is not a plain web address. Write it like https://api.example.com.")
        if _in_production(info) and url.scheme != "https" and url.hostname not in _LOOPBACK:
            raise ValueError("is not https. In production write https://…; only localhost may do without.")
        return value.rstrip("/")

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split_at_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if "*" in origins and _in_production(info):
            raise ValueError("is *. In production list the origins, such as https://app.example.com.")
        for origin in origins:
            url = _web_address(origin)
            if origin != "*" and (url is None or url.path):
                raise ValueError(
                    f"has {origin[:60]!r}. An origin is https://app.example.com, without a path."
                )
        return origins

    @field_validator("auth_signing_key")
    @classmethod
    def _is_a_private_key(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        remedy = "Put the output of `python -m entrypoints.cli signing-key` there."
        if value is None:
            if _in_production(info):
                raise ValueError(f"is missing, and production needs one that stays. {remedy}")
            if info.data.get("workers", 1) > 1:
                raise ValueError(f"is missing, and more than one of WORKERS have to share it. {remedy}")
            return None
        pem = value.get_secret_value().replace("\\n", "\n").strip()
        try:
            key = ECKey.import_key(pem)
            fits = key.is_private and key.curve_name == "P-256"
        except (JoseError, ValueError, TypeError):  # no PEM, a passphrase, another kind of key
            fits = False
        if not fits:
            raise ValueError(f"is no private key of EC P-256 as an unencrypted PEM. {remedy}")
        return SecretStr(pem)


def _in_production(info: ValidationInfo) -> bool:
    return info.data.get("environment") == "production"


def _web_address(text: str) -> SplitResult | None:
    """The parts of scheme://host[:port][/path]; `None` for whatever is not just that."""
    try:
        url = urlsplit(text)
        plain = url.scheme in {"http", "https"} and url.hostname and url.port != 0
    except ValueError:
        return None
    if not plain or url.query or url.fragment or "@" in url.netloc or not text.isprintable() or " " in text:
        return None
    return url


def load_settings() -> Settings:
    """The settings of this process, or exit status 2 after saying everything that is wrong with them."""
    try:
        return Settings()
    except ValidationError as invalid:
        lines = problems(invalid, Settings.model_fields)
    except UnicodeDecodeError:
        lines = [".env is not UTF-8 text. Save it as UTF-8."]
    sys.stderr.write("\n  ".join(["The settings are not right:", *lines]) + "\n")
    raise SystemExit(2)
