"""The kernel's settings: what has to hold of them, what production refuses, and how they are read."""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, Self, override
from urllib.parse import SplitResult, quote, urlsplit

from pydantic import (
    ModelWrapValidatorHandler,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsError,
)

from adapters.postgres.kernel.connection.address import read_address
from application.kernel.ports.mail import sender_address
from entrypoints.kernel.configuration.every_problem import everything_wrong, unreadable_of
from entrypoints.kernel.configuration.fields import DEVELOPMENT_SECRET, Fields
from entrypoints.kernel.configuration.files import names_in_folder
from entrypoints.kernel.configuration.hosts import host_without_port, read_host
from entrypoints.kernel.configuration.limits import Policies, read_policies, read_redis_address
from entrypoints.kernel.configuration.networks import Network, read_network
from entrypoints.kernel.configuration.origins import origin_of, split_address
from entrypoints.kernel.configuration.providers import (
    ProviderSettings,
    is_loopback,
    problems_of,
    read_marker,
    read_providers,
    read_roles,
)
from entrypoints.kernel.configuration.secrecy import LEAST_BITS, LEAST_CHARACTERS, apparent_bits
from entrypoints.kernel.configuration.spelling import misspellings, read_dotenv
from entrypoints.kernel.configuration.text import problems
from entrypoints.kernel.service import SERVICE_PORT

_ANOTHER = "Put the output of `python -m entrypoints.cli secret` there."

_PAGE = re.compile(r"https://[!-~]+")
_CONTACT = re.compile(r"https://[!-~]+|mailto:[!-~]+@[!-~]+|tel:\+[0-9().-]+")
_DSN = re.compile(r"https?://[^\s:@/]+(:[^\s@/]*)?@[^\s@/]+(/[^\s/]+)*/\d+")
_NAME = re.compile(r"[a-z0-9-]{1,40}")
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class KernelSettings(Fields):
    """What the kernel is told, what follows from it, and what has to hold."""

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
    def limit_policies(self) -> Policies:
        """The policy of each class of routes, and of a workspace; `None` where nothing is counted."""
        return read_policies(self.rate_limits, self._limit_defaults())

    @property
    def limits_shared(self) -> bool:
        """Whether all processes count requests together."""
        return bool(self.redis_url.get_secret_value())

    @classmethod
    def _limit_defaults(cls) -> Policies:
        """The table of all classes: the default of the field, to which a service's own may add."""
        return read_policies(cls.model_fields["rate_limits"].default, {})

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

    @field_validator("rate_limits")
    @classmethod
    def _are_policies(cls, value: str) -> str:
        read_policies(value, cls._limit_defaults())
        return value

    @field_validator("rate_limits_closed")
    @classmethod
    def _are_classes(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        known = cls._limit_defaults()
        _refuse(f"has {name[:60]!r}. There are {', '.join(known)}." for name in names if name not in known)
        if names and "redis_url" in info.data and not info.data["redis_url"].get_secret_value():
            raise ValueError("says nothing without REDIS_URL. Set that as well, or remove it.")
        return names

    @field_validator("redis_url")
    @classmethod
    def _is_a_redis(cls, value: SecretStr) -> SecretStr:
        read_redis_address(value.get_secret_value())
        return value

    @field_validator("drain_seconds")
    @classmethod
    def _by_environment(cls, value: float | None, info: ValidationInfo) -> float:
        if value is None:
            return 5 if _in_production(info) else 0
        return value

    @field_validator("metrics_port")
    @classmethod
    def _is_a_port_of_its_own(cls, value: int, info: ValidationInfo) -> int:
        if value and value == info.data.get("port"):
            another = value + 1 if value < 2**16 - 1 else value - 1
            raise ValueError(
                f"is the same as PORT, which clients reach. Set it to another one, such as {another}."
            )
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
            return f"http://localhost:{info.data.get('port', SERVICE_PORT)}"
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
        "rate_limits_closed",
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

    @field_validator("sentry_dsn")
    @classmethod
    def _is_a_dsn(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not _DSN.fullmatch(value.get_secret_value()):
            raise ValueError("is not one. Copy it from the project's settings: https://key@host/project.")
        return value

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _is_a_collector(cls, value: str) -> str:
        if value and _web_address(value) is None:
            raise ValueError("is not a plain web address. Write it like http://collector:4318.")
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
        if self.explain_ms and self.environment == "production":
            yield "EXPLAIN_MS is for development: a plan in the log shows what people have stored. Unset it."

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
