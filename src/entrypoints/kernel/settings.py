"""Every setting that the kernel has: its unit, its default, what production refuses, and how it is read."""

import os
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, override
from urllib.parse import SplitResult, quote, urlsplit

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from adapters.postgres.kernel.connection.address import read_address
from application.kernel.ports.mail import sender_address
from entrypoints.kernel.configuration.every_problem import everything_wrong, unreadable_of
from entrypoints.kernel.configuration.files import FolderOfFiles, NamedFiles, names_in_folder
from entrypoints.kernel.configuration.hosts import host_without_port, read_host
from entrypoints.kernel.configuration.networks import Network, read_network
from entrypoints.kernel.configuration.origins import origin_of, split_address
from entrypoints.kernel.configuration.providers import (
    Preset,
    ProviderSettings,
    is_loopback,
    problems_of,
    read_marker,
    read_providers,
    read_roles,
)
from entrypoints.kernel.configuration.secrecy import LEAST_BITS, LEAST_CHARACTERS, apparent_bits
from entrypoints.kernel.configuration.spelling import LiteralDotEnv, misspellings, read_dotenv
from entrypoints.kernel.configuration.text import problems

ROOT = Path(__file__).parents[3]
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
SERVICE_NAME: str = _PROJECT["name"]
SERVICE_VERSION: str = _PROJECT["version"]
SERVICE_DESCRIPTION: str = _PROJECT["description"]
SERVICE_LICENSE: str = _PROJECT["license"]  # by its SPDX identifier
V1: Final = "/v1"
"""Below it are the kernel's routes: the version in which everything that is not overridden stays."""

DEVELOPMENT_SECRET = "for development alone, and known to everybody"  # noqa: S105

_ANOTHER = "Put the output of `python -m entrypoints.cli secret` there."

_PAGE = re.compile(r"https://[!-~]+")
_CONTACT = re.compile(r"https://[!-~]+|mailto:[!-~]+@[!-~]+|tel:\+[0-9().-]+")
_NAME = re.compile(r"[a-z0-9-]{1,40}")
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}

Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


class KernelSettings(BaseSettings):
    """Read from the environment, else from the file `.env`, else from the folder SECRETS_DIR.

    An empty value counts as absent. In the first two, `NAME_FILE` names a file with the value of `NAME`.

    The order of the fields matters where one is judged in the light of another: the other comes first.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        env_file=ROOT / ".env",
        # The library reads the file, too, before `LiteralDotEnv` does: with this it ends at no byte of it.
        env_file_encoding="latin-1",
        env_ignore_empty=True,
        extra="ignore",
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        validate_default=True,
    )

    @override
    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = dotenv_settings.env_file if isinstance(dotenv_settings, DotEnvSettingsSource) else None
        in_file = read_dotenv(Path(file))[0] if isinstance(file, (str, Path)) else {}
        return (
            init_settings,
            NamedFiles(settings_cls, os.environ),
            env_settings,
            NamedFiles(settings_cls, in_file),
            LiteralDotEnv(settings_cls, env_file=file),
            FolderOfFiles(settings_cls),
        )

    environment: Literal["development", "production"] = "development"
    """Production refuses to start on a setting that is only good for development."""

    secrets_dir: str = ""
    """A folder of files, each with one setting's value and named like it, in capitals or small letters, such
    as /run/secrets. The environment and `.env` win over it. Default: none."""

    database_url: SecretStr
    """The database, as postgresql://user:password@host:5432/name. Required, but `make run` brings its own.
    Several hosts are tried in order: postgresql://…@h1:5432,h2:5432/name?target_session_attrs=read-write."""

    database_direct_url: SecretStr = SecretStr("")
    """The same database past a pooler: for migrations, and for the worker with its LISTEN.
    Default: DATABASE_URL."""

    database_pooler: Literal["none", "transaction"] = "none"
    """Whether DATABASE_URL leads through a pooler in transaction mode, such as PgBouncer 1.21 or newer. Then
    `python -m entrypoints.cli pooler` prints the timeouts that the database's user needs."""

    database_pool_size: Annotated[int, Field(ge=1, le=1000)] = 10
    """Most connections to the database, in each process."""

    database_wait_seconds: Seconds = 1.0
    """Longest wait for a free connection; then the answer is 503."""

    database_connect_seconds: Seconds = 2.0
    """Longest wait for a new connection to be made, all hosts together."""

    database_statement_seconds: Seconds = 10.0
    """Longest run of one SQL statement; then the answer is 504. A database that has not said so two seconds
    later counts as silent: the connection is ended, and the answer is 503."""

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
    Default: http://localhost:PORT. Required in production."""

    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ()
    """The proxies in front of the service, as addresses and networks with commas in between: 10.0.0.0/8,::1.
    What they say of a client's address and scheme is believed (`Forwarded`, `X-Forwarded-For`,
    `X-Forwarded-Proto`), and what anybody else says is not. `none` where clients connect directly, which is
    the default. Required in production."""

    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """The hosts that requests may name beside that of PUBLIC_URL, without port, separated by commas:
    api.internal,*.example.com,10.0.0.7. Others are refused with 421, except below /health/; `*` is for every
    host. Default: none in production, and every host in development."""

    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins whose scripts may call the API, separated by commas: https://app.example.com. Default: none."""

    security_contact: Annotated[tuple[str, ...], NoDecode] = ()
    """Where to report a vulnerability, the best way first, separated by commas: mailto:security@example.com
    or https://…. Told at /.well-known/security.txt (RFC 9116), which is not there without it."""

    security_policy: str = ""
    """The https address of the page on how vulnerabilities are handled, for the same file. Default: none."""

    docs: Literal["auto", "public", "off"] = "auto"
    """Whether the documentation page and the OpenAPI document are served; `auto` is `public` in development
    and `off` in production. The pages about problems are always there."""

    max_body_bytes: Annotated[int, Field(ge=1024, le=1024**3)] = 1024**2
    """Largest body of a request; then the answer is 413."""

    request_seconds: Seconds = 30.0
    """Longest time from the head of a request to the beginning of its answer; then the answer is 504."""

    keep_alive_seconds: Seconds = 75
    """How long a connection is kept for another request: longer than the proxy in front keeps it (60 in nginx
    and most clouds), or now and then one sends a request on what the other closes, and answers 502."""

    connections_most: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """Most connections of clients, in each process; then one that is idle gives way, or the answer is 503.
    `/health/` is answered all the same."""

    drain_seconds: Annotated[float | None, Field(examples=[5], ge=0, le=300, allow_inf_nan=False)] = None
    """How long everything is still served once the process has been told to stop (SIGTERM), while
    `/health/ready` is 503: longer than the balancer takes to notice. Default: 5 in production, else 0."""

    shutdown_seconds: Annotated[int, Field(ge=0, le=600)] = 20
    """Longest wait after that for requests in flight; then they are answered 503."""

    app_url: str = ""
    """Where the front end is, without a slash at the end: mails link to pages there, and whoever logs in
    through a provider may return there. Default: none, and mails tell the request to make."""

    auth_provider: Literal["local", "oidc"] = "local"
    """Who vouches for users: `local` is the built-in provider (e-mail address and password), `oidc` the
    OpenID provider of OIDC_ISSUER."""

    auth_trust_local: bool = False
    """With AUTH_PROVIDER=oidc: the built-in provider's log-ins and tokens stay good beside the other's, while
    people move."""

    auth_secret: SecretStr = SecretStr(DEVELOPMENT_SECRET)
    """Encrypts signing keys and kept answers in the database, log-ins that are under way and fresh proofs
    of identity, and protects cookies against forged requests. Make one with
    `python -m entrypoints.cli secret`. Required in production."""

    auth_second_secret: SecretStr = SecretStr("")
    """While AUTH_SECRET is being changed, the other of the old and the new one: it opens what AUTH_SECRET
    does not, and seals nothing. Default: none."""

    auth_audience: Annotated[str, Field(default_factory=lambda: SERVICE_NAME)]
    """The `aud` of the built-in provider's access tokens. Default: the service's name."""

    auth_access_token_seconds: Annotated[int, Field(ge=10, le=86_400)] = 600
    """Lifetime of an access token; a lower value refuses longer-lived ones that were issued before."""

    auth_session_days: Annotated[int, Field(ge=1, le=400)] = 30
    """Lifetime of a session, however often it is refreshed."""

    auth_session_idle_hours: Annotated[float, Field(ge=0, le=9600, allow_inf_nan=False)] = 0
    """A session ends after so long without use; 0 for never before its lifetime."""

    auth_sessions_most: Annotated[int, Field(ge=1, le=1000)] = 50
    """Open sessions of a user; a log-in beyond ends the oldest."""

    auth_refresh_grace_seconds: Annotated[float, Field(ge=0, le=120, allow_inf_nan=False)] = 10
    """How long the use of a refresh token may be repeated, with the same answer: for answers that are lost,
    and tabs that do it at once. After that a second use ends the session."""

    reauthentication_minutes: Annotated[int, Field(ge=1, le=60)] = 5
    """How long a fresh proof of identity counts, by password or by a log-in at a provider, for what
    changes their ways to log in."""

    auth_key_days: Annotated[int, Field(ge=1, le=3650)] = 90
    """Age at which the signing key of the built-in provider is followed by the next."""

    auth_cached_tokens: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Verified tokens that are remembered, about 1 KiB each."""

    auth_recheck_seconds: Annotated[float, Field(ge=0, le=300, allow_inf_nan=False)] = 5.0
    """How long a verified token is believed without asking again: so long, at most, does a token outlive its
    session's end or its user's suspension, where another process did that."""

    auth_longest_token_bytes: Annotated[int, Field(ge=1024, le=64 * 1024)] = 8 * 1024
    """Longest access token that is read at all; for Entra, whose groups take room, at least 16384."""

    auth_introspection_clients: SecretStr = SecretStr("")
    """Services that may ask whether a token is good (RFC 7662), as name:secret, separated by commas; a secret
    has at least 32 characters. Default: none."""

    auth_cookie_same_site: Literal["lax", "strict", "none"] = "lax"
    """Which requests of other sites carry the session cookie; `none` for a front end on another site."""

    oidc_issuer: str = ""
    """The OpenID provider's issuer, to the letter as in its discovery document, a slash at the end too."""

    oidc_audience: str = ""
    """What the provider's access tokens for this API have in `aud`."""

    oidc_preset: Preset = "rfc9068"
    """Which provider it is: what its access tokens look like, and how an ID token is told from one."""

    oidc_algorithms: Annotated[tuple[str, ...], NoDecode] = ()
    """The algorithms that the provider signs with, separated by commas, if not those of the preset."""

    oidc_token_types: Annotated[tuple[str, ...], NoDecode] = ()
    """What its access tokens have as `typ`, separated by commas, if not what the preset says: JWT,at+jwt;
    `none` for no `typ`."""

    oidc_token_marker: str = ""
    """What tells its access tokens from its ID tokens, if not what the preset says, as a JSON object:
    {"require": ["jti"], "require_one": ["client_id", "azp"], "forbid": ["nonce"], "equals": {"ver": "2"},
    "audience_beside_client": true}. What is left out is the preset's."""

    oidc_roles: str = ""
    """The provider's roles that count here, as theirs=ours, separated by commas:
    api-admins=admin,helpdesk=support."""

    oidc_role_claim: str = ""
    """Where the roles stand in a token, if not where the preset says: realm_access.roles, or a JSON list
    where a name itself has dots: ["https://example.com/roles"]."""

    oidc_scope_claim: str = ""
    """Where the scopes stand in a token, if not where the preset says."""

    oidc_required_scope: str = ""
    """A scope that every access token must have. Default: none."""

    oidc_allowed_clients: Annotated[tuple[str, ...], NoDecode] = ()
    """The only clients (for clerk: origins) whose tokens are accepted, separated by commas. Default: all of
    the provider's, where the audience is checked."""

    oidc_admit_machines: bool = False
    """Whether the token of a client that acts for no person (client credentials) makes it a user, as a person's
    does."""

    oidc_trust_email: bool = False
    """Whether an address that the provider has verified lets in as the user who has verified the same address
    here. Only for a provider that is run by the people who run this service."""

    oidc_client_id: str = ""
    """This service as a client of the provider, to log in through it. Default: no log-in through it."""

    oidc_client_secret: SecretStr = SecretStr("")
    """The secret of that client; none for a public one."""

    oidc_login_scopes: str = "openid email profile"
    """The scopes that a log-in asks for, separated by spaces."""

    oidc_docs_client_id: str = ""
    """A public client of the provider, for the button "Authorize" of the documentation page."""

    oidc_keys_hours: Annotated[float, Field(gt=0, le=168, allow_inf_nan=False)] = 24
    """How long the provider's last good keys serve while it cannot be reached."""

    oidc_ca_file: str = ""
    """A PEM file with the certificates of your own authority, where providers have theirs of it; the world's
    are trusted beside it. Default: none."""

    oidc_more_providers: Annotated[tuple[ProviderSettings, ...], NoDecode] = ()
    """Further providers that are trusted at the same time: a JSON list of objects with a `name` and the
    settings above in lower case without OIDC_: [{"name": "old", "issuer": "https://…", "audience": "…"}]."""

    mailer: Literal["console", "smtp"] = "console"
    """How mail leaves; `console` shows it in the worker's output, for development."""

    mail_from: str = ""
    """The sender's address; needed with MAILER=smtp."""

    smtp_host: str = ""
    """The mail server; needed with MAILER=smtp."""

    smtp_port: Annotated[int, Field(ge=1, le=65535)] = 587
    """The mail server's port: 587 for STARTTLS, 465 for TLS from the start."""

    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    """How the way to the mail server is encrypted; `none` only for one on this machine."""

    smtp_username: str = ""
    """The account at the mail server. Default: none."""

    smtp_password: SecretStr = SecretStr("")
    """Its password."""

    password_hashers: Annotated[int, Field(ge=1, le=64)] = 2
    """Passwords that are hashed at the same time, on a core and with 19 MiB of memory each: so many of people
    who are known, as many of log-ins from unknown devices, and one registration."""

    password_queue: Annotated[int, Field(ge=0, le=10_000)] = 50
    """Passwords of each of these kinds that may wait to be hashed; then the answer is 503."""

    idempotency_hours: Annotated[float, Field(gt=0, le=720, allow_inf_nan=False)] = 24
    """How long the answer to a request with an `Idempotency-Key` is kept, to be given again."""

    audit_days: Annotated[int, Field(ge=1, le=3650)] = 365
    """How long the audit log is kept; what is older is deleted."""

    outbox_attempts: Annotated[int, Field(ge=1, le=100)] = 10
    """Deliveries of an event that may fail before it is parked for an operator."""

    outbox_poll_seconds: Seconds = 5.0
    """How often the worker looks for events that no notification has told it of."""

    outbox_overdue_seconds: Seconds = 60.0
    """How long an event may be due before readiness is degraded and the worker says so in its log."""

    worker_heartbeat_seconds: Annotated[float, Field(ge=0.1, le=600, allow_inf_nan=False)] = 5.0
    """How often a worker shows in the database that it is at work."""

    worker_missing_seconds: Seconds = 30.0
    """How long no worker may have shown itself before readiness is degraded, and how long a worker may not
    before `python -m entrypoints.cli worker check` fails. Longer than WORKER_HEARTBEAT_SECONDS."""

    outbox_lane_deliveries: Annotated[int, Field(ge=1, le=100)] = 4
    """Mails that a worker hands over at the same time, and as many deliveries of each other lane of reactions
    that leave the database."""

    outbox_outside_seconds: Annotated[float, Field(ge=0.1, le=600, allow_inf_nan=False)] = 20.0
    """Longest time for one of those deliveries, such as a mail; if its worker dies, it is made again ten
    seconds after that."""

    outbox_refused_hours: Annotated[float, Field(gt=0, le=720, allow_inf_nan=False)] = 96
    """How long a mail that its server does not take, or another delivery that is refused for now, is tried
    again before it is parked for an operator."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least serious message that is logged."""

    log_format: Literal["auto", "console", "json"] = "auto"
    """`auto` is `console` for development in a terminal, and `json` otherwise."""

    @property
    def providers(self) -> tuple[ProviderSettings, ...]:
        """Every external provider, the one of OIDC_ISSUER first."""
        more = tuple(
            provider if provider.ca_file else provider.model_copy(update={"ca_file": self.oidc_ca_file})
            for provider in self.oidc_more_providers
        )
        if not self.oidc_issuer:
            return more
        first = ProviderSettings(
            name=self.oidc_preset if self.oidc_preset != "rfc9068" else "oidc",
            issuer=self.oidc_issuer,
            audience=self.oidc_audience,
            preset=self.oidc_preset,
            algorithms=self.oidc_algorithms,
            token_types=self.oidc_token_types,
            token_marker=read_marker(self.oidc_token_marker),
            roles=read_roles(self.oidc_roles),
            role_claim=self.oidc_role_claim,
            scope_claim=self.oidc_scope_claim,
            required_scope=self.oidc_required_scope,
            allowed_clients=self.oidc_allowed_clients,
            trust_email=self.oidc_trust_email,
            client_id=self.oidc_client_id,
            client_secret=self.oidc_client_secret,
            login_scopes=self.oidc_login_scopes,
            docs_client_id=self.oidc_docs_client_id,
            keys_hours=self.oidc_keys_hours,
            ca_file=self.oidc_ca_file,
            admit_machines=self.oidc_admit_machines,
        )
        return (first, *more)

    @property
    def proxy_networks(self) -> tuple[Network, ...]:
        """Where the proxies are whose word on the client's address and scheme is taken."""
        return tuple(read_network(proxy) for proxy in self.trusted_proxies if proxy != "none")

    @property
    def hosts(self) -> tuple[str, ...] | None:
        """The hosts that requests may name, as `read_host` spells them; `None` for every host."""
        if "*" in self.allowed_hosts or not (self.allowed_hosts or self.environment == "production"):
            return None
        public = urlsplit(split_address(self.public_url)[0]).netloc  # type: ignore[index] # it is one
        return tuple({read_host(host_without_port(public)): None, **dict.fromkeys(self.allowed_hosts)})

    @property
    def docs_served(self) -> bool:
        """Whether anybody may read the documentation page and the OpenAPI document here."""
        return self.docs == "public" or (self.docs == "auto" and self.environment == "development")

    @property
    def session_idle(self) -> timedelta | None:
        """How long a session may go unused; `None` for as long as it lasts."""
        return timedelta(hours=self.auth_session_idle_hours) or None

    @property
    def mail_seconds(self) -> float:
        """The longest that a mail may take to leave: its delivery also reads and counts meanwhile."""
        return self.outbox_outside_seconds * 0.75

    @property
    def passwords_enabled(self) -> bool:
        """Whether people log in with the built-in provider's passwords."""
        return self.auth_provider == "local" or self.auth_trust_local

    @property
    def local_tokens_trusted(self) -> bool:
        """Whether the built-in issuer's tokens are good, such as a log-in through a provider ends in."""
        return self.passwords_enabled or any(provider.client_id for provider in self.providers)

    @property
    def through_pooler(self) -> bool:
        """Whether DATABASE_URL leads through a pooler in transaction mode: DATABASE_POOLER or it says so."""
        pooled = self.database_pooler == "transaction"
        return pooled or read_address(self.database_url.get_secret_value()).pooled

    @property
    def direct_url(self) -> SecretStr:
        """Where the database is asked past a pooler, if there is one."""
        return self.database_direct_url if self.database_direct_url.get_secret_value() else self.database_url

    @property
    def direct_through_pooler(self) -> bool:
        """Whether the address past the pooler is missing."""
        return self.through_pooler and not self.database_direct_url.get_secret_value()

    @property
    def browser_origins(self) -> frozenset[str]:
        """The origins whose pages may act for a user who is logged in by cookie, and be returned to."""
        own = (split_address(url) for url in (self.public_url, self.app_url) if url)
        named = (origin for origin in self.cors_origins if origin != "*")
        return frozenset({*named, *(address[0] for address in own if address)})

    @property
    def introspection_clients(self) -> dict[str, str]:
        """The secrets of the services that may introspect tokens, by their names."""
        pairs = self.auth_introspection_clients.get_secret_value().split(",")
        return dict(pair.strip().split(":", 1) for pair in pairs if pair.strip())

    @field_validator("secrets_dir")
    @classmethod
    def _is_a_folder(cls, value: str) -> str:
        if value:
            names_in_folder(value)
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_lower_case(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("database_url", "database_direct_url")
    @classmethod
    def _one_spelling(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        url = value.get_secret_value().strip()
        if not url and info.field_name == "database_direct_url":
            return value
        if read_address(url).pooled and info.field_name == "database_direct_url":
            raise ValueError("leads through a pooler, as it says itself. Name the database's own address.")
        return SecretStr(f"postgresql://{url.partition('://')[2]}")

    @field_validator("database_pooler")
    @classmethod
    def _has_no_options(cls, value: str, info: ValidationInfo) -> str:
        if url := info.data.get("database_url"):
            address = read_address(url.get_secret_value())
            if (value == "transaction" or address.pooled) and address.sets_options:
                raise ValueError(
                    "is transaction, and DATABASE_URL has options that a pooler refuses. "
                    "Remove them, and set them by ALTER ROLE … SET."
                )
        return value

    @field_validator("drain_seconds")
    @classmethod
    def _by_environment(cls, value: float | None, info: ValidationInfo) -> float:
        if value is None:
            return 5 if _in_production(info) else 0
        return value

    @field_validator("public_url")
    @classmethod
    def _issuer(cls, value: str, info: ValidationInfo) -> str:
        if not value:
            if _in_production(info):
                raise ValueError(
                    "is missing, and production needs to be told: tokens name it as their issuer. Set it to "
                    "where clients reach the service, such as https://api.example.com."
                )
            return f"http://localhost:{info.data.get('port', 8000)}"
        url = _web_address(value)
        if url is None:
            raise ValueError("is not a plain web address. Write it like https://api.example.com.")
        value = value if value.isascii() else url.geturl()
        if _in_production(info) and url.scheme != "https" and url.hostname not in _LOOPBACK:
            raise ValueError("is not https. In production write https://…; only localhost may do without.")
        return value.rstrip("/")

    @field_validator("app_url")
    @classmethod
    def _is_a_front_end(cls, value: str, info: ValidationInfo) -> str:
        url = _web_address(value) if value else None
        if value and url is None:
            raise ValueError("is not a plain web address. Write it like https://app.example.com.")
        value = url.geturl() if url and not value.isascii() else value
        if url and _in_production(info) and url.scheme != "https" and url.hostname not in _LOOPBACK:
            raise ValueError("is not https. Its links carry secrets: in production write https://….")
        return value.rstrip("/")

    @field_validator(
        "allowed_hosts",
        "cors_origins",
        "oidc_allowed_clients",
        "oidc_algorithms",
        "oidc_token_types",
        "trusted_proxies",
        "security_contact",
        mode="before",
    )
    @classmethod
    def _split_at_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _are_proxies(cls, proxies: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not proxies and _in_production(info):
            raise ValueError(
                "is missing, and production needs to be told. List the addresses and networks of the proxies "
                "in front, such as 10.0.0.0/8, or write none where clients connect directly."
            )
        wrong = []
        if "none" in proxies and len(proxies) > 1:
            wrong.append("is none and something else. Write none alone, or list the proxies.")
        for proxy in proxies:
            try:
                if proxy != "none":
                    read_network(proxy)
            except ValueError as refused:
                wrong.append(str(refused))
        _refuse(wrong)
        return proxies

    @field_validator("allowed_hosts")
    @classmethod
    def _are_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        spelt, wrong = list[str](), list[str]()
        for host in hosts:
            try:
                spelt.append(host if host == "*" else read_host(host))
            except ValueError as refused:
                wrong.append(str(refused))
        _refuse(wrong)
        return tuple(spelt)

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        wrong = []
        if "*" in origins and _in_production(info):
            wrong.append("is *. In production list the origins, such as https://app.example.com.")
        wrong += [
            f"has {origin[:60]!r}. An origin is https://app.example.com, without a path."
            for origin in origins
            if origin != "*" and origin_of(origin) is None
        ]
        _refuse(wrong)
        return tuple(origin_of(origin) or origin for origin in origins)

    @field_validator("security_contact")
    @classmethod
    def _are_contacts(cls, contacts: tuple[str, ...]) -> tuple[str, ...]:
        _refuse(
            f"has {contact[:60]!r}. Write an address as mailto:security@example.com, a page as "
            "https://example.com/security, a telephone as tel:+1-201-555-0123."
            for contact in contacts
            if not _CONTACT.fullmatch(contact)
        )
        return contacts

    @field_validator("security_policy")
    @classmethod
    def _is_a_page(cls, value: str, info: ValidationInfo) -> str:
        wrong = []
        if value and not _PAGE.fullmatch(value):
            wrong.append("is not the address of a page. Write it like https://example.com/security.")
        if value and not info.data.get("security_contact", True):
            wrong.append("says nothing without SECURITY_CONTACT. Set that as well, or remove it.")
        _refuse(wrong)
        return value

    @field_validator("auth_trust_local")
    @classmethod
    def _means_something(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("auth_provider") == "local":
            raise ValueError("says nothing with AUTH_PROVIDER=local. Remove it, or set AUTH_PROVIDER=oidc.")
        return value

    @field_validator("auth_secret")
    @classmethod
    def _is_secret(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        if value.get_secret_value() == DEVELOPMENT_SECRET:
            if _in_production(info):
                raise ValueError(f"is missing, and production needs one that nobody else knows. {_ANOTHER}")
        else:
            _check_strength(value)
        return value

    @field_validator("auth_second_secret")
    @classmethod
    def _is_another_secret(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        if not value.get_secret_value():
            return value
        if value == info.data.get("auth_secret"):
            raise ValueError("is the same as AUTH_SECRET. Set it to the other of the old and the new one.")
        if value.get_secret_value() != DEVELOPMENT_SECRET:
            _check_strength(value)
        elif _in_production(info):
            raise ValueError(f"is known to everybody. {_ANOTHER}")
        return value

    @field_validator("auth_session_idle_hours")
    @classmethod
    def _outlasts_access_tokens(cls, value: float, info: ValidationInfo) -> float:
        least = info.data.get("auth_access_token_seconds", 0)
        if 0 < value * 3600 <= least:
            raise ValueError(
                f"is not longer than AUTH_ACCESS_TOKEN_SECONDS ({least}): clients use a session when they "
                "refresh it. Set a longer time, or 0."
            )
        return value

    @field_validator("worker_missing_seconds")
    @classmethod
    def _outlasts_heartbeats(cls, value: float, info: ValidationInfo) -> float:
        pause = info.data.get("worker_heartbeat_seconds", 0)
        if value <= pause:
            raise ValueError(
                f"is not longer than WORKER_HEARTBEAT_SECONDS ({pause:g}): a worker would be missing between "
                "two heartbeats. Set a longer time; three times as long is a good one."
            )
        return value

    @field_validator("auth_introspection_clients")
    @classmethod
    def _are_clients(cls, value: SecretStr) -> SecretStr:
        names, wrong = [], []
        for pair in filter(None, (part.strip() for part in value.get_secret_value().split(","))):
            name, _, secret = pair.partition(":")
            if not name or len(secret) < 32:
                wrong.append("is not right. Write name:secret, each secret with 32 characters or more.")
            names.append(name)
        if len(set(names)) < len(names):
            wrong.append("names a client twice. Give each its own name.")
        _refuse(wrong)
        return value

    @field_validator("oidc_issuer")
    @classmethod
    def _is_given_where_needed(cls, value: str, info: ValidationInfo) -> str:
        if not value and info.data.get("auth_provider") == "oidc":
            raise ValueError("is missing, and AUTH_PROVIDER=oidc needs it. Copy it from the provider.")
        return value

    @field_validator("oidc_token_marker")
    @classmethod
    def _is_marker(cls, value: str) -> str:
        read_marker(value)
        return value

    @field_validator("oidc_roles")
    @classmethod
    def _are_roles(cls, value: str) -> str:
        read_roles(value)
        return value

    @field_validator("oidc_more_providers", mode="before")
    @classmethod
    def _read_more(cls, value: object) -> object:
        return tuple(read_providers(value)) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _agree(self) -> Self:
        _refuse(self.disagreements())
        return self

    @model_validator(mode="wrap")  # around the one above, since it stands below
    @classmethod
    def _all_at_once(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:  # noqa: ANN401 (as typed there)
        """One run tells all that is wrong: what is by itself, and what disagrees with another setting."""
        if unreadable_of(given):
            raise everything_wrong(cls, defaults_of(cls), given, None)
        try:
            return handler(given)
        except ValidationError as found:
            raise everything_wrong(cls, defaults_of(cls), given, found) from None

    def disagreements(self) -> Iterator[str]:
        """What of the settings contradicts itself: sentences that begin with a setting's name, with remedies.

        A service yields its own behind those of `super()`: a `model_validator` of its own would be asked in a
        second run only.
        """
        yield from self._disagreements_of_providers()
        yield from self._disagreements_of_mail()

    def _disagreements_of_providers(self) -> Iterator[str]:
        names, issuers = set[str](), {self.public_url}
        for number, provider in enumerate(self.providers):
            only_to_log_in = self.auth_provider == "local" or (
                bool(provider.client_id) and not provider.issues_access_tokens
            )
            wrong = [
                *problems_of(
                    provider,
                    production=self.environment == "production",
                    accepts_tokens=not only_to_log_in,
                )
            ]
            if provider.issuer in issuers:
                wrong.append(("issuer", "is given twice, or is PUBLIC_URL. Each issuer has one description."))
            if provider.name in names or not _NAME.fullmatch(provider.name):
                wrong.append(("name", "is not right: small letters, digits and -, each provider its own."))
            flat = bool(self.oidc_issuer) and number == 0
            for name, text in wrong:
                place = f"OIDC_{name.upper()}" if flat else f"OIDC_MORE_PROVIDERS: {provider.name}: {name}"
                yield f"{place} {text}"
            names.add(provider.name)
            issuers.add(provider.issuer)

    def _disagreements_of_mail(self) -> Iterator[str]:
        production = self.environment == "production"
        if self.mailer == "console" and production:
            yield (
                "MAILER is console, which is for development: nobody could be invited or reset a password. "
                "Set MAILER=smtp, SMTP_HOST and MAIL_FROM."
            )
        if self.mailer == "smtp" or production:  # there is no other mailer there
            for name in ("smtp_host", "mail_from"):
                if self.mailer == "smtp" and not getattr(self, name):
                    yield f"{name.upper()} is missing, and MAILER=smtp needs it. Set it."
            if self.mail_from:
                try:
                    sender_address(self.mail_from)
                except ValueError as refused:
                    yield f"MAIL_FROM: {refused}"
            if (
                self.smtp_security == "none"
                and production
                and self.smtp_host
                and not is_loopback(self.smtp_host)
            ):
                yield "SMTP_SECURITY is none. In production that is for a mail server on this machine only."
            if bool(self.smtp_username) != bool(self.smtp_password.get_secret_value()):
                yield "SMTP_USERNAME and SMTP_PASSWORD belong together: set both, or neither."


def _refuse(wrong: Iterable[str]) -> None:
    """Raises ValueError with all of it, a line each, where there is something."""
    if text := "\n".join(wrong):
        raise ValueError(text)


def _check_strength(secret: SecretStr) -> None:
    """Raises ValueError."""
    if len(secret.get_secret_value()) < LEAST_CHARACTERS:
        raise ValueError(f"has fewer than {LEAST_CHARACTERS} characters. {_ANOTHER}")
    if apparent_bits(secret.get_secret_value()) < LEAST_BITS:
        raise ValueError(f"can be guessed: too much in it repeats or counts up. {_ANOTHER}")


def _in_production(info: ValidationInfo) -> bool:
    return info.data.get("environment") == "production"


def _web_address(text: str) -> SplitResult | None:
    """The parts of scheme://host[:port][/path]; `None` for whatever is not just that.

    As it is written, since tokens name it to the letter; but with a host in ASCII.
    """
    address = split_address(text)
    if address is None or not address[1].isprintable() or {" ", "?", "#"} & {*address[1]}:
        return None
    origin, path = address
    return urlsplit(text if text.isascii() else f"{origin}{quote(path, safe="/:@!$&'()*+,;=~%")}")


def defaults_of[S: KernelSettings](kind: type[S]) -> type[S]:
    """The same settings, where neither the environment nor `.env` has a say."""

    class Defaults(kind):  # type: ignore[misc, valid-type]  # a class that is an argument
        @override
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (init_settings,)

    return Defaults


def load_settings[S: KernelSettings](kind: type[S]) -> S:
    """The settings of this process, or exit status 2 after saying everything that is wrong with them.

    A misspelt name that does no harm is told on standard error.
    """
    settings, lines = read_settings(kind)
    if settings is None:
        sys.stderr.write("\n  ".join(["The settings are not right:", *lines]) + "\n")
        raise SystemExit(2)
    for line in lines:
        _notice(line)
    return settings


def read_settings[S: KernelSettings](kind: type[S]) -> tuple[S | None, list[str]]:
    """The settings and what is odd about them, or `None` and everything that is wrong with them."""
    file = kind.model_config.get("env_file")
    unread = [*read_dotenv(Path(file))[1]] if isinstance(file, (str, Path)) else []
    odd = [*misspellings(kind)]
    # What a slip has made development is judged as what it was to be.
    meant = [slip for slip in odd if slip.is_to_be_production]
    unread += map(str, meant)
    odd = [slip for slip in odd if slip not in meant]
    try:
        given: dict[str, Any] = {"environment": "production"} if meant else {}
        if unread:
            given["_env_file"] = _readable(file)
        settings = kind(**given)
    except ValidationError as invalid:
        return None, [*unread, *problems(invalid, kind.model_fields), *map(str, odd)]
    except SettingsError as unreadable:  # of a service's own settings: the kernel's read themselves
        return None, [*unread, f"{unreadable}.", *map(str, odd)]
    grave = [slip for slip in odd if slip.is_grave(production=settings.environment == "production")]
    if unread or grave:
        return None, [*unread, *map(str, odd if unread else grave)]
    return settings, [*map(str, odd)]


def _readable(file: object) -> object:
    """The file, or `None` where the library would end at it."""
    return file if os.access(str(file), os.R_OK) else None


@cache
def _notice(line: str) -> None:
    """Once in each process, which reads its settings more than once."""
    sys.stderr.write(f"Note: {line}\n")
