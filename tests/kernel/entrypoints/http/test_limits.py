"""What a stranger can make the service do over HTTP, and what the owner of an account can do all the same."""

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

import argon2
import pytest
from dependency_injector import providers
from httpx2 import AsyncClient, Response

from application.kernel.identity import attempts as limits
from application.kernel.ports.attempts import Peer
from domain.kernel.identity.credentials import TooManyAttempts
from entrypoints.settings import Settings
from kernel.servers.browser import Browser
from kernel.specimen.service import Container
from kernel.world.builders import an_email
from kernel.world.fakes import FakeMailer
from kernel.world.people import PASSWORD
from kernel.world.working import work_off

NEXT = "a drawer full of seashells"
APP = "https://app.example"
HERE = Peer(address="127.0.0.1")  # which the tests' transport names as the client
VICTIM = "victim@example.com"
LIMIT = 5


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"app_url": APP})


@pytest.fixture
def transport(container: Container) -> FakeMailer:
    """The mail server: what counts mails stands before it."""
    transport = FakeMailer()
    container.mail_transport.override(providers.Object(transport))
    return transport


@pytest.fixture
def work(container: Container, transport: FakeMailer) -> Callable[[], Awaitable[None]]:
    """Everything that a worker would do now."""

    async def work() -> None:
        await work_off(container)

    return work


async def register(client: AsyncClient, email: str) -> Response:
    person = {"email": email, "password": PASSWORD, "display_name": "Ada"}
    return await client.post("/v1/auth/register", json=person)


async def log_in(client: AsyncClient, email: str, **more: str) -> Response:
    return await client.post("/v1/auth/login", json={"email": email, "password": PASSWORD, **more})


async def somebody(client: AsyncClient, email: str) -> dict[str, str]:
    """Headers of somebody new."""
    assert (await register(client, email)).status_code == 201
    return {"authorization": f"Bearer {(await log_in(client, email)).json()['access_token']}"}


def ensure_told_to_wait(refused: Response) -> None:
    assert (refused.status_code, refused.json()["type"]) == (429, "/problems/too-many-attempts")
    assert 0 < int(refused.headers["retry-after"]) <= 3600


# ── mail ─────────────────────────────────────────────────────────────────────────────────────────


async def test_changing_ones_address_again_and_again_floods_no_mailbox(
    client: AsyncClient, transport: FakeMailer, work: Callable[[], Awaitable[None]]
) -> None:
    eve = await somebody(client, an_email())
    proof = await client.post("/v1/auth/reauthentication", json={"password": PASSWORD}, headers=eve)
    eve["reauthentication-token"] = proof.json()["token"]
    answers = [
        await client.patch("/v1/me", json={"email": f"victim+{number}@example.com"}, headers=eve)
        for number in range(30)
    ]
    assert Counter(answer.status_code for answer in answers) == {200: LIMIT, 429: 30 - LIMIT}
    ensure_told_to_wait(answers[-1])
    await work()
    victims = [mail for mail in transport.sent if mail.to.startswith("victim")]
    assert 0 < len(victims) <= LIMIT


async def test_who_has_no_fresh_proof_uses_up_no_change_of_address_of_the_owner(client: AsyncClient) -> None:
    ada = await somebody(client, an_email())
    for number in range(2 * LIMIT):
        stolen = await client.patch("/v1/me", json={"email": f"eve{number}@example.com"}, headers=ada)
        assert stolen.status_code == 403
    proof = await client.post("/v1/auth/reauthentication", json={"password": PASSWORD}, headers=ada)
    fresh = {**ada, "reauthentication-token": proof.json()["token"]}
    assert (await client.patch("/v1/me", json={"email": an_email()}, headers=fresh)).status_code == 200


async def test_to_send_the_whole_profile_back_is_no_change_of_address(client: AsyncClient) -> None:
    email = an_email()
    ada = await somebody(client, email)
    for number in range(2 * LIMIT):
        body = {"email": email, "display_name": f"Ada {number}"}
        assert (await client.patch("/v1/me", json=body, headers=ada)).status_code == 200


async def test_no_mailbox_gets_more_than_the_limit_whatever_causes_the_mails(
    client: AsyncClient, transport: FakeMailer, work: Callable[[], Awaitable[None]]
) -> None:
    eve = await somebody(client, VICTIM)
    for number in range(8):
        await register(client, f"victim+{number}@example.com")
        await client.post("/v1/auth/password-reset", json={"email": VICTIM})
        await client.post("/v1/auth/email-verification", headers=eve)
        change = {"current_password": PASSWORD, "new_password": PASSWORD}
        await client.post("/v1/me/password", json=change, headers=eve)
    await work()
    assert len(transport.sent) == LIMIT


async def test_a_notice_arrives_whatever_strangers_have_sent_before(
    client: AsyncClient, transport: FakeMailer, work: Callable[[], Awaitable[None]]
) -> None:
    owner = await somebody(client, VICTIM)
    await work()
    proof = {"token": transport.sent[-1].text.partition("#token=")[2].split()[0]}
    confirmed = await client.post("/v1/auth/email-verification/confirmation", json=proof, headers=owner)
    assert confirmed.status_code == 204
    for number in range(8):
        await register(client, f"victim+{number}@example.com")
        await client.post("/v1/auth/password-reset", json={"email": VICTIM})
    change = {"current_password": PASSWORD, "new_password": NEXT}
    assert (await client.post("/v1/me/password", json=change, headers=owner)).status_code == 204
    await work()
    assert "was changed" in transport.sent[-1].subject
    assert len(transport.sent) == LIMIT + 1


# ── registrations ────────────────────────────────────────────────────────────────────────────────


async def test_one_network_address_registers_so_many_in_an_hour(client: AsyncClient) -> None:
    known = an_email()
    answers = [await register(client, email) for email in (known, *(an_email() for _ in range(34)), known)]
    assert [answer.status_code for answer in answers] == [201] * 30 + [429] * 6
    ensure_told_to_wait(answers[-1])  # and is not told whether the address is known


class Gate:
    """Stands where argon2 hashes, and lets nobody through before it opens."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.inside = 0

    async def has_somebody_inside(self) -> None:
        for _ in range(1000):
            if self.inside:
                return
            await asyncio.sleep(0.01)
        pytest.fail("Nobody registers.")

    def __call__(self, *_: object) -> str:
        self.inside += 1
        self.opened.wait(60)
        return "$hash"


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


async def test_whoever_registers_without_end_leaves_log_ins_served(
    client: AsyncClient, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    email = an_email()
    await register(client, email)
    monkeypatch.setattr(argon2.PasswordHasher, "hash", gate)  # by which registrations take for ever
    registering = [asyncio.create_task(register(client, an_email())) for _ in range(70)]
    await gate.has_somebody_inside()
    async with asyncio.timeout(60):
        answers = await asyncio.gather(*(log_in(client, email) for _ in range(9)))
    assert [answer.status_code for answer in answers] == [200] * 9
    gate.opened.set()
    answers = await asyncio.gather(*registering)
    assert {answer.status_code for answer in answers} <= {201, 429, 503}
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code != 201)


# ── known devices ────────────────────────────────────────────────────────────────────────────────


async def lock_out_strangers(container: Container, email: str) -> None:
    """As their failures would."""
    for _ in range(limits.FAILURES_OF_ACCOUNT):
        with suppress(TooManyAttempts):
            await container.attempts().count(limits.of_log_in(email, HERE))


async def test_a_known_device_logs_in_whatever_strangers_did(
    client: AsyncClient, container: Container
) -> None:
    email = an_email()
    await register(client, email)
    known = (await log_in(client, email)).json()["device_token"]
    await lock_out_strangers(container, email)
    ensure_told_to_wait(await log_in(client, email))
    again = await log_in(client, email, device_token=known)
    assert again.status_code == 200
    form = {"grant_type": "password", "username": email, "password": PASSWORD}
    ensure_told_to_wait(await client.post("/v1/auth/token", data=form))
    device = {"device_token": again.json()["device_token"]}
    by_grant = await client.post("/v1/auth/token", data=form | device)
    assert by_grant.status_code == 200
    assert (await log_in(client, email, device_token=by_grant.json()["device_token"])).status_code == 200


async def test_a_browser_is_known_by_its_cookie(client: AsyncClient, container: Container) -> None:
    email = an_email()
    await register(client, email)
    credentials = {"email": email, "password": PASSWORD}
    browser, other = Browser(client, origin=APP), Browser(client, origin=APP)
    await browser.send("POST", "/v1/auth/cookie", json=credentials)
    del browser.cookies["__Host-session"]  # as a log-out does
    await lock_out_strangers(container, email)
    ensure_told_to_wait(await other.send("POST", "/v1/auth/cookie", json=credentials))
    assert (await browser.send("POST", "/v1/auth/cookie", json=credentials)).status_code == 204
    assert (await browser.get("/v1/me")).status_code == 200


async def test_a_browser_that_resets_the_password_is_known_from_then_on(
    client: AsyncClient,
    container: Container,
    transport: FakeMailer,
    work: Callable[[], Awaitable[None]],
) -> None:
    email, browser = an_email(), Browser(client, origin=APP)
    await register(client, email)
    await client.post("/v1/auth/password-reset", json={"email": email})
    await work()
    reset = {"token": transport.sent[-1].text.partition("#token=")[2].split()[0], "password": NEXT}
    done = await browser.send("POST", "/v1/auth/password-reset/confirmation", json=reset)
    assert (done.status_code, list(browser.cookies)) == (204, ["__Host-device"])
    await lock_out_strangers(container, email)
    logged_in = await browser.send("POST", "/v1/auth/cookie", json={"email": email, "password": NEXT})
    assert logged_in.status_code == 204


@pytest.mark.parametrize("token", ["", "nonsense", "a.b.c.d.e", "é" * 500, "x" * 100_000])
async def test_what_is_no_device_token_is_no_error(client: AsyncClient, token: str) -> None:
    email = an_email()
    await register(client, email)
    assert (await log_in(client, email, device_token=token)).status_code == 200
