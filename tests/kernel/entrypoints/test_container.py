"""The container: everything in it can be built, whatever the settings choose."""

import itertools
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args, get_origin

import pytest
from dependency_injector import providers
from dependency_injector.errors import Error
from pydantic import SecretStr

from adapters.tokens import presets
from adapters.tokens.presets import PRESETS
from adapters.tokens.providers import Provider
from adapters.tokens.sealing import ANSWERS, JweSeal
from application.kernel.audit import written
from application.kernel.paging import PageRequest
from application.kernel.ports.audit import Entry
from application.kernel.ports.storing import KeptAnswer
from application.kernel.queries.audit import AuditFilter
from application.kernel.queries.auth import KnownCredential
from application.kernel.unit_of_work import Begin
from domain.kernel.errors import Unauthenticated
from domain.kernel.identity.sessions import SessionEnded
from domain.kernel.users import GlobalRole
from entrypoints.kernel.configuration.fields import DEVELOPMENT_SECRET
from entrypoints.kernel.configuration.providers import ALGORITHMS, MARKED_BY, ProviderSettings
from entrypoints.kernel.container import (
    KernelContainer,
    close,
    longest_token,
    openid_issuers,
    roles_by_issuer,
    trusted_for_email,
)
from entrypoints.settings import Settings
from kernel.specimen.commands.specimen_orders import create_specimen_order
from kernel.specimen.domain.specimen_orders import SpecimenOrderAssigned
from kernel.specimen.service import Container, Queries, UnitOfWork
from kernel.world.builders import NOW, a_caller, a_session, a_team, a_user, store
from kernel.world.fakes import FakeClock

DATABASE_URL = "postgresql://nobody@127.0.0.1:1/nothing"  # nothing listens there, and nothing asks

API = "https://api.example.com"

# Which setting chooses for which Selector.
SELECTED_BY = {"tokens": "auth_provider", "mail_transport": "mailer"}

# What a choice needs beside it.
NEEDED: Mapping[str, Mapping[str, str]] = {
    "oidc": {"oidc_issuer": "https://id.example.com", "oidc_audience": "shop", "oidc_client_id": "shop"},
    "smtp": {"smtp_host": "localhost", "mail_from": "noreply@example.com"},
}


def settings(**changes: Any) -> Settings:
    return Settings(**{"_env_file": None, "database_url": DATABASE_URL, **changes})


def selectors() -> Mapping[str, providers.Selector[Any]]:
    """Those of the kernel: a service may have its own."""
    found = Container(settings=settings()).providers.items()
    return {
        name: provider
        for name, provider in found
        if isinstance(provider, providers.Selector) and name in KernelContainer.providers
    }


def choices_of_settings() -> Mapping[str, tuple[str, ...]]:
    """The settings that choose one of several words."""
    fields = Settings.model_fields.items()
    return {
        name: get_args(field.annotation) for name, field in fields if get_origin(field.annotation) is Literal
    }


def every_choice() -> list[Mapping[str, str]]:
    """Every combination of what the settings can choose for the Selectors."""
    choices = {name: words for name, words in choices_of_settings().items() if name in SELECTED_BY.values()}
    return [dict(zip(choices, words, strict=True)) for words in itertools.product(*choices.values())]


async def test_a_service_s_own_rows_of_the_audit_log_are_written(
    container: Container, begin: Begin[UnitOfWork], queries: Queries
) -> None:
    team = a_team()
    await store(begin, *team.aggregates)

    def entry(assigned: SpecimenOrderAssigned) -> Entry:
        return Entry(kind="assigned", user_id=assigned.assignee_id, by=assigned.by)

    container.written.override(providers.Object([written(SpecimenOrderAssigned, entry)]))
    await container.run()(
        create_specimen_order,
        team.owner,
        team.workspace.id,
        title="Spin",
        assignee_id=team.member.user_id,
    )
    root = a_caller(roles=frozenset({GlobalRole.ADMIN}))
    [found] = (await queries.audit.page(root, AuditFilter(kind=["assigned"]), PageRequest())).items
    assert (found.user_id, found.by) == (team.member.user_id, team.owner.user_id)


def test_every_selector_is_known_to_these_tests_and_knows_every_choice() -> None:
    assert selectors().keys() == SELECTED_BY.keys()
    for name, selector in selectors().items():
        assert set(selector.providers) == set(choices_of_settings()[SELECTED_BY[name]])


@pytest.mark.parametrize("choice", every_choice(), ids=str)
@pytest.mark.parametrize("name", list(Container.providers))
async def test_every_provider_builds(name: str, choice: Mapping[str, str]) -> None:
    needed = {name: value for word in choice.values() for name, value in NEEDED.get(word, {}).items()}
    container = Container(settings=settings(**choice, **needed))
    built = container.providers[name]()
    assert built is not None or name == "tracing"  # which is off unless a collector is set
    assert container.providers[name]() is built
    await close(container)


def test_a_container_without_settings_builds_nothing() -> None:
    with pytest.raises(Error, match="settings"):
        Container().database()


def test_the_clock_is_the_present_in_utc() -> None:
    now = Container(settings=settings()).clock()()
    assert now.tzinfo is UTC
    assert abs(now - datetime.now(UTC)) < timedelta(seconds=5)


# ── who is asking ────────────────────────────────────────────────────────────────────────────────


async def test_two_processes_with_the_same_secret_believe_each_other_s_tokens(
    empty_database_url: str, begin: Begin[UnitOfWork]
) -> None:
    ada = a_user()
    session = a_session(user_id=ada.id, created_at=datetime.now(UTC))
    await store(begin, ada, session)
    one, other = (
        Container(settings=settings(database_url=empty_database_url, public_url=API)) for _ in range(2)
    )
    issued = await one.token_issuer().issue(ada.id, session_id=session.id)
    identity = await other.tokens().verify(issued.value)
    assert (identity.user_id, identity.issuer, issued.expires_in) == (ada.id, API, 600)
    await close(one)
    await close(other)


def an_external_provider(**changes: Any) -> dict[str, Any]:
    return {
        "auth_provider": "oidc",
        "oidc_issuer": "https://login.microsoftonline.com/tenant/v2.0",
        "oidc_audience": "shop",
        "oidc_preset": "entra-v2",
        **changes,
    }


def test_an_external_provider_is_described_as_the_settings_say() -> None:
    described = openid_issuers(
        settings(
            **an_external_provider(
                oidc_role_claim="app.roles",
                oidc_scope_claim="scope",
                oidc_required_scope="shop",
                oidc_allowed_clients="a,b",
                auth_longest_token_bytes=20_000,
            )
        )
    )["entra-v2"].provider
    assert described.audiences == {"shop"}
    assert described.clients == {"a", "b"}
    assert described.required_scopes == {"shop"}
    assert described.role_paths == (("app", "roles"),)
    assert described.scope_path == ("scope",)
    assert described.token_limit == 20_000


def test_origins_for_clients_are_spelt_as_browsers_do_with_clerk_alone() -> None:
    written = "HTTPS://App.Example.com:443"
    for preset, client in (("clerk", "https://app.example.com"), ("cognito", written)):
        oidc = {
            "oidc_preset": preset,
            "oidc_issuer": "https://id.example.com",
            "oidc_allowed_clients": written,
        }
        (issuer,) = openid_issuers(settings(auth_provider="oidc", **oidc)).values()
        assert issuer.provider.clients == {client}


def test_a_claim_whose_name_has_dots_is_named_by_a_list() -> None:
    named = settings(**an_external_provider(oidc_role_claim='["https://example.com/app", "roles"]'))
    described = openid_issuers(named)["entra-v2"].provider
    assert described.role_paths == (("https://example.com/app", "roles"),)


async def test_once_the_built_in_issuer_is_not_trusted_its_sessions_are_over() -> None:
    container = Container(settings=settings(**an_external_provider()))
    with pytest.raises(SessionEnded):
        await container.token_sessions().refresh(refresh_token=f"{'0' * 32}.secret")
    with pytest.raises(Unauthenticated):
        await container.cookie_verifier().verify(f"{'0' * 32}.secret")


async def test_an_answer_is_kept_for_as_long_as_the_settings_say_and_then_deleted(
    empty_database_url: str,
) -> None:
    clock = FakeClock(NOW)
    container = Container(settings=settings(database_url=empty_database_url, idempotency_hours=0.5))
    container.clock.override(providers.Object(clock))
    begin, expiry, key = container.begin(), container.expiry(), bytes(32)
    async with begin() as uow:
        await uow.kept_answers.keep(key, KeptAnswer(bytes(32), "sealed"))
    for minutes, kept in ((29, True), (1, False)):
        clock.advance(timedelta(minutes=minutes))
        async with begin() as uow:
            assert (await uow.kept_answers.claim(key) is not None) is kept
        assert await expiry.delete_kept_answers(1) == (0 if kept else 1)
    await close(container)


def test_answers_are_sealed_with_the_secret_and_for_their_purpose() -> None:
    container = Container(settings=settings())
    sealed = container.answer_seal().seal("an answer")
    assert container.answer_seal().unseal(sealed) == "an answer"
    assert JweSeal(container.settings().auth_secret.get_secret_value(), ANSWERS).unseal(sealed) == "an answer"


def test_a_mail_takes_less_than_its_whole_delivery_may() -> None:
    assert settings().mail_seconds == 15
    assert settings(outbox_outside_seconds=4).mail_seconds == 3


def test_what_is_not_set_is_the_preset_s() -> None:
    chosen = settings(**an_external_provider())
    described = openid_issuers(chosen)["entra-v2"].provider
    assert described.clients == frozenset()
    assert described.required_scopes == frozenset()
    assert described.role_paths == Provider(**BARE).role_paths
    assert described.scope_path == Provider(**BARE).scope_path
    assert described.token_limit == longest_token(chosen, openid_issuers(chosen)) == 16_384


BARE: dict[str, Any] = {
    "issuer": "https://login.microsoftonline.com/tenant/v2.0",
    "preset": "entra-v2",
    "audiences": frozenset({"shop"}),
}


def test_roles_and_trust_in_addresses_go_by_the_issuer_that_proofs_name() -> None:
    chosen = settings(**an_external_provider(oidc_roles="boss=admin", oidc_trust_email=True))
    issuers = openid_issuers(chosen)
    issuer = issuers["entra-v2"].provider.subject_issuer
    assert roles_by_issuer(chosen, issuers) == {issuer: {"boss": GlobalRole.ADMIN}}
    assert trusted_for_email(chosen, issuers) == {issuer}
    doubtful = settings(**an_external_provider())
    assert trusted_for_email(doubtful, openid_issuers(doubtful)) == frozenset()


@pytest.mark.parametrize(
    ("changes", "trusted"),
    [({}, False), ({"auth_trust_local": True}, True), ({"oidc_client_id": "shop"}, True)],
    ids=["swapped", "moving", "log-in ends in our own tokens"],
)
def test_the_built_in_issuer_is_trusted_beside_another_only_where_it_is_needed(
    changes: dict[str, Any], trusted: bool
) -> None:
    chosen = settings(public_url=API, **an_external_provider(**changes))
    container = Container(settings=chosen)
    names = {name for issuer in container.trusted() for name in issuer.names}
    assert names == {chosen.oidc_issuer, *([API] if trusted else [])}


def test_what_settings_say_of_tokens_takes_the_place_of_the_preset_s() -> None:
    described = openid_issuers(
        settings(
            **an_external_provider(
                oidc_preset="generic",
                oidc_algorithms=("ES384",),
                oidc_token_types=("application/AT+JWT", "none"),
                oidc_token_marker=(
                    '{"equals": {"use": "access"}, "require": [], "audience_beside_client": false}'
                ),
            )
        )
    )["generic"].provider
    assert described.allowed_algorithms == {"ES384"}
    assert described.types == ("at+jwt", None)
    assert described.marker == replace(
        PRESETS["generic"].marker, equals=(("use", "access"),), require=(), audience_beside_client=False
    )
    more = ProviderSettings.model_validate(
        {
            "name": "old",
            "issuer": "https://old.example.com/realms/a",
            "audience": "shop",
            "preset": "keycloak",
            "algorithms": ["EdDSA"],
            "token_types": ["JWT"],
            "token_marker": {"forbid": ["nonce"]},
        }
    )
    chosen = settings(**an_external_provider(oidc_more_providers=(more,)))
    second = openid_issuers(chosen)["old"].provider
    assert second.allowed_algorithms == {"EdDSA", "Ed25519"}
    assert second.types == ("jwt",)
    assert second.marker == replace(PRESETS["keycloak"].marker, forbid=("nonce",))


def test_the_settings_know_what_the_presets_know() -> None:
    """They may not look there: only the container knows the adapters."""
    assert ALGORITHMS == presets.ALGORITHMS
    parts = ("equals", "require", "require_one")
    marked = {
        name: frozenset(part for part in parts if getattr(preset.marker, part))
        for name, preset in PRESETS.items()
    }
    assert {name: said for name, said in marked.items() if said} == MARKED_BY


def test_only_a_provider_whose_tokens_are_good_here_makes_the_service_unready() -> None:
    log_in_only = {
        "oidc_issuer": "https://accounts.google.com",
        "oidc_preset": "google",
        "oidc_client_id": "x",
    }
    assert Container(settings=settings(**log_in_only)).provider_checks() == {}
    assert Container(settings=settings(**an_external_provider())).provider_checks().keys() == {"entra-v2"}


def test_one_logs_in_through_the_providers_that_know_this_service() -> None:
    more = '[{"name": "other", "issuer": "https://b.example.com", "audience": "shop", "client_id": "shop"}]'
    container = Container(settings=settings(**an_external_provider(oidc_more_providers=more)))
    assert container.login_providers().keys() == {"other"}


async def test_signing_keys_are_read_with_both_secrets_while_they_change(container: Container) -> None:
    old, new = "old-" + DEVELOPMENT_SECRET, "new-" + DEVELOPMENT_SECRET
    url = container.settings().database_url

    def process(secret: str, second: str = "") -> Container:
        chosen = Settings(
            _env_file=None,
            database_url=url,
            auth_secret=SecretStr(secret),
            auth_second_secret=SecretStr(second),
        )
        return Container(settings=chosen)

    user, session = a_user(), a_session(created_at=datetime.now(UTC))
    session = replace(session, user_id=user.id)
    await store(container.begin(), user, session)
    processes = [process(old), process(old, new), process(new, old)]
    try:
        token = await processes[0].token_issuer().issue(user.id, session_id=session.id)
        for each in processes:
            assert (await each.tokens().verify(token.value)).user_id == user.id
            sealed = each.answer_seal().seal("an answer")
            assert processes[1].answer_seal().unseal(sealed) == "an answer"
            assert processes[2].answer_seal().unseal(sealed) == "an answer"
            known = KnownCredential(user.id, "hash", suspended=False)
            device = each.known_devices().issue(user.id, password_hash=known.password_hash)
            for other in processes[1:]:
                assert other.known_devices().read(device, known)
    finally:
        for each in processes:
            await close(each)
