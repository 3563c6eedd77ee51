"""Which adapter plays which port, for every service; `entrypoints.container` adds what is a service's own.

    container = Container(settings=load_settings(Settings))
    await container.run()(use_case, caller, …)

There is no wiring: an entry point asks the container by name, once, when it starts. mypy checks that an
adapter fits its port, but not its arguments: a test builds all of them under every choice of the Selectors.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from dependency_injector import containers, providers

from adapters.limits.memory import MemoryRateLimits
from adapters.mail.console import ConsoleMailer
from adapters.mail.counted import CountedMailer
from adapters.mail.smtp import SmtpMailer
from adapters.passwords.argon2 import Argon2Passwords
from adapters.postgres.kernel.audit import PostgresAudit
from adapters.postgres.kernel.connection.database import Database
from adapters.postgres.kernel.connection.pooling import Pooler
from adapters.postgres.kernel.connection.transactions import PostgresTransactions
from adapters.postgres.kernel.discovery import queries_of, repositories_of
from adapters.postgres.kernel.expiry import PostgresExpiry
from adapters.postgres.kernel.health import PostgresHeartbeats, PostgresObserver
from adapters.postgres.kernel.identity.attempts import PostgresAttempts
from adapters.postgres.kernel.identity.auth import PostgresAuthQueries
from adapters.postgres.kernel.migrating.migrations import Migrations
from adapters.postgres.kernel.outbox.delivery import PostgresOutbox
from adapters.postgres.kernel.outbox.lanes import PostgresLanes
from adapters.tokens.cookies import StoredCookieVerifier
from adapters.tokens.keyring import KeyRing
from adapters.tokens.local import LocalIssuer, LocalTokenIssuer
from adapters.tokens.login import OidcLogin
from adapters.tokens.oidc import OidcIssuer
from adapters.tokens.presets import PRESETS, Marker
from adapters.tokens.providers import Provider
from adapters.tokens.sealed_keys import SealedKeys
from adapters.tokens.sealing import (
    ACCOUNTS,
    ANSWERS,
    DEVICES,
    LOGINS,
    REAUTHENTICATIONS,
    SIGNING_KEYS,
    JweSeal,
    KeyedPseudonyms,
)
from adapters.tokens.verifier import IssuedTokenVerifier, Issuer
from application.kernel.audit import Row, Trail
from application.kernel.export import Export, ExportPart
from application.kernel.identity.accounts import KnownAccounts, Linking
from application.kernel.identity.cookie_sessions import CookieSessions
from application.kernel.identity.endings import Endings
from application.kernel.identity.failures import Failures
from application.kernel.identity.known_devices import KnownDevices
from application.kernel.identity.letters import Letters
from application.kernel.identity.mails import MailReactions
from application.kernel.identity.password_login import PasswordLogin
from application.kernel.identity.provider_login import ProviderLogin
from application.kernel.identity.reauthentication import Reauthentication
from application.kernel.identity.sessions import TokenSessions
from application.kernel.ports.attempts import Attempts
from application.kernel.ports.audit import Audit, Note, Pseudonyms, Tell
from application.kernel.ports.callers import Accounts, CookieVerifier, TokenVerifier
from application.kernel.ports.events import Lanes, Outbox
from application.kernel.ports.health import Heartbeats, Observer
from application.kernel.ports.limits import RateLimits
from application.kernel.ports.logins import Seal
from application.kernel.ports.mail import Mailer
from application.kernel.ports.sessions import PasswordHasher, TokenIssuer
from application.kernel.ports.storing import Clock, Expiry
from application.kernel.ports.tracing import Tracing
from application.kernel.queries import KernelQueries
from application.kernel.run import Runner
from application.kernel.unit_of_work import Begin, KernelUnitOfWork
from domain.kernel.users import GlobalRole
from entrypoints.kernel.configuration.origins import origin_of
from entrypoints.kernel.configuration.providers import ProviderSettings, claim_path
from entrypoints.kernel.security_log import SecurityLog
from entrypoints.kernel.service import SERVICE_NAME, SERVICE_TITLE, SERVICE_VERSION, V1
from entrypoints.kernel.settings import KernelSettings
from entrypoints.kernel.telemetry.statements import StatementLog


def present_instant() -> datetime:
    """The machine's clock, aware UTC."""
    return datetime.now(UTC)


def openid_issuers(settings: KernelSettings, tracing: Tracing | None = None) -> Mapping[str, OidcIssuer]:
    """Every external provider by its name. None of them is asked for anything yet."""
    return {
        provider.name: OidcIssuer(
            _described(provider, longest_token=settings.auth_longest_token_bytes),
            allow_loopback_http=settings.environment == "development",
            keep_keys_seconds=provider.keys_hours * 3600,
            tracing=tracing,
        )
        for provider in settings.providers
    }


def _described(provider: ProviderSettings, *, longest_token: int) -> Provider:
    """The provider as its adapter wants it described; what is empty is the preset's.

    A provider that is only used for log-ins, whose access tokens are not accepted, needs no audience.
    """
    longest = max(longest_token, PRESETS[provider.preset].longest_token)
    log_in_only = not provider.audience and not provider.allowed_clients
    return Provider(
        issuer=provider.issuer,
        preset=provider.preset,
        audiences=frozenset({provider.client_id if log_in_only else provider.audience} - {""}),
        clients=frozenset(_clients(provider)),
        ca_file=provider.ca_file or None,
        admit_machines=provider.admit_machines,
        algorithms=frozenset(provider.algorithms) or None,
        token_types=provider.types,
        token_marker=_marker(provider),
        required_scopes=frozenset({provider.required_scope} - {""}),
        role_claims=(claim_path(provider.role_claim),) if provider.role_claim else None,
        longest_token=longest,
        scope_claim=claim_path(provider.scope_claim) if provider.scope_claim else None,
    )


def _clients(provider: ProviderSettings) -> Iterator[str]:
    """The clients as tokens name them: Clerk's by their origins, as browsers spell those."""
    for client in provider.allowed_clients:
        yield (provider.preset == "clerk" and origin_of(client)) or client


def _marker(provider: ProviderSettings) -> Marker:
    """The preset's, with what the settings say in the place of what it says."""
    preset, said = PRESETS[provider.preset].marker, provider.token_marker
    return Marker(
        equals=preset.equals if said.equals is None else tuple(said.equals.items()),
        require=preset.require if said.require is None else tuple(said.require),
        require_one=preset.require_one if said.require_one is None else tuple(said.require_one),
        forbid=preset.forbid if said.forbid is None else tuple(said.forbid),
        audience_beside_client=(
            preset.audience_beside_client
            if said.audience_beside_client is None
            else said.audience_beside_client
        ),
    )


def trusted_issuers(
    settings: KernelSettings, local: LocalIssuer, external: Mapping[str, OidcIssuer]
) -> Sequence[Issuer]:
    """Whose access tokens are good with AUTH_PROVIDER=oidc."""
    return [*external.values(), *([local] if settings.local_tokens_trusted else [])]


def longest_token(settings: KernelSettings, issuers: Mapping[str, OidcIssuer]) -> int:
    """The length, in bytes, beyond which no issuer's token is looked at."""
    return max(
        settings.auth_longest_token_bytes, *(issuer.provider.token_limit for issuer in issuers.values()), 0
    )


def roles_by_issuer(
    settings: KernelSettings, issuers: Mapping[str, OidcIssuer]
) -> Mapping[str, Mapping[str, GlobalRole]]:
    """For each issuer, as proofs name it, which of its roles is which of ours."""
    return {issuers[provider.name].provider.subject_issuer: provider.roles for provider in settings.providers}


def trusted_for_email(settings: KernelSettings, issuers: Mapping[str, OidcIssuer]) -> frozenset[str]:
    """The issuers, as proofs name them, whose verified addresses count as verified here."""
    trusted = (provider.name for provider in settings.providers if provider.trust_email)
    return frozenset(issuers[name].provider.subject_issuer for name in trusted)


def metadata_of(
    issuers: Mapping[str, OidcIssuer],
) -> Callable[[str], Awaitable[Mapping[str, Any]]]:
    """Asks an external provider, by its issuer, for its discovery document; raises Unavailable."""
    by_issuer = {issuer.provider.issuer: issuer for issuer in issuers.values()}
    return lambda name: by_issuer[name].discovery.metadata()


def provider_checks_of(
    settings: KernelSettings, issuers: Mapping[str, OidcIssuer]
) -> Mapping[str, Callable[[], Awaitable[bool]]]:
    """For each external provider whose tokens are accepted, whether its keys are there and current."""
    if settings.auth_provider == "local":
        return {}
    return {name: issuer.discovery.ready for name, issuer in issuers.items()}


def login_providers(
    settings: KernelSettings, issuers: Mapping[str, OidcIssuer], clock: Clock
) -> Mapping[str, OidcLogin]:
    """The providers that one can log in through, by their names."""
    return {
        provider.name: OidcLogin(
            issuers[provider.name],
            client_id=provider.client_id,
            client_secret=provider.client_secret.get_secret_value() or None,
            scopes=provider.login_scopes,
            redirect_uri=f"{settings.public_url}{V1}/auth/providers/{provider.name}/callback",
            clock=clock,
            allow_loopback_http=settings.environment == "development",
        )
        for provider in settings.providers
        if provider.client_id
    }


def telling(*tells: Tell) -> Tell:
    """Tells each of them, in this order."""

    def tell(note: Note) -> None:
        for each in tells:
            each(note)

    return tell


def tracing_of(settings: KernelSettings) -> Tracing | None:
    """What traces go through, where a collector is set."""
    if not settings.otel_exporter_otlp_endpoint:
        return None
    # Not at the top: to import the SDK takes longer than the start of the service without it.
    from adapters.tracing.otlp import OtlpTracing  # noqa: PLC0415

    return OtlpTracing(
        settings.otel_exporter_otlp_endpoint,
        service={
            "service.name": SERVICE_NAME,
            "service.version": SERVICE_VERSION,
            "deployment.environment.name": settings.environment,
        },
    )


def observers_of(
    log: StatementLog, tracing: Tracing | None
) -> Sequence[Callable[[str, float, Exception | None], None]]:
    """Told of each statement when it has ended."""
    return [log] if tracing is None else [log, tracing.statement_ended]


def rate_limits_of(settings: KernelSettings) -> RateLimits:
    """What counts requests: Redis where the settings name one, else this process."""
    if not settings.limits_shared:
        return MemoryRateLimits()
    # Not at the top: the client is a tenth of what the service imports.
    from adapters.limits.redis import RedisRateLimits  # noqa: PLC0415

    return RedisRateLimits(
        settings.redis_url.get_secret_value(),
        prefix=f"{SERVICE_NAME}:limit:",
        closed=frozenset(settings.rate_limits_closed),
        wait_seconds=settings.redis_wait_ms / 1000,
    )


async def close(container: "KernelContainer") -> None:
    """Ends what the process has open to others."""
    for login in container.login_providers().values():
        await login.close()
    for issuer in container.openid_issuers().values():
        await issuer.close()
    await container.rate_limits().close()
    await container.health_database().close()
    await container.database().close()
    if (tracing := container.tracing()) is not None:
        await tracing.close()


class KernelContainer(containers.DeclarativeContainer):
    """One of each for the process, made when first asked for. Its maker calls `close`."""

    settings = providers.Dependency(instance_of=KernelSettings)
    unit_of_work: providers.Provider[type[KernelUnitOfWork]] = providers.Object(KernelUnitOfWork)
    """What a transaction reaches."""
    all_queries: providers.Provider[type[KernelQueries]] = providers.Object(KernelQueries)
    """What can be asked."""
    written: providers.Provider[Sequence[Row]] = providers.Object(())
    """What of the service's own events goes into the audit log."""
    export_parts: providers.Provider[Mapping[str, ExportPart[Any]]] = providers.Object({})
    """What the export of an account has beside the kernel's."""
    metrics: providers.Provider[Sequence[Callable[[], Iterable[Any]]]] = providers.Object(())
    """What the service shows to Prometheus beside the kernel's: functions that give `Metric`s of
    prometheus-client when they are called, in whatever thread."""
    clock: providers.Provider[Clock] = providers.Object(present_instant)
    _secret = settings.provided.auth_secret.get_secret_value.call()
    _second_secret = settings.provided.auth_second_secret.get_secret_value.call()

    tracing: providers.Provider[Tracing | None] = providers.Singleton(tracing_of, settings)

    # ── what security has to know ────────────────────────────────────────────────────────────────
    pseudonyms: providers.Provider[Pseudonyms] = providers.Singleton(KeyedPseudonyms, _secret, ACCOUNTS)
    security_log = providers.Singleton(SecurityLog, pseudonyms)
    endings = providers.Singleton(Endings)
    _trail = providers.Singleton(Trail, written, providers.Singleton(telling, security_log, endings))

    # ── PostgreSQL ───────────────────────────────────────────────────────────────────────────────
    _url = settings.provided.database_url.get_secret_value.call()
    _direct_url = settings.provided.direct_url.get_secret_value.call()
    _limits: ClassVar = {
        "connect_seconds": settings.provided.database_connect_seconds,
        "statement_seconds": settings.provided.database_statement_seconds,
        "lock_seconds": settings.provided.database_lock_seconds,
        "application_name": SERVICE_NAME,
    }
    statement_observers = providers.Singleton(
        observers_of, providers.Singleton(StatementLog, settings.provided.log_slow_statement_seconds), tracing
    )
    """Told of each statement that has ended, but for those of health."""
    _pool: ClassVar = {
        "observers": statement_observers,
        "pool_size": settings.provided.database_pool_size,
        "wait_seconds": settings.provided.database_wait_seconds,
        "explain_ms": settings.provided.explain_ms,
        **_limits,
    }
    database = providers.Singleton(
        Database, _url, direct_url=_direct_url, pooled=settings.provided.through_pooler, **_pool
    )
    direct_database = providers.Singleton(Database, _direct_url, **_pool)
    """The same past a pooler, for work without a request."""
    pooler = providers.Singleton(Pooler, _url, _direct_url, **_limits)
    _answers_kept = providers.Singleton(timedelta, hours=settings.provided.idempotency_hours)
    begin: providers.Provider[Begin[Any]] = providers.Singleton(
        PostgresTransactions,
        database,
        clock,
        unit_of_work,
        providers.Singleton(repositories_of, unit_of_work),
        answers_kept=_answers_kept,
        trail=_trail,
    )
    queries: providers.Provider[Any] = providers.Singleton(queries_of, all_queries, database)
    outbox: providers.Provider[Outbox[Any]] = providers.Singleton(
        PostgresOutbox, database, begin, attempts=settings.provided.outbox_attempts
    )
    lanes: providers.Provider[Lanes[Any]] = providers.Singleton(
        PostgresLanes,
        database,
        begin,
        attempts=settings.provided.outbox_attempts,
        patience=providers.Singleton(timedelta, hours=settings.provided.outbox_refused_hours),
        seconds=settings.provided.outbox_outside_seconds,
    )
    expiry: providers.Provider[Expiry] = providers.Singleton(
        PostgresExpiry,
        database,
        clock,
        answers_kept=_answers_kept,
        audit_kept=providers.Singleton(timedelta, days=settings.provided.audit_days),
    )
    audit: providers.Provider[Audit] = providers.Singleton(PostgresAudit, database, clock, security_log)
    failures = providers.Singleton(Failures, audit, pseudonyms)
    migrations = providers.Singleton(
        Migrations, _direct_url, through_pooler=settings.provided.direct_through_pooler
    )

    # ── rate limits ──────────────────────────────────────────────────────────────────────────────
    rate_limits: providers.Provider[RateLimits] = providers.Singleton(rate_limits_of, settings)

    # ── health ───────────────────────────────────────────────────────────────────────────────────
    # One connection beside the pool, which may be busy: a look after the database does not compete with
    # requests, and gives up before a client that asks for readiness does.
    health_database = providers.Singleton(
        Database,
        _url,
        pooled=settings.provided.through_pooler,
        logs=False,  # a look is repeated each second: the log tells when what it finds changes
        pool_size=1,
        wait_seconds=1.0,
        connect_seconds=2.0,
        statement_seconds=2.0,
        lock_seconds=1.0,
        application_name=f"{SERVICE_NAME} health",
    )
    observer: providers.Provider[Observer] = providers.Singleton(PostgresObserver, health_database)
    heartbeats: providers.Provider[Heartbeats] = providers.Singleton(PostgresHeartbeats, health_database)

    export: providers.Provider[Export[Any]] = providers.Singleton(Export, queries, clock, export_parts)

    run: providers.Provider[Runner[Any]] = providers.Singleton(Runner, begin)
    answer_seal: providers.Provider[Seal] = providers.Singleton(
        JweSeal, _secret, ANSWERS, second=_second_secret
    )

    # ── who is asking ────────────────────────────────────────────────────────────────────────────
    openid_issuers = providers.Singleton(openid_issuers, settings, tracing)
    accounts: providers.Provider[Accounts] = providers.Singleton(
        KnownAccounts,
        run,
        queries.provided.identities,
        clock,
        local_issuer=settings.provided.public_url,
        trusted_for_email=providers.Singleton(trusted_for_email, settings, openid_issuers),
        role_map=providers.Singleton(roles_by_issuer, settings, openid_issuers),
    )
    _keys_seal = providers.Singleton(JweSeal, _secret, SIGNING_KEYS, second=_second_secret)
    key_ring = providers.Singleton(
        KeyRing,
        run,
        queries.provided.auth,
        seal=_keys_seal,
        key_days=settings.provided.auth_key_days,
        token_seconds=settings.provided.auth_access_token_seconds,
        clock=clock,
    )
    sealed_keys = providers.Singleton(
        SealedKeys, providers.Singleton(PostgresAuthQueries, health_database), _keys_seal, clock
    )
    _local_issuer = providers.Singleton(
        LocalIssuer,
        key_ring,
        issuer=settings.provided.public_url,
        audience=settings.provided.auth_audience,
        longest_lifetime=settings.provided.auth_access_token_seconds,
    )
    _verifying: ClassVar = {
        "longest_token": providers.Singleton(longest_token, settings, openid_issuers),
        "cached": settings.provided.auth_cached_tokens,
        "recheck_seconds": settings.provided.auth_recheck_seconds,
        "clock": clock,
        "endings": endings,
    }
    trusted = providers.Singleton(trusted_issuers, settings, _local_issuer, openid_issuers)
    tokens: providers.Provider[TokenVerifier] = providers.Selector(
        settings.provided.auth_provider,
        local=providers.Singleton(IssuedTokenVerifier, providers.List(_local_issuer), accounts, **_verifying),
        oidc=providers.Singleton(
            IssuedTokenVerifier,
            trusted,
            accounts,
            **_verifying,
        ),
    )
    provider_metadata = providers.Singleton(metadata_of, openid_issuers)
    provider_checks = providers.Singleton(provider_checks_of, settings, openid_issuers)
    linking = providers.Singleton(Linking, run, tokens, local_issuer=settings.provided.public_url)

    # ── the built-in provider's log-in ───────────────────────────────────────────────────────────
    token_issuer: providers.Provider[TokenIssuer] = providers.Singleton(
        LocalTokenIssuer,
        key_ring,
        issuer=settings.provided.public_url,
        audience=settings.provided.auth_audience,
        lifetime_seconds=settings.provided.auth_access_token_seconds,
        clock=clock,
    )
    passwords: providers.Provider[PasswordHasher] = providers.Singleton(
        Argon2Passwords, hashers=settings.provided.password_hashers, queue=settings.provided.password_queue
    )
    # Strangers have queues of their own: a flood of theirs leaves the others served.
    passwords_of_strangers: providers.Provider[PasswordHasher] = providers.Singleton(
        Argon2Passwords, hashers=settings.provided.password_hashers, queue=settings.provided.password_queue
    )
    passwords_of_newcomers: providers.Provider[PasswordHasher] = providers.Singleton(
        Argon2Passwords, hashers=1, queue=settings.provided.password_queue
    )
    known_devices = providers.Singleton(
        KnownDevices, providers.Singleton(JweSeal, _secret, DEVICES, second=_second_secret), clock
    )
    attempts: providers.Provider[Attempts] = providers.Singleton(PostgresAttempts, database, clock)
    _sessions: ClassVar = {
        "lifetime": providers.Singleton(timedelta, days=settings.provided.auth_session_days),
        "idle": settings.provided.session_idle,
        "most": settings.provided.auth_sessions_most,
    }
    token_sessions = providers.Singleton(
        TokenSessions,
        run,
        token_issuer,
        grace=providers.Singleton(timedelta, seconds=settings.provided.auth_refresh_grace_seconds),
        **_sessions,
        trusted=settings.provided.local_tokens_trusted,
    )
    password_login = providers.Singleton(
        PasswordLogin,
        run,
        queries.provided.auth,
        passwords,
        token_sessions,
        attempts,
        devices=known_devices,
        failures=failures,
        service_name=SERVICE_NAME,
        enabled=settings.provided.passwords_enabled,
        of_strangers=passwords_of_strangers,
        of_newcomers=passwords_of_newcomers,
    )
    reauthentication = providers.Singleton(
        Reauthentication,
        password_login,
        providers.Singleton(JweSeal, _secret, REAUTHENTICATIONS),
        clock,
        lifetime=providers.Singleton(timedelta, minutes=settings.provided.reauthentication_minutes),
    )

    # ── mail ─────────────────────────────────────────────────────────────────────────────────────
    mail_transport: providers.Provider[Mailer] = providers.Selector(
        settings.provided.mailer,
        console=providers.Singleton(ConsoleMailer),
        smtp=providers.Singleton(
            SmtpMailer,
            host=settings.provided.smtp_host,
            port=settings.provided.smtp_port,
            security=settings.provided.smtp_security,
            username=settings.provided.smtp_username,
            password=settings.provided.smtp_password.get_secret_value.call(),
            sender=settings.provided.mail_from,
            clock=clock,
            seconds=settings.provided.mail_seconds,
            tracing=tracing,
        ),
    )
    # Nothing holds a connection while a mail leaves, so it is counted on one of the pool.
    mailer: providers.Provider[Mailer] = providers.Singleton(
        CountedMailer, mail_transport, providers.Singleton(PostgresAttempts, database, clock)
    )

    mail_reactions = providers.Singleton(
        MailReactions,
        mailer,
        providers.Singleton(
            Letters,
            service=SERVICE_TITLE,
            app_url=settings.provided.app_url,
            api_url=providers.Callable("{}{}".format, settings.provided.public_url, V1),
        ),
    )

    # ── browsers: session cookies, and logging in through a provider ─────────────────────────────
    cookie_sessions = providers.Singleton(CookieSessions, run, password_login, **_sessions)
    cookie_verifier: providers.Provider[CookieVerifier] = providers.Singleton(
        StoredCookieVerifier,
        run,
        queries.provided.auth,
        lifetime=_sessions["lifetime"],
        idle=_sessions["idle"],
        issuer=settings.provided.public_url,
        cached=settings.provided.auth_cached_tokens,
        recheck_seconds=settings.provided.auth_recheck_seconds,
        clock=clock,
        trusted=settings.provided.local_tokens_trusted,
        endings=endings,
    )
    login_providers = providers.Singleton(login_providers, settings, openid_issuers, clock)
    provider_login = providers.Singleton(
        ProviderLogin,
        run,
        login_providers,
        accounts=accounts,
        failures=failures,
        token_sessions=token_sessions,
        cookie_sessions=cookie_sessions,
        attempts=attempts,
        seal=providers.Singleton(JweSeal, _secret, LOGINS, second=_second_secret),
        clock=clock,
        origins=settings.provided.browser_origins,
        read_origin=providers.Object(origin_of),
    )


def extending[C: KernelContainer](base: type[KernelContainer]) -> Callable[[type[C]], type[C]]:
    """For a subclass: what `base` wires is made of the providers that the subclass names anew.

    A subclass alone would not do: what is wired refers to providers, not to their names. And
    `containers.copy` leaves the class with other providers than those that are referred to, so that a
    second subclass, or an `override`, has no effect.
    """

    def extend(container: type[C]) -> type[C]:
        memo: dict[int, Any] = {}
        own = {name: providers.deepcopy(each, memo) for name, each in container.cls_providers.items()}
        memo |= {id(base.providers[name]): each for name, each in own.items() if name in base.providers}
        for name, each in {**providers.deepcopy(base.providers, memo), **own}.items():
            setattr(container, name, each)
        return container

    return extend
