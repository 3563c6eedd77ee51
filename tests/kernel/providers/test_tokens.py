"""Whose tokens are let in: those of a provider that nobody here wrote, and of our own one next door."""

import base64
import json

import pytest

from entrypoints.kernel.service import SERVICE_NAME
from kernel.providers.openid_provider import AUDIENCE, ES256, RS256, OpenIdProvider
from kernel.providers.services import a_service, log_in, register, trusting


def header(token: str) -> dict[str, str]:
    first = token.partition(".")[0]
    read: dict[str, str] = json.loads(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    return read


@pytest.mark.parametrize(("client", "algorithm"), [(RS256, "RS256"), (ES256, "ES256")])
async def test_its_access_tokens_are_good_whichever_it_signs_with(
    empty_database_url: str, provider: OpenIdProvider, client: str, algorithm: str
) -> None:
    token = await provider.machine_token(client)
    assert (header(token)["alg"], header(token)["typ"]) == (algorithm, "at+jwt")
    async with a_service(empty_database_url, trusting(provider)) as service:
        first = await service.get("/v1/me", token)
        assert first.status_code == 200, first.text
        again = await service.get("/v1/me", await provider.machine_token(client))
        assert again.json()["id"] == first.json()["id"]
        ready = await service.get("/health/ready")
        assert "provider oidc" in ready.json()["ready"]


async def test_a_person_is_the_same_one_each_time_and_nobody_else(
    empty_database_url: str, provider: OpenIdProvider
) -> None:
    async with a_service(empty_database_url, trusting(provider)) as service:
        people = [
            (await service.get("/v1/me", (await provider.log_in(subject)).access)).json()
            for subject in ("subject-of-ada", "subject-of-bob", "subject-of-ada")
        ]
        assert people[0]["id"] == people[2]["id"] != people[1]["id"]
        assert people[0]["display_name"] == "Ada"


async def test_nothing_else_that_it_signs_or_issues_is_good(
    empty_database_url: str, provider: OpenIdProvider
) -> None:
    good = await provider.machine_token()
    refused = {
        "an ID token": (await provider.log_in("subject-of-ada")).id,
        "an ID token for a client named like us": (
            await provider.log_in("subject-of-ada", client=AUDIENCE)
        ).id,
        "an opaque token": await provider.machine_token(resource=None),
        "a person's opaque token": (await provider.log_in("subject-of-ada", resource=None)).access,
        "a token for another service": await provider.machine_token(resource="https://api.example.com/"),
        "a token with another signature": good[:-8] + ("AAAAAAAA" if good[-8:] != "AAAAAAAA" else "BBBBBBBB"),
    }
    async with a_service(empty_database_url, trusting(provider)) as service:
        assert (await service.get("/v1/me", good)).status_code == 200
        answers = {name: await service.get("/v1/me", token) for name, token in refused.items()}
        for name, answer in answers.items():
            assert answer.status_code == 401, name
            assert answer.json()["detail"] == "The access token is not valid.", name
            challenge = answer.headers["www-authenticate"]
            assert challenge.startswith('Bearer error="invalid_token", resource_metadata='), name
        log = service.log()
        assert not [name for name, token in refused.items() if token in log]
        for reason in ("not an access token", "not of three parts", "for another audience", "BadSignature"):
            assert reason in log


async def test_a_client_finds_the_way_from_a_401_to_a_token(
    empty_database_url: str, provider: OpenIdProvider
) -> None:
    async with a_service(empty_database_url, trusting(provider)) as service:
        refused = await service.get("/v1/me")
        address = refused.headers["www-authenticate"].partition('resource_metadata="')[2].rstrip('"')
        resource = await service.client.get(address)
        assert resource.json()["resource"] == service.url
        assert resource.json()["authorization_servers"] == [provider.issuer]
        built_in = await service.get("/.well-known/openid-configuration")
        assert built_in.status_code == 404


async def test_our_own_provider_is_good_to_another_instance_as_any_other(empty_database_url: str) -> None:
    async with a_service(empty_database_url) as ours:
        await register(ours, "ada@example.com", "Ada")
        pair = await log_in(ours, "ada@example.com")
        settings = {
            "AUTH_PROVIDER": "oidc",
            "OIDC_ISSUER": ours.url,
            "OIDC_AUDIENCE": SERVICE_NAME,
            "OIDC_PRESET": "rfc9068",
        }
        async with a_service(empty_database_url, settings) as theirs:
            answer = await theirs.get("/v1/me", pair["access_token"])
            assert answer.status_code == 200, answer.text
            for token in (pair["refresh_token"], pair["access_token"] + "A"):
                assert (await theirs.get("/v1/me", token)).status_code == 401
        strangers = settings | {"OIDC_AUDIENCE": "another"}
        async with a_service(empty_database_url, strangers) as theirs:
            assert (await theirs.get("/v1/me", pair["access_token"])).status_code == 401


async def test_roles_of_the_provider_count_as_settings_say(
    empty_database_url: str, provider: OpenIdProvider
) -> None:
    eve, ada = [(await provider.log_in(f"subject-of-{name}")).access for name in ("eve", "ada")]
    for settings, status in ((trusting(provider, OIDC_ROLES="root=admin"), 200), (trusting(provider), 403)):
        async with a_service(empty_database_url, settings) as service:
            assert (await service.get("/v1/admin/users", eve)).status_code == status
            assert (await service.get("/v1/admin/users", ada)).status_code == 403


async def test_only_the_clients_and_scopes_that_settings_name_are_let_in(
    empty_database_url: str, provider: OpenIdProvider
) -> None:
    machine, other = await provider.machine_token(RS256), await provider.machine_token(ES256)
    only = trusting(provider, OIDC_ALLOWED_CLIENTS=RS256, OIDC_REQUIRED_SCOPE="service")
    async with a_service(empty_database_url, only) as service:
        assert (await service.get("/v1/me", machine)).status_code == 200
        assert (await service.get("/v1/me", other)).status_code == 401
        without = await provider.machine_token(RS256, scope="")
        assert (await service.get("/v1/me", without)).status_code == 401


async def test_two_providers_are_trusted_side_by_side(
    empty_database_url: str, provider: OpenIdProvider, another_provider: OpenIdProvider
) -> None:
    second = {"name": "second", "issuer": another_provider.issuer, "audience": AUDIENCE}
    both = trusting(provider, OIDC_MORE_PROVIDERS=json.dumps([second]))
    async with a_service(empty_database_url, both) as service:
        ids = set()
        for each in (provider, another_provider):
            answer = await service.get("/v1/me", (await each.log_in("subject-of-bob")).access)
            assert answer.status_code == 200
            ids.add(answer.json()["id"])
        assert len(ids) == 2  # the same subject at another issuer is somebody else
    async with a_service(empty_database_url, trusting(provider)) as service:
        refused = await service.get("/v1/me", (await another_provider.log_in("subject-of-bob")).access)
        assert refused.status_code == 401
