"""A provider that changes its keys, goes away, or is not what it should be, while requests go on."""

import asyncio
import base64
import json
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from adapters.tokens.discovery import UNKNOWN_KEYS_BURST
from kernel.providers.openid_provider import AUDIENCE, ES256, RS256, OpenIdProvider, some_keys
from kernel.providers.services import Service, a_service, trusting
from kernel.providers.tampering import Tampering, Wrong, a_provider_behind_a_proxy

KEYS = "/jwks"
CLIENTS = 4
RETRY_SECONDS = 5  # between two attempts at a provider that does not answer
MOST_REQUESTS = 5_000

# So that every request is verified, and none is answered from memory.
ANEW = {"AUTH_RECHECK_SECONDS": "0"}


@dataclass
class Load:
    """Clients that keep asking with the tokens of each kind in turn; `answers` counts statuses by kind."""

    service: Service
    tokens: dict[str, list[str]]
    most_requests: int = MOST_REQUESTS
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    slowest: float = 0

    async def run(self, until: asyncio.Event) -> None:
        for number in range(self.most_requests // CLIENTS):
            if until.is_set():
                return
            for kind, tokens in list(self.tokens.items()):
                started = time.monotonic()
                answer = await self.service.get("/v1/me", tokens[number % len(tokens)])
                self.slowest = max(self.slowest, time.monotonic() - started)
                self.answers[kind, answer.status_code] += 1

    async def some_more(self) -> None:
        """Returns when every kind of token has been tried a few times more."""
        enough = self.answers.total() + 20 * len(self.tokens)
        for _ in range(400):
            if self.answers.total() >= enough:
                return
            await asyncio.sleep(0.05)
        raise AssertionError("The service has stopped to answer.")


@asynccontextmanager
async def load_on(
    service: Service, tokens: dict[str, list[str]], *, most_requests: int = MOST_REQUESTS
) -> AsyncIterator[Load]:
    load, over = Load(service, tokens, most_requests), asyncio.Event()
    async with asyncio.TaskGroup() as clients:
        for _ in range(CLIENTS):
            clients.create_task(load.run(over))
        try:
            await load.some_more()
            yield load
        finally:
            over.set()


async def minted(provider: OpenIdProvider) -> list[str]:
    return [await provider.machine_token(client) for client in (RS256, ES256, RS256, ES256)]


async def wait_until_good(service: Service, token: str, *, seconds: float) -> None:
    for _ in range(int(seconds * 5)):
        if (await service.get("/v1/me", token)).status_code == 200:
            return
        await asyncio.sleep(0.2)
    raise AssertionError(f"It is not good after {seconds} seconds.")


def with_an_unknown_key(token: str) -> str:
    _, payload, signature = token.split(".")
    header = json.dumps({"alg": "RS256", "typ": "at+jwt", "kid": secrets.token_hex(8)}).encode()
    return f"{base64.urlsafe_b64encode(header).rstrip(b'=').decode()}.{payload}.{signature}"


async def test_keys_that_rotate_with_an_overlap_refuse_nobody(empty_database_url: str) -> None:
    async with a_provider_behind_a_proxy() as (provider, proxy):
        old, new = provider.keys, some_keys()
        async with (
            a_service(empty_database_url, trusting(provider) | ANEW) as service,
            load_on(service, {"old": await minted(provider)}) as load,
        ):
            await provider.publish([*old, *new])
            await load.some_more()
            await provider.publish([*new, *old])
            load.tokens["new"] = await minted(provider)
            await load.some_more()
            del load.tokens["old"]  # by now they have expired
            await provider.publish(new)
            load.tokens["newest"] = await minted(provider)
            await load.some_more()
        assert set(load.answers) == {("old", 200), ("new", 200), ("newest", 200)}
        assert proxy.asked[KEYS] == 2
        assert load.slowest < 5


async def test_keys_that_rotate_at_once_refuse_only_what_the_removed_ones_signed(
    empty_database_url: str,
) -> None:
    async with a_provider_behind_a_proxy() as (provider, proxy):
        async with (
            a_service(empty_database_url, trusting(provider) | ANEW) as service,
            load_on(service, {"old": await minted(provider)}) as load,
        ):
            await provider.publish(some_keys())
            assert set(load.answers) == {("old", 200)}
            load.tokens["new"] = await minted(provider)
            await load.some_more()
            until_now = load.answers["old", 200]
            await load.some_more()
            assert load.answers["old", 200] == until_now
        assert set(load.answers) == {("old", 200), ("old", 401), ("new", 200)}
        # The first, one that found the new keys, and one for each of the two that are gone.
        assert 2 <= proxy.asked[KEYS] <= 4


async def test_unknown_keys_make_a_few_requests_to_the_provider_and_not_one_each(
    empty_database_url: str,
) -> None:
    async with (
        a_provider_behind_a_proxy() as (provider, proxy),
        a_service(empty_database_url, trusting(provider) | ANEW) as service,
    ):
        good = await provider.machine_token()
        assert (await service.get("/v1/me", good)).status_code == 200
        before = proxy.asked[KEYS]
        forged = [with_an_unknown_key(good) for _ in range(100)]
        answers = await asyncio.gather(*(service.get("/v1/me", token) for token in forged))
        assert {answer.status_code for answer in answers} == {401}
        assert before < proxy.asked[KEYS] <= before + UNKNOWN_KEYS_BURST


async def test_it_starts_without_its_provider_says_so_and_works_once_it_is_there(
    empty_database_url: str,
) -> None:
    async with a_provider_behind_a_proxy() as (provider, proxy):
        await proxy.go_down()
        async with a_service(empty_database_url, trusting(provider)) as service:
            token = await provider.machine_token()
            ready = await service.get("/health/ready")
            assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
            assert {"name": "provider oidc", "state": "degraded"} in ready.json()["checks"]
            refused = await service.get("/v1/me", token)
            assert (refused.status_code, refused.json()["type"]) == (503, "/problems/unavailable")
            assert refused.headers["retry-after"] == "1"
            assert (await service.get("/v1/me", "nonsense")).status_code == 401
            assert (await service.get("/health/live")).status_code == 200
            await proxy.come_up()
            await wait_until_good(service, token, seconds=3 * RETRY_SECONDS)
            await asyncio.sleep(1)  # for so long does readiness keep its answer
            assert "provider oidc" in (await service.get("/health/ready")).json()["ready"]


async def test_once_it_has_the_keys_it_needs_the_provider_no_more(empty_database_url: str) -> None:
    async with (
        a_provider_behind_a_proxy() as (provider, proxy),
        a_service(empty_database_url, trusting(provider) | ANEW) as service,
    ):
        good = await minted(provider)
        assert (await service.get("/v1/me", good[0])).status_code == 200
        await proxy.go_down()
        for token in good * 5:
            assert (await service.get("/v1/me", token)).status_code == 200
        assert (await service.get("/v1/me", with_an_unknown_key(good[0]))).status_code == 401
        assert (await service.get("/v1/me", good[0])).status_code == 200
        ready = await service.get("/health/ready")
        assert ready.status_code == 200
        assert {"name": "provider oidc", "state": "degraded"} in ready.json()["checks"]


async def test_what_is_wrong_with_one_provider_touches_no_other_and_passes(empty_database_url: str) -> None:
    async with AsyncExitStack() as stack:
        providers: dict[Wrong, tuple[OpenIdProvider, Tampering]] = {
            wrong: await stack.enter_async_context(a_provider_behind_a_proxy()) for wrong in Wrong
        }
        for wrong, (_, proxy) in providers.items():
            proxy.wrong = wrong
        honest, _ = providers.pop(Wrong.NOTHING)
        others = [
            {
                "name": wrong.value,
                "issuer": provider.issuer,
                "audience": AUDIENCE,
                "admit_machines": True,
            }
            for wrong, (provider, _) in providers.items()
        ]
        settings = trusting(honest, OIDC_MORE_PROVIDERS=json.dumps(others)) | ANEW
        service = await stack.enter_async_context(a_service(empty_database_url, settings))
        tokens = {wrong: await provider.machine_token() for wrong, (provider, _) in providers.items()}
        good = await minted(honest)
        assert (await service.get("/v1/me", good[0])).status_code == 200

        async with load_on(service, {"honest": good}) as load:
            started = time.monotonic()
            for wrong, token in tokens.items():
                refused = await service.get("/v1/me", token)
                assert (refused.status_code, refused.json()["type"]) == (503, "/problems/unavailable"), wrong
            assert time.monotonic() - started < 10  # the slow one has 5 seconds, the others none
        assert set(load.answers) == {("honest", 200)}
        assert load.slowest < 2
        log = service.log()
        for reason in (
            "no whole answer within 5 seconds",
            "answers with more than 1048576 bytes",
            "answers 302",
            "says it is the issuer",
            "answers with a page of HTML",
            "the key set has 10000 keys",
        ):
            assert reason in log
        ready = (await service.get("/health/ready")).json()
        degraded = {check["name"] for check in ready["checks"] if check["state"] == "degraded"}
        assert {f"provider {wrong}" for wrong in providers} <= degraded

        for _, proxy in providers.values():
            proxy.wrong = Wrong.NOTHING
        for token in tokens.values():
            await wait_until_good(service, token, seconds=4 * RETRY_SECONDS)


@pytest.mark.parametrize("wrong", [wrong for wrong in Wrong if wrong not in {Wrong.NOTHING, Wrong.SLOW}])
async def test_keys_that_it_has_outlast_a_provider_that_goes_wrong(
    empty_database_url: str, wrong: Wrong
) -> None:
    async with (
        a_provider_behind_a_proxy() as (provider, proxy),
        a_service(empty_database_url, trusting(provider) | ANEW) as service,
    ):
        good = await provider.machine_token()
        assert (await service.get("/v1/me", good)).status_code == 200
        proxy.wrong = wrong
        before = proxy.asked.total()
        assert (await service.get("/v1/me", with_an_unknown_key(good))).status_code == 401
        assert proxy.asked.total() > before
        assert (await service.get("/v1/me", good)).status_code == 200
