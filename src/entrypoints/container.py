"""Which adapter plays which port. The only module that knows the adapters.

    container = Container(settings=load_settings())
    await container.run()(complete_task, actor, task_id)

There is no wiring: an entry point asks the container by name, once, when it starts. mypy checks that an
adapter fits its port, but not its arguments: a test builds all of them under every choice of the Selectors.
"""

from datetime import UTC, datetime, timedelta

from dependency_injector import containers, providers

from adapters.passwords.argon2 import Argon2Passwords
from adapters.postgres.database import Database
from adapters.postgres.migrating import Migrations
from adapters.postgres.outbox import PostgresOutbox
from adapters.postgres.queries import postgres_queries
from adapters.postgres.transactions import PostgresTransactions
from adapters.tokens.local import LocalTokenIssuer, LocalTokenVerifier, signing_key
from application.commands.auth import PasswordLogin
from application.ports import Begin, Clock, Outbox, PasswordHasher, Queries, TokenIssuer, TokenVerifier
from application.run import Runner
from entrypoints.settings import SERVICE_NAME, Settings


def present_instant() -> datetime:
    """The machine's clock, aware UTC."""
    return datetime.now(UTC)


class Container(containers.DeclarativeContainer):
    """One of each for the process, made when first asked for. Whoever makes a container closes `database`."""

    settings = providers.Dependency(instance_of=Settings)
    clock: providers.Provider[Clock] = providers.Object(present_instant)

    # ── PostgreSQL ───────────────────────────────────────────────────────────────────────────────
    _url = settings.provided.database_url.get_secret_value.call()
    database = providers.Singleton(
        Database,
        _url,
        pool_size=settings.provided.database_pool_size,
        wait_seconds=settings.provided.database_wait_seconds,
        connect_seconds=settings.provided.database_connect_seconds,
        statement_seconds=settings.provided.database_statement_seconds,
        lock_seconds=settings.provided.database_lock_seconds,
        application_name=SERVICE_NAME,
    )
    begin: providers.Provider[Begin] = providers.Singleton(PostgresTransactions, database, clock)
    queries: providers.Provider[Queries] = providers.Singleton(postgres_queries, database)
    outbox: providers.Provider[Outbox] = providers.Singleton(
        PostgresOutbox, database, begin, attempts=settings.provided.outbox_attempts
    )
    migrations = providers.Singleton(Migrations, _url)

    run = providers.Singleton(Runner, begin)

    # ── who is asking ────────────────────────────────────────────────────────────────────────────
    _signing_key = providers.Singleton(signing_key, settings.provided.signing_key_pem)
    _local_tokens: providers.Provider[TokenVerifier] = providers.Singleton(
        LocalTokenVerifier,
        providers.List(_signing_key),
        issuer=settings.provided.public_url,
        audience=settings.provided.auth_audience,
        longest_lifetime_seconds=settings.provided.auth_access_token_seconds,
        cached=settings.provided.auth_cached_tokens,
        clock=clock,
    )
    tokens: providers.Provider[TokenVerifier] = providers.Selector(
        settings.provided.auth_provider, local=_local_tokens
    )

    # ── the built-in provider's log-in ───────────────────────────────────────────────────────────
    token_issuer: providers.Provider[TokenIssuer] = providers.Singleton(
        LocalTokenIssuer,
        _signing_key,
        issuer=settings.provided.public_url,
        audience=settings.provided.auth_audience,
        lifetime_seconds=settings.provided.auth_access_token_seconds,
        clock=clock,
    )
    passwords: providers.Provider[PasswordHasher] = providers.Singleton(
        Argon2Passwords, hashers=settings.provided.password_hashers, queue=settings.provided.password_queue
    )
    password_login = providers.Singleton(
        PasswordLogin,
        run,
        queries.provided.auth,
        passwords,
        token_issuer,
        session_lifetime=providers.Factory(timedelta, days=settings.provided.auth_session_days),
    )
