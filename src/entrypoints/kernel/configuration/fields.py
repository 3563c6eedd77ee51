"""Every setting that the kernel has: what it is for, its unit and its default.

What has to hold of them stands in `settings.py`.
"""

import os
from pathlib import Path
from typing import Annotated, Literal, override

from pydantic import (
    Field,
    SecretStr,
)
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from entrypoints.kernel.configuration.files import FolderOfFiles, NamedFiles
from entrypoints.kernel.configuration.providers import (
    Preset,
    ProviderSettings,
)
from entrypoints.kernel.configuration.spelling import LiteralDotEnv, read_dotenv
from entrypoints.kernel.service import ROOT, SERVICE_NAME, SERVICE_PORT

DEVELOPMENT_SECRET = "for development alone, and known to everybody"  # noqa: S105

Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


class Fields(BaseSettings):
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

    port: Annotated[int, Field(ge=1, le=65535)] = SERVICE_PORT
    """The port that HTTP is served on."""

    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Processes that serve HTTP, each with connections of its own."""

    metrics_port: Annotated[int, Field(examples=[9000], ge=0, le=65535)] = 0
    """The port that metrics are served on for Prometheus, at /metrics and never beside the API: those of all
    WORKERS together, and of a worker its own. Default: none; `make run` says where it serves them."""

    metrics_host: str = "127.0.0.1"
    """The address of METRICS_PORT; 0.0.0.0 where Prometheus comes from another host, over a network that
    clients do not reach."""

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

    rate_limits: str = "default=600/60,expensive=60/60,login=60/60,mail=30/60,workspace=6000/60"
    """How many requests in how many seconds a user may send to one route, by the class of the route; without
    a token a network address (docs/limits.md). `workspace` is for all requests to one workspace together.
    name=off counts none of a class, and `off` alone none at all; what is left out stays as it is here."""

    redis_url: SecretStr = SecretStr("")
    """The Redis or Valkey in which all processes count requests together, as redis://user:password@host:6379/0
    or rediss://… for TLS. Default: none, and each process counts by itself."""

    redis_wait_ms: Annotated[int, Field(ge=1, le=1000)] = 50
    """Longest wait for Redis, in milliseconds; after three such failures it is not asked for a second."""

    rate_limits_closed: Annotated[tuple[str, ...], NoDecode] = ()
    """The classes of RATE_LIMITS whose requests are refused with 503 while Redis cannot be asked, separated
    by commas: login,mail. Each process counts those of the others by itself meanwhile. Default: none."""

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
    """Whether the token of a client that acts for no person (client credentials) makes it a user, as a
    person's does."""

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

    log_slow_request_seconds: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = 1.0
    """How long a request may take before the log tells its slowest statement; 0 for never."""

    log_slow_statement_seconds: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = 0.5
    """How long an SQL statement may take before it is logged by its name; 0 for never."""

    sentry_dsn: SecretStr = SecretStr("")
    """Where errors are reported to, as Sentry says it: https://key@host/project. Needs the extra `sentry`.
    Default: nowhere."""

    otel_exporter_otlp_endpoint: str = ""
    """The collector that traces are sent to (OTLP over HTTP), as http://collector:4318; its other OTEL_*
    variables hold as well, but are read from the environment alone. Default: no traces."""

    otel_exporter_otlp_protocol: Literal["http/protobuf"] = "http/protobuf"
    """How the collector is spoken to; there is no other way here."""

    explain_ms: Annotated[float, Field(ge=0, le=60_000, allow_inf_nan=False)] = 0
    """For development: the plan of each statement that takes longer than so many milliseconds is logged, with
    the values that it is run with. A statement that only reads runs once more for it. 0 for none."""
