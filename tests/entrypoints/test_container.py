"""The container: everything in it can be built, whatever the settings choose."""

import itertools
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args, get_origin

import pytest
from dependency_injector import providers
from dependency_injector.errors import Error
from joserfc.jwk import ECKey

from builders import a_user_id
from entrypoints.container import Container
from entrypoints.settings import Settings

DATABASE_URL = "postgresql://nobody@127.0.0.1:1/nothing"  # nothing listens there, and nothing asks

# Which setting chooses for which Selector.
SELECTED_BY = {"tokens": "auth_provider"}


def settings(**changes: Any) -> Settings:
    return Settings(_env_file=None, database_url=DATABASE_URL, **changes)


def selectors() -> Mapping[str, providers.Selector[Any]]:
    found = Container(settings=settings()).providers.items()
    return {name: provider for name, provider in found if isinstance(provider, providers.Selector)}


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


def test_every_selector_is_known_to_these_tests_and_knows_every_choice() -> None:
    assert selectors().keys() == SELECTED_BY.keys()
    for name, selector in selectors().items():
        assert set(selector.providers) == set(choices_of_settings()[SELECTED_BY[name]])


@pytest.mark.parametrize("choice", every_choice(), ids=str)
@pytest.mark.parametrize("name", list(Container.providers))
async def test_every_provider_builds(name: str, choice: Mapping[str, str]) -> None:
    container = Container(settings=settings(**choice))
    built = container.providers[name]()
    assert built is not None
    assert container.providers[name]() is built
    await container.database().close()


def test_a_container_without_settings_builds_nothing() -> None:
    with pytest.raises(Error, match="settings"):
        Container().database()


def test_the_clock_is_the_present_in_utc() -> None:
    now = Container(settings=settings()).clock()()
    assert now.tzinfo is UTC
    assert abs(now - datetime.now(UTC)) < timedelta(seconds=5)


async def test_a_token_that_is_issued_is_verified() -> None:
    container = Container(settings=settings(public_url="https://api.example.com"))
    user_id = a_user_id()
    issued = container.token_issuer().issue(user_id)
    identity = await container.tokens().verify(issued.value)
    assert (identity.user_id, identity.issuer) == (user_id, "https://api.example.com")
    assert issued.expires_in == 600


async def test_two_processes_with_the_same_key_believe_each_other_s_tokens() -> None:
    pem = ECKey.generate_key("P-256").as_pem(private=True).decode()
    one, other = (Container(settings=settings(auth_signing_key=pem)) for _ in range(2))
    user_id = a_user_id()
    assert (await other.tokens().verify(one.token_issuer().issue(user_id).value)).user_id == user_id
