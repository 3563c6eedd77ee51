"""How many requests are answered: by user, by address, by route, by workspace; and what the answers say."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient, Response
from pydantic import SecretStr
from structlog.testing import capture_logs

from entrypoints.http.kernel.routing.limits import _spelt
from entrypoints.http.kernel.routing.routes import Router
from entrypoints.http.kernel.server.app import Service
from entrypoints.kernel.service import ROOT
from entrypoints.settings import Settings
from kernel.servers.redis_server import RedisServer, a_redis
from kernel.specimen.service import Container, create_app, versions
from kernel.world.builders import Team
from kernel.world.http import BASE_URL, LoggedIn

LIMITS = "default=3/60,expensive=2/60,login=4/60,mail=2/60,workspace=8/60"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"rate_limits": LIMITS})


@pytest.fixture
async def come_from(app: FastAPI) -> AsyncIterator[Callable[..., AsyncClient]]:
    """A client of nobody's at some network address."""
    async with AsyncExitStack() as stack:

        def make(address: str) -> AsyncClient:
            transport = ASGITransport(app=app, client=(address, 1), raise_app_exceptions=False)
            client = AsyncClient(transport=transport, base_url=BASE_URL)
            stack.push_async_callback(client.aclose)
            return client

        yield make


async def statuses(client: AsyncClient, *paths: str, **options: object) -> list[int]:
    return [(await client.get(path, **options)).status_code for path in paths]  # type: ignore[arg-type]


def is_out(response: Response, *policies: str) -> bool:
    """Whether it is a refusal as documented, of these policies."""
    if response.status_code != 429:
        return False
    problem, seconds = response.json(), int(response.headers["retry-after"])
    assert problem["type"] == "/problems/quota-exceeded"
    assert problem["violated-policies"] == [*policies]
    assert f"{seconds} seconds" in problem["detail"]
    assert 1 <= seconds <= 60
    for name in policies:
        assert f'"{name}";r=0;t=' in response.headers["ratelimit"]
    return True


async def test_an_answer_says_what_is_left_and_a_refusal_when_there_is_more(member: AsyncClient) -> None:
    for left in (2, 1, 0):
        answer = await member.get("/v1/me")
        assert answer.status_code == 200
        assert answer.headers["ratelimit-policy"] == '"default";q=3;w=60'
        assert re.fullmatch(rf'"default";r={left};t=(60|59|58)', answer.headers["ratelimit"])
    refused = await member.get("/v1/me")
    assert is_out(refused, "default")
    assert refused.headers["ratelimit-policy"] == '"default";q=3;w=60'


async def test_other_ids_are_no_other_quota_and_other_routes_are(
    member: AsyncClient, stranger: AsyncClient
) -> None:
    paths = [f"/v1/specimen_orders/{uuid4()}" for _ in range(4)]
    assert await statuses(member, *paths) == [404, 404, 404, 429]
    assert await statuses(member, "/v1/me") == [200]
    assert await statuses(stranger, paths[0]) == [404]


async def test_head_counts_as_what_it_is_the_head_of(member: AsyncClient) -> None:
    assert [(await member.head("/v1/me")).status_code for _ in range(3)] == [200] * 3
    assert is_out(await member.get("/v1/me"), "default")


async def test_a_refused_request_is_not_looked_at_and_keeps_nothing(member: AsyncClient, team: Team) -> None:
    path, key = "/v1/workspaces", {"idempotency-key": "one"}
    for number in range(3):
        assert (await member.post(path, json={"name": f"Shop {number}"})).status_code == 201
    refused = await member.post(path, content="}{", headers={**key, "content-type": "application/json"})
    assert is_out(refused, "default")
    assert "idempotency-replayed" not in refused.headers


async def test_without_a_token_a_network_address_is_one_client(come_from: Callable[..., AsyncClient]) -> None:
    path = "/v1/auth/providers"
    assert await statuses(come_from("192.0.2.1"), *[path] * 4) == [200, 200, 200, 429]
    assert await statuses(come_from("192.0.2.2"), path) == [200]
    for address in ("2001:db8:1:2::1", "2001:db8:1:2::2", "2001:db8:1:2:ffff::3"):
        assert await statuses(come_from(address), path) == [200]
    assert await statuses(come_from("2001:db8:1:2:a:b:c:d"), path) == [429]
    assert await statuses(come_from("2001:db8:1:3::1"), path) == [200]


@pytest.mark.parametrize(
    "invented", ["198.51.100.{}", "junk {}", "unknown", "2001:db8::{}", "198.51.100.{}, 127.0.0.1", ","]
)
async def test_a_client_that_invents_addresses_is_the_same_client(client: AsyncClient, invented: str) -> None:
    answers = [
        await client.get(
            "/v1/auth/providers",
            headers={"x-forwarded-for": invented.format(number), "forwarded": f"for={number}"},
        )
        for number in range(4)
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]


async def test_wrong_credentials_count_against_the_address_whatever_they_ask_for(
    come_from: Callable[..., AsyncClient], container: Container, team: Team
) -> None:
    guesser = come_from("192.0.2.7")
    paths = ["/v1/me", "/v1/workspaces", "/v1/invitations", f"/v1/specimen_orders/{uuid4()}"]
    for path in paths:
        refused = await guesser.get(path, headers={"authorization": "Bearer junk"})
        assert refused.status_code == 401
        assert "www-authenticate" in refused.headers
        assert refused.headers["ratelimit-policy"] == '"login";q=4;w=60'
    for headers in ({}, {"authorization": "Bearer junk"}):
        assert is_out(await guesser.get("/v1/workspaces", headers=headers), "login")
    # Whoever has a good token is nobody's neighbour.
    guesser.auth = LoggedIn(container, team.member)
    assert (await guesser.get("/v1/me")).status_code == 200


async def test_a_class_of_routes_has_a_policy_of_its_own(
    member: AsyncClient, owner: AsyncClient, team: Team
) -> None:
    export = [await member.get("/v1/me/export") for _ in range(3)]
    assert [answer.status_code for answer in export] == [
        403,
        403,
        429,
    ]  # without a fresh proof, and all the same
    assert is_out(export[-1], "expensive")
    path = f"/v1/workspaces/{team.workspace.id}/invitations"
    guests = [{"email": f"guest{number}@example.com", "role": "member"} for number in range(3)]
    assert [(await owner.post(path, json=guest)).status_code for guest in guests[:2]] == [201, 201]
    assert is_out(await owner.post(path, json=guests[2]), "mail")
    assert (await member.get("/health/ready")).headers.keys().isdisjoint({"ratelimit", "ratelimit-policy"})


async def test_log_ins_over_oauth_count_as_well(client: AsyncClient) -> None:
    for _ in range(4):
        answer = await client.post("/v1/auth/token", data={"grant_type": "password"})
        assert answer.status_code == 400
        assert answer.headers["ratelimit-policy"] == '"login";q=4;w=60'
    assert is_out(await client.post("/v1/auth/token", data={"grant_type": "password"}), "login")


async def test_a_workspace_has_a_quota_of_its_own_which_strangers_cannot_use_up(
    owner: AsyncClient, admin: AsyncClient, member: AsyncClient, stranger: AsyncClient, team: Team
) -> None:
    at = f"/v1/workspaces/{team.workspace.id}"
    spelt_otherwise = f"/v1/workspaces/{team.workspace.id.hex.upper()}"
    assert await statuses(stranger, at, spelt_otherwise, at) == [404] * 3
    assert await statuses(stranger, *[f"{at}/members"] * 3) == [404] * 3
    for reader in (owner, admin):
        assert await statuses(reader, at, spelt_otherwise, f"{at}/members") == [200] * 3
    last = await member.get(at)
    assert last.headers["ratelimit-policy"] == '"default";q=3;w=60, "workspace";q=8;w=60'
    assert '"workspace";r=1;t=' in last.headers["ratelimit"]
    assert await statuses(member, at) == [200]
    assert is_out(await member.get(f"{at}/members"), "workspace")
    # What the workspace refuses does not count for its members, who have others.
    assert '"default";r=2;' in (await member.get("/v1/me")).headers["ratelimit"]


async def test_what_is_no_id_of_a_workspace_is_not_remembered(member: AsyncClient) -> None:
    before = _spelt.cache_info().currsize
    assert (
        await statuses(member, *(f"/v1/workspaces/{place}{'x' * 20_000}" for place in range(3))) == [422] * 3
    )
    assert _spelt.cache_info().currsize == before


async def test_what_is_off_is_not_counted(settings: Settings) -> None:
    off = settings.model_copy(update={"rate_limits": "off"})
    transport = ASGITransport(app=create_app(Container(settings=off)))
    async with AsyncClient(transport=transport, base_url=BASE_URL) as client:
        for _ in range(10):
            answer = await client.get("/v1/auth/providers")
            assert answer.status_code == 200
            assert "ratelimit" not in answer.headers


def test_a_route_cannot_name_a_class_that_there_is_not(settings: Settings) -> None:
    class Package:
        router = Router(tag="odd")

    @Package.router.get("/odd", public=True, limit="defualt")
    async def get_odd() -> None: ...

    with pytest.raises(TypeError, match=r"'defualt'.*there are.*'default'"):
        Service(Container(settings=settings), {**versions(), "v1": (Package,)})  # type: ignore[dict-item]


def test_the_documentation_has_the_classes_and_their_defaults() -> None:
    text = (ROOT / "docs" / "limits.md").read_text()
    told = re.findall(r"^\| `(\w+)` \|.*\| (\d+) in (\d+) s \|$", text, re.MULTILINE)
    defaults = Settings.model_fields["rate_limits"].default
    assert ",".join(f"{name}={quota}/{window}" for name, quota, window in told) == defaults


# ── without Redis ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def redis() -> AsyncIterator[RedisServer]:
    with a_redis() as server:
        yield server


async def test_without_redis_a_class_is_open_or_closed_and_readiness_degraded(
    redis: RedisServer, settings: Settings, team: Team, container: Container
) -> None:
    changes = {"redis_url": SecretStr(redis.url), "rate_limits_closed": ("login",), "redis_wait_ms": 1000}
    shared = Container(settings=settings.model_copy(update=changes))
    shared.database.override(container.database)
    transport = ASGITransport(app=create_app(shared), raise_app_exceptions=False)
    limits = shared.rate_limits()
    async with AsyncClient(transport=transport, base_url=BASE_URL) as client:
        assert (await client.get("/v1/auth/providers")).headers["ratelimit"] == '"default";r=2;t=60'
        assert "rate limits" in (await client.get("/health/ready")).json()["ready"]
        redis.kill()
        with capture_logs() as logs:
            assert await statuses(client, *["/v1/auth/providers"] * 3) == [200, 200, 429]
            refused = await client.post("/v1/auth/login", json={})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        told = [line for line in logs if line["event"] == "rate limits without Redis"]
        assert [line["reason"] for line in told] == ["Redis cannot be reached."]
        assert limits.fell_back == 4
        shared_app = create_app(shared)  # whose readiness nobody has asked for yet
        transport = ASGITransport(app=shared_app, raise_app_exceptions=False)
        async with AsyncClient(transport=transport, base_url=BASE_URL) as operator:
            found = (await operator.get("/health/ready")).json()
        assert found["status"] == "degraded"
        assert {"name": "rate limits", "state": "degraded"} in found["checks"]
    await limits.close()
    await shared.health_database().close()
