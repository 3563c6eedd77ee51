"""A stranger who claims somebody's address, told on the running service: a server, a worker, a provider."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from httpx2 import AsyncClient, Response
from joserfc.jwk import ECKey

from kernel.servers.mailbox import Mailbox, mailing
from kernel.servers.serving import environment_of, serving
from kernel.world.people import PASSWORD
from kernel.world.provider import ProviderServer, a_forger, public

KEY, STRANGER = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
ADDRESS = "grace@example.com"
OWN, ANOTHERS = "a kettle for every morning", "a lantern for every evening"


@dataclass(frozen=True)
class Service:
    """What is running, and what people do with it."""

    client: AsyncClient
    mails: Mailbox
    provider: ProviderServer

    async def register(self, email: str, password: str) -> Response:
        person = {"email": email, "password": password, "display_name": "Somebody"}
        return await self.client.post("/v1/auth/register", json=person)

    async def log_in(self, email: str, password: str) -> Response:
        return await self.client.post("/v1/auth/login", json={"email": email, "password": password})

    async def somebody(self, email: str, password: str) -> "Person":
        """Who has registered and logged in just now."""
        registered = await self.register(email, password)
        assert registered.status_code == 201, registered.text
        token = (await self.log_in(email, password)).json()["access_token"]
        return Person(self.client, token)

    def through_the_provider(self, **claims: Any) -> "Person":
        now = int(datetime.now(UTC).timestamp())
        forger = a_forger(
            self.provider.issuer,
            KEY,
            stranger=STRANGER,
            algorithm="ES256",
            kid="k1",
            **{"iat": now, "exp": now + 600, **claims},
        )
        return Person(self.client, forger.token())


@dataclass(frozen=True)
class Person:
    client: AsyncClient
    token: str

    async def do(self, method: str, path: str, body: object = None) -> Response:
        headers = {"authorization": f"Bearer {self.token}"}
        return await self.client.request(method, f"/v1{path}", headers=headers, json=body)

    async def get(self, path: str) -> Any:
        answer = await self.do("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, **body: object) -> Any:
        answer = await self.do("POST", path, body)
        assert answer.status_code in {201, 204}, answer.text
        return answer.json() if answer.content else None

    async def is_refused(self, status: int, problem: str, path: str, **body: object) -> None:
        answer = await self.do("POST", path, body)
        assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{problem}")

    async def address(self) -> tuple[str | None, bool]:
        me = await self.get("/me")
        return me["email"], me["email_verified"]


@pytest.fixture
async def service(empty_database_url: str) -> AsyncIterator[Service]:
    provider = ProviderServer()
    await provider.start()
    provider.publish(public(KEY, "k1", alg="ES256", use="sig"))
    environment = environment_of(
        empty_database_url,
        APP_URL="https://app.example.com",
        AUTH_PROVIDER="oidc",
        AUTH_TRUST_LOCAL="true",
        AUTH_RECHECK_SECONDS="0",
        OIDC_ISSUER=provider.issuer,
        OIDC_AUDIENCE="shop",
        OIDC_TRUST_EMAIL="true",
        OUTBOX_POLL_SECONDS="1",
    )
    async with AsyncExitStack() as stack:
        client, _ = await stack.enter_async_context(serving(environment))
        mails = await stack.enter_async_context(mailing(environment))
        yield Service(client, mails, provider)
    await provider.stop()


async def test_whoever_claims_an_address_sees_accepts_and_blocks_nothing_and_gives_way_to_the_proof(
    service: Service,
) -> None:
    ada = await service.somebody("ada@example.com", PASSWORD)
    workspace = (await ada.post("/workspaces", name="Looms"))["id"]
    await service.mails.secret(to="ada@example.com", page="verify-email")
    stranger = await service.somebody(ADDRESS, ANOTHERS)
    # It would be the stranger's proof, and is not to be taken for that of the address's owner below.
    await service.mails.secret(to=ADDRESS, page="verify-email")

    invitation = await ada.post(f"/workspaces/{workspace}/invitations", email=ADDRESS, role="admin")
    assert not {name for name in invitation if "token" in name}
    secret = await service.mails.secret(to=ADDRESS, page="accept-invitation")

    # The stranger sees nothing of it, and accepts nothing, whichever way the secret came to them.
    assert (await stranger.get("/invitations"))["items"] == []
    unseen = await stranger.do("GET", f"/invitations/{invitation['id']}")
    assert unseen.status_code == 404
    await stranger.is_refused(403, "email-not-verified", "/invitations/acceptance", token=secret)

    # Nor do they keep the owner of the address out, who registers and logs in beside them.
    grace = await service.somebody(ADDRESS, OWN)
    assert await grace.address() == (ADDRESS, False)
    assert (await service.log_in(ADDRESS, ANOTHERS)).status_code == 200
    proof = await service.mails.secret(to=ADDRESS, page="verify-email")
    await stranger.is_refused(
        404, "one-time-token-not-found", "/auth/email-verification/confirmation", token=proof
    )
    await grace.post("/auth/email-verification/confirmation", token=proof)

    # From then on it is hers alone, and what was meant for her is hers.
    assert await grace.address() == (ADDRESS, True)
    assert await stranger.address() == (None, False)
    assert (await service.log_in(ADDRESS, ANOTHERS)).status_code == 401
    assert (await service.log_in(ADDRESS, OWN)).status_code == 200
    assert (await service.register(ADDRESS, ANOTHERS)).status_code == 409
    again = await stranger.do("PATCH", "/me", {"email": ADDRESS})
    assert (again.status_code, again.json()["type"]) == (403, "/problems/reauthentication-required")
    await stranger.is_refused(404, "invitation-not-found", "/invitations/acceptance", token=secret)
    assert (await grace.get("/invitations"))["items"] == [invitation]
    assert (await grace.post("/invitations/acceptance", token=secret))["role"] == "admin"


async def test_whoever_comes_through_a_trusted_provider_gets_the_address_that_a_stranger_claims(
    service: Service,
) -> None:
    stranger = await service.somebody(ADDRESS, ANOTHERS)
    grace = service.through_the_provider(sub="grace", email=ADDRESS, email_verified=True)
    assert await grace.address() == (ADDRESS, True)
    assert await stranger.address() == (None, False)
    # And a provider's account with the same address, which it has not verified, gets nothing of hers.
    other = service.through_the_provider(sub="eve", email=ADDRESS, email_verified=False)
    assert await other.address() == (None, False)
    assert (await other.get("/me"))["id"] != (await grace.get("/me"))["id"]


async def test_a_password_reset_takes_the_address_and_the_account_from_whoever_registered_it(
    service: Service,
) -> None:
    stranger = await service.somebody(ADDRESS, ANOTHERS)
    asked = await service.client.post("/v1/auth/password-reset", json={"email": ADDRESS})
    assert asked.status_code == 204
    secret = await service.mails.secret(to=ADDRESS, page="reset-password")
    reset = await service.client.post(
        "/v1/auth/password-reset/confirmation", json={"token": secret, "password": OWN}
    )
    assert reset.status_code == 204
    assert (await stranger.do("GET", "/me")).status_code == 401
    assert (await service.log_in(ADDRESS, ANOTHERS)).status_code == 401
    grace = Person(service.client, (await service.log_in(ADDRESS, OWN)).json()["access_token"])
    assert await grace.address() == (ADDRESS, True)


async def test_an_admin_who_was_removed_does_not_come_back_by_an_invitation_of_their_own(
    service: Service,
) -> None:
    ada = await service.somebody("ada@example.com", PASSWORD)
    workspace = (await ada.post("/workspaces", name="Looms"))["id"]
    await service.mails.secret(to="ada@example.com", page="verify-email")
    eve = await service.somebody("eve@example.com", ANOTHERS)
    proof = await service.mails.secret(to="eve@example.com", page="verify-email")
    await eve.post("/auth/email-verification/confirmation", token=proof)
    await ada.post(f"/workspaces/{workspace}/invitations", email="eve@example.com", role="admin")
    secret = await service.mails.secret(to="eve@example.com", page="accept-invitation")
    joined = await eve.post("/invitations/acceptance", token=secret)

    await eve.post(f"/workspaces/{workspace}/invitations", email=ADDRESS, role="admin")
    left = await service.mails.secret(to=ADDRESS, page="accept-invitation")
    removed = await ada.do("DELETE", f"/workspaces/{workspace}/members/{joined['user_id']}")
    assert removed.status_code == 204

    accomplice = service.through_the_provider(sub="grace", email=ADDRESS, email_verified=True)
    assert (await accomplice.get("/invitations"))["items"] == []
    await accomplice.is_refused(404, "invitation-not-found", "/invitations/acceptance", token=left)
    await ada.post(f"/workspaces/{workspace}/invitations", email=ADDRESS, role="viewer")
